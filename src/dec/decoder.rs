//! The decoder's work on one stream of one caps: token buffers in, pictures out. Knows no element and no pad.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::input::Input;
use super::picture::picture;
use super::tokens::UnreadTokens;
use crate::format::{Fraction, TokenFormat};
use crate::runtime::{Cancel, DecoderNetwork, Options, Report, Running, RuntimeError};
use crate::stream::{StreamError, Tokens};
use crate::timeline::{FrameTime, PacketTimes, Presentation, frames_to_time, regular_offsets, shifted};
use crate::tokenizer::{Description, Graph, Source};

pub struct Decoder {
    tokenizer: Arc<Description>,
    format: TokenFormat,
    video: gst_video::VideoInfo,
    network: DecoderNetwork,
    /// What the network was made of.
    made_of: (Source, Options),
    /// What is to be decoded, in order. A picture is made when it is asked for.
    segments: VecDeque<Segment>,
    /// Pictures that a step made and nobody took yet.
    pictures: VecDeque<gst::Buffer>,
    /// End of the latest frame: the PTS of a buffer without one.
    next_pts: Option<u64>,
    /// The next segment's first picture follows on something that was left out.
    discont: bool,
    /// A segment has started since the beginning, or the last reset.
    has_started: bool,
}

/// A segment whose packets are coming, or that has ended and is not shown yet.
struct Segment {
    presentation: Presentation,
    packets: VecDeque<UnreadTokens>,
    /// The tokens of the latest step, which a flush repeats.
    last: Option<Tokens>,
    ended: bool,
    /// The next picture follows on something that is missing.
    discont: bool,
    /// Something is missing from what it is decoded from.
    uncertain: bool,
}

/// Why a packet was left out.
#[derive(Debug, PartialEq, Eq)]
pub enum Skipped {
    /// It does not decode without what came before it, which is not there.
    NoSegmentStart,
    /// It has no time, and none follows from what came before it.
    NoTime,
    /// It is no whole number of windows: a window is so many latent frames.
    PartOfWindow { window: u64 },
}

/// Why there is no next picture.
#[derive(Debug)]
pub enum StepError {
    Runtime(RuntimeError),
    /// A packet holds what are no tokens.
    Tokens(StreamError),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => error.fmt(f),
            Self::Tokens(error) => error.fmt(f),
        }
    }
}

impl From<RuntimeError> for StepError {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(error)
    }
}

impl From<StreamError> for StepError {
    fn from(error: StreamError) -> Self {
        Self::Tokens(error)
    }
}

impl Decoder {
    /// `cancel` ends steps from other threads; the stream is to be [reset](Self::reset) afterwards.
    pub fn new(
        graph: &Graph,
        options: Options,
        format: TokenFormat,
        video: gst_video::VideoInfo,
        cancel: Cancel,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        let tokenizer = graph.description.clone();
        let mut network = DecoderNetwork::open_reporting(graph, options, format.width, format.height, report)?;
        network.set_cancel(cancel);
        Ok(Self {
            tokenizer,
            format,
            video,
            network,
            made_of: (graph.source.clone(), options),
            segments: VecDeque::new(),
            pictures: VecDeque::new(),
            next_pts: None,
            discont: false,
            has_started: false,
        })
    }

    /// Whether the network decodes tokens of `format` as it is: rates and colours are no matter of its.
    pub fn decodes(&self, graph: &Graph, options: Options, format: &TokenFormat) -> bool {
        self.made_of == (graph.source.clone(), options) && format.decodes_like(&self.format)
    }

    /// Goes on with other tokens that the network [decodes](Self::decodes); waits for a segment start.
    pub fn set_format(&mut self, format: TokenFormat, video: gst_video::VideoInfo) {
        self.reset();
        (self.format, self.video) = (format, video);
    }

    pub fn format(&self) -> &TokenFormat {
        &self.format
    }

    pub fn running(&self) -> &Running {
        self.network.running()
    }

    /// Frames that a step gives, and that its output is late.
    pub fn step_and_delay(&self) -> (usize, usize) {
        (
            self.tokenizer.grouping().step_frames(),
            self.tokenizer.decoder_delay as usize,
        )
    }

    /// How many steps a packet takes; a segment's flush is counted with its first packet.
    pub fn steps(&self, input: &Input) -> u64 {
        let flush = input.segment_start && self.tokenizer.decoder_delay > 0;
        let latent_frames = input.latent_frames as usize;
        (latent_frames.div_ceil(self.network.latent_frames()) + usize::from(flush)) as u64
    }

    /// Forgets everything; waits for a segment start.
    pub fn reset(&mut self) {
        self.segments.clear();
        self.pictures.clear();
        self.next_pts = None;
        self.discont = false;
        self.has_started = false;
    }

    /// Ends the segment: the frames still owed come next, then a segment start is waited for.
    pub fn end_segment(&mut self) {
        if let Some(segment) = self.segments.back_mut() {
            segment.ended = true;
        }
    }

    /// The same for a segment that something is missing from, or is left out: what follows is a discontinuity.
    pub fn break_segment(&mut self) {
        self.end_segment();
        self.discont = true;
    }

    /// Whether packets that start no segment can be decoded.
    pub fn in_segment(&self) -> bool {
        self.segments.back().is_some_and(|segment| !segment.ended)
    }

