//! Many streams on one model: `cargo bench --bench parallel` measures 1, 2, 4 and 8 of them in one process: steps and
//! frames a second of all together, CPU time a step, and memory. Every measurement has a process of its own, and they take
//! turns; medians are shown. With `-- --pipeline`: whether an encoder and a decoder in one pipeline take longer than the
//! two one after the other.
//!
//! Options after `--`: `--model MODEL`, `--role encoder|decoder`, `--size N` (pixels a side, default 256), `--streams N,N,…`
//! (1,2,4,8), `--threads N,N,…` (1,0), `--provider NAME` (cpu), `--batch N` (the property batch-streams; for graphs that run
//! several streams), `--steps N` of each stream (20), `--repeats N` (3), `--json FILE`. ONNX Runtime is looked for where `ORT_DYLIB_PATH` says.

mod common;

use std::error::Error;
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use common::{
    Result, buffer, feed, frames_of, median, memory_kb, model_property, picture, pipeline, play_to_end, provider, role,
    video_caps, watch,
};
use gst::prelude::PadExt;
use gstvidtok::runtime::{self, DecoderNetwork, EncoderNetwork, ExecutionProvider, Options};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{self, Graph, Role};
use serde_json::{Value, json};

/// Linux counts a process's CPU time for /proc in these.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Clone)]
struct Arguments {
    /// Measure one case and print it as JSON: what the processes of the cases do.
    case: bool,
    pipeline: bool,
    model: Option<String>,
    role: Role,
    size: u32,
    streams: Vec<usize>,
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
            streams: vec![1, 2, 4, 8],
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
                "--streams" => arguments.streams = list(&value()?)?,
                "--threads" => arguments.threads = list(&value()?)?,
                "--provider" => arguments.provider = provider(&value()?)?,
                "--batch" => arguments.batch = value()?.parse()?,
                "--steps" => arguments.steps = value()?.parse()?,
                "--repeats" => arguments.repeats = value()?.parse()?,
                "--json" => arguments.json = Some(value()?),
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        if arguments.steps == 0 || arguments.repeats == 0 || arguments.streams.contains(&0) {
            return Err("--steps, --repeats and --streams begin at 1".into());
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
        Ok(match &self.model {
            Some(model) => tokenizer::open(model, role, self.options(0).target())?,
            None => tokenizer::embedded(role)?,
        })
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
        streams(&arguments)?
    };
    if let Some(path) = &arguments.json {
        let report = json!({
            "model": description.name, "role": arguments.role.as_str(), "size": size, "cores": cores.get(),
            "cpu": cpu(), "batch": arguments.batch, "steps": arguments.steps, "repeats": arguments.repeats, "rows": rows,
        });
        std::fs::write(path, format!("{report:#}\n"))?;
    }
    Ok(())
}

/// Measures every number of streams with every number of threads.
fn streams(arguments: &Arguments) -> Result<Vec<Value>> {
    let cases: Vec<(u32, usize)> = arguments
        .threads
        .iter()
        .flat_map(|threads| arguments.streams.iter().map(move |streams| (*threads, *streams)))
        .collect();
    let mut measured: Vec<Vec<Value>> = vec![Vec::new(); cases.len()];
    for _ in 0..arguments.repeats {
        for ((threads, streams), measured) in cases.iter().zip(&mut measured) {
            measured.push(in_a_process(arguments, *threads, *streams)?);
        }
    }
    let role = arguments.role.as_str();
    println!("{role}s threads   steps/s  frames/s   ratio  CPU ms/step  streams/run   MiB loaded  running  at most");
    let mut rows = Vec::new();
    let mut one = (0, 0.0);
    for ((threads, streams), measured) in cases.into_iter().zip(measured) {
        let of = |key: &str| median(measured.iter().filter_map(|case| case[key].as_f64()).collect());
        let (steps, frames) = (of("steps-a-second"), of("frames-a-second"));
        if one.0 != threads + 1 {
            // The first number of streams is what the others are compared with.
            one = (threads + 1, steps);
        }
        let keys = [
            "cpu-ms-a-step",
            "streams-a-run",
            "loaded-mib",
            "running-mib",
            "peak-mib",
        ];
        let [cpu, together, loaded, running, peak] = keys.map(of);
        println!(
            "{streams:8} {threads:7} {steps:9.2} {frames:9.1} {:7.2} {cpu:12.1} {together:12.2} {loaded:12.0} {running:8.0} {peak:8.0}",
            steps / one.1
        );
        rows.push(json!({
            "streams": streams, "threads": threads, "steps-a-second": steps, "frames-a-second": frames,
            "cpu-ms-a-step": cpu, "streams-a-run": together, "loaded-mib": loaded, "running-mib": running, "peak-mib": peak,
        }));
    }
    Ok(rows)
}

