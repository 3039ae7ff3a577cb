//! Any bytes, in pieces, through the byte stream's reader. What comes out must be writable and come out again.
//!
//! `cargo +nightly fuzz run reader` in the repository's root.

#![no_main]

use std::sync::Arc;

use gstvidtok::stream::{Event, MAGIC, OnLoss, Packet, Reader, SYNC, StreamHeader, Tokens};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The first byte is the size of the pieces, and whether checksums are made right.
    let Some((first, bytes)) = input.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if first % 2 == 1 {
        repair(&mut bytes);
    }
    let mut reader = Reader::on_loss(if first % 4 < 2 { OnLoss::Wait } else { OnLoss::Continue });
    let mut header = None;
    for piece in bytes.chunks(usize::from(*first).max(1)) {
        reader.push(piece);
        drain(&mut reader, &mut header);
    }
    reader.finish();
    drain(&mut reader, &mut header);
});

/// Gives headers and packets that follow each other from the start the right checksums, so that what is behind the
/// check is reached.
fn repair(bytes: &mut [u8]) {
    let (mut rest, mut stream) = (bytes, [0; 4]);
    loop {
        let length = if rest.starts_with(&MAGIC) {
            repair_header(rest)
        } else {
            repair_packet(rest, stream)
        };
        let Some(length) = length else { return };
        if rest.starts_with(&MAGIC) {
            stream.copy_from_slice(&rest[length - 4..length]);
        }
        rest = &mut rest[length..];
    }
}

/// Returns the header's length, if it is all there.
fn repair_header(bytes: &mut [u8]) -> Option<usize> {
    let crc_at = 12 + number(bytes, 8, 4)?;
    let crc = crc32fast::hash(bytes.get(..crc_at)?).to_le_bytes();
    bytes.get_mut(crc_at..crc_at + 4)?.copy_from_slice(&crc);
    Some(crc_at + 4)
}

/// Returns the packet's length, if it is all there.
fn repair_packet(bytes: &mut [u8], stream: [u8; 4]) -> Option<usize> {
    let header = number(bytes, 4, 2).filter(|header| bytes.starts_with(&SYNC) && *header >= 48)?;
    let offsets = if bytes[6] & 4 == 0 {
        0
    } else {
        number(bytes, 16, 4)?.checked_sub(1)? * 8
    };
    let length = header + offsets + number(bytes, 20, 4)?;
    let body = crc32fast::hash(bytes.get(header..length)?).to_le_bytes();
    bytes[8..12].copy_from_slice(&stream);
    bytes[40..44].copy_from_slice(&body);
    bytes[44..48].fill(0);
    let crc = crc32fast::hash(&bytes[..header]).to_le_bytes();
    bytes[44..48].copy_from_slice(&crc);
    Some(length)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let digits = bytes.get(at..at + length)?.iter().rev();
    Some(digits.fold(0, |number, digit| number << 8 | usize::from(*digit)))
}

fn drain(reader: &mut Reader, header: &mut Option<Arc<StreamHeader>>) {
    while let Ok(Some(event)) = reader.next_event() {
        match event {
            Event::Header(read) => {
                check_header(&read);
                *header = Some(read);
            }
            Event::End(mark) => check_header(&mark),
            Event::Packet(packet) => check_packet(&packet, header.as_ref().expect("a header comes before packets")),
            Event::Hole(hole) => assert!(!hole.to_string().is_empty()),
            Event::Skipped { bytes } | Event::CutTail { bytes } => assert!(bytes > 0),
        }
    }
}

fn check_header(header: &StreamHeader) {
    let StreamHeader { format, stream_id, end, .. } = header;
    let bytes = StreamHeader::encode(format, stream_id.as_deref(), end.as_ref());
    let bytes = bytes.expect("a header that was read can be written");
    let (again, _) = StreamHeader::decode(&bytes).expect("a header that was written can be read");
    assert_eq!((&again.format, &again.stream_id, &again.end), (format, stream_id, end));
}

fn check_packet(packet: &Packet, header: &StreamHeader) {
    let bytes = packet.encode(&header.format, header.checksum, packet.position);
    let bytes = bytes.expect("a packet that was read can be written");
    let (again, _) = Packet::decode(&bytes, &header.format).expect("a packet that was written can be read");
    assert_eq!(again, *packet);
    let tokens = Tokens::from_payload(&packet.payload, &header.format, packet.latent_frames);
    if let Ok(tokens) = tokens {
        let raw = tokens.to_raw(&header.format).expect("checked tokens");
        assert_eq!(Tokens::from_raw(&raw, &header.format), Ok(tokens));
    }
}
