//! swscale's C arithmetic: more than 8 bits, and odd heights, of even width.
//!
//! swscale looks the values of all pixels up in one table of 8-bit values, into which chroma gives offsets. Its entries
//! are calculated here, in vectors. Rows of 4:2:0 chroma are brought to full height linearly, as PyAV 16 to 18 asks for.
//! Other readers ask for something else.

use multiversion::multiversion;

use super::Source;
use super::block::{BLOCK, HALF, filled, interleave};
use super::colour::{Colour, Factors, Siting};
use super::full::{Between, INTERPOLATED, between, weight};
use super::layout::{Kind, Planes};
use super::rows::Rows;

/// Bits of chroma before it is rounded to 8.
pub(super) const CHROMA_BITS: u32 = 15;
/// Bits of a weight.
const DOWNWARDS: u32 = 12;

pub(super) struct Table {
    entries: Entries,
    /// Whether chroma is on the left pixel of two, and moved to their middle.
    moves: bool,
    /// For each row of pixels, where it lies among the rows of chroma; empty: chroma has all rows.
    rows: Vec<Between>,
    /// U and V of each two pixels as 8-bit values.
    chroma: [Vec<i32>; 2],
    /// The rows of U and V above and below.
    upper: [Vec<i32>; 2],
    lower: [Vec<i32>; 2],
}

/// The table's entries as sums.
#[derive(Clone, Copy)]
struct Entries {
    /// The entry of luma 0 without chroma.
    luma: i32,
    /// From one entry to the next, in 1/65,536, and what is before the first.
    step: i32,
    first: i32,
    /// Entries per chroma value, in 1/65,536: V to red, U to green, V to green, U to blue.
    offsets: [i32; 4],
    /// How far luma is shifted up to [`CHROMA_BITS`].
    shift: u32,
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
        // Cut towards zero, as is division in C.
        let offset = |factor: i32| (((i64::from(factor) << 16) + 0x8000) / i64::from(y)) as i32;
        let black = if is_full_range { 0 } else { 16 };
        let (share, depth) = match source.layout.kind() {
            Kind::Yuv(yuv) => (yuv.share, yuv.depth),
            _ => ((1, 1), 8),
        };
        Self {
            entries: Entries {
                luma: if is_full_range { 384 } else { 326 },
                step: y,
                first: -((384 + black) << 16),
                offsets: [v_red, u_green, v_green, u_blue].map(offset),
                shift: CHROMA_BITS - depth,
            },
            moves: is_left && source.width.div_ceil(2) >= INTERPOLATED,
            rows: match share.1 {
                2 => between(source.height.div_ceil(2), source.height, is_top),
                _ => Vec::new(),
            },
            chroma: Default::default(),
            upper: Default::default(),
            lower: Default::default(),
        }
    }

    pub fn row(&mut self, rows: &mut Rows, planes: &Planes, y: usize, out: &mut [u8]) {
        self.fill_chroma(rows, planes, y);
        let [u, v] = &self.chroma;
        row(rows.luma(planes, y), u, v, self.entries, out);
    }

    fn fill_chroma(&mut self, rows: &mut Rows, planes: &Planes, y: usize) {
        let Some(Between { before, part }) = self.rows.get(y) else {
            sampled(rows, planes, y as i64, self.moves, &mut self.upper);
            for (chroma, samples) in self.chroma.iter_mut().zip(&self.upper) {
                chroma.clear();
                chroma.extend(samples.iter().map(|c| ((c + 64) >> 7).clamp(0, 255)));
            }
            return;
        };
        let weight = weight(*part, DOWNWARDS) as i32;
        sampled(rows, planes, *before, self.moves, &mut self.upper);
        sampled(rows, planes, before + 1, self.moves, &mut self.lower);
        for ((chroma, upper), lower) in self.chroma.iter_mut().zip(&self.upper).zip(&self.lower) {
            chroma.clear();
            chroma.extend(upper.iter().zip(lower).map(|(upper, lower)| {
                let sum = upper * weight + lower * ((1 << DOWNWARDS) - weight);
                ((sum + (1 << 18)) >> 19).clamp(0, 255)
            }));
        }
    }
}

/// A row of U and V with [`CHROMA_BITS`], each for the middle of its two pixels.
fn sampled(rows: &mut Rows, planes: &Planes, row: i64, moves: bool, out: &mut [Vec<i32>; 2]) {
    let row = row.clamp(0, rows.chroma_rows as i64 - 1) as usize;
    let shift = CHROMA_BITS - rows.depth();
    for (out, samples) in out.iter_mut().zip(rows.chroma(planes, row)) {
        let at = |sample: u16| i32::from(sample) << shift;
        out.clear();
        match (moves, samples) {
            // A quarter of the way to the next; behind the last it stays.
            (true, [_, next @ .., last]) => {
                let nexts = next.iter().chain([last, last]);
                out.extend(samples.iter().zip(nexts).map(|(a, b)| (at(*a) * 3 + at(*b)) >> 2));
            }
            _ => out.extend(samples.iter().map(|sample| at(*sample))),
        }
    }
}

#[multiversion(targets("x86_64+avx2", "x86_64+sse4.1"))]
fn row(luma: &[u16], u: &[i32], v: &[i32], entries: Entries, out: &mut [u8]) {
    let (blocks, luma_left) = luma.as_chunks::<BLOCK>();
    let (us, vs) = (u.as_chunks::<HALF>().0, v.as_chunks::<HALF>().0);
    let (outs, out_left) = out.as_chunks_mut::<{ BLOCK * 3 }>();
    for (((luma, u), v), out) in blocks.iter().zip(us).zip(vs).zip(outs) {
        block(luma, u, v, entries, out);
    }
    if !luma_left.is_empty() {
        let chroma = blocks.len() * HALF..;
        let (u, v) = (filled(&u[chroma.clone()]), filled(&v[chroma]));
        let mut pixels = [0; BLOCK * 3];
        block(&filled(luma_left), &u, &v, entries, &mut pixels);
        out_left.copy_from_slice(&pixels[..out_left.len()]);
    }
}

#[inline(always)]
fn block(luma: &[u16; BLOCK], u: &[i32; HALF], v: &[i32; HALF], entries: Entries, out: &mut [u8; BLOCK * 3]) {
    let Entries {
        luma: black,
        step,
        first,
        offsets,
        shift,
    } = entries;
    let [v_red, u_green, v_green, u_blue] = offsets;
    let offset = |chroma: i32, by: i32| ((chroma * by) >> 16) - (by >> 9);
    let mut offsets = [[0; HALF]; 3];
    for i in 0..HALF {
        offsets[0][i] = offset(v[i], v_red);
        offsets[1][i] = offset(u[i], u_green) + offset(v[i], v_green);
        offsets[2][i] = offset(u[i], u_blue);
    }
    let mut planes = [[0u8; BLOCK]; 3];
    for (plane, offsets) in planes.iter_mut().zip(offsets) {
        for i in 0..BLOCK {
            let entry = black + (((i32::from(luma[i]) << shift) + 64) >> 7) + offsets[i / 2];
            plane[i] = ((first + entry * step + 0x8000) >> 16).clamp(0, 255) as u8;
        }
    }
    interleave(&planes, out);
}
