//! What a decoder still has to decode: packets in segments, and the steps that they take. Independent of networks and
//! pictures.

use std::collections::VecDeque;

use super::input::Input;
use super::tokens::UnreadTokens;
use crate::format::TokenFormat;
use crate::stream::{Coder, StreamError, Tokens};
use crate::timeline::{FrameTime, Grouping, PacketTimes, Presentation, Step, frames_to_time, regular_offsets, shifted};
use crate::tokenizer::Description;

/// The packets of one stream that are not decoded yet.
pub struct Segments {
    grouping: Grouping,
    /// By how many frames the decoder's output is late.
    delay: usize,
    format: TokenFormat,
    phase: Phase,
    /// The segments that are not shown to their end, in order.
    queue: VecDeque<QueuedSegment>,
    /// End of the latest frame: the PTS of a packet without one.
    next_pts: Option<u64>,
    /// The next segment follows something that was left out.
    discont: bool,
}

/// Where in the stream the next packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No packet was taken since the beginning or the last reset: there is nothing to continue from.
    Start,
    /// In the segment at the back of the queue.
    InSegment,
    /// Behind a segment that has ended, or was left.
    AfterSegment,
}

struct QueuedSegment {
    presentation: Presentation,
    /// Each with whether some of its tokens are concealed.
    packets: VecDeque<(UnreadTokens, bool)>,
    coder: Coder,
    /// The tokens of the next step, or of the latest one: a flush repeats those.
    tokens: Option<Tokens>,
    /// The next picture follows on something that is missing.
    discont: bool,
    /// Something is missing from what the segment is decoded from.
    uncertain: bool,
    /// Some of `tokens` are concealed.
    concealed: bool,
}

/// A step of the network.
pub struct NextStep<'a> {
    pub tokens: &'a Tokens,
    pub step: Step,
    /// Its pictures are wrong in some way, as something before them is missing, or some of its tokens are concealed.
    pub uncertain: bool,
    /// Its first picture follows a discontinuity.
    pub discont: bool,
}

/// Why a packet was left out.
#[derive(Debug, PartialEq, Eq)]
pub enum Skipped {
    /// It does not decode without what came before it, which is not there.
    NoSegmentStart,
    /// It has no time, and none follows from the packets before it.
    NoTime,
    /// Its latent frames are not a whole number of windows; a window has `window` latent frames.
    PartOfWindow { window: u64 },
}

impl Segments {
    /// For tokens of `tokenizer` in `format`.
    pub fn new(tokenizer: &Description, format: TokenFormat) -> Self {
        Self {
            grouping: tokenizer.grouping(),
            delay: tokenizer.decoder_delay as usize,
            format,
            phase: Phase::Start,
            queue: VecDeque::new(),
            next_pts: None,
            discont: false,
        }
    }

    pub fn format(&self) -> &TokenFormat {
        &self.format
    }

    /// Frames that a step gives, and by how many of them the output is late.
    pub fn step_and_delay(&self) -> (usize, usize) {
        (self.grouping.step_frames(), self.delay)
    }

    /// How many steps a packet takes. The flush of a segment is counted with its first packet.
    pub fn steps(&self, input: &Input) -> u64 {
        let flush = input.segment_start && self.delay > 0;
        let latent_frames = input.latent_frames as usize;
        (latent_frames.div_ceil(self.grouping.step_latent_frames()) + usize::from(flush)) as u64
    }

    /// Forgets everything, and waits for a segment start.
    pub fn reset(&mut self) {
        self.phase = Phase::Start;
        self.queue.clear();
        self.next_pts = None;
        self.discont = false;
    }

    /// Forgets everything, as [`reset`](Self::reset) does. Tokens of the same tokenizer in another format come next.
    pub fn set_format(&mut self, format: TokenFormat) {
        self.reset();
        self.format = format;
    }

    /// Ends the segment. The steps that show its last frames come next; the next packet must start a segment.
    pub fn end(&mut self) {
        if self.phase == Phase::InSegment {
            self.phase = Phase::AfterSegment;
        }
    }

    /// Leaves the segment, as something is missing from it or left out: what follows is a discontinuity.
    pub fn leave(&mut self) {
        self.end();
        self.discont = true;
    }

    /// Whether packets that start no segment can be decoded.
    pub fn in_segment(&self) -> bool {
        self.phase == Phase::InSegment
    }

    /// Whether a packet could continue from what was decoded before it.
    pub fn has_started(&self) -> bool {
        self.phase != Phase::Start
    }

