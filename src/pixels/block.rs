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
