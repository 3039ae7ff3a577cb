use super::*;
use crate::dec::testing::{format, indices};
use crate::stream::Writer;

const FRAME: u64 = 40_000_000;

fn reader(stream_format: StreamFormat) -> InputReader {
    gst::init().unwrap();
    InputReader::new(format(), stream_format, false)
}

fn raw(latent_frames: usize, duration: Option<u64>, flags: gst::BufferFlags) -> gst::Buffer {
    let bytes = indices(0..35 * latent_frames).to_raw(&format()).unwrap();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let buffer_mut = buffer.make_mut();
    buffer_mut.set_duration(duration.map(gst::ClockTime::from_nseconds));
    buffer_mut.set_flags(flags);
    buffer
}

const START: gst::BufferFlags = gst::BufferFlags::empty();
const DELTA: gst::BufferFlags = gst::BufferFlags::DELTA_UNIT;
const DISCONT: gst::BufferFlags = gst::BufferFlags::DISCONT;

/// Whether each of a buffer's packets starts a segment, and how many of its frames are real.
fn read(reader: &mut InputReader, buffer: &gst::Buffer) -> Vec<(bool, u64)> {
    let read = reader.read(buffer);
    assert!(read.error.is_none(), "{:?}", read.error);
    let inputs = packets(read).into_iter();
    inputs.map(|input| (input.segment_start, input.real_frames)).collect()
}

fn packets(read: Read) -> Vec<Input> {
    let packet = |item| match item {
        Item::Packet(input) => Some(input),
        Item::End(_) => None,
    };
    read.items.into_iter().filter_map(packet).collect()
}

#[test]
fn a_duration_says_how_many_frames_are_real() {
    let mut reader = reader(StreamFormat::Raw);
    assert_eq!(read(&mut reader, &raw(2, Some(5 * FRAME), START)), [(true, 5)]);
    for (duration, real) in [
        (None, 8),
        (Some(0), 8),
        (Some(8 * FRAME), 8),
        (Some(100 * FRAME), 8),
        // Rounded as clocks and containers do.
        (Some(6 * FRAME - 1_000_000), 6),
        (Some(5 * FRAME + 1_000_000), 5),
        (Some(1), 1),
    ] {
        assert_eq!(
            read(&mut reader, &raw(2, duration, DELTA)),
            [(false, real)],
            "{duration:?}"
        );
    }
}

#[test]
fn a_guessed_framerate_leaves_out_no_frame() {
    gst::init().unwrap();
    let mut reader = InputReader::new(format(), StreamFormat::Raw, true);
    let mut buffer = raw(2, Some(500), START);
    buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(1000));
    let input = packets(reader.read(&buffer)).remove(0);
    let times = input.times.unwrap();
    assert_eq!((input.real_frames, times.offsets), (5, Some(vec![100, 200, 300, 400])));
}

#[test]
fn bare_buffers_are_one_segment_and_warned_of_once() {
    let mut reader = reader(StreamFormat::Raw);
    let mut warnings = 0;
    for (flags, start) in [
        (START, true),
        (START, false),
        (START, false),
        (DISCONT, true),
        (START, false),
    ] {
        let read = reader.read(&raw(1, None, flags));
        warnings += u32::from(read.warning.is_some());
        assert_eq!(packets(read)[0].segment_start, start);
    }
    assert_eq!(warnings, 1);
    reader.reset();
    assert_eq!(read(&mut reader, &raw(1, None, START)), [(true, 1)]);
}

#[test]
fn buffers_that_are_marked_start_segments_as_they_say() {
    let mut reader = reader(StreamFormat::Raw);
    for flags in [START, DELTA, START, START, DELTA, DISCONT, DELTA | DISCONT] {
        let read = reader.read(&raw(1, None, flags));
        assert_eq!(read.warning, None);
        assert_eq!(packets(read)[0].segment_start, !flags.contains(DELTA), "{flags:?}");
    }
    // Joined in the middle: the user reads why there is no picture yet.
    reader.reset();
    let read = reader.read(&raw(1, None, DELTA));
    assert!(read.warning.as_ref().is_some_and(|text| text.contains("DELTA_UNIT")));
    assert!(!packets(read)[0].segment_start);
    assert_eq!(reader.read(&raw(1, None, DELTA)).warning, None);
}

