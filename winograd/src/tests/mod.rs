//! Against the definition in float64, at every position.

mod over_time;

use crate::{Convolution, Instructions, Picture, Tile, Weights};

/// A layer with made-up numbers.
struct Layer {
    inputs: usize,
    outputs: usize,
    picture: Picture,
    taps: Vec<Vec<f32>>,
    kernels: Vec<Vec<f32>>,
    bias: Option<Vec<f32>>,
    residual: Option<Vec<f32>>,
}

/// Numbers that are spread evenly between -1 and 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

impl Layer {
    fn new(taps: usize, inputs: usize, outputs: usize, height: usize, width: usize, more: bool) -> Self {
        let mut numbers = Numbers(taps as u64);
        let area = height * width;
        Self {
            inputs,
            outputs,
            picture: Picture { height, width },
            taps: (0..taps).map(|_| numbers.take(inputs * area)).collect(),
            kernels: (0..taps).map(|_| numbers.take(outputs * inputs * 9)).collect(),
            bias: more.then(|| numbers.take(outputs)),
            residual: more.then(|| numbers.take(outputs * area)),
        }
    }

    /// The sum of `product`s that the definition names, without bias and residual, at one output.
    fn sum<N: std::ops::AddAssign + Default>(&self, channel: usize, at: usize, product: impl Fn(f32, f32) -> N) -> N {
        let Picture { height, width } = self.picture;
        let (y, x) = (at / width, at % width);
        let mut sum = N::default();
        for (tap, kernel) in self.taps.iter().zip(&self.kernels) {
            for input in 0..self.inputs {
                for (i, weight) in kernel[(channel * self.inputs + input) * 9..][..9].iter().enumerate() {
                    let (y, x) = (y + i / 3, x + i % 3);
                    if (1..=height).contains(&y) && (1..=width).contains(&x) {
                        sum += product(*weight, tap[(input * height + y - 1) * width + x - 1]);
                    }
                }
            }
        }
        sum
    }

    fn added(&self, channel: usize, at: usize) -> (f32, f32) {
        let area = self.picture.height * self.picture.width;
        let residual = self
            .residual
            .as_ref()
            .map_or(0.0, |residual| residual[channel * area + at]);
        (self.bias.as_ref().map_or(0.0, |bias| bias[channel]), residual)
    }

    /// Each output in float64, and in float32 as a direct convolution sums it.
    fn expected(&self) -> Vec<(f64, f32)> {
        let area = self.picture.height * self.picture.width;
        let all = (0..self.outputs).flat_map(|channel| (0..area).map(move |at| (channel, at)));
        all.map(|(channel, at)| {
            let (bias, residual) = self.added(channel, at);
            let exact: f64 = self.sum(channel, at, |a, b| f64::from(a) * f64::from(b));
            let direct: f32 = self.sum(channel, at, |a, b| a * b);
            (exact + f64::from(bias) + f64::from(residual), direct + bias + residual)
        })
        .collect()
    }

    fn weights(&self, tile: Tile, instructions: Instructions) -> Weights {
        let kernels: Vec<&[f32]> = self.kernels.iter().map(Vec::as_slice).collect();
        Weights::new(&kernels, self.inputs, self.outputs, tile, instructions)
    }

    fn run(&self, weights: &Weights, threads: usize) -> Vec<f32> {
        let taps: Vec<&[f32]> = self.taps.iter().map(Vec::as_slice).collect();
        let (bias, residual) = (self.bias.as_deref(), self.residual.as_deref());
        let convolution = Convolution::new(weights, &taps, bias, residual, self.picture, threads);
        let mut y = vec![f32::NAN; self.outputs * self.picture.height * self.picture.width];
        convolution.run(&mut y, |count, run| (0..count).rev().for_each(run));
        y
    }
}

fn all_instructions() -> Vec<Instructions> {
    let mut all = Instructions::fast();
    all.push(Instructions::plain());
    all
}

/// The root of the mean square of the errors, and the largest.
fn errors(errors: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = errors.clone().count() as f64;
    let squares: f64 = errors.clone().map(|error| error * error).sum();
    ((squares / count).sqrt(), errors.map(f64::abs).fold(0.0, f64::max))
}

fn check(layer: &Layer) {
    let expected = layer.expected();
    let (direct, _) = errors(expected.iter().map(|(exact, direct)| f64::from(*direct) - exact));
    for instructions in all_instructions() {
        for (tile, bound) in [(Tile::Two, 1.5), (Tile::Four, 5.0)] {
            let y = layer.run(&layer.weights(tile, instructions), 1);
            let (error, most) = errors(y.iter().zip(&expected).map(|(y, (exact, _))| f64::from(*y) - exact));
            let what = format!("{:?}, {tile:?}, {instructions:?}", layer.picture);
            // A few sums have a small direct error by chance, so the least is that of some roundings of the result.
            assert!(
                error <= bound * direct.max(2e-7),
                "{what}: {error} where direct has {direct}"
            );
            // No single output may be wrong, such as one at an edge.
            assert!(most <= 10.0 * bound * direct.max(2e-7), "{what}: off by {most}");
        }
    }
}

#[test]
fn odd_sizes_and_channels_give_the_definition() {
    let sizes = [(1, 1), (1, 9), (2, 3), (3, 2), (5, 5), (7, 13), (17, 35), (6, 70)];
    let channels = [(1, 1), (3, 5), (20, 33), (65, 14), (7, 30)];
    for (i, (height, width)) in sizes.into_iter().enumerate() {
        let (inputs, outputs) = channels[i % channels.len()];
        check(&Layer::new(1 + i % 3, inputs, outputs, height, width, i % 2 == 0));
    }
}

#[test]
fn errors_do_not_grow_with_the_number_of_channels() {
    check(&Layer::new(3, 256, 16, 9, 11, true));
}

#[test]
fn rows_of_tiles_that_are_split_give_the_definition() {
    // 261 tiles of four in a row.
    check(&Layer::new(1, 2, 3, 5, 1041, true));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let layer = Layer::new(2, 70, 40, 45, 83, true);
    for instructions in all_instructions() {
        for tile in [Tile::Two, Tile::Four] {
            let weights = layer.weights(tile, instructions);
            let [one, more @ ..] = [1, 2, 5, 32].map(|threads| layer.run(&weights, threads));
            for more in more {
                let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
                assert!(bits(&one) == bits(&more), "{tile:?}, {instructions:?}");
            }
        }
    }
}
