//! 1×1 convolutions over three frames: Winograd's algorithm in time.
//!
//! `M` frames of the result need `P` = M + 2 frames. At each of P *positions* there is one matrix product, where a direct
//! convolution has 3 · M: 4 in place of 6 for M = 2, 6 in place of 12 for M = 4.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::block::{Block, Split, Whole};
use crate::convolution::products;
use crate::machine::{Instructions, Machine, Work};
use crate::points::{Four, Points, Two};
use crate::room::{self, Room};
use crate::shared::Shared;
use crate::vector::Vector;
use crate::weights::{DEPTH, chunks};

/// Frames that are computed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frames {
    Two,
    Four,
}

impl Frames {
    /// Of the result.
    pub fn count(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    fn positions(self) -> usize {
        self.count() + 2
    }
}

/// A layer's weights, transformed for one set of instructions.
pub struct WeightsOverTime {
    instructions: Instructions,
    frames: Frames,
    inputs: usize,
    outputs: usize,
    /// Outputs that one product computes; those of the last are filled up with zeros.
    rows: usize,
    /// In the order of the products: `[DEPTH input channels][position][rows outputs][input channel][output]`.
    values: Vec<f32>,
}

impl WeightsOverTime {
    /// Transforms `kernels`, `[outputs, inputs]` for each of three frames, the oldest first.
    ///
    /// # Panics
    /// Where a kernel has another length, or there are no inputs or outputs.
    pub fn new(
        kernels: [&[f32]; 3],
        inputs: usize,
        outputs: usize,
        frames: Frames,
        instructions: Instructions,
    ) -> Self {
        assert!(inputs > 0 && outputs > 0, "nothing to multiply");
        assert!(
            kernels.iter().all(|kernel| kernel.len() == outputs * inputs),
            "a kernel is not [outputs, inputs]"
        );
        let rows = instructions.rows(outputs);
        let mut weights = Self {
            instructions,
            frames,
            inputs,
            outputs,
            rows,
            values: vec![0.0; inputs * frames.positions() * outputs.next_multiple_of(rows)],
        };
        match frames {
            Frames::Two => weights.transform::<Two, 2, 4>(kernels),
            Frames::Four => weights.transform::<Four, 4, 6>(kernels),
        }
        weights
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of the transformed weights.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.values)
    }

    fn groups(&self) -> usize {
        self.outputs.div_ceil(self.rows)
    }

    fn offset(&self, chunk: &Range<usize>, position: usize, group: usize) -> usize {
        let before = chunk.start * self.frames.positions() * self.groups();
        (before + (position * self.groups() + group) * chunk.len()) * self.rows
    }

    /// In float64, and rounded once.
    fn transform<T: Points<M, P>, const M: usize, const P: usize>(&mut self, kernels: [&[f32]; 3]) {
        for chunk in chunks(self.inputs) {
            for output in 0..self.outputs {
                let (group, row) = (output / self.rows, output % self.rows);
                for (depth, input) in chunk.clone().enumerate() {
                    let taps = kernels.map(|kernel| f64::from(kernel[output * self.inputs + input]));
                    for (position, value) in T::weights(taps).into_iter().enumerate() {
                        let at = self.offset(&chunk, position, group) + depth * self.rows + row;
                        self.values[at] = value as f32;
                    }
                }
            }
        }
    }
}

/// A convolution of frames, each `[channels, pixels]`.
pub struct ConvolutionOverTime<'a> {
    weights: &'a WeightsOverTime,
    /// Two more than results, the oldest first.
    frames: &'a [&'a [f32]],
    bias: &'a [f32],
    /// One for each result, or none.
    residuals: &'a [&'a [f32]],
    pixels: usize,
    split: Split,
}

