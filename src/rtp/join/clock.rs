//! When the frames of a unit are shown, by its timestamp and the framerate.

use crate::format::{Fraction, TokenFormat};
use crate::rtp::nanos;
use crate::timeline::{frames_to_time, time_to_frames};

/// The times of a unit's frames in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitTimes {
    pub pts: Option<u64>,
    /// To the end of the last frame.
    pub duration: Option<u64>,
    /// From `pts` to each frame but the first; `None`: on the framerate's grid.
    pub offsets: Option<Vec<u64>>,
}

/// Where the unit in front ended, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// When its last frame begins.
    pub last_frame: u64,
    pub end: u64,
}

/// Nanoseconds by which a unit may begin before the end of the one before it, and still be of the same timeline.
const MAX_OVERLAP: u64 = 1_000_000_000;

/// Tells times by a format's framerate.
#[derive(Debug)]
pub struct UnitClock {
    framerate: Fraction,
}

impl UnitClock {
    pub fn new(format: &TokenFormat) -> Self {
        Self {
            framerate: format.framerate,
        }
    }

    /// The times of a unit of `frames` real frames. `ticks`: the offsets of its packets.
    pub fn times(&self, pts: Option<u64>, frames: u32, ticks: Option<&[u32]>) -> UnitTimes {
        let Some((end, offsets)) = ticks.and_then(|ticks| ticks.split_last()) else {
            let duration = frames_to_time(frames.into(), self.framerate);
            return UnitTimes {
                pts,
                duration,
                offsets: None,
            };
        };
        UnitTimes {
            pts,
            duration: Some(nanos(*end)),
            offsets: Some(offsets.iter().map(|ticks| nanos(*ticks)).collect()),
        }
    }

    /// The times of a unit of `frames` real frames behind one that ends at `before.end`. Where it begins no later than the
    /// last frame of that one, as the jitter buffer moves its times to those of arrival, its frames share what is left of
    /// its time: time does not go back, and what follows is not delayed.
    pub fn behind(&self, before: Option<Before>, times: UnitTimes, frames: u32) -> UnitTimes {
        let (Some(before), Some(pts), Some(duration)) = (before, times.pts, times.duration) else {
            return times;
        };
        // Times of another timeline begin anew.
        let overlap = before.end.saturating_sub(pts);
        if pts > before.last_frame || overlap > MAX_OVERLAP {
            return times;
        }
        let span = duration.saturating_sub(overlap);
        let time = |frame: u32| (u128::from(frame) * u128::from(span) / u128::from(frames.max(1))) as u64;
        UnitTimes {
            pts: Some(before.end),
            duration: Some(span),
            offsets: Some((1..frames).map(time).collect()),
        }
    }

    /// The times of units that are missing between `end` and `next`; of each, how many frames it has. On the framerate's
    /// grid, or evenly between the two where that does not lead to `next`. `None` where there is no time between.
    pub fn spread(&self, end: Option<u64>, next: Option<u64>, units: &[u64]) -> Option<Vec<UnitTimes>> {
        let frames: u64 = units.iter().sum();
        let regular = frames_to_time(frames, self.framerate);
        let (Some(end), Some(next)) = (end, next) else {
            return Some(vec![UnitTimes::default(); units.len()]);
        };
        let span = next.checked_sub(end).filter(|span| *span > 0)?;
        let is_on_grid = regular.is_some_and(|regular| regular.abs_diff(span) <= self.half_a_frame());
        let time = |frame: u64| {
            let even = (u128::from(frame) * u128::from(span) / u128::from(frames)) as u64;
            match is_on_grid {
                true => frames_to_time(frame, self.framerate).unwrap_or(even),
                false => even,
            }
        };
        let mut first = 0;
        let times = units.iter().map(|count| {
            let start = time(first);
            let offsets = (first + 1..first + count).map(|frame| time(frame) - start);
            let times = UnitTimes {
                pts: end.checked_add(start),
                duration: Some(time(first + count) - start),
                offsets: (!is_on_grid).then(|| offsets.collect()),
            };
            first += count;
            times
        });
        Some(times.collect())
    }

    /// How many frames are missing between `end` and `next`, rounded; `None` without a framerate, or a time.
    pub fn frames_between(&self, end: Option<u64>, next: Option<u64>) -> Option<u64> {
        time_to_frames(next?.saturating_sub(end?), self.framerate)
    }

    fn half_a_frame(&self) -> u64 {
        frames_to_time(1, self.framerate).unwrap_or_default() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A unit of four frames of 40 ms at `pts`, behind one whose last frame lasts from 1.96 to 2 s. All in milliseconds.
    fn behind(pts: u64, ticks: Option<&[u32]>) -> (u64, u64, Option<Vec<u64>>) {
        let clock = UnitClock {
            framerate: Fraction::new(25, 1),
        };
        let times = clock.times(Some(pts * MS), 4, ticks);
        let before = Before {
            last_frame: 1_960 * MS,
            end: 2_000 * MS,
        };
        let times = clock.behind(Some(before), times, 4);
        let offsets = times
            .offsets
            .map(|offsets| offsets.iter().map(|offset| offset / MS).collect());
        (times.pts.unwrap() / MS, times.duration.unwrap() / MS, offsets)
    }

    #[test]
    fn a_unit_that_begins_too_early_shares_what_is_left_of_its_time() {
        // 160 ms from 1.92 s on: 80 ms are left.
        assert_eq!(behind(1_920, None), (2_000, 80, Some(vec![20, 40, 60])));
        let ticks = [3_600, 7_200, 10_800, 14_400];
        assert_eq!(behind(1_920, Some(&ticks)), (2_000, 80, Some(vec![20, 40, 60])));
        assert_eq!(behind(1_960, None), (2_000, 120, Some(vec![30, 60, 90])));
        // Nothing is left.
        assert_eq!(behind(1_500, None), (2_000, 0, Some(vec![0, 0, 0])));
    }

    #[test]
    fn a_unit_in_time_or_of_another_timeline_keeps_its_times() {
        for pts in [0, 999, 1_961, 2_000, 2_500] {
            assert_eq!(behind(pts, None), (pts, 160, None));
        }
    }
}