#[test]
fn the_meta_counts_where_there_is_one() {
    let mut reader = reader(StreamFormat::Raw);
    let mut buffer = raw(2, Some(FRAME), DELTA);
    let meta = |segment_start, real_frames| meta::TokenMeta {
        segment_start,
        real_frames,
        ..Default::default()
    };
    meta::add(buffer.make_mut(), &meta(true, 4));
    assert_eq!(read(&mut reader, &buffer), [(true, 4)]);
    let mut buffer = raw(2, Some(FRAME), START);
    meta::add(buffer.make_mut(), &meta(false, 100));
    assert_eq!(read(&mut reader, &buffer), [(false, 8)]);
    let mut last = raw(1, Some(FRAME), DELTA);
    let ends = meta::TokenMeta {
        segment_end: true,
        ..meta(false, 4)
    };
    meta::add(last.make_mut(), &ends);
    assert!(packets(reader.read(&last))[0].segment_end);
    let mut none = raw(1, None, START);
    meta::add(none.make_mut(), &meta(true, 0));
    assert!(matches!(reader.read(&none).error, Some(InputError::Refused(_))));
}

#[test]
fn a_raw_buffer_of_another_size_says_the_size_wanted() {
    let mut reader = reader(StreamFormat::Raw);
    for bytes in [0, 1, 69, 71] {
        let error = reader
            .read(&gst::Buffer::from_mut_slice(vec![0u8; bytes]))
            .error
            .unwrap()
            .to_string();
        for part in [&format!("{bytes} bytes"), "7×5 uint16", "takes 70", "vidtokparse"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

fn packet(segment_start: bool, pts: u64) -> Packet {
    Packet {
        segment_start,
        latent_frames: 1,
        real_frames: if segment_start { 1 } else { 4 },
        pts: Some(pts),
        duration: Some(FRAME),
        payload: indices(0..35).to_payload(&format()).unwrap(),
        ..Packet::default()
    }
}

#[test]
fn all_packets_of_a_buffer_are_read() {
    let mut writer = Writer::new(format(), "toy").unwrap();
    let bytes: Vec<u8> = [packet(true, 100), packet(false, 200), packet(true, 300)]
        .iter()
        .flat_map(|packet| writer.write(packet).unwrap())
        .collect();
    let mut reader = reader(StreamFormat::Framed);
    let mut buffer = gst::Buffer::from_mut_slice(bytes.clone());
    // Shifted on the way.
    buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(1100));
    let inputs = packets(reader.read(&buffer));
    let seen = inputs
        .iter()
        .map(|input| (input.segment_start, input.real_frames, input.shift));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [(true, 1, 1000), (false, 4, 1000), (true, 1, 1000)]
    );

    // Up to what is damaged.
    let mut cut = bytes;
    cut.pop();
    let read = reader.read(&gst::Buffer::from_mut_slice(cut));
    assert!(matches!(read.error, Some(InputError::Damaged { .. })));
    assert_eq!(packets(read).len(), 2);
}

/// The link of the packets of each buffer, and whether there is a hole in front of it.
fn links(reader: &mut InputReader, buffers: &[gst::Buffer]) -> Vec<(Link, bool)> {
    let read = buffers.iter().flat_map(|buffer| packets(reader.read(buffer)));
    read.map(|input| (input.link, input.hole.is_some())).collect()
}

/// Packets of segments of three, each ended by an end mark.
fn stream(id: &str) -> Vec<gst::Buffer> {
    let mut writer = Writer::new(format(), id).unwrap();
    let mut buffers = Vec::new();
    for i in 0..6 {
        buffers.push(writer.write(&packet(i % 3 == 0, i * FRAME)).unwrap());
        buffers.extend((i % 3 == 2).then(|| writer.end_segment().unwrap()).flatten());
    }
    buffers.into_iter().map(gst::Buffer::from_mut_slice).collect()
}

#[test]
fn a_missing_packet_is_a_hole_once() {
    let mut reader = reader(StreamFormat::Framed);
    let mut buffers = stream("a");
    buffers.remove(1);
    let links = links(&mut reader, &buffers);
    assert_eq!(
        links,
        [
            (Link::Starts, false),
            (Link::Uncertain, true),
            (Link::Starts, false),
            (Link::Follows, false),
            (Link::Follows, false)
        ]
    );
}

#[test]
fn a_discontinuity_is_in_front_of_a_buffers_first_packet_only() {
    let mut reader = reader(StreamFormat::Framed);
    let buffers = stream("a");
    let bytes = |buffer: &gst::Buffer| buffer.map_readable().unwrap().to_vec();
    // The first segment's other packets without its end mark, and the next one's first and last.
    let joined = [1, 2, 4, 6].map(|index| bytes(&buffers[index])).concat();
    let mut joined = gst::Buffer::from_mut_slice(joined);
    joined.make_mut().set_flags(DISCONT);
    reader.read(&buffers[0]);
    let read = packets(reader.read(&joined));
    let seen = read.iter().map(|input| (input.hole.is_some(), input.hole_is_known));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [(false, true), (false, false), (true, false), (true, false)]
    );
}

