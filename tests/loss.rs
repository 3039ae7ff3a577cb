//! What the decoder does where packets are missing, doubled, swapped, damaged or of another stream.

mod common;

use common::*;
use gst::prelude::*;
use gstvidtok::caps::StreamFormat;
use gstvidtok::format::TokenFormat;
use gstvidtok::stream::{Packet, Tokens, Writer};

const SIZE: (u32, u32) = (16, 16);
const FRAME: u64 = 1_000_000_000 / 30;

/// A stream whose segments have four packets of one latent frame each: 13 frames.
struct Recorded {
    format: TokenFormat,
    /// `packets[segment][packet]`.
    packets: Vec<Vec<gst::Buffer>>,
    /// The end mark of each segment.
    marks: Vec<gst::Buffer>,
}

const SEGMENT: u64 = 13;

fn recorded(id: &str, segments: u64) -> Recorded {
    let caps = "video/x-vidtok,stream-format=raw";
    let encoder = format!("vidtokenc model={} key-interval={SEGMENT} ! {caps}", tokenizer(TINY));
    let line = Line::new(&encoder, &video_caps(SIZE.0, SIZE.1, (30, 1)));
    line.play();
    let video = video(SEGMENT * segments, SIZE.0, SIZE.1);
    video.iter().for_each(|frame| line.push(buffer(frame, SIZE.0)));
    let raw = line.finish();
    let format = line.sink_format();
    let mut writer = Writer::new(format.clone(), id).unwrap();
    let (mut packets, mut marks) = (Vec::new(), Vec::new());
    for (segment, buffers) in raw.chunks(4).enumerate() {
        packets.push(Vec::new());
        for (index, raw) in buffers.iter().enumerate() {
            let tokens = Tokens::from_raw(&raw.map_readable().unwrap(), &format).unwrap();
            let pts = raw.pts().unwrap().nseconds();
            let packet = Packet {
                segment_start: index == 0,
                latent_frames: 1,
                real_frames: if index == 0 { 1 } else { 4 },
                pts: Some(pts),
                duration: raw.duration().map(|duration| duration.nseconds()),
                payload: tokens.to_payload(&format).unwrap(),
                ..Packet::default()
            };
            let mut buffer = gst::Buffer::from_mut_slice(writer.write(&packet).unwrap());
            buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(pts));
            packets[segment].push(buffer);
        }
        let mark = writer.end_segment().unwrap().unwrap();
        marks.push(gst::Buffer::from_mut_slice(mark));
    }
    Recorded { format, packets, marks }
}

impl Recorded {
    /// All packets and end marks, in order.
    fn all(&self) -> Vec<gst::Buffer> {
        let ended =
            |(packets, mark): (&Vec<gst::Buffer>, &gst::Buffer)| [&packets[..], std::slice::from_ref(mark)].concat();
        self.packets.iter().zip(&self.marks).flat_map(ended).collect()
    }
}

/// The numbers of the pictures that came out, and of those marked as uncertain; gaps and warnings.
struct Shown {
    frames: Vec<u64>,
    uncertain: Vec<u64>,
    gaps: u64,
    warnings: Vec<String>,
}

fn show(format: &TokenFormat, on_loss: &str, buffers: &[gst::Buffer]) -> Shown {
    let line = Line::new(
        &format!("vidtokdec name=dec model={} on-loss={on_loss}", tokenizer(TINY)),
        &format.to_caps(StreamFormat::Framed),
    );
    line.play();
    buffers.iter().for_each(|buffer| line.push(buffer.clone()));
    let out = line.finish();
    let number = |buffer: &gst::Buffer| (buffer.pts().unwrap().nseconds() + FRAME / 2) / FRAME;
    let uncertain = out.iter().filter(|b| b.flags().contains(gst::BufferFlags::CORRUPTED));
    let stats = line.stats("dec");
    let shown = Shown {
        frames: out.iter().map(number).collect(),
        uncertain: uncertain.map(number).collect(),
        gaps: stats.get("gaps").unwrap(),
        warnings: line.warnings(),
    };
    assert_eq!(stats.get("uncertain-frames"), Ok(shown.uncertain.len() as u64));
    shown
}

fn numbers(ranges: &[std::ops::Range<u64>]) -> Vec<u64> {
    ranges.iter().cloned().flatten().collect()
}

