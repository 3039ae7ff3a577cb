//! When the frames of a packet are shown. Times are nanoseconds.

use crate::format::Fraction;

/// When a video frame is shown, and for how long if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTime {
    pub pts: u64,
    pub duration: Option<u64>,
}

impl FrameTime {
    fn end(&self) -> Option<u64> {
        self.pts.checked_add(self.duration?)
    }
}

/// `frames`, `shift` nanoseconds later; `None` if one of them would be before zero.
pub(crate) fn shifted(frames: &[FrameTime], shift: i64) -> Option<Vec<FrameTime>> {
    frames
        .iter()
        .map(|frame| {
            Some(FrameTime {
                pts: frame.pts.checked_add_signed(shift)?,
                ..*frame
            })
        })
        .collect()
}

/// `floor(frames · den / num)` seconds in nanoseconds: sums of rounded durations would drift. `None` without a
/// framerate.
pub fn frames_to_time(frames: u64, framerate: Fraction) -> Option<u64> {
    let time = u128::from(frames) * u128::from(framerate.den) * NANOS / u128::from(non_zero(framerate.num)?);
    u64::try_from(time).ok()
}

/// How many frames last `time` nanoseconds together, rounded. `None` without a framerate, or where they are too many to
/// be counted.
pub(crate) fn time_to_frames(time: u64, framerate: Fraction) -> Option<u64> {
    let second = u128::from(framerate.den) * NANOS;
    let frames = (u128::from(time) * u128::from(non_zero(framerate.num)?) + second / 2) / second;
    u64::try_from(frames).ok()
}

const NANOS: u128 = 1_000_000_000;

fn non_zero(value: u32) -> Option<u32> {
    (value != 0).then_some(value)
}

/// The number of the first frame of the framerate's grid that is not before `pts`.
fn frame_at_or_after(pts: u64, framerate: Fraction) -> Option<u64> {
    let frames = (u128::from(pts) * u128::from(framerate.num)).div_ceil(u128::from(framerate.den) * NANOS);
    non_zero(framerate.num)?;
    u64::try_from(frames).ok()
}

/// The times of a packet's real frames, as the packet has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketTimes {
    pub pts: u64,
    /// Time from the first frame's PTS to the last one's end.
    pub duration: Option<u64>,
    /// Time from `pts` to each frame but the first; `None`: they are regular, on the framerate's grid or
    /// evenly spaced.
    pub offsets: Option<Vec<u64>>,
}

impl PacketTimes {
    /// The times of `frames`, which are not empty and do not go back in time.
    pub fn of(frames: &[FrameTime], framerate: Fraction) -> Self {
        let pts = frames[0].pts;
        let last = frames[frames.len() - 1];
        let duration = last.end().map(|end| end - pts);
        let offsets: Vec<u64> = frames[1..].iter().map(|frame| frame.pts - pts).collect();
        let regular = regular_offsets(pts, duration, frames.len(), framerate);
        Self {
            pts,
            duration,
            offsets: (regular.as_ref() != Some(&offsets)).then_some(offsets),
        }
    }

    /// The time of each of `real` frames: each lasts until the next, the last one until the packet's end.
    ///
    /// `None` if the times are neither written nor regular, or do not fit.
    pub fn frames(&self, real: usize, framerate: Fraction) -> Option<Vec<FrameTime>> {
        if real == 0 {
            return Some(Vec::new());
        }
        let regular = || regular_offsets(self.pts, self.duration, real, framerate);
        let offsets = self
            .offsets
            .clone()
            .or_else(regular)
            .filter(|offsets| offsets.len() == real - 1)?;
        let starts = std::iter::once(Some(self.pts)).chain(offsets.iter().map(|o| self.pts.checked_add(*o)));
        let starts = starts.collect::<Option<Vec<u64>>>()?;
        let end = self.duration.and_then(|duration| self.pts.checked_add(duration));
        let ends = starts[1..].iter().copied().map(Some).chain([end]);
        let frame = |(&pts, end): (&u64, Option<u64>)| FrameTime {
            pts,
            duration: end.and_then(|e| e.checked_sub(pts)),
        };
        Some(starts.iter().zip(ends).map(frame).collect())
    }
}

