//! Which frames of a video are kept, where a model was trained on every Nth.

use crate::format::{FormatError, Fraction};

/// Keeps every Nth frame, from the first on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramePick {
    interval: u32,
    /// Frames that are left out before the next that is kept.
    wait: u32,
}

/// Every frame.
impl Default for FramePick {
    fn default() -> Self {
        Self::every(1)
    }
}

impl FramePick {
    /// `interval` 0 counts as 1: every frame.
    pub fn every(interval: u32) -> Self {
        Self {
            interval: interval.max(1),
            wait: 0,
        }
    }

    /// As VidTok reads a video of that framerate: every round(framerate / `sample_fps`)th frame, halves to even as in
    /// Python. Asked for a higher rate than the video has, VidTok's code fails or keeps all; here all are kept.
    pub fn sampled(framerate: Fraction, sample_fps: f64) -> Result<Self, FormatError> {
        if !(sample_fps.is_finite() && sample_fps > 0.0) {
            return Err(FormatError(format!(
                "sample-fps={sample_fps} is not a rate: give frames per second, more than 0"
            )));
        }
        if framerate.num == 0 || framerate.den == 0 {
            return Err(FormatError(format!(
                "sample-fps={sample_fps} needs a fixed framerate, and the video's is variable: put \
                 \"videorate ! video/x-raw,framerate=30/1\" in front, or set frame-interval instead"
            )));
        }
        let rate = f64::from(framerate.num) / f64::from(framerate.den);
        // The conversion ends at the largest number.
        Ok(Self::every((rate / sample_fps).round_ties_even() as u32))
    }

    pub fn interval(&self) -> u32 {
        self.interval
    }

    /// Whether the next frame is kept.
    pub fn keeps_next(&mut self) -> bool {
        let keeps = self.wait == 0;
        self.wait = if keeps { self.interval } else { self.wait } - 1;
        keeps
    }

    /// The next frame is a first one, and kept: after a flush or a seek.
    pub fn restart(&mut self) {
        self.wait = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pick: &mut FramePick, frames: u32) -> Vec<u32> {
        (0..frames).filter(|_| pick.keeps_next()).collect()
    }

    #[test]
    fn every_nth_frame_is_kept_from_the_first_on() {
        assert_eq!(kept(&mut FramePick::every(3), 8), [0, 3, 6]);
        assert_eq!(kept(&mut FramePick::every(1), 3), [0, 1, 2]);
        assert_eq!(kept(&mut FramePick::every(0), 3), [0, 1, 2]);
        assert_eq!(kept(&mut FramePick::every(u32::MAX), 5), [0]);
    }

    #[test]
    fn a_restart_keeps_the_next_frame() {
        let mut pick = FramePick::every(4);
        assert_eq!(kept(&mut pick, 2), [0]);
        pick.restart();
        assert_eq!(kept(&mut pick, 6), [0, 4]);
    }

    #[test]
    fn the_interval_is_rounded_as_python_does() {
        for (num, den, sample_fps, interval) in [
            (30, 1, 3.0, 10),
            (25, 1, 10.0, 2), // 2.5
            (35, 1, 10.0, 4), // 3.5
            (30_000, 1001, 30.0, 1),
            (30_000, 1001, 8.0, 4),
            (30, 1, 60.0, 1), // 0.5
            (30, 1, 100.0, 1),
            (24, 1, 0.5, 48),
            (i32::MAX as u32, 1, 1e-9, u32::MAX),
        ] {
            let pick = FramePick::sampled(Fraction::new(num, den), sample_fps).unwrap();
            assert_eq!(pick.interval(), interval, "{num}/{den} at {sample_fps}");
        }
    }

    #[test]
    fn errors_say_what_to_set() {
        let variable = FramePick::sampled(Fraction::new(0, 1), 8.0).unwrap_err().to_string();
        assert!(
            variable.contains("variable") && variable.contains("frame-interval"),
            "{variable}"
        );
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = FramePick::sampled(Fraction::new(30, 1), rate).unwrap_err().to_string();
            assert!(error.contains("more than 0"), "{error}");
        }
    }
}
