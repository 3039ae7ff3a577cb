//! A coding for tests of the interface: each index as its difference from the same cell's in the latent frame before,
//! small differences in few bytes. It has a memory, and the tokens decide how long a payload is.

use super::PayloadLength;
use crate::format::TokenFormat;
use crate::stream::{StreamError, Tokens};

/// Bytes of the largest difference, at 7 bits per byte.
const MAX_BYTES: u64 = 4;

pub fn payload_length(format: &TokenFormat, latent_frames: u32) -> PayloadLength {
    let values = format.values_per_latent_frame() as u64 * u64::from(latent_frames);
    PayloadLength::AtMost(values * MAX_BYTES)
}

#[derive(Debug, Default)]
pub struct State {
    /// The latest latent frame; empty at a segment's start, where all indices count from 0.
    before: Vec<i32>,
    /// Bytes of the payload that were read.
    at: usize,
}

impl State {
    pub fn encode(&mut self, tokens: &Tokens, format: &TokenFormat) -> Result<Vec<u8>, StreamError> {
        let Tokens::Indices(indices) = tokens else {
            return Err(StreamError::Tokens("only indices have differences".into()));
        };
        let mut payload = Vec::new();
        for latent_frame in indices.chunks(format.values_per_latent_frame()) {
            self.before.resize(latent_frame.len(), 0);
            for (index, before) in latent_frame.iter().zip(&mut self.before) {
                let difference = index - *before;
                // The sign is the lowest bit.
                let mut rest = (difference << 1 ^ difference >> 31) as u32;
                while rest >= 0x80 {
                    payload.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                payload.push(rest as u8);
                *before = *index;
            }
        }
        Ok(payload)
    }

    pub fn decode(
        &mut self,
        payload: &[u8],
        format: &TokenFormat,
        first: u32,
        latent_frames: u32,
    ) -> Result<Tokens, StreamError> {
        if first == 0 {
            self.at = 0;
        }
        self.before.resize(format.values_per_latent_frame(), 0);
        let mut indices: Vec<i32> = Vec::new();
        for _ in 0..latent_frames {
            for cell in 0..self.before.len() {
                self.before[cell] += self.difference(payload)?;
            }
            indices.extend(&self.before);
        }
        let size = format.regularizer.codebook_size().unwrap_or_default();
        Tokens::read_indices(indices.into_iter().map(|index| index as u32), size)
    }

    fn difference(&mut self, payload: &[u8]) -> Result<i32, StreamError> {
        let mut value = 0u32;
        for shift in (0..).step_by(7).take(MAX_BYTES as usize) {
            let byte = payload.get(self.at);
            let byte = byte.ok_or_else(|| StreamError::Tokens("a payload ends inside a latent frame".into()))?;
            self.at += 1;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i32 ^ -((value & 1) as i32));
            }
        }
        Err(StreamError::Tokens("a difference that is too long".into()))
    }
}
