//! Sets of instructions, and the product's shapes that suit them.

use crate::product::{Operands, product};
use crate::vector::{Plain, Vector};

/// Which instructions of the processor are used. A value exists only where the processor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instructions(pub(crate) Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Set {
    /// AVX-512F.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// None in particular.
    Plain,
}

impl Instructions {
    /// Those of this processor that are fast enough to be worth it, widest first.
    pub fn fast() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avx512f") {
                sets.push(Self(Set::Avx512));
            }
            sets.push(Self(Set::Avx2));
        }
        sets
    }

    /// Those of every processor: slow, to compare with.
    pub fn plain() -> Self {
        Self(Set::Plain)
    }

    /// Does the work with these instructions.
    pub(crate) fn compute(self, work: impl Work) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Instructions` exist only where the processor has them.
            Set::Avx512 => unsafe { x86::avx512(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { x86::avx2(work) },
            _ => work.with::<PlainMachine>(),
        }
    }

    /// Outputs that one product computes, for a layer of so many: as many as registers hold, and few to fill up.
    pub(crate) fn rows(self, outputs: usize) -> usize {
        let rows = match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => Avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => Avx2::ROWS,
            _ => PlainMachine::ROWS,
        };
        let computed = |rows: &usize| outputs.next_multiple_of(*rows);
        rows.iter().copied().min_by_key(computed).unwrap_or(1)
    }
}

/// What is computed with any set of instructions.
pub trait Work {
    /// Must be inlined, as it is called from a function that is compiled for the instructions.
    fn with<K: Machine>(self);
}

/// A set of instructions.
pub trait Machine {
    type V: Vector;

    /// Outputs that a product may have, best first.
    const ROWS: &'static [usize];

    /// [`product`] with one of `ROWS` as the number of outputs, of two vectors of tiles or one.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn product(rows: usize, two: bool, operands: Operands<'_>);
}

/// Calls `$product::<R, N>` for one of the numbers of rows.
macro_rules! by_rows {
    ($product:ident, $rows:expr, $two:expr, $operands:expr, [$($r:literal)*]) => {
        match ($rows, $two) {
            $(($r, true) => $product::<$r, 2>($operands),
            ($r, false) => $product::<$r, 1>($operands),)*
            _ => unreachable!("not one of `ROWS`"),
        }
    };
}

pub struct PlainMachine;

impl Machine for PlainMachine {
    type V = Plain;
    const ROWS: &'static [usize] = &[2];

    unsafe fn product(rows: usize, two: bool, operands: Operands<'_>) {
        fn shaped<const R: usize, const N: usize>(operands: Operands<'_>) {
            product::<Plain, R, N>(operands);
        }
        by_rows!(shaped, rows, two, operands, [2]);
    }
}

#[cfg(target_arch = "x86_64")]
use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};

    use super::{Machine, Operands, Work, product};

    #[target_feature(enable = "avx512f")]
    pub fn avx512(work: impl Work) {
        work.with::<Avx512>();
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(work: impl Work) {
        work.with::<Avx2>();
    }

    pub struct Avx512;

    impl Machine for Avx512 {
        type V = __m512;
        const ROWS: &'static [usize] = &[14, 13, 12, 11, 8, 4];

        unsafe fn product(rows: usize, two: bool, operands: Operands<'_>) {
            #[target_feature(enable = "avx512f")]
            fn shaped<const R: usize, const N: usize>(operands: Operands<'_>) {
                product::<__m512, R, N>(operands);
            }
            // SAFETY: the caller's promise.
            unsafe { by_rows!(shaped, rows, two, operands, [14 13 12 11 8 4]) }
        }
    }

    pub struct Avx2;

    impl Machine for Avx2 {
        type V = __m256;
        const ROWS: &'static [usize] = &[6, 5, 4];

        unsafe fn product(rows: usize, two: bool, operands: Operands<'_>) {
            #[target_feature(enable = "avx2,fma")]
            fn shaped<const R: usize, const N: usize>(operands: Operands<'_>) {
                product::<__m256, R, N>(operands);
            }
            // SAFETY: the caller's promise.
            unsafe { by_rows!(shaped, rows, two, operands, [6 5 4]) }
        }
    }
}
