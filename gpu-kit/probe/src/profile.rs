//! The graph without the plugin's step: how long a run takes when everything stays on the device, what ONNX Runtime's
//! profile says of it, and what a CUDA graph saves.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Instant;

use gstvidtok::runtime::{self, ExecutionProvider};
use half::f16;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::SessionBuilder;
use ort::session::{IoBinding, Session};
use ort::value::{DynTensor, PrimitiveTensorElementType, Tensor, TensorElementType, ValueType};
use serde_json::{Value, json};

use crate::Result;
use crate::arguments::Arguments;
use crate::clip::Noise;
use crate::network;

/// The first runs choose algorithms, allocate, and record the CUDA graph.
const WARM_RUNS: usize = 3;

pub fn run(arguments: &Arguments) -> Result<Value> {
    let graph = network::graph(arguments.model.as_deref(), arguments.role, &arguments.options())?;
    let side = graph.description.padded(arguments.size);
    let environment = runtime::load()?;
    let mut builder = runtime::session_builder(&environment, &graph, arguments.options(), side, side)?;
    let on_cuda = arguments.provider == ExecutionProvider::Cuda;
    if on_cuda {
        // As the plugin sets them, then what the user wants to be otherwise.
        let mut options = BTreeMap::from([
            ("cudnn_conv_algo_search", "EXHAUSTIVE"),
            ("cudnn_conv_use_max_workspace", "1"),
            ("use_tf32", "0"),
            ("prefer_nhwc", if graph.target.as_str() == "gpu" { "1" } else { "0" }),
            ("enable_cuda_graph", if arguments.cuda_graph { "1" } else { "0" }),
        ]);
        options.extend(
            arguments
                .provider_options
                .iter()
                .map(|(key, value)| (&key[..], &value[..])),
        );
        let mut provider = ep::CUDA::default();
        for (key, value) in options {
            provider = provider.with_arbitrary_config(key, value);
        }
        let strict = [provider.build().error_on_failure()];
        builder = builder.with_execution_providers(strict).map_err(text)?;
    } else if arguments.provider != ExecutionProvider::Cpu || arguments.cuda_graph {
        return Err("profile runs on cuda or cpu, and --cuda-graph is for cuda".into());
    }
    if let Some(trace) = &arguments.trace {
        builder = builder.with_profiling(trace).map_err(text)?;
    }
    let mut session = builder.commit_from_memory(&graph.bytes()?)?;
    let binding = bind(&session, on_cuda)?;
    let mut times = Vec::new();
    for index in 0..WARM_RUNS + arguments.steps {
        let started = Instant::now();
        session.run_binding(&binding)?;
        if index >= WARM_RUNS {
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let trace = match arguments.trace {
        Some(_) => Some(session.end_profiling()?),
        None => None,
    };
    Ok(json!({
        "model": graph.description.name, "role": arguments.role.as_str(), "size": arguments.size,
        "precision": graph.precision.as_str(), "provider": arguments.provider.name(),
        "cuda-graph": arguments.cuda_graph, "frames": graph.description.grouping().step_frames(),
        "median-ms": times[times.len() / 2], "least-ms": times[0], "most-ms": times[times.len() - 1],
        "trace": trace,
    }))
}

/// An error that stays in its thread has no place in a `Result` of this program.
fn text(error: ort::Error<SessionBuilder>) -> String {
    error.message().to_string()
}

/// Every input and output on the device. The states before and after a run stay where they are: a run then begins each
/// time with the same.
fn bind(session: &Session, on_cuda: bool) -> Result<IoBinding> {
    let device = if on_cuda {
        let info = MemoryInfo::new(AllocationDevice::CUDA, 0, AllocatorType::Device, MemoryType::Default)?;
        Allocator::new(session, info)?
    } else {
        Allocator::default()
    };
    let mut binding = session.create_binding()?;
    for input in session.inputs() {
        let (element, shape) = tensor(input.dtype(), input.name())?;
        // ONNX Runtime copies it to the device here, once.
        binding.bind_input(input.name(), &filled(element, &shape)?)?;
    }
    for output in session.outputs() {
        let (element, shape) = tensor(output.dtype(), output.name())?;
        binding.bind_output(output.name(), DynTensor::new(&device, element, shape)?)?;
    }
    Ok(binding)
}

/// A tensor of the CPU's with numbers in it: with zeros, a GPU draws less power and runs faster.
fn filled(element: TensorElementType, shape: &[i64]) -> Result<DynTensor> {
    let count = shape.iter().product::<i64>() as usize;
    let mut noise = Noise::new(count as u64);
    let mut unit = || noise.below(2048) as f32 / 1024.0 - 1.0;
    Ok(match element {
        TensorElementType::Float32 => full(shape, (0..count).map(|_| unit()).collect::<Vec<f32>>())?,
        TensorElementType::Float16 => full(shape, (0..count).map(|_| f16::from_f32(unit())).collect::<Vec<_>>())?,
        TensorElementType::Uint8 => full(shape, (0..count).map(|_| noise.below(256) as u8).collect::<Vec<_>>())?,
        TensorElementType::Int32 => full(shape, (0..count).map(|_| noise.below(512) as i32).collect::<Vec<_>>())?,
        TensorElementType::Bool => full(shape, vec![false; count])?,
        other => return Err(format!("an input of type {other} is not known").into()),
    })
}

fn full<T: PrimitiveTensorElementType + Debug + Clone + 'static>(shape: &[i64], data: Vec<T>) -> Result<DynTensor> {
    Ok(Tensor::from_array((shape, data))?.upcast())
}

fn tensor(kind: &ValueType, name: &str) -> Result<(TensorElementType, Vec<i64>)> {
    match kind {
        ValueType::Tensor { ty, shape, .. } if shape.iter().all(|size| *size >= 0) => Ok((*ty, shape.to_vec())),
        other => Err(format!("\"{name}\" is not a tensor of a known shape: {other}").into()),
    }
}
