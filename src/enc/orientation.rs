//! Tags that say how a picture is to be turned when it is shown.

use gst::glib;
use gst::prelude::*;

/// What the tags have said so far.
#[derive(Debug, Default)]
pub struct Orientation(Option<String>);

impl Orientation {
    /// Reads tags of video that comes to `sink`; gives a warning where they say, for the first time, that the pictures
    /// are to be turned, and nothing in front turns them.
    pub fn warning(&mut self, tags: &gst::TagListRef, sink: &gst::Pad) -> Option<String> {
        let tag = tags.get::<gst::tags::ImageOrientation>()?;
        let orientation = tag.get();
        let before = self.0.replace(orientation.into());
        if orientation == "rotate-0" || before.as_deref() == Some(orientation) || is_turned_before(sink) {
            return None;
        }
        Some(format!(
            "A tag says that the picture is to be shown turned ({orientation}), and it is tokenized as it is stored: put \
             videoflip video-direction=auto in front"
        ))
    }
}

/// Whether an element in front of `sink` turns pictures: not every version of GStreamer's own then changes the tag.
fn is_turned_before(sink: &gst::Pad) -> bool {
    // More elements than anybody puts into a line; links may change while they are followed.
    const MOST: usize = 100;
    let mut pad = sink.peer();
    for _ in 0..MOST {
        let Some(source) = pad else { return false };
        if source.parent_element().is_some_and(|element| turns(&element)) {
            return true;
        }
        pad = in_front_of(&source);
    }
    false
}

/// The source pad that `source` gets its pictures from: through the element, or through a bin's edge.
fn in_front_of(source: &gst::Pad) -> Option<gst::Pad> {
    if let Some(ghost) = source.downcast_ref::<gst::GhostPad>() {
        ghost.target()
    } else if let Some(proxy) = source.downcast_ref::<gst::ProxyPad>() {
        proxy.internal()?.peer()
    } else {
        source.parent_element()?.sink_pads().first()?.peer()
    }
}

/// Whether an element has been told to turn pictures, by their tag or by hand.
fn turns(element: &gst::Element) -> bool {
    const PROPERTY: &str = "video-direction";
    if element.find_property(PROPERTY).is_none() {
        return false;
    }
    let direction = element.property_value(PROPERTY);
    glib::EnumValue::from_value(&direction).is_some_and(|(_, value)| value.nick() != "identity")
}
