//! RGB to 4:2:0, for receivers that want I420 or NV12. Free of GStreamer and ONNX Runtime.
//!
//! Every value is the exact one, rounded once, halves up, but for some of U in limited range (below). A chroma sample is
//! made of the mean colour of the pixels around its place, edges repeated: for [`Siting::Left`] three columns with weights
//! 1, 2, 1, for [`Siting::Centre`] two; of two rows in both.
//!
//! In limited range a step of U is more than 2 levels of blue, and a step of Y more than 1. Where both are rounded the same
//! way, blue can come back 1.64 levels off. So U is rounded the other way where blue would be more than 1.49 levels off the
//! mean colour's, given the mean of the rounded luma around. Then every constant colour comes back within 1 level. Red and
//! green need no such rule: they stay within 1.48 levels, as does everything in full range.

use std::ops::Range;

use multiversion::multiversion;

/// Pixels of a row that are worked on at once: a fixed length, so that the compiler makes vectors of the loops.
const BLOCK: usize = 32;
const HALF: usize = BLOCK / 2;

/// Which weights of R, G and B make luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    Bt601,
    Bt709,
}

/// Where a chroma sample is among its four pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Siting {
    /// At the left column, between the rows: MPEG-2, H.264, and GStreamer's `mpeg2`.
    #[default]
    Left,
    /// In the middle: JPEG, MPEG-1, and GStreamer's `jpeg`.
    Centre,
}

/// What the numbers of a picture mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub matrix: Matrix,
    /// Luma and chroma from 0 to 255; otherwise luma from 16 to 235 and chroma from 16 to 240.
    pub full_range: bool,
    pub siting: Siting,
}

/// A plane's bytes, and the bytes from one row to the next.
pub struct Plane<'a> {
    pub bytes: &'a mut [u8],
    pub stride: usize,
}

impl Plane<'_> {
    fn row(&mut self, index: usize, bytes: usize) -> &mut [u8] {
        &mut self.bytes[index * self.stride..][..bytes]
    }
}

/// Where chroma goes. Its planes have half the rows, rounded up.
pub enum Chroma<'a> {
    /// I420: U and V.
    Planar(Plane<'a>, Plane<'a>),
    /// NV12: U and V by turns.
    Interleaved(Plane<'a>),
}

/// Converts pictures of one width.
pub struct Converter {
    width: usize,
    siting: Siting,
    rows: RowsFunction,
    chroma: ChromaFunction,
    sums: Sums,
    /// Luma of the row below the last one, where the number of rows is odd.
    spare: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

/// R, G, B and Y of two rows added. There is a pixel more on the left and at least one on the right, up to whole blocks.
type Sums = [Vec<u16>; 4];

type RowsFunction = fn([&[u8]; 2], [&mut [u8]; 2], &mut Sums);
type ChromaFunction = fn(&Sums, Siting, [&mut [u8]; 2]);

impl Converter {
    /// `width` is at least 1.
    pub fn new(width: usize, meaning: Meaning) -> Self {
        type Bt601<const FULL: bool> = Arithmetic<299, 114, 1000, FULL>;
        type Bt709<const FULL: bool> = Arithmetic<2126, 722, 10_000, FULL>;
        let (rows, chroma): (RowsFunction, ChromaFunction) = match (meaning.matrix, meaning.full_range) {
            (Matrix::Bt601, false) => (rows::<Bt601<false>>, chroma_row::<Bt601<false>>),
            (Matrix::Bt601, true) => (rows::<Bt601<true>>, chroma_row::<Bt601<true>>),
            (Matrix::Bt709, false) => (rows::<Bt709<false>>, chroma_row::<Bt709<false>>),
            (Matrix::Bt709, true) => (rows::<Bt709<true>>, chroma_row::<Bt709<true>>),
        };
        let blocks = width.div_ceil(BLOCK);
        Self {
            width,
            siting: meaning.siting,
            rows,
            chroma,
            sums: std::array::from_fn(|_| vec![0; blocks * BLOCK + 2]),
            spare: vec![0; width],
            u: vec![0; blocks * HALF],
            v: vec![0; blocks * HALF],
        }
    }

