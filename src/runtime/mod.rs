//! ONNX Runtime: finding the library, execution providers, sessions that elements share, and a step with state.

mod library;
mod memory;
mod network;
mod provider;
mod session;

use std::fmt;

pub use library::load;
pub use network::{DecoderNetwork, EncoderNetwork};
pub use provider::ExecutionProvider;
pub use session::Options;

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
    Tokenizer(TokenizerError),
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(text) | Self::Provider(text) | Self::Graph(text) | Self::Memory(text) | Self::Run(text) => {
                f.write_str(text)
            }
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
