//! Real arithmetic (ITU-T H.273), rounded half up, once.
//!
//! Chroma is interpolated linearly between its samples, from where it is sited; beyond the outermost ones it stays. All
//! numbers are fractions of whole numbers, so that no rounding comes in between.

use super::Source;
use super::colour::{Colour, Siting};
use super::layout::{Kind, Planes};
use super::rows::Rows;

/// Weights of interpolation are quarters, sideways and downwards.
const QUARTERS: i64 = 4;

pub(super) struct Exact {
    black: i64,
    grey: i64,
    /// Numerators of the factors of Y, of U and of V, and their denominator, for red, green, and blue.
    rows: [([i64; 3], i64); 3],
    columns: Vec<Mix>,
    lines: Vec<Mix>,
    /// U and V of a row, two lines of samples mixed.
    chroma: Vec<[i64; 2]>,
}

/// Two samples and their weights in quarters.
#[derive(Clone, Copy)]
struct Mix {
    at: [usize; 2],
    weights: [i64; 2],
}

impl Exact {
    pub fn new(source: &Source) -> Self {
        let Colour {
            matrix,
            is_full_range,
            siting,
        } = source.colour;
        let Kind::Yuv(yuv) = source.layout.kind() else {
            unreachable!("only YUV is calculated");
        };
        let unit = 1i64 << (yuv.depth - 8);
        let (black, luma_range, chroma_range) = match is_full_range {
            true => (0, 256 * unit - 1, 256 * unit - 1),
            false => (16 * unit, 219 * unit, 224 * unit),
        };
        let one = 10_000;
        let (red, blue) = matrix.red_and_blue();
        let green = one - red - blue;
        // Chroma is summed up in sixteenths.
        let chroma_range = chroma_range * QUARTERS * QUARTERS;
        let row = |u: i64, v: i64, share: i64| {
            let denominator = luma_range * chroma_range * one * share;
            let luma = 255 * chroma_range * one * share;
            let chroma = |factor: i64| 255 * luma_range * factor;
            reduced([luma, chroma(u), chroma(v)], denominator)
        };
        let siting = siting.unwrap_or(Siting::LEFT);
        Self {
            black,
            grey: 128 * unit * QUARTERS * QUARTERS,
            rows: [
                row(0, 2 * (one - red), 1),
                row(-2 * blue * (one - blue), -2 * red * (one - red), green),
                row(2 * (one - blue), 0, 1),
            ],
            columns: mixes(source.width, yuv.share.0, siting.is_left),
            lines: mixes(source.height, yuv.share.1, siting.is_top),
            chroma: Vec::new(),
        }
    }

    pub fn row(&mut self, rows: &mut Rows, planes: &Planes, y: usize, out: &mut [u8]) {
        let line = self.lines[y];
        let chroma = &mut self.chroma;
        chroma.clear();
        chroma.resize(rows.columns, [0; 2]);
        for (at, weight) in line.at.into_iter().zip(line.weights).filter(|(_, weight)| *weight != 0) {
            let [u, v] = rows.chroma(planes, at);
            for (sum, (u, v)) in chroma.iter_mut().zip(u.iter().zip(v)) {
                sum[0] += weight * i64::from(*u);
                sum[1] += weight * i64::from(*v);
            }
        }
        let luma = rows.luma(planes, y);
        for ((out, luma), column) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(&self.columns) {
            let luma = i64::from(*luma) - self.black;
            let mixed = |which: usize| {
                let sample = |side: usize| column.weights[side] * chroma[column.at[side]][which];
                sample(0) + sample(1) - self.grey
            };
            let [u, v] = [mixed(0), mixed(1)];
            for (out, ([y_factor, u_factor, v_factor], denominator)) in out.iter_mut().zip(self.rows) {
                let sum = luma * y_factor + u * u_factor + v * v_factor;
                // Half up.
                *out = (2 * sum + denominator).div_euclid(2 * denominator).clamp(0, 255) as u8;
            }
        }
    }
}

/// The same fractions with the smallest denominator: sums of them fit 64 bits.
fn reduced(numerators: [i64; 3], denominator: i64) -> ([i64; 3], i64) {
    let gcd = |mut a: i64, mut b: i64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a.abs()
    };
    let by = numerators.iter().fold(denominator, |by, numerator| gcd(by, *numerator));
    (numerators.map(|numerator| numerator / by), denominator / by)
}

/// For each of `wanted` places, the samples that it lies between. `share`: places of a sample. `is_first`: it is on the
/// first of its two places.
fn mixes(wanted: usize, share: usize, is_first: bool) -> Vec<Mix> {
    let last = wanted.div_ceil(share) - 1;
    let mix = |place: usize| {
        let sample = place / share;
        let (other, weight) = match (share, is_first, place % 2) {
            (1, ..) | (_, true, 0) => (sample, QUARTERS),
            (_, true, _) => (sample + 1, 2),
            (_, false, 0) => (sample.saturating_sub(1), 3),
            (_, false, _) => (sample + 1, 3),
        };
        Mix {
            at: [sample, other.min(last)],
            weights: [weight, QUARTERS - weight],
        }
    };
    (0..wanted).map(mix).collect()
}
