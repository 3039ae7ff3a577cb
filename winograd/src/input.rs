//! The transform of inputs: a channel's pixels to values at the positions.

use std::hint::black_box;

use crate::block::Block;
use crate::convolution::Picture;
use crate::points::Points;
use crate::vector::Vector;

/// Transforms channels of a picture, for a block. Pixels become values a vector of tiles at a time, and go through the
/// first level of cache only.
pub struct Input<'a> {
    picture: Picture,
    block: &'a Block,
    /// Floats from one position's values to the next in what is written.
    position_stride: usize,
    /// A vector of tiles, transformed down its columns: `P` rows of pixels.
    columns: &'a mut [f32],
}

/// The length of the memory that [`Input`] needs.
pub fn len<V: Vector, const M: usize, const P: usize>() -> usize {
    P * row_len::<V, M>()
}

/// The pixels that a row of a vector of tiles needs, rounded up to vectors.
const fn row_len<V: Vector, const M: usize>() -> usize {
    (M + 1) * V::LEN
}

/// A row outside of the picture, for a vector of tiles of any kind.
static ZEROS: [f32; 5 * 16] = [0.0; 5 * 16];

impl<'a> Input<'a> {
    /// `room`: memory of [`len`].
    pub fn new(picture: Picture, block: &'a Block, position_stride: usize, room: &'a mut [f32]) -> Self {
        Self {
            picture,
            block,
            position_stride,
            columns: room,
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
        let Picture { height, width } = self.picture;
        let (rows, tiles) = (self.block.rows.len(), self.block.columns.len());
        let written = (P * P - 1) * self.position_stride + (rows - 1) * tiles + tiles.next_multiple_of(V::LEN);
        assert!(written <= to.len() && channel.len() == height * width);
        assert!(self.columns.len() >= P * row_len::<V, M>() && ZEROS.len() >= row_len::<V, M>());
        for row in 0..rows {
            for tile in (0..tiles).step_by(V::LEN) {
                // Counted from 1, as the first tile begins left of the picture.
                let left = (self.block.columns.start + tile) * M;
                let mut pixels = [ZEROS.as_ptr(); P];
                for (y, pixels) in pixels.iter_mut().enumerate() {
                    let y = (self.block.rows.start + row) * M + y;
                    if (1..=height).contains(&y) {
                        *pixels = channel.as_ptr().wrapping_add((y - 1) * width + left).wrapping_sub(1);
                    }
                }
                // SAFETY: rows are of the picture, or of zeros that are long enough. Of the picture's only pixels 1 to
                // `width` are read: all that a vector of tiles needs are among them, or it is said which are.
                unsafe {
                    if left > 0 && left + M * V::LEN < width {
                        self.down_columns::<V, T, M, P, false>(pixels, left);
                    } else {
                        self.down_columns::<V, T, M, P, true>(pixels, left);
                    }
                }
                // SAFETY: the assertion above checked it, once for all vectors.
                unsafe { self.along_rows::<V, T, M, P>(to.as_mut_ptr().add(row * tiles + tile)) };
            }
        }
    }

    /// # Safety
    /// Each row can be read from its beginning, which is pixel `left`, up to what the tiles need; with `EDGE` as far as
    /// pixels are from 1 to the picture's width.
    #[allow(clippy::needless_range_loop, reason = "iterators over vectors are not inlined")]
    #[inline(always)]
    unsafe fn down_columns<V: Vector, T: Points<M, P>, const M: usize, const P: usize, const EDGE: bool>(
        &mut self,
        rows: [*const f32; P],
        left: usize,
    ) {
        let area = self.picture.height * self.picture.width;
        let to = self.columns.as_mut_ptr();
        for i in 0..=M {
            let x = left + i * V::LEN;
            // The last vector is for the last tile's last two pixels.
            let needed = if i < M { V::LEN } else { 2 };
            let end = needed.min((self.picture.width + 1).saturating_sub(x));
            let start = usize::from(x == 0);
            let mut d = [V::splat(0.0); P];
            for y in 0..P {
                let from = rows[y].wrapping_add(i * V::LEN);
                // The same pixels of the next channel, which are far away.
                V::fetch(from.wrapping_add(area));
                // SAFETY: the caller's promise.
                d[y] = unsafe {
                    if EDGE {
                        V::load_some(from, start.min(end)..end)
                    } else if i < M {
                        V::load_from(from)
                    } else {
                        V::load_some(from, 0..2)
                    }
                };
            }
            let values = T::input(d);
            for y in 0..P {
                // SAFETY: `columns` has P rows of M + 1 vectors.
                unsafe { values[y].store_to(to.add(y * row_len::<V, M>() + i * V::LEN)) };
            }
        }
    }

    /// # Safety
    /// A vector can be written at each position from `to` on.
    #[inline(always)]
    unsafe fn along_rows<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(&self, to: *mut f32) {
        // The compiler must not see that `P` is small: it would unroll the loop, and keep more addresses than there are
        // registers.
        for y in 0..black_box(P) {
            // SAFETY: `columns` has P rows of M + 1 vectors; for `to` the caller's promise.
            unsafe {
                let from = self.columns.as_ptr().add(y * row_len::<V, M>());
                let mut pixels = [V::splat(0.0); M];
                for (i, pixels) in pixels.iter_mut().enumerate() {
                    *pixels = V::load_from(from.add(i * V::LEN));
                }
                let pixels = apart(pixels);
                let next = V::load_from(from.add(M * V::LEN));
                let mut d = [V::splat(0.0); P];
                d[..M].copy_from_slice(&pixels);
                // The last two pixels of a tile are the first two of the next.
                d[M] = pixels[0].shift(next);
                d[M + 1] = pixels[1].shift(next.shift(next));
                let to = to.add(y * P * self.position_stride);
                for (x, value) in T::input(d).iter().enumerate() {
                    value.store_to(to.add(x * self.position_stride));
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
