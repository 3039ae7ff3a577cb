//! Compares with ONNX Runtime's convolution: milliseconds of processor time on one thread, and how many times as fast.
//! Runs take turns, as other programs may slow down all of them; medians, and the ratio of the least times in brackets.
//!
//! `ORT_DYLIB_PATH` names ONNX Runtime's library. Options: `--rounds N` (11).

use std::hint::black_box;

use ort::session::Session;
use ort::value::TensorRef;
use vidtok_winograd::{Convolution, Instructions, Picture, Tile, Weights};

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
            .commit_from_memory(&model::sum_of_convolutions(inputs, outputs, side, &kernels, &bias))?;
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

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0)
        .collect()
}

fn timed(run: impl FnOnce()) -> f64 {
    let before = processor_ms();
    run();
    processor_ms() - before
}

/// Processor time of this process.
fn processor_ms() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `time`, and keeps no reference to it.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn median_and_least(times: &[f64]) -> (f64, f64) {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

/// An ONNX model, as bytes.
mod model {
    /// Convolutions of `x0`, `x1`, …, which are added.
    pub fn sum_of_convolutions(
        inputs: usize,
        outputs: usize,
        side: usize,
        kernels: &[&[f32]],
        bias: &[f32],
    ) -> Vec<u8> {
        let mut graph = Vec::new();
        bytes(2, b"graph", &mut graph);
        tensor("bias", &[outputs], bias, &mut graph);
        for (tap, kernel) in kernels.iter().enumerate() {
            tensor(&format!("w{tap}"), &[outputs, inputs, 3, 3], kernel, &mut graph);
            value(11, &format!("x{tap}"), &[1, inputs, side, side], &mut graph);
            let mut names = vec![format!("x{tap}"), format!("w{tap}")];
            names.extend((tap == 0).then(|| "bias".into()));
            node("Conv", &names, &format!("y{tap}"), &mut graph);
            if tap > 0 {
                let before = if tap == 1 {
                    "y0".into()
                } else {
                    format!("sum{}", tap - 1)
                };
                node("Add", &[before, format!("y{tap}")], &format!("sum{tap}"), &mut graph);
            }
        }
        let last = kernels.len() - 1;
        let name = if last == 0 { "y0".into() } else { format!("sum{last}") };
        value(12, &name, &[1, outputs, side, side], &mut graph);
        let (mut opset, mut model) = (Vec::new(), Vec::new());
        integer(2, 18, &mut opset);
        integer(1, 8, &mut model);
        bytes(7, &graph, &mut model);
        bytes(8, &opset, &mut model);
        model
    }

    fn node(kind: &str, inputs: &[String], output: &str, graph: &mut Vec<u8>) {
        let mut node = Vec::new();
        for input in inputs {
            bytes(1, input.as_bytes(), &mut node);
        }
        bytes(2, output.as_bytes(), &mut node);
        bytes(4, kind.as_bytes(), &mut node);
        if kind == "Conv" {
            let mut pads = Vec::new();
            bytes(1, b"pads", &mut pads);
            (0..4).for_each(|_| integer(8, 1, &mut pads));
            integer(20, 7, &mut pads);
            bytes(5, &pads, &mut node);
        }
        bytes(1, &node, graph);
    }

    fn tensor(name: &str, sizes: &[usize], values: &[f32], graph: &mut Vec<u8>) {
        let mut tensor = Vec::new();
        sizes.iter().for_each(|size| integer(1, *size as u64, &mut tensor));
        integer(2, 1, &mut tensor);
        bytes(8, name.as_bytes(), &mut tensor);
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        bytes(9, &raw, &mut tensor);
        bytes(5, &tensor, graph);
    }

    fn value(number: u64, name: &str, sizes: &[usize], graph: &mut Vec<u8>) {
        let mut shape = Vec::new();
        for size in sizes {
            let mut dimension = Vec::new();
            integer(1, *size as u64, &mut dimension);
            bytes(1, &dimension, &mut shape);
        }
        let (mut tensor, mut kind, mut value) = (Vec::new(), Vec::new(), Vec::new());
        integer(1, 1, &mut tensor);
        bytes(2, &shape, &mut tensor);
        bytes(1, &tensor, &mut kind);
        bytes(1, name.as_bytes(), &mut value);
        bytes(2, &kind, &mut value);
        bytes(number, &value, graph);
    }

    fn bytes(number: u64, value: &[u8], to: &mut Vec<u8>) {
        varint(number << 3 | 2, to);
        varint(value.len() as u64, to);
        to.extend_from_slice(value);
    }

    fn integer(number: u64, value: u64, to: &mut Vec<u8>) {
        varint(number << 3, to);
        varint(value, to);
    }

    fn varint(mut value: u64, to: &mut Vec<u8>) {
        while value >= 0x80 {
            to.push(value as u8 | 0x80);
            value >>= 7;
        }
        to.push(value as u8);
    }
}
