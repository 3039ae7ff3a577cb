//! The elements in front of a pad.

use gst::prelude::*;

/// More elements than a pipeline has in a line: links may change meanwhile, and the walk must end.
const MAX_ELEMENTS: usize = 100;

/// The elements upstream of `sink`, the nearest first, through bins and along first pads.
pub fn elements_before(sink: &gst::Pad) -> impl Iterator<Item = gst::Element> {
    let pads = std::iter::successors(sink.peer(), in_front_of);
    pads.take(MAX_ELEMENTS).filter_map(|pad| pad.parent_element())
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
