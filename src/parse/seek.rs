//! Seeks, and answers to queries about time. A file that is pulled has an [index](super::index) of where to read; in
//! pushed bytes, [`remote`](super::remote) searches for it.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::imp::{CAT, VidtokParse};
use super::index::Snap;

/// A seek that can be done; its times are PTS.
#[derive(Clone, Debug)]
pub struct Target {
    rate: f64,
    pub flags: gst::SeekFlags,
    pub time: gst::ClockTime,
    pub stop: Option<gst::ClockTime>,
    stop_type: gst::SeekType,
    seqnum: gst::Seqnum,
}

impl Target {
    /// Which segment start a key-unit seek goes to.
    pub fn snap(&self) -> Snap {
        let has = |flag| self.flags.contains(flag);
        match (has(gst::SeekFlags::SNAP_BEFORE), has(gst::SeekFlags::SNAP_AFTER)) {
            (true, true) => Snap::Nearest,
            (false, true) => Snap::After,
            _ => Snap::Before,
        }
    }

    pub fn to_key(&self) -> bool {
        self.flags.contains(gst::SeekFlags::KEY_UNIT)
    }

    /// Whether playback from `time`, in nanoseconds, would be at or after the stop position.
    pub fn is_behind_stop(&self, time: u64) -> bool {
        self.stop.is_some_and(|stop| time >= stop.nseconds())
    }

    /// The seek event for the base class, to `start`.
    fn event(&self, start: gst::ClockTime) -> gst::Event {
        let to_keys = gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_NEAREST;
        // The base class uses its index only for accurate seeks; for others it estimates the offset.
        let flags = (self.flags - to_keys) | gst::SeekFlags::ACCURATE;
        let set = gst::SeekType::Set;
        let event = gst::event::Seek::builder(self.rate, flags, set, start, self.stop_type, self.stop);
        event.seqnum(self.seqnum).build()
    }
}

impl VidtokParse {
    /// What `seek` asks for; `None` if it cannot be done.
    pub fn target(&self, seek: &gst::event::Seek) -> Option<Target> {
        let (rate, flags, start_type, start, stop_type, stop) = seek.get();
        if rate <= 0.0 || flags.contains(gst::SeekFlags::INSTANT_RATE_CHANGE) {
            gst::info!(CAT, imp = self, "Cannot play at rate {rate}, nor change it instantly");
            return None;
        }
        let gst::GenericFormattedValue::Time(Some(time)) = start else {
            gst::info!(CAT, imp = self, "Cannot seek to {start:?}");
            return None;
        };
        let stop = match stop {
            gst::GenericFormattedValue::Time(stop) => stop.filter(|_| stop_type != gst::SeekType::None),
            _ => None,
        };
        if start_type != gst::SeekType::Set || stop_type == gst::SeekType::End || stop.is_some_and(|stop| stop < time) {
            gst::info!(
                CAT,
                imp = self,
                "Cannot seek from {start_type:?} {time} to {stop_type:?} {stop:?}"
            );
            return None;
        }
        let state = self.state();
        Some(Target {
            rate,
            flags,
            time: state.clock.pts(time),
            stop: stop.map(|stop| state.clock.pts(stop)),
            stop_type,
            seqnum: seek.seqnum(),
        })
    }

    /// Has the base class seek to the segment that starts at byte `offset` and PTS `time`, in nanoseconds. With
    /// `to_key`, playback starts there, otherwise at the target.
    pub fn go_to(&self, target: &Target, offset: u64, time: u64, to_key: bool) -> bool {
        let time = gst::ClockTime::from_nseconds(time);
        gst::debug!(
            CAT,
            imp = self,
            "Seeking to {} from {time} at byte {offset}",
            target.time
        );
        self.obj().add_index_entry(offset, time, true, true);
        {
            let mut state = self.state();
            state.clock.sought = true;
            state.times = (Some(target.time), None);
            state.key_units = target.flags.contains(gst::SeekFlags::TRICKMODE_KEY_UNITS);
        }
        self.parent_src_event(target.event(if to_key { time } else { target.time }))
    }

    /// Answers a query at the source pad. Returns whether it could.
    pub fn answer(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Seeking(seeking) => {
                if self.is_pulling() || self.state().remote.ends().is_some() {
                    let (seekable, end) = self.seek_range();
                    match seeking.format() {
                        gst::Format::Time => seeking.set(seekable, gst::ClockTime::ZERO, end),
                        format => set_not_seekable(seeking, format),
                    }
                } else if !self.obj().sink_pad().peer_query(seeking) || seeking.format() != gst::Format::Time {
                    let format = seeking.format();
                    set_not_seekable(seeking, format);
                }
                true
            }
            // The base class would ask upstream, which may answer with a position that is not the parser's.
            gst::QueryViewMut::Position(position)
                if position.format() == gst::Format::Time && !self.state().upstream_in_time =>
            {
                // Not from the pad's segment: the streaming thread holds its lock while downstream blocks.
                let state = self.state();
                if let Some(time) = state.times.0 {
                    position.set(state.clock.stream_time(time));
                }
                state.times.0.is_some()
            }
            gst::QueryViewMut::Segment(segment) => {
                let answered = self.parent_src_query(segment);
                let (rate, start, stop) = segment.result();
                if self.state().upstream_in_time {
                    return answered;
                }
                if let (gst::GenericFormattedValue::Time(start), gst::GenericFormattedValue::Time(stop)) = (start, stop)
                {
                    let clock = &self.state().clock;
                    let times = [start, stop].map(|time| time.map(|time| clock.stream_time(time)));
                    segment.set(rate, times[0], times[1]);
                }
                answered
            }
            _ => self.parent_src_query(query),
        }
    }

    /// Whether seeks are possible, and the stream time at which the stream ends, if it is known.
    pub fn seek_range(&self) -> (bool, Option<gst::ClockTime>) {
        let state = self.state();
        let (seekable, end) = match (&state.index, state.remote.ends()) {
            (Some(index), _) => (index.start(0, Snap::Before).is_some(), index.end()),
            (None, ends) => (ends.is_some(), ends.map(|ends| ends.end)),
        };
        let end = end.map(|end| state.clock.stream_time(gst::ClockTime::from_nseconds(end)));
        (seekable, end)
    }
}

fn set_not_seekable(seeking: &mut gst::query::Seeking, format: gst::Format) {
    let unknown = gst::GenericFormattedValue::new(format, -1);
    seeking.set(false, unknown, unknown);
}
