//! What the elements have in common: caps, metas, raw buffers, pads, and what encoder and decoder do alike.

mod allowance;
pub mod caps;
pub mod concealed;
mod latency;
pub mod meta;
pub mod negotiation;
mod network;
pub mod qos;
pub mod raw;
mod report;
pub mod rtp;
mod settings;
mod stats;

pub use latency::{DEADLINE_PROPERTY, ElementLatency, Latency, deadline_property};
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

#[cfg(test)]
mod tests {
    use gst::glib::error::ErrorDomain;
    use gst::prelude::*;

    use super::*;
    use crate::runtime::ProviderFault;
    use crate::stream::StreamError;

    /// Posts `error` as an element does, and returns what an application gets.
    fn posted(error: &RuntimeError) -> gst::glib::Error {
        let (element, bus) = (gst::Bin::new(), gst::Bus::new());
        element.set_bus(Some(&bus));
        element.post_error_message(error_message(error));
        let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
        match message.view() {
            gst::MessageView::Error(error) => error.error(),
            _ => unreachable!("filtered"),
        }
    }

    fn assert_is<T: ErrorDomain + PartialEq + std::fmt::Debug>(error: &RuntimeError, kind: T) {
        let posted = posted(error);
        assert_eq!(posted.kind::<T>(), Some(kind), "{error:?}");
        assert_eq!(posted.message(), error.to_string());
    }

    #[test]
    fn each_kind_of_error_has_its_domain() {
        gst::init().unwrap();
        let text = || "what is wrong".into();
        assert_is(&RuntimeError::Library(text()), gst::LibraryError::Init);
        let provider = RuntimeError::Provider(ProviderFault::NoDevice, text());
        assert_is(&provider, gst::ResourceError::OpenRead);
        assert_is(&RuntimeError::Memory(text()), gst::ResourceError::NoSpaceLeft);
        assert_is(&RuntimeError::Graph(text()), gst::LibraryError::Settings);
        assert_is(&RuntimeError::Settings(text()), gst::LibraryError::Settings);
        assert_is(&RuntimeError::Caps(text()), gst::CoreError::Negotiation);
        assert_is(&RuntimeError::Run(text()), gst::StreamError::Failed);
        let stream = RuntimeError::from(StreamError::NewerVersion(9));
        assert_is(&stream, gst::StreamError::Failed);
        let missing = RuntimeError::from(TokenizerError::NotFound("no model".into()));
        assert_is(&missing, gst::ResourceError::NotFound);
        let invalid = RuntimeError::from(TokenizerError::Invalid("no graph".into()));
        assert_is(&invalid, gst::LibraryError::Settings);
    }
}
