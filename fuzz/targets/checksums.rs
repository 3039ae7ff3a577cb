//! Repairs the checksums of made-up bytes, so that the code behind the check runs.

use gstvidtok::stream::{MAGIC, SYNC};

/// Gives stream headers and packets the right checksums, as long as they follow each other from the start.
pub fn repair(bytes: &mut [u8]) {
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

/// Returns the header's length; `None` if its end is missing.
fn repair_header(bytes: &mut [u8]) -> Option<usize> {
    let crc_at = 12 + number(bytes, 8, 4)?;
    let crc = crc32fast::hash(bytes.get(..crc_at)?).to_le_bytes();
    bytes.get_mut(crc_at..crc_at + 4)?.copy_from_slice(&crc);
    Some(crc_at + 4)
}

/// Returns the packet's length; `None` if its end is missing.
fn repair_packet(bytes: &mut [u8], stream: [u8; 4]) -> Option<usize> {
    let header = number(bytes, 4, 2).filter(|header| bytes.starts_with(&SYNC) && *header >= 48)?;
    let offsets = if bytes.get(6)? & 4 == 0 {
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
