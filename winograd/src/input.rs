//! The transform of inputs: a channel's pixels to values at the positions.

use crate::block::Block;
use crate::convolution::Picture;
use crate::points::Points;
use crate::vector::Vector;

/// Transforms channels of a picture, for a block.
pub struct Input<'a> {
    picture: Picture,
    block: &'a Block,
    /// Floats from one position's values to the next in what is written.
    position_stride: usize,
    /// Tiles of a row and one more, whose first pixels belong to the last tile, too; rounded up to vectors.
    stride: usize,
    /// A row of pixels, with those at both sides.
    line: &'a mut [f32],
    /// The picture's rows, each as `M` rows of every `M`-th pixel.
    pixels: &'a mut [f32],
    /// A row of tiles, transformed down its columns: `P` rows, each as above.
    columns: &'a mut [f32],
}

/// The lengths of the memory that [`Input`] needs.
pub fn lens<V: Vector, const M: usize, const P: usize>(block: &Block) -> [usize; 3] {
    let stride = stride::<V>(block);
    let rows = block.rows.len() * M + 2;
    [M * stride, rows * M * stride, P * M * stride + V::LEN]
}

fn stride<V: Vector>(block: &Block) -> usize {
    (block.columns.len() + 1).next_multiple_of(V::LEN)
}

impl<'a> Input<'a> {
    /// `room`: memory of [`lens`].
    pub fn new<V: Vector>(
        picture: Picture,
        block: &'a Block,
        position_stride: usize,
        room: [&'a mut [f32]; 3],
    ) -> Self {
        let [line, pixels, columns] = room;
        // What is beyond the picture's sides stays zero.
        line.fill(0.0);
        let stride = stride::<V>(block);
        Self {
            picture,
            block,
            position_stride,
            stride,
            line,
            pixels,
            columns,
        }
    }

    /// Transforms the pixels of a channel. `to`: at each position the values of all tiles, row by row. After those of a
    /// position it may write up to a vector of anything.
    #[inline(always)]
    pub fn transform<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(
        &mut self,
        channel: &[f32],
        to: &mut [f32],
    ) {
        self.take_apart::<V, M>(channel);
        let tiles = self.block.columns.len();
        for row in 0..self.block.rows.len() {
            self.down_columns::<V, T, M, P>(row);
            for y in 0..P {
                let from = &self.columns[y * M * self.stride..];
                for tile in (0..tiles).step_by(V::LEN) {
                    // The last two pixels of a tile are the first two of the next.
                    let mut d = [V::splat(0.0); P];
                    for (x, d) in d.iter_mut().enumerate() {
                        *d = V::load(&from[x % M * self.stride + tile + x / M..]);
                    }
                    for (x, value) in T::input(d).iter().enumerate() {
                        value.store(&mut to[(y * P + x) * self.position_stride + row * tiles + tile..]);
                    }
                }
            }
        }
    }

    /// Copies the rows of pixels that the block needs, each as `M` rows of every `M`-th pixel.
    #[inline(always)]
    fn take_apart<V: Vector, const M: usize>(&mut self, channel: &[f32]) {
        let Picture { height, width } = self.picture;
        // Pixels from the one left of the first tile on.
        let (top, left) = (self.block.rows.start * M, self.block.columns.start * M);
        let (from, skip) = (left.saturating_sub(1), usize::from(left == 0));
        let len = (self.block.columns.len() * M + 2 - skip).min(width - from);
        for (row, pixels) in self.pixels.chunks_exact_mut(M * self.stride).enumerate() {
            let Some(y) = (top + row).checked_sub(1).filter(|y| *y < height) else {
                pixels.fill(0.0);
                continue;
            };
            self.line[skip..][..len].copy_from_slice(&channel[y * width + from..][..len]);
            for tile in (0..self.stride).step_by(V::LEN) {
                let mut vectors = [V::splat(0.0); M];
                for (i, vector) in vectors.iter_mut().enumerate() {
                    *vector = V::load(&self.line[tile * M + i * V::LEN..]);
                }
                for (x, value) in apart(vectors).iter().enumerate() {
                    value.store(&mut pixels[x * self.stride + tile..]);
                }
            }
        }
    }

    #[inline(always)]
    fn down_columns<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(&mut self, row: usize) {
        let pixels = &self.pixels[row * M * M * self.stride..];
        for i in (0..M * self.stride).step_by(V::LEN) {
            let mut d = [V::splat(0.0); P];
            for (y, d) in d.iter_mut().enumerate() {
                *d = V::load(&pixels[y * M * self.stride + i..]);
            }
            for (y, value) in T::input(d).iter().enumerate() {
                value.store(&mut self.columns[y * M * self.stride + i..]);
            }
        }
    }
}

/// Every `M`-th float, from each of the first `M` on. `M` is 2 or 4.
#[inline(always)]
fn apart<V: Vector, const M: usize>(v: [V; M]) -> [V; M] {
    let mut result = v;
    let (even, odd) = V::unzip(v[0], v[1]);
    if M == 2 {
        (result[0], result[1]) = (even, odd);
        return result;
    }
    let (even_2, odd_2) = V::unzip(v[2], v[3]);
    (result[0], result[2]) = V::unzip(even, even_2);
    (result[1], result[3]) = V::unzip(odd, odd_2);
    result
}
