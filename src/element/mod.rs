//! What the elements have in common: caps, metas, pads, and what encoder and decoder do alike.

pub mod caps;
pub mod meta;
pub mod negotiation;
mod network;
pub mod qos;
mod report;
mod settings;
mod stats;

pub use network::{NetworkElement, NetworkState, Settings, frame_duration, output};
pub use report::BusReport;
pub use settings::NetworkSettings;
pub use stats::{Stats, shape};

use crate::runtime::RuntimeError;
use crate::tokenizer::TokenizerError;

/// `error` as an element error: the domain tells an application what kind it is, the text tells the user.
pub fn error_message(error: &RuntimeError) -> gst::ErrorMessage {
    match error {
        RuntimeError::Library(_) => gst::error_msg!(gst::LibraryError::Init, ("{error}")),
        RuntimeError::Provider(_) => gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")),
        RuntimeError::Graph(_) => gst::error_msg!(gst::LibraryError::Settings, ("{error}")),
        RuntimeError::Memory(_) => gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{error}")),
        // A step that was cancelled is no error: it ends in "flushing", and nobody posts it.
        RuntimeError::Run(_) | RuntimeError::Cancelled => gst::error_msg!(gst::StreamError::Failed, ("{error}")),
        RuntimeError::Tokenizer(TokenizerError::NotFound(_)) => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{error}"))
        }
        RuntimeError::Tokenizer(TokenizerError::Invalid(_)) => {
            gst::error_msg!(gst::LibraryError::Settings, ("{error}"))
        }
    }
}

/// What `gst-inspect-1.0` says of an element.
pub fn metadata(name: &str, class: &str, description: &str) -> gst::subclass::ElementMetadata {
    gst::subclass::ElementMetadata::new(name, class, description, env!("CARGO_PKG_AUTHORS"))
}

/// Templates of a sink pad and a source pad that are always there.
pub fn pad_templates(sink: &gst::Caps, src: &gst::Caps) -> Vec<gst::PadTemplate> {
    use gst::{PadDirection, PadPresence, PadTemplate};
    [("sink", PadDirection::Sink, sink), ("src", PadDirection::Src, src)]
        .into_iter()
        .map(|(name, direction, caps)| {
            PadTemplate::new(name, direction, PadPresence::Always, caps).expect("the template is valid")
        })
        .collect()
}
