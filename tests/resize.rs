//! Resized pictures: the same numbers as torchvision and Pillow give, `tests/data/resize/`.

use gstvidtok::resize::{Fit, Interpolation, Plan, Resizer, Size, to_bytes};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    /// Source width and height; width and height of the crop; of the scaled picture; the crop's left and top.
    geometry: Vec<[u32; 8]>,
}

#[derive(Debug, Deserialize)]
struct Case {
    source: (u32, u32),
    seed: u32,
    extremes: bool,
    size: String,
    fit: String,
    interpolation: String,
    output: (u32, u32),
    r#type: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/resize/golden.json")).unwrap()
}

fn named<T: Copy>(names: &[(&str, T)], name: &str) -> T {
    names.iter().find(|(known, _)| *known == name).unwrap().1
}

/// `noise` in tests/data/resize/make.py.
fn noise((width, height): (u32, u32), seed: u32, extremes: bool) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (state >> 24) as u8;
        if extremes { 255 * (byte >> 7) } else { byte }
    };
    std::iter::repeat_with(next)
        .take((width * height * 3) as usize)
        .collect()
}

/// Resizes a picture, and checks that its rows are asked for as promised.
fn resize(picture: &[u8], resizer: &mut Resizer) -> Vec<f32> {
    let (width, height) = resizer.plan().source();
    assert_eq!(picture.len(), (width * height * 3) as usize);
    let (columns, rows) = (resizer.columns(), resizer.rows());
    assert_eq!(columns.start % 2, 0);
    assert!(columns.end % 2 == 0 || columns.end == width as usize);
    let (mut next, mut out, mut filled) = (rows.start, Vec::new(), 0);
    resizer.run(
        |y, row| {
            assert!(y >= next && y < rows.end, "row {y} of {rows:?} after {next}");
            next = y + 1;
            let begin = y * width as usize * 3;
            row.copy_from_slice(&picture[begin..][columns.start * 3..columns.end * 3]);
        },
        |y, row| {
            assert_eq!(y, filled);
            filled += 1;
            out.extend_from_slice(row);
        },
    );
    out
}

fn resized(picture: &[u8], source: (u32, u32), size: &str, fit: Fit, interpolation: Interpolation) -> Vec<f32> {
    let plan = Plan::new(source, Some(size.parse().unwrap()), fit).unwrap();
    resize(picture, &mut Resizer::new(plan, interpolation))
}

#[test]
fn numbers_are_those_of_torchvision_and_pillow() {
    let mut values = include_bytes!("data/resize/golden.bin").as_slice();
    let cases = golden().cases;
    assert!(cases.len() > 50);
    let mut largest = 0.0_f32;
    for case in cases {
        let length = (case.output.0 * case.output.1 * 3) as usize;
        let interpolation = named(&Interpolation::NAMES, &case.interpolation);
        let expected: Vec<f32>;
        let bytes = case.r#type == "uint8";
        assert_eq!(bytes, interpolation.gives_bytes());
        if bytes {
            expected = values[..length].iter().map(|byte| f32::from(*byte)).collect();
            values = &values[length..];
        } else {
            let floats = values[..length * 4].chunks_exact(4);
            expected = floats
                .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
                .collect();
            values = &values[length * 4..];
        }
        let picture = noise(case.source, case.seed, case.extremes);
        let fit = named(&Fit::NAMES, &case.fit);
        let plan = Plan::new(case.source, Some(case.size.parse().unwrap()), fit).unwrap();
        assert_eq!(plan.output(), case.output, "{case:?}");
        let mut resizer = Resizer::new(plan, interpolation);
        // A second picture, after another one, has nothing of the first.
        resize(&noise(case.source, case.seed + 1, false), &mut resizer);
        let found = resize(&picture, &mut resizer);
        assert_eq!(found.len(), expected.len());
        let difference = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        let allowed = if bytes { 0.0 } else { 1e-4 };
        assert!(difference <= allowed, "{difference}: {case:?}");
        largest = largest.max(difference);
    }
    assert!(values.is_empty());
    println!("At most {largest} from PyTorch's floats");
}

#[test]
fn sizes_and_crops_are_those_of_torchvision() {
    let sizes = golden().geometry;
    assert!(sizes.len() > 200);
    for [
        width,
        height,
        crop_width,
        crop_height,
        scaled_width,
        scaled_height,
        left,
        top,
    ] in sizes
    {
        let size = Size::Exact(crop_width, crop_height);
        let plan = Plan::new((width, height), Some(size), Fit::Crop).unwrap();
        let found = (plan.scaled(), plan.offset());
        assert_eq!(
            found,
            ((scaled_width, scaled_height), (left, top)),
            "{width}×{height} {size:?}"
        );
        let shorter = Plan::new((width, height), Some(Size::Shorter(crop_height)), Fit::Crop);
        if let Ok(shorter) = shorter {
            assert_eq!(shorter.output(), (scaled_width, scaled_height));
        }
    }
}

