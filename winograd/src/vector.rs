//! Vectors of floats: a few operations, for each set of instructions.

use std::ops::Range;

/// Consecutive floats that one instruction works on.
///
/// The processor must have the instructions of the implementation; [`Machine`](crate::machine::Machine) sees to it.
/// Methods are inlined into a function that is compiled for these instructions. They are, as long as vectors pass through
/// no closure and no function of the standard library, which are compiled for others: so arrays of vectors are filled in
/// loops.
pub trait Vector: Copy {
    /// Floats of a vector.
    const LEN: usize;

    fn splat(value: f32) -> Self;

    /// # Safety
    /// `LEN` floats can be read there. They need no alignment.
    unsafe fn load_from(from: *const f32) -> Self;

    /// # Safety
    /// `LEN` floats can be written there. They need no alignment.
    unsafe fn store_to(self, to: *mut f32);

    /// Loads some of the floats, and zeros in place of the others, which need not exist.
    ///
    /// # Safety
    /// The floats of `lanes` can be read, counted from `from`, which may lie outside of all memory.
    unsafe fn load_some(from: *const f32, lanes: Range<usize>) -> Self;

    /// Stores the first `count` floats only.
    ///
    /// # Safety
    /// `count` floats can be written there.
    unsafe fn store_first(self, to: *mut f32, count: usize);

    /// Has the processor load this into its first level of cache. Any address will do.
    fn fetch(_: *const f32) {}

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;

    /// self · b + c
    fn mul_add(self, b: Self, c: Self) -> Self;

    /// c - self · b
    fn negated_mul_add(self, b: Self, c: Self) -> Self;

    /// All but the first float, then the first of `next`.
    fn shift(self, next: Self) -> Self;

    /// The even and the odd ones of 2 · `LEN` floats.
    fn unzip(low: Self, high: Self) -> (Self, Self);

    /// The inverse of [`unzip`](Self::unzip).
    fn zip(even: Self, odd: Self) -> (Self, Self);
}

/// For every processor.
#[derive(Clone, Copy)]
pub struct Plain([f32; 8]);

impl Plain {
    #[inline(always)]
    fn of(value: impl Fn(usize) -> f32) -> Self {
        Self(std::array::from_fn(value))
    }
}

