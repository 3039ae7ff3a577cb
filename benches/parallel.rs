//! Several networks of one model in a process, as elements run them: `cargo bench --bench parallel` measures 1, 2, 4
//! and 8 networks: steps and frames per second of all together, CPU time per step, and memory. Every measurement has a
//! process of its own. The cases take turns, and medians are shown. With `-- --pipeline`: whether an encoder and a
//! decoder in one pipeline take longer than one after the other.
//!
//! Options after `--`: `--model MODEL`, `--role encoder|decoder`, `--size N` (width and height in pixels, default 256),
//! `--networks N,N,…` (1,2,4,8), `--threads N,N,…` (1,0), `--provider NAME` (cpu), `--batch N` (the property
//! batch-streams, for graphs that take a batch), `--steps N` per network (20), `--repeats N` (3), `--json FILE`.
//! `ORT_DYLIB_PATH` names ONNX Runtime.

mod common;

use std::error::Error;
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use common::{
    Result, buffer, feed, median, memory_kb, model_property, picture, pipeline_through, play_to_end, provider, role,
    video_caps, watch,
};
use gst::prelude::PadExt;
use gstvidtok::runtime::{self, DecoderNetwork, EncoderNetwork, ExecutionProvider, Options, Silent};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{Graph, Role};
use serde_json::{Value, json};

/// The unit of CPU time in Linux' /proc.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone)]
struct Arguments {
    /// Measure one case and print it as JSON, in a process that this program starts.
    case: bool,
    pipeline: bool,
    model: Option<String>,
    role: Role,
    size: u32,
    networks: Vec<usize>,
    threads: Vec<u32>,
    provider: ExecutionProvider,
    batch: u32,
    steps: usize,
    repeats: usize,
    json: Option<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            case: false,
            pipeline: false,
            model: None,
            role: Role::Encoder,
            size: 256,
            networks: vec![1, 2, 4, 8],
            threads: vec![1, 0],
            provider: ExecutionProvider::Cpu,
            batch: 0,
            steps: 20,
            repeats: 3,
            json: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                // Cargo's own.
                "--bench" => (),
                "--case" => arguments.case = true,
                "--pipeline" => arguments.pipeline = true,
                "--model" => arguments.model = Some(value()?),
                "--role" => arguments.role = role(&value()?)?,
                "--size" => arguments.size = value()?.parse()?,
                "--networks" => arguments.networks = list(&value()?)?,
                "--threads" => arguments.threads = list(&value()?)?,
                "--provider" => arguments.provider = provider(&value()?)?,
                "--batch" => arguments.batch = value()?.parse()?,
                "--steps" => arguments.steps = value()?.parse()?,
                "--repeats" => arguments.repeats = value()?.parse()?,
                "--json" => arguments.json = Some(value()?),
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        if arguments.steps == 0 || arguments.repeats == 0 || arguments.networks.contains(&0) {
            return Err("--steps, --repeats and --networks begin at 1".into());
        }
        Ok(arguments)
    }

    fn options(&self, threads: u32) -> Options {
        Options {
            provider: self.provider,
            threads,
            batch_streams: self.batch,
            ..Options::default()
        }
    }

    fn graph(&self, role: Role) -> Result<Graph> {
        common::graph(self.model.as_deref(), role, self.options(0).target())
    }
}

fn list<T: std::str::FromStr>(text: &str) -> Result<Vec<T>>
where
    T::Err: Error + Send + Sync + 'static,
{
    Ok(text.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?)
}

