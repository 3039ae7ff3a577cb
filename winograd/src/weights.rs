//! Transformed weights.

use std::ops::Range;

use crate::machine::Instructions;
use crate::points::{Four, Points, Tile, Two};

/// Input channels whose products are summed before they are added to the sum of others. A sum over all would lose more
/// to rounding, the more channels there are.
pub(crate) const DEPTH: usize = 64;

/// Splits so many input channels.
pub(crate) fn chunks(inputs: usize) -> impl Iterator<Item = Range<usize>> {
    (0..inputs)
        .step_by(DEPTH)
        .map(move |start| start..inputs.min(start + DEPTH))
}

/// A layer's weights, transformed for one set of instructions.
///
/// The kernels of several *taps* are of convolutions of a picture each, whose results are added.
pub struct Weights {
    pub(crate) instructions: Instructions,
    pub(crate) tile: Tile,
    pub(crate) taps: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Outputs that one product computes; those of the last are filled up with zeros.
    pub(crate) rows: usize,
    /// In the order of the products: `[tap][DEPTH input channels][position][rows outputs][input channel][output]`.
    values: Vec<f32>,
}

impl Weights {
    /// Transforms `kernels`, one `[outputs, inputs, 3, 3]` for each tap.
    ///
    /// # Panics
    /// Where a kernel has another length, or there are no taps, inputs or outputs.
    pub fn new(kernels: &[&[f32]], inputs: usize, outputs: usize, tile: Tile, instructions: Instructions) -> Self {
        assert!(!kernels.is_empty() && inputs > 0 && outputs > 0, "nothing to multiply");
        let fits = |kernel: &&[f32]| kernel.len() == outputs * inputs * 9;
        assert!(kernels.iter().all(fits), "a kernel is not [outputs, inputs, 3, 3]");
        let mut weights = Self {
            instructions,
            tile,
            taps: kernels.len(),
            inputs,
            outputs,
            rows: instructions.rows(outputs),
            values: Vec::new(),
        };
        weights.values = vec![0.0; kernels.len() * inputs * weights.positions() * weights.groups() * weights.rows];
        match tile {
            Tile::Two => weights.transform::<Two, 2, 4>(kernels),
            Tile::Four => weights.transform::<Four, 4, 6>(kernels),
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

    /// Groups of `rows` outputs.
    pub(crate) fn groups(&self) -> usize {
        self.outputs.div_ceil(self.rows)
    }

    fn positions(&self) -> usize {
        match self.tile {
            Tile::Two => 16,
            Tile::Four => 36,
        }
    }

    /// The input channels of a chunk, which are summed at once.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        chunks(self.inputs)
    }

    /// The weights of a tap's chunk at a position, for groups of outputs from `group` on.
    #[inline]
    pub(crate) fn at(&self, tap: usize, chunk: &Range<usize>, position: usize, group: usize) -> &[f32] {
        &self.values[self.offset(tap, chunk, position, group)..]
    }

    fn offset(&self, tap: usize, chunk: &Range<usize>, position: usize, group: usize) -> usize {
        let before = (tap * self.inputs + chunk.start) * self.positions() * self.groups();
        (before + (position * self.groups() + group) * chunk.len()) * self.rows
    }

    /// In float64, and rounded once: the transform must add nothing to the rounding of the sums.
    fn transform<T: Points<M, P>, const M: usize, const P: usize>(&mut self, kernels: &[&[f32]]) {
        for (tap, kernels) in kernels.iter().enumerate() {
            for chunk in self.chunks() {
                for (output, kernels) in kernels.chunks_exact(9 * self.inputs).enumerate() {
                    let (group, row) = (output / self.rows, output % self.rows);
                    let first = self.offset(tap, &chunk, 0, group) + row;
                    let apart = self.groups() * chunk.len() * self.rows;
                    let (kernels, _) = kernels[9 * chunk.start..9 * chunk.end].as_chunks::<9>();
                    for (depth, kernel) in kernels.iter().enumerate() {
                        for (position, value) in transformed::<T, M, P>(kernel).as_flattened().iter().enumerate() {
                            self.values[first + depth * self.rows + position * apart] = *value as f32;
                        }
                    }
                }
            }
        }
    }
}

/// A kernel's values at the points: down its columns, then along the rows of these.
#[inline(always)]
fn transformed<T: Points<M, P>, const M: usize, const P: usize>(kernel: &[f32; 9]) -> [[f64; P]; P] {
    let at = |i: usize| f64::from(kernel[i]);
    let columns = [
        T::weights([at(0), at(3), at(6)]),
        T::weights([at(1), at(4), at(7)]),
        T::weights([at(2), at(5), at(8)]),
    ];
    let mut values = [[0.0; P]; P];
    for (y, row) in values.iter_mut().enumerate() {
        *row = T::weights([columns[0][y], columns[1][y], columns[2][y]]);
    }
    values
}
