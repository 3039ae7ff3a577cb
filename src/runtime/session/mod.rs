//! A session: a graph made ready for one picture size on one provider, and runs of it.

mod make;
pub(super) mod placement;
mod turns;

use std::ffi::CString;

use ort::AsPointer;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::{DynTensor, Outlet, TensorElementType, ValueType};

pub use make::{TryOut, create, prepare};
use placement::{Recorder, Running};
use turns::Turns;

use super::batch::Batches;
use super::cancel::Run;
use super::library::CAT;
use super::options::{Options, cores};
use super::provider::Setup;
use super::{ExecutionProvider, RuntimeError, library};
use crate::tokenizer::{Graph, Precision, Target};

/// A graph ready to run. Weights are in memory once, however many elements use it.
pub struct SharedSession {
    session: Session,
    /// Names as ONNX Runtime's C API wants them.
    input_names: Vec<CString>,
    output_names: Vec<CString>,
    turns: Turns,
    options: Options,
    /// What it was made of: with `auto`, another form of the graph than was given may suit better.
    pub graph: Graph,
    pub running: Running,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// Streams that a run takes.
    pub streams: usize,
    /// Who runs together.
    pub batches: Batches,
}

/// Where a session's tensors are.
pub struct Memory {
    /// The device's own.
    device: Allocator,
    /// What both the CPU and the device reach.
    host: Allocator,
}

impl Memory {
    /// A tensor that only the device reaches. What is in it is undefined.
    pub fn device_tensor(&self, element: TensorElementType, shape: &[i64]) -> ort::Result<DynTensor> {
        DynTensor::new(&self.device, element, shape)
    }

    /// A tensor that the CPU reaches, too. What is in it is undefined.
    pub fn host_tensor(&self, element: TensorElementType, shape: &[i64]) -> ort::Result<DynTensor> {
        DynTensor::new(&self.host, element, shape)
    }
}

impl SharedSession {
    pub fn new(session: Session, graph: &Graph, running: Running, options: Options) -> Result<Self, String> {
        let ports = |outlets: &[Outlet]| outlets.iter().map(Port::new).collect::<Result<Vec<_>, _>>();
        let (inputs, outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        let names = |ports: &[Port]| {
            let names = ports.iter().map(|port| CString::new(port.name.as_str()));
            names.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())
        };
        let at_once = match running.provider {
            // More runs than cores would take memory and caches from each other, and gain nothing.
            ExecutionProvider::Cpu => cores(),
            _ => 1,
        };
        Ok(Self {
            input_names: names(&inputs)?,
            output_names: names(&outputs)?,
            session,
            turns: Turns::new(at_once),
            options,
            graph: graph.clone(),
            running,
            inputs,
            outputs,
            streams: options.streams(),
            batches: Batches::default(),
        })
    }

    /// Runs the graph on `feeds`, which are all its inputs, and writes to `fetches`, any of its outputs, by their
    /// places in `inputs` and `outputs`. Waits for a turn: on a CPU as many runs go on at once as there are cores.
    pub fn run(&self, feeds: &[(usize, &DynTensor)], fetches: &mut [(usize, &mut DynTensor)]) -> ort::Result<()> {
        self.run_as(None, feeds, fetches)
    }

    /// The same, such that `run` may end it while it waits for its turn or goes on: an error then, and outputs are
    /// undefined.
    pub fn run_cancellable(
        &self,
        run: &Run,
        feeds: &[(usize, &DynTensor)],
        fetches: &mut [(usize, &mut DynTensor)],
    ) -> ort::Result<()> {
        self.run_as(Some(run), feeds, fetches)
    }

