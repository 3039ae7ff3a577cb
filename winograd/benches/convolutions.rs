//! Compares with ONNX Runtime's convolution: milliseconds of processor time on one thread, and how many times as fast.
//! Runs take turns, as other programs may slow down all of them; medians, and the ratio of the least times in brackets.
//!
//! `ORT_DYLIB_PATH` names ONNX Runtime's library. Options: `--rounds N` (11).

mod common;

use std::hint::black_box;

use ort::session::Session;
use ort::value::TensorRef;
use vidtok_winograd::{Convolution, Instructions, Picture, Tile, Weights};

use common::{median_and_least, model, numbers, processor_ms, timed};

/// Inputs, outputs, height and width, taps.
const LAYERS: [(usize, usize, usize, usize); 13] = [
    (16, 16, 256, 1),
    (64, 64, 64, 1),
    (64, 64, 128, 1),
    (128, 128, 32, 1),
    (128, 128, 128, 1),
    (32, 32, 256, 1),
    (256, 256, 64, 1),
    (512, 512, 16, 1),
    (32, 32, 256, 3),
    (128, 128, 128, 3),
    (256, 256, 64, 3),
    (512, 512, 16, 3),
    (512, 512, 32, 3),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--rounds").skip(1);
    let rounds: usize = arguments.next().map_or(Ok(11), |rounds| rounds.parse())?;
    let environment = ort::init_from(std::env::var("ORT_DYLIB_PATH")?)?
        .with_telemetry(false)
        .build()?;
    for (inputs, outputs, side, taps) in LAYERS {
        let picture = Picture {
            height: side,
            width: side,
        };
        let area = side * side;
        let x: Vec<Vec<f32>> = (0..taps).map(|tap| numbers(inputs * area, tap)).collect();
        let kernels: Vec<Vec<f32>> = (0..taps).map(|tap| numbers(outputs * inputs * 9, 7 + tap)).collect();
        let bias = numbers(outputs, 99);
        let (x, kernels): (Vec<&[f32]>, Vec<&[f32]>) = (
            x.iter().map(|x| &x[..]).collect(),
            kernels.iter().map(|k| &k[..]).collect(),
        );

        let mut session = Session::builder(&environment)?
            .with_intra_threads(1)?
            .with_optimization_level(ort::session::builder::GraphOptimizationLevel::All)?
            .commit_from_memory(&model::sum_of_convolutions(inputs, outputs, side, 3, &kernels, &bias))?;
        let shape = [1, inputs, side, side];
        let feeds = || -> ort::Result<Vec<_>> {
            let feed = |(tap, x)| Ok((format!("x{tap}"), TensorRef::from_array_view((shape, x))?));
            x.iter().copied().enumerate().map(feed).collect()
        };
        let mut times = vec![Vec::new()];
        let mut layers = Vec::new();
        for instructions in Instructions::fast() {
            for tile in [Tile::Four, Tile::Two] {
                let before = processor_ms();
                let weights = Weights::new(&kernels, inputs, outputs, tile, instructions);
                let preparing = processor_ms() - before;
                layers.push((instructions, tile, weights, preparing));
                times.push(Vec::new());
            }
        }
        let mut y = vec![0.0; outputs * area];
        for _ in 0..rounds {
            let feeds = feeds()?;
            let mut result = None;
            times[0].push(timed(|| result = Some(session.run(feeds))));
            black_box(result.transpose()?);
            for ((.., weights, _), times) in layers.iter().zip(&mut times[1..]) {
                times.push(timed(|| {
                    let layer = Convolution::new(weights, &x, Some(&bias), None, picture, 1);
                    layer.run(&mut y, |count, run| (0..count).for_each(run));
                    black_box(&y);
                }));
            }
        }
        let operations = 2e-6 * (taps * inputs * outputs * area * 9) as f64;
        let (theirs, their_least) = median_and_least(&times[0]);
        println!(
            "{inputs} to {outputs}, {side}x{side}, taps {taps}: ONNX Runtime {theirs:.2} ms, {:.0} GFLOP/s",
            operations / theirs
        );
        for ((instructions, tile, _, preparing), times) in layers.iter().zip(&times[1..]) {
            let (ours, least) = median_and_least(times);
            println!(
                "    {instructions:?} {tile:?}: {ours:.2} ms, {:.2} ({:.2}) times as fast; weights {preparing:.0} ms",
                theirs / ours,
                their_least / least,
            );
        }
    }
    Ok(())
}