/// The offsets of the frames after a packet's first one if the packet has none: on the framerate's grid, counted from the
/// first grid point at or after `pts`; without a framerate, evenly over `duration`.
pub(crate) fn regular_offsets(pts: u64, duration: Option<u64>, frames: usize, framerate: Fraction) -> Option<Vec<u64>> {
    let count = frames as u64;
    if let Some(first) = frame_at_or_after(pts, framerate) {
        let base = frames_to_time(first, framerate)?;
        (1..count)
            .map(|i| frames_to_time(first.checked_add(i)?, framerate)?.checked_sub(base))
            .collect()
    } else if count <= 1 {
        Some(Vec::new())
    } else {
        let duration = u128::from(duration?);
        Some(
            (1..count)
                .map(|i| (u128::from(i) * duration / u128::from(count)) as u64)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FPS30: Fraction = Fraction::new(30, 1);
    const NTSC: Fraction = Fraction::new(30000, 1001);
    const IRREGULAR: Fraction = Fraction::new(0, 1);

    fn at(pts: u64) -> FrameTime {
        FrameTime {
            pts,
            duration: Some(10),
        }
    }

    fn grid(from: u64, count: u64, framerate: Fraction) -> Vec<FrameTime> {
        let time = |k| frames_to_time(k, framerate).unwrap();
        (from..from + count)
            .map(|k| FrameTime {
                pts: time(k),
                duration: Some(time(k + 1) - time(k)),
            })
            .collect()
    }

    #[test]
    fn frame_numbers_become_times_without_drift() {
        assert_eq!(frames_to_time(30, FPS30), Some(1_000_000_000));
        assert_eq!(frames_to_time(2, FPS30), Some(66_666_666));
        assert_eq!(frames_to_time(30_000 * 1000, NTSC), Some(1_001_000_000_000_000));
        assert_eq!(frames_to_time(1, IRREGULAR), None);
        assert_eq!(frames_to_time(u64::MAX, Fraction::new(1, 1000)), None);
    }

    #[test]
    fn times_become_the_nearest_number_of_frames() {
        for (time, framerate, frames) in [
            (0, FPS30, Some(0)),
            (16_666_666, FPS30, Some(0)),
            (16_666_667, FPS30, Some(1)),
            (66_666_666, FPS30, Some(2)),
            (1_001_000_000_000_000, NTSC, Some(30_000_000)),
            (1_000_000_000, IRREGULAR, None),
            // A frame in each nanosecond, and more.
            (u64::MAX, Fraction::new(1_000_000_000, 1), Some(u64::MAX)),
            (u64::MAX, Fraction::new(1_000_000_001, 1), None),
        ] {
            assert_eq!(time_to_frames(time, framerate), frames, "{time} at {framerate}");
        }
    }

    #[test]
    fn frames_on_the_grid_need_no_offsets() {
        for framerate in [FPS30, NTSC, Fraction::new(24, 1), Fraction::new(1, 3)] {
            for from in [0, 1, 5, 1_000_001] {
                let frames = grid(from, 4, framerate);
                let times = PacketTimes::of(&frames, framerate);
                assert_eq!(times.offsets, None, "{framerate} from {from}");
                assert_eq!(times.frames(4, framerate), Some(frames));
            }
        }
    }

    #[test]
    fn irregular_frames_keep_their_times() {
        let frames = [at(7), at(7), at(1_000_000_007), at(5_000_000_000_000)];
        for framerate in [FPS30, IRREGULAR] {
            let times = PacketTimes::of(&frames, framerate);
            assert!(times.offsets.is_some());
            let back: Vec<u64> = times.frames(4, framerate).unwrap().iter().map(|f| f.pts).collect();
            assert_eq!(back, [7, 7, 1_000_000_007, 5_000_000_000_000]);
        }
    }

    #[test]
    fn without_a_framerate_frames_spread_over_the_duration() {
        let times = PacketTimes {
            pts: 100,
            duration: Some(10),
            offsets: None,
        };
        let pts = |real| {
            times
                .frames(real, IRREGULAR)
                .map(|f| f.iter().map(|f| f.pts).collect::<Vec<_>>())
        };
        assert_eq!(pts(4), Some(vec![100, 102, 105, 107]));
        assert_eq!(pts(1), Some(vec![100]));
        assert_eq!(pts(0), Some(vec![]));
        let unknown = PacketTimes {
            duration: None,
            ..times
        };
        assert_eq!(unknown.frames(2, IRREGULAR), None);
    }

    #[test]
    fn hostile_times_do_not_overflow() {
        let times = PacketTimes {
            pts: u64::MAX - 1,
            duration: Some(u64::MAX),
            offsets: Some(vec![5]),
        };
        assert_eq!(times.frames(2, FPS30), None);
        let times = PacketTimes {
            pts: u64::MAX - 1,
            duration: None,
            offsets: None,
        };
        assert_eq!(times.frames(3, Fraction::new(1, u32::MAX)), None);
    }
}
