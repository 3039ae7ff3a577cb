//! Latency, lateness and pauses of live video.

use gst::ClockTime;

use crate::timeline::FrameTime;

/// How long a frame may be in the encoder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Frames that a step of the network waits for.
    pub step_frames: u64,
    /// The time of one: from the framerate, measured where there is none.
    pub frame: Option<ClockTime>,
    /// How long a step may wait for those of other streams.
    pub batch: ClockTime,
    /// What the pipeline has set for all of its elements.
    pub configured: Option<ClockTime>,
}

impl Latency {
    /// What the element adds: filling a group, as long again for the network, and waiting for other streams.
    pub fn own(&self) -> ClockTime {
        let frames = self
            .frame
            .map(|frame| frame.saturating_mul((2 * self.step_frames).saturating_sub(1)));
        frames.unwrap_or_default().saturating_add(self.batch)
    }

    /// How much later than its running time `due` a frame comes at `now`, where that is more than `max_lateness`
    /// nanoseconds beyond the latency. Negative: any lateness is allowed.
    ///
    /// The latency is the pipeline's, and no less than the element declares: for sinks that do not wait, such as one that
    /// writes a file, a pipeline sets none.
    pub fn lateness(&self, now: ClockTime, due: ClockTime, max_lateness: i64) -> Option<ClockTime> {
        let allowed = ClockTime::from_nseconds(u64::try_from(max_lateness).ok()?);
        let latency = self.configured.unwrap_or_default().max(self.own());
        let limit = due.saturating_add(latency).saturating_add(allowed);
        (now > limit).then(|| now - due)
    }

    /// Whether a GAP that ends at `end` leaves frames waiting for longer than the latency. `last`: the latest frame.
    pub fn is_exceeded_by_gap(&self, last: FrameTime, end: ClockTime) -> bool {
        let shown = last.duration.or(self.frame.map(ClockTime::nseconds)).unwrap_or(0);
        let waited = end.nseconds().saturating_sub(last.pts.saturating_add(shown));
        waited > self.own().nseconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency() -> Latency {
        Latency {
            step_frames: 4,
            frame: Some(ClockTime::from_mseconds(40)),
            ..Latency::default()
        }
    }

    #[test]
    fn a_group_fills_and_the_network_takes_as_long_again() {
        assert_eq!(latency().own().mseconds(), 7 * 40);
        let unknown = Latency {
            frame: None,
            batch: ClockTime::from_mseconds(5),
            ..latency()
        };
        assert_eq!(unknown.own().mseconds(), 5);
    }

    #[test]
    fn a_frame_is_late_behind_its_time_and_the_latency_and_what_is_allowed() {
        let ms = ClockTime::from_mseconds;
        let late = |configured, now, allowed: i64| {
            let latency = Latency {
                configured,
                ..latency()
            };
            latency.lateness(ms(now), ms(1_000), allowed * 1_000_000)
        };
        // Its own latency until the pipeline says more, and where no sink waits.
        for configured in [None, Some(ms(0))] {
            assert_eq!(late(configured, 1_280, 0), None);
            assert_eq!(late(configured, 1_281, 0), Some(ms(281)));
        }
        assert_eq!(late(Some(ms(500)), 1_500, 0), None);
        assert_eq!(late(Some(ms(500)), 1_520, 20), None);
        assert_eq!(late(Some(ms(500)), 1_521, 20), Some(ms(521)));
        let latency = latency();
        assert_eq!(latency.lateness(ms(99_000), ms(0), -1), None);
        assert_eq!(latency.lateness(ms(99_000), ms(0), i64::MAX), None);
    }

    #[test]
    fn a_gap_counts_from_the_end_of_the_latest_frame() {
        let last = FrameTime {
            pts: 1_000_000_000,
            duration: None,
        };
        let exceeded = |ms| latency().is_exceeded_by_gap(last, ClockTime::from_mseconds(ms));
        assert!(!exceeded(900) && !exceeded(1_040) && !exceeded(1_320) && exceeded(1_321));
    }
}
