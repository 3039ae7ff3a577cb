//! Tokenizers: what they say of themselves, where they are found, the embedded one.
//!
//! A tokenizer is a folder with `tokenizer.json` and ONNX graphs, each of which repeats the description in its
//! own metadata. Everything here works without ONNX Runtime.

mod contents;
mod description;
mod embedded;
mod external;
mod lookup;
mod onnx;
pub(crate) mod protobuf;
mod variant;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use contents::Identity;
pub use description::Description;
pub use external::with_weights;
pub use lookup::{SEARCH_PATH_VARIABLE, by_digest, describe, embedded, embedded_if, open, read_description};
pub use onnx::read as read_onnx;
pub use variant::{Precision, Target, Wanted};

/// What a graph does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Encoder,
    Decoder,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
        }
    }
}

/// Where a graph's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file, and what it held, weights in files beside it included, when it was checked.
    File(PathBuf, Identity),
    Embedded(&'static [u8]),
}

/// One graph of a tokenizer, checked to be what it was looked up as.
#[derive(Clone, Debug)]
pub struct Graph {
    pub description: Arc<Description>,
    pub role: Role,
    pub target: Target,
    pub precision: Precision,
    /// How many parts attention over all positions takes its queries in; 0: the graph has none, or does not say.
    pub attention_parts: u32,
    /// Channels of the layer next to the pixels; 0: there is no convolution to tell it by.
    pub channels: u32,
    pub source: Source,
    /// The tokenizer folder that it was chosen from; `None`: it was named itself, or is embedded.
    folder: Option<PathBuf>,
}

impl Graph {
    /// The same tokenizer's graph in the form for `target`, of this precision; `None`: there is no other to choose.
    ///
    /// # Errors
    /// The tokenizer's folder lists one, and it cannot be used.
    pub fn in_form_for(&self, target: Target) -> Result<Option<Self>, TokenizerError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let found = lookup::form_in_folder(folder, self.role, (target, self.precision))?;
        // A folder may have been written anew meanwhile.
        Ok(found.filter(|found| found.description.digest == self.description.digest))
    }

    /// Whether `name` is the tokenizer's, or its folder's.
    pub fn is_named(&self, name: &str) -> bool {
        let folder = self.folder.as_ref().and_then(|folder| folder.file_name());
        self.description.name == name || folder.is_some_and(|folder| folder == name)
    }

    /// Where the graph comes from, for people.
    pub fn location(&self) -> String {
        match &self.source {
            Source::File(path, _) => path.display().to_string(),
            Source::Embedded(_) => "embedded in the plugin".into(),
        }
    }

    /// The ONNX file that was checked, with all weights in it. A file is read again: kept from READY on, it would take
    /// as much memory again as the network.
    ///
    /// # Errors
    /// The file cannot be read any more, or is another one by now.
    pub fn bytes(&self) -> Result<Cow<'static, [u8]>, TokenizerError> {
        match &self.source {
            Source::Embedded(bytes) => Ok(Cow::Borrowed(bytes)),
            Source::File(path, identity) => lookup::read_again(path, identity).map(Cow::Owned),
        }
    }
}

/// Why a tokenizer cannot be used: text for the user, and whether it was found at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerError {
    NotFound(String),
    Invalid(String),
}

impl fmt::Display for TokenizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotFound(text) | Self::Invalid(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for TokenizerError {}
