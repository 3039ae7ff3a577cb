//! Frames of live video that come too late, and are dropped.

use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::VidtokEnc;
use crate::element::NetworkElement;
use crate::element::qos::Late;
use crate::system::lock::lock;

/// How much later than its running time `due` a frame comes at `now`, where that is more than `max_lateness`
/// nanoseconds beyond the latency. Negative: any lateness is allowed.
///
/// `latency`: the pipeline's, and no less than the element declares.
pub fn lateness(latency: ClockTime, now: ClockTime, due: ClockTime, max_lateness: i64) -> Option<ClockTime> {
    let allowed = ClockTime::from_nseconds(u64::try_from(max_lateness).ok()?);
    let limit = due.saturating_add(latency).saturating_add(allowed);
    (now > limit).then(|| now - due)
}

impl VidtokEnc {
    /// Counts and reports a frame that is dropped.
    pub(super) fn report_late(&self, buffer: &gst::BufferRef, due: ClockTime, lateness: ClockTime) {
        let (processed, dropped) = {
            let mut stats = lock(&self.network().stats);
            stats.dropped += 1;
            (stats.frames, stats.dropped)
        };
        let late = Late {
            running_time: Some(due),
            stream_time: None,
            pts: buffer.pts(),
            duration: buffer.duration(),
            lateness,
            proportion: 0.0,
        };
        late.report(self.obj().upcast_ref(), processed, dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_late_behind_its_time_latency_and_allowance() {
        let ms = ClockTime::from_mseconds;
        let late = |now, allowed: i64| lateness(ms(280), ms(now), ms(1_000), allowed * 1_000_000);
        assert_eq!(late(1_280, 0), None);
        assert_eq!(late(1_281, 0), Some(ms(281)));
        assert_eq!(late(1_300, 20), None);
        assert_eq!(late(1_301, 20), Some(ms(301)));
        assert_eq!(lateness(ms(280), ms(99_000), ms(0), -1), None);
        assert_eq!(lateness(ms(280), ms(99_000), ms(0), i64::MAX), None);
    }
}
