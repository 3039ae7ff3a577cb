//! Limits of the byte stream, in the words of the table in docs/stream.md. `format` has those of a token format.
//!
//! They bound what a reader allocates and how long it works, whatever a stream claims.

use crate::format::MAX_GRID_CELLS;

/// Bytes of JSON in a stream header.
pub const MAX_JSON_BYTES: usize = 1 << 16;
/// Characters of a stream's id.
pub const MAX_STREAM_ID: usize = 64;
/// Bytes of a packet header, extensions of later minor versions included.
pub const MAX_HEADER_BYTES: usize = 1024;
/// Latent frames of a packet.
pub const MAX_LATENT_FRAMES: u32 = 4096;
/// Bytes of a packet's payload.
pub const MAX_PAYLOAD_BYTES: u32 = 1 << 26;
/// FSQ indices of a packet: a reader makes four bytes of each, and it may take a single bit. The payload bounds KL
/// values.
pub const MAX_INDICES: u64 = 1 << 24;
/// A packet's PTS, its duration, and each of its frame offsets, in nanoseconds. Sums of them do not overflow.
pub const MAX_TIME: u64 = 1 << 61;
/// The number of a latent frame in its segment, and the latent frames that an end mark counts. Sums do not overflow.
pub const MAX_LATENT_NUMBER: u64 = 1 << 48;

/// Bytes that a reader spends on checksums that do not hold, whatever the stream's length.
pub const SPARE_CHECKED: u64 = 1 << 27;
/// Further such bytes for each byte of the stream.
pub const CHECKED_PER_BYTE: u64 = 16;

// A packet has room for at least one latent frame of any format.
const _: () = assert!(MAX_GRID_CELLS <= MAX_INDICES);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::format::*;

    const DOCUMENT: &str = include_str!("../../docs/stream.md");

    /// A number as the table has it: `65,536`, `2²⁶`.
    fn number(text: &str) -> u64 {
        let exponent = |digit: char| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|c| c == digit);
        match text
            .strip_prefix('2')
            .filter(|rest| rest.chars().all(|c| exponent(c).is_some()))
        {
            Some(digits) if !digits.is_empty() => {
                1 << digits
                    .chars()
                    .filter_map(exponent)
                    .fold(0, |number, digit| number * 10 + digit)
            }
            _ => text.replace(',', "").parse().unwrap(),
        }
    }

    #[test]
    fn the_table_of_limits_is_what_is_held_to() {
        let rows = DOCUMENT
            .split("\n## Limits\n")
            .nth(1)
            .unwrap()
            .split("\n## ")
            .next()
            .unwrap();
        let documented = rows.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            Some((cells.next()?.trim_matches('`'), number(cells.next()?)))
        });
        let held = [
            ("MAX_JSON_BYTES", MAX_JSON_BYTES as u64),
            ("MAX_STREAM_ID", MAX_STREAM_ID as u64),
            ("MAX_TEXT_BYTES", MAX_TEXT_BYTES as u64),
            ("MAX_DIMENSION", MAX_DIMENSION.into()),
            ("MAX_SPACE_FACTOR", MAX_SPACE_FACTOR.into()),
            ("MAX_TIME_FACTOR", MAX_TIME_FACTOR.into()),
            ("MAX_GRID_CELLS", MAX_GRID_CELLS),
            ("MAX_CODEBOOK", MAX_CODEBOOK.into()),
            ("MAX_CHANNELS", MAX_CHANNELS.into()),
            ("MAX_FRACTION", MAX_FRACTION.into()),
            ("MAX_HEADER_BYTES", MAX_HEADER_BYTES as u64),
            ("MAX_LATENT_FRAMES", MAX_LATENT_FRAMES.into()),
            ("MAX_INDICES", MAX_INDICES),
            ("MAX_PAYLOAD_BYTES", MAX_PAYLOAD_BYTES.into()),
            ("MAX_TIME", MAX_TIME),
            ("MAX_LATENT_NUMBER", MAX_LATENT_NUMBER),
            ("SPARE_CHECKED", SPARE_CHECKED),
            ("CHECKED_PER_BYTE", CHECKED_PER_BYTE),
        ];
        assert_eq!(documented.collect::<BTreeMap<_, _>>(), BTreeMap::from(held));
    }
}
