//! The interface of codings, by way of one that has a memory and payloads of any length.

use super::*;
use crate::stream::{Event, Fault, Packet, Reader, StreamHeader, Writer};

/// Two cells of 256 codes.
fn format() -> TokenFormat {
    TokenFormat {
        coding: Coding::Delta,
        ..TokenFormat::toy(&[16, 16], 2, 1)
    }
}

/// Tokens of two segments, packet by packet, and whether a packet starts one. Neighbours are alike, but for a cut in
/// the middle of the second packet.
fn packets() -> Vec<(bool, Tokens)> {
    [
        (true, vec![200, 10]),
        (false, vec![201, 9, 5, 250]),
        (false, vec![5, 251]),
        (true, vec![255, 0, 255, 0]),
        (false, vec![250, 3]),
    ]
    .map(|(start, indices)| (start, Tokens::Indices(indices)))
    .into()
}

fn stream() -> Vec<u8> {
    let mut writer = Writer::new(format(), "delta").unwrap();
    let mut coder = Coder::new(format());
    let mut bytes = Vec::new();
    for (segment_start, tokens) in packets() {
        if segment_start {
            coder.start_segment();
        }
        let packet = Packet {
            segment_start,
            latent_frames: tokens.len() as u32 / 2,
            real_frames: 1,
            payload: coder.encode(&tokens).unwrap(),
            ..Packet::default()
        };
        bytes.extend(writer.write(&packet).unwrap());
    }
    bytes.extend(writer.end().unwrap());
    bytes
}

fn read() -> Vec<Packet> {
    let mut reader = Reader::new();
    reader.push(&stream());
    reader.finish();
    let mut packets = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Header(header) => assert_eq!(header.format, format()),
            Event::Packet(packet) => packets.push(packet),
            Event::End(_) => (),
            other => panic!("{other:?}"),
        }
    }
    packets
}

#[test]
fn a_coder_remembers_up_to_the_segments_start() {
    let (packets, expected) = (read(), packets());
    let lengths = packets.iter().map(|packet| packet.payload.len());
    // At 7 bits per byte, and twice the difference's size: 400 and 20; 2, 1, 391 and 482; 0 and 2; 510, 0 and twice 0;
    // 9, 6.
    assert_eq!(lengths.collect::<Vec<_>>(), [3, 6, 2, 5, 2]);
    let mut coder = Coder::new(format());
    for (packet, (segment_start, tokens)) in packets.iter().zip(&expected) {
        if *segment_start {
            coder.start_segment();
        }
        assert_eq!(&coder.decode(&packet.payload, packet.latent_frames).unwrap(), tokens);
    }
    // The third packet is 0 and 1 more than what came before it.
    let alone = Coder::new(format()).decode(&packets[2].payload, 1);
    assert_eq!(alone, Ok(Tokens::Indices(vec![0, 1])));
}

#[test]
fn parts_of_a_payload_are_what_the_whole_is() {
    for coding in [Coding::Packed, Coding::Delta] {
        let format = TokenFormat { coding, ..format() };
        let (mut encoder, mut decoder) = (Coder::new(format.clone()), Coder::new(format));
        for (_, tokens) in packets() {
            let Tokens::Indices(indices) = &tokens else {
                panic!("not indices")
            };
            let payload = encoder.encode(&tokens).unwrap();
            for (i, latent_frame) in indices.chunks(2).enumerate() {
                let part = decoder.decode_part(&payload, i as u32, 1);
                assert_eq!(part, Ok(Tokens::Indices(latent_frame.to_vec())), "{coding:?}");
            }
        }
    }
}

#[test]
fn a_payload_is_as_long_as_its_coding_allows() {
    let packed = TokenFormat {
        coding: Coding::Packed,
        ..format()
    };
    for (format, allowed, text) in [
        (packed, [false, true, false, false], "2"),
        (format(), [true, true, true, false], "at most 8"),
    ] {
        let length = format.payload_length(1);
        assert_eq!([1, 2, 8, 9].map(|bytes| length.allows(bytes)), allowed);
        assert_eq!(length.to_string(), text);
        for (bytes, allowed) in [1, 2, 8, 9].into_iter().zip(allowed) {
            let packet = Packet {
                segment_start: true,
                latent_frames: 1,
                real_frames: 1,
                payload: vec![0; bytes],
                ..Packet::default()
            };
            let written = packet.encode(&format, 0, None);
            assert_eq!(written.is_ok(), allowed, "{bytes} bytes: {written:?}");
            assert!(allowed || written.unwrap_err().to_string().contains(&format!("take {text}")));
        }
    }
}

#[test]
fn an_unknown_coding_is_named_with_the_known_ones() {
    let bytes = StreamHeader::encode(&format(), None, None).unwrap();
    let text = String::from_utf8(bytes[12..bytes.len() - 4].to_vec()).unwrap();
    let json = text.replace("\"delta\"", "\"range\"");
    let mut bytes = bytes[..8].to_vec();
    bytes.extend((json.len() as u32).to_le_bytes());
    bytes.extend(json.as_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    match StreamHeader::decode(&bytes) {
        Err(Fault::Refused(StreamError::Header(text))) => {
            assert_eq!(text, "unknown coding \"range\", known is \"packed\" and \"delta\"");
        }
        other => panic!("{other:?}"),
    }
}
