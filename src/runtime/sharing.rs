//! One session for all networks that want the same, with its batches.
//!
//! Sharing only the weights' bytes is not enough: ONNX Runtime copies weights into the layout that its convolutions
//! want, and each further session would have copies of its own, with prepacked weights and shared initializers as well.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use crate::runtime::batch::Batches;
use crate::runtime::choose::choose;
use crate::runtime::error::RuntimeError;
use crate::runtime::options::Options;
use crate::runtime::report::Report;
use crate::runtime::session::Session;
use crate::runtime::step::Wiring;
use crate::system::lock::lock;
use crate::tokenizer::{Graph, Identity, Source};

/// A session, and what its networks have in common.
pub struct SharedSession {
    pub session: Arc<Session>,
    pub wiring: Wiring,
    pub batches: Batches,
}

/// What decides whether two networks can share a session.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    graph: GraphKey,
    options: Options,
    size: (u32, u32),
}

/// Tells graphs apart. A file that was written again with other contents is another graph, whatever its times are.
#[derive(Clone, PartialEq, Eq, Hash)]
enum GraphKey {
    File(PathBuf, Identity),
    Embedded(usize),
}

/// The lock is held while the session is created, so that two elements that start together share it. Other keys are not
/// blocked.
type Entry = Arc<Mutex<Weak<SharedSession>>>;

static SESSIONS: LazyLock<Mutex<HashMap<Key, Entry>>> = LazyLock::new(Mutex::default);

/// The session for `graph` and pictures of `size` pixels, padded. Creates it if no network has it. The session
/// exists as long as what this returns.
///
/// # Errors
/// No provider works, or the graph is not what its description says.
pub fn shared(
    graph: &Graph,
    options: Options,
    size: (u32, u32),
    report: &dyn Report,
) -> Result<Arc<SharedSession>, RuntimeError> {
    let key = Key {
        graph: graph_key(graph),
        options: Options {
            // It has decided on the graph already.
            precision: None,
            // Each network has its own.
            batch_timeout: Duration::ZERO,
            // 0 and 1 mean the same.
            batch_streams: options.members() as u32,
            ..options
        },
        size,
    };
    let entry = {
        let mut sessions = lock(&SESSIONS);
        // Removes entries without a session that no other thread is about to fill.
        sessions.retain(|_, entry| Arc::strong_count(entry) > 1 || lock(entry).strong_count() > 0);
        sessions.entry(key).or_default().clone()
    };
    let mut entry = lock(&entry);
    if let Some(shared) = entry.upgrade() {
        return Ok(shared);
    }
    let session = choose(graph, options, size, report)?;
    let shared = Arc::new(SharedSession {
        wiring: Wiring::of(&session, size)?,
        session,
        batches: Batches::default(),
    });
    *entry = Arc::downgrade(&shared);
    Ok(shared)
}

fn graph_key(graph: &Graph) -> GraphKey {
    match &graph.source {
        Source::Embedded(bytes) => GraphKey::Embedded(bytes.as_ptr() as usize),
        Source::File(path, identity) => GraphKey::File(path.clone(), *identity),
    }
}
