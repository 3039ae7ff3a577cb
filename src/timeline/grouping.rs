//! How many video frames latent frames stand for, and which frames make a group.

use super::FrameTime;
use crate::format::TokenFormat;

/// How a tokenizer groups frames into latent frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// A segment's first latent frame stands for one frame, each later one for `factor`.
    Causal { factor: usize },
    /// Each window of `window` frames is a segment of `window / factor` latent frames.
    Windows { factor: usize, window: usize },
}

impl Grouping {
    /// Video frames that `latent_frames` latent frames in a row stand for, padding included: `factor` each. With
    /// `at_causal_start` the first of them starts a segment of a causal stream, and stands for one frame.
    pub fn frames_of(latent_frames: u64, factor: u64, at_causal_start: bool) -> u64 {
        let single = u64::from(at_causal_start).min(latent_frames);
        (latent_frames - single).saturating_mul(factor).saturating_add(single)
    }

    /// Video frames that one step of the encoder takes, and one of the decoder gives.
    pub fn step_frames(self) -> usize {
        match self {
            Self::Causal { factor } => factor,
            Self::Windows { window, .. } => window,
        }
    }

    /// Latent frames that one step of the encoder gives, and one of the decoder takes.
    pub fn step_latent_frames(self) -> usize {
        match self {
            Self::Causal { .. } => 1,
            Self::Windows { factor, window } => window / factor,
        }
    }

    /// Frames that a segment's first `steps` steps stand for, padding included.
    pub fn frames_in(self, steps: u64) -> u64 {
        let latent_frames = steps.saturating_mul(self.step_latent_frames() as u64);
        match self {
            Self::Causal { factor } => Self::frames_of(latent_frames, factor as u64, true),
            Self::Windows { factor, .. } => Self::frames_of(latent_frames, factor as u64, false),
        }
    }

    /// Steps of a segment of at least `frames` frames.
    fn steps_for(self, frames: u64) -> u64 {
        match self {
            Self::Causal { factor } => 1 + frames.saturating_sub(1).div_ceil(factor as u64),
            Self::Windows { window, .. } => frames.div_ceil(window as u64),
        }
    }
}

impl TokenFormat {
    /// Video frames that `latent_frames` latent frames in a row stand for, padding included. `segment_start`: the first
    /// of them starts a segment.
    pub fn frames_of(&self, latent_frames: u32, segment_start: bool) -> u64 {
        let at_causal_start = self.causal && segment_start;
        Grouping::frames_of(latent_frames.into(), self.time_factor.into(), at_causal_start)
    }
}

/// The frames of one step of the encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub segment_start: bool,
    /// It is the segment's last group.
    pub segment_end: bool,
    /// The real frames, at least one.
    pub frames: Vec<FrameTime>,
}

/// Cuts a stream of frames into groups and segments: the encoder's bookkeeping.
#[derive(Debug)]
pub struct Groups {
    grouping: Grouping,
    /// Groups of a full segment; `u64::MAX`: a segment ends only on request.
    segment_steps: u64,
    /// Full groups of the current segment.
    steps: u64,
    /// Frames of the current group, which is not full.
    open: Vec<FrameTime>,
    /// The segment ends with the current group.
    end_segment_after_group: bool,
}

impl Groups {
    /// `key_interval`: frames from one segment start to the next, rounded up to whole groups; 0: a segment ends only on
    /// request.
    pub fn new(grouping: Grouping, key_interval: u64) -> Self {
        let mut groups = Self {
            grouping,
            segment_steps: 0,
            steps: 0,
            open: Vec::new(),
            end_segment_after_group: false,
        };
        groups.set_key_interval(key_interval);
        groups
    }

    pub fn set_key_interval(&mut self, key_interval: u64) {
        self.segment_steps = match (self.grouping, key_interval) {
            (Grouping::Windows { .. }, _) => 1,
            (_, 0) => u64::MAX,
            (grouping, frames) => grouping.steps_for(frames),
        };
    }

    /// Frames of the current group when it is full.
    fn capacity(&self) -> usize {
        match self.grouping {
            Grouping::Causal { .. } if self.steps == 0 => 1,
            grouping => grouping.step_frames(),
        }
    }

    /// Frames in the current group.
    pub fn filled(&self) -> usize {
        self.open.len()
    }

    /// Adds a frame; returns the group that it completes.
    pub fn push(&mut self, frame: FrameTime) -> Option<Group> {
        self.open.push(frame);
        (self.open.len() >= self.capacity()).then(|| self.close(false))
    }

