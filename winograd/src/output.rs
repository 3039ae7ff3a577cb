//! The transform of outputs: sums at the positions to a channel's pixels.

use std::hint::black_box;

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
    /// The sums, transformed along rows: `P` rows, each as `M` rows of every `M`-th pixel.
    rows: &'a mut [f32],
    /// The tiles' pixels: `M` rows, each as `M` rows of every `M`-th pixel.
    pixels: &'a mut [f32],
}

/// The lengths of the memory that [`Output`] needs.
pub fn lens<V: Vector, const M: usize, const P: usize>(block: &Block) -> [usize; 2] {
    let stride = block.tiles().next_multiple_of(V::LEN);
    // A vector more, as a row of tiles may begin anywhere.
    [P * M * stride, M * M * stride + V::LEN]
}

impl<'a> Output<'a> {
    /// `room`: memory of [`lens`].
    pub fn new<V: Vector>(
        picture: Picture,
        block: &'a Block,
        position_stride: usize,
        room: [&'a mut [f32]; 2],
    ) -> Self {
        let [rows, pixels] = room;
        let stride = block.tiles().next_multiple_of(V::LEN);
        Self {
            picture,
            block,
            position_stride,
            stride,
            rows,
            pixels,
        }
    }

    /// Transforms the sums of a channel, and adds `bias` to all pixels, and the pixels of `residual`. `from`: at each
    /// position the sums of all tiles, row by row, up to a whole vector. Writes the block's part of the channel `to`.
    #[inline(always)]
    pub fn transform<V: Vector, T: Points<M, P>, const M: usize, const P: usize>(
        &mut self,
        from: &[f32],
        bias: f32,
        residual: Option<&[f32]>,
        to: &Shared<'_>,
    ) {
        let (bias, stride) = (V::splat(bias), self.stride);
        assert!((P * P - 1) * self.position_stride + stride <= from.len() && stride.is_multiple_of(V::LEN));
        assert!(P * M * stride <= self.rows.len() && M * M * stride <= self.pixels.len());
        // SAFETY: each position has `stride` floats, whole vectors, and so has each row of `rows` and `pixels`: the
        // assertions above checked it, once for all.
        unsafe {
            // The compiler must not see that `P` and `M` are small: it would unroll the outer loops, and keep more
            // addresses than there are registers.
            for y in 0..black_box(P) {
                let (from, to) = (
                    from.as_ptr().add(y * P * self.position_stride),
                    self.rows.as_mut_ptr().add(y * M * stride),
                );
                for tile in (0..stride).step_by(V::LEN) {
                    let mut row = [V::splat(0.0); P];
                    for (x, value) in row.iter_mut().enumerate() {
                        *value = V::load_from(from.add(x * self.position_stride + tile));
                    }
                    for (x, value) in T::output(row).iter().enumerate() {
                        value.store_to(to.add(x * stride + tile));
                    }
                }
            }
            let len = M * stride;
            for i in (0..len).step_by(V::LEN) {
                let (from, to) = (self.rows.as_ptr().add(i), self.pixels.as_mut_ptr().add(i));
                let mut column = [V::splat(0.0); P];
                for (y, value) in column.iter_mut().enumerate() {
                    *value = V::load_from(from.add(y * len));
                }
                for (y, value) in T::output(column).iter().enumerate() {
                    value.add(bias).store_to(to.add(y * len));
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
                        // The same pixels of the next channel, which are far away.
                        V::fetch(to.wrapping_add(at + height * width));
                        if let Some(residual) = residual {
                            V::fetch(residual.wrapping_add(at + height * width));
                        }
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
