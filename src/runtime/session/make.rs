//! Making sessions: which provider, which form of the graph, with which options.

use std::sync::Arc;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{BuilderResult, GraphOptimizationLevel, SessionBuilder};

use super::super::library::CAT;
use super::super::provider::tensorrt::Building;
use super::super::provider::{Engines, Setup, inexact, tf32_setting};
use super::super::report::Report;
use super::super::{ExecutionProvider, Options, RuntimeError, budget, library, operators};
use super::SharedSession;
use super::placement::{Recorder, Running};
use crate::tokenizer::{Graph, Precision, Target};

/// Runs a session once, to see whether it works.
pub type TryOut<'a> = &'a dyn Fn(&Arc<SharedSession>) -> Result<(), RuntimeError>;

/// A session on the first provider of `options` that works.
pub fn create(
    graph: &Graph,
    options: Options,
    size: (u32, u32),
    try_out: TryOut,
    report: &dyn Report,
) -> Result<Arc<SharedSession>, RuntimeError> {
    let environment = library::load()?;
    let mut left = Left::default();
    for provider in options.provider.candidates().iter().copied() {
        // Before a graph is read for it.
        if let Err(error) = load_provider(&environment, provider, options) {
            left.because(provider, error);
            continue;
        }
        let mut notes = Vec::new();
        let form = form_for(provider, graph, &mut notes);
        let graph = form.as_ref().unwrap_or(graph);
        let attempt = Options { provider, ..options };
        let made = create_on(&environment, graph, attempt, size, notes, report).and_then(|session| {
            if provider != ExecutionProvider::Cpu {
                try_out(&session)?;
            }
            Ok(session)
        });
        match made {
            Ok(session) => {
                give_back_memory();
                return Ok(session);
            }
            Err(error) => left.because(provider, error),
        }
    }
    // What remains when everything before it failed.
    Err(left
        .0
        .unwrap_or(RuntimeError::Provider("there is no execution provider".into())))
}

/// Why what was tried before was left.
#[derive(Default)]
struct Left(Option<RuntimeError>);

impl Left {
    fn because(&mut self, provider: ExecutionProvider, error: RuntimeError) {
        // Not worth a line to those who installed what runs on the CPU alone.
        if provider != ExecutionProvider::Cpu && !ExecutionProvider::is_not_built_in(&error) {
            gst::warning!(CAT, "{error}");
        }
        self.0 = Some(error);
    }
}

/// Another form of the graph that suits the provider better: with `auto`, the graph was chosen before it was known what
/// would run it.
fn form_for(provider: ExecutionProvider, graph: &Graph, notes: &mut Vec<String>) -> Option<Graph> {
    if graph.target != Target::Cpu || provider.target() != Target::Gpu {
        return None;
    }
    graph.variant_for(Target::Gpu).unwrap_or_else(|error| {
        notes.push(format!("\"{}\" runs the form for CPUs: {error}", provider.name()));
        None
    })
}

/// Has ONNX Runtime load a provider's library, and with it those that it needs.
fn load_provider(environment: &Environment, provider: ExecutionProvider, options: Options) -> Result<(), RuntimeError> {
    let fail = |error: ort::Error| RuntimeError::Library(format!("ONNX Runtime: {}", error.message()));
    let builder = Session::builder(environment).map_err(fail)?;
    let setup = Setup {
        device: options.device,
        threads: options.thread_count(),
        target: provider.target(),
        precision: Precision::Fp32,
        engines: None,
    };
    provider.add_to(builder, &setup).map(drop)
}

