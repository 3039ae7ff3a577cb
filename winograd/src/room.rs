//! Memory for intermediate values.

use std::cell::RefCell;

/// Floats from one cache line to the next.
const LINE: usize = 16;

/// Memory that a thread keeps from one block to the next, of any layer.
#[derive(Default)]
pub struct Room {
    floats: Vec<f32>,
}

impl Room {
    pub const fn new() -> Self {
        Self { floats: Vec::new() }
    }

    /// Pieces of these lengths, each from the beginning of a cache line on. They hold any numbers.
    pub(crate) fn pieces<const N: usize>(&mut self, lens: [usize; N]) -> [&mut [f32]; N] {
        let padded = lens.map(|len| len.next_multiple_of(LINE));
        let needed = padded.iter().sum::<usize>() + LINE;
        if self.floats.len() < needed {
            self.floats.resize(needed, 0.0);
        }
        let start = self.floats.as_ptr().align_offset(size_of::<f32>() * LINE).min(LINE);
        let mut rest = &mut self.floats[start..];
        std::array::from_fn(|i| {
            let (piece, behind) = std::mem::take(&mut rest).split_at_mut(padded[i]);
            rest = behind;
            &mut piece[..lens[i]]
        })
    }
}

thread_local! {
    /// Of each thread that computes blocks.
    static ROOM: RefCell<Room> = const { RefCell::new(Room::new()) };
}

/// Lends this thread's memory.
pub fn with<R>(run: impl FnOnce(&mut Room) -> R) -> R {
    ROOM.with_borrow_mut(run)
}
