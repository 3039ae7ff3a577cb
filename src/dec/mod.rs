//! # vidtokdec
//!
//! Turns VidTok tokens, `framed` or `raw` (`docs/raw.md`), back into video with an ONNX graph that ONNX Runtime
//! runs. Unless `model` is set, the tokenizer is the one whose digest the caps carry: the embedded one, or a folder on
//! the search path. Every real frame comes out once, at the time it went in; padding at the end of a segment does not.
//! After a flush, and in the middle of a segment, the decoder waits for a segment start.
//!
//! ```text
//! gst-launch-1.0 filesrc location=out.vidtok ! decodebin ! videoconvert ! autovideosink
//! ```
//!
//! ## Pictures
//!
//! RGB, or, where downstream does not take that, I420 or NV12 with the matrix of BT.601 or BT.709, in limited or full
//! range, with chroma at the left (`mpeg2`) or in the middle (`jpeg`). The caps say which; downstream's may choose.
//!
//! ## Latency
//!
//! The decoder's look-ahead (0, or f - 1 frames for time factor f), and what a step takes. That is measured, or set by
//! `processing-deadline`. With `batch-streams`, `batch-timeout` is added, as a step may wait for other streams.
//! `docs/elements.md` has the rule.
//!
//! ## Segments
//!
//! A segment of tokens decodes without anything before it. When one ends, by its last packet, an end mark, the next
//! segment's start or an event, the frames that the decoder still owes are pushed.
//!
//! ## Loss
//!
//! Where packets are missing, damaged, doubled or of another stream, the decoder warns once and counts a gap (`gaps` in
//! `stats`). The property `on-loss` says what happens then: `wait` shows nothing until the next segment start;
//! `continue` keeps decoding, and pictures have the flag CORRUPTED until then (`uncertain-frames`).
//!
//! Where tokens did not come and `rtpvidtokdepay` has put others in their place, the pictures of that buffer have the
//! flag CORRUPTED, and count as uncertain, too. Those behind it are nearly as without the loss after a few steps.
//!
//! ## Too slow
//!
//! With `overload=skip-to-key`, the default, the decoder heeds its sink's QoS events, unless the property `qos` is
//! false. Once it is more than a segment late, it
//! leaves out what comes before the next segment start that is due, counts it (`dropped` in `stats`), and posts QoS
//! messages. From then on it decodes only segments whose pictures all come in time. For that it decodes ahead, so a
//! slow decoder needs a queue behind it that holds a segment's pictures: without one, little more than the first of
//! them is shown. Where segments are long (see `key-interval` of `vidtokenc`), no start can be expected soon, so it
//! keeps decoding, late.
//!
//! ## Limits
//!
//! `max-pixels` bounds the picture, and so the memory, that a stream may ask for. Steps that no picture needs are not
//! run, and tokens are unpacked step by step, so that the work for a packet is bounded by its size.
//!
//! A flush and going to READY end the current step at its next operator. With the built-in tokenizer on two busy cores,
//! that took at most 3 ms at 256×256 pixels, 30 ms at 640×640, 150 ms at 1280×1280 and 600 ms at 2048×2048; the encoder
//! took no longer. Making a network for new caps cannot be ended: that took 0.05, 0.1, 0.2 and 1 s.

use gst::glib;
use gst::prelude::*;

mod colour;
mod decoder;
mod graph;
mod imp;
mod input;
mod lateness;
mod loss;
mod negotiation;
mod packets;
mod picture;
mod segments;
mod settings;
#[cfg(test)]
mod testing;
mod tokens;

glib::wrapper! {
    pub struct VidtokDec(ObjectSubclass<imp::VidtokDec>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "vidtokdec", gst::Rank::PRIMARY, VidtokDec::static_type())
}
