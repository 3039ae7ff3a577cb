//! The transform of outputs: sums at the positions to a channel's pixels.

use crate::block::Block;
use crate::convolution::Picture;
use crate::points::Points;
use crate::vector::Vector;

/// Transforms channels of a picture, for a block.
pub struct Output<'a> {
    picture: Picture,
    block: &'a Block,
    /// Floats from one position's sums to the next in what is read.
    position_stride: usize,
    /// Tiles, rounded up to vectors.
    stride: usize,
    /// The tiles' pixels: `M` rows, each as `M` rows of every `M`-th pixel.
    pixels: &'a mut [f32],
    /// A row of pixels.
    line: &'a mut [f32],
}

/// The lengths of the memory that [`Output`] needs.
pub fn lens<V: Vector, const M: usize>(block: &Block) -> [usize; 2] {
    let stride = block.tiles().next_multiple_of(V::LEN);
    let columns = block.columns.len().next_multiple_of(V::LEN);
    [M * M * stride + V::LEN, M * columns]
}

impl<'a> Output<'a> {
    /// `room`: memory of [`lens`].
    pub fn new<V: Vector>(
        picture: Picture,
        block: &'a Block,
        position_stride: usize,
        room: [&'a mut [f32]; 2],
    ) -> Self {
        let [pixels, line] = room;
        let stride = block.tiles().next_multiple_of(V::LEN);
        Self {
            picture,
            block,
            position_stride,
            stride,
            pixels,
            line,
        }
    }

    /// Transforms the sums of a channel, and adds `bias` to all pixels. `from`: at each position the sums of all tiles,
    /// row by row, up to a whole vector. `write` gets the index in the channel of each part of a row, and its pixels.
    #[inline(always)]
    pub fn transform<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(
        &mut self,
        from: &[f32],
        bias: f32,
        mut write: impl FnMut(usize, &mut [f32]),
    ) {
        let bias = V::splat(bias);
        for tile in (0..self.stride).step_by(V::LEN) {
            let mut columns = [[V::splat(0.0); P]; M];
            for y in 0..P {
                let mut row = [V::splat(0.0); P];
                for (x, value) in row.iter_mut().enumerate() {
                    *value = V::load(&from[(y * P + x) * self.position_stride + tile..]);
                }
                for (column, value) in columns.iter_mut().zip(&T::output(row)) {
                    column[y] = *value;
                }
            }
            for (x, column) in columns.iter().enumerate() {
                for (y, value) in T::output(*column).iter().enumerate() {
                    value
                        .add(bias)
                        .store(&mut self.pixels[(y * M + x) * self.stride + tile..]);
                }
            }
        }
        let Picture { height, width } = self.picture;
        let (left, tiles) = (self.block.columns.start * M, self.block.columns.len());
        let len = (tiles * M).min(width - left);
        for row in 0..self.block.rows.len() {
            let top = (self.block.rows.start + row) * M;
            for y in 0..M.min(height - top) {
                let pixels = &self.pixels[y * M * self.stride + row * tiles..];
                for tile in (0..tiles).step_by(V::LEN) {
                    let mut parts = [V::splat(0.0); M];
                    for (x, part) in parts.iter_mut().enumerate() {
                        *part = V::load(&pixels[x * self.stride + tile..]);
                    }
                    for (i, value) in together(parts).iter().enumerate() {
                        value.store(&mut self.line[tile * M + i * V::LEN..]);
                    }
                }
                write((top + y) * width + left, &mut self.line[..len]);
            }
        }
    }
}

/// The inverse of `input`'s `apart`.
#[inline(always)]
fn together<V: Vector, const M: usize>(v: [V; M]) -> [V; M] {
    let mut result = v;
    if M == 2 {
        (result[0], result[1]) = V::zip(v[0], v[1]);
        return result;
    }
    let (even, even_2) = V::zip(v[0], v[2]);
    let (odd, odd_2) = V::zip(v[1], v[3]);
    (result[0], result[1]) = V::zip(even, odd);
    (result[2], result[3]) = V::zip(even_2, odd_2);
    result
}
