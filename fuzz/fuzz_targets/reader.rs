//! Any bytes, in pieces, through the byte stream's reader. What comes out must be writable and come out again.
//!
//! `cargo +nightly fuzz run reader` in the repository's root.

#![no_main]

use gstvidtok::stream::{Event, Reader, StreamHeader, Tokens, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The first byte is the size of the pieces.
    let Some((piece, bytes)) = input.split_first() else {
        return;
    };
    let mut reader = Reader::new();
    let mut writer = None;
    for piece in bytes.chunks(usize::from(*piece).max(1)) {
        reader.push(piece);
        drain(&mut reader, &mut writer);
    }
    reader.finish();
    drain(&mut reader, &mut writer);
});

fn drain(reader: &mut Reader, writer: &mut Option<Writer>) {
    while let Ok(Some(event)) = reader.next_event() {
        match event {
            Event::Header(header) => {
                let bytes = StreamHeader::encode(&header.format).expect("a header that was read can be written");
                let (again, _) = StreamHeader::decode(&bytes).expect("a header that was written can be read");
                assert_eq!(again.format, header.format);
                *writer = Some(Writer::new(again.format).expect("as before"));
            }
            Event::Packet(packet) => {
                let writer = writer.as_ref().expect("a header comes before packets");
                let mut again = Reader::new();
                again.push(&StreamHeader::encode(writer.format()).expect("as before"));
                again.push(&writer.write(&packet).expect("a packet that was read can be written"));
                let read = std::iter::from_fn(|| again.next_event().expect("good bytes")).last();
                assert_eq!(read, Some(Event::Packet(packet.clone())));
                let tokens = Tokens::from_payload(&packet.payload, writer.format(), packet.latent_frames);
                if let Ok(tokens) = tokens {
                    let raw = tokens.to_raw(writer.format()).expect("checked tokens");
                    assert_eq!(Tokens::from_raw(&raw, writer.format()), Ok(tokens));
                }
            }
            Event::Skipped { bytes } | Event::CutTail { bytes } => assert!(bytes > 0),
        }
    }
}
