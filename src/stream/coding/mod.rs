//! Codings: how the tokens of a packet become its payload, and back.
//!
//! [`Coding`] names them. A new one is a variant there, a module here, and an arm in each `match` below.

#[cfg(test)]
mod delta;
mod packed;

use std::fmt;

pub(crate) use packed::{bits_of_cells, decode_cells, encode_cells};

use super::{StreamError, Tokens};
use crate::format::{Coding, TokenFormat};

/// How many bytes a payload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadLength {
    /// As many as the number of latent frames says.
    Exactly(u64),
    /// The tokens decide how many fewer. Such a coding must bound the tokens of a packet itself: few bytes could claim
    /// many.
    AtMost(u64),
}

impl PayloadLength {
    /// Whether a payload of `bytes` bytes is possible.
    pub fn allows(self, bytes: u64) -> bool {
        match self {
            Self::Exactly(length) => bytes == length,
            Self::AtMost(length) => bytes <= length,
        }
    }

    /// The longest payload in bytes.
    pub fn max(self) -> u64 {
        match self {
            Self::Exactly(length) | Self::AtMost(length) => length,
        }
    }
}

impl fmt::Display for PayloadLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(length) => write!(f, "{length}"),
            Self::AtMost(length) => write!(f, "at most {length}"),
        }
    }
}

impl TokenFormat {
    /// The length of a packet's payload of `latent_frames` latent frames, as the coding has it.
    pub fn payload_length(&self, latent_frames: u32) -> PayloadLength {
        match self.coding {
            Coding::Packed => packed::payload_length(self, latent_frames),
            #[cfg(test)]
            Coding::Delta => delta::payload_length(self, latent_frames),
        }
    }
}

/// Turns tokens into payloads, or payloads into tokens, for the packets of a stream in their order.
///
/// A coding may learn from the packets before, as far back as the segment's start. One for streams that lose packets
/// has to begin anew with each packet: it then keeps nothing here between two of them.
#[derive(Debug)]
pub struct Coder {
    format: TokenFormat,
    state: CodingState,
}

/// What a coding keeps from packet to packet.
#[derive(Debug)]
enum CodingState {
    Packed,
    #[cfg(test)]
    Delta(delta::State),
}

impl Coder {
    /// A coder for tokens of `format`, at the start of a segment.
    pub fn new(format: TokenFormat) -> Self {
        let state = match format.coding {
            Coding::Packed => CodingState::Packed,
            #[cfg(test)]
            Coding::Delta => CodingState::Delta(delta::State::default()),
        };
        Self { format, state }
    }

    /// Forgets the packets before: a segment decodes without them. Call in front of each segment but the first.
    pub fn start_segment(&mut self) {
        match &mut self.state {
            CodingState::Packed => (),
            #[cfg(test)]
            CodingState::Delta(state) => *state = delta::State::default(),
        }
    }

    /// The payload of the next packet.
    ///
    /// # Errors
    /// The tokens are not whole latent frames of the format.
    pub fn encode(&mut self, tokens: &Tokens) -> Result<Vec<u8>, StreamError> {
        tokens.check(&self.format)?;
        match &mut self.state {
            CodingState::Packed => Ok(packed::encode(tokens, &self.format)),
            #[cfg(test)]
            CodingState::Delta(state) => state.encode(tokens, &self.format),
        }
    }

    /// The tokens of the next packet, which has `latent_frames` latent frames.
    ///
    /// # Errors
    /// The payload has the wrong length, or holds values that are not tokens of the format.
    pub fn decode(&mut self, payload: &[u8], latent_frames: u32) -> Result<Tokens, StreamError> {
        let length = self.format.payload_length(latent_frames);
        if !length.allows(payload.len() as u64) {
            return Err(StreamError::Tokens(format!(
                "{} bytes, {latent_frames} latent frames take {length}",
                payload.len()
            )));
        }
        self.decode_part(payload, 0, latent_frames)
    }

    /// The tokens of some of a packet's latent frames: `latent_frames` from number `first` on. The parts of a payload
    /// are read in order, from 0 on, and none is left out in front of another.
    ///
    /// # Errors
    /// The payload ends before, or holds values that are not tokens of the format.
    pub(crate) fn decode_part(
        &mut self,
        payload: &[u8],
        first: u32,
        latent_frames: u32,
    ) -> Result<Tokens, StreamError> {
        match &mut self.state {
            CodingState::Packed => packed::decode(payload, &self.format, first, latent_frames),
            #[cfg(test)]
            CodingState::Delta(state) => state.decode(payload, &self.format, first, latent_frames),
        }
    }
}

#[cfg(test)]
mod tests;
