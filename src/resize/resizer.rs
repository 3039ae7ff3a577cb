//! One picture after the other through the passes.

use std::ops::Range;

use super::ring::Ring;
use super::taps::{Curve, Taps};
use super::{Interpolation, Plan, fixed, float};

/// Resizes pictures of one size by one plan.
pub struct Resizer {
    plan: Plan,
    /// Source columns that rows are asked for.
    columns: Range<usize>,
    rows: Range<usize>,
    passes: Passes,
    /// A row of the output.
    line: Vec<f32>,
}

enum Passes {
    /// Height, then width.
    Float {
        vertical: Taps<f32>,
        horizontal: Taps<f32>,
        ring: Ring,
        sums: Vec<f32>,
    },
    /// Width, then height; the other way round for some shapes.
    Pillow {
        horizontal: Taps<i32>,
        vertical: Taps<i32>,
        height_first: bool,
        /// Rows as wide as the source, or as the window.
        ring: Ring,
        sums: Vec<i32>,
        wide: Vec<u8>,
        narrow: Vec<u8>,
    },
}

impl Resizer {
    pub fn new(plan: Plan, interpolation: Interpolation) -> Self {
        let side = |source, scaled, offset, window| (source, scaled, offset..offset + window);
        let x = side(plan.source.0, plan.scaled.0, plan.offset.0, plan.window.0);
        let y = side(plan.source.1, plan.scaled.1, plan.offset.1, plan.window.1);
        let torch = |curve| {
            let taps = |(source, scaled, outputs)| Taps::torch(source, scaled, outputs, curve);
            Passes::float(taps(x.clone()), taps(y.clone()), plan)
        };
        let pillow = |curve| {
            let taps = |(source, scaled, outputs)| Taps::pillow(source, scaled, outputs, curve);
            Passes::pillow(taps(x.clone()), taps(y.clone()), plan)
        };
        let (passes, columns, rows) = match interpolation {
            Interpolation::Bilinear => torch(Curve::Triangle),
            Interpolation::Bicubic => torch(Curve::Cubic),
            Interpolation::PillowBilinear => pillow(Curve::Triangle),
            Interpolation::PillowBicubic => pillow(Curve::Cubic),
            Interpolation::Nearest => {
                let taps = |(source, scaled, outputs)| Taps::nearest(source, scaled, outputs);
                Passes::float(taps(x.clone()), taps(y.clone()), plan)
            }
        };
        Self {
            plan,
            columns,
            rows,
            passes,
            line: vec![0.0; plan.output.0 as usize * 3],
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The source columns that [`Self::run`] wants of a row: from an even one to an even one, or to the right edge.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The source rows that [`Self::run`] asks for, of which `nearest` leaves out some.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Resizes a picture. `fetch` is asked for source rows in ascending order, each once at most, and writes the bytes
    /// R, G, B of [`Self::columns`]. `put` gets the rows of the output, from the first to the last: floats R, G, B on
    /// the scale of 0 to 255, which bicubic interpolation can leave.
    pub fn run(&mut self, mut fetch: impl FnMut(usize, &mut [u8]), mut put: impl FnMut(usize, &[f32])) {
        let (left, top) = (self.plan.at.0 as usize, self.plan.at.1 as usize);
        let width = self.plan.window.0 as usize * 3;
        let bytes = self.columns.len() * 3;
        self.line.fill(0.0);
        for y in 0..top {
            put(y, &self.line);
        }
        let mut y = top;
        match &mut self.passes {
            Passes::Float {
                vertical,
                horizontal,
                ring,
                sums,
            } => {
                ring.restart();
                for (first, weights) in vertical.iter() {
                    let rows = ring.rows(first, weights.len(), |y, row| fetch(y, &mut row[..bytes]));
                    float::sum_rows(&rows, weights, sums);
                    float::sum_columns(sums, horizontal, &mut self.line[left * 3..][..width]);
                    put(y, &self.line);
                    y += 1;
                }
            }
            Passes::Pillow {
                horizontal,
                vertical,
                height_first,
                ring,
                sums,
                wide,
                narrow,
            } => {
                ring.restart();
                for (first, weights) in vertical.iter() {
                    if *height_first {
                        let rows = ring.rows(first, weights.len(), &mut fetch);
                        fixed::sum_rows(&rows, weights, sums, wide);
                        fixed::sum_columns(wide, horizontal, narrow);
                    } else {
                        let rows = ring.rows(first, weights.len(), |y, row| {
                            fetch(y, wide);
                            fixed::sum_columns(wide, horizontal, row);
                        });
                        fixed::sum_rows(&rows, weights, sums, narrow);
                    }
                    for (value, byte) in self.line[left * 3..].iter_mut().zip(&*narrow) {
                        *value = f32::from(*byte);
                    }
                    put(y, &self.line);
                    y += 1;
                }
            }
        }
        self.line.fill(0.0);
        for y in y..self.plan.output.1 as usize {
            put(y, &self.line);
        }
    }
}

impl Passes {
    fn float(mut horizontal: Taps<f32>, vertical: Taps<f32>, plan: Plan) -> (Self, Range<usize>, Range<usize>) {
        let columns = even_columns(&mut horizontal, plan);
        // One value behind the last pixel, and whole vectors.
        let values = (columns.len() * 3 + 1).next_multiple_of(float::LANES);
        let rows = vertical.range();
        let passes = Self::Float {
            ring: Ring::new(&vertical, values),
            vertical,
            horizontal,
            sums: vec![0.0; values],
        };
        (passes, columns, rows)
    }

    fn pillow(mut horizontal: Taps<i32>, vertical: Taps<i32>, plan: Plan) -> (Self, Range<usize>, Range<usize>) {
        let columns = even_columns(&mut horizontal, plan);
        let (wide, narrow) = (columns.len() * 3, plan.window.0 as usize * 3);
        let rows = vertical.range();
        let height_first = fixed::is_height_first(plan.source, plan.scaled);
        let ring_bytes = if height_first { wide } else { narrow };
        let passes = Self::Pillow {
            ring: Ring::new(&vertical, ring_bytes),
            horizontal,
            vertical,
            height_first,
            sums: vec![0; ring_bytes],
            wide: vec![0; wide],
            narrow: vec![0; narrow],
        };
        (passes, columns, rows)
    }
}

/// The columns that taps use, widened so that pairs of columns, which share their chroma, stay together. The taps then
/// count from the first of them.
fn even_columns<W: Copy>(taps: &mut Taps<W>, plan: Plan) -> Range<usize> {
    let used = taps.range();
    let begin = used.start & !1;
    taps.count_from(begin);
    begin..used.end.next_multiple_of(2).min(plan.source.0 as usize)
}

/// Rounds floats to the nearest bytes, halves to even as PyTorch's round.
pub fn to_bytes(values: &[f32], bytes: &mut [u8]) {
    for (byte, value) in bytes.iter_mut().zip(values) {
        // Adding 2^23 leaves no fractional bits; the addition rounds to even.
        *byte = ((value.clamp(0.0, 255.0) + 8_388_608.0) - 8_388_608.0) as u8;
    }
}