#[test]
fn a_whole_stream_has_no_gap_under_either_policy() {
    init();
    let stream = recorded("a", 3);
    for on_loss in ["wait", "continue"] {
        let shown = show(&stream.format, on_loss, &stream.all());
        assert_eq!(shown.frames, (0..39).collect::<Vec<u64>>());
        assert_eq!((shown.uncertain.len(), shown.gaps), (0, 0));
        assert_eq!(shown.warnings, [""; 0]);
    }
}

#[test]
fn a_missing_packet_is_waited_out_or_marked() {
    init();
    let stream = recorded("a", 3);
    let mut buffers = stream.all();
    // Frames 18 to 21.
    buffers.remove(5 + 2);
    let shown = show(&stream.format, "wait", &buffers);
    assert_eq!(shown.frames, numbers(&[0..18, 26..39]));
    assert_eq!((shown.uncertain.len(), shown.gaps, shown.warnings.len()), (0, 1, 1));
    assert!(shown.warnings[0].contains("1 latent frame") && shown.warnings[0].contains("next segment start"));

    let shown = show(&stream.format, "continue", &buffers);
    assert_eq!((shown.gaps, shown.warnings.len()), (1, 1));
    // The decoder looks ahead: three of the frames 14 to 17 come with the next step, and are uncertain, too.
    assert_eq!(shown.frames, numbers(&[0..18, 22..39]));
    assert_eq!(shown.uncertain, numbers(&[15..18, 22..26]));
}

#[test]
fn a_missing_start_is_waited_out_or_marked() {
    init();
    let stream = recorded("a", 3);
    let mut buffers = stream.all();
    buffers.remove(5);
    let shown = show(&stream.format, "wait", &buffers);
    assert_eq!(shown.frames, numbers(&[0..13, 26..39]));
    assert_eq!((shown.gaps, shown.warnings.len()), (1, 1));
    let shown = show(&stream.format, "continue", &buffers);
    assert_eq!(shown.frames, numbers(&[0..13, 14..39]));
    assert_eq!(shown.uncertain, (14..26).collect::<Vec<u64>>());
}

#[test]
fn doubled_and_late_packets_are_left_out() {
    init();
    let stream = recorded("a", 2);
    for on_loss in ["wait", "continue"] {
        let mut doubled = stream.all();
        doubled.insert(2, doubled[1].clone());
        let shown = show(&stream.format, on_loss, &doubled);
        assert_eq!(shown.frames, (0..26).collect::<Vec<u64>>());
        assert_eq!((shown.uncertain.len(), shown.gaps, shown.warnings.len()), (0, 1, 1));
    }
    let mut swapped = stream.all();
    swapped.swap(1, 2);
    let shown = show(&stream.format, "wait", &swapped);
    assert_eq!(shown.frames, numbers(&[0..1, 13..26]));
    assert_eq!((shown.gaps, shown.warnings.len()), (1, 1));
}

#[test]
fn packets_of_two_writers_do_not_belong_together() {
    init();
    let (a, b) = (recorded("a", 2), recorded("b", 2));
    let (a, b, format) = (a.all(), b.all(), a.format);
    // Packets of the second writer without their stream header, in the middle of a segment of the first.
    let mixed = [&a[..2], &b[2..5], &a[5..]].concat();
    let shown = show(&format, "wait", &mixed);
    assert_eq!(shown.frames, numbers(&[0..5, 13..26]));
    assert_eq!((shown.gaps, shown.warnings.len()), (1, 1));
    // One stream behind the other.
    let shown = show(&format, "wait", &[&a[..], &b[..]].concat());
    assert_eq!(shown.frames.len(), 52);
    assert_eq!(shown.gaps, 0);
}

#[test]
fn damage_is_a_gap_and_follows_the_policy() {
    init();
    let stream = recorded("a", 2);
    let mut buffers = stream.all();
    let mut damaged = buffers[2].map_readable().unwrap().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    buffers[2] = gst::Buffer::from_mut_slice(damaged);
    let shown = show(&stream.format, "wait", &buffers);
    assert_eq!(shown.frames, numbers(&[0..5, 13..26]));
    assert_eq!((shown.gaps, shown.warnings.len()), (1, 1));
    let shown = show(&stream.format, "continue", &buffers);
    assert_eq!(shown.frames, numbers(&[0..5, 9..26]));
    assert_eq!(shown.uncertain, numbers(&[2..5, 9..13]));
}

