//! Sessions: a graph made ready for one picture size on one provider, shared by all elements that want the same.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::SystemTime;

use ort::session::Session;
use ort::session::builder::{BuilderResult, GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, ValueType};

use super::{ExecutionProvider, RuntimeError, library};
use crate::tokenizer::{Graph, Source};

/// How a graph is to be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    pub provider: ExecutionProvider,
    /// Which of the provider's devices.
    pub device: i32,
    /// Threads within an operator; 0: ONNX Runtime's choice, a thread a core.
    pub threads: u32,
}

/// A graph ready to run. Weights are in memory once, however many elements use it.
pub struct SharedSession {
    session: Mutex<Session>,
    /// The provider that runs it.
    pub provider: ExecutionProvider,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

impl SharedSession {
    /// The session, for one run.
    pub fn lock(&self) -> MutexGuard<'_, Session> {
        // A panic during a run leaves nothing of ours half done.
        self.session.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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

#[derive(PartialEq, Eq, Hash)]
struct Key {
    graph: GraphKey,
    options: Options,
    width: u32,
    height: u32,
}

/// Tells graphs apart: a file that was written anew is another graph.
#[derive(PartialEq, Eq, Hash)]
enum GraphKey {
    File(PathBuf, Option<SystemTime>, u64),
    Embedded(usize),
}

static SESSIONS: Mutex<Option<HashMap<Key, Weak<SharedSession>>>> = Mutex::new(None);

/// The session for `graph` at `width` × `height` pixels (padded to whole cells); made if no element has it.
pub fn shared(graph: &Graph, options: Options, width: u32, height: u32) -> Result<Arc<SharedSession>, RuntimeError> {
    let key = Key {
        graph: graph_key(graph),
        options,
        width,
        height,
    };
    // Held while the session is made: of two elements that start together, the second finds the first one's.
    let mut sessions = SESSIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let sessions = sessions.get_or_insert_default();
    if let Some(session) = sessions.get(&key).and_then(Weak::upgrade) {
        return Ok(session);
    }
    sessions.retain(|_, session| session.strong_count() > 0);
    let session = Arc::new(create(graph, options, width, height)?);
    sessions.insert(key, Arc::downgrade(&session));
    Ok(session)
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

fn create(graph: &Graph, options: Options, width: u32, height: u32) -> Result<SharedSession, RuntimeError> {
    let environment = library::load()?;
    let mut failures = Vec::new();
    for provider in options.provider.candidates() {
        let builder = prepare(&environment, graph, options, width, height)?;
        let made = provider.add_to(builder, options.device).and_then(|mut builder| {
            let made = match &graph.source {
                Source::File(path) => builder.commit_from_file(path),
                Source::Embedded(bytes) => builder.commit_from_memory(bytes),
            };
            made.map_err(|error| RuntimeError::Graph(format!("{}: {}", graph.location(), error.message())))
        });
        match made {
            Ok(session) => {
                let ports = |outlets: &[Outlet]| outlets.iter().map(Port::new).collect::<Result<Vec<_>, _>>();
                let fail = |error| RuntimeError::Graph(format!("{}: {error}", graph.location()));
                let inputs = ports(session.inputs()).map_err(fail)?;
                let outputs = ports(session.outputs()).map_err(fail)?;
                return Ok(SharedSession {
                    session: Mutex::new(session),
                    provider: *provider,
                    inputs,
                    outputs,
                });
            }
            Err(error) => failures.push(error),
        }
    }
    // The last one is what remains when everything before it failed.
    Err(failures
        .pop()
        .unwrap_or_else(|| RuntimeError::Provider("no execution provider".into())))
}

/// A session builder with everything but the provider.
fn prepare(
    environment: &ort::environment::Environment,
    graph: &Graph,
    options: Options,
    width: u32,
    height: u32,
) -> Result<SessionBuilder, RuntimeError> {
    let fail = |error: &str| RuntimeError::Graph(format!("{}: {error}", graph.location()));
    let mut builder = Session::builder(environment).map_err(|e| fail(e.message()))?;
    let step = |result: BuilderResult| result.map_err(|e| fail(e.message()));
    builder = step(builder.with_optimization_level(GraphOptimizationLevel::Level3))?;
    // Spinning threads take the cores from the decoder beside, and from everything else in a pipeline.
    builder = step(builder.with_intra_op_spinning(false))?;
    builder = step(builder.with_inter_threads(1))?;
    if options.threads > 0 {
        builder = step(builder.with_intra_threads(options.threads as usize))?;
    }
    // The symbolic dimensions that a graph may have: the padded picture, and parts of it.
    builder = step(builder.with_dimension_override("N", 1))?;
    for (name, size) in [("H", height), ("W", width)] {
        builder = step(builder.with_dimension_override(name, i64::from(size)))?;
        for part in (2..=64).filter(|part| size % part == 0) {
            builder = step(builder.with_dimension_override(format!("{name}/{part}"), i64::from(size / part)))?;
        }
    }
    Ok(builder)
}
