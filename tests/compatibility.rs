//! Version 1.0 of the byte stream: its readers read what is written now, and what it has written is read now.
//!
//! That the Python reader of version 1.0 does, too, is tested in tests/python/test_compatibility.py.

use framer::{Framer, Step};
use gstvidtok::stream as now;

// Version 1.0 as it was. Its modules name each other by paths from the root of the crate.
#[path = "data/v1_0/src/format.rs"]
#[allow(dead_code, clippy::all)]
mod format;
#[path = "data/v1_0/src/parse/framer.rs"]
#[allow(dead_code, clippy::all)]
mod framer;
#[path = "data/v1_0/src/stream/mod.rs"]
#[allow(dead_code, unused_imports, clippy::all)]
mod stream;

/// A file that version 1.0 wrote: two segments of three packets.
const OLD_FILE: &[u8] = include_bytes!("data/v1_0/stream.vidtok");

/// The format of that file.
fn format_now() -> gstvidtok::format::TokenFormat {
    now::StreamHeader::decode(OLD_FILE).unwrap().0.format
}

/// Packets of two latent frames that start a segment, or end one, or the stream.
fn packet(i: u32, segment_start: bool, segment_end: bool, end_of_stream: bool) -> now::Packet {
    let real_frames = if segment_start { 5 } else { 8 };
    let pts = u64::from(i) * 100_000_000;
    let indices = (0..4).map(|value| (i * 1000 + value) as i32).collect();
    now::Packet {
        segment_start,
        segment_end,
        end_of_stream,
        latent_frames: 2,
        real_frames,
        pts: Some(pts),
        duration: Some(100_000_000),
        offsets: (i % 2 == 1).then(|| (1..u64::from(real_frames)).map(|k| k * 11_000_000).collect()),
        payload: now::Tokens::Indices(indices).to_payload(&format_now()).unwrap(),
        position: None,
    }
}

/// The packets and the bytes of two streams that are joined, with all that version 1.0 does not know.
fn new_file() -> (Vec<now::Packet>, Vec<u8>) {
    let (mut packets, mut bytes) = (Vec::new(), Vec::new());
    for id in ["one", "two"] {
        let mut writer = now::Writer::new(format_now(), id).unwrap();
        for i in 0..12 {
            // Segments end by a flag, by a mark, and with the stream.
            let packet = packet(i, i % 4 == 0, i == 3, i == 11 && id == "one");
            bytes.extend(writer.write(&packet).unwrap());
            packets.push(packet);
        }
        bytes.extend(writer.end().unwrap());
    }
    (packets, bytes)
}

/// What version 1.0 knows of a packet that is read or written now.
fn known_then(packet: &now::Packet) -> stream::Packet {
    let packet = packet.clone();
    stream::Packet {
        segment_start: packet.segment_start,
        end_of_stream: packet.end_of_stream,
        latent_frames: packet.latent_frames,
        real_frames: packet.real_frames,
        pts: packet.pts,
        duration: packet.duration,
        offsets: packet.offsets,
        payload: packet.payload,
    }
}

fn read_now(bytes: &[u8], on_loss: now::OnLoss) -> (Vec<now::Event>, bool) {
    let mut reader = now::Reader::on_loss(on_loss);
    reader.push(bytes);
    reader.finish();
    let events = std::iter::from_fn(|| reader.next_event().unwrap()).collect();
    (events, reader.has_ended())
}

fn packets_now(events: &[now::Event]) -> Vec<now::Packet> {
    let packets = events.iter().filter_map(|event| match event {
        now::Event::Packet(packet) => Some(packet.clone()),
        _ => None,
    });
    packets.collect()
}

#[test]
fn a_reader_of_version_1_0_reads_what_is_written_now() {
    let (packets, bytes) = new_file();
    let expected: Vec<stream::Packet> = packets.iter().map(known_then).collect();
    for piece in [1, 100, bytes.len()] {
        let (mut reader, mut read) = (stream::Reader::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(event) = reader.next_event().unwrap() {
                match event {
                    stream::Event::Header(header) => assert_eq!(header.format.model, "example"),
                    stream::Event::Packet(packet) => read.push(packet),
                    other => panic!("{other:?}"),
                }
            }
        }
        reader.finish();
        assert_eq!(reader.next_event(), Ok(None), "nothing is skipped or cut off");
        assert_eq!(read, expected);
    }
}

#[test]
fn a_parser_of_version_1_0_takes_what_is_written_now_apart() {
    let (packets, bytes) = new_file();
    let (mut framer, mut at, mut read) = (Framer::default(), 0, Vec::new());
    while at < bytes.len() {
        match framer.next(&bytes[at..], at as u64, true).unwrap() {
            Step::Wait(bytes) => panic!("waits for {bytes} bytes at the end"),
            Step::Drop(bytes) => at += bytes,
            Step::Frame(frame) => {
                let data = &bytes[at + frame.packet_at..];
                read.push(stream::Packet::from_checked(data, &frame.packet).unwrap());
                at += frame.bytes;
            }
        }
        assert_eq!(framer.take_damage(at as u64), None);
    }
    assert_eq!(read, packets.iter().map(known_then).collect::<Vec<_>>());
    assert!(!framer.is_cut());
}

#[test]
fn a_file_of_version_1_0_is_read_as_it_was() {
    let mut then = stream::Reader::new();
    then.push(OLD_FILE);
    then.finish();
    let mut expected = Vec::new();
    while let Some(event) = then.next_event().unwrap() {
        if let stream::Event::Packet(packet) = event {
            expected.push(packet);
        }
    }
    assert_eq!(expected.len(), 6);
    let (events, ended) = read_now(OLD_FILE, now::OnLoss::Wait);
    assert_eq!(
        events.len(),
        8,
        "two stream headers, and nothing but packets: {events:?}"
    );
    let read = packets_now(&events);
    assert_eq!(read.iter().map(known_then).collect::<Vec<_>>(), expected);
    assert!(
        read.iter()
            .all(|packet| packet.position.is_none() && !packet.segment_end)
    );
    assert!(ended, "its last packet says so");
    let new = new_file().1;
    for (joined, holes) in [
        ([OLD_FILE, OLD_FILE], 0),
        ([OLD_FILE, &new], 0),
        ([&new, OLD_FILE], 0),
        // The writer of the first was stopped inside a stream header.
        ([&OLD_FILE[..600], OLD_FILE], 1),
    ] {
        let (events, ended) = read_now(&joined.concat(), now::OnLoss::Wait);
        let told = events.iter().filter(|event| matches!(event, now::Event::Hole(_)));
        assert_eq!((told.count(), ended), (holes, true));
    }
}

#[test]
fn damage_in_a_file_of_version_1_0_is_a_hole() {
    let mut bytes = OLD_FILE.to_vec();
    // Damages the payload of the second packet.
    let first = bytes.windows(4).position(|window| window == b"\x89VTP").unwrap();
    bytes[first + 2 * 52 - 1] ^= 1;
    for (on_loss, count) in [(now::OnLoss::Wait, 4), (now::OnLoss::Continue, 5)] {
        let (events, _) = read_now(&bytes, on_loss);
        let holes: Vec<&now::Event> = events
            .iter()
            .filter(|event| matches!(event, now::Event::Hole(_)))
            .collect();
        let hole = now::Hole {
            loss: now::Loss::Damage,
            latent_frames: None,
        };
        assert_eq!(holes, [&now::Event::Hole(hole)]);
        assert_eq!(packets_now(&events).len(), count);
    }
}
