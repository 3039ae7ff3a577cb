//! Which source pixels make an output pixel along one side, and with what weights.

use std::ops::Range;

/// For each output pixel of a window the first source pixel and the weights from it on.
pub struct Taps<W> {
    /// First source pixel, and where its weights end in `weights`.
    spans: Vec<(usize, usize)>,
    weights: Vec<W>,
}

impl<W: Copy> Taps<W> {
    /// `of` gives the first source pixel, and appends the weights.
    fn collect(outputs: Range<u32>, mut of: impl FnMut(u32, &mut Vec<W>) -> usize) -> Self {
        let mut weights = Vec::new();
        let spans = outputs
            .map(|output| {
                let first = of(output, &mut weights);
                (first, weights.len())
            })
            .collect();
        Self { spans, weights }
    }

    /// One source pixel each, with weight `one`.
    fn single(outputs: Range<u32>, one: W, source: impl Fn(u32) -> usize) -> Self {
        Self::collect(outputs, |output, weights| {
            weights.push(one);
            source(output)
        })
    }

    /// First source pixel and weights of each output pixel, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[W])> {
        let mut begin = 0;
        self.spans.iter().map(move |&(first, end)| {
            let weights = &self.weights[begin..end];
            begin = end;
            (first, weights)
        })
    }

    /// The largest number of source pixels of an output pixel.
    pub fn longest(&self) -> usize {
        self.iter().map(|(_, weights)| weights.len()).max().unwrap_or(0)
    }

    /// All source pixels that are used. First pixels never decrease, nor do last ones.
    pub fn range(&self) -> Range<usize> {
        let begin = self.spans.first().map_or(0, |(first, _)| *first);
        let end = self.iter().last().map_or(0, |(first, weights)| first + weights.len());
        begin..end
    }

    /// Counts source pixels from `begin` on, which is at most the first that is used.
    pub fn count_from(&mut self, begin: usize) {
        for (first, _) in &mut self.spans {
            *first -= begin;
        }
    }
}

/// A curve of weights, and how far it reaches at an unchanged size.
#[derive(Clone, Copy)]
pub enum Curve {
    Triangle,
    /// a = -0.5.
    Cubic,
}

impl Curve {
    fn reach(self) -> u8 {
        match self {
            Self::Triangle => 1,
            Self::Cubic => 2,
        }
    }

    /// In PyTorch's steps. Its builds for AVX2 and AVX-512 multiply and add with one rounding; for a cubic, without that,
    /// weights would be up to 6e-7 off.
    fn at_f32(self, x: f32) -> f32 {
        let x = x.abs();
        match self {
            Self::Triangle => (1.0 - x).max(0.0),
            Self::Cubic if x < 1.0 => (1.5_f32.mul_add(x, -2.5) * x).mul_add(x, 1.0),
            Self::Cubic if x < 2.0 => (-0.5_f32).mul_add(x, 2.5).mul_add(x, -4.0).mul_add(x, 2.0),
            Self::Cubic => 0.0,
        }
    }

    /// In Pillow's steps.
    fn at_f64(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Triangle => (1.0 - x).max(0.0),
            Self::Cubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Cubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Cubic => 0.0,
        }
    }
}

impl Taps<f32> {
    /// PyTorch's antialiased weights for some outputs of `target`, each step in float32.
    pub fn torch(source: u32, target: u32, outputs: Range<u32>, curve: Curve) -> Self {
        if source == target {
            return Self::single(outputs, 1.0, |output| output as usize);
        }
        let scale = source as f32 / target as f32;
        let (stretch, slope) = if scale >= 1.0 { (scale, 1.0 / scale) } else { (1.0, 1.0) };
        let support = f32::from(curve.reach()) * stretch;
        Self::collect(outputs, |output, weights| {
            let centre = scale * (output as f32 + 0.5);
            // The conversion cuts, and gives 0 for what is below.
            let first = ((centre - support + 0.5) as u32).min(source - 1);
            let end = ((centre + support + 0.5) as u32).clamp(first + 1, source);
            let begin = weights.len();
            weights.extend((first..end).map(|pixel| curve.at_f32((pixel as f32 - centre + 0.5) * slope)));
            let own = &mut weights[begin..];
            let sum = own.iter().fold(0.0, |sum, weight| sum + weight);
            if sum != 0.0 {
                own.iter_mut().for_each(|weight| *weight /= sum);
            }
            first as usize
        })
    }

    /// The pixel that PyTorch's `nearest` takes.
    pub fn nearest(source: u32, target: u32, outputs: Range<u32>) -> Self {
        let scale = source as f32 / target as f32;
        Self::single(outputs, 1.0, |output| {
            ((output as f32 * scale) as u32).min(source - 1) as usize
        })
    }
}

/// Fractional bits of Pillow's weights.
pub const PILLOW_BITS: u32 = 22;

impl Taps<i32> {
    /// Pillow's weights for some outputs of `target`.
    pub fn pillow(source: u32, target: u32, outputs: Range<u32>, curve: Curve) -> Self {
        const ONE: i32 = 1 << PILLOW_BITS;
        if source == target {
            return Self::single(outputs, ONE, |output| output as usize);
        }
        let scale = f64::from(source) / f64::from(target);
        let stretch = scale.max(1.0);
        let support = f64::from(curve.reach()) * stretch;
        let mut exact = Vec::new();
        Self::collect(outputs, |output, weights| {
            let centre = (f64::from(output) + 0.5) * scale;
            let first = ((centre - support + 0.5) as u32).min(source - 1);
            let end = ((centre + support + 0.5) as u32).clamp(first + 1, source);
            exact.clear();
            exact.extend((first..end).map(|pixel| {
                let distance = f64::from(pixel) - centre + 0.5;
                curve.at_f64(distance * (1.0 / stretch))
            }));
            let sum: f64 = exact.iter().fold(0.0, |sum, weight| sum + weight);
            weights.extend(exact.iter().map(|weight| {
                let weight = if sum == 0.0 { *weight } else { weight / sum };
                // Halves away from zero, as Pillow rounds.
                (weight * f64::from(ONE) + 0.5_f64.copysign(weight)) as i32
            }));
            first as usize
        })
    }
}
