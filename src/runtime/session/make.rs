//! Making one session: a graph, one provider, a picture size.

use std::sync::Arc;

use ort::environment::Environment;
use ort::session::builder::{BuilderResult, GraphOptimizationLevel, SessionBuilder};

use super::Session;
use super::placement::{Placement, Recorder};
use super::running::Running;
use crate::runtime::error::RuntimeError;
use crate::runtime::operators;
use crate::runtime::options::Options;
use crate::runtime::provider::tensorrt::{self, Engines};
use crate::runtime::provider::{ExecutionProvider, Setup, fault};
use crate::runtime::report::Report;
use crate::tokenizer::Graph;

/// A session on the provider of `options`, which is not `auto`. `notes`: what is known to be less well than it could
/// be.
///
/// # Errors
/// [`RuntimeError::Provider`] where the provider cannot be used or takes no part of the graph; on the CPU,
/// [`RuntimeError::Memory`] or [`RuntimeError::Graph`]; [`RuntimeError::Tokenizer`] where the graph's file cannot be
/// read.
pub fn make(
    environment: &Environment,
    graph: &Graph,
    options: Options,
    size: (u32, u32),
    mut notes: Vec<String>,
    report: &dyn Report,
) -> Result<Arc<Session>, RuntimeError> {
    let provider = options.provider;
    let setup = options.setup(graph.target, graph.precision);
    // The bytes that were checked, not the path: another file may be there by now.
    let bytes = graph.bytes()?;
    let commit =
        |engines: Option<&Engines>| commit(environment, graph, &bytes, options, size, &Setup { engines, ..setup });
    let (session, placement) = if provider == ExecutionProvider::TensorRt {
        notes.extend(tensorrt::tf32_warning(graph.precision));
        let size = (options.members(), size.0, size.1);
        tensorrt::with_engines(graph, &setup, size, report, commit)?
    } else {
        commit(None)?
    };
    placement.check(provider)?;
    let running = Running {
        provider,
        placement,
        notes,
    };
    let session = Session::new(session, graph, running, options).map_err(|error| graph_error(graph, error))?;
    Ok(Arc::new(session))
}

/// ONNX Runtime's session, and where it has placed the nodes.
fn commit(
    environment: &Environment,
    graph: &Graph,
    bytes: &[u8],
    options: Options,
    (width, height): (u32, u32),
    setup: &Setup,
) -> Result<(ort::session::Session, Placement), RuntimeError> {
    let provider = options.provider;
    let mut builder = session_builder(environment, graph, options, width, height)?;
    if provider == ExecutionProvider::Cpu {
        builder = with_own_operators(builder, graph, options)?;
        // With memory patterns, the second run allocates one block for everything, in addition to the pieces of the
        // first run, and both stay: a quarter to a third more memory at the peak, and no gain in time that could be
        // measured.
        builder = builder
            .with_memory_pattern(false)
            .map_err(|error| graph_error(graph, error.into()))?;
    }
    let recorder = Recorder::default();
    builder = builder
        .with_logger(recorder.logger())
        .map_err(|error| graph_error(graph, error.into()))?;
    let mut builder = provider.add_to(builder, setup)?;
    let session = builder.commit_from_memory(bytes).map_err(|error| match provider {
        ExecutionProvider::Cpu => graph_error(graph, error),
        _ => provider.failed(Arc::new(error)),
    })?;
    Ok((session, recorder.finish()))
}

fn graph_error(graph: &Graph, error: ort::Error) -> RuntimeError {
    fault::graph_error(&graph.location(), Arc::new(error), RuntimeError::Graph)
}

/// A builder of sessions with every setting but the provider and the graph's own operators, for padded pictures of
/// `width` × `height` pixels. Public, so that benchmarks can compare with `ort` alone under the same settings.
///
/// # Errors
/// [`RuntimeError::Graph`]: ONNX Runtime refuses a setting.
pub fn session_builder(
    environment: &Environment,
    graph: &Graph,
    options: Options,
    width: u32,
    height: u32,
) -> Result<SessionBuilder, RuntimeError> {
    let mut builder = ort::session::Session::builder(environment).map_err(|error| graph_error(graph, error))?;
    let step = |result: BuilderResult| result.map_err(|error| graph_error(graph, error.into()));
    // Left to guess, ONNX Runtime takes some bytes for its own format, which was not checked.
    builder = step(builder.with_config_entry("session.load_model_format", "ONNX"))?;
    builder = step(builder.with_optimization_level(GraphOptimizationLevel::All))?;
    // Spinning threads take cores from every other element of a pipeline.
    builder = step(builder.with_intra_op_spinning(false))?;
    builder = step(builder.with_inter_threads(1))?;
    // Always a number: by default ONNX Runtime pins the threads of every session to the same cores, so that an encoder
    // and a decoder would share one core while another is idle.
    builder = step(builder.with_intra_threads(options.thread_count()))?;
    // The symbolic dimensions that a graph may have: members of a batch, the padded picture, and parts of it.
    builder = step(builder.with_dimension_override("N", options.members() as i64))?;
    for (name, size) in [("H", height), ("W", width)] {
        builder = step(builder.with_dimension_override(name, i64::from(size)))?;
        for part in (2..=64).filter(|part| size % part == 0) {
            builder = step(builder.with_dimension_override(format!("{name}/{part}"), i64::from(size / part)))?;
        }
    }
    Ok(builder)
}

/// Adds kernels for the graph's own operators. Providers other than the CPU's run the functions that define them.
fn with_own_operators(
    builder: SessionBuilder,
    graph: &Graph,
    options: Options,
) -> Result<SessionBuilder, RuntimeError> {
    let domain =
        operators::domain(options.thread_count(), options.convolutions).map_err(|error| graph_error(graph, error))?;
    builder
        .with_operators(domain)
        .map_err(|error| graph_error(graph, error.into()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ort::value::{DynTensor, Outlet, Tensor, TensorElementType};

    use super::*;
    use crate::runtime::library;
    use crate::runtime::session::Port;
    use crate::tokenizer::{self, Role, Target};

    const SIZE: u32 = 32;

    /// A graph's outputs for made-up frames and states, by name, and the operators that ran, from ONNX Runtime's
    /// profile.
    fn run(role: Role, own_operators: bool, first: bool) -> (Vec<(String, Vec<f32>)>, HashSet<String>) {
        let fixtures = std::env::var("VIDTOK_FIXTURES").expect("tests/run.sh sets VIDTOK_FIXTURES");
        let graph = tokenizer::open(&format!("{fixtures}/golden_fsq_v1_1"), role, Target::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let builder = session_builder(&library::load().unwrap(), &graph, Options::default(), SIZE, SIZE).unwrap();
        let mut builder = builder.with_profiling(folder.path().join("profile")).unwrap();
        if own_operators {
            builder = with_own_operators(builder, &graph, Options::default()).unwrap();
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

    /// The kernels run, rather than only being registered, and give the results of the functions.
    #[test]
    fn kernels_run_in_place_of_the_functions() {
        for role in [Role::Encoder, Role::Decoder] {
            for first in [false, true] {
                let (expected, portable) = run(role, false, first);
                let (found, own) = run(role, true, first);
                for name in ["Norm", "NormSilu", "Carried", "Conv3x3", "Conv3x3Add", "Conv3x3Of3"] {
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
                    let max = if name == "frames" { 1.0 } else { 1e-4 };
                    assert!(worst <= max, "{name} is off by {worst}");
                }
            }
        }
    }
}
