//! Compares 1×1 convolutions over time with ONNX Runtime's: as `convolutions` does, with the same options.

mod common;

use std::hint::black_box;

use ort::session::Session;
use ort::value::TensorRef;
use vidtok_winograd::{ConvolutionOverTime, Frames, Instructions, WeightsOverTime};

use common::{median_and_least, model, numbers, timed};

/// Channels, height and width, frames of the result.
const LAYERS: [(usize, usize, Frames); 6] = [
    (32, 256, Frames::Four),
    (128, 64, Frames::Four),
    (128, 128, Frames::Four),
    (256, 64, Frames::Two),
    (512, 32, Frames::Two),
    (512, 16, Frames::Two),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--rounds").skip(1);
    let rounds: usize = arguments.next().map_or(Ok(11), |rounds| rounds.parse())?;
    let environment = ort::init_from(std::env::var("ORT_DYLIB_PATH")?)?
        .with_telemetry(false)
        .build()?;
    for (channels, side, frames) in LAYERS {
        let (area, results) = (side * side, frames.count());
        let x: Vec<Vec<f32>> = (0..results + 2).map(|i| numbers(channels * area, i)).collect();
        let x: Vec<&[f32]> = x.iter().map(Vec::as_slice).collect();
        let kernels: [Vec<f32>; 3] = std::array::from_fn(|tap| numbers(channels * channels, 7 + tap));
        let kernels = kernels.each_ref().map(Vec::as_slice);
        let bias = numbers(channels, 99);
        let mut session = Session::builder(&environment)?
            .with_intra_threads(1)?
            .with_optimization_level(ort::session::builder::GraphOptimizationLevel::All)?
            .commit_from_memory(&model::sum_of_convolutions(
                channels, channels, side, 1, &kernels, &bias,
            ))?;
        let weights: Vec<_> = Instructions::fast()
            .into_iter()
            .map(|instructions| {
                (
                    instructions,
                    WeightsOverTime::new(kernels, channels, channels, frames, instructions),
                )
            })
            .collect();
        let mut times = vec![Vec::new(); 1 + weights.len()];
        let mut y = vec![0.0; results * channels * area];
        for _ in 0..rounds {
            let mut error = None;
            let feeds: Vec<Vec<_>> = (0..results)
                .map(|frame| {
                    let feed = |tap: usize| {
                        let view = TensorRef::from_array_view(([1, channels, side, side], x[frame + tap]))?;
                        Ok((format!("x{tap}"), view))
                    };
                    (0..3).map(feed).collect::<ort::Result<_>>()
                })
                .collect::<ort::Result<_>>()?;
            times[0].push(timed(|| {
                for feeds in feeds {
                    error = error.take().or(session.run(feeds).err());
                }
            }));
            error.map_or(Ok(()), Err)?;
            for ((_, weights), times) in weights.iter().zip(&mut times[1..]) {
                let mut y: Vec<&mut [f32]> = y.chunks_exact_mut(channels * area).collect();
                times.push(timed(|| {
                    let layer = ConvolutionOverTime::new(weights, &x, &bias, &[], area, 1);
                    layer.run(&mut y, |count, run| (0..count).for_each(run));
                    black_box(&y);
                }));
            }
        }
        let operations = 2e-6 * (3 * results * channels * channels * area) as f64;
        let (theirs, their_least) = median_and_least(&times[0]);
        println!(
            "{channels} channels, {side}x{side}, {results} frames: ONNX Runtime {theirs:.2} ms, {:.0} GFLOP/s",
            operations / theirs
        );
        for ((instructions, _), times) in weights.iter().zip(&times[1..]) {
            let (ours, least) = median_and_least(times);
            println!(
                "    {instructions:?}: {ours:.2} ms, {:.2} ({:.2}) times as fast",
                theirs / ours,
                their_least / least
            );
        }
    }
    Ok(())
}
