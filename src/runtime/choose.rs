//! Choosing what runs a graph: tries each provider in order, with the variant of the graph that suits it, until one
//! works.

use std::sync::Arc;

use ort::environment::Environment;

use crate::details::Details;
use crate::runtime::budget::{self, Demand};
use crate::runtime::error::{ProviderFault, RuntimeError};
use crate::runtime::library::{self, CAT};
use crate::runtime::options::Options;
use crate::runtime::provider::ExecutionProvider;
use crate::runtime::report::Report;
use crate::runtime::session::{self, Session};
use crate::runtime::step::{Failure, Tensors, Wiring};
use crate::system::memory;
use crate::tokenizer::{Graph, Precision, Target};

/// A session on the first provider of `options` that works, for pictures of `size` pixels, padded.
///
/// A session on any provider but the CPU's is tried out: some libraries and GPUs fail only when a graph runs. With
/// `auto`, the next provider is then tried.
///
/// # Errors
/// The error of the last provider that was tried.
pub fn choose(
    graph: &Graph,
    options: Options,
    size: (u32, u32),
    report: &dyn Report,
) -> Result<Arc<Session>, RuntimeError> {
    let environment = library::load()?;
    let mut failures = Failures::default();
    for provider in options.provider.candidates().iter().copied() {
        let options = Options { provider, ..options };
        match try_provider(&environment, graph, options, size, report) {
            Ok(session) => {
                memory::give_back();
                return Ok(session);
            }
            Err(error) => failures.add(provider, error),
        }
    }
    let no_candidate = || RuntimeError::Provider(ProviderFault::Other, "there is no execution provider".into());
    Err(failures.last.unwrap_or_else(no_candidate))
}

/// Why the providers that were tried cannot be used.
#[derive(Default)]
struct Failures {
    last: Option<RuntimeError>,
}

impl Failures {
    fn add(&mut self, provider: ExecutionProvider, error: RuntimeError) {
        // With a build of ONNX Runtime for CPUs, `auto` is expected to end with the CPU: that needs no warning.
        let not_built_in = matches!(error, RuntimeError::Provider(ProviderFault::NotBuiltIn, _));
        if provider != ExecutionProvider::Cpu && !not_built_in {
            gst::warning!(CAT, "{error}");
        }
        self.last = Some(error);
    }
}

fn try_provider(
    environment: &Environment,
    graph: &Graph,
    options: Options,
    size: (u32, u32),
    report: &dyn Report,
) -> Result<Arc<Session>, RuntimeError> {
    let provider = options.provider;
    // Before the graph is read, which may have hundreds of megabytes.
    load_provider(environment, options)?;
    let mut notes = Vec::new();
    let variant = other_variant(provider, graph, &mut notes);
    let graph = variant.as_ref().unwrap_or(graph);
    let made = session::make(environment, graph, options, size, notes, report);
    let session = made.map_err(|error| match error {
        RuntimeError::Memory(details) => budget::no_room_for(graph, &details),
        error => error,
    })?;
    if provider != ExecutionProvider::Cpu {
        try_out(&session, size)?;
    }
    Ok(session)
}

/// Another form of the graph, if one suits the provider better: with `auto`, the graph was chosen before the provider.
fn other_variant(provider: ExecutionProvider, graph: &Graph, notes: &mut Vec<String>) -> Option<Graph> {
    if graph.target != Target::Cpu || provider.target() != Target::Gpu {
        return None;
    }
    graph.variant_for(Target::Gpu).unwrap_or_else(|error| {
        notes.push(format!("\"{}\" runs the variant for CPUs: {error}", provider.name()));
        None
    })
}

/// Has ONNX Runtime load the provider's library and the libraries that it needs.
fn load_provider(environment: &Environment, options: Options) -> Result<(), RuntimeError> {
    let builder = ort::session::Session::builder(environment).map_err(|error| {
        let text = format!("ONNX Runtime: {}", error.message());
        RuntimeError::Library(Details::with_cause(text, Arc::new(error)))
    })?;
    let setup = options.setup(options.provider.target(), Precision::Fp32);
    options.provider.add_to(builder, &setup).map(drop)
}

/// Runs a session once, on zeros and tensors of its own, so that a provider that does not work fails here and not at
/// the first frame. CUDA also chooses among its algorithms in the first run, which takes long.
fn try_out(session: &Arc<Session>, size: (u32, u32)) -> Result<(), RuntimeError> {
    let wiring = Wiring::of(session, size)?;
    Demand::of(session, size).check()?;
    let failed = |error| session.running.provider.failed(error);
    let mut tensors = Tensors::new(session.clone(), wiring).map_err(|error| failed(Arc::new(error)))?;
    tensors.run(&[], &[]).map_err(|failure| match failure {
        Failure::Run(error) | Failure::State(error) => failed(error),
        Failure::Cancelled => RuntimeError::Cancelled,
    })
}
