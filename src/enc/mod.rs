//! # vidtokenc
//!
//! Turns video into VidTok tokens with an ONNX graph that ONNX Runtime runs. Output is `framed` (packets of the
//! `.vidtok` byte stream) unless downstream asks for `stream-format=raw` (bare numbers). Video may have any size,
//! framerate and pixel aspect ratio; interlaced video is refused. Every video frame is in exactly one token buffer.
//!
//! ```text
//! gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! vidtokenc ! filesink location=out.vidtok
//! ```
//!
//! ## Latency
//!
//! f - 1 frames for a causal tokenizer of time factor f (built in: 3), w - 1 frames for a non-causal one with windows of
//! w, as the first frame of a group waits for the others; and what a step takes. That is measured, or set by
//! `processing-deadline`. Without a framerate, the distance of two frames is measured. With `batch-streams`,
//! `batch-timeout` is added, as a step may wait for other streams. `docs/elements.md` has the rule.
//!
//! Where durations turn out to be untrue, as of video of a variable rate, a packet waits for the frame behind it, which
//! tells when its last frame ends. Live video does not wait.
//!
//! ## Too slow
//!
//! By default, every frame is encoded, however late. With `overload=drop-groups`, live video is dropped, group by group,
//! once a group begins later than the pipeline's latency and `max-lateness`, until one begins within the latency. What
//! follows is a new segment with DISCONT. Drops are counted (`dropped` in `stats`), and reported as QoS messages.
//!
//! ## Segments
//!
//! A segment of tokens decodes without anything before it. One ends where other pictures begin:
//!
//! - at a buffer with DISCONT,
//! - where another stream or another playback segment begins,
//! - where caps change in what the tokens say of themselves,
//! - where time goes back, which also posts a warning. The next buffer then has DISCONT.
//!
//! `key-interval` and force-key-unit events end one together with the current group. Nothing else ends a segment: the
//! same pictures have the same tokens, whatever container they come from. A GAP within a group is not passed on, as the
//! group's tokens stand for its time. In live video, a GAP longer than the frames of two groups but one, and the
//! wait for a batch, ends the segment, so that a decoder gives the frames that it owes.
//!
//! Frames without PTS are counted from the framerate, from the latest PTS or else from the start of the playback
//! segment.
//!
//! In the byte stream, a packet says that it is its segment's last. Where that was not known when it was written, an
//! end mark follows: a buffer of its own with HEADER and DELTA_UNIT. An end mark also ends every stream. `stream-id`
//! names the stream; it is random by default, and a new one after an end of stream.

use gst::glib;
use gst::prelude::*;

mod durations;
mod encoder;
mod events;
mod frame_clock;
mod imp;
mod intake;
mod key_requests;
mod latency;
mod lateness;
mod negotiation;
mod orientation;
mod output;
mod packets;
mod picture;
mod plan;
mod playback_segment;
mod posterior;
mod preparation;
mod settings;
mod stream_range;
mod timing;
mod turn;
mod upstream;

glib::wrapper! {
    pub struct VidtokEnc(ObjectSubclass<imp::VidtokEnc>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "vidtokenc", gst::Rank::NONE, VidtokEnc::static_type())
}
