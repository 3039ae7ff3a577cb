//! The byte stream: the worked example of docs/stream.md, damage, hostile input.

use gstvidtok::format::{Coding, Fraction, Regularizer, TokenFormat, TokenType};
use gstvidtok::stream::{
    End, Event, Fault, OnLoss, Packet, Position, Reader, StreamError, StreamHeader, Tokens, Totals, Writer,
};
use proptest::prelude::*;

const DOCUMENT: &str = include_str!("../docs/stream.md");

/// The bytes of the code block ```` ```hex <name> ```` of docs/stream.md.
fn documented(name: &str) -> Vec<u8> {
    let start = format!("```hex {name}\n");
    let block = DOCUMENT
        .split_once(&start)
        .expect("the block exists")
        .1
        .split_once("```")
        .unwrap()
        .0;
    let bytes = block.lines().flat_map(|line| line.split_whitespace().skip(1));
    bytes
        .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"))
        .collect()
}

/// The token format of the example.
fn example_format() -> TokenFormat {
    TokenFormat {
        model: "example".into(),
        digest: "0123456789abcdef".repeat(4),
        regularizer: Regularizer::Fsq { levels: vec![8; 5] },
        token_type: TokenType::Uint16,
        coding: Coding::default(),
        grid_width: 2,
        grid_height: 1,
        time_factor: 4,
        space_factor: 8,
        causal: true,
        width: 16,
        height: 8,
        framerate: Fraction::new(30, 1),
        pixel_aspect_ratio: Fraction::new(1, 1),
        colorimetry: None,
    }
}

fn kl_format(token_type: TokenType) -> TokenFormat {
    let regularizer = Regularizer::Kl { channels: 4 };
    TokenFormat {
        model: "other".into(),
        regularizer,
        token_type,
        colorimetry: Some("bt709".into()),
        ..example_format()
    }
}

/// The stream's id in the example.
const STREAM_ID: &str = "00112233445566778899aabbccddeeff";

fn position(segment: u32, latent_frame: u64) -> Option<Position> {
    let segment = Some(segment);
    Some(Position { latent_frame, segment })
}

/// Six packets in two segments, the last with frame offsets, of larger grids than the example's. No end mark.
fn stream() -> (TokenFormat, Vec<Packet>, Vec<u8>) {
    let format = TokenFormat {
        width: 64,
        grid_width: 8,
        ..example_format()
    };
    let packets: Vec<Packet> = (0..6)
        .map(|i| {
            let tokens = Tokens::Indices((0..8).map(|v| v * 4000 + i).collect());
            let segment_start = i % 3 == 0;
            Packet {
                segment_start,
                end_of_stream: i == 5,
                segment_end: i == 2,
                position: position(i as u32 / 3, i as u64 % 3),
                latent_frames: 1,
                real_frames: if segment_start { 1 } else { 4 },
                pts: Some(i as u64 * 1000),
                duration: Some(1000),
                offsets: (i == 5).then(|| vec![200, 600, 700]),
                payload: tokens.to_payload(&format).unwrap(),
            }
        })
        .collect();
    let mut writer = Writer::new(format.clone(), STREAM_ID).unwrap();
    let bytes = packets
        .iter()
        .flat_map(|packet| writer.write(packet).unwrap())
        .collect();
    (format, packets, bytes)
}

/// Reads all of a stream that comes in pieces of `piece` bytes, also what is behind a hole.
fn read(bytes: &[u8], piece: usize) -> (Vec<Event>, Option<StreamError>) {
    let (mut reader, mut events) = (Reader::on_loss(OnLoss::Continue), Vec::new());
    let mut take = |reader: &mut Reader| loop {
        match reader.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    };
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        if let Some(error) = take(&mut reader) {
            return (events, Some(error));
        }
    }
    reader.finish();
    let error = take(&mut reader);
    (events, error)
}

fn packets_of(events: &[Event]) -> Vec<Packet> {
    let packets = events.iter().filter_map(|event| match event {
        Event::Packet(packet) => Some(packet.clone()),
        _ => None,
    });
    packets.collect()
}

fn skipped(events: &[Event]) -> u64 {
    let bytes = events.iter().map(|event| match event {
        Event::Skipped { bytes } => *bytes,
        _ => 0,
    });
    bytes.sum()
}