impl<'a> ConvolutionOverTime<'a> {
    /// `bias`: a number for each output channel; `residuals`: are added to the results; there may be none. It is split
    /// for so many `threads`.
    ///
    /// # Panics
    /// Where a slice has another length than weights and `pixels` say.
    pub fn new(
        weights: &'a WeightsOverTime,
        frames: &'a [&'a [f32]],
        bias: &'a [f32],
        residuals: &'a [&'a [f32]],
        pixels: usize,
        threads: usize,
    ) -> Self {
        let all = |frames: &[&[f32]], channels: usize| frames.iter().all(|frame| frame.len() == channels * pixels);
        assert!(
            pixels > 0 && frames.len() == weights.frames.positions() && all(frames, weights.inputs),
            "other frames"
        );
        assert!(bias.len() == weights.outputs, "another bias");
        assert!(
            (residuals.is_empty() || residuals.len() == weights.frames.count()) && all(residuals, weights.outputs),
            "other residuals"
        );
        let whole = Whole {
            rows: 1,
            columns: pixels,
            groups: weights.groups(),
            outputs: weights.rows,
            positions: weights.frames.positions(),
        };
        Self {
            weights,
            frames,
            bias,
            residuals,
            pixels,
            split: Split::of_pixels(whole, weights.inputs.min(DEPTH), threads),
        }
    }

    /// Writes the results to `y`. `for_each` calls a function with each number below a count, once, on any threads, and
    /// returns when all calls have; its result is returned.
    ///
    /// # Panics
    /// Where `y` has other lengths than the results.
    pub fn run<R>(&self, y: &mut [&mut [f32]], for_each: impl FnOnce(usize, &(dyn Fn(usize) + Sync)) -> R) -> R {
        let len = self.weights.outputs * self.pixels;
        assert!(
            y.len() == self.weights.frames.count() && y.iter().all(|y| y.len() == len),
            "other outputs"
        );
        let y: Vec<Shared<'_>> = y.iter_mut().map(|y| Shared::new(y)).collect();
        let taken: Vec<AtomicBool> = (0..self.split.len()).map(|_| AtomicBool::new(false)).collect();
        for_each(taken.len(), &|index| {
            // Two threads with one block would write to the same floats.
            assert!(!taken[index].swap(true, Ordering::Relaxed), "a block is computed once");
            self.run_block(index, &y);
        })
    }

    /// Not generic, so that this crate compiles it: others, which call `run`, may do so without optimization.
    fn run_block(&self, index: usize, y: &[Shared<'_>]) {
        let block = self.split.block(index);
        room::with(|room| {
            self.weights.instructions.compute(Part {
                convolution: self,
                block,
                room,
                y,
            });
        });
    }
}

/// A block's work.
struct Part<'a> {
    convolution: &'a ConvolutionOverTime<'a>,
    block: Block,
    room: &'a mut Room,
    y: &'a [Shared<'a>],
}

