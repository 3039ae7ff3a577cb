//! The unit that packets are put together to.

use std::ops::Range;

use super::Joined;
use super::clock::{Before, UnitClock};
use crate::format::TokenFormat;
use crate::rtp::{Fault, Header};
use crate::stream::Tokens;

/// Runs of cells that came, with holes between them: more than honest packets of the largest picture make, and few enough
/// to look through for each packet.
const MAX_RUNS: usize = 4096;

/// A unit of which cells are missing.
#[derive(Debug)]
pub struct Build {
    /// Of the first packet that came.
    header: Header,
    segment: u32,
    pts: Option<u64>,
    offsets: Option<Vec<u32>>,
    tokens: Tokens,
    values_per_cell: usize,
    /// The cells that came, as runs in order that neither overlap nor touch.
    came: Vec<Range<u32>>,
    cells: u32,
    last_came: bool,
    /// How many came, but for those of no use.
    packets: u64,
}

/// What is kept of the unit that was given out last.
#[derive(Clone, Debug)]
pub struct Last {
    pub segment: u32,
    /// The number of the latent frame that follows it in its segment.
    pub next: u32,
    /// Of its last latent frame.
    pub tokens: Tokens,
    pub times: Option<Before>,
    /// It said that its segment, or the stream, ends with it.
    pub ended: bool,
}

impl Last {
    pub fn of(joined: &Joined, format: &TokenFormat) -> Self {
        Self {
            segment: joined.segment,
            next: joined.latent_frame.saturating_add(joined.latent_frames),
            tokens: tail(&joined.tokens, format.values_per_latent_frame()),
            times: before(joined),
            ended: joined.segment_end || joined.end_of_stream,
        }
    }
}

/// Where a unit has ended.
fn before(joined: &Joined) -> Option<Before> {
    let (pts, duration, end) = (joined.pts?, joined.duration?, joined.end()?);
    let frames = u64::from(joined.real_frames.max(1));
    let offset = match &joined.offsets {
        Some(offsets) => offsets.last().copied().unwrap_or_default(),
        None => (u128::from(duration) * u128::from(frames - 1) / u128::from(frames)) as u64,
    };
    Some(Before {
        last_frame: pts.checked_add(offset)?,
        end,
    })
}

impl Last {
    /// When its last frame ends.
    pub fn end(&self) -> Option<u64> {
        self.times.map(|times| times.end)
    }
}

fn tail(tokens: &Tokens, values: usize) -> Tokens {
    match tokens {
        Tokens::Indices(indices) => Tokens::Indices(indices[indices.len().saturating_sub(values)..].to_vec()),
        Tokens::Floats(floats) => Tokens::Floats(floats[floats.len().saturating_sub(values)..].to_vec()),
    }
}

impl Build {
    /// `header`: a packet's that was checked against the format.
    pub fn new(format: &TokenFormat, header: &Header, segment: u32, pts: Option<u64>) -> Self {
        let latent_frames = usize::from(header.latent_frames);
        let values = format.values_per_latent_frame() * latent_frames;
        Self {
            header: *header,
            segment,
            pts,
            offsets: None,
            tokens: match format.regularizer.codebook_size() {
                Some(_) => Tokens::Indices(vec![0; values]),
                None => Tokens::Floats(vec![0.0; values]),
            },
            values_per_cell: format.regularizer.values_per_cell(),
            came: Vec::new(),
            cells: (format.grid_cells() * latent_frames) as u32,
            last_came: false,
            packets: 0,
        }
    }

    pub fn segment(&self) -> u32 {
        self.segment
    }

    pub fn latent_frame(&self) -> u32 {
        self.header.latent_frame
    }

    pub fn pts(&self) -> Option<u64> {
        self.pts
    }

    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// No packet of the unit will come, or is missing.
    pub fn is_over(&self) -> bool {
        self.last_came || self.is_complete()
    }

    fn is_complete(&self) -> bool {
        self.came.first() == Some(&(0..self.cells))
    }

    /// Takes a packet's cells. Of cells that came before, the first ones count.
    ///
    /// # Errors
    /// The packet is of another unit than those before, or its cells differ from those that came before.
    pub fn add(&mut self, header: &Header, offsets: Option<Vec<u32>>, tokens: Tokens) -> Result<(), Fault> {
        let unit = |h: &Header| {
            (
                h.latent_frames,
                h.real_frames,
                h.segment_start,
                h.segment_end,
                h.end_of_stream,
            )
        };
        if unit(header) != unit(&self.header) {
            return Err(Fault::Contradiction);
        }
        if self.came.len() >= MAX_RUNS {
            return Err(Fault::Contradiction);
        }
        self.offsets = self.offsets.take().or(offsets);
        self.last_came |= header.is_last;
        let run = header.first_cell..header.first_cell + u32::from(header.cells);
        let mut is_same = true;
        for had in overlaps(&self.came, &run) {
            is_same &= self.equals(&tokens, &run, &had);
        }
        for free in missing(&self.came, &run) {
            self.copy(&tokens, &run, &free);
        }
        insert(&mut self.came, run);
        self.packets += u64::from(is_same);
        is_same.then_some(()).ok_or(Fault::Contradiction)
    }

    /// The values of `cells` in the unit, and in a packet that has `run`.
    fn places(&self, run: &Range<u32>, cells: &Range<u32>) -> (Range<usize>, Range<usize>) {
        let values = |cell: u32| cell as usize * self.values_per_cell;
        (
            values(cells.start)..values(cells.end),
            values(cells.start - run.start)..values(cells.end - run.start),
        )
    }

