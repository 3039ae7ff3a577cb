//! The byte stream: the worked example of docs/stream.md, damage, impossible input, tokens.

use gstvidtok::format::{Coding, Fraction, Regularizer, TokenFormat, TokenType};
use gstvidtok::stream::{
    End, Event, Fault, OnLoss, Packet, Position, Reader, StreamError, StreamHeader, Tokens, Totals, Writer,
};
use proptest::prelude::*;

#[path = "stream/damage.rs"]
mod damage;
#[path = "stream/impossible.rs"]
mod impossible;
#[path = "stream/tokens.rs"]
mod tokens;

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
        pixels: None,
    }
}

fn kl_format(token_type: TokenType) -> TokenFormat {
    let regularizer = Regularizer::Kl { channels: 4 };
    TokenFormat {
        model: "other".into(),
        regularizer,
        token_type,
        colorimetry: Some("bt709".into()),
        pixels: Some("yuv=swscale:bt709:limited".into()),
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

/// Reads a stream that comes in pieces of `piece` bytes, packets behind holes included.
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

/// A packet as docs/stream.md has it, with the right checksums for any fields.
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