impl Work for Part<'_> {
    #[inline(always)]
    fn with<K: Machine>(self) {
        match self.convolution.weights.frames {
            Frames::Two => self.run::<K, Two, 2, 4>(),
            Frames::Four => self.run::<K, Four, 4, 6>(),
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn run<K: Machine, T: Points<M, P>, const M: usize, const P: usize>(self) {
        let Self {
            convolution,
            block,
            room,
            y,
        } = self;
        let (weights, pixels) = (convolution.weights, convolution.pixels);
        let stride = block.columns.len().next_multiple_of(K::V::LEN);
        let rows = block.groups.len() * weights.rows;
        let (v_position, m_position) = (weights.inputs.min(DEPTH) * stride, rows * stride);
        let [v, m] = room.pieces([P * v_position, P * m_position]);
        for chunk in chunks(weights.inputs) {
            for (depth, channel) in chunk.clone().enumerate() {
                for from in convolution.frames {
                    fetch::<K::V>(
                        from.as_ptr().wrapping_add((channel + 1) * pixels + block.columns.start),
                        stride,
                    );
                }
                let mut frames = [&[][..]; P];
                for (frame, from) in frames.iter_mut().zip(convolution.frames) {
                    *frame = &from[channel * pixels..][block.columns.clone()];
                }
                transform_inputs::<K::V, T, M, P>(frames, &mut v[depth * stride..], v_position);
            }
            let positions = v.chunks_exact(v_position).zip(m.chunks_exact_mut(m_position));
            for (position, (v, m)) in positions.enumerate() {
                let u = &weights.values[weights.offset(&chunk, position, block.groups.start)..];
                products::<K>(weights.rows, chunk.len(), stride, u, v, m, chunk.start > 0);
            }
        }
        let first = block.groups.start * weights.rows;
        for channel in first..weights.outputs.min(first + rows) {
            let start = channel * pixels + block.columns.start;
            for from in convolution.residuals {
                fetch::<K::V>(from.as_ptr().wrapping_add(start + pixels), stride);
            }
            for y in y {
                fetch::<K::V>(y.at(start + pixels), stride);
            }
            let mut residuals = [None; M];
            for (residual, from) in residuals.iter_mut().zip(convolution.residuals) {
                *residual = Some(&from[start..][..block.columns.len()]);
            }
            let mut to = [std::ptr::null_mut(); M];
            for (to, y) in to.iter_mut().zip(y) {
                // SAFETY: these pixels are in this block only, which one thread computes.
                *to = unsafe { y.part(start, block.columns.len()) };
            }
            let from = &m[(channel - first) * stride..];
            let bias = convolution.bias[channel];
            // SAFETY: each of `to` has as many floats as the block has pixels.
            unsafe { transform_outputs::<K::V, T, M, P>(from, m_position, bias, residuals, to, block.columns.len()) };
        }
    }
}

#[inline(always)]
fn fetch<V: Vector>(from: *const f32, len: usize) {
    for at in (0..len).step_by(16) {
        V::fetch(from.wrapping_add(at));
    }
}

/// A channel's pixels of all frames, which have the same length, to values at the positions, `apart` floats from each
/// other; zeros up to a whole vector.
#[inline(always)]
fn transform_inputs<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(
    frames: [&[f32]; P],
    to: &mut [f32],
    apart: usize,
) {
    let len = frames[0].len();
    assert!(frames.iter().all(|frame| frame.len() == len));
    assert!((P - 1) * apart + len.next_multiple_of(V::LEN) <= to.len());
    for at in (0..len).step_by(V::LEN) {
        let count = (len - at).min(V::LEN);
        let mut d = [V::splat(0.0); P];
        for (d, frame) in d.iter_mut().zip(&frames) {
            // SAFETY: the frames have `len` floats; only those from `at` on are read.
            *d = unsafe {
                let from = frame.as_ptr().add(at);
                if count == V::LEN {
                    V::load_from(from)
                } else {
                    V::load_some(from, 0..count)
                }
            };
        }
        for (position, value) in T::input(d).iter().enumerate() {
            // SAFETY: the assertion above checked that whole vectors fit at each position.
            unsafe { value.store_to(to.as_mut_ptr().add(position * apart + at)) };
        }
    }
}

/// Sums at the positions, `apart` floats from each other, to a channel's `len` pixels of each frame.
///
/// # Safety
/// Each of `to` has `len` floats that no other thread uses.
#[inline(always)]
unsafe fn transform_outputs<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(
    from: &[f32],
    apart: usize,
    bias: f32,
    residuals: [Option<&[f32]>; M],
    to: [*mut f32; M],
    len: usize,
) {
    assert!((P - 1) * apart + len.next_multiple_of(V::LEN) <= from.len());
    assert!(residuals.iter().flatten().all(|residual| residual.len() == len));
    let bias = V::splat(bias);
    for at in (0..len).step_by(V::LEN) {
        let count = (len - at).min(V::LEN);
        let mut sums = [V::splat(0.0); P];
        for (position, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the first assertion checked that whole vectors are there at each position.
            *sum = unsafe { V::load_from(from.as_ptr().add(position * apart + at)) };
        }
        let results = T::output(sums);
        for i in 0..M {
            let mut value = results[i].add(bias);
            // SAFETY: residuals and `to` have `len` floats, of which at most those from `at` on are used.
            unsafe {
                if let Some(residual) = residuals[i] {
                    let residual = residual.as_ptr().add(at);
                    value = value.add(if count == V::LEN {
                        V::load_from(residual)
                    } else {
                        V::load_some(residual, 0..count)
                    });
                }
                if count == V::LEN {
                    value.store_to(to[i].add(at));
                } else {
                    value.store_first(to[i].add(at), count);
                }
            }
        }
    }
}
