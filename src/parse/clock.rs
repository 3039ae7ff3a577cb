//! The times of the parser's buffers, segments and answers to queries.

use super::timeline::shifted;

/// PTS stay as they are in the stream. Playback starts at the first PTS, which is stream time 0.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The first PTS in nanoseconds; `None` until it is known, and if upstream's segment is in time.
    pub origin: Option<u64>,
    /// The base class has done a seek, so its segment has the right start.
    pub sought: bool,
    /// Upstream's PTS minus the packet's own, for the last packet that has both.
    anchor: Option<i64>,
    /// The last segment that was adjusted, before and after: the base class may send the event again.
    sent: Option<(
        gst::FormattedSegment<gst::ClockTime>,
        gst::FormattedSegment<gst::ClockTime>,
    )>,
}

impl Clock {
    /// The PTS of a packet, from upstream's timestamp if there is one. A packet without one has the same offset from
    /// its own PTS as the last packet that had one. All in nanoseconds.
    pub fn upstream(&mut self, upstream: Option<u64>, own: Option<u64>) -> Option<u64> {
        match (upstream, own) {
            (Some(upstream), Some(own)) => {
                self.anchor = Some((upstream as i64).wrapping_sub(own as i64));
                Some(upstream)
            }
            (Some(upstream), None) => Some(upstream),
            (None, own) => own.map(|own| shifted(own, self.anchor.unwrap_or(0))),
        }
    }

    /// Forgets the offset to upstream's PTS, for a new segment from upstream.
    pub fn new_segment(&mut self) {
        self.anchor = None;
    }

    /// Adjusts the base class's segment for downstream. `first`: PTS of the next buffer, in nanoseconds.
    pub fn segment(
        &mut self,
        segment: &gst::FormattedSegment<gst::ClockTime>,
        first: Option<u64>,
    ) -> gst::FormattedSegment<gst::ClockTime> {
        if let Some((_, sent)) = self.sent.as_ref().filter(|(before, _)| before == segment) {
            return sent.clone();
        }
        let Some(origin) = self.origin.map(gst::ClockTime::from_nseconds) else {
            return segment.clone();
        };
        let mut changed = segment.clone();
        let start = match (self.sought, first) {
            (true, _) => segment.start().unwrap_or_default().max(origin),
            (false, Some(first)) => gst::ClockTime::from_nseconds(first).max(origin),
            (false, None) => origin,
        };
        changed.set_start(start);
        changed.set_time(start - origin);
        changed.set_position(start);
        self.sent = Some((segment.clone(), changed.clone()));
        changed
    }

    /// The stream time of a PTS.
    pub fn stream_time(&self, time: gst::ClockTime) -> gst::ClockTime {
        time.saturating_sub(gst::ClockTime::from_nseconds(self.origin.unwrap_or(0)))
    }

    /// The PTS at a stream time.
    pub fn pts(&self, time: gst::ClockTime) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(shifted(time.nseconds(), self.origin.unwrap_or(0) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_pts_is_used_and_continued() {
        let mut clock = Clock::default();
        assert_eq!(clock.upstream(None, Some(7)), Some(7));
        assert_eq!(clock.upstream(Some(1000), Some(0)), Some(1000));
        assert_eq!(clock.upstream(None, Some(40)), Some(1040));
        assert_eq!(clock.upstream(Some(1100), None), Some(1100));
        assert_eq!(clock.upstream(Some(20), Some(120)), Some(20));
        assert_eq!(clock.upstream(None, Some(160)), Some(60));
        assert_eq!(clock.upstream(None, None), None);
    }

    #[test]
    fn a_segment_starts_at_the_first_packet_and_seeks_count_from_there() {
        gst::init().unwrap();
        let at = gst::ClockTime::from_mseconds;
        let mut clock = Clock {
            origin: Some(at(8000).nseconds()),
            ..Clock::default()
        };
        let mut base = gst::FormattedSegment::<gst::ClockTime>::new();
        let first = clock.segment(&base, Some(at(8000).nseconds()));
        assert_eq!((first.start(), first.time()), (Some(at(8000)), Some(at(0))));
        // The same event again, at a later buffer.
        assert_eq!(clock.segment(&base, Some(at(8400).nseconds())), first);
        clock.sought = true;
        base.set_start(at(8700));
        base.set_time(at(8700));
        let sought = clock.segment(&base, Some(at(8500).nseconds()));
        assert_eq!((sought.start(), sought.time()), (Some(at(8700)), Some(at(700))));
        assert_eq!((clock.stream_time(at(8900)), clock.pts(at(900))), (at(900), at(8900)));
    }
}
