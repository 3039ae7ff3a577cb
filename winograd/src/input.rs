//! The transform of inputs: a channel's pixels to values at the positions.

use std::hint::black_box;

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
    /// The picture's rows, each as `M` rows of every `M`-th pixel.
    pixels: &'a mut [f32],
    /// The rows of tiles, transformed down their columns: `P` rows each, as above.
    columns: &'a mut [f32],
}

/// The lengths of the memory that [`Input`] needs.
pub fn lens<V: Vector, const M: usize, const P: usize>(block: &Block) -> [usize; 2] {
    let stride = stride::<V>(block);
    let rows = block.rows.len() * M + 2;
    [rows * M * stride, block.rows.len() * P * M * stride + V::LEN]
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
        room: [&'a mut [f32]; 2],
    ) -> Self {
        let [pixels, columns] = room;
        let stride = stride::<V>(block);
        Self {
            picture,
            block,
            position_stride,
            stride,
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
        let (rows, tiles) = (self.block.rows.len(), self.block.columns.len());
        let written = (P * P - 1) * self.position_stride + (rows - 1) * tiles + tiles.next_multiple_of(V::LEN);
        assert!(
            tiles < self.stride && written <= to.len() && rows * P * M * self.stride + V::LEN <= self.columns.len()
        );
        for row in 0..rows {
            self.down_columns::<V, T, M, P>(row);
        }
        // Only now, as the processor would wait for what it has just stored, where it is loaded from between vectors.
        for row in 0..rows {
            // The compiler must not see that `P` is small: it would unroll the loop, and keep more addresses than there
            // are registers.
            for y in 0..black_box(P) {
                let from = self.columns[(row * P + y) * M * self.stride..].as_ptr();
                let to = to[y * P * self.position_stride + row * tiles..].as_mut_ptr();
                for tile in (0..tiles).step_by(V::LEN) {
                    // SAFETY: a row of tiles has `stride` values, more than `tiles` and whole vectors; the last row of
                    // `columns` has a vector more, and the others have the next row behind them. The assertion above
                    // checked this, and `to`, once for all.
                    unsafe {
                        let mut d = [V::splat(0.0); P];
                        for (x, d) in d.iter_mut().enumerate() {
                            // The last two pixels of a tile are the first two of the next.
                            *d = V::load_from(from.add(x % M * self.stride + tile + x / M));
                        }
                        for (x, value) in T::input(d).iter().enumerate() {
                            value.store_to(to.add(x * self.position_stride + tile));
                        }
                    }
                }
            }
        }
    }

    /// Copies the rows of pixels that the block needs, each as `M` rows of every `M`-th pixel. There are zeros around
    /// the picture.
    #[inline(always)]
    fn take_apart<V: Vector, const M: usize>(&mut self, channel: &[f32]) {
        let Picture { height, width } = self.picture;
        assert!(channel.len() == height * width);
        // Counted from 1, as the first tile begins left of the picture.
        let (top, left) = (self.block.rows.start * M, self.block.columns.start * M);
        for (row, pixels) in self.pixels.chunks_exact_mut(M * self.stride).enumerate() {
            let Some(y) = (top + row).checked_sub(1).filter(|y| *y < height) else {
                pixels.fill(0.0);
                continue;
            };
            let from = channel[y * width..].as_ptr().wrapping_sub(1);
            for tile in (0..self.stride).step_by(V::LEN) {
                let mut vectors = [V::splat(0.0); M];
                for (i, vector) in vectors.iter_mut().enumerate() {
                    let x = left + tile * M + i * V::LEN;
                    let from = from.wrapping_add(x);
                    // The same pixels of the next channel, which are far away.
                    V::fetch(from.wrapping_add(channel.len()));
                    // SAFETY: only pixels of the row are read, which are 1 to `width`.
                    *vector = unsafe {
                        if x > 0 && x + V::LEN <= width + 1 {
                            V::load_from(from)
                        } else {
                            V::load_some(from, usize::from(x == 0)..V::LEN.min((width + 1).saturating_sub(x)))
                        }
                    };
                }
                for (x, value) in apart(vectors).iter().enumerate() {
                    let to = &mut pixels[x * self.stride + tile..][..V::LEN];
                    // SAFETY: the slice has as many floats.
                    unsafe { value.store_to(to.as_mut_ptr()) };
                }
            }
        }
    }

    #[inline(always)]
    fn down_columns<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(&mut self, row: usize) {
        let len = M * self.stride;
        let pixels = &self.pixels[row * M * len..][..P * len];
        let columns = &mut self.columns[row * P * len..][..P * len];
        for i in (0..len).step_by(V::LEN) {
            // SAFETY: both slices have P rows of `len` floats, whole vectors.
            unsafe {
                let mut d = [V::splat(0.0); P];
                for (y, d) in d.iter_mut().enumerate() {
                    *d = V::load_from(pixels.as_ptr().add(y * len + i));
                }
                for (y, value) in T::input(d).iter().enumerate() {
                    value.store_to(columns.as_mut_ptr().add(y * len + i));
                }
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
