//! All triples of a grid, and interpolated chroma, against formulas.

use gstvidtok::pixels::{Colour, Layout, Matrix, Method, Siting, Source};

use super::memory::{Memory, Samples, pictures, plane};
use super::{Case, MATRICES, converted};

/// swscale's factors of Y, of V for red, of U for blue, of U and of V for green, with 13 bits, as measured on PyAV's
/// readers. With full range, chroma's are 224/255 of the 16-bit ones, cut, and then rounded.
fn factors(matrix: Matrix, is_full_range: bool) -> [i32; 5] {
    match (matrix, is_full_range) {
        (Matrix::Bt601, false) => [9539, 13_075, 16_525, -3209, -6660],
        (Matrix::Bt709, false) => [9539, 14_686, 17_305, -1747, -4366],
        (Matrix::Smpte240m, false) => [9539, 14_697, 17_029, -2113, -4445],
        (Matrix::Fcc, false) => [9539, 13_056, 16_600, -3095, -6639],
        (Matrix::Bt2020, false) => [9539, 13_752, 17_545, -1535, -5328],
        (Matrix::Bt601, true) => [8192, 11_485, 14_516, -2819, -5850],
        (Matrix::Bt709, true) => [8192, 12_901, 15_201, -1534, -3835],
        (Matrix::Smpte240m, true) => [8192, 12_911, 14_959, -1856, -3904],
        (Matrix::Fcc, true) => [8192, 11_469, 14_582, -2719, -5831],
        (Matrix::Bt2020, true) => [8192, 12_080, 15_412, -1348, -4680],
    }
}

/// Numbers in steps of 16, and the last one, of so many bits.
fn grid(bits: u32) -> Vec<u16> {
    let top = (1 << bits) - 1;
    (0..=top).step_by(16 << (bits - 8)).chain([top]).collect()
}

/// A picture in which each pixel of a row, or two of them, have one chroma, and each row, or two, one luma, so that all
/// triples of the grid are there: its size and samples.
fn every_triple(bits: u32, (across, down): (usize, usize)) -> (usize, usize, Vec<Samples>) {
    let grid = grid(bits);
    let lumas: Vec<u16> = grid.iter().flat_map(|y| [*y; 2]).collect();
    let chroma: Vec<_> = grid.iter().flat_map(|u| grid.iter().map(move |v| (*u, *v))).collect();
    let (width, height) = (chroma.len() * across, lumas.len());
    let plane = |width, values: Vec<u16>| Samples { width, values };
    let rows = height / down;
    let planes = vec![
        plane(width, lumas.iter().flat_map(|y| vec![*y; width]).collect()),
        plane(
            chroma.len(),
            chroma.iter().map(|(u, _)| *u).collect::<Vec<_>>().repeat(rows),
        ),
        plane(
            chroma.len(),
            chroma.iter().map(|(_, v)| *v).collect::<Vec<_>>().repeat(rows),
        ),
    ];
    (width, height, planes)
}

/// Converts [`every_triple`] in each matrix and range, and compares each pixel with `expected` of its triple.
fn compare(layout: Layout, method: Method, expected: impl Fn(Colour, [u16; 3], [u8; 3])) {
    let (bits, share) = match layout {
        Layout::I420 => (8, (2, 2)),
        Layout::Y42B => (8, (2, 1)),
        Layout::Y444 => (8, (1, 1)),
        Layout::Y444_10LE => (10, (1, 1)),
        other => unreachable!("{other:?}"),
    };
    let (width, height, planes) = every_triple(bits, share);
    let memory: Memory = planes.iter().map(|samples| plane(samples, bits > 8, 0, 0)).collect();
    for matrix in MATRICES {
        for is_full_range in [false, true] {
            let colour = Colour {
                matrix,
                is_full_range,
                siting: None,
            };
            let source = Source {
                layout,
                width,
                height,
                colour,
            };
            let found = converted(source, method, &memory);
            for (at, pixel) in found.as_chunks::<3>().0.iter().enumerate() {
                let (x, y) = (at % width, at / width);
                let chroma = y / share.1 * planes[1].width + x / share.0;
                let [luma, u, v] = [
                    &planes[0].values[at],
                    &planes[1].values[chroma],
                    &planes[2].values[chroma],
                ];
                expected(colour, [*luma, *u, *v], *pixel);
            }
        }
    }
}