    /// Converts a picture of packed R, G, B, whose rows begin `stride` bytes apart.
    ///
    /// # Panics
    ///
    /// If a plane is too small.
    pub fn run(&mut self, rgb: &[u8], stride: usize, rows: Range<usize>, luma: Plane, mut chroma: Chroma) {
        let width = self.width;
        let row = |y: usize| &rgb[y * stride..][..width * 3];
        let mut luma_rows = luma.bytes.chunks_mut(luma.stride);
        for (index, y) in rows.clone().step_by(2).enumerate() {
            let top = &mut luma_rows.next().expect("luma has this row")[..width];
            let bottom = if y + 1 < rows.end {
                &mut luma_rows.next().expect("luma has this row")[..width]
            } else {
                &mut self.spare[..]
            };
            (self.rows)([row(y), row((y + 1).min(rows.end - 1))], [top, bottom], &mut self.sums);
            for sums in &mut self.sums {
                (sums[0], sums[width + 1]) = (sums[1], sums[width]);
            }
            (self.chroma)(&self.sums, self.siting, [&mut self.u, &mut self.v]);
            let half = width.div_ceil(2);
            let (us, vs) = (&self.u[..half], &self.v[..half]);
            match &mut chroma {
                Chroma::Planar(u, v) => {
                    u.row(index, half).copy_from_slice(us);
                    v.row(index, half).copy_from_slice(vs);
                }
                Chroma::Interleaved(uv) => interleave(us, vs, uv.row(index, half * 2)),
            }
        }
    }
}

#[multiversion(targets("x86_64+avx2", "x86_64+ssse3"))]
fn interleave(first: &[u8], second: &[u8], pairs: &mut [u8]) {
    for ((pair, first), second) in pairs.as_chunks_mut::<2>().0.iter_mut().zip(first).zip(second) {
        *pair = [*first, *second];
    }
}

/// Luma of two rows, and the sums of both.
#[multiversion(targets("x86_64+avx2", "x86_64+ssse3"))]
fn rows<N: Numbers>([top, bottom]: [&[u8]; 2], [luma_top, luma_bottom]: [&mut [u8]; 2], sums: &mut Sums) {
    let (tops, top_left) = top.as_chunks::<{ BLOCK * 3 }>();
    let (bottoms, bottom_left) = bottom.as_chunks::<{ BLOCK * 3 }>();
    let (luma_tops, luma_top_left) = luma_top.as_chunks_mut::<BLOCK>();
    let (luma_bottoms, luma_bottom_left) = luma_bottom.as_chunks_mut::<BLOCK>();
    let [red, green, blue, luma] = sums.each_mut().map(|sums| sums[1..].as_chunks_mut::<BLOCK>().0);
    let sums = red.iter_mut().zip(green).zip(blue).zip(luma);
    let mut sums = sums.map(|(((red, green), blue), luma)| [red, green, blue, luma]);
    let pixels = tops.iter().zip(bottoms);
    for ((top, bottom), (luma_top, luma_bottom)) in pixels.zip(luma_tops.iter_mut().zip(luma_bottoms)) {
        let sums = sums.next().expect("the sums are as long as the rows");
        block::<N>(top, bottom, luma_top, luma_bottom, sums);
    }
    if let Some(sums) = sums.next() {
        let filled = |left: &[u8]| {
            let mut pixels = [0; BLOCK * 3];
            pixels[..left.len()].copy_from_slice(left);
            pixels
        };
        let mut luma = [[0; BLOCK]; 2];
        let [top, bottom] = &mut luma;
        block::<N>(&filled(top_left), &filled(bottom_left), top, bottom, sums);
        luma_top_left.copy_from_slice(&luma[0][..luma_top_left.len()]);
        luma_bottom_left.copy_from_slice(&luma[1][..luma_bottom_left.len()]);
    }
}

#[inline(always)]
fn block<N: Numbers>(
    top: &[u8; BLOCK * 3],
    bottom: &[u8; BLOCK * 3],
    luma_top: &mut [u8; BLOCK],
    luma_bottom: &mut [u8; BLOCK],
    sums: [&mut [u16; BLOCK]; 4],
) {
    let (tops, bottoms) = (separate(top), separate(bottom));
    *luma_top = luma::<N>(&tops);
    *luma_bottom = luma::<N>(&bottoms);
    let rows = tops.iter().zip(&bottoms).chain([(&*luma_top, &*luma_bottom)]);
    for (sums, (top, bottom)) in sums.into_iter().zip(rows) {
        for i in 0..BLOCK {
            sums[i] = u16::from(top[i]) + u16::from(bottom[i]);
        }
    }
}

/// Pixels to planes of red, green and blue.
#[inline(always)]
fn separate(pixels: &[u8; BLOCK * 3]) -> [[u8; BLOCK]; 3] {
    let mut planes = [[0; BLOCK]; 3];
    for i in 0..BLOCK {
        planes[0][i] = pixels[3 * i];
        planes[1][i] = pixels[3 * i + 1];
        planes[2][i] = pixels[3 * i + 2];
    }
    planes
}

#[inline(always)]
fn luma<N: Numbers>([red, green, blue]: &[[u8; BLOCK]; 3]) -> [u8; BLOCK] {
    let mut luma = [0; BLOCK];
    for i in 0..BLOCK {
        luma[i] = N::luma([red[i], green[i], blue[i]].map(u32::from));
    }
    luma
}

/// `sums` has a pixel more on either side.
#[multiversion(targets("x86_64+avx2", "x86_64+ssse3"))]
fn chroma_row<N: Numbers>(sums: &Sums, siting: Siting, [u, v]: [&mut [u8]; 2]) {
    let weights = match siting {
        Siting::Left => [1, 2, 1],
        Siting::Centre => [0, 2, 2],
    };
    let (us, vs) = (u.as_chunks_mut::<HALF>().0, v.as_chunks_mut::<HALF>().0);
    for (index, (u, v)) in us.iter_mut().zip(vs).enumerate() {
        let mut means = [[0; HALF]; 4];
        for (means, sums) in means.iter_mut().zip(sums) {
            let sums: &[u16; BLOCK + 1] = sums[index * BLOCK..].first_chunk().expect("the sums are whole blocks");
            for i in 0..HALF {
                means[i] = sums[2 * i] * weights[0] + sums[2 * i + 1] * weights[1] + sums[2 * i + 2] * weights[2];
            }
        }
        let [red, green, blue, luma] = means;
        for i in 0..HALF {
            let [red, green, blue, luma] = [red[i], green[i], blue[i], luma[i]].map(i32::from);
            (u[i], v[i]) = N::chroma([red, green, blue], luma);
        }
    }
}

/// What a matrix and a range make of colours.
trait Numbers {
    fn luma(colour: [u32; 3]) -> u8;