    /// Adds a packet. `uncertain`: something before it is missing. It is decoded nevertheless, from the state that the
    /// network has, as are the packets up to the next segment start.
    pub fn push(&mut self, input: Input, uncertain: bool) -> Result<(), Skipped> {
        if !input.segment_start && !self.in_segment() && !uncertain {
            return Err(Skipped::NoSegmentStart);
        }
        let window = self.grouping.step_latent_frames() as u64;
        if !u64::from(input.latent_frames).is_multiple_of(window) {
            return Err(Skipped::PartOfWindow { window });
        }
        let frames = self.frame_times(&input).ok_or(Skipped::NoTime)?;
        if let Some(last) = frames.last() {
            self.next_pts = last.duration.and_then(|duration| last.pts.checked_add(duration));
        }
        if input.segment_start || !self.in_segment() {
            self.queue.push_back(QueuedSegment {
                presentation: match input.segment_start {
                    true => Presentation::new(self.grouping, self.delay),
                    false => Presentation::without_start(self.grouping, self.delay),
                },
                packets: VecDeque::new(),
                coder: Coder::new(self.format.clone()),
                tokens: None,
                discont: std::mem::take(&mut self.discont),
                uncertain: false,
                concealed: false,
            });
            self.phase = Phase::InSegment;
        }
        if let Some(segment) = self.queue.back_mut() {
            segment.presentation.push(input.latent_frames.into(), frames);
            segment.packets.push_back((input.tokens, input.concealed));
            segment.discont |= uncertain && input.hole.is_some();
            segment.uncertain |= uncertain;
        }
        if input.segment_end {
            self.end();
        }
        Ok(())
    }

    fn frame_times(&self, input: &Input) -> Option<Vec<FrameTime>> {
        let framerate = self.format.framerate;
        let real = input.real_frames as usize;
        let times = input.times.clone().or_else(|| {
            let pts = self.next_pts.or((framerate.num > 0).then_some(0))?;
            Some(PacketTimes {
                pts,
                duration: frames_to_time(real as u64, framerate),
                offsets: None,
            })
        })?;
        // Where nothing says how long a packet lasts, its last frame lasts as long as one on the framerate's grid does.
        let regular = || regular_offsets(times.pts, None, real + 1, framerate)?.pop();
        let duration = times.duration.or_else(|| times.offsets.is_none().then(regular)?);
        let times = PacketTimes { duration, ..times };
        let frames = times.frames(real, framerate).or_else(|| {
            // A single frame of unknown duration needs no rule for those after it.
            (real == 1).then(|| {
                vec![FrameTime {
                    pts: times.pts,
                    duration: times.duration,
                }]
            })
        })?;
        // The largest number is GStreamer's "none".
        let is_none = |time: u64| time == u64::MAX;
        let fits = |frame: &FrameTime| !is_none(frame.pts) && !frame.duration.is_some_and(is_none);
        shifted(&frames, input.shift).filter(|frames| frames.iter().all(fits))
    }

    /// The next step; `None` until more packets come or the segment ends.
    ///
    /// There is a step only where a picture needs it: one that it shows, or a later one that builds on its state. So a
    /// packet of many latent frames with few real frames takes no longer than those few frames.
    ///
    /// # Errors
    /// A packet holds numbers that are not tokens.
    pub fn next_step(&mut self) -> Result<Option<NextStep<'_>>, StreamError> {
        loop {
            let is_complete = self.queue.len() > 1 || !self.in_segment();
            let Some(segment) = self.queue.front_mut() else {
                return Ok(None);
            };
            if segment.prepare_step(self.grouping, &self.format, is_complete)? {
                break;
            }
            if !is_complete {
                return Ok(None);
            }
            self.queue.pop_front();
        }
        Ok(self.queue.front_mut().and_then(QueuedSegment::take_step))
    }
}

impl QueuedSegment {
    /// Reads the tokens of the next step, if there is one. `is_complete`: no packet of the segment will come any more.
    fn prepare_step(
        &mut self,
        grouping: Grouping,
        format: &TokenFormat,
        is_complete: bool,
    ) -> Result<bool, StreamError> {
        if !self.presentation.has_frames_left() {
            return Ok(false);
        }
        if let Some(tokens) = self.read(grouping.step_latent_frames() as u32, format)? {
            self.tokens = Some(tokens);
            return Ok(true);
        }
        Ok(is_complete && self.tokens.is_some() && self.presentation.needs_flush())
    }

    fn take_step(&mut self) -> Option<NextStep<'_>> {
        let tokens = self.tokens.as_ref()?;
        let step = self.presentation.step();
        Some(NextStep {
            tokens,
            uncertain: self.uncertain || self.concealed,
            discont: !step.shown.is_empty() && std::mem::take(&mut self.discont),
            step,
        })
    }

    /// The tokens of the next `latent_frames` latent frames; `None` until they come.
    fn read(&mut self, latent_frames: u32, format: &TokenFormat) -> Result<Option<Tokens>, StreamError> {
        while let Some((packet, concealed)) = self.packets.front_mut() {
            match packet.read(latent_frames, format, &mut self.coder) {
                Some(tokens) => {
                    self.concealed = *concealed;
                    return tokens.map(Some);
                }
                None => drop(self.packets.pop_front()),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
