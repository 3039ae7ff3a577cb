//! The sums of products at one position: a small matrix product that stays in the processor's registers.

use crate::vector::Vector;

/// What [`product`] multiplies.
pub struct Operands<'a> {
    /// Weights of a few outputs: `[depth][outputs]`.
    pub u: &'a [f32],
    /// Inputs: `depth` rows of tiles, `v_stride` apart.
    pub v: &'a [f32],
    pub v_stride: usize,
    /// Sums: as many rows of tiles as there are outputs, `m_stride` apart.
    pub m: &'a mut [f32],
    pub m_stride: usize,
    /// Input channels.
    pub depth: usize,
    /// Adds to the sums instead of writing them.
    pub add: bool,
}

/// How many floats of the weights are fetched ahead: about those of a product. The processor does it by itself, but not
/// across pages.
const AHEAD: usize = 1024;

/// Sums for `R` outputs and `N` vectors of tiles.
///
/// R · N sums, N vectors of inputs and one weight must fit into the processor's registers.
#[allow(clippy::needless_range_loop, reason = "iterators over vectors are not inlined")]
#[inline(always)]
pub fn product<V: Vector, const R: usize, const N: usize>(operands: Operands<'_>) {
    let Operands {
        u,
        v,
        v_stride,
        m,
        m_stride,
        depth,
        add,
    } = operands;
    let width = N * V::LEN;
    let fits = |len: usize, rows: usize, stride: usize| rows == 0 || (rows - 1) * stride + width <= len;
    assert!(u.len() >= depth * R && fits(v.len(), depth, v_stride) && fits(m.len(), R, m_stride));
    let mut sums = [[V::splat(0.0); N]; R];
    for r in 0..R {
        for n in 0..N {
            V::fetch(m.as_ptr().wrapping_add(r * m_stride + n * V::LEN));
        }
    }
    let (mut weights, mut inputs) = (u.as_ptr(), v.as_ptr());
    for _ in 0..depth {
        // SAFETY: `weights` has R floats for each of `depth` rounds; `inputs` has `width` floats in each of `depth`
        // rows. The assertion above checked both, once for all.
        unsafe {
            let mut x = [V::splat(0.0); N];
            for n in 0..N {
                x[n] = V::load_from(inputs.add(n * V::LEN));
            }
            V::fetch(weights.wrapping_add(AHEAD));
            for r in 0..R {
                let weight = V::splat(*weights.add(r));
                for n in 0..N {
                    sums[r][n] = weight.mul_add(x[n], sums[r][n]);
                }
            }
            weights = weights.add(R);
            inputs = inputs.wrapping_add(v_stride);
        }
    }
    for r in 0..R {
        for n in 0..N {
            // SAFETY: `m` has R rows of `width` floats: the assertion above checked it.
            unsafe {
                let to = m.as_mut_ptr().add(r * m_stride + n * V::LEN);
                let sum = if add {
                    V::load_from(to).add(sums[r][n])
                } else {
                    sums[r][n]
                };
                sum.store_to(to);
            }
        }
    }
}
