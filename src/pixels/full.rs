//! swscale with chroma at full size, and one rounding: 4:4:4, and odd widths off the fast path.

use multiversion::multiversion;

use super::block::{BLOCK, filled, interleave};
use super::colour::{Colour, Factors, Siting};
use super::layout::Planes;
use super::rows::Rows;
use super::{Source, table};

/// Samples have so many fractional bits here.
const FRACTION: u32 = 9;
/// swscale's weights: sideways with 14 bits, downwards with 12.
const SIDEWAYS: u32 = 14;
const DOWNWARDS: u32 = 12;
/// Among fewer samples, swscale's filters have one tap: the nearest sample.
pub(super) const INTERPOLATED: usize = 4;

pub(super) struct Full {
    factors: Factors<i32>,
    /// With [`FRACTION`] bits.
    black: i32,
    /// `None`: 4:4:4.
    chroma: Option<Interpolation>,
    /// U and V of a row at full size.
    row: [Vec<i32>; 2],
}

/// Brings subsampled chroma to full size.
struct Interpolation {
    /// For each column of pixels: the sample at its left, and that one's weight.
    columns: Vec<Between>,
    /// For each row; empty: chroma has all rows.
    rows: Vec<Between>,
}

/// A place between two samples.
#[derive(Clone, Copy)]
pub(super) struct Between {
    /// The sample in front; it may be -1.
    pub before: i64,
    /// The way from it to the next, in 2^-17.
    pub part: i64,
}

impl Full {
    pub fn new(source: &Source) -> Self {
        let Colour {
            is_full_range, siting, ..
        } = source.colour;
        let factors = source.colour.factors_13();
        let share = match source.layout.kind() {
            super::layout::Kind::Yuv(yuv) => yuv.share,
            _ => (1, 1),
        };
        let Siting { is_left, is_top } = siting.unwrap_or(Siting::CENTRE);
        let chroma = (share.0 == 2).then(|| Interpolation {
            columns: between(source.width.div_ceil(2), source.width, is_left),
            rows: match share.1 {
                2 => between(source.height.div_ceil(2), source.height, is_top),
                _ => Vec::new(),
            },
        });
        Self {
            factors: Factors {
                y: factors.y.into(),
                v_red: factors.v_red.into(),
                u_blue: factors.u_blue.into(),
                u_green: factors.u_green.into(),
                v_green: factors.v_green.into(),
            },
            black: if is_full_range { 0 } else { 16 << FRACTION },
            chroma,
            row: Default::default(),
        }
    }

    pub fn row(&mut self, rows: &mut Rows, planes: &Planes, y: usize, out: &mut [u8]) {
        let shift = FRACTION + 8 - rows.depth();
        let mut sums = Sums {
            factors: self.factors,
            luma: (shift, self.black),
            chroma: (shift, 128 << FRACTION),
        };
        if let Some(chroma) = &self.chroma {
            chroma.fill(rows, planes, y, &mut self.row);
            let [u, v] = &self.row;
            sums.chroma = (0, 0);
            interpolated_row(rows.luma(planes, y), u, v, sums, out);
        } else if rows.depth() == 8 {
            let (luma, [u, v]) = rows.bytes(planes, y);
            byte_row(luma, u, v, sums, out);
        } else {
            let (luma, [u, v]) = rows.numbers(planes, y);
            number_row(luma, u, v, sums, out);
        }
    }
}

impl Interpolation {
    /// U and V of each pixel of row `y`, around 0, with [`FRACTION`] bits.
    fn fill(&self, rows: &mut Rows, planes: &Planes, y: usize, out: &mut [Vec<i32>; 2]) {
        let last = rows.chroma_rows as i64 - 1;
        let mut wide = |row: i64| -> Vec<[i64; 2]> {
            let row = row.clamp(0, last) as usize;
            let shift = table::CHROMA_BITS - rows.depth();
            let [u, v] = rows.chroma(planes, row);
            let at = |samples: &[u16], index: i64| {
                i64::from(samples[index.clamp(0, samples.len() as i64 - 1) as usize]) << shift
            };
            let mix = |samples: &[u16], Between { before, part }: Between| {
                let weight = weight(part, SIDEWAYS);
                let sum = at(samples, before) * weight + at(samples, before + 1) * ((1 << SIDEWAYS) - weight);
                (sum >> SIDEWAYS).min(32_767)
            };
            self.columns
                .iter()
                .map(|between| [mix(u, *between), mix(v, *between)])
                .collect()
        };
        let pairs: Vec<[i32; 2]> = match self.rows.get(y) {
            None => {
                let wide = wide(y as i64);
                wide.into_iter()
                    .map(|pair| pair.map(|c| ((c - 16_384) * 4) as i32))
                    .collect()
            }
            Some(Between { before, part }) => {
                let weight = weight(*part, DOWNWARDS);
                let (upper, lower) = (wide(*before), wide(before + 1));
                let mix = |a: i64, b: i64| {
                    let sum = a * weight + b * ((1 << DOWNWARDS) - weight);
                    ((sum - (128 << 19)) >> 10) as i32
                };
                upper
                    .iter()
                    .zip(lower)
                    .map(|(a, b)| [mix(a[0], b[0]), mix(a[1], b[1])])
                    .collect()
            }
        };
        for (at, row) in out.iter_mut().enumerate() {
            row.clear();
            row.extend(pairs.iter().map(|pair| pair[at]));
        }
    }
}