#[test]
fn what_comes_first_has_nothing_in_front_of_it() {
    let mut reader = reader(StreamFormat::Framed);
    let mut first = stream("a").remove(1);
    assert_eq!(
        links(&mut reader, std::slice::from_ref(&first)),
        [(Link::Uncertain, false)]
    );
    reader.reset();
    first.make_mut().set_flags(DISCONT);
    assert_eq!(links(&mut reader, &[first]), [(Link::Uncertain, false)]);
}

#[test]
fn damage_is_told_as_damage_and_not_again_as_a_hole() {
    let mut reader = reader(StreamFormat::Framed);
    let mut buffers = stream("a");
    let mut damaged = buffers[1].map_readable().unwrap().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    buffers[1] = gst::Buffer::from_mut_slice(damaged);
    reader.read(&buffers[0]);
    assert!(matches!(
        reader.read(&buffers[1]).error,
        Some(InputError::Damaged { .. })
    ));
    assert_eq!(links(&mut reader, &buffers[2..3]), [(Link::Uncertain, false)]);
}

#[test]
fn raw_tokens_are_broken_by_a_discontinuity_that_is_no_start() {
    let mut reader = reader(StreamFormat::Raw);
    let buffers = [START, DELTA, DELTA | DISCONT, DELTA, START, DELTA].map(|flags| raw(1, None, flags));
    assert_eq!(
        links(&mut reader, &buffers),
        [
            (Link::Starts, false),
            (Link::Follows, false),
            (Link::Uncertain, true),
            (Link::Uncertain, false),
            (Link::Starts, false),
            (Link::Follows, false)
        ]
    );
}

#[test]
fn end_marks_are_read() {
    let mut reader = reader(StreamFormat::Framed);
    let buffers = stream("a");
    let ends = |reader: &mut InputReader, buffer| match &reader.read(buffer).items[..] {
        [Item::End(hole)] => Some(hole.is_some()),
        _ => None,
    };
    for buffer in &buffers[..3] {
        assert_eq!(ends(&mut reader, buffer), None);
    }
    assert_eq!(ends(&mut reader, &buffers[3]), Some(false));
    reader.reset();
    reader.read(&buffers[0]);
    // Two packets are missing in front of it.
    assert_eq!(ends(&mut reader, &buffers[3]), Some(true));
}
