//! Which video frames make a group, what of a decoder's output is shown, and when. No GStreamer here.
//!
//! Times are nanoseconds.

use std::collections::VecDeque;

use crate::format::Fraction;

/// When a video frame is shown, and for how long where that is known.
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

/// `frames`, `shift` nanoseconds later; `None` where one of them would be before zero.
pub fn shifted(frames: &[FrameTime], shift: i64) -> Option<Vec<FrameTime>> {
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

/// `floor(frames · den / num)` seconds in nanoseconds: adding rounded durations would drift.
pub fn frames_to_time(frames: u64, framerate: Fraction) -> Option<u64> {
    let time = u128::from(frames) * u128::from(framerate.den) * NANOS / u128::from(non_zero(framerate.num)?);
    u64::try_from(time).ok()
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

/// The times of a packet's real frames, as its header says them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketTimes {
    pub pts: u64,
    /// From the first frame's PTS to the last one's end.
    pub duration: Option<u64>,
    /// From `pts` to each frame but the first; `None` where [`regular_offsets`] gives the same.
    pub offsets: Option<Vec<u64>>,
}

impl PacketTimes {
    /// `frames` is not empty and does not go back in time.
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
    /// `None` where the times are neither written nor regular, or do not fit.
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

/// Where the frames after a packet's first one lie when nothing else is said: on the framerate's grid, counted
/// from the first grid point at or after `pts`; without a framerate, spread evenly over `duration`.
pub fn regular_offsets(pts: u64, duration: Option<u64>, frames: usize, framerate: Fraction) -> Option<Vec<u64>> {
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

/// How a tokenizer groups frames into latent frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// A segment's first latent frame stands for one frame, each later one for `factor`.
    Causal { factor: usize },
    /// Each window of `window` frames is a segment of `window / factor` latent frames.
    Windows { factor: usize, window: usize },
}

impl Grouping {
    /// Frames that one step of a graph takes and gives.
    pub fn step_frames(self) -> usize {
        match self {
            Self::Causal { factor } => factor,
            Self::Windows { window, .. } => window,
        }
    }

    /// Latent frames that one step of a graph gives and takes.
    pub fn step_latent_frames(self) -> usize {
        match self {
            Self::Causal { .. } => 1,
            Self::Windows { factor, window } => window / factor,
        }
    }

    /// Frames that a segment's first `steps` steps stand for at most.
    pub fn frames_in(self, steps: u64) -> u64 {
        match self {
            Self::Causal { factor } => steps.saturating_sub(1).saturating_mul(factor as u64) + steps.min(1),
            Self::Windows { window, .. } => steps.saturating_mul(window as u64),
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

/// The frames of one step of the encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub segment_start: bool,
    /// Nothing of the segment comes behind it.
    pub segment_end: bool,
    /// The real frames, at least one.
    pub frames: Vec<FrameTime>,
}

/// Cuts a stream of frames into groups and segments: the encoder's bookkeeping.
#[derive(Debug)]
pub struct Groups {
    grouping: Grouping,
    /// Steps after which a segment ends by itself; `u64::MAX`: never.
    segment_steps: u64,
    /// Full groups of the current segment.
    steps: u64,
    open: Vec<FrameTime>,
    end_segment_after_group: bool,
}

impl Groups {
    /// `key_interval`: frames from one segment start to the next, rounded up to whole groups; 0: no end.
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

    /// Frames that the group under way takes when full.
    pub fn capacity(&self) -> usize {
        match self.grouping {
            Grouping::Causal { .. } if self.steps == 0 => 1,
            grouping => grouping.step_frames(),
        }
    }

    /// Frames in the group under way.
    pub fn filled(&self) -> usize {
        self.open.len()
    }

    /// Adds a frame; returns the group that it completes.
    pub fn push(&mut self, frame: FrameTime) -> Option<Group> {
        self.open.push(frame);
        (self.open.len() >= self.capacity()).then(|| self.close(false))
    }

    /// Ends the segment; returns the group under way, which then has fewer real frames than it takes.
    pub fn finish(&mut self) -> Option<Group> {
        let tail = (!self.open.is_empty()).then(|| self.close(true));
        self.steps = 0;
        self.end_segment_after_group = false;
        tail
    }

    /// Ends the segment as soon as the group under way is full: at once where there is none.
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

/// A step of the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// It starts a segment: the network's state does not count.
    pub first: bool,
    /// The look-ahead is clamped, as there is no latent frame behind the step's last one to look at. True for a
    /// segment's second step and for the flush after its last latent frame, which runs on the tokens of the step before.
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
