//! The fields in front of the cells of a payload.

use std::fmt;

use bytes::{Buf, BufMut};

use crate::format::TokenFormat;
use crate::stream::StreamHeader;

/// Bytes in front of the offsets and the cells.
pub const HEADER_BYTES: usize = 18;
/// Bytes of an offset.
pub const OFFSET_BYTES: usize = 4;
/// Values of a unit, where one latent frame has fewer: what the claim of a short packet makes a receiver allocate.
const MAX_UNIT_VALUES: usize = 1 << 22;

const VERSION_SHIFT: u8 = 6;
const CONFIGURATION: u8 = 1 << 5;
const OFFSETS: u8 = 1 << 4;
const SEGMENT_START: u8 = 1 << 3;
const SEGMENT_END: u8 = 1 << 2;
const END_OF_STREAM: u8 = 1 << 1;
const LAST: u8 = 1 << 0;

/// The fields of a payload with cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub has_offsets: bool,
    /// The unit starts its segment; so does its latent frame 0.
    pub segment_start: bool,
    pub segment_end: bool,
    pub end_of_stream: bool,
    /// The payload has the unit's last cells.
    pub is_last: bool,
    /// Number of the segment, modulo 256.
    pub segment: u8,
    /// Cells of the payload.
    pub cells: u16,
    /// [Short digest](super::fields::short_digest) of the token format.
    pub digest: u32,
    /// Number of the unit's first latent frame within its segment.
    pub latent_frame: u32,
    pub latent_frames: u8,
    /// Number of the payload's first cell, over all latent frames of the unit.
    pub first_cell: u32,
    pub real_frames: u16,
}

/// What a payload holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// All that the caps say, for receivers without them.
    Configuration(Box<TokenFormat>),
    Cells {
        header: Header,
        /// As [`Unit::offsets`](super::Unit::offsets).
        offsets: Option<Vec<u32>>,
        data: &'a [u8],
    },
}

/// Why a payload is of no use, each a kind that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The payload ends within its fields, or a configuration is damaged.
    Damaged,
    /// The payload's format has a version that this receiver does not know.
    NewerVersion,
    /// The packet is of another tokenizer, or of video of another size.
    OtherFormat,
    /// The cells are not within the unit, or are not as many as the payload has bytes for.
    Cells,
    /// The cells hold values that are no tokens.
    Tokens,
    /// The packet contradicts another of its unit.
    Contradiction,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::Damaged,
        Self::NewerVersion,
        Self::OtherFormat,
        Self::Cells,
        Self::Tokens,
        Self::Contradiction,
    ];

    /// The kind's name in statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::NewerVersion => "newer-version",
            Self::OtherFormat => "other-format",
            Self::Cells => "impossible-cells",
            Self::Tokens => "impossible-tokens",
            Self::Contradiction => "contradictions",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "it is damaged, or not of the payload format VIDTOK",
            Self::NewerVersion => "it is of a newer version of the payload format VIDTOK: update the plugin",
            Self::OtherFormat => "it is of another tokenizer, or of video of another size, than the caps say",
            Self::Cells => "its cells are not within the picture, or are not as many as it has bytes for",
            Self::Tokens => "it holds values that are no tokens of this tokenizer",
            Self::Contradiction => "it contradicts another packet of the same latent frame",
        })
    }
}

impl std::error::Error for Fault {}

/// The most latent frames that a unit can have; their cells are fewer than [`Header::first_cell`] can number.
pub fn max_latent_frames(format: &TokenFormat) -> usize {
    (MAX_UNIT_VALUES / format.values_per_latent_frame()).clamp(1, u8::MAX.into())
}

impl Header {
    /// The flags of a configuration; all its other fields but the digest are 0.
    pub(super) fn encode_configuration(digest: u32) -> Vec<u8> {
        let header = Self {
            digest,
            ..Self::default()
        };
        let mut bytes = header.encode(HEADER_BYTES);
        bytes[0] |= CONFIGURATION;
        bytes
    }

    /// The header's bytes, in a vector with room for `capacity`.
    pub(super) fn encode(&self, capacity: usize) -> Vec<u8> {
        let flags = [
            (self.has_offsets, OFFSETS),
            (self.segment_start, SEGMENT_START),
            (self.segment_end, SEGMENT_END),
            (self.end_of_stream, END_OF_STREAM),
            (self.is_last, LAST),
        ];
        let flags = flags
            .iter()
            .filter(|(set, _)| *set)
            .fold(0, |all, (_, flag)| all | flag);
        let mut bytes = Vec::with_capacity(capacity);
        bytes.put_u8(flags);
        bytes.put_u8(self.segment);
        bytes.put_u16(self.cells);
        bytes.put_u32(self.digest);
        bytes.put_u32(self.latent_frame);
        bytes.put_u8(self.latent_frames);
        bytes.put_uint(self.first_cell.into(), 3);
        bytes.put_u16(self.real_frames);
        bytes
    }
}

