//! The source rows that the next output row needs.

use super::taps::Taps;

/// As many rows as an output row can need. Each source row is fetched once, in order; a new one takes an old one's place.
pub struct Ring {
    rows: Vec<u8>,
    row_bytes: usize,
    capacity: usize,
    /// The first row that was not fetched yet.
    next: usize,
}

impl Ring {
    /// For rows that output rows with these taps need.
    pub fn new<W: Copy>(taps: &Taps<W>, row_bytes: usize) -> Self {
        let capacity = taps.longest();
        Self {
            rows: vec![0; capacity * row_bytes],
            row_bytes,
            capacity,
            next: 0,
        }
    }

    /// Another picture begins.
    pub fn restart(&mut self) {
        self.next = 0;
    }

    /// Rows `first` to `first + count`, where neither end is before the last call's, and `count` is no more than the
    /// taps have. `fetch` writes those that are new.
    pub fn rows(&mut self, first: usize, count: usize, mut fetch: impl FnMut(usize, &mut [u8])) -> Vec<&[u8]> {
        for row in self.next.max(first)..first + count {
            fetch(
                row,
                &mut self.rows[row % self.capacity * self.row_bytes..][..self.row_bytes],
            );
        }
        self.next = self.next.max(first + count);
        let row = |row: usize| &self.rows[row % self.capacity * self.row_bytes..][..self.row_bytes];
        (first..first + count).map(row).collect()
    }
}