#[test]
fn subsampled_pictures_have_every_product_cut() {
    for layout in [Layout::I420, Layout::Y42B] {
        compare(layout, Method::Swscale, |colour, triple, pixel| {
            let [to_luma, v_red, u_blue, u_green, v_green] = factors(colour.matrix, colour.is_full_range);
            let [y, u, v] = triple.map(i32::from);
            let cut = |sample: i32, factor: i32| (sample * factor).div_euclid(65_536);
            let luma = cut(8 * y - if colour.is_full_range { 0 } else { 128 }, to_luma);
            let (u, v) = (8 * u - 1024, 8 * v - 1024);
            let expected = [
                luma + cut(v, v_red),
                luma + cut(u, u_green) + cut(v, v_green),
                luma + cut(u, u_blue),
            ];
            assert_eq!(
                pixel,
                expected.map(|sum| sum.clamp(0, 255) as u8),
                "{colour:?} {triple:?}"
            );
        });
    }
}

#[test]
fn full_chroma_is_rounded_once() {
    compare(Layout::Y444, Method::Swscale, |colour, triple, pixel| {
        let [to_luma, v_red, u_blue, u_green, v_green] = factors(colour.matrix, colour.is_full_range).map(i64::from);
        let [y, u, v] = triple.map(i64::from);
        let luma = (y - if colour.is_full_range { 0 } else { 16 }) * to_luma;
        let (u, v) = (u - 128, v - 128);
        let expected = [luma + v * v_red, luma + u * u_green + v * v_green, luma + u * u_blue];
        for (found, sum) in pixel.into_iter().zip(expected) {
            // swscale's sums are 512 times larger and have 32 bits: colours that nothing shows wrap around.
            let sum = i64::from(((sum + 4096) * 512) as i32);
            let expected = sum.div_euclid(1 << 22).clamp(0, 255);
            assert_eq!(i64::from(found), expected, "{colour:?} {triple:?}");
        }
    });
}

/// Shares of red and blue in luma (ITU-T H.273, table 4).
fn shares(matrix: Matrix) -> (f64, f64) {
    match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Fcc => (0.30, 0.11),
        Matrix::Smpte240m => (0.212, 0.087),
        Matrix::Bt2020 => (0.2627, 0.0593),
    }
}

/// R, G and B from 0 to 255 as real numbers, from samples of so many bits.
fn real(colour: Colour, [y, u, v]: [f64; 3], bits: i32) -> [f64; 3] {
    let unit = 2_f64.powi(bits - 8);
    let (black, luma_range, chroma_range) = match colour.is_full_range {
        true => (0.0, 256.0 * unit - 1.0, 256.0 * unit - 1.0),
        false => (16.0 * unit, 219.0 * unit, 224.0 * unit),
    };
    let luma = (y - black) / luma_range;
    let [blue_difference, red_difference] = [u, v].map(|sample| (sample - 128.0 * unit) / chroma_range);
    let (red_share, blue_share) = shares(colour.matrix);
    let red = luma + 2.0 * (1.0 - red_share) * red_difference;
    let blue = luma + 2.0 * (1.0 - blue_share) * blue_difference;
    // Luma is the sum of the shares.
    let green = (luma - red_share * red - blue_share * blue) / (1.0 - red_share - blue_share);
    [red, green, blue].map(|value| value * 255.0)
}