#[test]
fn a_run_of_damage_is_one_gap() {
    init();
    let stream = recorded("a", 3);
    let mut buffers = stream.all();
    // The first segment's last three packets, its end mark, and the second's first packet.
    for buffer in &mut buffers[1..6] {
        let mut damaged = buffer.map_readable().unwrap().to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        *buffer = gst::Buffer::from_mut_slice(damaged);
    }
    let shown = show(&stream.format, "wait", &buffers);
    assert_eq!(shown.frames, numbers(&[0..1, 26..39]));
    assert_eq!((shown.gaps, shown.warnings.len()), (1, 1), "{:?}", shown.warnings);
}

#[test]
fn a_gap_that_upstream_knows_is_counted_and_not_warned_of_again() {
    init();
    let stream = recorded("a", 2);
    let mut buffers = stream.all();
    buffers.remove(2);
    buffers[2].make_mut().set_flags(gst::BufferFlags::DISCONT);
    let shown = show(&stream.format, "wait", &buffers);
    assert_eq!(shown.frames, numbers(&[0..5, 13..26]));
    assert_eq!((shown.gaps, shown.warnings.len()), (1, 0));
}

#[test]
fn a_discontinuity_in_raw_tokens_follows_the_policy() {
    init();
    let stream = recorded("a", 1);
    let format = &stream.format;
    let raw = |index: usize, flags: gst::BufferFlags| {
        let mut reader = gstvidtok::stream::Reader::new();
        stream.packets[0][..=index]
            .iter()
            .for_each(|packet| reader.push(&packet.map_readable().unwrap()));
        let events = std::iter::from_fn(|| reader.next_event().unwrap());
        let packets = events.filter_map(|event| match event {
            gstvidtok::stream::Event::Packet(packet) => Some(packet),
            _ => None,
        });
        let packet = packets.last().unwrap();
        let tokens = Tokens::from_payload(&packet.payload, format, 1).unwrap();
        let mut buffer = gst::Buffer::from_mut_slice(tokens.to_raw(format).unwrap());
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_pts(packet.pts.map(gst::ClockTime::from_nseconds));
        buffer_mut.set_flags(flags);
        buffer
    };
    use gst::BufferFlags as Flags;
    let delta = Flags::DELTA_UNIT;
    // The decoder looks three frames ahead: the last three of the five before the loss come with the step behind it,
    // and are uncertain like that step's own four.
    for (on_loss, frames, uncertain) in [("wait", 5, 0), ("continue", 9, 3 + 4)] {
        let line = Line::new(
            &format!("vidtokdec name=dec model={} on-loss={on_loss}", tokenizer(TINY)),
            &format.to_caps(StreamFormat::Raw),
        );
        line.play();
        for buffer in [raw(0, Flags::empty()), raw(1, delta), raw(3, delta | Flags::DISCONT)] {
            line.push(buffer);
        }
        assert_eq!(line.finish().len(), frames, "{on_loss}");
        let stats = line.stats("dec");
        assert_eq!(
            (stats.get("gaps"), stats.get("uncertain-frames")),
            (Ok(1u64), Ok(uncertain as u64))
        );
    }
}

#[test]
fn an_end_mark_gives_the_frames_that_are_owed() {
    init();
    let stream = recorded("a", 1);
    let decoder = format!("vidtokdec model={}", tokenizer(TINY));
    let mut h = harness(&decoder, stream.format.to_caps(StreamFormat::Framed));
    for packet in &stream.packets[0] {
        h.push(packet.clone()).unwrap();
    }
    assert_eq!(pull(&mut h).len(), 10);
    h.push(stream.marks[0].clone()).unwrap();
    assert_eq!(pull(&mut h).len(), 3);
}

#[test]
fn packets_that_a_trick_mode_leaves_out_are_no_gap() {
    init();
    let stream = recorded("a", 3);
    for (key_units, gaps) in [(true, 0u64), (false, 2)] {
        let element = gst::ElementFactory::make("vidtokdec");
        let element = element.property("model", tokenizer(TINY)).build().unwrap();
        let mut h = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        h.set_src_caps(stream.format.to_caps(StreamFormat::Framed));
        h.play();
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        if key_units {
            segment.set_flags(gst::SegmentFlags::TRICKMODE | gst::SegmentFlags::TRICKMODE_KEY_UNITS);
        }
        h.push_event(gst::event::Segment::new(&segment));
        for packets in &stream.packets {
            let mut start = packets[0].clone();
            start.make_mut().set_flags(gst::BufferFlags::DISCONT);
            h.push(start).unwrap();
        }
        h.push_event(gst::event::Eos::new());
        assert_eq!(pull(&mut h).len(), 3);
        assert_eq!(element.property::<gst::Structure>("stats").get("gaps"), Ok(gaps));
    }
}
