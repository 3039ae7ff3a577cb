//! Tokens in memory, and as bytes of a `raw` buffer. As the payload of a packet they have a [coding](super::Coder).

use std::ops::Range;

use half::f16;

use super::{Coder, StreamError};
use crate::format::{Regularizer, TokenFormat, TokenType};

/// The tokens of some latent frames, as a graph takes and gives them: `[t, h, w]` indices or `[t, h, w, C]` floats.
///
/// ```
/// use gstvidtok::stream::{StreamHeader, Tokens};
///
/// // Two cells of 32,768 codes: 15 bits per index.
/// let bytes = std::fs::read("tests/data/stream/causal.vidtok")?;
/// let format = StreamHeader::decode(&bytes)?.0.format;
/// let tokens = Tokens::Indices(vec![1, 32767]);
/// assert_eq!(tokens.to_raw(&format)?, [0x01, 0x00, 0xff, 0x7f]);
/// assert_eq!(tokens.to_payload(&format)?, [0x01, 0x80, 0xff, 0x3f]);
/// assert_eq!(Tokens::from_payload(&[0x01, 0x80, 0xff, 0x3f], &format, 1)?, tokens);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Tokens {
    /// FSQ indices, each in `0 .. codebook size`.
    Indices(Vec<i32>),
    /// Values of a continuous (KL) latent, each finite.
    Floats(Vec<f32>),
}

impl Tokens {
    /// Reads the payload of a packet of `latent_frames` latent frames that starts a segment; of any packet if the
    /// coding has no memory. A [`Coder`] reads packets in a row.
    ///
    /// # Errors
    /// The payload has the wrong length, or holds values that are not tokens of the format.
    pub fn from_payload(payload: &[u8], format: &TokenFormat, latent_frames: u32) -> Result<Self, StreamError> {
        Coder::new(format.clone()).decode(payload, latent_frames)
    }

    /// The payload of a packet with these tokens that starts a segment; of any packet if the coding has no memory.
    ///
    /// # Errors
    /// The tokens are not whole latent frames of the format.
    pub fn to_payload(&self, format: &TokenFormat) -> Result<Vec<u8>, StreamError> {
        Coder::new(format.clone()).encode(self)
    }

    /// Reads a `raw` buffer: whole latent frames of little-endian values of the format's token type.
    ///
    /// # Errors
    /// The buffer does not hold whole latent frames, or holds values that are not tokens of the format.
    pub fn from_raw(bytes: &[u8], format: &TokenFormat) -> Result<Self, StreamError> {
        let latent_frame = format.raw_latent_frame_bytes();
        if bytes.is_empty() || !bytes.len().is_multiple_of(latent_frame) {
            return Err(fault(format!(
                "{} bytes, a latent frame takes {latent_frame}",
                bytes.len()
            )));
        }
        match (format.token_type, format.regularizer.codebook_size()) {
            (TokenType::Uint16, Some(size)) => {
                let values = bytes
                    .chunks_exact(2)
                    .map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])));
                Self::read_indices(values, size)
            }
            (TokenType::Uint32, Some(size)) => {
                let values = bytes
                    .chunks_exact(4)
                    .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                Self::read_indices(values, size)
            }
            (token_type, _) => Self::read_floats(bytes, token_type),
        }
    }

    /// A `raw` buffer with these tokens.
    ///
    /// # Errors
    /// The tokens are not whole latent frames of the format.
    pub fn to_raw(&self, format: &TokenFormat) -> Result<Vec<u8>, StreamError> {
        self.check(format)?;
        Ok(self.write(0..self.len(), format.token_type))
    }

    /// Number of values: indices, or floats of all channels.
    pub fn len(&self) -> usize {
        match self {
            Self::Indices(indices) => indices.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that these are whole latent frames of `format`.
    pub(super) fn check(&self, format: &TokenFormat) -> Result<(), StreamError> {
        let values = format.values_per_latent_frame();
        if self.is_empty() || !self.len().is_multiple_of(values) {
            return Err(fault(format!("{} values, a latent frame has {values}", self.len())));
        }
        match (self, &format.regularizer) {
            (Self::Indices(indices), Regularizer::Fsq { .. }) => {
                let size = format.regularizer.codebook_size().unwrap_or_default();
                // A negative index is far above any codebook's size as u32.
                check_indices(indices.iter().map(|i| *i as u32).max(), size)
            }
            (Self::Floats(floats), Regularizer::Kl { .. }) => check_floats(floats),
            _ => Err(fault("indices are for FSQ, floats for KL".into())),
        }
    }

    pub(super) fn read_indices(values: impl Iterator<Item = u32>, size: u32) -> Result<Self, StreamError> {
        let mut largest = 0;
        let indices = values.map(|value| {
            largest = largest.max(value);
            value as i32
        });
        let indices = indices.collect();
        check_indices(Some(largest), size)?;
        Ok(Self::Indices(indices))
    }

    pub(super) fn read_floats(bytes: &[u8], token_type: TokenType) -> Result<Self, StreamError> {
        let floats: Vec<f32> = match token_type {
            TokenType::Float16 => bytes
                .chunks_exact(2)
                .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            _ => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        };
        check_floats(&floats)?;
        Ok(Self::Floats(floats))
    }

    /// Some of the values as `token_type`, which [fits](TokenType::fits) them.
    pub(super) fn write(&self, values: Range<usize>, token_type: TokenType) -> Vec<u8> {
        match (self, token_type) {
            (Self::Indices(indices), TokenType::Uint16) => bytes(&indices[values], |i| (*i as u16).to_le_bytes()),
            (Self::Indices(indices), _) => bytes(&indices[values], |i| i.to_le_bytes()),
            (Self::Floats(floats), TokenType::Float16) => bytes(&floats[values], |f| to_f16(*f).to_le_bytes()),
            (Self::Floats(floats), _) => bytes(&floats[values], |f| f.to_le_bytes()),
        }
    }
}

fn bytes<T, const N: usize>(values: &[T], to_bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(to_bytes).collect()
}

/// The nearest float16. A value out of its range becomes its largest or smallest, and not infinite.
fn to_f16(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

fn check_indices(largest: Option<u32>, size: u32) -> Result<(), StreamError> {
    match largest {
        Some(largest) if largest >= size => Err(fault(format!("an index is not within 0 to {}", size - 1))),
        _ => Ok(()),
    }
}

fn check_floats(floats: &[f32]) -> Result<(), StreamError> {
    if floats.iter().all(|f| f.is_finite()) {
        Ok(())
    } else {
        Err(fault("a value is not a finite number".into()))
    }
}

fn fault(reason: String) -> StreamError {
    StreamError::Tokens(reason)
}
