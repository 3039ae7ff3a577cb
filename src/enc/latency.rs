//! How long a frame may be in the encoder.

use gst::ClockTime;

use super::imp::VidtokEnc;
use crate::element::NetworkElement;
use crate::system::lock::lock;
use crate::timeline::FrameTime;

/// What the encoder's latency follows from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Frames that a step of the network takes.
    pub step_frames: u64,
    /// How long a frame lasts: from the framerate, or measured.
    pub frame: Option<ClockTime>,
    /// How long a step may wait for other streams.
    pub batch: ClockTime,
    /// What the pipeline has set for all of its elements.
    pub configured: Option<ClockTime>,
}

impl Latency {
    /// The latency that the element adds: a group to fill, as long again for the network, and waiting for other
    /// streams.
    pub fn own(&self) -> ClockTime {
        let frames = self
            .frame
            .map(|frame| frame.saturating_mul((2 * self.step_frames).saturating_sub(1)));
        frames.unwrap_or_default().saturating_add(self.batch)
    }

    /// Whether a GAP that ends at `end` leaves frames waiting for longer than the latency. `last`: the latest frame.
    pub fn is_exceeded_by_gap(&self, last: FrameTime, end: ClockTime) -> bool {
        let shown = last.duration.or(self.frame.map(ClockTime::nseconds)).unwrap_or(0);
        let waited = end.nseconds().saturating_sub(last.pts.saturating_add(shown));
        waited > self.own().nseconds()
    }
}

impl VidtokEnc {
    /// Without a framerate, takes the distance of two frames as a frame's duration.
    pub(super) fn measure_latency(&self, distance: Option<u64>) {
        let Some(distance) = distance.map(ClockTime::from_nseconds) else {
            return;
        };
        let was_unknown = {
            let latency = &mut lock(&self.shared).latency;
            let is_unknown = latency.frame.is_none();
            latency.frame.get_or_insert(distance);
            is_unknown
        };
        if was_unknown {
            self.post_latency();
        }
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
    fn a_gap_counts_from_the_end_of_the_latest_frame() {
        let last = FrameTime {
            pts: 1_000_000_000,
            duration: None,
        };
        let exceeded = |ms| latency().is_exceeded_by_gap(last, ClockTime::from_mseconds(ms));
        assert!(!exceeded(900) && !exceeded(1_040) && !exceeded(1_320) && exceeded(1_321));
    }
}
