//! Measures one network in a process of its own, for `benches/run.sh`: the time of each step, the time from NULL to the
//! first output, and peak memory. Prints JSON.
//!
//! `--via element`: a pipeline with vidtokenc, or with vidtokparse and vidtokdec. A step is the time from one token
//! buffer to the next. `--via bare`: a loop over ONNX Runtime's `Session::run` with the same graph, picture size,
//! threads and session options. It uses nothing of the plugin but the reader of files.
//!
//! Options: `--role encoder|decoder`, `--via element|bare`, `--model MODEL` (default: the embedded tokenizer),
//! `--size N` (width and height in pixels, default 256), `--steps N` (20), `--threads N` (0: one per core),
//! `--provider NAME` (cpu), `--input FILE` (for an encoder, RGB frames, which are repeated; for a decoder, a `.vidtok`
//! file of enough packets), `--output FILE` (for the element's output). `ORT_DYLIB_PATH` names ONNX Runtime.

mod common;

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Result, buffer, feed, memory_kb, model_property, picture, pipeline, play_to_end, timed};
use common::{video_caps, watch};
use gstvidtok::runtime::{self, Options};
use gstvidtok::stream::{Event, Reader, Tokens};
use gstvidtok::tokenizer::{Description, Graph, Role, Target};
use ort::memory::Allocator;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynTensor, DynValue, Tensor, TensorElementType, TensorRef, ValueType};
use serde_json::json;

/// Steps that are not measured: they allocate memory that the others reuse.
const WARM_STEPS: usize = 2;

struct Arguments {
    role: Role,
    bare: bool,
    model: Option<String>,
    size: u32,
    steps: usize,
    threads: usize,
    provider: String,
    input: Option<String>,
    output: Option<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            role: Role::Encoder,
            bare: false,
            model: None,
            size: 256,
            steps: 20,
            threads: 0,
            provider: "cpu".into(),
            input: None,
            output: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                // Cargo's own.
                "--bench" => (),
                "--role" => arguments.role = common::role(&value()?)?,
                "--via" => {
                    arguments.bare = match value()?.as_str() {
                        "element" => false,
                        "bare" => true,
                        other => return Err(format!("--via is element or bare, not {other}").into()),
                    }
                }
                "--model" => arguments.model = Some(value()?),
                "--size" => arguments.size = value()?.parse()?,
                "--steps" => arguments.steps = value()?.parse()?,
                "--threads" => arguments.threads = value()?.parse()?,
                "--provider" => arguments.provider = value()?,
                "--input" => arguments.input = Some(value()?),
                "--output" => arguments.output = Some(value()?),
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        if arguments.steps == 0 || arguments.size == 0 {
            return Err("--steps and --size begin at 1".into());
        }
        if arguments.bare && arguments.provider != "cpu" {
            return Err("the bare loop runs on the CPU only".into());
        }
        Ok(arguments)
    }

    fn graph(&self) -> Result<Graph> {
        let target = match self.provider.as_str() {
            "cuda" | "tensorrt" => Target::Gpu,
            _ => Target::Cpu,
        };
        common::graph(self.model.as_deref(), self.role, target)
    }

    /// The token file for a decoder.
    fn tokens(&self) -> Result<&str> {
        Ok(self.input.as_deref().ok_or("a decoder needs --input")?)
    }

    /// RGB pictures for an encoder, which repeats them.
    fn pictures(&self) -> Result<Vec<Vec<u8>>> {
        let size = self.size as usize;
        let Some(path) = &self.input else {
            return Ok((0..16).map(|index| picture(index, size)).collect());
        };
        let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let pictures = bytes.chunks_exact(size * size * 3);
        if pictures.len() == 0 || !pictures.remainder().is_empty() {
            return Err(format!("{path}: not whole RGB pictures of {size}×{size}").into());
        }
        Ok(pictures.map(<[u8]>::to_vec).collect())
    }
}

