//! Sessions: a graph made ready for one picture size on one provider, shared by all elements that want the same.
//!
//! Streams share one session, not only its weights' bytes: ONNX Runtime copies weights into the layout that its
//! convolutions want, and every further session would have copies of its own, prepacked weights and shared initializers
//! or not.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{BuilderResult, GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};
use ort::value::{DynTensor, Outlet, TensorElementType, ValueType};

use super::batch::Batches;
use super::capture::{self, GuardedSession};
use super::engine_cache::Building;
use super::library::CAT;
use super::placement::{Recorder, Running};
use super::provider::{Engines, Setup, inexact, tf32_setting};
use super::report::Report;
use super::turns::Turns;
use super::{ExecutionProvider, RuntimeError, library, operators};
use crate::tokenizer::{Graph, Precision, Source, Target, Wanted};

const DEFAULT_BATCH_TIMEOUT: Duration = Duration::from_millis(10);

/// How a graph is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub provider: ExecutionProvider,
    /// Which of the provider's devices.
    pub device: i32,
    /// Of the graphs; `None`: single, else what there is.
    pub precision: Option<Precision>,
    /// Threads within an operator; 0: a thread a core.
    pub threads: u32,
    /// Capture the kernels of a run as a CUDA graph, and replay it.
    pub cuda_graph: bool,
    /// Streams that run together, as one batch of this size; 0 and 1: each by itself.
    pub batch_streams: u32,
    /// How long a step waits for those of other streams.
    pub batch_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            provider: ExecutionProvider::default(),
            device: 0,
            precision: None,
            threads: 0,
            cuda_graph: false,
            batch_streams: 0,
            batch_timeout: DEFAULT_BATCH_TIMEOUT,
        }
    }
}

impl Options {
    /// Streams that a run takes.
    pub(super) fn streams(&self) -> usize {
        self.batch_streams.max(1) as usize
    }

    /// Threads within an operator.
    fn thread_count(&self) -> usize {
        match self.threads {
            0 => cores(),
            threads => threads as usize,
        }
    }

    /// The form of graph that suits: one that runs several streams is made for GPUs, and runs everywhere.
    pub fn target(&self) -> Target {
        if self.batch_streams > 1 {
            Target::Gpu
        } else {
            self.provider.target()
        }
    }

    /// Which of a tokenizer's graphs suits.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            target: self.target(),
            precision: self.precision,
        }
    }

    /// How much longer a step may take because it waits for others.
    pub fn longest_wait(&self) -> Duration {
        if self.batch_streams > 1 {
            self.batch_timeout
        } else {
            Duration::ZERO
        }
    }
}

/// A graph ready to run. Weights are in memory once, however many elements use it.
pub struct SharedSession {
    session: GuardedSession,
    /// Names as ONNX Runtime's C API wants them.
    input_names: Vec<CString>,
    output_names: Vec<CString>,
    turns: Turns,
    recordings: AtomicU32,
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
    provider: ExecutionProvider,
}

impl Memory {
    /// A tensor that only the device reaches. What is in it is undefined.
    pub fn device_tensor(&self, element: TensorElementType, shape: &[i64]) -> ort::Result<DynTensor> {
        let _call = capture::call(self.provider);
        DynTensor::new(&self.device, element, shape)
    }

    /// A tensor that the CPU reaches, too. What is in it is undefined.
    pub fn host_tensor(&self, element: TensorElementType, shape: &[i64]) -> ort::Result<DynTensor> {
        let _call = capture::call(self.provider);
        DynTensor::new(&self.host, element, shape)
    }
}

