//! The coding `packed`: indices of as few bits as the codebook needs, one after the other, least significant bit first;
//! floats as values of the format's token type. It has no memory: each latent frame can be read alone.

use std::ops::Range;

use super::PayloadLength;
use crate::format::TokenFormat;
use crate::stream::{StreamError, Tokens};

pub fn payload_length(format: &TokenFormat, latent_frames: u32) -> PayloadLength {
    let cells = format.grid_cells() as u64 * u64::from(latent_frames);
    PayloadLength::Exactly(bits_of_cells(format, cells).div_ceil(8))
}

/// Bits that `cells` cells take.
pub fn bits_of_cells(format: &TokenFormat, cells: u64) -> u64 {
    let values = cells * format.regularizer.values_per_cell() as u64;
    values
        * match format.regularizer.codebook_size() {
            Some(size) => u64::from(bits_for(size)),
            None => format.token_type.bytes() as u64 * 8,
        }
}

/// The payload of `tokens`, which are whole cells of `format`.
pub fn encode(tokens: &Tokens, format: &TokenFormat) -> Vec<u8> {
    let cells = tokens.len() / format.regularizer.values_per_cell();
    encode_cells(tokens, 0..cells, format)
}

/// A run of cells as a payload of its own.
pub fn encode_cells(tokens: &Tokens, cells: Range<usize>, format: &TokenFormat) -> Vec<u8> {
    let per_cell = format.regularizer.values_per_cell();
    let values = cells.start * per_cell..cells.end * per_cell;
    match (tokens, format.regularizer.codebook_size()) {
        (Tokens::Indices(indices), Some(size)) => {
            let bits = bits_for(size);
            let mut payload = Vec::with_capacity(packed_bytes(values.len() as u64, bits) as usize);
            pack(indices[values].iter().map(|i| *i as u32), bits, &mut payload);
            payload
        }
        _ => tokens.write(values, format.token_type),
    }
}

/// The tokens of a payload that is a run of `cells` cells.
///
/// # Errors
/// The payload has another length, or holds values that are not tokens of the format.
pub fn decode_cells(payload: &[u8], cells: usize, format: &TokenFormat) -> Result<Tokens, StreamError> {
    let length = bits_of_cells(format, cells as u64).div_ceil(8);
    if payload.len() as u64 != length {
        return Err(StreamError::Tokens(format!(
            "{} bytes, {cells} cells take {length}",
            payload.len()
        )));
    }
    match format.regularizer.codebook_size() {
        Some(size) => Tokens::read_indices(unpack(payload, bits_for(size), 0, cells), size),
        None => Tokens::read_floats(payload, format.token_type),
    }
}

/// The tokens of `latent_frames` latent frames from number `first` on.
pub fn decode(payload: &[u8], format: &TokenFormat, first: u32, latent_frames: u32) -> Result<Tokens, StreamError> {
    let end = payload_length(format, first.saturating_add(latent_frames)).max();
    if (payload.len() as u64) < end {
        return Err(StreamError::Tokens(format!(
            "{} bytes, {latent_frames} latent frames from number {first} on end at {end}",
            payload.len()
        )));
    }
    let values = format.values_per_latent_frame();
    let (first, count) = (values * first as usize, values * latent_frames as usize);
    match format.regularizer.codebook_size() {
        Some(size) => Tokens::read_indices(unpack(payload, bits_for(size), first, count), size),
        None => {
            let bytes = format.token_type.bytes();
            Tokens::read_floats(&payload[first * bytes..(first + count) * bytes], format.token_type)
        }
    }
}

/// Bits that tell `size` different values apart.
fn bits_for(size: u32) -> u32 {
    u32::BITS - (size - 1).leading_zeros()
}

/// Bytes that `count` values of `bits` bits take; the last byte is filled with zero bits.
fn packed_bytes(count: u64, bits: u32) -> u64 {
    (count * u64::from(bits)).div_ceil(8)
}

/// Appends `values`, each below 2^`bits`, to `out`.
fn pack(values: impl IntoIterator<Item = u32>, bits: u32, out: &mut Vec<u8>) {
    debug_assert!((1..=32).contains(&bits));
    // Holds fewer than 32 bits whenever a value is added.
    let (mut pending, mut held) = (0u64, 0);
    for value in values {
        debug_assert!(u64::from(value) < 1 << bits);
        pending |= u64::from(value) << held;
        held += bits;
        if held >= 32 {
            out.extend_from_slice(&(pending as u32).to_le_bytes());
            pending >>= 32;
            held -= 32;
        }
    }
    out.extend_from_slice(&pending.to_le_bytes()[..held.div_ceil(8) as usize]);
}

/// Reads `count` values of `bits` bits from value number `first` on. `data` has at least
/// `packed_bytes(first + count, bits)` bytes; bits after the last value are not looked at.
fn unpack(data: &[u8], bits: u32, first: usize, count: usize) -> impl Iterator<Item = u32> {
    debug_assert!((1..=32).contains(&bits) && data.len() as u64 >= packed_bytes((first + count) as u64, bits));
    let mask = (1u64 << bits) - 1;
    let start = first as u64 * u64::from(bits);
    let mut words = data.get((start / 8) as usize..).unwrap_or_default().chunks(4);
    let mut word = move || {
        let mut word = [0; 4];
        if let Some(bytes) = words.next() {
            word[..bytes.len()].copy_from_slice(bytes);
        }
        u64::from(u32::from_le_bytes(word))
    };
    let skipped = (start % 8) as u32;
    let (mut pending, mut held) = (word() >> skipped, 32 - skipped);
    (0..count).map(move |_| {
        if held < bits {
            pending |= word() << held;
            held += 32;
        }
        let value = (pending & mask) as u32;
        pending >>= bits;
        held -= bits;
        value
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, bit by bit.
    fn pack_naively(values: &[u32], bits: u32) -> Vec<u8> {
        let mut out = vec![0; packed_bytes(values.len() as u64, bits) as usize];
        for (i, value) in values.iter().enumerate() {
            for bit in 0..bits as usize {
                let at = i * bits as usize + bit;
                out[at / 8] |= (((value >> bit) & 1) as u8) << (at % 8);
            }
        }
        out
    }

    #[test]
    fn bits_of_codebooks() {
        for (size, bits) in [
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (4096, 12),
            (32768, 15),
            (32769, 16),
            (1 << 24, 24),
        ] {
            assert_eq!(bits_for(size), bits, "codebook of {size}");
        }
    }

    proptest! {
        #[test]
        fn packs_as_defined(bits in 1u32..=32, seeds in proptest::collection::vec(any::<u32>(), 0..200)) {
            let values: Vec<u32> = seeds.iter().map(|v| v >> (32 - bits)).collect();
            let mut packed = Vec::new();
            pack(values.iter().copied(), bits, &mut packed);
            prop_assert_eq!(&packed, &pack_naively(&values, bits));
            for first in 0..=values.len() {
                prop_assert_eq!(unpack(&packed, bits, first, values.len() - first).collect::<Vec<_>>(), &values[first..]);
            }
        }
    }
}