    /// U and V of a colour with 8 times its weight, whose rounded luma, with the same weight, is `luma`.
    fn chroma(colour: [i32; 3], luma: i32) -> (u8, u8);
}

/// The weights of R and B in luma are `KR` / `KD` and `KB` / `KD`. All sums fit 32 bits.
struct Arithmetic<const KR: u32, const KB: u32, const KD: u32, const FULL: bool>;

impl<const KR: u32, const KB: u32, const KD: u32, const FULL: bool> Arithmetic<KR, KB, KD, FULL> {
    const KG: u32 = KD - KR - KB;
    /// Luma is (factor · sum) / divisor + offset: 219 / 255 = 73 / 85 in limited range.
    const LUMA_FACTOR: u32 = if FULL { 1 } else { 73 };
    const LUMA_DIVISOR: u32 = if FULL { KD } else { 85 * KD };
    const LUMA_OFFSET: u32 = if FULL { 0 } else { 16 };
    /// Chroma is (factor · sum) / divisor + 128. The sum is over colours of 8 times the weight, so U is
    /// 224 · sum / (8 · 255 · 2 · (KD - KB)) in limited range; without 224 / 255 in full range.
    const CHROMA_FACTOR: i32 = if FULL { 1 } else { 14 };
    const U_DIVISOR: u32 = Self::chroma_divisor(KB);
    const V_DIVISOR: u32 = Self::chroma_divisor(KR);

    const fn chroma_divisor(own: u32) -> u32 {
        (if FULL { 16 } else { 255 }) * (KD - own)
    }

    /// Levels of blue with 8 times their weight and 16 fractional bits, as the rule of U counts them: 1, a step of luma
    /// with its weight, and a step of U.
    const LEVEL: i32 = 8 << 16;
    const LUMA_STEP: i32 = (85 << 16) / 73;
    const U_STEP: i32 = ((Self::LEVEL as i64 * 255 * 2 * (KD - KB) as i64) / (224 * KD as i64)) as i32;
    /// A little under 1.5, where rounding makes 2 of it.
    const FARTHEST: i32 = Self::LEVEL / 100 * 149;

    /// What to add to U for blue to come back within [`Self::FARTHEST`].
    #[inline(always)]
    fn correction(u: i32, blue: i32, luma: i32) -> i32 {
        let back = (luma - 8 * 16) * Self::LUMA_STEP + (u - 128) * Self::U_STEP;
        let off = back - (blue << 16);
        i32::from(off < -Self::FARTHEST) - i32::from(off > Self::FARTHEST)
    }
}

impl<const KR: u32, const KB: u32, const KD: u32, const FULL: bool> Numbers for Arithmetic<KR, KB, KD, FULL> {
    #[inline(always)]
    fn luma([r, g, b]: [u32; 3]) -> u8 {
        const { assert!(Self::LUMA_DIVISOR.is_multiple_of(2)) };
        let [kr, kg, kb] = [KR, Self::KG, KB].map(|weight| weight * Self::LUMA_FACTOR);
        let more = Self::LUMA_OFFSET * Self::LUMA_DIVISOR + Self::LUMA_DIVISOR / 2;
        ((kr * r + kg * g + kb * b + more) / Self::LUMA_DIVISOR) as u8
    }

    #[inline(always)]
    fn chroma([r, g, b]: [i32; 3], luma: i32) -> (u8, u8) {
        let (kr, kg, kb) = (KR as i32, Self::KG as i32, KB as i32);
        let rounded = |sum: i32, divisor: u32| {
            let middle = (128 * divisor + divisor / 2) as i32;
            ((Self::CHROMA_FACTOR * sum + middle) as u32 / divisor).min(255) as i32
        };
        let u = rounded((kr + kg) * b - kr * r - kg * g, Self::U_DIVISOR);
        let v = rounded((kg + kb) * r - kg * g - kb * b, Self::V_DIVISOR);
        let correction = if FULL { 0 } else { Self::correction(u, b, luma) };
        ((u + correction) as u8, v as u8)
    }
}
