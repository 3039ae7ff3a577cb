//! Playback segments: from upstream, and as downstream gets them.

use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::imp::VidtokParse;
use super::timeline::Timeline;

impl VidtokParse {
    /// Starts over for a new segment from upstream. `in_time`: its format is time.
    pub fn begin_segment(&self, in_time: bool) {
        let mut state = self.state();
        let state = &mut *state;
        state.timeline = Timeline::default();
        state.forget_order();
        state.upstream_in_time = in_time;
        state.clock.new_segment();
        if in_time || state.remote.ends().is_none() {
            state.clock.origin = None;
        }
    }

    /// Whether only packets that start a segment are output.
    pub fn plays_key_units(&self) -> bool {
        let flags = self.obj().segment().flags();
        flags.contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS) || (self.state().key_units && !self.is_pulling())
    }

    /// Adjusts segment events to the clock, and reports losses at the end of the stream.
    pub fn watch_src(&self, info: &mut gst::PadProbeInfo) {
        let Some(gst::PadProbeData::Event(event)) = &info.data else {
            return;
        };
        match event.view() {
            gst::EventView::Segment(segment) => {
                let changed = {
                    let mut state = self.state();
                    let first = state.times.0.map(gst::ClockTime::nseconds);
                    let base = segment.segment().downcast_ref::<gst::ClockTime>();
                    let Some(base) = base.filter(|_| !state.upstream_in_time) else {
                        return;
                    };
                    let mut changed = state.clock.segment(base, first);
                    if state.key_units {
                        let trick = gst::SegmentFlags::TRICKMODE | gst::SegmentFlags::TRICKMODE_KEY_UNITS;
                        changed.set_flags(changed.flags() | trick);
                    }
                    changed
                };
                let event = gst::event::Segment::builder(&changed).seqnum(event.seqnum()).build();
                info.data = Some(gst::PadProbeData::Event(event));
            }
            gst::EventView::Eos(_) => self.report_end(),
            _ => (),
        }
    }
}
