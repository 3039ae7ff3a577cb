//! Float32 sums over rows, then over columns. Plain loops of a fixed length, which the compiler makes vectors of.

use super::taps::Taps;

/// Values that are summed at a time: rows of bytes have a multiple of it.
pub const LANES: usize = 16;

/// Each value of `sums`: the weighted sum of the values in that place in all rows. Rows have the length of `sums`.
pub fn sum_rows(rows: &[&[u8]], weights: &[f32], sums: &mut [f32]) {
    for (index, sums) in sums.chunks_exact_mut(LANES).enumerate() {
        let mut lanes = [0.0; LANES];
        for (row, weight) in rows.iter().zip(weights) {
            let Some(values) = row[index * LANES..].first_chunk::<LANES>() else {
                break;
            };
            for (lane, value) in lanes.iter_mut().zip(values) {
                *lane += weight * f32::from(*value);
            }
        }
        sums.copy_from_slice(&lanes);
    }
}

/// Resizes a row of RGB pixels sideways. Behind the last pixel that taps name, `row` has one value more: a sum is over
/// four values at a time, of which the fourth belongs to the next pixel and is left out.
pub fn sum_columns(row: &[f32], taps: &Taps<f32>, pixels: &mut [f32]) {
    for (pixel, (first, weights)) in pixels.chunks_exact_mut(3).zip(taps.iter()) {
        let mut sums = [0.0; 4];
        let mut rest = &row[first * 3..][..weights.len() * 3 + 1];
        for weight in weights {
            let Some(values) = rest.first_chunk::<4>() else { break };
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += weight * value;
            }
            rest = &rest[3..];
        }
        pixel.copy_from_slice(&sums[..3]);
    }
}