/// The result of a measurement.
struct Measured {
    /// From NULL, or from opening the graph, to the first output.
    start: Duration,
    /// Without the first steps.
    steps: Vec<Duration>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    gst::init()?;
    gstvidtok::plugin_register_static()?;
    let description = arguments.graph()?.description;
    let measured = if arguments.bare {
        bare(&arguments)?
    } else {
        element(&arguments, &description)?
    };
    if measured.steps.len() < arguments.steps {
        return Err(format!("only {} of {} steps were run", measured.steps.len(), arguments.steps).into());
    }
    let ms = |time: &Duration| time.as_secs_f64() * 1e3;
    let report = json!({
        "model": description.name,
        "step-frames": description.grouping().step_frames(),
        "start-ms": ms(&measured.start),
        "step-ms": measured.steps.iter().map(ms).collect::<Vec<_>>(),
        "peak-mib": memory_kb("VmHWM:") as f64 / 1024.0,
        "gstreamer": gst::version_string().as_str(),
        "plugin": gst::Registry::get().find_plugin("vidtok").map(|plugin| plugin.version().to_string()),
    });
    println!("{report}");
    Ok(())
}

/// Measures a pipeline from NULL to its end.
fn element(arguments: &Arguments, description: &Description) -> Result<Measured> {
    let properties = format!(
        "name=element{} execution-provider={} threads={}",
        model_property(arguments.model.as_deref()),
        arguments.provider,
        arguments.threads
    );
    let sink = match &arguments.output {
        Some(path) => format!("filesink location=\"{path}\""),
        None => "fakesink sync=false".into(),
    };
    let (line, token_pad) = match arguments.role {
        Role::Encoder => (
            format!("appsrc name=source format=time max-bytes=0 ! vidtokenc {properties} ! {sink}"),
            "src",
        ),
        Role::Decoder => (
            format!(
                "filesrc location=\"{}\" ! vidtokparse ! vidtokdec {properties} ! video/x-raw,format=RGB ! {sink}",
                arguments.tokens()?
            ),
            "sink",
        ),
    };
    let pipeline = pipeline(&line)?;
    if arguments.role == Role::Encoder {
        // All repetitions of a picture share its memory.
        let pictures: Vec<_> = arguments.pictures()?.iter().map(|picture| buffer(picture, 0)).collect();
        // N step times lie between N + 1 token buffers.
        let steps = (WARM_STEPS + arguments.steps + 1) as u64;
        let count = description.grouping().frames_in(steps) as usize;
        let frames = (0..count).map(|index| timed(pictures[index % pictures.len()].copy(), index));
        feed(&pipeline, &video_caps(arguments.size)?, frames)?;
    }
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let token_times = tokens.clone();
    watch(&pipeline, "element", token_pad, move |_, _| {
        token_times.lock().unwrap().push(Instant::now());
    })?;
    let first = Arc::new(Mutex::new(None));
    let first_time = first.clone();
    watch(&pipeline, "element", "src", move |_, _| {
        first_time.lock().unwrap().get_or_insert_with(Instant::now);
    })?;
    let started = Instant::now();
    play_to_end(&pipeline)?;
    let first = first.lock().unwrap().ok_or("the element has no output")?;
    let tokens = tokens.lock().unwrap();
    let steps = tokens.windows(2).map(|pair| pair[1] - pair[0]);
    Ok(Measured {
        start: first - started,
        steps: steps.skip(WARM_STEPS).take(arguments.steps).collect(),
    })
}

/// Measures the graph alone.
fn bare(arguments: &Arguments) -> Result<Measured> {
    let data = match arguments.role {
        Role::Encoder => Data::Frames(arguments.pictures()?),
        Role::Decoder => Data::Tokens(read_tokens(arguments.tokens()?)?),
    };
    let started = Instant::now();
    let mut graph = Bare::open(arguments)?;
    graph.step(&data, 0)?;
    let start = started.elapsed();
    let mut steps = Vec::new();
    for index in 1..WARM_STEPS + arguments.steps {
        let started = Instant::now();
        graph.step(&data, index)?;
        steps.push(started.elapsed());
    }
    Ok(Measured {
        start,
        steps: steps.split_off(WARM_STEPS - 1),
    })
}

enum Data {
    Frames(Vec<Vec<u8>>),
    /// The indices of each step.
    Tokens(Vec<Vec<i32>>),
}

