//! Whether frames last as long as it is said of them. Free of GStreamer.

use crate::timeline::FrameTime;

/// How far apart what is said and what is true may be, in nanoseconds: containers round times to milliseconds.
const ROUNDING: u64 = 2_000_000;

/// What a stream has shown of its frames' durations.
///
/// A decoder says of each frame of a variable-rate video that it lasts as long as at the highest rate, or on average. Only
/// the next frame's PTS tells the truth then.
#[derive(Debug, Default)]
pub struct Durations {
    are_untrue: bool,
    /// Something is known to be missing between the latest frame and the next one.
    is_interrupted: bool,
}

impl Durations {
    /// Forgets what the frames so far have shown.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Frames are missing on purpose here, so that the next one's PTS tells nothing of the frame before.
    pub fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// Notes that a frame follows `before` after `distance` nanoseconds. `None`: it follows nothing.
    pub fn follow(&mut self, before: Option<FrameTime>, distance: Option<u64>) {
        if std::mem::take(&mut self.is_interrupted) {
            return;
        }
        let said = before.and_then(|before| before.duration);
        let differ = said
            .zip(distance)
            .is_some_and(|(said, distance)| said.abs_diff(distance) > ROUNDING);
        self.are_untrue |= differ;
    }

    /// Notes that caps say that the framerate is variable, while buffers have durations.
    pub fn are_of_variable_rate(&mut self) {
        self.are_untrue = true;
    }

    /// Whether a frame's duration is better taken from the next frame's PTS.
    pub fn are_untrue(&self) -> bool {
        self.are_untrue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A frame of which is said that it lasts 40 ms.
    const BEFORE: Option<FrameTime> = Some(FrameTime {
        pts: 500 * MS,
        duration: Some(40 * MS),
    });

    /// Whether durations are untrue where frames follow each other by `distances` in nanoseconds.
    fn are_untrue(distances: &[Option<u64>]) -> bool {
        let mut durations = Durations::default();
        distances
            .iter()
            .for_each(|distance| durations.follow(BEFORE, *distance));
        durations.are_untrue()
    }

    #[test]
    fn rounded_times_are_true() {
        assert!(!are_untrue(&[]));
        assert!(!are_untrue(&[None, Some(40 * MS), Some(38 * MS), Some(42 * MS)]));
        assert!(are_untrue(&[Some(38 * MS - 1)]));
        assert!(are_untrue(&[Some(42 * MS + 1)]));
        // The same PTS again.
        assert!(are_untrue(&[Some(0)]));
    }

    #[test]
    fn one_difference_counts_until_the_stream_begins_anew() {
        let mut durations = Durations::default();
        for distance in [40, 80, 40, 40] {
            durations.follow(BEFORE, Some(distance * MS));
        }
        assert!(durations.are_untrue());
        durations.restart();
        assert!(!durations.are_untrue());
    }

    #[test]
    fn what_is_not_said_is_not_untrue() {
        let mut durations = Durations::default();
        let unknown = BEFORE.map(|frame| FrameTime {
            duration: None,
            ..frame
        });
        durations.follow(unknown, Some(40 * MS));
        durations.follow(None, Some(40 * MS));
        assert!(!durations.are_untrue());
        durations.are_of_variable_rate();
        assert!(durations.are_untrue());
    }

    #[test]
    fn the_frame_behind_an_interruption_tells_nothing() {
        let mut durations = Durations::default();
        durations.interrupt();
        durations.follow(BEFORE, Some(900 * MS));
        assert!(!durations.are_untrue());
        durations.follow(BEFORE, Some(900 * MS));
        assert!(durations.are_untrue());
    }
}
