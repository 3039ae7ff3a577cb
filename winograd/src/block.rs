//! How a picture is split into blocks, the units of work.

use std::ops::Range;

/// Tiles and outputs that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Rows of tiles.
    pub rows: Range<usize>,
    /// Tiles of each row.
    pub columns: Range<usize>,
    /// Groups of outputs.
    pub groups: Range<usize>,
}

impl Block {
    pub fn tiles(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// What is split.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// Rows of tiles, and tiles of a row.
    pub rows: usize,
    pub columns: usize,
    /// Groups of outputs, and the outputs of a group.
    pub groups: usize,
    pub outputs: usize,
    /// Positions of a tile.
    pub positions: usize,
}

/// Floats of a block's intermediate values: most of a second level of cache of 2 MiB.
const FLOATS: usize = 448 << 10;
/// The same, of pixels: with so few, their inputs and outputs stay in the cache, too.
const FLOATS_OF_PIXELS: usize = 160 << 10;
/// The most outputs of a block. More save a few input transforms, and leave room for fewer tiles.
const OUTPUTS: usize = 132;
/// The least and the most tiles of a block, where the picture has them: with fewer, weights are read too often; with
/// more, pixels leave the caches between the transforms.
const TILES: Range<usize> = 32..65;
/// The least and the most pixels of a block.
const PIXELS: Range<usize> = 64..513;
/// Blocks for each thread, so that all have work until the end.
const BLOCKS: usize = 4;
/// Tiles that are computed at once, at most.
const LANES: usize = 16;

/// A way to split.
pub struct Split {
    whole: Whole,
    /// Parts in each direction: of equal size, or one less.
    rows: usize,
    columns: usize,
    groups: usize,
}

impl Split {
    /// For so many threads. `depth`: input channels whose transformed values are in memory at a time.
    pub fn new(whole: Whole, depth: usize, threads: usize) -> Self {
        let mut groups = whole.groups.div_ceil((OUTPUTS / whole.outputs).max(1));
        let outputs = whole.groups.div_ceil(groups) * whole.outputs;
        let fit = FLOATS / (whole.positions * (depth + outputs));
        let wanted = if threads > 1 { BLOCKS * threads } else { 1 };
        let enough = whole.rows * whole.columns * groups / wanted;
        let tiles = fit.min(enough).clamp(TILES.start, TILES.end - 1);
        let (rows, columns) = if whole.columns <= tiles {
            (whole.rows.div_ceil(best_rows(whole, tiles)), 1)
        } else {
            (whole.rows, whole.columns.div_ceil(tiles.next_multiple_of(LANES)))
        };
        if rows * columns * groups < threads {
            groups = threads.div_ceil(rows * columns).clamp(groups, whole.groups);
        }
        Self {
            whole,
            rows,
            columns,
            groups,
        }
    }

    /// For so many pixels, which take the place of tiles.
    pub fn of_pixels(whole: Whole, depth: usize, threads: usize) -> Self {
        let fit = FLOATS_OF_PIXELS / (whole.positions * (depth + whole.groups * whole.outputs));
        let wanted = if threads > 1 { BLOCKS * threads } else { 1 };
        let pixels = fit.min(whole.columns / wanted).clamp(PIXELS.start, PIXELS.end - 1);
        let columns = whole.columns.div_ceil(pixels / PIXELS.start * PIXELS.start);
        Self {
            whole,
            rows: 1,
            columns,
            groups: threads.div_ceil(columns).min(whole.groups),
        }
    }

    /// The number of blocks.
    pub fn len(&self) -> usize {
        self.rows * self.columns * self.groups
    }

    /// A block. Those that use the same weights follow each other.
    pub fn block(&self, index: usize) -> Block {
        let (tiles, groups) = (index % (self.rows * self.columns), index / (self.rows * self.columns));
        Block {
            rows: part(self.whole.rows, self.rows, tiles / self.columns),
            columns: part(self.whole.columns, self.columns, tiles % self.columns),
            groups: part(self.whole.groups, self.groups, groups),
        }
    }
}

/// Rows of tiles for a block: as few as possible of its lanes stay empty.
fn best_rows(whole: Whole, tiles: usize) -> usize {
    let most = (tiles / whole.columns).clamp(1, whole.rows);
    let lanes = |rows: &usize| {
        let tiles = rows * whole.columns;
        (tiles.next_multiple_of(LANES) << 16) / tiles
    };
    (1..=most).rev().min_by_key(lanes).unwrap_or(1)
}

/// One of `count` parts of `0..len`.
fn part(len: usize, count: usize, index: usize) -> Range<usize> {
    len * index / count..len * (index + 1) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tile of every group is in one block, and no block is larger than its memory.
    #[test]
    fn blocks_cover_everything_once() {
        for threads in [1, 2, 7, 64] {
            for (rows, columns, groups) in [(1, 1, 1), (3, 5, 2), (1, 300, 3), (45, 80, 37), (2, 33, 40)] {
                let whole = Whole {
                    rows,
                    columns,
                    groups,
                    outputs: 13,
                    positions: 36,
                };
                let split = Split::new(whole, 64, threads);
                let mut seen = vec![0; rows * columns * groups];
                for index in 0..split.len() {
                    let block = split.block(index);
                    assert!(block.tiles() > 0 && !block.groups.is_empty());
                    assert!(block.tiles() <= TILES.end.next_multiple_of(LANES));
                    for group in block.groups {
                        for row in block.rows.clone() {
                            for column in block.columns.clone() {
                                seen[(group * rows + row) * columns + column] += 1;
                            }
                        }
                    }
                }
                assert!(seen.iter().all(|times| *times == 1), "{whole:?}, {threads} threads");
            }
        }
    }

    #[test]
    fn blocks_of_pixels_cover_everything_once() {
        for threads in [1, 2, 7, 64] {
            for (pixels, groups) in [(1, 1), (64, 3), (65, 2), (256, 37), (5000, 9)] {
                let whole = Whole {
                    rows: 1,
                    columns: pixels,
                    groups,
                    outputs: 8,
                    positions: 6,
                };
                let split = Split::of_pixels(whole, 64, threads);
                let mut seen = vec![0; pixels * groups];
                for index in 0..split.len() {
                    let block = split.block(index);
                    assert!(block.rows == (0..1) && block.columns.len() < PIXELS.end && !block.groups.is_empty());
                    for group in block.groups {
                        for pixel in block.columns.clone() {
                            seen[group * pixels + pixel] += 1;
                        }
                    }
                }
                assert!(
                    seen.iter().all(|times| *times == 1),
                    "{pixels}, {groups}, {threads} threads"
                );
                assert!(
                    split.len() >= threads.min(groups),
                    "{pixels}, {groups}, {threads} threads"
                );
            }
        }
    }

    #[test]
    fn there_is_a_block_for_every_thread_where_the_layer_has_so_many() {
        let small = Whole {
            rows: 4,
            columns: 4,
            groups: 37,
            outputs: 14,
            positions: 36,
        };
        for threads in [1, 2, 4, 16, 37] {
            assert!(Split::new(small, 64, threads).len() >= threads);
        }
    }
}