fn main() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    gst::init()?;
    gstvidtok::plugin_register_static()?;
    runtime::load()?;
    if arguments.case {
        println!("{}", case(&arguments)?);
        return Ok(());
    }
    let description = arguments.graph(arguments.role)?.description;
    let (size, cores) = (arguments.size, std::thread::available_parallelism()?);
    println!("{}, {size}×{size}, {cores} cores", description.name);
    let rows = if arguments.pipeline {
        pipelines(&arguments)?
    } else {
        parallel(&arguments)?
    };
    if let Some(path) = &arguments.json {
        let report = json!({
            "model": description.name, "role": arguments.role.as_str(), "size": size, "cores": cores.get(),
            "cpu": cpu(), "batch": arguments.batch, "steps": arguments.steps, "repeats": arguments.repeats,
            "rows": rows,
        });
        std::fs::write(path, format!("{report:#}\n"))?;
    }
    Ok(())
}

/// Measures every number of networks with every number of threads.
fn parallel(arguments: &Arguments) -> Result<Vec<Value>> {
    let cases: Vec<(u32, usize)> = arguments
        .threads
        .iter()
        .flat_map(|threads| arguments.networks.iter().map(move |networks| (*threads, *networks)))
        .collect();
    let mut measured: Vec<Vec<Value>> = vec![Vec::new(); cases.len()];
    for _ in 0..arguments.repeats {
        for ((threads, networks), measured) in cases.iter().zip(&mut measured) {
            measured.push(in_own_process(arguments, *threads, *networks)?);
        }
    }
    let role = arguments.role.as_str();
    println!("{role}s threads   steps/s  frames/s   ratio  CPU ms/step  members/run   MiB loaded  running     peak");
    let mut rows = Vec::new();
    let mut one = (0, 0.0);
    for ((threads, networks), measured) in cases.into_iter().zip(measured) {
        let of = |key: &str| median(measured.iter().filter_map(|case| case[key].as_f64()).collect());
        let (steps, frames) = (of("steps-per-second"), of("frames-per-second"));
        if one.0 != threads + 1 {
            // Ratios compare with the first number of networks.
            one = (threads + 1, steps);
        }
        let keys = [
            "cpu-ms-per-step",
            "members-per-run",
            "loaded-mib",
            "running-mib",
            "peak-mib",
        ];
        let [cpu, members, loaded, running, peak] = keys.map(of);
        println!(
            "{networks:8} {threads:7} {steps:9.2} {frames:9.1} {:7.2} {cpu:12.1} {members:12.2} {loaded:12.0} \
             {running:8.0} {peak:8.0}",
            steps / one.1
        );
        rows.push(json!({
            "networks": networks, "threads": threads, "steps-per-second": steps, "frames-per-second": frames,
            "cpu-ms-per-step": cpu, "members-per-run": members, "loaded-mib": loaded, "running-mib": running,
            "peak-mib": peak,
        }));
    }
    Ok(rows)
}

