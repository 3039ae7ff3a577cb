//! A convolution, block by block.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::block::{Block, Split, Whole};
use crate::input::{self, Input};
use crate::machine::{Machine, Work};
use crate::output::{self, Output};
use crate::points::{Four, Points, Tile, Two};
use crate::product::Operands;
use crate::room::{self, Room};
use crate::shared::Shared;
use crate::vector::Vector;
use crate::weights::{DEPTH, Weights};

/// The size of a picture, of inputs and outputs alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    pub height: usize,
    pub width: usize,
}

/// A convolution of a picture for each tap, with zeros around it; all in channels, rows, columns.
pub struct Convolution<'a> {
    weights: &'a Weights,
    taps: &'a [&'a [f32]],
    bias: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
    picture: Picture,
    split: Split,
}

impl<'a> Convolution<'a> {
    /// `taps`: the inputs; `bias`: a number for each output channel; `residual`: is added to the result. It is split
    /// for so many `threads`.
    ///
    /// # Panics
    /// Where a slice has another length than weights and `picture` say.
    pub fn new(
        weights: &'a Weights,
        taps: &'a [&'a [f32]],
        bias: Option<&'a [f32]>,
        residual: Option<&'a [f32]>,
        picture: Picture,
        threads: usize,
    ) -> Self {
        let pixels = picture.height * picture.width;
        assert!(pixels > 0 && taps.len() == weights.taps, "other taps than weights");
        assert!(
            taps.iter().all(|tap| tap.len() == weights.inputs * pixels),
            "other inputs"
        );
        assert!(bias.is_none_or(|bias| bias.len() == weights.outputs), "another bias");
        assert!(
            residual.is_none_or(|residual| residual.len() == weights.outputs * pixels),
            "another residual"
        );
        let (side, positions) = match weights.tile {
            Tile::Two => (2, 16),
            Tile::Four => (4, 36),
        };
        let whole = Whole {
            rows: picture.height.div_ceil(side),
            columns: picture.width.div_ceil(side),
            groups: weights.groups(),
            outputs: weights.rows,
            positions,
        };
        let split = Split::new(whole, weights.inputs.min(DEPTH), threads);
        Self {
            weights,
            taps,
            bias,
            residual,
            picture,
            split,
        }
    }

    /// Writes the result to `y`. `for_each` calls a function with each number below a count, once, on any threads, and
    /// returns when all calls have; its result is returned.
    ///
    /// # Panics
    /// Where `y` has another length than the result.
    pub fn run<R>(&self, y: &mut [f32], for_each: impl FnOnce(usize, &(dyn Fn(usize) + Sync)) -> R) -> R {
        assert!(
            y.len() == self.weights.outputs * self.picture.height * self.picture.width,
            "another output"
        );
        let y = Shared::new(y);
        let taken: Vec<AtomicBool> = (0..self.split.len()).map(|_| AtomicBool::new(false)).collect();
        for_each(taken.len(), &|index| {
            // Two threads with one block would write to the same floats.
            assert!(!taken[index].swap(true, Ordering::Relaxed), "a block is computed once");
            self.run_block(index, &y);
        })
    }

    /// Not generic, so that this crate compiles it: others, which call `run`, may do so without optimization.
    fn run_block(&self, index: usize, y: &Shared<'_>) {
        let block = &self.split.block(index);
        room::with(|room| {
            self.weights.instructions.compute(Part {
                convolution: self,
                block,
                room,
                y,
            });
        });
    }

    #[inline(always)]
    fn run_tiles<K: Machine, T: Points<M, P>, const M: usize, const P: usize>(
        &self,
        block: &Block,
        room: &mut Room,
        y: &Shared<'_>,
    ) {
        let weights = self.weights;
        let stride = block.tiles().next_multiple_of(K::V::LEN);
        let rows = block.groups.len() * weights.rows;
        // A vector more: the input transform writes so much behind a position's values.
        let (v_position, m_position) = (weights.inputs.min(DEPTH) * stride + K::V::LEN, rows * stride);
        let [rows_out, pixels_out] = output::lens::<K::V, M, P>(block);
        let lens = [
            P * P * v_position,
            P * P * m_position,
            input::len::<K::V, M, P>(),
            rows_out,
            pixels_out,
        ];
        let [v, m, columns, rows_out, pixels_out] = room.pieces(lens);

        let mut input = Input::new(self.picture, block, v_position, columns);
        let area = self.picture.height * self.picture.width;
        for (tap, pixels) in self.taps.iter().enumerate() {
            for chunk in weights.chunks() {
                for (depth, channel) in chunk.clone().enumerate() {
                    let channel = &pixels[channel * area..][..area];
                    input.transform::<K::V, T, M, P>(channel, &mut v[depth * stride..]);
                }
                let positions = v.chunks_exact(v_position).zip(m.chunks_exact_mut(m_position));
                for (position, (v, m)) in positions.enumerate() {
                    let u = weights.at(tap, &chunk, position, block.groups.start);
                    let add = tap > 0 || chunk.start > 0;
                    products::<K>(weights.rows, chunk.len(), stride, u, v, m, add);
                }
            }
        }

        let mut output = Output::new::<K::V>(self.picture, block, m_position, [rows_out, pixels_out]);
        let first = block.groups.start * weights.rows;
        for channel in first..weights.outputs.min(first + rows) {
            let sums = &m[(channel - first) * stride..];
            let bias = self.bias.map_or(0.0, |bias| bias[channel]);
            let residual = self.residual.map(|residual| &residual[channel * area..][..area]);
            output.transform::<K::V, T, M, P>(sums, bias, residual, &y.slice(channel * area, area));
        }
    }
}

/// A block's work.
struct Part<'a> {
    convolution: &'a Convolution<'a>,
    block: &'a Block,
    room: &'a mut Room,
    y: &'a Shared<'a>,
}

impl Work for Part<'_> {
    #[inline(always)]
    fn with<K: Machine>(self) {
        let Self {
            convolution,
            block,
            room,
            y,
        } = self;
        match convolution.weights.tile {
            Tile::Two => convolution.run_tiles::<K, Two, 2, 4>(block, room, y),
            Tile::Four => convolution.run_tiles::<K, Four, 4, 6>(block, room, y),
        }
    }
}

/// The products of a chunk at one position: weights in order, so that the processor fetches them ahead; the inputs of
/// the chunk stay in the first level of cache.
#[inline(always)]
pub fn products<K: Machine>(rows: usize, depth: usize, stride: usize, u: &[f32], v: &[f32], m: &mut [f32], add: bool) {
    for (u, m) in u.chunks_exact(rows * depth).zip(m.chunks_exact_mut(rows * stride)) {
        let mut tile = 0;
        while tile < stride {
            let two = stride - tile >= 2 * K::V::LEN;
            let operands = Operands {
                u,
                v: &v[tile..],
                v_stride: stride,
                m: &mut m[tile..],
                m_stride: stride,
                depth,
                add,
            };
            // SAFETY: this function is inlined into one that is compiled for the same instructions.
            unsafe { K::product(rows, two, operands) };
            tile += if two { 2 * K::V::LEN } else { K::V::LEN };
        }
    }
}