/// Memory that one case has taken is not given back: each has its own process.
fn in_a_process(arguments: &Arguments, threads: u32, streams: usize) -> Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--case", "--role", arguments.role.as_str()]);
    for (option, value) in [
        ("--threads", threads.to_string()),
        ("--streams", streams.to_string()),
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
        return Err(format!("{streams} streams with {threads} threads: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// One case: so many streams, each on a thread of its own, as elements are.
fn case(arguments: &Arguments) -> Result<Value> {
    let (count, steps, size) = (arguments.streams[0], arguments.steps, arguments.size);
    let graph = arguments.graph(arguments.role)?;
    let grouping = graph.description.grouping();
    let data: Vec<Data> = match arguments.role {
        Role::Encoder => (0..4).map(|step| Data::Frames(frames(step, &grouping, size))).collect(),
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
    let streams = networks.into_iter().enumerate().map(|(stream, mut network)| {
        let (gate, data) = (gate.clone(), data.clone());
        std::thread::spawn(move || -> Result<f64> {
            // The first two steps allocate what the others use. They are done when the clock starts.
            let mut step = |index: usize| network.step(&data[(stream + index) % data.len()], index);
            let warm = (0..2).try_for_each(|index| step(index).map(|_| ()));
            gate.wait();
            gate.wait();
            let together = warm.and_then(|()| (2..2 + steps).map(step).sum::<Result<usize>>());
            gate.wait();
            // The network lives until memory has been looked at.
            gate.wait();
            drop(network);
            Ok(together? as f64 / steps as f64)
        })
    });
    let streams: Vec<_> = streams.collect();
    gate.wait();
    let (started, cpu) = (Instant::now(), cpu_seconds());
    gate.wait();
    gate.wait();
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let (running, peak) = (mib(memory_kb("VmRSS:")), mib(memory_kb("VmHWM:")));
    gate.wait();
    let mut together = 0.0;
    for stream in streams {
        together += stream.join().map_err(|_| "a stream panicked")?? / count as f64;
    }
    let all = (count * steps) as f64;
    Ok(json!({
        "steps-a-second": all / seconds,
        "frames-a-second": all * grouping.step_frames() as f64 / seconds,
        "cpu-ms-a-step": cpu * 1e3 / all,
        "streams-a-run": together,
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
            Role::Encoder => Self::Encoder(EncoderNetwork::open(graph, options, size, size)?),
            Role::Decoder => Self::Decoder(DecoderNetwork::open(graph, options, size, size)?),
        })
    }

    /// Runs a step; gives how many streams ran it together.
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

/// Tokens of some steps, from the model's own encoder.
fn tokens(arguments: &Arguments) -> Result<Vec<Data>> {
    let graph = arguments.graph(Role::Encoder)?;
    let grouping = graph.description.grouping();
    let options = Options {
        batch_streams: 0,
        ..arguments.options(0)
    };
    let mut encoder = EncoderNetwork::open(&graph, options, arguments.size, arguments.size)?;
    let tokens = |step| {
        Ok(Data::Tokens(encoder.encode(&frames(
            step,
            &grouping,
            arguments.size,
        ))?))
    };
    (0..4).map(tokens).collect()
}

/// An encoder and a decoder: each alone, and both in one pipeline.
fn pipelines(arguments: &Arguments) -> Result<Vec<Value>> {
    let (size, steps) = (arguments.size, arguments.steps);
    let description = arguments.graph(Role::Encoder)?.description;
    let step_frames = description.grouping().step_frames();
    let pictures: Vec<Vec<u8>> = (0..4 * step_frames)
        .map(|index| picture(index, size as usize))
        .collect();
    let count = frames_of(steps, &description);
    let video: Vec<gst::Buffer> = (0..count).map(|i| buffer(&pictures[i % pictures.len()], i)).collect();
    let caps = video_caps(size)?;
    let model = model_property(arguments.model.as_deref());
    println!("threads   encode ms   decode ms   one after the other   in one pipeline   ratio");
    let mut rows = Vec::new();
    for threads in &arguments.threads {
        let [encode, decode] = ["vidtokenc", "vidtokdec"].map(|name| format!("{name}{model} threads={threads}"));
        let (_, token_caps, tokens) = run(&encode, &caps, &video)?;
        let token_caps = token_caps.ok_or("the encoder gave nothing")?;
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
            "threads": threads, "frames": count, "encode-ms": encode, "decode-ms": decode, "pipeline-ms": both, "ratio": ratio,
        }));
    }
    Ok(rows)
}

/// Plays `buffers`, which all wait in front of `line`. Gives the time from the first buffer that goes in to the last that
/// comes out, and what came out.
fn run(
    line: &str,
    caps: &gst::Caps,
    buffers: &[gst::Buffer],
) -> Result<(Duration, Option<gst::Caps>, Vec<gst::Buffer>)> {
    let text = format!("appsrc name=source format=time max-bytes=0 ! {line} ! fakesink name=sink sync=false");
    let pipeline = pipeline(&text)?;
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
    let first = started.lock().unwrap().ok_or("nothing went in")?;
    Ok((last.ok_or("nothing came out")? - first, caps, out))
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

/// CPU time of this process so far, on all cores; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have spaces: user and system time are the 12th and 13th numbers.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

/// What the machine's processor calls itself.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split(':').nth(1)?.trim().to_string())
}
