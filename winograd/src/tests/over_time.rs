//! 1×1 convolutions over time.

use super::{Numbers, all_instructions, errors};
use crate::{ConvolutionOverTime, Frames, Instructions, WeightsOverTime};

/// A layer with made-up numbers.
struct Layer {
    frames: Frames,
    inputs: usize,
    outputs: usize,
    pixels: usize,
    x: Vec<Vec<f32>>,
    kernels: [Vec<f32>; 3],
    bias: Vec<f32>,
    residuals: Vec<Vec<f32>>,
}

impl Layer {
    fn new(frames: Frames, inputs: usize, outputs: usize, pixels: usize, residuals: bool) -> Self {
        let mut numbers = Numbers(pixels as u64);
        let count = frames.count();
        Self {
            frames,
            inputs,
            outputs,
            pixels,
            x: (0..count + 2).map(|_| numbers.take(inputs * pixels)).collect(),
            kernels: std::array::from_fn(|_| numbers.take(outputs * inputs)),
            bias: numbers.take(outputs),
            residuals: (0..if residuals { count } else { 0 })
                .map(|_| numbers.take(outputs * pixels))
                .collect(),
        }
    }

    /// The products that the definition names for an output.
    fn products(&self, frame: usize, channel: usize, pixel: usize) -> impl Iterator<Item = (f32, f32)> {
        let taps = self.kernels.iter().zip(&self.x[frame..]);
        taps.flat_map(move |(kernel, x)| {
            (0..self.inputs).map(move |input| (kernel[channel * self.inputs + input], x[input * self.pixels + pixel]))
        })
    }

    /// Each output in float64, and in float32 as a direct convolution sums it.
    fn expected(&self) -> Vec<(f64, f32)> {
        let mut all = Vec::new();
        for frame in 0..self.frames.count() {
            for at in 0..self.outputs * self.pixels {
                let (channel, pixel) = (at / self.pixels, at % self.pixels);
                let residual = self.residuals.get(frame).map_or(0.0, |residual| residual[at]);
                let products = || self.products(frame, channel, pixel);
                let exact: f64 = products().map(|(a, b)| f64::from(a) * f64::from(b)).sum();
                let direct: f32 = products().map(|(a, b)| a * b).sum();
                let bias = self.bias[channel];
                all.push((exact + f64::from(bias) + f64::from(residual), direct + bias + residual));
            }
        }
        all
    }

    fn run(&self, instructions: Instructions, threads: usize) -> Vec<f32> {
        let kernels = self.kernels.each_ref().map(Vec::as_slice);
        let weights = WeightsOverTime::new(kernels, self.inputs, self.outputs, self.frames, instructions);
        let x: Vec<&[f32]> = self.x.iter().map(Vec::as_slice).collect();
        let residuals: Vec<&[f32]> = self.residuals.iter().map(Vec::as_slice).collect();
        let layer = ConvolutionOverTime::new(&weights, &x, &self.bias, &residuals, self.pixels, threads);
        let mut y = vec![f32::NAN; self.frames.count() * self.outputs * self.pixels];
        let mut frames: Vec<&mut [f32]> = y.chunks_exact_mut(self.outputs * self.pixels).collect();
        layer.run(&mut frames, |count, run| (0..count).rev().for_each(run));
        y
    }
}

#[test]
fn any_size_gives_the_definition() {
    for (frames, bound) in [(Frames::Two, 1.5), (Frames::Four, 5.0)] {
        for (i, pixels) in [1, 7, 16, 33, 129, 1000].into_iter().enumerate() {
            let (inputs, outputs) = [(1, 1), (3, 5), (20, 33), (65, 14), (7, 30), (256, 16)][i];
            let layer = Layer::new(frames, inputs, outputs, pixels, i % 2 == 0);
            let expected = layer.expected();
            let (direct, _) = errors(expected.iter().map(|(exact, direct)| f64::from(*direct) - exact));
            for instructions in all_instructions() {
                let y = layer.run(instructions, 1);
                let (error, most) = errors(y.iter().zip(&expected).map(|(y, (exact, _))| f64::from(*y) - exact));
                // As for pictures, see `check`.
                let (what, floor) = (
                    format!("{frames:?}, {pixels} pixels, {instructions:?}"),
                    direct.max(2e-7),
                );
                assert!(error <= bound * floor, "{what}: {error} where direct has {direct}");
                assert!(most <= 10.0 * bound * floor, "{what}: off by {most}");
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for frames in [Frames::Two, Frames::Four] {
        let layer = Layer::new(frames, 70, 40, 1111, true);
        for instructions in all_instructions() {
            let [one, more @ ..] = [1, 2, 5, 32].map(|threads| layer.run(instructions, threads));
            let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
            for more in more {
                assert!(bits(&one) == bits(&more), "{frames:?}, {instructions:?}");
            }
        }
    }
}
