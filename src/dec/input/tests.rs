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

fn packets(read: Read) -> Vec<Input> {
    let packet = |item| match item {
        Item::Packet(input) => Some(input),
        Item::End(_) => None,
    };
    read.items.into_iter().filter_map(packet).collect()
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
fn a_flush_begins_raw_tokens_anew() {
    let mut reader = reader(StreamFormat::Raw);
    for _ in 0..2 {
        for (start, warns) in [(true, false), (false, true), (false, false)] {
            let read = reader.read(&raw(1, None, START));
            assert_eq!(read.warning.is_some(), warns);
            assert_eq!(packets(read)[0].segment_start, start);
        }
        reader.reset();
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