    fn run_as(
        &self,
        run: Option<&Run>,
        feeds: &[(usize, &DynTensor)],
        fetches: &mut [(usize, &mut DynTensor)],
    ) -> ort::Result<()> {
        let input_names: Vec<_> = feeds.iter().map(|(i, _)| self.input_names[*i].as_ptr()).collect();
        let inputs: Vec<_> = feeds.iter().map(|(_, tensor)| tensor.ptr()).collect();
        let output_names: Vec<_> = fetches.iter().map(|(i, _)| self.output_names[*i].as_ptr()).collect();
        let mut outputs: Vec<_> = fetches.iter_mut().map(|(_, tensor)| tensor.ptr_mut()).collect();
        let options = run.map_or(std::ptr::null(), Run::ptr);
        let _turn = self
            .turns
            .enter(|| run.is_some_and(Run::is_ended))
            .ok_or_else(|| ort::Error::new("the run was ended before it began"))?;
        // SAFETY: options, names and tensors are borrowed for as long as the call lasts, outputs mutably, and ONNX
        // Runtime writes to an output that it is given or fails. That several threads are in `Run` of one session is
        // part of ONNX Runtime's design ("Multiple threads can invoke the Run() method on the same inference session
        // object", docs/InferenceHighLevelDesign.md); a provider that cannot do it says so, and is then locked by ONNX
        // Runtime.
        // `ort::Session::run` nevertheless wants the session for itself, because of faults that were seen with GPU
        // providers. With any provider but the CPU's, `turns` lets one thread in at a time.
        unsafe {
            let status = (ort::api().Run)(
                self.session.ptr().cast_mut(),
                options,
                input_names.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            );
            ort::Error::result_from_status(status)
        }
    }

    /// Where this session's tensors belong.
    pub fn memory(&self) -> ort::Result<Memory> {
        let provider = self.running.provider;
        let allocator = |kind, device, memory_type| {
            let info = MemoryInfo::new(kind, device, AllocatorType::Device, memory_type);
            info.and_then(|info| Allocator::new(&self.session, info))
        };
        let or_cpu = |allocator: ort::Result<Allocator>| {
            allocator.unwrap_or_else(|error| {
                // Slower, and as right: ONNX Runtime copies what is elsewhere.
                gst::warning!(CAT, "Keeping tensors in the CPU's memory: {}", error.message());
                Allocator::default()
            })
        };
        if !provider.has_memory() {
            return Ok(Memory {
                device: Allocator::default(),
                host: Allocator::default(),
            });
        }
        let device = self.options.device;
        let pinned = |device| allocator(AllocationDevice::CUDA_PINNED, device, MemoryType::CPUOutput);
        Ok(Memory {
            device: or_cpu(allocator(AllocationDevice::CUDA, device, MemoryType::Default)),
            // ONNX Runtime before 1.23 has one for all devices, under the number 0.
            host: or_cpu(pinned(device).or_else(|_| pinned(0))),
        })
    }

    /// A small model on the same device, for this session's tensors.
    pub fn companion(&self, model: &[u8]) -> ort::Result<Self> {
        let fail = |error: RuntimeError| ort::Error::new(error.to_string());
        let provider = match self.running.provider {
            // An engine would take long to build, and the tensors are CUDA's.
            ExecutionProvider::TensorRt => ExecutionProvider::Cuda,
            other => other,
        };
        let environment = library::load().map_err(fail)?;
        let recorder = Recorder::default();
        let builder = Session::builder(&environment)?
            .with_logger(recorder.logger())?
            .with_intra_op_spinning(false)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?;
        let setup = Setup {
            device: self.options.device,
            threads: 1,
            target: Target::Cpu,
            precision: Precision::Fp32,
            engines: None,
        };
        let session = {
            let mut builder = provider.add_to(builder, &setup).map_err(fail)?;
            builder.commit_from_memory(model)?
        };
        let running = Running {
            provider,
            placement: recorder.finish(),
            notes: Vec::new(),
        };
        Self::new(session, &self.graph, running, self.options).map_err(ort::Error::new)
    }
}

/// An input or output of a graph.
#[derive(Clone, Debug)]
pub struct Port {
    pub name: String,
    pub element: TensorElementType,
    /// A size that ONNX Runtime could not work out beforehand is negative.
    pub shape: Vec<i64>,
}

impl Port {
    pub fn new(outlet: &Outlet) -> Result<Self, String> {
        let name = outlet.name().to_string();
        match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => Ok(Self {
                name,
                element: *ty,
                shape: shape.to_vec(),
            }),
            other => Err(format!("\"{name}\" is not a tensor but {other}")),
        }
    }
}
