//! The elements' overhead over the network alone: `cargo bench --bench overhead`. With `-- --memory`: whether memory
//! stays flat.
//!
//! A loop over the network's steps and a pipeline with the element take turns on the same frames or tokens, and their
//! medians are compared. Neither includes start-up and the first step.
//!
//! Options after `--`: `--size N` (width and height in pixels, default 256), `--steps N` per turn (40), `--repeats N`
//! (15), `--model MODEL`. `ORT_DYLIB_PATH` names ONNX Runtime.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Result, buffer, feed, median, memory_kb, model_property, picture, pipeline, pipeline_through};
use common::{play_to_end, video_caps, watch};
use gst::prelude::PadExt;
use gstvidtok::runtime::{self, DecoderNetwork, EncoderNetwork, Options, Silent};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{Graph, Role, Target};

const MEMORY_FRAMES: u64 = 10_000;
const MEMORY_REPORTS: [u64; 4] = [1_000, 2_000, 5_000, 10_000];
/// Allowed growth of memory from the first to the last report.
const MEMORY_SLACK_KB: u64 = 2_048;

struct Arguments {
    memory: bool,
    size: u32,
    steps: usize,
    repeats: usize,
    model: Option<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            memory: false,
            size: 256,
            steps: 40,
            repeats: 15,
            model: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                // Cargo's own.
                "--bench" => (),
                "--memory" => arguments.memory = true,
                "--size" => arguments.size = value()?.parse()?,
                "--steps" => arguments.steps = value()?.parse()?,
                "--repeats" => arguments.repeats = value()?.parse()?,
                "--model" => arguments.model = Some(value()?),
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(arguments)
    }

    fn graph(&self, role: Role) -> Result<Graph> {
        common::graph(self.model.as_deref(), role, Target::Cpu)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    gst::init()?;
    gstvidtok::plugin_register_static()?;
    runtime::load()?;
    if arguments.memory {
        memory(&arguments)
    } else {
        overhead(&arguments)
    }
}

fn overhead(arguments: &Arguments) -> Result<()> {
    let Arguments {
        size, steps, repeats, ..
    } = *arguments;
    let mut encoder = EncoderNetwork::open(
        &arguments.graph(Role::Encoder)?,
        Options::default(),
        size,
        size,
        &Silent,
    )?;
    let mut decoder = DecoderNetwork::open(
        &arguments.graph(Role::Decoder)?,
        Options::default(),
        size,
        size,
        &Silent,
    )?;
    let description = arguments.graph(Role::Encoder)?.description;
    println!(
        "{} on {}, {size}×{size}, {repeats} turns of {steps} steps",
        description.name,
        encoder.running().provider.name()
    );

    let step_frames = description.grouping().step_frames();
    let frames: Vec<Vec<u8>> = (0..4 * step_frames)
        .map(|index| picture(index, size as usize))
        .collect();
    let input = encoder.input();
    let batches: Vec<Vec<u8>> = frames
        .chunks(step_frames)
        .map(|batch| input.bytes_of(&batch.concat(), &mut Vec::new()).to_vec())
        .collect();
    let tokens: Vec<Tokens> = batches
        .iter()
        .map(|batch| encoder.encode(batch))
        .collect::<std::result::Result<_, _>>()?;

    let video = video_caps(size)?;
    let frame_count = description.grouping().frames_in(steps as u64) as usize;
    let pictures: Vec<gst::Buffer> = (0..frame_count).map(|i| buffer(&frames[i % frames.len()], i)).collect();
    let model = model_property(arguments.model.as_deref());
    let (encode_line, decode_line) = (format!("vidtokenc{model}"), format!("vidtokdec{model}"));
    let (caps, packets) = record(&encode_line, &video, &pictures)?;
    // A decoder that looks ahead runs one more step at the end.
    let flushes = usize::from(description.decoder_delay > 0);

    let mut encode = Turns::default();
    let mut decode = Turns::default();
    // The first turn warms up.
    for turn in 0..=repeats {
        let bare = time_steps(steps, |step| {
            std::hint::black_box(encoder.encode(&batches[step % batches.len()])?);
            Ok(())
        })?;
        let element = play(&encode_line, &video, &pictures)? / (steps - 1) as u32;
        encode.add(turn, bare, element);
        let bare = time_steps(steps, |step| {
            decoder.decode(&tokens[step % tokens.len()], step == 1, |frames| {
                std::hint::black_box(frames.len())
            })?;
            Ok(())
        })?;
        let element = play(&decode_line, &caps, &packets)? / (steps - 1 + flushes) as u32;
        decode.add(turn, bare, element);
    }
    println!(
        "{:8} {:>14} {:>17} {:>10}",
        "", "bare, ms/step", "element, ms/step", "overhead"
    );
    for (name, turns) in [("encode", encode), ("decode", decode)] {
        let (bare, element) = (median(turns.bare), median(turns.element));
        let percent = (element / bare - 1.0) * 100.0;
        println!("{name:8} {bare:14.3} {element:17.3} {percent:9.2}%");
    }
    Ok(())
}

