//! What is common to the kinds of errors that users see.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A text for the user, and the error that caused it.
#[derive(Clone, Debug)]
pub struct Details {
    text: String,
    cause: Option<Cause>,
}

/// Shared, as the members of a batch fail together and all report the same error.
pub(crate) type Cause = Arc<dyn Error + Send + Sync>;

impl Details {
    pub(crate) fn with_cause(text: impl Into<String>, cause: Cause) -> Self {
        Self {
            text: text.into(),
            cause: Some(cause),
        }
    }

    /// The details of an error that has the text of its `cause`.
    pub(crate) fn of(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::with_cause(cause.to_string(), Arc::new(cause))
    }

    /// The same details with another text.
    pub(crate) fn with_text(&self, text: String) -> Self {
        Self {
            text,
            cause: self.cause.clone(),
        }
    }

    pub(crate) fn cause(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<T: Into<String>> From<T> for Details {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            cause: None,
        }
    }
}
