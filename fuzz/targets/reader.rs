//! Any bytes, in pieces, through the byte stream's reader. What it reads can be written, and is read again as the same.

use std::sync::Arc;

use gstvidtok::stream::{Event, OnLoss, Packet, Reader, StreamHeader, Tokens};

use super::checksums;

/// The first byte is the size of the pieces, and decides whether checksums are repaired and what the reader does on
/// loss.
pub fn run(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if first % 2 == 1 {
        checksums::repair(&mut bytes);
    }
    let mut reader = Reader::on_loss(if first % 4 < 2 { OnLoss::Wait } else { OnLoss::Continue });
    let mut header = None;
    for piece in bytes.chunks(usize::from(*first).max(1)) {
        reader.push(piece);
        drain(&mut reader, &mut header);
    }
    reader.finish();
    drain(&mut reader, &mut header);
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
    let StreamHeader {
        format, stream_id, end, ..
    } = header;
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
