//! The times of video frames: those that buffers carry, and those that are counted from the framerate. Free of
//! GStreamer.

use std::fmt;

use crate::format::Fraction;
use crate::stream::MAX_TIME;
use crate::timeline::{FrameTime, frames_to_time, regular_offsets};

/// A frame's duration that differs from the framerate's by up to so many nanoseconds is the same, rounded.
const ROUNDING: u64 = 1_000;

/// Why a frame has no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockError {
    /// No PTS, and no framerate to count one from.
    Unknown,
    /// The end of a frame at `pts` is later than a stream can keep.
    TooLate { pts: u64, duration: u64 },
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str(
                "A frame has no timestamp, and there is no framerate to count one from: set one with videorate or caps",
            ),
            Self::TooLate { pts, duration } => write!(
                f,
                "A frame has the timestamp {pts} ns and lasts {duration} ns, and a stream keeps times up to {MAX_TIME} ns, 73 \
                 years: take timestamps from the stream's start, or let a live source make them (do-timestamp=true)"
            ),
        }
    }
}

/// Gives each frame of a playback segment its time.
#[derive(Debug, Default)]
pub struct FrameClock {
    /// What a missing PTS is counted from: the latest PTS that a buffer carried, else the start of the playback
    /// segment.
    base: u64,
    /// Frames since `base`.
    count: u64,
    framerate: Option<Fraction>,
    /// The latest frame that was encoded.
    last: Option<FrameTime>,
}

impl FrameClock {
    /// Begins anew at `start`, the start of a playback segment. Earlier frames do not count any more.
    pub fn restart(&mut self, start: u64) {
        (self.base, self.count, self.last) = (start, 0, None);
    }

    /// Counts on at another framerate.
    pub fn set_framerate(&mut self, framerate: Fraction) {
        let before = self.framerate.replace(framerate);
        if before != Some(framerate)
            && let Some(passed) = before.and_then(|before| frames_to_time(self.count, before))
        {
            (self.base, self.count) = (self.base.saturating_add(passed), 0);
        }
    }

    pub fn has_framerate(&self) -> bool {
        self.framerate.is_some_and(|framerate| framerate.num != 0)
    }

    /// The time of the next frame: its buffer's, or counted from the framerate. All times are in nanoseconds.
    ///
    /// `to_stream_time` gives the time that the stream keeps for a PTS.
    pub fn next(
        &mut self,
        pts: Option<u64>,
        duration: Option<u64>,
        to_stream_time: impl Fn(u64) -> u64,
    ) -> Result<FrameTime, ClockError> {
        let framerate = self.framerate.unwrap_or(Fraction::new(0, 1));
        let (base, count) = pts.map_or((self.base, self.count), |pts| (pts, 0));
        let pts = match pts {
            Some(pts) => pts,
            None => frames_to_time(count, framerate)
                .and_then(|passed| base.checked_add(passed))
                .ok_or(ClockError::Unknown)?,
        };
        let regular = || regular_offsets(pts, None, 2, framerate)?.pop();
        // A buffer's duration is the framerate's, rounded. On the framerate's grid, a file lasts as long as its frames.
        let duration = match (duration, regular()) {
            (Some(own), Some(regular)) if own.abs_diff(regular) <= ROUNDING => Some(regular),
            (own, regular) => own.or(regular),
        };
        let lasts = duration.unwrap_or(0);
        let ends_by = |start: u64, limit: u64| start.checked_add(lasts).is_some_and(|end| end <= limit);
        // The end of a frame must not overflow in GStreamer; what the stream keeps has a lower limit.
        if !ends_by(pts, i64::MAX as u64) || !ends_by(to_stream_time(pts), MAX_TIME) {
            return Err(ClockError::TooLate { pts, duration: lasts });
        }
        (self.base, self.count) = (base, count + 1);
        Ok(FrameTime { pts, duration })
    }

    /// The PTS of the latest frame, where a frame at `pts` is earlier.
    pub fn goes_back_from(&self, pts: u64) -> Option<u64> {
        self.last.map(|last| last.pts).filter(|last| pts < *last)
    }

