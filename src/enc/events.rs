//! What events mean for the current segment of tokens: which of them end it.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::imp::{CAT, VidtokEnc};
use super::key_requests::KeyRequest;
use super::orientation::Orientation;
use super::playback_segment;
use super::preparation::OrientationChoice;
use crate::element::ElementLatency;
use crate::system::lock::lock;

impl VidtokEnc {
    /// Pushes the group that is held in front of an event that has a place between the frames.
    pub(super) fn push_held_before(&self, event: &gst::Event) {
        // A flush drops the group, and a request for a segment start is passed on in front of that.
        let stays = event.type_() == gst::EventType::FlushStop || KeyRequest::from_upstream(event).is_some();
        if event.is_serialized() && !stays {
            self.push_held(&mut lock(&self.state));
        }
    }

    /// Ends the segment where another stream begins. An element may also send the same stream's event again.
    pub(super) fn start_stream(&self, id: &str) {
        let before = self.obj().sink_pad().sticky_event::<gst::event::StreamStart>(0);
        if before.is_some_and(|before| before.stream_id() == id) {
            return;
        }
        let mut state = lock(&self.state);
        self.drain(&mut state, false);
        state.timing.begin_stream();
        state.pick.restart();
        lock(&self.shared).orientation = Orientation::default();
    }

    /// Ends the segment where a playback segment shows other frames than the one before it would.
    pub(super) fn start_playback_segment(&self, segment: &gst::Segment) {
        let change = playback_segment::change(&self.obj().segment(), segment);
        let start = segment.downcast_ref::<gst::ClockTime>().and_then(|s| s.start());
        let start = start.map_or(0, gst::ClockTime::nseconds);
        let mut state = lock(&self.state);
        if state.timing.begin_playback_segment(change, start) {
            self.drain(&mut state, false);
            state.pick.restart();
        }
    }

    /// Ends the segment where tokens change with the caps, while downstream still has the old ones.
    pub(super) fn end_before(&self, caps: &gst::CapsRef) {
        let tokens = self.obj().src_pad().current_caps();
        let mut state = lock(&self.state);
        let Some(encoder) = &state.encoder else { return };
        let wanted = tokens.and_then(|tokens| self.token_format(&self.plan(caps).ok()?, &tokens).ok());
        if !wanted.is_some_and(|(format, stream_format)| encoder.makes(&format, stream_format)) {
            self.drain(&mut state, false);
        }
    }

    /// Whether a GAP stops here, as the tokens of the current group stand for its time. A live one that lasts longer
    /// than the longest latency ends the segment, so that look-ahead decoders give the frames that they owe.
    pub(super) fn covers_gap(&self, gap: &gst::event::Gap) -> bool {
        let (start, duration) = gap.get();
        let end = start.saturating_add(duration.unwrap_or_default());
        let mut state = lock(&self.state);
        state.timing.pause();
        let last = state.timing.last();
        let is_long = last.is_some_and(|last| self.gap_is_long(last, end));
        if is_long && self.is_live() {
            gst::debug!(CAT, imp = self, "A pause until {end}: the segment ends");
            self.drain(&mut state, false);
            return false;
        }
        state.encoder.as_ref().is_some_and(|encoder| encoder.has_open_group())
    }

    /// Turns the pictures from here on as tags say, unless the user does not want it.
    pub(super) fn orient(&self, tags: &gst::TagListRef) {
        let sink = self.obj().sink_pad().clone();
        let is_changed = lock(&self.shared).orientation.update(tags, &sink);
        if !is_changed || lock(&self.settings).preparation.orientation == OrientationChoice::Ignore {
            return;
        }
        // Tags come behind the caps: the same caps now mean other tokens.
        if let Some(caps) = sink.current_caps() {
            self.end_before(&caps);
            self.parent_sink_event(gst::event::Caps::new(&caps));
        }
    }
}