/// A session on the provider of `options`. `notes`: what is known to be less well than it could be.
fn create_on(
    environment: &Environment,
    graph: &Graph,
    options: Options,
    (width, height): (u32, u32),
    mut notes: Vec<String>,
    report: &dyn Report,
) -> Result<Arc<SharedSession>, RuntimeError> {
    let provider = options.provider;
    let fail = |error: &str| RuntimeError::Graph(format!("{}: {error}", graph.location()));
    let setup = Setup {
        device: options.device,
        threads: options.thread_count(),
        target: graph.target,
        precision: graph.precision,
        engines: None,
    };
    if provider == ExecutionProvider::TensorRt {
        notes.extend(inexact(graph.precision, tf32_setting().as_deref()));
    }
    // Of the bytes that were checked, never of a path, behind which another file may be by now.
    let bytes = graph.bytes()?;
    let mut building = Building::begin(provider, graph, &setup, (options.streams(), width, height), report);
    let make = |engines: Option<&Engines>| {
        let mut builder = prepare(environment, graph, options, width, height)?;
        if provider == ExecutionProvider::Cpu {
            builder = with_own_operators(builder, graph)?;
            // With it, the second run takes one block for everything on top of what the first has taken piece by piece,
            // and both stay: a quarter to a third more at the peak, for no time that could be measured.
            builder = builder.with_memory_pattern(false).map_err(|e| fail(e.message()))?;
        }
        let recorder = Recorder::default();
        builder = builder.with_logger(recorder.logger()).map_err(|e| fail(e.message()))?;
        let mut builder = provider.add_to(builder, &Setup { engines, ..setup })?;
        let made = builder.commit_from_memory(&bytes);
        let session = made.map_err(|error| match provider {
            ExecutionProvider::Cpu if budget::was_refused(error.message()) => {
                budget::no_room_for(graph, error.message())
            }
            ExecutionProvider::Cpu => fail(error.message()),
            _ => provider.failed(error.message()),
        })?;
        Ok((session, recorder.finish()))
    };
    let mut made = make(building.engines());
    if let Err(error) = &made
        && building.discard(error)
    {
        made = make(building.engines());
    }
    building.end(made.is_ok());
    let (session, placement) = made?;
    placement.check(provider)?;
    let running = Running {
        provider,
        placement,
        notes,
    };
    let session = SharedSession::new(session, graph, running, options).map_err(|error| fail(&error))?;
    Ok(Arc::new(session))
}

/// What making a session took and has freed, which glibc would keep: 17 MiB of 144 with weights of 17 MB.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A session builder with everything but the provider and the graph's own operators.
pub fn prepare(
    environment: &Environment,
    graph: &Graph,
    options: Options,
    width: u32,
    height: u32,
) -> Result<SessionBuilder, RuntimeError> {
    let fail = |error: &str| RuntimeError::Graph(format!("{}: {error}", graph.location()));
    let mut builder = Session::builder(environment).map_err(|e| fail(e.message()))?;
    let step = |result: BuilderResult| result.map_err(|e| fail(e.message()));
    // Left to guess, ONNX Runtime would take some bytes for a form of graph that nobody here has looked into.
    builder = step(builder.with_config_entry("session.load_model_format", "ONNX"))?;
    builder = step(builder.with_optimization_level(GraphOptimizationLevel::All))?;
    // Spinning threads take the cores from the decoder beside, and from everything else in a pipeline, live or not.
    builder = step(builder.with_intra_op_spinning(false))?;
    builder = step(builder.with_inter_threads(1))?;
    // Always a number: left alone, ONNX Runtime pins the threads of every session to the same cores, so that an encoder
    // and a decoder would share one while another is idle.
    builder = step(builder.with_intra_threads(options.thread_count()))?;
    // The symbolic dimensions that a graph may have: streams, the padded picture, and parts of it.
    builder = step(builder.with_dimension_override("N", options.streams() as i64))?;
    for (name, size) in [("H", height), ("W", width)] {
        builder = step(builder.with_dimension_override(name, i64::from(size)))?;
        for part in (2..=64).filter(|part| size % part == 0) {
            builder = step(builder.with_dimension_override(format!("{name}/{part}"), i64::from(size / part)))?;
        }
    }
    Ok(builder)
}

