//! swscale's C arithmetic: more than 8 bits, and odd heights, of even width.
//!
//! Chroma becomes offsets into one table of 8-bit values. Rows of 4:2:0 chroma are brought to full height linearly, as
//! PyAV 16 to 18 asks for. Other readers ask for something else.

use super::Source;
use super::colour::{Colour, Factors, Siting};
use super::full::{Between, INTERPOLATED, between, weight};
use super::layout::{Kind, Planes};
use super::rows::Rows;

/// Bits of chroma before it is rounded to 8.
pub(super) const CHROMA_BITS: u32 = 15;
/// Bits of a weight.
const DOWNWARDS: u32 = 12;
/// Values of the table below and above what 8-bit luma needs.
const BELOW: i64 = 600;
const VALUES: i64 = 2_400;

pub(super) struct Table {
    values: Vec<u8>,
    /// Where luma 0 is in `values`.
    luma: i64,
    /// For each chroma value, in `values`: V to red, U to green, V to green, U to blue.
    offsets: [Vec<i64>; 4],
    /// Whether chroma is on the left pixel of two, and moved to their middle.
    moves: bool,
    /// For each row of pixels, where it lies among the rows of chroma; empty: chroma has all rows.
    rows: Vec<Between>,
}

impl Table {
    pub fn new(source: &Source) -> Self {
        let Colour {
            is_full_range, siting, ..
        } = source.colour;
        let Factors {
            y,
            v_red,
            u_blue,
            u_green,
            v_green,
        } = source.colour.factors_16();
        let Siting { is_left, is_top } = siting.unwrap_or(Siting::CENTRE);
        let luma_factor = i64::from(y);
        // Cut towards zero, as is division in C.
        let offsets = [v_red, u_green, v_green, u_blue].map(|factor| {
            let by = ((i64::from(factor) << 16) + 0x8000) / luma_factor;
            (0..256).map(|chroma| ((chroma * by) >> 16) - (by >> 9)).collect()
        });
        let black = if is_full_range { 0 } else { 16 };
        let first = -((384 + black) << 16);
        let value = |at: i64| ((first + (at - BELOW) * luma_factor + 0x8000) >> 16).clamp(0, 255) as u8;
        let share = match source.layout.kind() {
            Kind::Yuv(yuv) => yuv.share,
            _ => (1, 1),
        };
        Self {
            values: (0..VALUES).map(value).collect(),
            luma: BELOW + if is_full_range { 384 } else { 326 },
            offsets,
            moves: is_left && source.width.div_ceil(2) >= INTERPOLATED,
            rows: match share.1 {
                2 => between(source.height.div_ceil(2), source.height, is_top),
                _ => Vec::new(),
            },
        }
    }

    pub fn row(&self, rows: &mut Rows, planes: &Planes, y: usize, out: &mut [u8]) {
        let chroma = self.chroma_row(rows, planes, y);
        let shift = CHROMA_BITS - rows.depth();
        let [v_red, u_green, v_green, u_blue] = &self.offsets;
        let luma = rows.luma(planes, y);
        for (x, (out, luma)) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma).enumerate() {
            let [u, v] = chroma[x / 2];
            let luma = self.luma + (((i64::from(*luma) << shift) + 64) >> 7);
            let value = |offset: i64| self.values[(luma + offset).clamp(0, VALUES - 1) as usize];
            *out = [value(v_red[v]), value(u_green[u] + v_green[v]), value(u_blue[u])];
        }
    }

    /// U and V of each two pixels as 8-bit values.
    fn chroma_row(&self, rows: &mut Rows, planes: &Planes, y: usize) -> Vec<[usize; 2]> {
        let rounded = |c: i64| c.clamp(0, 255) as usize;
        match self.rows.get(y) {
            None => {
                let row = self.sampled(rows, planes, y as i64);
                row.into_iter()
                    .map(|pair| pair.map(|c| rounded((c + 64) >> 7)))
                    .collect()
            }
            Some(Between { before, part }) => {
                let weight = weight(*part, DOWNWARDS);
                let upper = self.sampled(rows, planes, *before);
                let lower = self.sampled(rows, planes, before + 1);
                let mix = |a: i64, b: i64| rounded((a * weight + b * ((1 << DOWNWARDS) - weight) + (1 << 18)) >> 19);
                upper
                    .iter()
                    .zip(lower)
                    .map(|(a, b)| [mix(a[0], b[0]), mix(a[1], b[1])])
                    .collect()
            }
        }
    }

    /// A row of U and V with [`CHROMA_BITS`], each for the middle of its two pixels.
    fn sampled(&self, rows: &mut Rows, planes: &Planes, row: i64) -> Vec<[i64; 2]> {
        let row = row.clamp(0, rows.chroma_rows as i64 - 1) as usize;
        let shift = CHROMA_BITS - rows.depth();
        let [u, v] = rows.chroma(planes, row);
        let last = u.len() - 1;
        let sample = |samples: &[u16], x: usize| {
            let at = |x: usize| i64::from(samples[x]) << shift;
            match self.moves {
                // A quarter of the way to the next.
                true => (at(x) * 3 + at((x + 1).min(last))) >> 2,
                false => at(x),
            }
        };
        (0..u.len()).map(|x| [sample(u, x), sample(v, x)]).collect()
    }
}