/// Asserts that `found` is `real`, rounded. Next to a half, either neighbour is right: floats do not know better.
fn assert_rounded(found: [u8; 3], real: [f64; 3], what: impl std::fmt::Debug) {
    for (found, real) in found.into_iter().zip(real) {
        let difference = (f64::from(found) - real.clamp(0.0, 255.0)).abs();
        assert!(difference < 0.5 + 1e-9, "{found} is not {real} of {what:?}");
    }
}

#[test]
fn exact_colours_are_real_numbers_rounded() {
    for (layout, bits) in [(Layout::Y444, 8), (Layout::Y444_10LE, 10)] {
        compare(layout, Method::Exact, |colour, triple, pixel| {
            let expected = real(colour, triple.map(f64::from), bits);
            assert_rounded(pixel, expected, (colour, triple));
        });
    }
}

#[test]
fn exact_halves_go_up() {
    // 10 bits, limited range: a grey of 64 + 876 / 6 is 255 / 6 = 42.5.
    let source = Source {
        layout: Layout::Y444_10LE,
        width: 1,
        height: 1,
        colour: Colour::default(),
    };
    let sample = |value: u16| (value.to_le_bytes().to_vec(), 2);
    let memory = vec![sample(210), sample(512), sample(512)];
    assert_eq!(converted(source, Method::Exact, &memory), [43; 3]);
}

/// A plane's value at a place in steps of a pixel, linearly between samples. `share`: pixels of a sample.
fn interpolated(samples: &Samples, x: usize, y: usize, share: (usize, usize), siting: Siting) -> f64 {
    let place = |pixel: usize, share: usize, is_first: bool, count: usize| {
        let first = if is_first { 0.0 } else { (share as f64 - 1.0) / 2.0 };
        let place = ((pixel as f64 - first) / share as f64).clamp(0.0, count as f64 - 1.0);
        (place.floor() as usize, place.fract())
    };
    let count = samples.values.len() / samples.width;
    let (column, right) = place(x, share.0, siting.is_left, samples.width);
    let (row, lower) = place(y, share.1, siting.is_top, count);
    let at = |column: usize, row: usize| {
        let column = column.min(samples.width - 1);
        f64::from(samples.values[row.min(count - 1) * samples.width + column])
    };
    let mixed = |row| at(column, row) * (1.0 - right) + at(column + 1, row) * right;
    mixed(row) * (1.0 - lower) + mixed(row + 1) * lower
}

#[test]
fn exact_chroma_is_linear_from_where_it_is_sited() {
    let sitings = [false, true].map(|is_left| [false, true].map(|is_top| Siting { is_left, is_top }));
    let sitings = sitings.into_iter().flatten().map(Some).chain([None]);
    for (siting, size) in sitings.flat_map(|siting| [(8, 6), (7, 5), (1, 1), (2, 3)].map(|size| (siting, size))) {
        for (name, bits, share) in [
            ("I420", 8, (2, 2)),
            ("Y42B", 8, (2, 1)),
            ("I420_10LE", 10, (2, 2)),
            ("I422_10LE", 10, (2, 1)),
        ] {
            let case = Case {
                layout: name.into(),
                size,
                seed: 5,
                matrix: Some("bt709".into()),
                range: None,
                siting: None,
            };
            let mut source = case.source();
            source.colour.siting = siting;
            let planes = case.planes();
            for (layout, memory) in pictures(source.layout, &planes, 3) {
                let found = converted(Source { layout, ..source }, Method::Exact, &memory);
                for (at, pixel) in found.as_chunks::<3>().0.iter().enumerate() {
                    let (x, y) = (at % size.0, at / size.0);
                    // Where nothing is said, as most video.
                    let siting = siting.unwrap_or(Siting::LEFT);
                    let chroma = |plane: usize| interpolated(&planes[plane], x, y, share, siting);
                    let samples = [f64::from(planes[0].values[at]), chroma(1), chroma(2)];
                    assert_rounded(*pixel, real(source.colour, samples, bits), (layout, siting, x, y));
                }
            }
        }
    }
}
