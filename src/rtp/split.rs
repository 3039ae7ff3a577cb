//! Units to payloads.

use std::fmt;

use bytes::BufMut;

use super::Unit;
use super::fields::short_digest;
use super::header::{HEADER_BYTES, Header, OFFSET_BYTES, max_latent_frames};
use crate::format::TokenFormat;
use crate::stream::{StreamError, StreamHeader, bits_of_cells, encode_cells};

/// Bytes of an RTP header without contributing sources and extensions.
pub const RTP_HEADER_BYTES: usize = 12;

/// Why a unit cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// A payload has to have this many bytes for one cell.
    PayloadTooSmall { needed: usize },
    /// A receiver would not take a unit of so many latent frames.
    TooManyLatentFrames { allowed: usize },
    /// The unit is not whole latent frames of the format.
    Unit,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PayloadTooSmall { needed } => {
                write!(f, "one cell needs an mtu of {} bytes", needed + RTP_HEADER_BYTES)
            }
            Self::TooManyLatentFrames { allowed } => {
                write!(
                    f,
                    "more than {allowed} latent frames in one buffer cannot be sent over RTP"
                )
            }
            Self::Unit => f.write_str("the tokens are not whole latent frames of the caps"),
        }
    }
}

impl std::error::Error for SplitError {}

/// Makes payloads of units of one format.
#[derive(Debug)]
pub struct Splitter {
    format: TokenFormat,
    digest: u32,
}

impl Splitter {
    pub fn new(format: &TokenFormat) -> Self {
        Self {
            format: format.clone(),
            digest: short_digest(format),
        }
    }

    /// The payloads of a unit, of at most `payload_bytes` bytes each and about as many cells. They are whole rows where
    /// that takes no more packets.
    ///
    /// # Errors
    /// A payload has no room for one cell, or this is no unit of the format.
    pub fn split(&self, unit: &Unit, payload_bytes: usize) -> Result<Vec<Vec<u8>>, SplitError> {
        let cells = self.format.grid_cells() * usize::from(unit.latent_frames);
        let values = cells * self.format.regularizer.values_per_cell();
        let real_frames = usize::from(unit.real_frames);
        let has_all_offsets = unit.offsets.as_ref().is_none_or(|offsets| offsets.len() == real_frames);
        if cells == 0 || unit.tokens.len() != values || real_frames == 0 || !has_all_offsets {
            return Err(SplitError::Unit);
        }
        let allowed = max_latent_frames(&self.format);
        if usize::from(unit.latent_frames) > allowed {
            return Err(SplitError::TooManyLatentFrames { allowed });
        }
        // Only the first payload and the last one have offsets; all leave room for them, so that they are of one size.
        let fields = HEADER_BYTES + unit.offsets.as_ref().map_or(0, |offsets| offsets.len() * OFFSET_BYTES);
        let room = (payload_bytes.saturating_sub(fields) * 8) as u64;
        let most = (room / bits_of_cells(&self.format, 1)).min(u16::MAX.into()) as usize;
        if most == 0 {
            let cell = bits_of_cells(&self.format, 1).div_ceil(8) as usize;
            return Err(SplitError::PayloadTooSmall { needed: fields + cell });
        }
        let per_payload = per_payload(cells, most, self.format.grid_width as usize);
        let starts = (0..cells).step_by(per_payload);
        let payloads = starts.map(|start| self.payload(unit, start, (start + per_payload).min(cells), cells));
        Ok(payloads.collect())
    }

    fn payload(&self, unit: &Unit, start: usize, end: usize, cells: usize) -> Vec<u8> {
        let is_last = end == cells;
        let offsets = unit.offsets.as_ref().filter(|_| start == 0 || is_last);
        let header = Header {
            has_offsets: offsets.is_some(),
            segment_start: unit.latent_frame == 0,
            segment_end: unit.segment_end,
            end_of_stream: unit.end_of_stream,
            is_last,
            segment: unit.segment,
            cells: (end - start) as u16,
            digest: self.digest,
            latent_frame: unit.latent_frame,
            latent_frames: unit.latent_frames,
            first_cell: start as u32,
            real_frames: unit.real_frames,
        };
        let data = encode_cells(&unit.tokens, start..end, &self.format);
        let offset_bytes = offsets.map_or(0, |offsets| offsets.len() * OFFSET_BYTES);
        let mut payload = header.encode(HEADER_BYTES + offset_bytes + data.len());
        for offset in offsets.into_iter().flatten() {
            payload.put_u32(*offset);
        }
        payload.extend(data);
        payload
    }
}

/// How many of `cells` cells each payload takes, where `most` fit: an even share, in whole rows if that needs no more
/// payloads.
fn per_payload(cells: usize, most: usize, row: usize) -> usize {
    let payloads = cells.div_ceil(most);
    let share = cells.div_ceil(payloads);
    let rows = share.next_multiple_of(row);
    if rows <= most { rows } else { share }
}

/// A payload with all that the caps say.
///
/// # Errors
/// There can be no stream of the format.
pub fn configuration(format: &TokenFormat) -> Result<Vec<u8>, StreamError> {
    let mut payload = Header::encode_configuration(short_digest(format));
    payload.extend(StreamHeader::encode(format, None, None)?);
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{Payload, fields};
    use crate::stream::Tokens;

    const DOCUMENT: &str = include_str!("../../docs/rtp.md");

    /// The lines of the document's block of this name.
    fn block(name: &str) -> Vec<&'static str> {
        let begin = DOCUMENT.split(&format!("```{name}\n")).nth(1).unwrap();
        begin.split("```").next().unwrap().lines().collect()
    }

    #[test]
    fn the_packet_of_the_document_is_what_is_sent() {
        let pairs: Vec<_> = block("fields").iter().filter_map(|line| line.split_once('=')).collect();
        let value = |name: &str| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.to_string())
        };
        let format = fields::read(value).unwrap();
        let documented: Vec<u8> = block("packet")
            .iter()
            .flat_map(|line| line.split("  ").next().unwrap().split(' '))
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        let unit = Unit {
            segment: 5,
            latent_frame: 0,
            latent_frames: 1,
            segment_end: true,
            end_of_stream: false,
            real_frames: 1,
            offsets: Some(vec![3_000]),
            tokens: Tokens::Indices(vec![1, 32_767]),
        };
        let sent = Splitter::new(&format).split(&unit, 100).unwrap();
        assert_eq!(sent, [documented]);
        assert!(matches!(Payload::decode(&sent[0]), Ok(Payload::Cells { .. })));
    }

    #[test]
    fn payloads_have_even_shares_in_whole_rows_where_they_fit() {
        // Of 1,024 cells in rows of 32, 730 fit: 16 rows each.
        assert_eq!(per_payload(1024, 730, 32), 512);
        assert_eq!(per_payload(1024, 1024, 32), 1024);
        // Seven packets, of 147 cells or five rows of 32.
        assert_eq!(per_payload(1024, 160, 32), 160);
        assert_eq!(per_payload(1024, 150, 32), 147);
        // Rows that do not fit are split.
        assert_eq!(per_payload(1024, 20, 32), 20);
        assert_eq!(per_payload(3, 1, 3), 1);
    }
}
