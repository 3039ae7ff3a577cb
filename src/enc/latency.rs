//! What the encoder's latency means for frames: when they are late, and when a pause is too long.

use gst::ClockTime;

use super::imp::VidtokEnc;
use crate::element::{ElementLatency, NetworkElement};
use crate::system::lock::lock;
use crate::timeline::FrameTime;

/// Whether a GAP that ends at `end` leaves frames waiting for longer than `latency`. `last`: the latest frame. `frame`:
/// how long a frame lasts, where it does not say so itself.
pub fn is_exceeded_by_gap(latency: ClockTime, frame: Option<ClockTime>, last: FrameTime, end: ClockTime) -> bool {
    let shown = last.duration.or(frame.map(ClockTime::nseconds)).unwrap_or(0);
    let waited = end.nseconds().saturating_sub(last.pts.saturating_add(shown));
    waited > latency.nseconds()
}

impl VidtokEnc {
    /// The pipeline's latency, and no less than what is declared up to this element, `upstream` in front of it: for
    /// sinks that do not wait, such as one that writes a file, a pipeline sets none.
    pub(super) fn allowed_latency(&self, upstream: ClockTime) -> ClockTime {
        let configured = lock(&self.shared).configured_latency;
        let declared = upstream.saturating_add(self.latency());
        configured.unwrap_or_default().max(declared)
    }

    /// Whether a GAP until `end` is longer than what the element declares at most: how fast this machine is must not
    /// change where a segment ends. `last`: the latest frame.
    pub(super) fn gap_is_long(&self, last: FrameTime, end: ClockTime) -> bool {
        let (longest, frame) = {
            let latency = lock(&self.network().latency);
            (latency.longest(), latency.frame)
        };
        is_exceeded_by_gap(longest, frame, last, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_from_the_end_of_the_latest_frame() {
        let ms = ClockTime::from_mseconds;
        let last = FrameTime {
            pts: 1_000_000_000,
            duration: None,
        };
        let exceeded = |end, last| is_exceeded_by_gap(ms(280), Some(ms(40)), last, ms(end));
        for end in [900, 1_040, 1_320] {
            assert!(!exceeded(end, last), "{end}");
        }
        assert!(exceeded(1_321, last));
        let longer = FrameTime {
            duration: Some(100_000_000),
            ..last
        };
        assert!(!exceeded(1_380, longer) && exceeded(1_381, longer));
    }
}
