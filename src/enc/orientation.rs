//! Tags that say how to turn a picture before it is shown.

use gst::glib;
use gst::prelude::*;

use super::turn::Turn;
use super::upstream::elements_before;

/// How the latest tags want pictures to be turned.
#[derive(Debug, Default)]
pub struct Orientation(Turn);

impl Orientation {
    /// Reads tags of the video at the pad `sink`. Returns whether pictures are turned otherwise than before.
    pub fn update(&mut self, tags: &gst::TagListRef, sink: &gst::Pad) -> bool {
        let Some(tag) = tags.get::<gst::tags::ImageOrientation>() else {
            return false;
        };
        let turn = match is_turned_before(sink) {
            true => Turn::default(),
            false => Turn::of_tag(tag.get()).unwrap_or_default(),
        };
        std::mem::replace(&mut self.0, turn) != turn
    }

    pub fn turn(&self) -> Turn {
        self.0
    }
}

/// Whether an element upstream of `sink` turns pictures. The tag does not say: some versions of GStreamer's elements
/// leave it as it was.
fn is_turned_before(sink: &gst::Pad) -> bool {
    elements_before(sink).any(|element| turns(&element))
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
