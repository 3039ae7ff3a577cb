//! ONNX Runtime: finding the library, execution providers, sessions that elements share, and a step with state.
//!
//! From an element to ONNX Runtime: `network` is one stream's encoder or decoder. It runs on `tensors` of its own, or
//! on those of a `batch`, whose `schedule` says who is in the next one, and where `keep` keeps the state of who is not.
//! Either runs the `session`, which all streams of a kind share (`sharing`) and which lets them in by `turns`.
//! `create` makes a session as `options` say; what it runs on is the `provider`'s matter. `placement` says how much of the graph that
//! is, `engine_cache` keeps what TensorRT builds, and `report` tells of what takes long. `cancel` ends a stream's runs
//! from another thread.

mod batch;
mod budget;
mod cancel;
mod library;
mod network;
mod operators;
mod options;
mod provider;
mod report;
mod session;
mod sharing;
mod step;

use std::fmt;

pub use cancel::Cancel;
pub use library::load;
pub use network::{DecoderNetwork, EncoderNetwork};
pub use options::Options;
pub use provider::ExecutionProvider;
pub use report::{Progress, Report, Silent};
pub use session::placement::Running;
pub use session::prepare;

use crate::tokenizer::TokenizerError;

/// Why a network cannot run, in words for the user.
#[derive(Debug)]
pub enum RuntimeError {
    /// ONNX Runtime is not there or cannot be loaded.
    Library(String),
    /// The execution provider that was asked for cannot be used.
    Provider(String),
    /// The graph cannot be used.
    Graph(String),
    /// The picture needs more memory than there is.
    Memory(String),
    /// A step failed.
    Run(String),
    /// A step was [cancelled](Cancel): nothing is wrong, and the stream starts a segment next.
    Cancelled,
    Tokenizer(TokenizerError),
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(text) | Self::Provider(text) | Self::Graph(text) | Self::Memory(text) | Self::Run(text) => {
                f.write_str(text)
            }
            Self::Cancelled => f.write_str("the step was cancelled"),
            Self::Tokenizer(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RuntimeError {}

impl From<TokenizerError> for RuntimeError {
    fn from(error: TokenizerError) -> Self {
        Self::Tokenizer(error)
    }
}
