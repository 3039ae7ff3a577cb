//! What of a decoder's output is shown, and when.

use std::collections::VecDeque;

use super::{FrameTime, Grouping};

/// A step of the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// It starts a segment: the network's state does not count.
    pub first: bool,
    /// The look-ahead is clamped: the latent frame before this step's must not be mixed with this step's. True for a
    /// segment's second step, as its first latent frame is decoded alone, and for the flush after its last, which runs
    /// on the tokens of the step before.
    pub edge: bool,
    /// The frames to show: index in the step's output, and time.
    pub shown: Vec<(usize, FrameTime)>,
}

/// Tells which frames of each decoder step are shown, and when: the decoder's bookkeeping for one segment.
#[derive(Debug)]
pub struct Presentation {
    grouping: Grouping,
    steps: u64,
    latent_frames: u64,
    /// Frames at the start of the second step's output that belong to no latent frame.
    to_drop: usize,
    /// A place for every frame that latent frames so far stand for; `None`: padding behind the real ones.
    places: VecDeque<Option<FrameTime>>,
    /// Real frames among the places.
    real_frames: usize,
}

impl Presentation {
    /// `delay`: how many frames late the decoder's output is, from a segment's second step on.
    pub fn new(grouping: Grouping, delay: usize) -> Self {
        Self {
            grouping,
            steps: 0,
            latent_frames: 0,
            to_drop: delay,
            places: VecDeque::new(),
            real_frames: 0,
        }
    }

    /// The same for the rest of a segment whose start is missing: what comes is neither its first step nor its second.
    pub fn without_start(grouping: Grouping, delay: usize) -> Self {
        Self {
            steps: 2,
            // Two steps' worth, so that each latent frame to come stands for as many frames as any other.
            latent_frames: 2 * grouping.step_latent_frames() as u64,
            ..Self::new(grouping, delay)
        }
    }

    /// Frames that the segment's next `latent_frames` latent frames stand for at most.
    pub fn capacity(&self, latent_frames: u64) -> u64 {
        let step = self.grouping.step_latent_frames() as u64;
        let frames = |latent_frames: u64| self.grouping.frames_in(latent_frames / step);
        frames(self.latent_frames + latent_frames) - frames(self.latent_frames)
    }

    /// Adds a packet: `frames.len()` real frames in `latent_frames` latent frames, at most their [`Self::capacity`].
    pub fn push(&mut self, latent_frames: u64, frames: impl IntoIterator<Item = FrameTime>) {
        let before = self.places.len();
        let capacity = self.capacity(latent_frames) as usize;
        self.places.extend(frames.into_iter().map(Some).take(capacity));
        self.real_frames += self.places.len() - before;
        self.places.resize(before + capacity, None);
        self.latent_frames += latent_frames;
    }

    /// Takes the segment's next step: how to run it, and what of its output to show.
    pub fn step(&mut self) -> Step {
        let latent_frames = self.steps * self.grouping.step_latent_frames() as u64;
        let (first, second) = (self.steps == 0, self.steps == 1);
        let is_flush = latent_frames >= self.latent_frames;
        let shown = self.take_shown();
        self.real_frames -= shown.len();
        self.steps += 1;
        Step {
            first,
            edge: second || is_flush,
            shown,
        }
    }

    fn take_shown(&mut self) -> Vec<(usize, FrameTime)> {
        let frames = self.grouping.step_frames();
        let mut shown = Vec::with_capacity(frames);
        if self.steps == 0 && matches!(self.grouping, Grouping::Causal { .. }) {
            // One latent frame, one frame: all of the output is equal, or only its last is real.
            shown.extend(self.places.pop_front().flatten().map(|time| (frames - 1, time)));
            return shown;
        }
        for index in 0..frames {
            if self.to_drop > 0 {
                self.to_drop -= 1;
            } else if let Some(Some(time)) = self.places.pop_front() {
                shown.push((index, time));
            }
        }
        shown
    }

    /// Whether real frames are left to show: a step before the last of them is needed, if only for the state it leaves.
    pub fn has_frames_left(&self) -> bool {
        self.real_frames > 0
    }

    /// Whether real frames are left that only a flush step shows. Call after all steps of the segment.
    pub fn needs_flush(&self) -> bool {
        self.steps > 0 && self.has_frames_left()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Group, Groups};

    fn at(pts: u64) -> FrameTime {
        FrameTime {
            pts,
            duration: Some(10),
        }
    }

    /// Encodes and decodes `count` frames on paper: every frame shown once, in order, and from which output frame.
    fn present(grouping: Grouping, delay: usize, count: u64) -> Vec<(u64, usize, u64)> {
        let mut groups = Groups::new(grouping, 0);
        let mut all: Vec<Group> = (0..count).filter_map(|i| groups.push(at(i))).collect();
        all.extend(groups.finish());
        let mut presentation = None;
        let mut shown = Vec::new();
        let mut step = 0;
        let mut show = |p: &mut Presentation, step| shown.extend(p.step().shown.iter().map(|(i, t)| (step, *i, t.pts)));
        for group in all {
            if group.segment_start {
                presentation = Some(Presentation::new(grouping, delay));
            }
            let p = presentation.as_mut().unwrap();
            p.push(grouping.step_latent_frames() as u64, group.frames);
            show(p, step);
            step += 1;
        }
        let p = presentation.as_mut().unwrap();
        if p.needs_flush() {
            show(p, step);
        }
        assert!(!p.needs_flush());
        shown
    }