/// Other providers run what the graph's own operators are made of.
fn with_own_operators(builder: SessionBuilder, graph: &Graph) -> Result<SessionBuilder, RuntimeError> {
    let fail = |error: &str| RuntimeError::Graph(format!("{}: {error}", graph.location()));
    let domain = operators::domain().map_err(|e| fail(e.message()))?;
    builder.with_operators(domain).map_err(|e| fail(e.message()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ort::value::{DynTensor, Outlet, Tensor, TensorElementType};

    use super::super::Port;
    use super::*;
    use crate::tokenizer::{self, Role};

    const SIZE: u32 = 32;

    /// What a graph gives for made-up frames and states, by name, and the operators that ran, from ONNX Runtime's
    /// profile.
    fn run(role: Role, own_operators: bool, first: bool) -> (Vec<(String, Vec<f32>)>, HashSet<String>) {
        let fixtures = std::env::var("VIDTOK_FIXTURES").expect("tests/run.sh sets VIDTOK_FIXTURES");
        let graph = tokenizer::open(&format!("{fixtures}/golden_fsq_v1_1"), role, Target::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let builder = prepare(&library::load().unwrap(), &graph, Options::default(), SIZE, SIZE).unwrap();
        let mut builder = builder.with_profiling(folder.path().join("profile")).unwrap();
        if own_operators {
            builder = with_own_operators(builder, &graph).unwrap();
        }
        let mut session = builder.commit_from_memory(&graph.bytes().unwrap()).unwrap();
        let inputs: Vec<(String, DynTensor)> = session.inputs().iter().map(|input| made_up(input, first)).collect();
        let outputs = session.run(inputs).unwrap();
        let values = outputs.iter().map(|(name, value)| (name.to_string(), floats(&value)));
        let values = values.collect();
        drop(outputs);
        let profile = session.end_profiling().unwrap();
        let profile: serde_json::Value = serde_json::from_slice(&std::fs::read(profile).unwrap()).unwrap();
        let events = profile.as_array().unwrap().iter();
        let ran = events.filter_map(|event| event["args"]["op_name"].as_str().map(String::from));
        (values, ran.collect())
    }

    fn made_up(input: &Outlet, first: bool) -> (String, DynTensor) {
        let port = Port::new(input).unwrap();
        let count = port.shape.iter().product::<i64>() as usize;
        let wave = |i: usize| (i as f32 * 0.37 + port.name.len() as f32).sin();
        let tensor = match port.element {
            TensorElementType::Bool => Tensor::from_array((port.shape, vec![first; count])).unwrap().upcast(),
            TensorElementType::Uint8 => {
                let bytes: Vec<u8> = (0..count).map(|i| (127.0 + 120.0 * wave(i)) as u8).collect();
                Tensor::from_array((port.shape, bytes)).unwrap().upcast()
            }
            TensorElementType::Int32 => {
                let tokens: Vec<i32> = (0..count).map(|i| (i as i32 * 7919) % 32768).collect();
                Tensor::from_array((port.shape, tokens)).unwrap().upcast()
            }
            _ => {
                let floats: Vec<f32> = (0..count).map(wave).collect();
                Tensor::from_array((port.shape, floats)).unwrap().upcast()
            }
        };
        (port.name, tensor)
    }

    fn floats(value: &ort::value::ValueRef<'_>) -> Vec<f32> {
        if let Ok((_, floats)) = value.try_extract_tensor::<f32>() {
            return floats.to_vec();
        }
        if let Ok((_, bytes)) = value.try_extract_tensor::<u8>() {
            return bytes.iter().map(|byte| f32::from(*byte)).collect();
        }
        let (_, integers) = value.try_extract_tensor::<i32>().unwrap();
        integers.iter().map(|integer| *integer as f32).collect()
    }

    /// The kernels are what runs, not only what is registered, and they are what the functions say.
    #[test]
    fn own_operators_run_in_place_of_what_they_are_made_of() {
        for role in [Role::Encoder, Role::Decoder] {
            for first in [false, true] {
                let (expected, portable) = run(role, false, first);
                let (found, own) = run(role, true, first);
                for name in ["Norm", "NormSilu", "Carried"] {
                    assert!(own.contains(name), "{name} did not run: {own:?}");
                    assert!(!portable.contains(name), "{name} needs no kernel");
                }
                assert!(portable.contains("Where") && !own.contains("Where"));
                assert_eq!(found.len(), expected.len());
                for ((name, found), (_, expected)) in found.iter().zip(&expected) {
                    assert_eq!(found.len(), expected.len());
                    let off = |(a, b): (&f32, &f32)| (a - b).abs();
                    let worst = found.iter().zip(expected).map(off).fold(0.0, f32::max);
                    // A pixel may be rounded the other way. No token is near a tie in so small a picture.
                    let most = if name == "frames" { 1.0 } else { 1e-4 };
                    assert!(worst <= most, "{name} is off by {worst}");
                }
            }
        }
    }
}
