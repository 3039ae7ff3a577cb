//! RGB to 4:2:0, for receivers that want I420 or NV12. Free of GStreamer and ONNX Runtime.
//!
//! Every value is the exact one, rounded once, halves up. A chroma sample is made of the mean colour of the pixels
//! around its place, edges repeated: for [`Siting::Left`] three columns with weights 1, 2, 1, for [`Siting::Centre`]
//! two; of two rows in both.

use std::ops::Range;

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
    luma: fn(&[u8], &mut [u8]),
    chroma: fn(&[u16], Siting, &mut [u8]),
    /// R, G, B of two rows added, with one pixel more on either side.
    sums: Vec<u16>,
    /// U and V by turns.
    pairs: Vec<u8>,
}

impl Converter {
    /// `width` is at least 1.
    pub fn new(width: usize, meaning: Meaning) -> Self {
        type Bt601<const FULL: bool> = Arithmetic<299, 114, 1000, FULL>;
        type Bt709<const FULL: bool> = Arithmetic<2126, 722, 10_000, FULL>;
        type Rows = (fn(&[u8], &mut [u8]), fn(&[u16], Siting, &mut [u8]));
        let (luma, chroma): Rows = match (meaning.matrix, meaning.full_range) {
            (Matrix::Bt601, false) => (Bt601::<false>::luma_row, Bt601::<false>::chroma_row),
            (Matrix::Bt601, true) => (Bt601::<true>::luma_row, Bt601::<true>::chroma_row),
            (Matrix::Bt709, false) => (Bt709::<false>::luma_row, Bt709::<false>::chroma_row),
            (Matrix::Bt709, true) => (Bt709::<true>::luma_row, Bt709::<true>::chroma_row),
        };
        Self {
            width,
            siting: meaning.siting,
            luma,
            chroma,
            sums: vec![0; (width + 2) * 3],
            pairs: vec![0; width.div_ceil(2) * 2],
        }
    }

    /// Converts a picture of packed R, G, B, whose rows begin `stride` bytes apart.
    ///
    /// # Panics
    ///
    /// If a plane is too small.
    pub fn run(&mut self, rgb: &[u8], stride: usize, rows: Range<usize>, mut luma: Plane, mut chroma: Chroma) {
        let width = self.width;
        let row = |y: usize| &rgb[y * stride..][..width * 3];
        for y in rows.clone() {
            (self.luma)(row(y), luma.row(y - rows.start, width));
        }
        for (index, y) in rows.clone().step_by(2).enumerate() {
            self.add_rows(row(y), row((y + 1).min(rows.end - 1)));
            match &mut chroma {
                Chroma::Planar(u, v) => {
                    (self.chroma)(&self.sums, self.siting, &mut self.pairs);
                    let half = self.pairs.len() / 2;
                    let (u, v) = (u.row(index, half), v.row(index, half));
                    for ((u, v), pair) in u.iter_mut().zip(v).zip(self.pairs.chunks_exact(2)) {
                        (*u, *v) = (pair[0], pair[1]);
                    }
                }
                Chroma::Interleaved(uv) => (self.chroma)(&self.sums, self.siting, uv.row(index, self.pairs.len())),
            }
        }
    }

    fn add_rows(&mut self, top: &[u8], bottom: &[u8]) {
        let end = (self.width + 1) * 3;
        for ((sum, top), bottom) in self.sums[3..end].iter_mut().zip(top).zip(bottom) {
            *sum = u16::from(*top) + u16::from(*bottom);
        }
        self.sums.copy_within(3..6, 0);
        self.sums.copy_within(end - 3..end, end);
    }
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

    fn luma_row(rgb: &[u8], luma: &mut [u8]) {
        const { assert!(Self::LUMA_DIVISOR % 2 == 0) };
        let weights = [KR, Self::KG, KB].map(|weight| weight * Self::LUMA_FACTOR);
        let more = Self::LUMA_OFFSET * Self::LUMA_DIVISOR + Self::LUMA_DIVISOR / 2;
        for (luma, pixel) in luma.iter_mut().zip(rgb.as_chunks::<3>().0) {
            let [r, g, b] = pixel.map(u32::from);
            *luma = ((weights[0] * r + weights[1] * g + weights[2] * b + more) / Self::LUMA_DIVISOR) as u8;
        }
    }

    /// `sums` has a pixel more on either side; chroma is U and V by turns.
    fn chroma_row(sums: &[u16], siting: Siting, chroma: &mut [u8]) {
        let weights = match siting {
            Siting::Left => [1, 2, 1],
            Siting::Centre => [0, 2, 2],
        };
        let (kr, kg, kb) = (KR as i32, Self::KG as i32, KB as i32);
        for (pair, around) in chroma.chunks_exact_mut(2).zip(sums.windows(9).step_by(6)) {
            let sum = |colour: usize| {
                let each = |pixel: usize| i32::from(around[pixel * 3 + colour]) * weights[pixel];
                each(0) + each(1) + each(2)
            };
            let (r, g, b) = (sum(0), sum(1), sum(2));
            let byte = |sum: i32, divisor: u32| {
                let middle = (128 * divisor + divisor / 2) as i32;
                ((Self::CHROMA_FACTOR * sum + middle) as u32 / divisor).min(255) as u8
            };
            pair[0] = byte((kr + kg) * b - kr * r - kg * g, Self::U_DIVISOR);
            pair[1] = byte((kg + kb) * r - kg * g - kb * b, Self::V_DIVISOR);
        }
    }
}
