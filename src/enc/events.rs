//! What events mean for the segment under way: which of them end it.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::imp::{CAT, State, VidtokEnc};
use super::orientation::Orientation;
use super::playback_segment::{self as playback, Change};

impl VidtokEnc {
    /// Ends the segment where another stream begins; the same one may say again that it has.
    pub(super) fn start_stream(&self, id: &str) {
        let before = self.obj().sink_pad().sticky_event::<gst::event::StreamStart>(0);
        if before.is_some_and(|before| before.stream_id() == id) {
            return;
        }
        let mut state = self.state.lock().unwrap();
        self.drain(&mut state, false);
        state.is_new_stream = true;
        self.shared.lock().unwrap().orientation = Orientation::default();
    }

    /// Ends the segment where a playback segment shows other frames than the one before would.
    pub(super) fn start_playback_segment(&self, segment: &gst::Segment) {
        let change = playback::change(&self.obj().segment(), segment);
        let mut state = self.state.lock().unwrap();
        let is_new_stream = std::mem::take(&mut state.is_new_stream);
        let start = segment.downcast_ref::<gst::ClockTime>().and_then(|s| s.start());
        let start = start.map_or(0, gst::ClockTime::nseconds);
        match change {
            Change::Same => (),
            Change::Shifted if !is_new_stream => state.may_begin_at = Some(start),
            Change::Shifted | Change::New => self.begin_playback_segment(&mut state, start),
        }
    }

    pub(super) fn begin_playback_segment(&self, state: &mut State, start: u64) {
        self.drain(state, false);
        state.clock.restart(start);
        state.may_begin_at = None;
    }

    /// Ends the segment where tokens change with the caps, while downstream still knows the old ones.
    pub(super) fn end_before(&self, caps: &gst::CapsRef) {
        let tokens = self.obj().src_pad().current_caps();
        let mut state = self.state.lock().unwrap();
        let Some((_, encoder)) = &state.encoder else { return };
        let wanted = tokens.and_then(|tokens| self.wanted_format(caps, &tokens).ok());
        if !wanted.is_some_and(|(format, stream_format)| encoder.makes(&format, stream_format)) {
            self.drain(&mut state, false);
        }
    }

    /// Whether a GAP lies within what the group under way stands for; it then stops here. A live one that is longer
    /// than the latency ends the segment, so that look-ahead decoders give the frames that they owe.
    pub(super) fn covers_gap(&self, gap: &gst::event::Gap) -> bool {
        let (start, duration) = gap.get();
        let end = start.saturating_add(duration.unwrap_or_default());
        let mut state = self.state.lock().unwrap();
        let is_under_way = state.encoder.as_ref().is_some_and(|(_, encoder)| encoder.filled() > 0);
        let latency = self.shared.lock().unwrap().latency;
        let is_long = state
            .clock
            .last()
            .is_some_and(|last| latency.is_exceeded_by_gap(last, end));
        if is_long && self.is_live() {
            gst::debug!(CAT, imp = self, "A pause until {end}: the segment ends");
            self.drain(&mut state, false);
            return false;
        }
        is_under_way
    }

    fn is_live(&self) -> bool {
        let mut query = gst::query::Latency::new();
        self.obj().sink_pad().peer_query(&mut query) && query.result().0
    }

    pub(super) fn warn_of_orientation(&self, tags: &gst::TagListRef) {
        let warning = self
            .shared
            .lock()
            .unwrap()
            .orientation
            .warning(tags, self.obj().sink_pad());
        if let Some(text) = warning {
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
        }
    }
}
