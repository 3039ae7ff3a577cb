//! Samples, and how layouts keep them in memory.

use gstvidtok::pixels::Layout;

/// A plane's samples, row after row.
#[derive(Clone)]
pub struct Samples {
    pub width: usize,
    pub values: Vec<u16>,
}

/// `noise` in tests/data/pixels/make.py.
pub fn noise(state: &mut u32, count: usize, bits: u32) -> Vec<u16> {
    let next = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> (32 - bits)) as u16
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Each plane in memory: its bytes and their stride.
pub type Memory = Vec<(Vec<u8>, usize)>;

/// The rows of a plane so many bytes apart, with other numbers in between. The last row is not padded.
fn padded(rows: Vec<Vec<u8>>, padding: usize) -> (Vec<u8>, usize) {
    let row = rows[0].len();
    let mut bytes = rows.join(vec![0xa5; padding].as_slice());
    bytes.shrink_to_fit();
    (bytes, row + padding)
}

pub fn plane(samples: &Samples, is_wide: bool, shift: u32, padding: usize) -> (Vec<u8>, usize) {
    let bytes = |row: &[u16]| match is_wide {
        true => row.iter().flat_map(|value| (value << shift).to_le_bytes()).collect(),
        false => row.iter().map(|value| u8::try_from(*value).unwrap()).collect(),
    };
    padded(samples.values.chunks(samples.width).map(bytes).collect(), padding)
}

/// Planes of U and V as one of pairs.
fn pairs(first: &Samples, second: &Samples) -> Samples {
    let values = first.values.iter().zip(&second.values);
    Samples {
        width: first.width * 2,
        values: values.flat_map(|(first, second)| [*first, *second]).collect(),
    }
}

/// Packed 4:2:2: luma at `luma` and `luma` + 2 of four bytes, U and V at the others.
fn packed([y, u, v]: [&Samples; 3], luma: usize) -> Samples {
    let mut values = Vec::new();
    for (row, luma_row) in y.values.chunks(y.width).enumerate() {
        for column in 0..u.width {
            let at = row * u.width + column;
            let second = *luma_row.get(column * 2 + 1).unwrap_or(&77);
            let mut four = [u.values[at], u.values[at], v.values[at], v.values[at]];
            (four[luma], four[luma + 2]) = (luma_row[column * 2], second);
            values.extend(four);
        }
    }
    Samples {
        width: u.width * 4,
        values,
    }
}

/// The same picture in all layouts that have the same samples.
pub fn pictures(layout: Layout, planes: &[Samples], padding: usize) -> Vec<(Layout, Memory)> {
    let bytes = |samples: &Samples| plane(samples, false, 0, padding);
    let same = |is_wide| {
        let planes = planes.iter().map(|samples| plane(samples, is_wide, 0, padding));
        (layout, planes.collect())
    };
    match (layout, planes) {
        (Layout::I420, [y, u, v]) => vec![
            same(false),
            (Layout::YV12, vec![bytes(y), bytes(v), bytes(u)]),
            (Layout::NV12, vec![bytes(y), bytes(&pairs(u, v))]),
            (Layout::NV21, vec![bytes(y), bytes(&pairs(v, u))]),
        ],
        (Layout::Y42B, [y, u, v]) => vec![
            same(false),
            (Layout::YUY2, vec![bytes(&packed([y, u, v], 0))]),
            (Layout::UYVY, vec![bytes(&packed([y, u, v], 1))]),
        ],
        (Layout::I420_10LE, [y, u, v]) => vec![
            same(true),
            (
                Layout::P010_10LE,
                vec![plane(y, true, 6, padding), plane(&pairs(u, v), true, 6, padding)],
            ),
        ],
        (Layout::I422_10LE | Layout::Y444_10LE, _) => vec![same(true)],
        (Layout::GBR, [g, b, r]) => {
            let mut all = vec![same(false)];
            let other = Samples {
                width: g.width,
                values: vec![99; g.values.len()],
            };
            for layout in Layout::ALL {
                let name = layout.name().to_lowercase();
                if name != "gbr" && name.chars().all(|letter| "rgbax".contains(letter)) {
                    let of = |letter| match letter {
                        'r' => r,
                        'g' => g,
                        'b' => b,
                        _ => &other,
                    };
                    let values = (0..g.values.len()).flat_map(|at| name.chars().map(move |c| of(c).values[at]));
                    let samples = Samples {
                        width: g.width * name.len(),
                        values: values.collect(),
                    };
                    all.push((layout, vec![bytes(&samples)]));
                }
            }
            assert_eq!(all.len(), 11);
            all
        }
        _ => vec![same(false)],
    }
}