    /// Whether there is something that packets could go on from.
    pub fn has_started(&self) -> bool {
        self.has_started
    }

    /// Adds a packet to what is to be decoded. `uncertain`: something before it is missing, and it is decoded all the
    /// same, up to the next segment start, from whatever the network's state is.
    pub fn push(&mut self, input: Input, uncertain: bool) -> Result<(), Skipped> {
        if !input.segment_start && !self.in_segment() && !uncertain {
            return Err(Skipped::NoSegmentStart);
        }
        let window = self.network.latent_frames() as u64;
        if !u64::from(input.latent_frames).is_multiple_of(window) {
            return Err(Skipped::PartOfWindow { window });
        }
        let frames = self.frame_times(&input).ok_or(Skipped::NoTime)?;
        if let Some(last) = frames.last() {
            self.next_pts = last.duration.and_then(|duration| last.pts.checked_add(duration));
        }
        if input.segment_start || !self.in_segment() {
            self.end_segment();
            let (grouping, delay) = (self.tokenizer.grouping(), self.tokenizer.decoder_delay as usize);
            self.segments.push_back(Segment {
                presentation: match input.segment_start {
                    true => Presentation::new(grouping, delay),
                    false => Presentation::without_start(grouping, delay),
                },
                packets: VecDeque::new(),
                last: None,
                ended: false,
                discont: std::mem::take(&mut self.discont),
                uncertain: false,
            });
            self.has_started = true;
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.presentation.push(input.latent_frames.into(), frames);
            segment.packets.push_back(input.tokens);
            segment.discont |= uncertain && input.hole.is_some();
            segment.uncertain |= uncertain;
            segment.ended |= input.segment_end;
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
        // GStreamer's "none" is no time.
        let is_none = |time: u64| time == u64::MAX;
        let fits = |frame: &FrameTime| !is_none(frame.pts) && !frame.duration.is_some_and(is_none);
        shifted(&frames, input.shift).filter(|frames| frames.iter().all(fits))
    }

    /// The next picture, made if need be. `on_step` is told what each step of the network took, and how many streams
    /// made it together.
    ///
    /// A step is made only where a picture needs it: one that it shows, or a later one that builds on its state. Many
    /// latent frames of which few frames are real take no longer than those.
    pub fn next_picture(&mut self, mut on_step: impl FnMut(Duration, usize)) -> Result<Option<gst::Buffer>, StepError> {
        while self.pictures.is_empty() {
            let latent_frames = self.network.latent_frames() as u32;
            let Some(segment) = self.segments.front_mut() else {
                return Ok(None);
            };
            let tokens = if segment.presentation.has_frames_left() {
                segment.read(latent_frames, &self.format)?
            } else {
                None
            };
            match tokens {
                Some(tokens) => {
                    self.run(&tokens, &mut on_step)?;
                    if let Some(segment) = self.segments.front_mut() {
                        segment.last = Some(tokens);
                    }
                }
                None if !segment.ended => return Ok(None),
                None => {
                    if segment.presentation.needs_flush()
                        && let Some(tokens) = segment.last.take()
                    {
                        self.run(&tokens, &mut on_step)?;
                    }
                    self.segments.pop_front();
                }
            }
        }
        Ok(self.pictures.pop_front())
    }

    /// Makes the next step of the first segment.
    fn run(&mut self, tokens: &Tokens, on_step: &mut impl FnMut(Duration, usize)) -> Result<(), RuntimeError> {
        let Some(segment) = self.segments.front_mut() else {
            return Ok(());
        };
        let step = segment.presentation.step();
        if step.first {
            self.network.restart();
        }
        let padded = (
            self.tokenizer.padded(self.format.width),
            self.tokenizer.padded(self.format.height),
        );
        let video = &self.video;
        let started = Instant::now();
        let mut elapsed = Duration::ZERO;
        let pictures = self.network.decode(tokens, step.edge, |frames| {
            elapsed = started.elapsed();
            let picture = |(index, time)| picture(video, frames, padded, index, time);
            step.shown.into_iter().map(picture).collect::<Result<Vec<_>, _>>()
        })?;
        on_step(elapsed, self.network.streams());
        let mut pictures = pictures.map_err(|e| RuntimeError::Run(e.to_string()))?;
        if segment.uncertain {
            let pictures = pictures.iter_mut();
            pictures.for_each(|picture| picture.make_mut().set_flags(gst::BufferFlags::CORRUPTED));
        }
        if let Some(first) = pictures.first_mut()
            && std::mem::take(&mut segment.discont)
        {
            first.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        self.pictures.extend(pictures);
        Ok(())
    }
}

impl Segment {
    /// The tokens of the next step; `None` until more come.
    fn read(&mut self, latent_frames: u32, format: &TokenFormat) -> Result<Option<Tokens>, StreamError> {
        while let Some(packet) = self.packets.front_mut() {
            match packet.read(latent_frames, format) {
                Some(tokens) => return tokens.map(Some),
                None => drop(self.packets.pop_front()),
            }
        }
        Ok(None)
    }
}

/// How long a frame of `framerate` lasts; `None` where there is no rate.
pub fn frame_duration(framerate: Fraction) -> Option<gst::ClockTime> {
    frames_to_time(1, framerate).map(gst::ClockTime::from_nseconds)
}

#[cfg(test)]
mod tests;