/// The indices in a file, packet by packet.
fn read_tokens(path: &str) -> Result<Vec<Vec<i32>>> {
    let mut reader = Reader::new();
    reader.push(&std::fs::read(path).map_err(|error| format!("{path}: {error}"))?);
    reader.finish();
    let mut format = None;
    let mut steps = Vec::new();
    while let Some(event) = reader.next_event()? {
        match (event, &format) {
            (Event::Header(header), _) => format = Some(header.format.clone()),
            (Event::Packet(packet), Some(format)) => {
                match Tokens::from_payload(&packet.payload, format, packet.latent_frames)? {
                    Tokens::Indices(indices) => steps.push(indices),
                    Tokens::Floats(_) => return Err("the bare loop knows FSQ tokens only".into()),
                }
            }
            (other, _) => return Err(format!("{path}: {other:?}").into()),
        }
    }
    Ok(steps)
}

/// A graph and its state, run by `ort` alone.
struct Bare {
    session: Session,
    /// Types and shapes of the inputs "frames" or "tokens", "first" and "edge", if the graph has them.
    given: Vec<(String, TensorElementType, Vec<i64>)>,
    states: Vec<(String, DynValue)>,
}

impl Bare {
    fn open(arguments: &Arguments) -> Result<Self> {
        let graph = arguments.graph()?;
        let options = Options {
            threads: arguments.threads.try_into()?,
            ..Options::default()
        };
        let mut builder = runtime::session_builder(&runtime::load()?, &graph, options, arguments.size, arguments.size)?;
        let session = builder.commit_from_memory(&graph.bytes()?)?;
        let (mut given, mut states) = (Vec::new(), Vec::new());
        for input in session.inputs() {
            let ValueType::Tensor { ty, shape, .. } = input.dtype() else {
                return Err(format!("the input {} is not a tensor", input.name()).into());
            };
            let name = input.name().to_string();
            if name.starts_with("state.") {
                // Any values will do: the first step ignores them.
                let state = DynTensor::new(&Allocator::default(), *ty, &shape[..])?;
                states.push((name, state.into_dyn()));
            } else {
                given.push((name, *ty, shape.to_vec()));
            }
        }
        Ok(Self { session, given, states })
    }

    fn step(&mut self, data: &Data, index: usize) -> Result<()> {
        let frames = self.frames(data, index);
        let mut inputs: Vec<(Cow<str>, SessionInputValue)> = Vec::new();
        for (name, element, shape) in &self.given {
            let value = match (name.as_str(), data) {
                ("frames", Data::Frames(_)) if *element == TensorElementType::Float32 => {
                    let floats: Vec<f32> = frames.iter().map(|number| f32::from(*number)).collect();
                    Tensor::from_array((&shape[..], floats))?.into()
                }
                ("frames", Data::Frames(_)) => TensorRef::from_array_view((&shape[..], &frames[..]))?.into(),
                ("tokens", Data::Tokens(steps)) => {
                    let tokens = steps.get(index).ok_or("the file has too few tokens")?;
                    TensorRef::from_array_view((&shape[..], &tokens[..]))?.into()
                }
                ("first", _) => Tensor::from_array((&shape[..], vec![index == 0]))?.into(),
                ("edge", _) if *element == TensorElementType::Bool => {
                    Tensor::from_array((&shape[..], vec![index == 1]))?.into()
                }
                // Graphs of the first releases take a number.
                ("edge", _) => Tensor::from_array((&shape[..], vec![if index == 1 { 0f32 } else { 0.25 }]))?.into(),
                (other, _) => return Err(format!("the graph has an unknown input \"{other}\"").into()),
            };
            inputs.push((name.into(), value));
        }
        let names: Vec<String> = self.states.iter().map(|(name, _)| name.clone()).collect();
        let states = self.states.drain(..);
        inputs.extend(states.map(|(name, state)| (name.into(), state.into())));
        let mut outputs = self.session.run(inputs)?;
        for name in names {
            let next = outputs.remove(format!("{name}.next"));
            self.states.push((name, next.ok_or("a state has no output")?));
        }
        std::hint::black_box(&outputs);
        Ok(())
    }

    /// The frames of one step of an encoder, one after the other.
    fn frames(&self, data: &Data, index: usize) -> Vec<u8> {
        let shape = self.given.iter().find(|(name, _, _)| name == "frames");
        let (Some((_, _, shape)), Data::Frames(pictures)) = (shape, data) else {
            return Vec::new();
        };
        let count = shape[1] as usize;
        let frames = (index * count..(index + 1) * count).map(|frame| &pictures[frame % pictures.len()][..]);
        frames.collect::<Vec<_>>().concat()
    }
}