    /// Notes the frame that is encoded. Returns the nanoseconds since the frame before it.
    pub fn encoded(&mut self, frame: FrameTime) -> Option<u64> {
        let last = self.last.replace(frame)?;
        frame.pts.checked_sub(last.pts).filter(|distance| *distance > 0)
    }

    /// The latest frame that was encoded since the clock began.
    pub fn last(&self) -> Option<FrameTime> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FPS25: Fraction = Fraction::new(25, 1);
    const MS: u64 = 1_000_000;

    fn clock(framerate: Fraction, start: u64) -> FrameClock {
        let mut clock = FrameClock::default();
        clock.restart(start);
        clock.set_framerate(framerate);
        clock
    }

    fn next(clock: &mut FrameClock, pts: Option<u64>) -> u64 {
        clock.next(pts, None, |pts| pts).unwrap().pts
    }

    #[test]
    fn missing_times_are_counted_from_the_latest_known_one() {
        let mut clock = clock(FPS25, 5_000 * MS);
        assert_eq!(next(&mut clock, None), 5_000 * MS);
        assert_eq!(next(&mut clock, None), 5_040 * MS);
        assert_eq!(next(&mut clock, Some(7_001 * MS)), 7_001 * MS);
        assert_eq!(next(&mut clock, None), 7_041 * MS);
    }

    #[test]
    fn the_count_goes_on_at_another_framerate() {
        let mut clock = clock(FPS25, 0);
        next(&mut clock, None);
        next(&mut clock, None);
        clock.set_framerate(FPS25);
        assert_eq!(next(&mut clock, None), 80 * MS);
        clock.set_framerate(Fraction::new(10, 1));
        assert_eq!(next(&mut clock, None), 120 * MS);
        assert_eq!(next(&mut clock, None), 220 * MS);
        // From no framerate: the latest time that a buffer carried, and a frame.
        clock.set_framerate(Fraction::new(0, 1));
        assert_eq!(next(&mut clock, Some(400 * MS)), 400 * MS);
        clock.set_framerate(FPS25);
        assert_eq!(next(&mut clock, None), 440 * MS);
    }

    #[test]
    fn without_a_framerate_a_missing_time_is_unknown() {
        let mut clock = clock(Fraction::new(0, 1), 0);
        assert_eq!(clock.next(None, None, |pts| pts), Err(ClockError::Unknown));
    }

    #[test]
    fn time_goes_back_where_a_frame_is_before_the_latest_of_all() {
        let mut clock = clock(FPS25, 0);
        for (pts, from) in [(0, None), (40, None), (40, None), (10, Some(40)), (50, None)] {
            let time = clock.next(Some(pts * MS), None, |pts| pts).unwrap();
            assert_eq!(clock.goes_back_from(time.pts), from.map(|ms| ms * MS), "{pts}");
            clock.encoded(time);
        }
        clock.restart(0);
        assert_eq!(clock.goes_back_from(0), None);
    }

    #[test]
    fn impossible_times_are_refused_and_unix_time_is_not() {
        let time = |pts, duration, shift: u64| clock(FPS25, 0).next(Some(pts), duration, |pts| pts - shift);
        let unix = 1_790_000_000_000_000_000;
        assert_eq!(time(unix, None, 0).map(|t| t.pts), Ok(unix));
        for (pts, duration) in [(MAX_TIME, 1), (0, MAX_TIME + 1), (u64::MAX - 1, 5), (5, u64::MAX - 1)] {
            let error = ClockError::TooLate { pts, duration };
            assert_eq!(time(pts, Some(duration), 0), Err(error));
            assert!(error.to_string().contains(&pts.to_string()));
        }
        // Beyond the limit by its own clock, and near the start in stream time.
        assert!(time(MAX_TIME + 7, Some(1), MAX_TIME).is_ok());
    }

    #[test]
    fn a_rounded_duration_is_the_framerates() {
        let mut clock = clock(Fraction::new(30, 1), 0);
        let time = clock.next(Some(33_333_333), Some(33_333_334), |pts| pts).unwrap();
        assert_eq!(time.duration, Some(33_333_333));
        let time = clock.next(None, Some(12 * MS), |pts| pts).unwrap();
        assert_eq!(time.duration, Some(12 * MS));
    }
}