impl<'a> Payload<'a> {
    /// Reads a payload's fields. Whether they suit a format is for the [`Joiner`](super::Joiner) to say.
    ///
    /// # Errors
    /// The payload is damaged, or too new.
    pub fn decode(mut data: &'a [u8]) -> Result<Self, Fault> {
        let flags = data.try_get_u8().map_err(|_| Fault::Damaged)?;
        if flags >> VERSION_SHIFT != 0 {
            return Err(Fault::NewerVersion);
        }
        if data.len() < HEADER_BYTES - 1 {
            return Err(Fault::Damaged);
        }
        let header = Header {
            has_offsets: flags & OFFSETS != 0,
            segment_start: flags & SEGMENT_START != 0,
            segment_end: flags & SEGMENT_END != 0,
            end_of_stream: flags & END_OF_STREAM != 0,
            is_last: flags & LAST != 0,
            segment: data.get_u8(),
            cells: data.get_u16(),
            digest: data.get_u32(),
            latent_frame: data.get_u32(),
            latent_frames: data.get_u8(),
            first_cell: data.get_uint(3) as u32,
            real_frames: data.get_u16(),
        };
        if flags & CONFIGURATION != 0 {
            let (header, _) = StreamHeader::decode(data).map_err(|_| Fault::Damaged)?;
            return Ok(Self::Configuration(Box::new(header.format)));
        }
        let is_whole = header.latent_frames > 0 && header.real_frames > 0 && header.cells > 0;
        if !is_whole || header.segment_start != (header.latent_frame == 0) {
            return Err(Fault::Damaged);
        }
        let mut offsets = None;
        if header.has_offsets {
            let count = usize::from(header.real_frames);
            if data.len() < count * OFFSET_BYTES {
                return Err(Fault::Damaged);
            }
            let (bytes, rest) = data.split_at(count * OFFSET_BYTES);
            let read = bytes.chunks_exact(OFFSET_BYTES).map(|mut bytes| bytes.get_u32());
            let read: Vec<_> = read.collect();
            if !read.is_sorted() {
                return Err(Fault::Damaged);
            }
            (offsets, data) = (Some(read), rest);
        }
        Ok(Self::Cells { header, offsets, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Header = Header {
        has_offsets: false,
        segment_start: false,
        segment_end: true,
        end_of_stream: false,
        is_last: true,
        segment: 0x17,
        cells: 0x0102,
        digest: 0xdead_beef,
        latent_frame: 0x0304_0506,
        latent_frames: 4,
        first_cell: 0x07_0809,
        real_frames: 0x000a,
    };
    const BYTES: [u8; HEADER_BYTES] = [
        0b0000_0101,
        0x17,
        1,
        2,
        0xde,
        0xad,
        0xbe,
        0xef,
        3,
        4,
        5,
        6,
        4,
        7,
        8,
        9,
        0,
        10,
    ];

    fn decoded(bytes: &[u8]) -> Result<Payload<'_>, Fault> {
        Payload::decode(bytes)
    }

    #[test]
    fn fields_stand_where_the_document_says() {
        assert_eq!(EXAMPLE.encode(HEADER_BYTES), BYTES);
        let expected = Payload::Cells {
            header: EXAMPLE,
            offsets: None,
            data: &[],
        };
        assert_eq!(decoded(&BYTES), Ok(expected));
    }

    #[test]
    fn what_is_cut_off_or_too_new_is_told() {
        for length in 0..HEADER_BYTES {
            assert_eq!(decoded(&BYTES[..length]), Err(Fault::Damaged), "{length} bytes");
        }
        let mut newer = BYTES;
        newer[0] |= 1 << VERSION_SHIFT;
        assert_eq!(decoded(&newer), Err(Fault::NewerVersion));
        // A newer version may be shorter.
        assert_eq!(decoded(&newer[..1]), Err(Fault::NewerVersion));
    }

    #[test]
    fn impossible_fields_are_refused() {
        for (at, value) in [(2, [0, 0]), (12, [0, 7]), (16, [0, 0])] {
            let mut bytes = BYTES;
            bytes[at..at + 2].copy_from_slice(&value);
            assert_eq!(decoded(&bytes), Err(Fault::Damaged), "byte {at}");
        }
        // A segment start that is not latent frame 0, and the other way round.
        let mut bytes = BYTES;
        bytes[0] |= SEGMENT_START;
        assert_eq!(decoded(&bytes), Err(Fault::Damaged));
        bytes[8..12].fill(0);
        assert!(decoded(&bytes).is_ok());
        bytes[0] &= !SEGMENT_START;
        assert_eq!(decoded(&bytes), Err(Fault::Damaged));
    }

    #[test]
    fn offsets_stand_behind_the_header_and_do_not_go_back() {
        let header = Header {
            has_offsets: true,
            real_frames: 2,
            ..EXAMPLE
        };
        let mut bytes = header.encode(0);
        bytes.extend([0, 0, 0x0b, 0xb8, 0, 0, 0x17, 0x70, 0xaa]);
        let expected = Payload::Cells {
            header,
            offsets: Some(vec![3000, 6000]),
            data: &[0xaa],
        };
        assert_eq!(decoded(&bytes), Ok(expected));
        assert_eq!(decoded(&bytes[..HEADER_BYTES + 7]), Err(Fault::Damaged));
        bytes[HEADER_BYTES] = 1;
        assert_eq!(decoded(&bytes), Err(Fault::Damaged));
    }
}
