//! What the elements have in common: pads, and of encoder and decoder properties, statistics, errors.

pub mod caps;
pub mod meta;
pub mod negotiation;
mod report;
mod settings;
mod stats;

pub use report::BusReport;
pub use settings::NetworkSettings;
pub use stats::{Stats, shape};

use crate::runtime::RuntimeError;
use crate::tokenizer::TokenizerError;

/// `error` as an element error: the domain tells an application what kind it is, the text tells the user.
pub fn error_message(error: &RuntimeError) -> gst::ErrorMessage {
    match error {
        RuntimeError::Library(_) => gst::error_msg!(gst::LibraryError::Init, ("{error}")),
        RuntimeError::Provider(..) => gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")),
        RuntimeError::Memory(_) => gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{error}")),
        RuntimeError::Tokenizer(TokenizerError::NotFound(_)) => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{error}"))
        }
        RuntimeError::Graph(_) | RuntimeError::Settings(_) | RuntimeError::Tokenizer(TokenizerError::Invalid(_)) => {
            gst::error_msg!(gst::LibraryError::Settings, ("{error}"))
        }
        RuntimeError::Caps(_) => gst::error_msg!(gst::CoreError::Negotiation, ("{error}")),
        // Elements end a cancelled step with "flushing" and post nothing.
        RuntimeError::Run(_) | RuntimeError::Stream(_) | RuntimeError::Cancelled => {
            gst::error_msg!(gst::StreamError::Failed, ("{error}"))
        }
    }
}

/// Templates of one sink and one source pad that are always there.
pub fn pad_templates(sink: &gst::Caps, src: &gst::Caps) -> Vec<gst::PadTemplate> {
    use gst::{PadDirection, PadPresence, PadTemplate};
    [("sink", PadDirection::Sink, sink), ("src", PadDirection::Src, src)]
        .into_iter()
        .map(|(name, direction, caps)| {
            PadTemplate::new(name, direction, PadPresence::Always, caps).expect("the template is valid")
        })
        .collect()
}
