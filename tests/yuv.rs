//! RGB to I420 and NV12 against fractions that follow the definition step by step.

use gstvidtok::yuv::{Chroma, Converter, Matrix, Meaning, Plane, Siting};

/// A picture's planes without padding.
#[derive(Debug, PartialEq)]
struct Planes {
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

fn meanings() -> impl Iterator<Item = Meaning> {
    let matrices = [Matrix::Bt601, Matrix::Bt709].into_iter();
    let with_range = matrices.flat_map(|matrix| [false, true].map(|full_range| (matrix, full_range)));
    with_range.flat_map(|(matrix, full_range)| {
        [Siting::Left, Siting::Centre].map(|siting| Meaning {
            matrix,
            full_range,
            siting,
        })
    })
}

/// Rows of planes have `padding` bytes behind them, which stay as they are.
fn convert(rgb: &[u8], (width, height): (usize, usize), meaning: Meaning, planar: bool, padding: usize) -> Planes {
    let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
    let plane = |columns: usize, rows: usize| vec![99; (columns + padding) * rows];
    let (mut y, mut u, mut v, mut uv) = (
        plane(width, height),
        plane(columns, rows),
        plane(columns, rows),
        plane(columns * 2, rows),
    );
    let stride = |columns: usize| columns + padding;
    let luma = Plane {
        bytes: &mut y,
        stride: stride(width),
    };
    let chroma = if planar {
        let stride = stride(columns);
        Chroma::Planar(Plane { bytes: &mut u, stride }, Plane { bytes: &mut v, stride })
    } else {
        Chroma::Interleaved(Plane {
            bytes: &mut uv,
            stride: stride(columns * 2),
        })
    };
    Converter::new(width, meaning).run(rgb, width * 3, 0..height, luma, chroma);
    let tight = |bytes: &[u8], columns: usize| -> Vec<u8> {
        let rows = bytes.chunks_exact(columns + padding);
        rows.flat_map(|row| {
            assert!(row[columns..].iter().all(|byte| *byte == 99));
            row[..columns].to_vec()
        })
        .collect()
    };
    let (y, u, v, uv) = (
        tight(&y, width),
        tight(&u, columns),
        tight(&v, columns),
        tight(&uv, columns * 2),
    );
    if planar {
        return Planes { y, u, v };
    }
    let every_other = |first: usize| uv.iter().copied().skip(first).step_by(2).collect();
    Planes {
        y,
        u: every_other(0),
        v: every_other(1),
    }
}

/// Weights of R, G, B in luma, in 1 / 10,000.
fn weights(matrix: Matrix) -> [i64; 3] {
    match matrix {
        Matrix::Bt601 => [2990, 5870, 1140],
        Matrix::Bt709 => [2126, 7152, 722],
    }
}

/// n / d, rounded half up and clamped.
fn byte(n: i64, d: i64) -> u8 {
    (2 * n + d).div_euclid(2 * d).clamp(0, 255) as u8
}

/// Y of a colour; U and V of `pixels`, a list of colours and their weights.
fn exact_luma(colour: [u8; 3], meaning: Meaning) -> u8 {
    let sum: i64 = weights(meaning.matrix)
        .iter()
        .zip(colour)
        .map(|(w, c)| w * i64::from(c))
        .sum();
    let (offset, scale) = if meaning.full_range { (0, 255) } else { (16, 219) };
    byte(offset * 255 * 10_000 + scale * sum, 255 * 10_000)
}

fn exact_chroma(pixels: &[([u8; 3], i64)], meaning: Meaning) -> (u8, u8) {
    let total: i64 = pixels.iter().map(|(_, weight)| weight).sum();
    let mean = [0, 1, 2].map(|c| pixels.iter().map(|(colour, w)| i64::from(colour[c]) * w).sum::<i64>());
    let weights = weights(meaning.matrix);
    let luma: i64 = weights.iter().zip(mean).map(|(w, c)| w * c).sum();
    let scale = if meaning.full_range { 255 } else { 224 };
    let chroma = |own: usize| {
        // (own - luma) / (2 (1 - weight)), of 255 parts, with luma and mean in 1 / (10,000 total).
        let (n, d) = (mean[own] * 10_000 - luma, 2 * (10_000 - weights[own]) * 255 * total);
        byte(128 * d + scale * n, d)
    };
    let u = chroma(2);
    if meaning.full_range {
        return (u, chroma(0));
    }
    // What blue would be off, with luma as it is rounded.
    let rounded: i64 = pixels.iter().map(|(c, w)| i64::from(exact_luma(*c, meaning)) * w).sum();
    let luma = (rounded as f64 / total as f64 - 16.0) * 255.0 / 219.0;
    let step = 2.0 * (10_000 - weights[2]) as f64 / 10_000.0 * 255.0 / 224.0;
    let off = luma + step * (f64::from(u) - 128.0) - mean[2] as f64 / total as f64;
    let u = match off {
        off if off > 1.49 => u - 1,
        off if off < -1.49 => u + 1,
        _ => u,
    };
    (u, chroma(0))
}

fn exact(rgb: &[u8], (width, height): (usize, usize), meaning: Meaning) -> Planes {
    let pixel = |x: isize, y: usize| -> [u8; 3] {
        let (x, y) = (x.clamp(0, width as isize - 1) as usize, y.min(height - 1));
        rgb[(y * width + x) * 3..][..3].try_into().unwrap()
    };
    let luma = |index: usize| exact_luma(pixel((index % width) as isize, index / width), meaning);
    let mut planes = Planes {
        y: (0..width * height).map(luma).collect(),
        u: vec![],
        v: vec![],
    };
    let columns: &[(isize, i64)] = match meaning.siting {
        Siting::Left => &[(-1, 1), (0, 2), (1, 1)],
        Siting::Centre => &[(0, 1), (1, 1)],
    };
    for y in (0..height).step_by(2) {
        for x in (0..width as isize).step_by(2) {
            let around = columns
                .iter()
                .flat_map(|(dx, weight)| [0, 1].map(|dy| (pixel(x + dx, y + dy), *weight)));
            let (u, v) = exact_chroma(&around.collect::<Vec<_>>(), meaning);
            planes.u.push(u);
            planes.v.push(v);
        }
    }
    planes
}

/// A picture of areas of one colour, 6 pixels wide.
fn flat((width, height): (usize, usize)) -> Vec<u8> {
    let colours = noise(width * height * 3, false);
    let pixels = (0..width * height).flat_map(|index| {
        let area = index / width / 6 * width + index % width / 6;
        &colours[area * 3..][..3]
    });
    pixels.copied().collect()
}

fn noise(bytes: usize, extremes: bool) -> Vec<u8> {
    let mut state = 17_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (state >> 24) as u8;
        if extremes { 255 * (byte >> 7) } else { byte }
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[test]
fn every_value_is_what_the_definition_makes_it() {
    for size in [
        (1, 1),
        (2, 2),
        (1, 4),
        (5, 1),
        (7, 5),
        (8, 6),
        (33, 3),
        (64, 48),
        (101, 40),
        (600, 90),
    ] {
        for meaning in meanings() {
            let noise = |extremes| noise(size.0 * size.1 * 3, extremes);
            for rgb in [noise(false), noise(true), flat(size)] {
                let expected = exact(&rgb, size, meaning);
                assert_eq!(
                    convert(&rgb, size, meaning, true, 0),
                    expected,
                    "I420 {size:?} {meaning:?}"
                );
                assert_eq!(
                    convert(&rgb, size, meaning, false, 3),
                    expected,
                    "NV12 {size:?} {meaning:?}"
                );
            }
        }
    }
}

/// Exact R, G, B of one pixel.
fn back(y: u8, u: u8, v: u8, meaning: Meaning) -> [f64; 3] {
    let [kr, kg, kb] = weights(meaning.matrix).map(|weight| weight as f64 / 10_000.0);
    let (offset, luma, chroma) = if meaning.full_range {
        (0.0, 255.0, 255.0)
    } else {
        (16.0, 219.0, 224.0)
    };
    let y = (f64::from(y) - offset) * 255.0 / luma;
    let [u, v] = [u, v].map(|c| (f64::from(c) - 128.0) * 255.0 / chroma);
    let (r, b) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
    [r, (y - kr * r - kb * b) / kg, b]
}

/// Converts a picture with 2 × 2 pixels of each colour whose parts are multiples of `step`, and counts the colours with
/// a part that comes back more than 1 level off.
fn colours_beyond_a_level(step: usize, meaning: Meaning) -> usize {
    let parts: Vec<u8> = (0..=255).step_by(step).collect();
    let mut beyond = 0;
    for red in &parts {
        let row = |green: &u8| -> Vec<u8> { parts.iter().flat_map(|blue| [*red, *green, *blue].repeat(2)).collect() };
        let rgb: Vec<u8> = parts.iter().flat_map(|green| row(green).repeat(2)).collect();
        let width = parts.len() * 2;
        let planes = convert(&rgb, (width, width), meaning, true, 0);
        for (index, (u, v)) in planes.u.iter().zip(&planes.v).enumerate() {
            let (green, blue) = (index / parts.len(), index % parts.len());
            let luma = planes.y[green * 2 * width + blue * 2];
            let colour = [*red, parts[green], parts[blue]];
            let back = back(luma, *u, *v, meaning).map(|part| part.round().clamp(0.0, 255.0));
            let off = colour
                .iter()
                .zip(back)
                .map(|(part, back)| (f64::from(*part) - back).abs());
            beyond += usize::from(off.fold(0.0, f64::max) > 1.0);
        }
    }
    beyond
}

/// Chroma in the middle is that of one colour here; a picture of only one has the same numbers with chroma at the left.
fn constant_colours_come_back(step: usize) {
    for meaning in meanings().filter(|meaning| meaning.siting == Siting::Centre) {
        assert_eq!(colours_beyond_a_level(step, meaning), 0, "{meaning:?}");
    }
}

#[test]
fn constant_colours_come_back_within_a_level() {
    constant_colours_come_back(3);
}

#[test]
#[ignore = "takes minutes without optimization; the numbers are those of every third level"]
fn every_constant_colour_comes_back_within_a_level() {
    constant_colours_come_back(1);
}

#[test]
fn known_colours_have_the_standards_numbers() {
    let limited = |matrix| Meaning {
        matrix,
        full_range: false,
        siting: Siting::Left,
    };
    // ITU-R BT.601 and BT.709: black, white, and the primaries of colour bars at 100%.
    for (matrix, rgb, yuv) in [
        (Matrix::Bt601, [0, 0, 0], [16, 128, 128]),
        (Matrix::Bt601, [255, 255, 255], [235, 128, 128]),
        (Matrix::Bt601, [255, 0, 0], [81, 90, 240]),
        (Matrix::Bt601, [0, 255, 0], [145, 54, 34]),
        (Matrix::Bt601, [0, 0, 255], [41, 240, 110]),
        (Matrix::Bt709, [255, 0, 0], [63, 102, 240]),
        (Matrix::Bt709, [0, 255, 0], [173, 42, 26]),
        (Matrix::Bt709, [0, 0, 255], [32, 240, 118]),
    ] {
        let planes = convert(&rgb, (1, 1), limited(matrix), true, 0);
        assert_eq!([planes.y[0], planes.u[0], planes.v[0]], yuv, "{matrix:?} {rgb:?}");
    }
}

#[test]
fn a_part_of_the_rows_can_be_converted() {
    let (width, height) = (6, 9);
    let rgb = noise(width * height * 3, false);
    let meaning = meanings().next().unwrap();
    let (mut y, mut u, mut v) = (vec![0; width * 4], vec![0; 6], vec![0; 6]);
    let chroma = Chroma::Planar(
        Plane {
            bytes: &mut u,
            stride: 3,
        },
        Plane {
            bytes: &mut v,
            stride: 3,
        },
    );
    let luma = Plane {
        bytes: &mut y,
        stride: width,
    };
    Converter::new(width, meaning).run(&rgb, width * 3, 2..6, luma, chroma);
    assert_eq!(
        Planes { y, u, v },
        exact(&rgb[2 * width * 3..6 * width * 3], (width, 4), meaning)
    );
}