/// How a run goes.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    Plain,
    /// Captured as what the options say.
    Capture(&'a RunOptions),
    /// Replays what was captured as what the options say.
    Replay(&'a RunOptions),
}

impl SharedSession {
    fn new(session: Session, graph: &Graph, running: Running, options: Options) -> Result<Self, String> {
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
            session: GuardedSession::new(session, running.provider),
            turns: Turns::new(at_once),
            recordings: AtomicU32::new(0),
            options,
            graph: graph.clone(),
            running,
            inputs,
            outputs,
            streams: options.streams(),
            batches: Batches::default(),
        })
    }

    /// Runs the graph on `feeds`, which are all its inputs, and writes to `fetches`, any of its outputs, by their places
    /// in `inputs` and `outputs`. Waits for a turn: on a CPU as many runs go on at once as there are cores.
    pub fn run(&self, feeds: &[(usize, &DynTensor)], fetches: &mut [(usize, &mut DynTensor)]) -> ort::Result<()> {
        self.run_as(Mode::Plain, feeds, fetches)
    }

    /// The same, captured or not.
    pub fn run_as(
        &self,
        mode: Mode,
        feeds: &[(usize, &DynTensor)],
        fetches: &mut [(usize, &mut DynTensor)],
    ) -> ort::Result<()> {
        let input_names: Vec<_> = feeds.iter().map(|(i, _)| self.input_names[*i].as_ptr()).collect();
        let inputs: Vec<_> = feeds.iter().map(|(_, tensor)| tensor.ptr()).collect();
        let output_names: Vec<_> = fetches.iter().map(|(i, _)| self.output_names[*i].as_ptr()).collect();
        let mut outputs: Vec<_> = fetches.iter_mut().map(|(_, tensor)| tensor.ptr_mut()).collect();
        let options = match mode {
            Mode::Plain => std::ptr::null(),
            Mode::Capture(options) | Mode::Replay(options) => options.ptr(),
        };
        let _turn = self.turns.enter();
        let (_capture, _call) = match mode {
            Mode::Capture(_) => (Some(capture::capture()), None),
            Mode::Plain | Mode::Replay(_) => (None, capture::call(self.running.provider)),
        };
        // SAFETY: options, names and tensors are borrowed for as long as the call lasts, outputs mutably, and ONNX Runtime writes to
        // an output that it is given or fails. That several threads are in `Run` of one session is part of ONNX
        // Runtime's design ("Multiple threads can invoke the Run() method on the same inference session object",
        // docs/InferenceHighLevelDesign.md); a provider that cannot do it says so, and is then locked by ONNX Runtime.
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

    /// Whether runs are captured, and tensors must stay where they are.
    pub fn captures(&self) -> bool {
        self.options.cuda_graph
    }

    /// A number for what a stream's runs are captured as.
    pub fn next_recording(&self) -> u32 {
        // 0 is what ONNX Runtime takes for runs without a number.
        1 + self.recordings.fetch_add(1, Ordering::Relaxed)
    }

    /// Where this session's tensors belong.
    pub fn memory(&self) -> ort::Result<Memory> {
        let provider = self.running.provider;
        let allocator = |kind, device, memory_type| {
            let info = MemoryInfo::new(kind, device, AllocatorType::Device, memory_type);
            info.and_then(|info| Allocator::new(&self.session, info))
        };
        let or_cpu = |allocator: ort::Result<Allocator>| match allocator {
            // Slower, and as right: ONNX Runtime copies what is elsewhere. What is replayed does not, and would see the
            // same for ever.
            Err(error) if !self.captures() => {
                gst::warning!(CAT, "Keeping tensors in the CPU's memory: {}", error.message());
                Ok(Allocator::default())
            }
            allocator => allocator,
        };
        if !provider.has_memory() {
            return Ok(Memory {
                device: Allocator::default(),
                host: Allocator::default(),
                provider,
            });
        }
        let _call = capture::call(provider);
        let device = self.options.device;
        let pinned = |device| allocator(AllocationDevice::CUDA_PINNED, device, MemoryType::CPUOutput);
        Ok(Memory {
            device: or_cpu(allocator(AllocationDevice::CUDA, device, MemoryType::Default))?,
            // ONNX Runtime before 1.23 has one for all devices, under the number 0.
            host: or_cpu(pinned(device).or_else(|_| pinned(0)))?,
            provider,
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
            cuda_graph: false,
            engines: None,
        };
        let session = {
            let _call = capture::call(provider);
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
    fn new(outlet: &Outlet) -> Result<Self, String> {
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

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    graph: GraphKey,
    options: Options,
    width: u32,
    height: u32,
}

/// Tells graphs apart: a file that was written anew is another graph.
#[derive(Clone, PartialEq, Eq, Hash)]
enum GraphKey {
    File(PathBuf, Option<SystemTime>, u64),
    Embedded(usize),
}

/// Locked while its session is made: of two elements that start together, the second finds the first one's, and those
/// that want another one do not wait.
type Place = Arc<Mutex<Weak<SharedSession>>>;

static SESSIONS: LazyLock<Mutex<HashMap<Key, Place>>> = LazyLock::new(Mutex::default);

/// Runs a session once, to see whether it works.
pub type TryOut<'a> = &'a dyn Fn(&Arc<SharedSession>) -> Result<(), RuntimeError>;

/// The session for `graph` at `width` × `height` pixels (padded to whole cells); made if no element has it.
///
/// A session on anything but the CPU is tried out before anybody gets it: libraries and GPUs may turn out not to work only
/// when a graph runs, and then it is the provider's fault, and with `auto` the next one's turn.
pub fn shared(
    graph: &Graph,
    options: Options,
    (width, height): (u32, u32),
    try_out: TryOut,
    report: &dyn Report,
) -> Result<Arc<SharedSession>, RuntimeError> {
    if options.cuda_graph {
        // What is captured is a stream's own, and is gone with the session only.
        return create(graph, options, (width, height), try_out, report);
    }
    let key = Key {
        graph: graph_key(graph),
        options: Options {
            // Has chosen the graph.
            precision: None,
            // Of the stream, not of the session.
            batch_timeout: Duration::ZERO,
            batch_streams: options.streams() as u32,
            ..options
        },
        width,
        height,
    };
    let place = {
        let mut sessions = lock(&SESSIONS);
        // Nobody has these sessions, and nobody is making them.
        sessions.retain(|_, place| Arc::strong_count(place) > 1 || lock(place).strong_count() > 0);
        sessions.entry(key).or_default().clone()
    };
    let mut place = lock(&place);
    if let Some(session) = place.upgrade() {
        return Ok(session);
    }
    let session = create(graph, options, (width, height), try_out, report)?;
    *place = Arc::downgrade(&session);
    Ok(session)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a session is made leaves nothing half done.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn graph_key(graph: &Graph) -> GraphKey {
    match &graph.source {
        Source::Embedded(bytes) => GraphKey::Embedded(bytes.as_ptr() as usize),
        Source::File(path) => {
            let metadata = std::fs::metadata(path).ok();
            let modified = metadata.as_ref().and_then(|m| m.modified().ok());
            GraphKey::File(path.clone(), modified, metadata.map_or(0, |m| m.len()))
        }
    }
}

fn create(
    graph: &Graph,
    options: Options,
    size: (u32, u32),
    try_out: TryOut,
    report: &dyn Report,
) -> Result<Arc<SharedSession>, RuntimeError> {
    let environment = library::load()?;
    if options.cuda_graph && options.batch_streams > 1 {
        // Which streams a batch holds changes, and with it where their states are.
        return Err(RuntimeError::Graph(
            "cuda-graph=true runs one stream at a time: leave batch-streams unset, or set cuda-graph=false".into(),
        ));
    }
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
        for attempt in attempts(provider, options) {
            let notes = notes.iter().cloned().chain(left.uncaptured(options, attempt));
            let made = create_on(&environment, graph, attempt, size, notes.collect(), report).and_then(|session| {
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

    /// What to say where runs were to be captured, and are not.
    fn uncaptured(&self, options: Options, attempt: Options) -> Option<String> {
        let captures = attempt.cuda_graph && attempt.provider == ExecutionProvider::Cuda;
        (options.cuda_graph && !captures).then(|| match &self.0 {
            None => format!(
                "cuda-graph=true has no use on \"{}\": it is for CUDA",
                attempt.provider.name()
            ),
            Some(error) => format!(
                "cuda-graph=true is not in effect, and \"{}\" runs the network: {error}",
                attempt.provider.name()
            ),
        })
    }
}

/// What is tried on a provider, in order: with `auto`, CUDA without capturing is better than no CUDA.
fn attempts(provider: ExecutionProvider, options: Options) -> Vec<Options> {
    let attempt = Options { provider, ..options };
    let plain = Options {
        cuda_graph: false,
        ..attempt
    };
    match (options.provider, provider) {
        (ExecutionProvider::Auto, ExecutionProvider::Cuda) if options.cuda_graph => vec![attempt, plain],
        // The CPU's provider ignores it, and tests what is around it.
        (_, ExecutionProvider::Cuda) | (ExecutionProvider::Cpu, _) => vec![attempt],
        _ => vec![plain],
    }
}

/// Another form of the graph that suits the provider better: with `auto`, the graph was chosen before it was known what
/// would run it.
fn form_for(provider: ExecutionProvider, graph: &Graph, notes: &mut Vec<String>) -> Option<Graph> {
    if graph.target != Target::Cpu || provider.target() != Target::Gpu {
        return None;
    }
    graph.in_form_for(Target::Gpu).unwrap_or_else(|error| {
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
        cuda_graph: false,
        engines: None,
    };
    let _call = capture::call(provider);
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
        cuda_graph: options.cuda_graph,
        engines: None,
    };
    if provider == ExecutionProvider::TensorRt {
        notes.extend(inexact(graph.precision, tf32_setting().as_deref()));
    }
    let mut building = Building::begin(provider, graph, &setup, (options.streams(), width, height), report);
    let make = |engines: Option<&Engines>| {
        let mut builder = prepare(environment, graph, options, width, height)?;
        if provider == ExecutionProvider::Cpu {
            builder = with_own_operators(builder, graph)?;
        }
        let recorder = Recorder::default();
        builder = builder.with_logger(recorder.logger()).map_err(|e| fail(e.message()))?;
        let _call = capture::call(provider);
        let mut builder = provider.add_to(builder, &Setup { engines, ..setup })?;
        let made = match &graph.source {
            Source::File(path) => builder.commit_from_file(path),
            Source::Embedded(bytes) => builder.commit_from_memory(bytes),
        };
        let session = made.map_err(|error| match provider {
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
    builder = step(builder.with_optimization_level(GraphOptimizationLevel::All))?;
    // Spinning threads take the cores from the decoder beside, and from everything else in a pipeline, live or not.
    builder = step(builder.with_intra_op_spinning(false))?;
    builder = step(builder.with_inter_threads(1))?;
    // Always a number: left alone, ONNX Runtime pins the threads of every session to the same cores, so that an encoder and
    // a decoder would share one while another is idle.
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

/// Cores that this process may use; hardware threads of one core count once, as they share what convolutions need.
fn cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    physical_cores().map_or(allowed, |physical| physical.min(allowed))
}

/// Cores of this machine; `None` where the system does not say.
fn physical_cores() -> Option<usize> {
    let cpus = std::fs::read_dir("/sys/devices/system/cpu").ok()?;
    let siblings = |cpu: std::fs::DirEntry| std::fs::read_to_string(cpu.path().join("topology/thread_siblings")).ok();
    let cores: HashSet<String> = cpus.flatten().filter_map(siblings).collect();
    (!cores.is_empty()).then_some(cores.len())
}

#[cfg(test)]
mod tests {
    use ort::value::Tensor;

    use super::*;
    use crate::tokenizer::{self, Role};

    const SIZE: u32 = 32;

    /// What a graph gives for made-up frames and states, by name, and the operators that ran, from ONNX Runtime's profile.
    fn run(role: Role, own_operators: bool, first: bool) -> (Vec<(String, Vec<f32>)>, HashSet<String>) {
        let fixtures = std::env::var("VIDTOK_FIXTURES").expect("tests/run.sh sets VIDTOK_FIXTURES");
        let graph = tokenizer::open(&format!("{fixtures}/golden_fsq_v1_1"), role, Target::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let builder = prepare(&library::load().unwrap(), &graph, Options::default(), SIZE, SIZE).unwrap();
        let mut builder = builder.with_profiling(folder.path().join("profile")).unwrap();
        if own_operators {
            builder = with_own_operators(builder, &graph).unwrap();
        }
        let Source::File(path) = &graph.source else {
            panic!("a fixture is a file")
        };
        let mut session = builder.commit_from_file(path).unwrap();
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
