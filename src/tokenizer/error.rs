//! Why a tokenizer cannot be used.

use std::error::Error;
use std::fmt;

use crate::details::Details;

/// Why a tokenizer cannot be used. [`Display`](fmt::Display) is the text for the user, [`Error::source`] the cause.
#[derive(Clone, Debug)]
pub enum TokenizerError {
    /// There is no such tokenizer in the places that the text names.
    NotFound(Details),
    /// The tokenizer was found, but cannot be used.
    Invalid(Details),
}

impl TokenizerError {
    pub(super) fn not_found(text: String) -> Self {
        Self::NotFound(text.into())
    }

    /// What is wrong at `place`.
    pub(super) fn at(place: &str, details: impl Into<Details>) -> Self {
        let details = details.into();
        Self::Invalid(details.with_text(format!("{place}: {details}")))
    }
}

impl fmt::Display for TokenizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotFound(details) | Self::Invalid(details)) = self;
        details.fmt(f)
    }
}

impl Error for TokenizerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (Self::NotFound(details) | Self::Invalid(details)) = self;
        details.cause()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Role, Target, open};

    #[test]
    fn causes_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let description = folder.path().join("tokenizer.json");
        let error = || open(folder.path().to_str().unwrap(), Role::Encoder, Target::Cpu).unwrap_err();
        assert!(matches!(error(), TokenizerError::NotFound(_)) && error().source().is_none());
        std::fs::write(&description, "{").unwrap();
        assert!(matches!(error(), TokenizerError::Invalid(_)));
        assert!(error().source().unwrap().is::<serde_json::Error>());
        std::fs::remove_file(&description).unwrap();
        std::fs::create_dir(&description).unwrap();
        let error = error();
        assert!(error.source().unwrap().is::<std::io::Error>());
        let text = error.to_string();
        assert!(text.contains("tokenizer.json") && text.contains("a folder"), "{text}");
    }
}
