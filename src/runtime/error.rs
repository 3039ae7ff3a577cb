//! Why a network cannot run: a kind for the program, a text for the user, and what caused it.

use std::error::Error;
use std::fmt;

use crate::details::Details;
use crate::stream::StreamError;
use crate::tokenizer::TokenizerError;

/// Why a network cannot run. [`Display`](fmt::Display) is the text for the user, [`Error::source`] what caused it.
#[derive(Clone, Debug)]
pub enum RuntimeError {
    /// ONNX Runtime was not found or cannot be loaded.
    Library(Details),
    /// The execution provider that was asked for cannot be used.
    Provider(ProviderFault, Details),
    /// The graph is not what its description says, or ONNX Runtime cannot use it.
    Graph(Details),
    /// A property has a value that does not suit the model or the pictures.
    Settings(Details),
    /// The caps that pads have agreed on do not suit the model or the settings.
    Caps(Details),
    /// There is less memory than the network needs for pictures of this size.
    Memory(Details),
    /// A step failed.
    Run(Details),
    /// A step was [cancelled](super::Cancel). Nothing is wrong; the next step starts a segment.
    Cancelled,
    /// The tokenizer was not found or cannot be used.
    Tokenizer(TokenizerError),
    /// Tokens cannot be read from the byte stream or written to it.
    Stream(StreamError),
}

/// Why an execution provider cannot be used, as far as ONNX Runtime's message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderFault {
    /// ONNX Runtime was built without the provider.
    NotBuiltIn,
    /// The system's loader did not find the library of this name.
    MissingLibrary(String),
    /// The machine has no GPU, or the process cannot see it.
    NoDevice,
    /// The driver is missing, or older than CUDA wants.
    DriverTooOld,
    /// There are GPUs, but not one of the number that was asked for.
    NoSuchDevice,
    /// The device or the machine has too little memory left.
    OutOfMemory,
    /// TensorRT cannot read an engine that it has built before.
    EngineUnreadable,
    /// The provider works, but runs no part of this graph.
    RunsNothing,
    /// Another fault: the text says what ONNX Runtime says.
    Other,
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(details)
            | Self::Provider(_, details)
            | Self::Graph(details)
            | Self::Settings(details)
            | Self::Caps(details)
            | Self::Memory(details)
            | Self::Run(details) => details.fmt(f),
            Self::Cancelled => f.write_str("the step was cancelled"),
            Self::Tokenizer(error) => error.fmt(f),
            Self::Stream(error) => error.fmt(f),
        }
    }
}

impl Error for RuntimeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Library(details)
            | Self::Provider(_, details)
            | Self::Graph(details)
            | Self::Settings(details)
            | Self::Caps(details)
            | Self::Memory(details)
            | Self::Run(details) => details.cause(),
            Self::Cancelled => None,
            Self::Tokenizer(error) => Some(error),
            Self::Stream(error) => Some(error),
        }
    }
}

impl From<TokenizerError> for RuntimeError {
    fn from(error: TokenizerError) -> Self {
        Self::Tokenizer(error)
    }
}

impl From<StreamError> for RuntimeError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_cause_is_the_source_and_the_text_stays() {
        let io = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = RuntimeError::Library(Details::with_cause("there is no library", Arc::new(io)));
        assert_eq!(error.to_string(), "there is no library");
        let source = error
            .source()
            .and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
        // A copy for another member of a batch has it, too.
        assert!(error.clone().source().is_some());
        assert!(RuntimeError::Graph("it has no input".into()).source().is_none());
    }

    #[test]
    fn errors_of_tokenizers_and_streams_are_kept_whole() {
        let not_found = TokenizerError::NotFound("no such model".into());
        let error = RuntimeError::from(not_found.clone());
        assert_eq!(error.to_string(), "no such model");
        assert!(error.source().is_some_and(|cause| cause.is::<TokenizerError>()));
        let newer = StreamError::NewerVersion(9);
        let error = RuntimeError::from(newer.clone());
        assert_eq!(error.source().and_then(|e| e.downcast_ref()), Some(&newer));
    }
}