/// A packet header as docs/stream.md has it, with the right checksums whatever the fields say.
#[derive(Clone)]
struct RawPacket {
    flags: u16,
    stream: u32,
    latent_frames: u32,
    real_frames: u32,
    pts: u64,
    extension: Vec<u8>,
    offsets: Vec<u64>,
    payload: Vec<u8>,
}

impl RawPacket {
    /// The first packet of the example.
    fn example() -> Self {
        let (payload, stream) = (vec![1, 0x80, 0xff, 0x3f], crc_of_header(&documented("header")));
        let (extension, offsets) = (Vec::new(), Vec::new());
        Self {
            flags: 1,
            stream,
            latent_frames: 1,
            real_frames: 1,
            pts: 0,
            extension,
            offsets,
            payload,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut header = b"\x89VTP".to_vec();
        header.extend((48 + self.extension.len() as u16).to_le_bytes());
        header.extend(self.flags.to_le_bytes());
        for number in [
            self.stream,
            self.latent_frames,
            self.real_frames,
            self.payload.len() as u32,
        ] {
            header.extend(number.to_le_bytes());
        }
        header.extend(self.pts.to_le_bytes());
        header.extend(33_333_333u64.to_le_bytes());
        let mut body: Vec<u8> = self.offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        body.extend(&self.payload);
        header.extend(crc32fast::hash(&body).to_le_bytes());
        header.extend([0; 4]);
        header.extend(&self.extension);
        let crc = crc32fast::hash(&header);
        header[44..48].copy_from_slice(&crc.to_le_bytes());
        [header, body].concat()
    }

    fn read(&self) -> Result<Packet, Fault> {
        Packet::decode(&self.bytes(), &example_format()).map(|(packet, _)| packet)
    }
}

/// A stream header with the right checksum around any JSON.
fn raw_header(version: u8, json: &str) -> Vec<u8> {
    let mut bytes = b"\x89VIDTOK".to_vec();
    bytes.push(version);
    bytes.extend((json.len() as u32).to_le_bytes());
    bytes.extend(json.as_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn crc_of_header(header: &[u8]) -> u32 {
    u32::from_le_bytes(header[header.len() - 4..].try_into().unwrap())
}

/// The JSON of the example's header.
fn example_json() -> String {
    let header = documented("header");
    String::from_utf8(header[12..header.len() - 4].to_vec()).unwrap()
}

#[test]
fn the_documented_example_is_read_and_written() {
    let (header, format) = (documented("header"), example_format());
    let first = Packet {
        segment_start: true,
        latent_frames: 1,
        real_frames: 1,
        pts: Some(0),
        duration: Some(33_333_333),
        position: position(0, 0),
        payload: Tokens::Indices(vec![1, 32767]).to_payload(&format).unwrap(),
        ..Packet::default()
    };
    let second = Packet {
        end_of_stream: true,
        segment_end: true,
        position: position(0, 1),
        latent_frames: 1,
        real_frames: 3,
        pts: Some(33_333_333),
        duration: Some(100_000_000),
        offsets: Some(vec![34_000_000, 66_666_667]),
        payload: Tokens::Indices(vec![2, 12345]).to_payload(&format).unwrap(),
        ..Packet::default()
    };
    let end_mark = documented("end mark");
    let parts = [
        header.clone(),
        documented("first packet"),
        documented("second packet"),
        end_mark.clone(),
    ];
    let bytes = parts.concat();

    let (events, error) = read(&bytes, usize::MAX);
    assert_eq!(error, None);
    let header_read = StreamHeader {
        format: format.clone(),
        stream_id: Some(STREAM_ID.into()),
        end: None,
        checksum: crc_of_header(&header),
    };
    let totals = Totals {
        latent_frames: 2,
        frames: 4,
    };
    let end = End {
        segment_number: Some(0),
        segment: totals,
        stream: Some(totals),
    };
    let mark_read = StreamHeader {
        end: Some(end),
        checksum: crc_of_header(&end_mark),
        ..header_read.clone()
    };
    let expected = [
        Event::Header(header_read.into()),
        Event::Packet(first.clone()),
        Event::Packet(second.clone()),
        Event::End(mark_read.into()),
    ];
    assert_eq!(events, expected);

    let mut writer = Writer::new(format, STREAM_ID).unwrap();
    let written = [writer.write(&first), writer.write(&second), writer.end()];
    assert_eq!(written.map(Result::unwrap).concat(), bytes);
}

#[test]
fn pieces_of_any_size_give_the_same_events() {
    let (_, packets, bytes) = stream();
    let whole = read(&bytes, usize::MAX);
    assert_eq!(packets_of(&whole.0), packets);
    assert_eq!(whole.0.len(), packets.len() + 2, "and two stream headers");
    for piece in [1, 2, 3, 7, 48, 100] {
        assert_eq!(read(&bytes, piece), whole, "pieces of {piece} bytes");
    }
}

#[test]
fn a_cut_tail_is_the_end_at_every_byte() {
    let (_, packets, bytes) = stream();
    for length in 0..bytes.len() {
        let (events, error) = read(&bytes[..length], usize::MAX);
        assert_eq!(error, None, "cut at {length}");
        let read = packets_of(&events);
        assert_eq!(read, packets[..read.len()], "cut at {length}");
        assert_eq!(skipped(&events), 0, "cut at {length}");
    }
    let (events, _) = read(&bytes[..bytes.len() - 1], usize::MAX);
    let last_packet = 60 + 3 * 8 + 15;
    assert_eq!(events.last(), Some(&Event::CutTail { bytes: last_packet - 1 }));
}

#[test]
fn no_flipped_byte_goes_unnoticed() {
    let (_, packets, bytes) = stream();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let (events, error) = read(&damaged, usize::MAX);
            let read = packets_of(&events);
            assert!(
                read.iter().all(|packet| packets.contains(packet)),
                "wrong packet after a flip at {at}"
            );
            let noticed = skipped(&events) > 0 || matches!(events.last(), Some(Event::CutTail { .. }));
            assert!(
                noticed || matches!(error, Some(StreamError::NewerVersion(_))),
                "nothing noticed of {at}"
            );
            if error.is_none() {
                // A damaged stream header costs its segment of three only while no equal one came before.
                assert!(read.len() >= 3, "{} packets after a flip at {at}", read.len());
            }
        }
    }
}

#[test]
fn garbage_between_packets_is_skipped_and_counted() {
    let (format, packets, _) = stream();
    let lure = [
        b"\x89VTP\x30\0".to_vec(),
        documented("header")[..200].to_vec(),
        vec![0x89; 300],
    ]
    .concat();
    for garbage in [vec![0; 1000], lure] {
        let mut writer = Writer::new(format.clone(), STREAM_ID).unwrap();
        let parts = packets
            .iter()
            .map(|packet| [garbage.clone(), writer.write(packet).unwrap()].concat());
        let bytes: Vec<u8> = parts.flatten().collect();
        for piece in [13, usize::MAX] {
            let (events, error) = read(&bytes, piece);
            assert_eq!(error, None);
            assert_eq!(packets_of(&events), packets);
            assert_eq!(skipped(&events), (garbage.len() * packets.len()) as u64);
        }
    }
}

#[test]
fn lost_bytes_cost_their_packet_only() {
    let (_, packets, bytes) = stream();
    // From the last packet but one: its header then claims bytes of the last packet.
    let at = bytes.len() - (60 + 24 + 15) - 10;
    let (events, error) = read(&[&bytes[..at], &bytes[at + 5..]].concat(), usize::MAX);
    assert_eq!(error, None);
    assert_eq!(packets_of(&events), [&packets[..4], &packets[5..]].concat());
    assert_eq!(skipped(&events), 60 + 15 - 5);
}

#[test]
fn packets_of_a_lost_stream_header_are_skipped() {
    let other = TokenFormat {
        model: "another one of the same size".into(),
        ..stream().0
    };
    let (_, packets, bytes) = stream();
    let header = |format: &TokenFormat| StreamHeader::encode(format, Some(STREAM_ID), None).unwrap();
    let (events, error) = read(
        &[&header(&other)[..], &bytes[header(&stream().0).len()..]].concat(),
        100,
    );
    assert_eq!(error, None);
    assert_eq!(packets_of(&events), packets[3..]);
    assert!(skipped(&events) > 0);
}

#[test]
fn a_newer_version_is_named() {
    let newer = StreamError::NewerVersion(2);
    assert!(newer.to_string().contains("version 2"));
    // Whatever follows at the start of a stream; and with a valid checksum later on.
    assert_eq!(read(b"\x89VIDTOK\x02 of unknown layout", 5).1, Some(newer.clone()));
    let (_, packets, bytes) = stream();
    let (events, error) = read(&[&bytes[..], &raw_header(2, "{}")].concat(), usize::MAX);
    assert_eq!((packets_of(&events), error), (packets, Some(newer)));
}

#[test]
fn unknown_flags_and_fields_are_ignored_or_refused_as_they_ask() {
    let plain = RawPacket::example().read().unwrap();
    for flag in 4..8 {
        let packet = RawPacket {
            flags: 1 | 1 << flag,
            ..RawPacket::example()
        };
        assert_eq!(packet.read(), Ok(plain.clone()), "flag {flag}");
    }
    for flag in 8..16 {
        let packet = RawPacket {
            flags: 1 | 1 << flag,
            ..RawPacket::example()
        };
        let error = StreamError::UnknownFlags(1 << flag);
        assert_eq!(packet.read(), Err(Fault::Refused(error.clone())), "flag {flag}");
        assert_eq!(read(&[documented("header"), packet.bytes()].concat(), 9).1, Some(error));
    }
    for bytes in [1, 7] {
        let packet = RawPacket {
            extension: vec![7; bytes],
            ..RawPacket::example()
        };
        assert_eq!(packet.read(), Ok(plain.clone()), "{bytes} more bytes of header");
    }
    for bytes in [13, 1024 - 48] {
        let extension = [vec![0; 12], vec![7; bytes - 12]].concat();
        let packet = RawPacket {
            extension,
            ..RawPacket::example()
        };
        let numbered = Packet {
            position: position(0, 0),
            ..plain.clone()
        };
        assert_eq!(packet.read(), Ok(numbered), "{bytes} more bytes of header");
    }
    assert!(
        RawPacket {
            extension: vec![7; 1025 - 48],
            ..RawPacket::example()
        }
        .read()
        .is_err()
    );
}

#[test]
fn impossible_packets_are_refused() {
    let example = RawPacket::example;
    for (packet, reason) in [
        (
            RawPacket {
                latent_frames: 0,
                ..example()
            },
            "0 latent frames",
        ),
        (
            RawPacket {
                latent_frames: 4097,
                ..example()
            },
            "4097 latent frames",
        ),
        (
            RawPacket {
                latent_frames: 2,
                ..example()
            },
            "2 latent frames take 8",
        ),
        (
            RawPacket {
                payload: vec![0; 5],
                ..example()
            },
            "5 bytes",
        ),
        (
            RawPacket {
                real_frames: 0,
                ..example()
            },
            "0 video frames",
        ),
        (
            RawPacket {
                real_frames: 2,
                ..example()
            },
            "2 video frames",
        ),
        (
            RawPacket {
                flags: 0,
                real_frames: 5,
                ..example()
            },
            "5 video frames",
        ),
        (
            RawPacket {
                real_frames: u32::MAX,
                flags: 4,
                ..example()
            },
            "4294967295 video frames",
        ),
        (
            RawPacket {
                pts: u64::MAX - 1,
                ..example()
            },
            "PTS",
        ),
        (
            RawPacket {
                pts: u64::MAX,
                flags: 4,
                real_frames: 2,
                offsets: vec![1],
                ..example()
            },
            "without a PTS",
        ),
        (
            RawPacket {
                flags: 4,
                real_frames: 2,
                offsets: vec![u64::MAX],
                ..example()
            },
            "offset",
        ),
    ] {
        match packet.read() {
            Err(Fault::Refused(error @ StreamError::Packet(_))) => {
                assert!(error.to_string().contains(reason), "{error}: {reason}");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
    let without_times = RawPacket {
        pts: u64::MAX,
        ..example()
    };
    assert_eq!(without_times.read().unwrap().pts, None);
}

#[test]
fn a_packet_of_few_bits_an_index_does_not_unpack_to_gigabytes() {
    // Two codes: 2²² cells take half a megabyte, and 16 MiB as indices.
    let format = TokenFormat {
        regularizer: Regularizer::Fsq { levels: vec![2] },
        space_factor: 1,
        width: 2048,
        height: 2048,
        grid_width: 2048,
        grid_height: 2048,
        ..example_format()
    };
    let packet = |latent_frames: u32| Packet {
        segment_start: true,
        latent_frames,
        real_frames: 1,
        payload: vec![0; format.payload_length(latent_frames).max() as usize],
        ..Packet::default()
    };
    assert!(packet(4).encode(&format, 0, None).is_ok());
    let error = packet(5).encode(&format, 0, None).unwrap_err().to_string();
    assert!(error.contains("16777216 indices"), "{error}");
    let raw = RawPacket {
        latent_frames: 5,
        payload: packet(5).payload,
        ..RawPacket::example()
    };
    match Packet::decode(&raw.bytes(), &format) {
        Err(Fault::Refused(StreamError::Packet(reason))) => assert!(reason.contains("16777216"), "{reason}"),
        other => panic!("{:?}", other.map(|(_, bytes)| bytes)),
    }
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let mut writer = Writer::new(example_format(), STREAM_ID).unwrap();
    let start = Packet {
        segment_start: true,
        latent_frames: 1,
        real_frames: 1,
        payload: vec![0; 4],
        ..Packet::default()
    };
    let good = Packet {
        latent_frames: 1,
        real_frames: 4,
        pts: Some(0),
        payload: vec![0; 4],
        ..Packet::default()
    };
    assert!(matches!(writer.write(&good), Err(StreamError::Packet(_))), "the first");
    assert!(writer.write(&start).is_ok() && writer.write(&good).is_ok());
    for bad in [
        Packet {
            latent_frames: 0,
            ..good.clone()
        },
        Packet {
            latent_frames: 2,
            ..good.clone()
        },
        Packet {
            real_frames: 5,
            ..good.clone()
        },
        Packet {
            segment_start: true,
            ..good.clone()
        },
        Packet {
            offsets: Some(vec![1, 2]),
            ..good.clone()
        },
        Packet {
            offsets: Some(vec![1, 2, u64::MAX]),
            ..good.clone()
        },
        Packet {
            offsets: Some(vec![1, 2, 3]),
            pts: None,
            ..good.clone()
        },
        Packet {
            pts: Some(u64::MAX - 1),
            ..good.clone()
        },
    ] {
        assert!(matches!(writer.write(&bad), Err(StreamError::Packet(_))), "{bad:?}");
    }
}

#[test]
fn a_segments_end_is_written_in_front_of_the_next_where_its_last_packet_does_not_say_it() {
    let (format, packets, _) = stream();
    let write = |by_hand: bool| {
        let mut writer = Writer::new(format.clone(), STREAM_ID).unwrap();
        assert_eq!(writer.end().unwrap(), [0; 0], "nothing was written");
        let mut bytes = Vec::new();
        for packet in &packets {
            if by_hand && packet.segment_start {
                bytes.extend(writer.end_segment().unwrap().unwrap_or_default());
            }
            let packet = Packet {
                segment_end: false,
                ..packet.clone()
            };
            bytes.extend(writer.write(&packet).unwrap());
        }
        bytes.extend(writer.end().unwrap());
        bytes
    };
    let bytes = write(false);
    assert!(bytes == write(true), "the mark comes once");
    let events = read(&bytes, usize::MAX).0;
    let count = |what: fn(&Event) -> bool| events.iter().filter(|event| what(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Hole(_))), 0, "{events:?}");
    assert_eq!(count(|event| matches!(event, Event::End(_))), 2);
}

#[test]
fn stream_headers_are_read_leniently_where_it_is_safe() {
    let read = |json: &str| StreamHeader::decode(&raw_header(1, json)).map(|(header, _)| header.format);
    let json = example_json();
    let with_more = json.replacen('{', r#"{"new-in-1.7":{"a":[1,2]},"#, 1);
    assert_eq!(read(&with_more), Ok(example_format()));
    assert_eq!(
        read(&json.replace(r#""token-type":"uint16","#, "")),
        Ok(example_format())
    );
    assert_eq!(
        read(&json.replace(r#""codebook-size":32768,"#, "")),
        Ok(example_format())
    );
}

#[test]
fn impossible_stream_headers_are_refused_with_the_reason() {
    let json = example_json();
    let kl = r#""regularizer":"kl","channels":4"#;
    for (from, to, reason) in [
        (r#""coding":"packed""#, r#""coding":"huffman""#, "\"huffman\""),
        (r#""regularizer":"fsq""#, r#""regularizer":"vq""#, "\"vq\""),
        (r#""levels":[8,8,8,8,8]"#, r#""channels":4"#, "levels"),
        (r#""codebook-size":32768"#, r#""codebook-size":32767"#, "codebook-size"),
        ("[8,8,8,8,8]", "[4294967295,4294967295]", "levels"),
        ("[8,8,8,8,8]", "[]", "levels"),
        (r#""causal":true,"#, "", "causal"),
        (r#""grid-width":2"#, r#""grid-width":3"#, "grid"),
        (r#""width":16"#, r#""width":-16"#, "-16"),
        (r#""framerate":"30/1""#, r#""framerate":"30/0""#, "30/0"),
        ("example", r"two\nlines", "name"),
        (r#""time-factor":4"#, r#""time-factor":1000"#, "1000"),
        (r#""token-type":"uint16""#, r#""token-type":"float32""#, "float32"),
        (
            r#""regularizer":"fsq","levels":[8,8,8,8,8],"codebook-size":32768,"token-type":"uint16""#,
            kl,
            "token-type",
        ),
        ("{", r#"{"new":1,"new":1,"#, "twice"),
        ("}", "", "EOF"),
    ] {
        assert!(json.contains(from));
        match StreamHeader::decode(&raw_header(1, &json.replace(from, to))) {
            Err(Fault::Refused(error @ StreamError::Header(_))) => {
                assert!(error.to_string().contains(reason), "{error}: {reason}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
}

#[test]
fn a_length_out_of_bounds_is_not_waited_for() {
    let mut header = documented("header");
    header[8..12].copy_from_slice(&65_537u32.to_le_bytes());
    assert_eq!(StreamHeader::decode(&header), Err(Fault::Damaged { checked: 0 }));
    let mut packet = documented("first packet");
    packet[4..6].copy_from_slice(&1025u16.to_le_bytes());
    assert_eq!(
        Packet::decode(&packet, &example_format()),
        Err(Fault::Damaged { checked: 0 })
    );
    // A damaged payload length fails the header's checksum, with no more than the header there.
    let mut packet = documented("first packet");
    packet[20..24].copy_from_slice(&0x0100_0000u32.to_le_bytes());
    assert_eq!(
        Packet::decode(&packet[..60], &example_format()),
        Err(Fault::Damaged { checked: 60 })
    );
}

/// Every header claims the rest of the stream as its body: reading must stay linear.
#[test]
fn a_hostile_stream_does_not_cost_quadratic_time() {
    let format = TokenFormat {
        width: 32768,
        height: 8192,
        grid_width: 4096,
        grid_height: 1024,
        ..example_format()
    };
    let header = StreamHeader::encode(&format, None, None).unwrap();
    let payload_bytes = format.payload_length(1).max();
    let mut packet = RawPacket {
        stream: crc_of_header(&header),
        payload: vec![1],
        ..RawPacket::example()
    }
    .bytes();
    packet.truncate(48);
    packet[20..24].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    packet[44..48].fill(0);
    let crc = crc32fast::hash(&packet);
    packet[44..48].copy_from_slice(&crc.to_le_bytes());
    let bytes = [&header[..], &packet.repeat(3 * payload_bytes as usize / 48)].concat();

    let started = std::time::Instant::now();
    let (events, error) = read(&bytes, 1 << 20);
    assert_eq!((events.len(), error), (2, None), "a stream header and the rest");
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn tokens_outside_their_format_are_refused() {
    // 5 codes take 3 bits, which can say 5, 6 and 7 too.
    let format = TokenFormat {
        regularizer: Regularizer::Fsq { levels: vec![5] },
        ..example_format()
    };
    assert_eq!(
        Tokens::from_payload(&[0b100_001], &format, 1),
        Ok(Tokens::Indices(vec![1, 4]))
    );
    for payload in [0b101_000, 0b000_111] {
        assert!(
            Tokens::from_payload(&[payload], &format, 1)
                .unwrap_err()
                .to_string()
                .contains("0 to 4")
        );
    }
    assert!(Tokens::from_raw(&[4, 0, 5, 0], &format).is_err());
    assert!(Tokens::from_raw(&[4, 0, 4], &format).is_err());
    assert!(Tokens::from_raw(&[], &format).is_err());
    for indices in [vec![0, 5], vec![-1, 0], vec![0], vec![]] {
        assert!(Tokens::Indices(indices).to_payload(&format).is_err());
    }
    assert!(Tokens::Floats(vec![0.0; 2]).to_payload(&format).is_err());

    let format = kl_format(TokenType::Float32);
    assert!(Tokens::Indices(vec![0; 8]).to_payload(&format).is_err());
    for value in [f32::NAN, f32::INFINITY] {
        assert!(Tokens::Floats(vec![value; 8]).to_payload(&format).is_err());
        assert!(Tokens::from_payload(&value.to_le_bytes().repeat(8), &format, 1).is_err());
    }
}

#[test]
fn floats_keep_their_value_or_the_nearest_of_16_bits() {
    let values = vec![0.0, -0.5, 1.0 / 3.0, 1e-3, 1e6, -7.25, 0.1, 2.0];
    let tokens = Tokens::Floats(values.clone());
    for (token_type, bytes) in [(TokenType::Float32, 32), (TokenType::Float16, 16)] {
        let format = kl_format(token_type);
        let payload = tokens.to_payload(&format).unwrap();
        assert_eq!((payload.len(), &payload), (bytes, &tokens.to_raw(&format).unwrap()));
        let Tokens::Floats(read) = Tokens::from_payload(&payload, &format, 1).unwrap() else {
            panic!("not floats")
        };
        for (read, value) in read.iter().zip(&values) {
            // float16 has 11 significant bits and ends at 65,504.
            let tolerance = if token_type == TokenType::Float32 {
                0.0
            } else {
                value.abs() / 2048.0
            };
            assert!(
                (read - value.clamp(-65504.0, 65504.0)).abs() <= tolerance || *value == *read,
                "{value}: {read}"
            );
        }
    }
}

proptest! {
    #[test]
    fn indices_survive_payload_and_raw_buffer(
        levels in proptest::collection::vec(2u32..9, 1..7),
        latent_frames in 1u32..5,
        seed in any::<u32>(),
    ) {
        let regularizer = Regularizer::Fsq { levels };
        let size = regularizer.codebook_size().unwrap();
        let token_type = TokenType::default_for(&regularizer);
        let format = TokenFormat { regularizer, token_type, width: 21, grid_width: 3, ..example_format() };
        let mixed = |i: u32| seed.wrapping_add(i).wrapping_mul(2_654_435_761) % size;
        let tokens = Tokens::Indices((0..3 * latent_frames).map(|i| mixed(i) as i32).collect());
        let payload = tokens.to_payload(&format).unwrap();
        prop_assert_eq!(&Tokens::from_payload(&payload, &format, latent_frames).unwrap(), &tokens);
        let raw = tokens.to_raw(&format).unwrap();
        prop_assert_eq!(raw.len(), format.raw_latent_frame_bytes() * latent_frames as usize);
        prop_assert_eq!(&Tokens::from_raw(&raw, &format).unwrap(), &tokens);
    }

    #[test]
    fn no_bytes_make_the_reader_fail_badly(
        noise in proptest::collection::vec(prop_oneof![Just(0x89u8), any::<u8>()], 0..400),
        cut in any::<prop::sample::Index>(),
    ) {
        let (_, packets, bytes) = stream();
        let (events, _) = read(&noise, 17);
        prop_assert!(packets_of(&events).is_empty());
        // Not into the very first magic, behind which any version would be believed.
        let cut = 8 + cut.index(bytes.len() - 8);
        let (events, error) = read(&[&bytes[..cut], &noise, &bytes[cut..]].concat(), 17);
        prop_assert!(error.is_none());
        prop_assert!(packets_of(&events).len() >= packets.len() - 3);
    }
}