    fn equals(&self, tokens: &Tokens, run: &Range<u32>, cells: &Range<u32>) -> bool {
        let (ours, theirs) = self.places(run, cells);
        match (&self.tokens, tokens) {
            (Tokens::Indices(a), Tokens::Indices(b)) => a[ours] == b[theirs],
            (Tokens::Floats(a), Tokens::Floats(b)) => a[ours] == b[theirs],
            _ => false,
        }
    }

    fn copy(&mut self, tokens: &Tokens, run: &Range<u32>, cells: &Range<u32>) {
        let (ours, theirs) = self.places(run, cells);
        match (&mut self.tokens, tokens) {
            (Tokens::Indices(a), Tokens::Indices(b)) => a[ours].copy_from_slice(&b[theirs]),
            (Tokens::Floats(a), Tokens::Floats(b)) => a[ours].copy_from_slice(&b[theirs]),
            _ => (),
        }
    }

    /// The unit, its missing cells concealed by those of the latent frame before: of the unit, or for its first one
    /// `last`. `None` where there is none.
    pub fn finish(
        mut self,
        format: &TokenFormat,
        last: Option<&Last>,
        clock: &UnitClock,
        after_hole: bool,
    ) -> Option<Joined> {
        let before = last.and_then(|last| last.times);
        let concealed = missing(&self.came, &(0..self.cells));
        if !concealed.is_empty() {
            let grid = format.grid_cells() as u32;
            let needs_last = concealed.first().is_some_and(|run| run.start < grid);
            let last = last.filter(|last| last.tokens.len() == format.values_per_latent_frame());
            if needs_last && last.is_none() {
                return None;
            }
            for run in &concealed {
                self.conceal(run.clone(), grid, last);
            }
        }
        let frames = self.header.real_frames.into();
        let times = clock.times(self.pts, frames, self.offsets.as_deref());
        let times = clock.behind(before, times, frames);
        Some(Joined {
            segment: self.segment,
            latent_frame: self.header.latent_frame,
            latent_frames: self.header.latent_frames.into(),
            segment_end: self.header.segment_end,
            end_of_stream: self.header.end_of_stream,
            real_frames: self.header.real_frames.into(),
            tokens: self.tokens,
            pts: times.pts,
            duration: times.duration,
            offsets: times.offsets,
            concealed,
            after_hole,
        })
    }

    /// Runs come in order, so that a latent frame is complete before one takes its cells from it.
    fn conceal(&mut self, run: Range<u32>, grid: u32, last: Option<&Last>) {
        let per_cell = self.values_per_cell;
        let values = |cells: Range<u32>| cells.start as usize * per_cell..cells.end as usize * per_cell;
        let first = run.start..run.end.min(grid);
        if let (false, Some(last)) = (first.is_empty(), last) {
            match (&mut self.tokens, &last.tokens) {
                (Tokens::Indices(a), Tokens::Indices(b)) => {
                    a[values(first.clone())].copy_from_slice(&b[values(first.clone())]);
                }
                (Tokens::Floats(a), Tokens::Floats(b)) => {
                    a[values(first.clone())].copy_from_slice(&b[values(first.clone())]);
                }
                _ => (),
            }
        }
        // A run may be longer than a latent frame: a piece at a time, so that each copies what is there already.
        let mut start = run.start.max(grid);
        while start < run.end {
            let end = run.end.min(start.next_multiple_of(grid).max(start + 1));
            let (from, to) = (values(start - grid..end - grid), start as usize * per_cell);
            match &mut self.tokens {
                Tokens::Indices(a) => a.copy_within(from, to),
                Tokens::Floats(a) => a.copy_within(from, to),
            }
            start = end;
        }
    }
}

/// The parts of `run` that are in `runs`.
fn overlaps(runs: &[Range<u32>], run: &Range<u32>) -> Vec<Range<u32>> {
    let parts = runs.iter().map(|had| had.start.max(run.start)..had.end.min(run.end));
    parts.filter(|part| !part.is_empty()).collect()
}

/// The parts of `run` that are not in `runs`.
fn missing(runs: &[Range<u32>], run: &Range<u32>) -> Vec<Range<u32>> {
    let mut found = Vec::new();
    let mut start = run.start;
    for had in overlaps(runs, run) {
        found.push(start..had.start);
        start = had.end;
    }
    found.push(start..run.end);
    found.retain(|part| !part.is_empty());
    found
}

/// Adds `run` to `runs`, which stay in order and neither overlap nor touch.
fn insert(runs: &mut Vec<Range<u32>>, run: Range<u32>) {
    let mut all = run;
    runs.retain(|had| {
        let is_apart = had.end < all.start || all.end < had.start;
        if !is_apart {
            all = had.start.min(all.start)..had.end.max(all.end);
        }
        is_apart
    });
    let at = runs.partition_point(|had| had.start < all.start);
    runs.insert(at, all);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_a_set_of_cells(added in proptest::collection::vec((0u32..40, 1u32..10), 0..12), start in 0u32..40, length in 1u32..20) {
            let mut runs = Vec::new();
            let mut set = [false; 64];
            for (start, length) in added {
                insert(&mut runs, start..start + length);
                set[start as usize..(start + length) as usize].fill(true);
            }
            let run = start..start + length;
            let of = |parts: Vec<Range<u32>>| parts.into_iter().flatten().collect::<Vec<_>>();
            let (had, free): (Vec<u32>, Vec<u32>) = run.clone().partition(|cell| set[*cell as usize]);
            prop_assert_eq!(of(overlaps(&runs, &run)), had);
            prop_assert_eq!(of(missing(&runs, &run)), free);
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