/// Milliseconds per step, a value per turn.
#[derive(Default)]
struct Turns {
    bare: Vec<f64>,
    element: Vec<f64>,
}

impl Turns {
    fn add(&mut self, turn: usize, bare: Duration, element: Duration) {
        if turn > 0 {
            self.bare.push(bare.as_secs_f64() * 1e3);
            self.element.push(element.as_secs_f64() * 1e3);
        }
    }
}

/// The mean time of a step, without the first one.
fn time_steps(steps: usize, mut run: impl FnMut(usize) -> Result<()>) -> Result<Duration> {
    run(0)?;
    let started = Instant::now();
    (1..steps).try_for_each(&mut run)?;
    Ok(started.elapsed() / (steps - 1) as u32)
}

/// The time from the first output buffer of `element` to the last.
fn play(element: &str, caps: &gst::Caps, buffers: &[gst::Buffer]) -> Result<Duration> {
    let times = Arc::new(Mutex::new(None));
    let recorded = times.clone();
    run(element, caps, buffers, move |_, _| {
        let now = Instant::now();
        let mut recorded = recorded.lock().unwrap();
        let (first, _) = recorded.unwrap_or((now, now));
        *recorded = Some((first, now));
    })?;
    let (first, last) = times.lock().unwrap().ok_or("the element has no output")?;
    Ok(last - first)
}

/// Caps and buffers of the output of `element`.
fn record(element: &str, caps: &gst::Caps, buffers: &[gst::Buffer]) -> Result<(gst::Caps, Vec<gst::Buffer>)> {
    let recorded = Arc::new(Mutex::new((None, Vec::new())));
    let recorder = recorded.clone();
    run(element, caps, buffers, move |pad, buffer| {
        let mut recorder = recorder.lock().unwrap();
        recorder.0 = pad.current_caps();
        recorder.1.push(buffer.clone());
    })?;
    let (caps, buffers) = std::mem::take(&mut *recorded.lock().unwrap());
    Ok((caps.ok_or("the element has no output")?, buffers))
}

/// Sends `buffers` through `element`, which never waits for input.
fn run(
    element: &str,
    caps: &gst::Caps,
    buffers: &[gst::Buffer],
    on_output: impl Fn(&gst::Pad, &gst::Buffer) + Send + Sync + 'static,
) -> Result<()> {
    let pipeline = pipeline_through(element)?;
    watch(&pipeline, "sink", "sink", on_output)?;
    feed(&pipeline, caps, buffers.iter().cloned())?;
    play_to_end(&pipeline)
}

fn memory(arguments: &Arguments) -> Result<()> {
    let model = model_property(arguments.model.as_deref());
    let line = format!(
        "videotestsrc num-buffers={MEMORY_FRAMES} pattern=ball ! video/x-raw,format=RGB,width=64,height=64 ! \
         vidtokenc{model} ! vidtokdec{model} ! fakesink name=sink sync=false"
    );
    let reports = Arc::new(Mutex::new(Vec::new()));
    let (seen, reported) = (AtomicU64::new(0), reports.clone());
    let pipeline = pipeline(&line)?;
    watch(&pipeline, "sink", "sink", move |_, _| {
        let frames = seen.fetch_add(1, Ordering::Relaxed) + 1;
        if MEMORY_REPORTS.contains(&frames) {
            reported.lock().unwrap().push((frames, memory_kb("VmRSS:")));
        }
    })?;
    play_to_end(&pipeline)?;
    let reports = reports.lock().unwrap();
    for (frames, kilobytes) in reports.iter() {
        println!("after {frames:6} frames: {kilobytes} kB resident");
    }
    if reports.len() < MEMORY_REPORTS.len() {
        return Err(format!("fewer than {MEMORY_FRAMES} frames came out").into());
    }
    let growth = reports[reports.len() - 1].1.saturating_sub(reports[0].1);
    if growth > MEMORY_SLACK_KB {
        return Err(format!("memory grew by {growth} kB").into());
    }
    println!("flat: it grew by {growth} kB");
    Ok(())
}
