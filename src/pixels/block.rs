//! Pieces of a row that are worked on at once: their lengths are fixed, so the compiler makes vectors of the loops.

use multiversion::multiversion;

/// Pixels that are calculated at once.
pub(super) const BLOCK: usize = 32;
pub(super) const HALF: usize = BLOCK / 2;

/// Planes of red, green and blue to pixels.
#[inline(always)]
pub(super) fn interleave(planes: &[[u8; BLOCK]; 3], out: &mut [u8; BLOCK * 3]) {
    for i in 0..BLOCK {
        out[3 * i] = planes[0][i];
        out[3 * i + 1] = planes[1][i];
        out[3 * i + 2] = planes[2][i];
    }
}

/// The start of a block of which only `left` is there, and zeros.
#[inline(always)]
pub(super) fn filled<T: Copy + Default, const N: usize>(left: &[T]) -> [T; N] {
    let mut block = [T::default(); N];
    block[..left.len()].copy_from_slice(left);
    block
}

/// Separates pairs of bytes: the first of each, and the second of each.
pub(super) fn split(pairs: &[u8], first: &mut Vec<u8>, second: &mut Vec<u8>) {
    first.resize(pairs.len() / 2, 0);
    second.resize(pairs.len() / 2, 0);
    split_bytes(pairs, first, second);
}

#[multiversion(targets("x86_64+avx2", "x86_64+ssse3"))]
fn split_bytes(pairs: &[u8], first: &mut [u8], second: &mut [u8]) {
    for ((pair, first), second) in pairs.as_chunks::<2>().0.iter().zip(first).zip(second) {
        [*first, *second] = *pair;
    }
}

/// Numbers of 10 bits, which are shifted up in their 16 bits.
pub(super) fn numbers(row: &[u8], shift: u32, out: &mut Vec<u16>) {
    out.resize(row.len() / 2, 0);
    fill_numbers(row, shift, out);
}

#[multiversion(targets("x86_64+avx2"))]
fn fill_numbers(row: &[u8], shift: u32, out: &mut [u16]) {
    for (bytes, out) in row.as_chunks::<2>().0.iter().zip(out) {
        *out = number(*bytes, shift);
    }
}

/// The same for pairs of numbers: the first of each, and the second of each.
pub(super) fn split_numbers(pairs: &[u8], shift: u32, [first, second]: &mut [Vec<u16>; 2]) {
    first.resize(pairs.len() / 4, 0);
    second.resize(pairs.len() / 4, 0);
    fill_split_numbers(pairs, shift, first, second);
}

#[multiversion(targets("x86_64+avx2"))]
fn fill_split_numbers(pairs: &[u8], shift: u32, first: &mut [u16], second: &mut [u16]) {
    for ((pair, first), second) in pairs.as_chunks::<4>().0.iter().zip(first).zip(second) {
        let [a, b, c, d] = *pair;
        (*first, *second) = (number([a, b], shift), number([c, d], shift));
    }
}

/// Ten bits, whatever is in the others.
#[inline(always)]
fn number(bytes: [u8; 2], shift: u32) -> u16 {
    (u16::from_le_bytes(bytes) >> shift) & 0x3ff
}