    /// Ends the segment; returns the current group, which then has fewer real frames than a full one.
    pub fn finish(&mut self) -> Option<Group> {
        let tail = (!self.open.is_empty()).then(|| self.close(true));
        self.steps = 0;
        self.end_segment_after_group = false;
        tail
    }

    /// Ends the segment once the current group is full; at once if it is empty.
    pub fn finish_after_group(&mut self) {
        if self.open.is_empty() {
            self.steps = 0;
        } else {
            self.end_segment_after_group = true;
        }
    }

    fn close(&mut self, end_segment: bool) -> Group {
        let segment_start = self.steps == 0;
        self.steps += 1;
        let segment_end = end_segment || self.end_segment_after_group || self.steps >= self.segment_steps;
        if segment_end {
            self.steps = 0;
            self.end_segment_after_group = false;
        }
        Group {
            segment_start,
            segment_end,
            frames: std::mem::take(&mut self.open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pts: u64) -> FrameTime {
        FrameTime {
            pts,
            duration: Some(10),
        }
    }

    #[test]
    fn latent_frames_stand_for_frames() {
        for (latent_frames, at_causal_start, frames) in [
            (0, false, 0),
            (0, true, 0),
            (1, true, 1),
            (1, false, 4),
            (3, true, 9),
            (3, false, 12),
            (u64::MAX, true, u64::MAX),
        ] {
            assert_eq!(Grouping::frames_of(latent_frames, 4, at_causal_start), frames);
        }
        assert_eq!(Grouping::Causal { factor: 4 }.frames_in(3), 9);
        assert_eq!(Grouping::Windows { factor: 4, window: 16 }.frames_in(3), 48);
        let causal = TokenFormat::toy(&[2], 1, 1);
        let windows = TokenFormat {
            causal: false,
            ..causal.clone()
        };
        let counts = |format: &TokenFormat| [true, false].map(|start| format.frames_of(3, start));
        assert_eq!((counts(&causal), counts(&windows)), ([9, 12], [12, 12]));
    }

    /// Sizes of the groups of `frames` frames, `s` before a segment's first.
    fn cut(grouping: Grouping, key_interval: u64, frames: u64) -> String {
        let mut groups = Groups::new(grouping, key_interval);
        let mut out: Vec<Group> = (0..frames).filter_map(|i| groups.push(at(i))).collect();
        out.extend(groups.finish());
        let show = |g: &Group| {
            let sign = |is: bool, sign| if is { sign } else { "" };
            format!(
                "{}{}{}",
                sign(g.segment_start, "s"),
                g.frames.len(),
                sign(g.segment_end, "e")
            )
        };
        out.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn groups_of_a_causal_stream() {
        let causal = Grouping::Causal { factor: 4 };
        assert_eq!(cut(causal, 0, 18), "s1 4 4 4 4 1e");
        assert_eq!(cut(causal, 0, 1), "s1");
        assert_eq!(cut(causal, 0, 0), "");
        assert_eq!(cut(causal, 1, 3), "s1e s1e s1e");
        assert_eq!(cut(causal, 2, 12), "s1 4e s1 4e s1 1e");
        assert_eq!(cut(causal, 5, 12), "s1 4e s1 4e s1 1e");
        assert_eq!(cut(causal, 6, 12), "s1 4 4e s1 2e");
        assert_eq!(cut(Grouping::Windows { factor: 4, window: 16 }, 0, 35), "s16e s16e s3e");
    }

    #[test]
    fn a_segment_can_end_at_once_or_after_the_group() {
        let mut groups = Groups::new(Grouping::Causal { factor: 4 }, 0);
        assert!(groups.push(at(0)).unwrap().segment_start);
        assert_eq!(groups.push(at(1)), None);
        groups.finish_after_group();
        assert!((2..4).all(|i| groups.push(at(i)).is_none()));
        let group = groups.push(at(4)).unwrap();
        assert_eq!(
            (group.segment_start, group.segment_end, group.frames.len()),
            (false, true, 4)
        );
        let next = groups.push(at(5)).unwrap();
        assert_eq!(
            (next.segment_start, next.segment_end, next.frames.len()),
            (true, false, 1)
        );
        groups.finish_after_group();
        assert!(groups.push(at(6)).unwrap().segment_start);
        groups.push(at(7));
        assert_eq!(groups.finish().unwrap().frames.len(), 1);
        assert!(groups.push(at(8)).unwrap().segment_start);
    }
}