#[test]
fn a_constant_picture_stays_constant() {
    for source in [(64, 48), (31, 57), (5, 3), (1, 1), (97, 2)] {
        for size in ["16x16", "31x57", "33x7", "120x90", "1x1", "13"] {
            for (fit, (name, interpolation)) in [Fit::Crop, Fit::Stretch]
                .into_iter()
                .flat_map(|fit| Interpolation::NAMES.map(|interpolation| (fit, interpolation)))
            {
                for colour in [[0, 128, 255], [130, 1, 254]] {
                    let picture = colour.repeat((source.0 * source.1) as usize);
                    let found = resized(&picture, source, size, fit, interpolation);
                    // Weights of float32 have a sum of nearly 1, as in PyTorch.
                    let allowed = if interpolation.gives_bytes() { 0.0 } else { 3e-4 };
                    for pixel in found.chunks_exact(3) {
                        let exact = |(found, colour): (&f32, u8)| (found - f32::from(colour)).abs() <= allowed;
                        assert!(
                            pixel.iter().zip(colour).all(exact),
                            "{pixel:?} {source:?} {size} {fit:?} {name}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_picture_of_unchanged_size_is_copied() {
    let source = (37, 21);
    let picture = noise(source, 5, false);
    let floats: Vec<f32> = picture.iter().map(|byte| f32::from(*byte)).collect();
    for (_, interpolation) in Interpolation::NAMES {
        let plan = Plan::new(source, None, Fit::Crop).unwrap();
        assert_eq!(resize(&picture, &mut Resizer::new(plan, interpolation)), floats);
        assert_eq!(resized(&picture, source, "37x21", Fit::Stretch, interpolation), floats);
        // The shorter side stays 21: only the middle is cut out.
        let middle = resized(&picture, source, "21x21", Fit::Crop, interpolation);
        let rows = floats.chunks_exact(37 * 3);
        let expected: Vec<f32> = rows.flat_map(|row| row[8 * 3..][..21 * 3].to_vec()).collect();
        assert_eq!(middle, expected);
    }
}

#[test]
fn bars_are_black_and_the_picture_between_them_is_the_stretched_one() {
    let source = (40, 30);
    let picture = noise(source, 9, false);
    for (_, interpolation) in Interpolation::NAMES {
        for (size, inner, left, top) in [("16x16", (16, 12), 0, 2), ("30x12", (16, 12), 7, 0)] {
            let padded = resized(&picture, source, size, Fit::Pad, interpolation);
            let stretched = resized(&picture, source, "16x12", Fit::Stretch, interpolation);
            let width = size.split_once('x').unwrap().0.parse::<usize>().unwrap();
            for (index, pixel) in padded.chunks_exact(3).enumerate() {
                let (x, y) = ((index % width).wrapping_sub(left), (index / width).wrapping_sub(top));
                let expected = if x < inner.0 && y < inner.1 {
                    &stretched[(y * inner.0 + x) * 3..][..3]
                } else {
                    &[0.0; 3]
                };
                assert_eq!(pixel, expected, "{size} {x} {y}");
            }
        }
    }
}

#[test]
fn a_crop_is_cut_from_the_whole_resized_picture() {
    let source = (50, 31);
    let picture = noise(source, 11, true);
    for (name, interpolation) in Interpolation::NAMES {
        let whole = resized(&picture, source, "16", Fit::Crop, interpolation);
        let middle = resized(&picture, source, "9x16", Fit::Crop, interpolation);
        // 25 columns, of which round(8.0) are left of the crop.
        let expected: Vec<f32> = whole
            .chunks_exact(25 * 3)
            .flat_map(|row| row[8 * 3..][..9 * 3].to_vec())
            .collect();
        assert_eq!(middle, expected, "{name}");
    }
}

#[test]
fn bytes_are_rounded_halves_to_even_and_clamped() {
    let floats = [-3.0, -0.4, 0.5, 1.5, 2.5, 2.5001, 254.4, 254.5, 255.4, 300.0, f32::NAN];
    let mut bytes = [7; 11];
    to_bytes(&floats, &mut bytes);
    assert_eq!(bytes, [0, 0, 0, 2, 2, 3, 254, 254, 255, 255, 0]);
}

#[test]
fn extreme_shapes_are_resized() {
    for (source, size) in [
        ((32768, 1), "3x3"),
        ((1, 3000), "40x2"),
        ((3000, 1), "256x256"),
        ((2, 2), "700x1"),
    ] {
        for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
            for (_, interpolation) in Interpolation::NAMES {
                let plan = Plan::new(source, Some(size.parse().unwrap()), fit).unwrap();
                let picture = vec![200; (source.0 * source.1 * 3) as usize];
                let found = resize(&picture, &mut Resizer::new(plan, interpolation));
                assert_eq!(found.len(), (plan.output().0 * plan.output().1 * 3) as usize);
                assert!(found.iter().any(|value| (value - 200.0).abs() < 1e-3));
            }
        }
    }
}
