//! Tags that say how to turn a picture before it is shown.

use gst::glib;
use gst::prelude::*;

/// The orientation in the latest tags.
#[derive(Debug, Default)]
pub struct Orientation(Option<String>);

impl Orientation {
    /// Reads tags of the video at the pad `sink`. Returns a warning where they ask for another orientation than the
    /// tags before, and no element upstream turns the pictures.
    pub fn warning(&mut self, tags: &gst::TagListRef, sink: &gst::Pad) -> Option<String> {
        let tag = tags.get::<gst::tags::ImageOrientation>()?;
        let orientation = tag.get();
        let before = self.0.replace(orientation.into());
        if orientation == "rotate-0" || before.as_deref() == Some(orientation) || is_turned_before(sink) {
            return None;
        }
        Some(format!(
            "A tag says that players should turn the picture ({orientation}), but it is tokenized as it is stored: put \
             videoflip video-direction=auto in front"
        ))
    }
}

/// Whether an element upstream of `sink` turns pictures. The tag does not say: some versions of GStreamer's elements
/// leave it as it was.
fn is_turned_before(sink: &gst::Pad) -> bool {
    // More elements than a pipeline has in a line: links may change meanwhile, and the loop must end.
    const MAX_ELEMENTS: usize = 100;
    let mut pad = sink.peer();
    for _ in 0..MAX_ELEMENTS {
        let Some(source) = pad else { return false };
        if source.parent_element().is_some_and(|element| turns(&element)) {
            return true;
        }
        pad = in_front_of(&source);
    }
    false
}

/// The source pad upstream of the source pad `source`: behind its element, or behind a bin's ghost pad.
fn in_front_of(source: &gst::Pad) -> Option<gst::Pad> {
    if let Some(ghost) = source.downcast_ref::<gst::GhostPad>() {
        ghost.target()
    } else if let Some(proxy) = source.downcast_ref::<gst::ProxyPad>() {
        proxy.internal()?.peer()
    } else {
        source.parent_element()?.sink_pads().first()?.peer()
    }
}

/// Whether an element is set to turn pictures, by their tag or in one direction.
fn turns(element: &gst::Element) -> bool {
    const PROPERTY: &str = "video-direction";
    if element.find_property(PROPERTY).is_none() {
        return false;
    }
    let direction = element.property_value(PROPERTY);
    glib::EnumValue::from_value(&direction).is_some_and(|(_, value)| value.nick() != "identity")
}