    #[test]
    fn every_frame_is_shown_once_and_in_order() {
        for grouping in [2, 4, 8].map(|factor| Grouping::Causal { factor }) {
            for delay in [0, grouping.step_frames() - 1] {
                for count in 1..=40 {
                    let pts: Vec<u64> = present(grouping, delay, count).iter().map(|s| s.2).collect();
                    assert_eq!(
                        pts,
                        (0..count).collect::<Vec<_>>(),
                        "{grouping:?}, delay {delay}, {count} frames"
                    );
                }
            }
        }
        for count in 1..=40 {
            let pts: Vec<u64> = present(Grouping::Windows { factor: 4, window: 16 }, 0, count)
                .iter()
                .map(|s| s.2)
                .collect();
            assert_eq!(pts, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_delayed_decoder_shows_one_frame_in_each_of_the_first_two_steps() {
        let causal = Grouping::Causal { factor: 4 };
        let steps = |delay, count| {
            present(causal, delay, count)
                .iter()
                .map(|s| (s.0, s.1))
                .collect::<Vec<_>>()
        };
        assert_eq!(steps(0, 6), [(0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]);
        // Six frames are groups 1, 4, 1: the flush after three steps is not needed for a single real frame.
        assert_eq!(steps(3, 6), [(0, 3), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]);
        assert_eq!(steps(3, 5), [(0, 3), (1, 3), (2, 0), (2, 1), (2, 2)]);
        assert_eq!(steps(3, 1), [(0, 3)]);
        assert_eq!(steps(3, 2), [(0, 3), (1, 3)]);
    }

    #[test]
    fn steps_behind_the_last_real_frame_are_not_needed() {
        for (delay, real, needed) in [
            (0, 1, 1),
            (0, 2, 2),
            (0, 5, 2),
            (0, 6, 3),
            (3, 1, 1),
            (3, 2, 2),
            (3, 3, 3),
            (3, 6, 3),
        ] {
            let mut presentation = Presentation::new(Grouping::Causal { factor: 4 }, delay);
            presentation.push(1000, (0..real).map(at));
            let mut steps = 0;
            while presentation.has_frames_left() {
                presentation.step();
                steps += 1;
            }
            assert_eq!(steps, needed, "{real} frames, delay {delay}");
        }
    }

    #[test]
    fn the_rest_of_a_segment_shows_every_frame() {
        let grouping = Grouping::Causal { factor: 4 };
        for (delay, expected) in [(0, [vec![0, 1, 2, 3], vec![4, 5]]), (3, [vec![0], vec![1, 2, 3, 4]])] {
            let mut presentation = Presentation::without_start(grouping, delay);
            presentation.push(1, (0..4).map(at));
            presentation.push(1, (4..6).map(at));
            let shown = [0, 1].map(|_| {
                let step = presentation.step();
                assert!(!step.first && !step.edge);
                step.shown.iter().map(|shown| shown.1.pts).collect::<Vec<_>>()
            });
            assert_eq!(shown, expected);
            assert_eq!(presentation.needs_flush(), delay > 0);
        }
    }

    #[test]
    fn a_segments_second_step_and_its_flush_are_at_the_edge() {
        let causal = Grouping::Causal { factor: 4 };
        let edges = |presentation: &mut Presentation, steps: usize| {
            let step = |_| {
                let step = presentation.step();
                (step.first, step.edge)
            };
            (0..steps).map(step).collect::<Vec<_>>()
        };
        let mut presentation = Presentation::new(causal, 3);
        presentation.push(4, (0..13).map(at));
        let (first, inner, edge) = ((true, false), (false, false), (false, true));
        assert_eq!(edges(&mut presentation, 4), [first, edge, inner, inner]);
        assert!(presentation.needs_flush());
        assert_eq!(edges(&mut presentation, 1), [edge]);
        // Without its start, a segment has neither a first step nor a second, and ends like any other.
        let mut presentation = Presentation::without_start(causal, 3);
        presentation.push(2, (0..8).map(at));
        assert_eq!(edges(&mut presentation, 3), [inner, inner, edge]);
    }

    #[test]
    fn a_later_real_frame_needs_all_steps_before_it() {
        let mut presentation = Presentation::new(Grouping::Causal { factor: 4 }, 0);
        presentation.push(10, [at(0)]);
        presentation.step();
        assert!(!presentation.has_frames_left());
        presentation.push(1, [at(1)]);
        let mut shown = Vec::new();
        let mut steps = 1;
        while presentation.has_frames_left() {
            shown = presentation.step().shown;
            steps += 1;
        }
        assert_eq!((steps, shown.len()), (11, 1));
    }
}
