//! The transform of outputs: sums at the positions to a channel's pixels.

use crate::block::Block;
use crate::convolution::Picture;
use crate::points::Points;
use crate::shared::Shared;
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
}

/// The length of the memory that [`Output`] needs.
pub fn len<V: Vector, const M: usize>(block: &Block) -> usize {
    let stride = block.tiles().next_multiple_of(V::LEN);
    // A vector more, as a row of tiles may begin anywhere.
    M * M * stride + V::LEN
}

impl<'a> Output<'a> {
    /// `pixels`: memory of [`len`].
    pub fn new<V: Vector>(picture: Picture, block: &'a Block, position_stride: usize, pixels: &'a mut [f32]) -> Self {
        let stride = block.tiles().next_multiple_of(V::LEN);
        Self {
            picture,
            block,
            position_stride,
            stride,
            pixels,
        }
    }

    /// Transforms the sums of a channel, and adds `bias` to all pixels, and the pixels of `residual`. `from`: at each
    /// position the sums of all tiles, row by row, up to a whole vector. Writes the block's part of the channel `to`.
    #[allow(clippy::needless_range_loop, reason = "iterators over vectors are not inlined")]
    #[inline(always)]
    pub fn transform<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(
        &mut self,
        from: &[f32],
        bias: f32,
        residual: Option<&[f32]>,
        to: &Shared<'_>,
    ) {
        let bias = V::splat(bias);
        assert!((P * P - 1) * self.position_stride + self.stride <= from.len());
        assert!(M * M * self.stride <= self.pixels.len() && self.stride.is_multiple_of(V::LEN));
        for tile in (0..self.stride).step_by(V::LEN) {
            // SAFETY: each position and each row of pixels has `stride` floats, whole vectors: the assertions above
            // checked it. Bounds checks would take half of the time here.
            unsafe {
                let (from, to) = (from.as_ptr().add(tile), self.pixels.as_mut_ptr().add(tile));
                let mut columns = [[V::splat(0.0); P]; M];
                for y in 0..P {
                    let mut row = [V::splat(0.0); P];
                    for (x, value) in row.iter_mut().enumerate() {
                        *value = V::load_from(from.add((y * P + x) * self.position_stride));
                    }
                    let row = T::output(row);
                    for x in 0..M {
                        columns[x][y] = row[x];
                    }
                }
                for (x, column) in columns.iter().enumerate() {
                    for (y, value) in T::output(*column).iter().enumerate() {
                        value.add(bias).store_to(to.add((y * M + x) * self.stride));
                    }
                }
            }
        }
        self.put_together::<V, M>(residual, to);
    }

    #[inline(always)]
    fn put_together<V: Vector, const M: usize>(&mut self, residual: Option<&[f32]>, to: &Shared<'_>) {
        let Picture { height, width } = self.picture;
        let (left, tiles) = (self.block.columns.start * M, self.block.columns.len());
        let len = (tiles * M).min(width - left);
        for row in 0..self.block.rows.len() {
            let top = (self.block.rows.start + row) * M;
            for y in 0..M.min(height - top) {
                let start = (top + y) * width + left;
                let residual = residual.map(|residual| residual[start..][..len].as_ptr());
                // SAFETY: these pixels are in this block only, which one thread computes.
                let to = unsafe { to.part(start, len) };
                let pixels = &self.pixels[y * M * self.stride + row * tiles..];
                for tile in (0..tiles).step_by(V::LEN) {
                    let mut parts = [V::splat(0.0); M];
                    for (x, part) in parts.iter_mut().enumerate() {
                        let from = &pixels[x * self.stride + tile..][..V::LEN];
                        // SAFETY: the slice has as many floats.
                        *part = unsafe { V::load_from(from.as_ptr()) };
                    }
                    for (i, value) in together(parts).iter().enumerate() {
                        let at = tile * M + i * V::LEN;
                        let count = len.saturating_sub(at).min(V::LEN);
                        let (to, residual) = (to.wrapping_add(at), residual.map(|residual| residual.wrapping_add(at)));
                        // SAFETY: both have `len` floats, and as many of them are used as there are from `at` on.
                        unsafe {
                            if count == V::LEN {
                                let value = match residual {
                                    Some(residual) => value.add(V::load_from(residual)),
                                    None => *value,
                                };
                                value.store_to(to);
                            } else {
                                let value = match residual {
                                    Some(residual) => value.add(V::load_some(residual, 0..count)),
                                    None => *value,
                                };
                                value.store_first(to, count);
                            }
                        }
                    }
                }
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
