//! An output that several threads write.

use std::marker::PhantomData;

/// Floats of which each thread writes its own.
pub struct Shared<'a> {
    floats: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: floats may be sent to other threads. `part` has the condition under which threads may write to them.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub fn new(floats: &'a mut [f32]) -> Self {
        Self {
            floats: floats.as_mut_ptr(),
            len: floats.len(),
            borrowed: PhantomData,
        }
    }

    /// `len` floats from `start` on, as others.
    pub fn slice(&self, start: usize, len: usize) -> Shared<'_> {
        assert!(start <= self.len && len <= self.len - start, "a part beyond the output");
        // SAFETY: inside the floats.
        let floats = unsafe { self.floats.add(start) };
        Shared {
            floats,
            len,
            borrowed: PhantomData,
        }
    }

    /// Where the float at `index` is, to have it loaded.
    pub fn at(&self, index: usize) -> *const f32 {
        self.floats.wrapping_add(index)
    }

    /// Where to write `len` floats from `start` on.
    ///
    /// # Safety
    /// No other thread writes to these as long as the borrow lasts.
    #[inline(always)]
    pub unsafe fn part(&self, start: usize, len: usize) -> *mut f32 {
        assert!(start <= self.len && len <= self.len - start, "a part beyond the output");
        // SAFETY: inside the floats.
        unsafe { self.floats.add(start) }
    }
}
