//! Pillow's sums: whole numbers with 22 fractional bits, rounded and clamped to bytes.

use super::taps::{PILLOW_BITS, Taps};

const HALF: i32 = 1 << (PILLOW_BITS - 1);

fn byte(sum: i32) -> u8 {
    (sum >> PILLOW_BITS).clamp(0, 255) as u8
}

/// Resizes a row of RGB pixels sideways.
pub fn sum_columns(row: &[u8], taps: &Taps<i32>, pixels: &mut [u8]) {
    for (pixel, (first, weights)) in pixels.chunks_exact_mut(3).zip(taps.iter()) {
        let mut sums = [HALF; 3];
        for (weight, values) in weights.iter().zip(row[first * 3..].chunks_exact(3)) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += weight * i32::from(*value);
            }
        }
        for (value, sum) in pixel.iter_mut().zip(sums) {
            *value = byte(sum);
        }
    }
}

/// Each byte of `out`: the weighted sum of the bytes in that place in all rows. `sums` has the length of `out`.
pub fn sum_rows(rows: &[&[u8]], weights: &[i32], sums: &mut [i32], out: &mut [u8]) {
    sums.fill(HALF);
    for (row, weight) in rows.iter().zip(weights) {
        for (sum, value) in sums.iter_mut().zip(*row) {
            *sum += weight * i32::from(*value);
        }
    }
    for (value, sum) in out.iter_mut().zip(sums) {
        *value = byte(*sum);
    }
}

/// Whether Pillow resizes the height first, which changes bytes, as it rounds between the passes: where the height
/// shrinks by more than twice the pixels that the width shrinks by. Pillow 13.0 began that. Pairs are width and height.
pub fn is_height_first(source: (u32, u32), target: (u32, u32)) -> bool {
    let shrinks = |source: u32, target: u32| i64::from(source) - i64::from(target);
    let height = shrinks(source.1, target.1);
    height > 0 && height > 2 * shrinks(source.0, target.0)
}
