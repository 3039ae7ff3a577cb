//! An output that several threads write, each its own tiles.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
#[cfg(debug_assertions)]
use std::{ops::Range, sync::Mutex};

use ort::operator::ComputeContext;

/// Writes `output`, `rows` rows of equal length, tile by tile on ONNX Runtime's threads. A tile is up to `tile_len`
/// positions of every row; `write` is handed the first of these positions and the rows' parts.
pub fn par_tiles(
    context: &ComputeContext,
    output: &mut [f32],
    rows: usize,
    tile_len: usize,
    write: impl Fn(usize, &mut Rows<'_>) + Send + Sync,
) -> ort::Result<()> {
    let row_len = output.len() / rows;
    let output = Disjoint::new(output);
    context.par_for(row_len.div_ceil(tile_len), 0, |index| {
        let start = index * tile_len;
        let mut rows = Rows {
            output: &output,
            row_len,
            start,
            len: tile_len.min(row_len - start),
        };
        write(start, &mut rows);
    })
}

/// A tile: the same positions of every row of an output. Two tiles of an output that exist at the same time have no
/// position in common.
pub struct Rows<'a> {
    output: &'a Disjoint<'a>,
    row_len: usize,
    start: usize,
    len: usize,
}

impl Rows<'_> {
    /// Positions of the tile in each row.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The tile's part of a row.
    #[inline]
    pub fn row(&mut self, row: usize) -> RowPart<'_> {
        // SAFETY: no other tile has these positions, and `&mut self` lets this tile have one row at a time.
        unsafe { self.output.part(row * self.row_len + self.start, self.len) }
    }
}

/// Floats that several threads write, each a part of its own. Checks that parts are inside; in debug builds also that
/// no two parts that are in use overlap.
struct Disjoint<'a> {
    floats: *mut f32,
    len: usize,
    #[cfg(debug_assertions)]
    in_use: Mutex<Vec<Range<usize>>>,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: floats may be sent to other threads. `part` has the condition under which threads may write to them.
unsafe impl Send for Disjoint<'_> {}
// SAFETY: as above.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    fn new(floats: &'a mut [f32]) -> Self {
        Self {
            len: floats.len(),
            floats: floats.as_mut_ptr(),
            #[cfg(debug_assertions)]
            in_use: Mutex::default(),
            borrowed: PhantomData,
        }
    }

    /// `len` floats from `start` on.
    ///
    /// # Safety
    /// No other part that overlaps them exists as long as the result.
    #[inline]
    unsafe fn part(&self, start: usize, len: usize) -> RowPart<'_> {
        assert!(start <= self.len && len <= self.len - start, "a part beyond the output");
        #[cfg(debug_assertions)]
        {
            let mut in_use = crate::system::lock::lock(&self.in_use);
            let overlaps = |other: &Range<usize>| start < other.end && other.start < start + len;
            assert!(!in_use.iter().any(overlaps), "two parts of an output overlap");
            in_use.push(start..start + len);
        }
        RowPart {
            // SAFETY: within the floats, which are borrowed for `'a`; that nothing else has them is the caller's
            // promise.
            floats: unsafe { std::slice::from_raw_parts_mut(self.floats.add(start), len) },
            #[cfg(debug_assertions)]
            of: self,
            #[cfg(debug_assertions)]
            start,
        }
    }
}

/// A part of an output, for one thread.
pub struct RowPart<'a> {
    floats: &'a mut [f32],
    #[cfg(debug_assertions)]
    of: &'a Disjoint<'a>,
    #[cfg(debug_assertions)]
    start: usize,
}

impl Deref for RowPart<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.floats
    }
}

impl DerefMut for RowPart<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.floats
    }
}

#[cfg(debug_assertions)]
impl Drop for RowPart<'_> {
    fn drop(&mut self) {
        let range = self.start..self.start + self.floats.len();
        let mut in_use = crate::system::lock::lock(&self.of.in_use);
        if let Some(index) = in_use.iter().position(|other| *other == range) {
            in_use.swap_remove(index);
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Hands `write` a whole output as one tile.
    pub fn with_rows(output: &mut [f32], rows: usize, write: impl FnOnce(&mut Rows<'_>)) {
        let row_len = output.len() / rows;
        write(&mut Rows {
            output: &Disjoint::new(output),
            row_len,
            start: 0,
            len: row_len,
        });
    }

    #[test]
    fn tiles_write_their_positions_of_every_row() {
        let mut floats = [0.0; 10];
        let output = Disjoint::new(&mut floats);
        for (start, len) in [(0, 2), (2, 2), (4, 1)] {
            let mut rows = Rows {
                output: &output,
                row_len: 5,
                start,
                len,
            };
            for row in 0..2 {
                rows.row(row).fill((10 * row + start) as f32);
            }
        }
        assert_eq!(floats, [0.0, 0.0, 2.0, 2.0, 4.0, 10.0, 10.0, 12.0, 12.0, 14.0]);
    }

    #[test]
    #[should_panic(expected = "beyond the output")]
    fn a_part_beyond_the_output_is_refused() {
        let mut floats = [0.0; 4];
        let output = Disjoint::new(&mut floats);
        // SAFETY: it is the only part.
        unsafe { drop(output.part(3, 2)) };
    }

    #[test]
    #[cfg(debug_assertions)]
    fn parts_that_overlap_are_noticed_while_both_are_in_use() {
        let mut floats = [0.0; 4];
        let output = Disjoint::new(&mut floats);
        // SAFETY: the second part overlaps the first, and is refused before it is made; the third comes after the
        // first.
        unsafe {
            let first = output.part(0, 3);
            let second = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(output.part(2, 2))));
            assert!(second.is_err());
            drop(first);
            drop(output.part(2, 2));
        }
    }
}