/// What is done to samples: each is shifted up, to [`FRACTION`] bits, less that of black or grey.
#[derive(Clone, Copy)]
struct Sums {
    factors: Factors<i32>,
    luma: (u32, i32),
    chroma: (u32, i32),
}

#[multiversion(targets("x86_64+avx2", "x86_64+sse4.1"))]
fn byte_row(luma: &[u8], u: &[u8], v: &[u8], sums: Sums, out: &mut [u8]) {
    row(luma, u, v, sums, out);
}

#[multiversion(targets("x86_64+avx2", "x86_64+sse4.1"))]
fn number_row(luma: &[u16], u: &[u16], v: &[u16], sums: Sums, out: &mut [u8]) {
    row(luma, u, v, sums, out);
}

#[multiversion(targets("x86_64+avx2", "x86_64+sse4.1"))]
fn interpolated_row(luma: &[u16], u: &[i32], v: &[i32], sums: Sums, out: &mut [u8]) {
    row(luma, u, v, sums, out);
}

/// `luma`, `u`, `v`: a sample a pixel.
#[inline(always)]
fn row<L, C>(luma: &[L], u: &[C], v: &[C], sums: Sums, out: &mut [u8])
where
    L: Copy + Default + Into<i32>,
    C: Copy + Default + Into<i32>,
{
    let (blocks, luma_left) = luma.as_chunks::<BLOCK>();
    let ((us, u_left), (vs, v_left)) = (u.as_chunks::<BLOCK>(), v.as_chunks::<BLOCK>());
    let (outs, out_left) = out.as_chunks_mut::<{ BLOCK * 3 }>();
    for (((luma, u), v), out) in blocks.iter().zip(us).zip(vs).zip(outs) {
        block(luma, u, v, sums, out);
    }
    if !luma_left.is_empty() {
        let mut pixels = [0; BLOCK * 3];
        let (luma, u, v) = (filled(luma_left), filled(u_left), filled(v_left));
        block(&luma, &u, &v, sums, &mut pixels);
        out_left.copy_from_slice(&pixels[..out_left.len()]);
    }
}

#[inline(always)]
fn block<L, C>(luma: &[L; BLOCK], u: &[C; BLOCK], v: &[C; BLOCK], sums: Sums, out: &mut [u8; BLOCK * 3])
where
    L: Copy + Into<i32>,
    C: Copy + Into<i32>,
{
    let Factors {
        y,
        v_red,
        u_blue,
        u_green,
        v_green,
    } = sums.factors;
    let mut planes = [[0u8; BLOCK]; 3];
    for i in 0..BLOCK {
        let scaled = |sample: i32, (shift, black): (u32, i32)| (sample << shift) - black;
        let luma = scaled(luma[i].into(), sums.luma).wrapping_mul(y).wrapping_add(1 << 21);
        let (u, v) = (scaled(u[i].into(), sums.chroma), scaled(v[i].into(), sums.chroma));
        // Colours far outside of the legal range wrap in swscale, too.
        let sum = |a: i32, b: i32| {
            let sum = luma.wrapping_add(a).wrapping_add(b);
            (sum.clamp(0, (1 << 30) - 1) >> 22) as u8
        };
        planes[0][i] = sum(v.wrapping_mul(v_red), 0);
        planes[1][i] = sum(u.wrapping_mul(u_green), v.wrapping_mul(v_green));
        planes[2][i] = sum(u.wrapping_mul(u_blue), 0);
    }
    interleave(&planes, out);
}

/// The weight of the sample in front of a place, with so many bits, rounded half up.
pub(super) fn weight(part: i64, bits: u32) -> i64 {
    (((1 << 17) - part) * (1 << bits) + (1 << 16)) >> 17
}

/// Where each of `wanted` places lies among `samples`, which are in the middle between two places, or on the first one.
/// As swscale's filters: a place that is next to a sample, within 0.002, is on it, and so is every place among fewer
/// than [`INTERPOLATED`] samples.
pub(super) fn between(samples: usize, wanted: usize, is_first: bool) -> Vec<Between> {
    let nearest = samples < INTERPOLATED;
    let (samples, wanted) = (samples as i64, wanted as i64);
    let step = ((samples << 16) + (wanted >> 1)) / wanted;
    let start = step - if is_first { 1 << 15 } else { 1 << 16 };
    let place = |index: i64| {
        let at = start + 2 * step * index;
        if nearest {
            return Between {
                before: (at + (1 << 16)) >> 17,
                part: 0,
            };
        }
        let (before, part) = (at >> 17, at & ((1 << 17) - 1));
        match (1 << 17) - part <= 262 {
            true => Between {
                before: before + 1,
                part: 0,
            },
            false => Between { before, part },
        }
    };
    (0..wanted).map(place).collect()
}
