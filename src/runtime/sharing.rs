//! Sessions shared by all elements that want the same.
//!
//! Streams share one session, not only its weights' bytes: ONNX Runtime copies weights into the layout that its
//! convolutions want, and every further session would have copies of its own, prepacked weights and shared initializers
//! or not.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use super::report::Report;
use super::session::{SharedSession, TryOut, create};
use super::{Options, RuntimeError};
use crate::system::lock::lock;
use crate::tokenizer::{Graph, Identity, Source};

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    graph: GraphKey,
    options: Options,
    width: u32,
    height: u32,
}

/// Tells graphs apart: a file that was written anew is another graph, whatever its times say.
#[derive(Clone, PartialEq, Eq, Hash)]
enum GraphKey {
    File(PathBuf, Identity),
    Embedded(usize),
}

/// Locked while its session is made: of two elements that start together, the second finds the first one's, and those
/// that want another one do not wait.
type Place = Arc<Mutex<Weak<SharedSession>>>;

static SESSIONS: LazyLock<Mutex<HashMap<Key, Place>>> = LazyLock::new(Mutex::default);

/// The session for `graph` at `width` × `height` pixels (padded to whole cells); made if no element has it.
///
/// A session on anything but the CPU is tried out before anybody gets it: libraries and GPUs may turn out not to work
/// only when a graph runs, and then it is the provider's fault, and with `auto` the next one's turn.
pub fn shared(
    graph: &Graph,
    options: Options,
    (width, height): (u32, u32),
    try_out: TryOut,
    report: &dyn Report,
) -> Result<Arc<SharedSession>, RuntimeError> {
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

fn graph_key(graph: &Graph) -> GraphKey {
    match &graph.source {
        Source::Embedded(bytes) => GraphKey::Embedded(bytes.as_ptr() as usize),
        Source::File(path, identity) => GraphKey::File(path.clone(), *identity),
    }
}