impl Vector for Plain {
    const LEN: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    unsafe fn load_from(from: *const f32) -> Self {
        // SAFETY: the caller's promise; an array of floats needs no more alignment than a float, and none is assumed.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store_to(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, lanes: Range<usize>) -> Self {
        // SAFETY: the caller's promise.
        let read = |i: usize| unsafe { from.wrapping_add(i).read() };
        Self::of(|i| if lanes.contains(&i) { read(i) } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        for (i, value) in self.0.iter().enumerate().take(count) {
            // SAFETY: the caller's promise.
            unsafe { to.add(i).write(*value) };
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self::of(|i| self.0[i] + other.0[i])
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self::of(|i| self.0[i] - other.0[i])
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self::of(|i| self.0[i] * other.0[i])
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self::of(|i| self.0[i] * b.0[i] + c.0[i])
    }

    #[inline(always)]
    fn negated_mul_add(self, b: Self, c: Self) -> Self {
        Self::of(|i| c.0[i] - self.0[i] * b.0[i])
    }

    #[inline(always)]
    fn shift(self, next: Self) -> Self {
        Self::of(|i| if i < 7 { self.0[i + 1] } else { next.0[0] })
    }

    #[inline(always)]
    fn unzip(low: Self, high: Self) -> (Self, Self) {
        let at = |i: usize| if i < 8 { low.0[i] } else { high.0[i - 8] };
        (Self::of(|i| at(2 * i)), Self::of(|i| at(2 * i + 1)))
    }

    #[inline(always)]
    fn zip(even: Self, odd: Self) -> (Self, Self) {
        let at = |i: usize| {
            if i.is_multiple_of(2) {
                even.0[i / 2]
            } else {
                odd.0[i / 2]
            }
        };
        (Self::of(at), Self::of(|i| at(8 + i)))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Range, Vector};

    impl Vector for __m256 {
        const LEN: usize = 8;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: the processor has AVX2 and FMA, see the trait. So everywhere below.
            unsafe { _mm256_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load_from(from: *const f32) -> Self {
            // SAFETY: also the caller's promise.
            unsafe { _mm256_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store_to(self, to: *mut f32) {
            // SAFETY: also the caller's promise.
            unsafe { _mm256_storeu_ps(to, self) }
        }

        #[inline(always)]
        unsafe fn load_some(from: *const f32, lanes: Range<usize>) -> Self {
            // SAFETY: also the caller's promise: the instruction reads no other lane.
            unsafe {
                let i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                let before_end = _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes.end as i32), i);
                let before_start = _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes.start as i32), i);
                _mm256_maskload_ps(from, _mm256_andnot_si256(before_start, before_end))
            }
        }

        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            // SAFETY: also the caller's promise: the instruction writes no other lane.
            unsafe {
                let i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                _mm256_maskstore_ps(to, _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), i), self);
            }
        }

        #[inline(always)]
        fn fetch(at: *const f32) {
            // SAFETY: the instruction reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm256_add_ps(self, other) }
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm256_sub_ps(self, other) }
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm256_mul_ps(self, other) }
        }

        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm256_fmadd_ps(self, b, c) }
        }

        #[inline(always)]
        fn negated_mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm256_fnmadd_ps(self, b, c) }
        }

        #[inline(always)]
        fn shift(self, next: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe {
                let middle = _mm256_permute2f128_ps::<0x21>(self, next);
                let (middle, first) = (_mm256_castps_si256(middle), _mm256_castps_si256(self));
                _mm256_castsi256_ps(_mm256_alignr_epi8::<4>(middle, first))
            }
        }

        #[inline(always)]
        fn unzip(low: Self, high: Self) -> (Self, Self) {
            // SAFETY: see `splat`.
            unsafe {
                // Within halves: two of `low`, two of `high`. Then the pairs change places.
                let even = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
                let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0b11_01_11_01>(low, high));
                (
                    _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(even)),
                    _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(odd)),
                )
            }
        }

        #[inline(always)]
        fn zip(even: Self, odd: Self) -> (Self, Self) {
            // SAFETY: see `splat`.
            unsafe {
                let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
                (
                    _mm256_permute2f128_ps::<0x20>(low, high),
                    _mm256_permute2f128_ps::<0x31>(low, high),
                )
            }
        }
    }

    impl Vector for __m512 {
        const LEN: usize = 16;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: the processor has AVX-512F, see the trait. So everywhere below.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load_from(from: *const f32) -> Self {
            // SAFETY: also the caller's promise.
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store_to(self, to: *mut f32) {
            // SAFETY: also the caller's promise.
            unsafe { _mm512_storeu_ps(to, self) }
        }

        #[inline(always)]
        unsafe fn load_some(from: *const f32, lanes: Range<usize>) -> Self {
            let mask = (1_u32 << lanes.end) - (1_u32 << lanes.start);
            // SAFETY: also the caller's promise: the instruction reads no other lane.
            unsafe { _mm512_maskz_loadu_ps(mask as u16, from) }
        }

        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            let mask = (1_u32 << count) - 1;
            // SAFETY: also the caller's promise: the instruction writes no other lane.
            unsafe { _mm512_mask_storeu_ps(to, mask as u16, self) }
        }

        #[inline(always)]
        fn fetch(at: *const f32) {
            // SAFETY: the instruction reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm512_add_ps(self, other) }
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm512_sub_ps(self, other) }
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm512_mul_ps(self, other) }
        }

        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm512_fmadd_ps(self, b, c) }
        }

        #[inline(always)]
        fn negated_mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe { _mm512_fnmadd_ps(self, b, c) }
        }

        #[inline(always)]
        fn shift(self, next: Self) -> Self {
            // SAFETY: see `splat`.
            unsafe {
                let (first, next) = (_mm512_castps_si512(self), _mm512_castps_si512(next));
                _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(next, first))
            }
        }

        #[inline(always)]
        fn unzip(low: Self, high: Self) -> (Self, Self) {
            // SAFETY: see `splat`.
            unsafe {
                let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
                (
                    _mm512_permutex2var_ps(low, even, high),
                    _mm512_permutex2var_ps(low, odd, high),
                )
            }
        }

        #[inline(always)]
        fn zip(even: Self, odd: Self) -> (Self, Self) {
            // SAFETY: see `splat`.
            unsafe {
                let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
                (
                    _mm512_permutex2var_ps(even, low, odd),
                    _mm512_permutex2var_ps(even, high, odd),
                )
            }
        }
    }
}
