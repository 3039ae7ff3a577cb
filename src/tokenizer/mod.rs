//! Tokenizers: their descriptions, where they are found, and the embedded ones.
//!
//! A tokenizer is a folder with `tokenizer.json` and variants: pairs of ONNX graphs, each for a [`Target`] and in a
//! [`Precision`]. Every graph repeats the description in its metadata. `docs/graphs.md` specifies the keys, and the
//! inputs and outputs of graphs. Nothing here needs ONNX Runtime.

mod contents;
mod description;
mod embedded;
mod error;
mod external;
mod frame_stack;
mod frame_type;
mod lookup;
mod onnx;
pub(crate) mod protobuf;
mod variant;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

pub use contents::Identity;
pub use description::Description;
pub(crate) use description::short_digest;
pub use embedded::embedded;
pub(crate) use embedded::{embedded_if, names as embedded_names};
pub use error::TokenizerError;
pub use frame_stack::FrameStack;
pub use frame_type::FrameType;
pub(crate) use lookup::{SEARCH_PATH_VARIABLE, describe};
pub use lookup::{by_digest, open};
pub use variant::{Precision, Target, VariantChoice};

// Public for the fuzz targets only.
#[doc(hidden)]
pub use external::with_weights;
#[doc(hidden)]
pub use lookup::read_description;
#[doc(hidden)]
pub use onnx::read as read_onnx;

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
    /// A file, and the identity of its content, external weights included, when it was checked.
    File(PathBuf, Identity),
    Embedded(&'static [u8]),
}

/// One graph of a tokenizer whose metadata was checked.
#[derive(Clone, Debug)]
pub struct Graph {
    pub description: Arc<Description>,
    pub role: Role,
    pub target: Target,
    pub precision: Precision,
    /// What an encoder takes its frames in.
    pub input: FrameType,
    /// Parts that the queries of global attention are split into; 0: no such attention, or not specified.
    pub(crate) attention_parts: u32,
    /// Channels of the convolution next to the pixels; 0: unknown.
    pub(crate) channels: u32,
    pub source: Source,
    /// The tokenizer folder that it was chosen from; `None` for a graph file that was named directly, and for the
    /// embedded graphs.
    folder: Option<PathBuf>,
}

impl Graph {
    /// The same graph in the variant for `target`, of the same precision; `None` if there is no such variant.
    ///
    /// # Errors
    /// The tokenizer's folder lists the variant, but it cannot be used.
    pub(crate) fn variant_for(&self, target: Target) -> Result<Option<Self>, TokenizerError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let found = lookup::variant_in_folder(folder, self.role, (target, self.precision))?;
        // The folder may have been replaced meanwhile.
        Ok(found.filter(|found| found.description.digest == self.description.digest))
    }

    /// Whether `name` is the name of the tokenizer or of its folder.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        let folder = self.folder.as_ref().and_then(|folder| folder.file_name());
        self.description.name == name || folder.is_some_and(|folder| folder == name)
    }

    /// Where the graph comes from, in words for the user.
    pub fn location(&self) -> String {
        match &self.source {
            Source::File(path, _) => path.display().to_string(),
            Source::Embedded(_) => "embedded in the plugin".into(),
        }
    }

    /// The ONNX file that was checked, with all weights in it. The file is read again: keeping it since READY would
    /// double the memory that the weights take.
    ///
    /// # Errors
    /// The file cannot be read any more, or its content has changed.
    pub fn bytes(&self) -> Result<Cow<'static, [u8]>, TokenizerError> {
        match &self.source {
            Source::Embedded(bytes) => Ok(Cow::Borrowed(bytes)),
            Source::File(path, identity) => lookup::read_again(path, identity).map(Cow::Owned),
        }
    }
}
