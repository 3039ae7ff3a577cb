//! The transforms of one dimension, and the points that they are made for.
//!
//! A transform evaluates polynomials at P - 1 points and at infinity. For M = 2 the points are 0 and ±1. For M = 4 they
//! are 0, ±√½ and ±√2: the usual 0, ±1 and ±2 give twice the error, as their powers differ more.

use crate::vector::Vector;

/// Outputs of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// 2 × 2: as exact as a direct convolution.
    Two,
    /// 4 × 4: fewer multiplications, and three times a direct convolution's error.
    Four,
}

/// The transforms for `M` outputs of a convolution with three weights, which need `P` = M + 2 inputs.
pub trait Points<const M: usize, const P: usize> {
    /// The values of `P` inputs at the points.
    fn input<V: Vector>(d: [V; P]) -> [V; P];

    /// The outputs from the sums of products at the points.
    fn output<V: Vector>(m: [V; P]) -> [V; M];

    /// The values of three weights at the points.
    fn weights(g: [f64; 3]) -> [f64; P];
}

pub struct Two;

impl Points<2, 4> for Two {
    #[inline(always)]
    fn input<V: Vector>(d: [V; 4]) -> [V; 4] {
        [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3])]
    }

    #[inline(always)]
    fn output<V: Vector>(m: [V; 4]) -> [V; 2] {
        [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3])]
    }

    #[inline(always)]
    fn weights([a, b, c]: [f64; 3]) -> [f64; 4] {
        [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c]
    }
}

pub struct Four;

/// The squares of the points, √½ and √2.
const A2: f64 = 0.5;
const B2: f64 = 2.0;
const A: f64 = std::f64::consts::FRAC_1_SQRT_2;
const B: f64 = std::f64::consts::SQRT_2;

impl Points<4, 6> for Four {
    #[inline(always)]
    fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
        // The product of the squares is 1.
        let sum = V::splat((A2 + B2) as f32);
        let (a, b) = (V::splat(A as f32), V::splat(B as f32));
        let (a2, b2) = (V::splat(A2 as f32), V::splat(B2 as f32));
        let (even_a, odd_a) = (b2.negated_mul_add(d[2], d[4]), b2.negated_mul_add(d[1], d[3]));
        let (even_b, odd_b) = (a2.negated_mul_add(d[2], d[4]), a2.negated_mul_add(d[1], d[3]));
        [
            sum.negated_mul_add(d[2], d[4]).add(d[0]),
            a.mul_add(odd_a, even_a),
            a.negated_mul_add(odd_a, even_a),
            b.mul_add(odd_b, even_b),
            b.negated_mul_add(odd_b, even_b),
            sum.negated_mul_add(d[3], d[5]).add(d[1]),
        ]
    }

    #[inline(always)]
    fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
        let (sum_a, difference_a) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (sum_b, difference_b) = (m[3].add(m[4]), m[3].sub(m[4]));
        let (a, b) = (V::splat(A as f32), V::splat(B as f32));
        let (a2, b2) = (V::splat(A2 as f32), V::splat(B2 as f32));
        let (a3, b3) = (V::splat((A2 * A) as f32), V::splat((B2 * B) as f32));
        [
            m[0].add(sum_a).add(sum_b),
            a.mul_add(difference_a, b.mul(difference_b)),
            a2.mul_add(sum_a, b2.mul(sum_b)),
            a3.mul_add(difference_a, b3.mul_add(difference_b, m[5])),
        ]
    }

    #[inline(always)]
    fn weights([a, b, c]: [f64; 3]) -> [f64; 6] {
        // Lagrange's denominators.
        let (at_a, at_b) = (2.0 * A2 * (A2 - B2), 2.0 * B2 * (B2 - A2));
        [
            a / (A2 * B2),
            (a + A * b + A2 * c) / at_a,
            (a - A * b + A2 * c) / at_a,
            (a + B * b + B2 * c) / at_b,
            (a - B * b + B2 * c) / at_b,
            c,
        ]
    }
}