/// Runs one case in a process of its own, as a process keeps memory that it once had.
fn in_own_process(arguments: &Arguments, threads: u32, networks: usize) -> Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--case", "--role", arguments.role.as_str()]);
    for (option, value) in [
        ("--threads", threads.to_string()),
        ("--networks", networks.to_string()),
        ("--size", arguments.size.to_string()),
        ("--provider", arguments.provider.name().to_string()),
        ("--batch", arguments.batch.to_string()),
        ("--steps", arguments.steps.to_string()),
    ] {
        command.args([option, &value]);
    }
    if let Some(model) = &arguments.model {
        command.args(["--model", model]);
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{networks} networks with {threads} threads: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Measures one case: networks with a thread each, as elements have.
fn case(arguments: &Arguments) -> Result<Value> {
    let (count, steps, size) = (arguments.networks[0], arguments.steps, arguments.size);
    let graph = arguments.graph(arguments.role)?;
    let grouping = graph.description.grouping();
    let data: Vec<Data> = match arguments.role {
        Role::Encoder => {
            let input = |step| {
                graph
                    .input
                    .bytes_of(&frames(step, &grouping, size), &mut Vec::new())
                    .to_vec()
            };
            (0..4).map(|step| Data::Frames(input(step))).collect()
        }
        Role::Decoder => tokens(arguments)?,
    };
    let mut networks = Vec::new();
    for _ in 0..count {
        networks.push(Network::open(
            &graph,
            arguments.role,
            arguments.options(arguments.threads[0]),
            size,
        )?);
    }
    let loaded = mib(memory_kb("VmRSS:"));
    let gate = Arc::new(Barrier::new(count + 1));
    let data = Arc::new(data);
    let workers = networks.into_iter().enumerate().map(|(number, mut network)| {
        let (gate, data) = (gate.clone(), data.clone());
        std::thread::spawn(move || -> Result<f64> {
            // The first two steps allocate memory that the others reuse, so they run before the clock starts.
            let mut step = |index: usize| network.step(&data[(number + index) % data.len()], index);
            let warm = (0..2).try_for_each(|index| step(index).map(|_| ()));
            gate.wait();
            gate.wait();
            let members = warm.and_then(|()| (2..2 + steps).map(step).sum::<Result<usize>>());
            gate.wait();
            // The network lives until memory was measured.
            gate.wait();
            drop(network);
            Ok(members? as f64 / steps as f64)
        })
    });
    let workers: Vec<_> = workers.collect();
    gate.wait();
    let (started, cpu) = (Instant::now(), cpu_seconds());
    gate.wait();
    gate.wait();
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let (running, peak) = (mib(memory_kb("VmRSS:")), mib(memory_kb("VmHWM:")));
    gate.wait();
    let mut members = 0.0;
    for worker in workers {
        members += worker.join().map_err(|_| "a thread panicked")?? / count as f64;
    }
    let all = (count * steps) as f64;
    Ok(json!({
        "steps-per-second": all / seconds,
        "frames-per-second": all * grouping.step_frames() as f64 / seconds,
        "cpu-ms-per-step": cpu * 1e3 / all,
        "members-per-run": members,
        "loaded-mib": loaded,
        "running-mib": running,
        "peak-mib": peak,
    }))
}

enum Data {
    Frames(Vec<u8>),
    Tokens(Tokens),
}

enum Network {
    Encoder(EncoderNetwork),
    Decoder(DecoderNetwork),
}

impl Network {
    fn open(graph: &Graph, role: Role, options: Options, size: u32) -> Result<Self> {
        Ok(match role {
            Role::Encoder => Self::Encoder(EncoderNetwork::open(graph, options, size, size, &Silent)?),
            Role::Decoder => Self::Decoder(DecoderNetwork::open(graph, options, size, size, &Silent)?),
        })
    }

    /// Runs a step. Returns how many networks ran it together.
    fn step(&mut self, data: &Data, index: usize) -> Result<usize> {
        Ok(match (self, data) {
            (Self::Encoder(network), Data::Frames(frames)) => {
                std::hint::black_box(network.encode(frames)?);
                network.streams()
            }
            (Self::Decoder(network), Data::Tokens(tokens)) => {
                network.decode(tokens, index == 1, |frames| std::hint::black_box(frames.len()))?;
                network.streams()
            }
            _ => return Err("frames are for encoders, tokens for decoders".into()),
        })
    }
}

/// Tokens of some steps, made by the model's encoder.
fn tokens(arguments: &Arguments) -> Result<Vec<Data>> {
    let graph = arguments.graph(Role::Encoder)?;
    let grouping = graph.description.grouping();
    let options = Options {
        batch_streams: 0,
        ..arguments.options(0)
    };
    let mut encoder = EncoderNetwork::open(&graph, options, arguments.size, arguments.size, &Silent)?;
    let mut buffer = Vec::new();
    let tokens = |step| {
        let frames = frames(step, &grouping, arguments.size);
        let tokens = encoder.encode(encoder.input().bytes_of(&frames, &mut buffer))?;
        Ok(Data::Tokens(tokens))
    };
    (0..4).map(tokens).collect()
}

/// Measures an encoder and a decoder: each alone, and both in one pipeline.
fn pipelines(arguments: &Arguments) -> Result<Vec<Value>> {
    let (size, steps) = (arguments.size, arguments.steps);
    let description = arguments.graph(Role::Encoder)?.description;
    let step_frames = description.grouping().step_frames();
    let pictures: Vec<Vec<u8>> = (0..4 * step_frames)
        .map(|index| picture(index, size as usize))
        .collect();
    let count = description.grouping().frames_in(steps as u64) as usize;
    let video: Vec<gst::Buffer> = (0..count).map(|i| buffer(&pictures[i % pictures.len()], i)).collect();
    let caps = video_caps(size)?;
    let model = model_property(arguments.model.as_deref());
    println!("threads   encode ms   decode ms   one after the other   in one pipeline   ratio");
    let mut rows = Vec::new();
    for threads in &arguments.threads {
        let [encode, decode] = ["vidtokenc", "vidtokdec"].map(|name| format!("{name}{model} threads={threads}"));
        let (_, token_caps, tokens) = run(&encode, &caps, &video)?;
        let token_caps = token_caps.ok_or("the encoder has no output")?;
        let both = format!("{encode} ! queue ! {decode}");
        let mut times: [Vec<f64>; 3] = Default::default();
        for _ in 0..arguments.repeats {
            let turns = [
                (&encode, &caps, &video),
                (&decode, &token_caps, &tokens),
                (&both, &caps, &video),
            ];
            for (times, (line, caps, buffers)) in times.iter_mut().zip(turns) {
                times.push(run(line, caps, buffers)?.0.as_secs_f64() * 1e3);
            }
        }
        let [encode, decode, both] = times.map(median);
        let ratio = both / (encode + decode);
        println!(
            "{threads:7} {encode:11.0} {decode:11.0} {:21.0} {both:17.0} {ratio:7.2}",
            encode + decode
        );
        rows.push(json!({
            "threads": threads, "frames": count, "encode-ms": encode, "decode-ms": decode, "pipeline-ms": both,
            "ratio": ratio,
        }));
    }
    Ok(rows)
}

/// Sends `buffers` through `line`, which never waits for input. Returns the time from the first input buffer to the
/// last output buffer, and the output.
fn run(
    line: &str,
    caps: &gst::Caps,
    buffers: &[gst::Buffer],
) -> Result<(Duration, Option<gst::Caps>, Vec<gst::Buffer>)> {
    let pipeline = pipeline_through(line)?;
    let started = Arc::new(Mutex::new(None));
    let start = started.clone();
    watch(&pipeline, "source", "src", move |_, _| {
        start.lock().unwrap().get_or_insert_with(Instant::now);
    })?;
    let seen = Arc::new(Mutex::new((None, None, Vec::new())));
    let see = seen.clone();
    watch(&pipeline, "sink", "sink", move |pad, buffer| {
        let mut seen = see.lock().unwrap();
        seen.0 = Some(Instant::now());
        seen.1 = pad.current_caps();
        seen.2.push(buffer.clone());
    })?;
    feed(&pipeline, caps, buffers.iter().cloned())?;
    play_to_end(&pipeline)?;
    let (last, caps, out) = std::mem::take(&mut *seen.lock().unwrap());
    let first = started.lock().unwrap().ok_or("the line took no input")?;
    Ok((last.ok_or("the line has no output")? - first, caps, out))
}

/// The frames of a step.
fn frames(step: usize, grouping: &gstvidtok::timeline::Grouping, size: u32) -> Vec<u8> {
    let frames = grouping.step_frames();
    (0..frames)
        .flat_map(|frame| picture(step * frames + frame, size as usize))
        .collect()
}

fn mib(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}

/// CPU time of this process so far, on all cores; 0 if the system has no /proc.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may contain spaces, user and system time are the 12th and 13th fields.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

/// The name of the processor.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split(':').nth(1)?.trim().to_string())
}
