//! The decoder's work on one stream of one caps: token buffers in, pictures out. Knows no element and no pad.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::input::Input;
use crate::format::{Fraction, TokenFormat};
use crate::runtime::{DecoderNetwork, Options, Report, Running, RuntimeError};
use crate::stream::Tokens;
use crate::timeline::{FrameTime, PacketTimes, Presentation, frames_to_time, shifted};
use crate::tokenizer::{Description, Graph};

pub struct Stream {
    tokenizer: Arc<Description>,
    format: TokenFormat,
    video: gst_video::VideoInfo,
    network: DecoderNetwork,
    /// What is to be done before the next buffer, in order: a frame is made when it is asked for.
    work: VecDeque<Work>,
    /// Pictures that a step made and nobody took yet.
    pictures: VecDeque<gst::Buffer>,
    /// `None` until a segment starts.
    segment: Option<Segment>,
    /// A segment start is on the list, or was: what comes next has something before it.
    in_segment: bool,
    /// End of the latest frame: the PTS of a buffer without one.
    next_pts: Option<u64>,
}

/// A segment under way.
struct Segment {
    presentation: Presentation,
    /// The latest tokens, which a flush repeats.
    last: Option<Tokens>,
}

enum Work {
    StartSegment,
    EndSegment,
    /// Times of the real frames of the next latent frames.
    Packet {
        latent_frames: u64,
        frames: Vec<FrameTime>,
    },
    Step(Tokens),
}

/// Why a packet was left out.
#[derive(Debug, PartialEq, Eq)]
pub enum Skipped {
    /// It does not decode without what came before it, which is not there.
    NoSegmentStart,
    /// It has no time, and none follows from what came before it.
    NoTime,
}

impl Stream {
    pub fn new(
        graph: &Graph,
        options: Options,
        format: TokenFormat,
        video: gst_video::VideoInfo,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        let tokenizer = graph.description.clone();
        let network = DecoderNetwork::open_reporting(graph, options, format.width, format.height, report)?;
        Ok(Self {
            tokenizer,
            format,
            video,
            network,
            work: VecDeque::new(),
            pictures: VecDeque::new(),
            segment: None,
            in_segment: false,
            next_pts: None,
        })
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

    /// Forgets everything; waits for a segment start.
    pub fn reset(&mut self) {
        self.work.clear();
        self.pictures.clear();
        self.segment = None;
        self.in_segment = false;
        self.next_pts = None;
    }

    /// Ends the segment: the frames still owed come next, then a segment start is waited for.
    pub fn end_segment(&mut self) {
        if std::mem::take(&mut self.in_segment) {
            self.work.push_back(Work::EndSegment);
        }
    }

    /// Puts a packet on the list of work.
    pub fn push(&mut self, input: Input) -> Result<(), Skipped> {
        if !input.segment_start && !self.in_segment {
            return Err(Skipped::NoSegmentStart);
        }
        let frames = self.frame_times(&input).ok_or(Skipped::NoTime)?;
        if let Some(end) = frames.last().and_then(|frame| frame.pts.checked_add(frame.duration?)) {
            self.next_pts = Some(end);
        }
        if input.segment_start {
            self.end_segment();
            self.work.push_back(Work::StartSegment);
            self.in_segment = true;
        }
        self.work.push_back(Work::Packet {
            latent_frames: input.latent_frames,
            frames,
        });
        let step = self.network.latent_frames() * self.format.values_per_latent_frame();
        self.work.extend(split(input.tokens, step).map(Work::Step));
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
        let frames = times.frames(real, framerate).or_else(|| {
            // A single frame of unknown duration needs no rule for those after it.
            (real == 1).then(|| {
                vec![FrameTime {
                    pts: times.pts,
                    duration: times.duration,
                }]
            })
        })?;
        shifted(&frames, input.shift)
    }

    /// The next picture, made if need be. `on_step` is told what each step of the network took, and how many streams
    /// made it together.
    pub fn next_picture(
        &mut self,
        mut on_step: impl FnMut(Duration, usize),
    ) -> Result<Option<gst::Buffer>, RuntimeError> {
        while self.pictures.is_empty() {
            let Some(work) = self.work.pop_front() else {
                return Ok(None);
            };
            match work {
                Work::StartSegment => {
                    let delay = self.tokenizer.decoder_delay as usize;
                    let presentation = Presentation::new(self.tokenizer.grouping(), delay);
                    self.segment = Some(Segment {
                        presentation,
                        last: None,
                    });
                    self.network.restart();
                }
                Work::Packet { latent_frames, frames } => {
                    if let Some(segment) = &mut self.segment {
                        segment.presentation.push(latent_frames, frames);
                    }
                }
                Work::Step(tokens) => {
                    if let Some(mut segment) = self.segment.take() {
                        let at_edge = segment.presentation.second_step_is_next();
                        self.run(&mut segment, &tokens, at_edge, &mut on_step)?;
                        segment.last = Some(tokens);
                        self.segment = Some(segment);
                    }
                }
                Work::EndSegment => {
                    if let Some(mut segment) = self.segment.take()
                        && segment.presentation.needs_flush()
                        && let Some(tokens) = segment.last.take()
                    {
                        self.run(&mut segment, &tokens, true, &mut on_step)?;
                    }
                }
            }
        }
        Ok(self.pictures.pop_front())
    }

    fn run(
        &mut self,
        segment: &mut Segment,
        tokens: &Tokens,
        at_edge: bool,
        on_step: &mut impl FnMut(Duration, usize),
    ) -> Result<(), RuntimeError> {
        let shown = segment.presentation.step();
        let padded = (
            self.tokenizer.padded(self.format.width),
            self.tokenizer.padded(self.format.height),
        );
        let video = &self.video;
        let started = Instant::now();
        let mut elapsed = Duration::ZERO;
        let pictures = self.network.decode(tokens, at_edge, |frames| {
            elapsed = started.elapsed();
            let picture = |(index, time)| picture(video, frames, padded, index, time);
            shown.into_iter().map(picture).collect::<Result<Vec<_>, _>>()
        })?;
        on_step(elapsed, self.network.streams());
        self.pictures
            .extend(pictures.map_err(|e| RuntimeError::Run(e.to_string()))?);
        Ok(())
    }
}

/// Cuts the tokens of a packet into those of single steps. What is left over at the end is no whole step.
fn split(tokens: Tokens, step: usize) -> impl Iterator<Item = Tokens> {
    let parts: Vec<Tokens> = match tokens {
        Tokens::Indices(v) => v
            .chunks_exact(step)
            .map(|part| Tokens::Indices(part.to_vec()))
            .collect(),
        Tokens::Floats(v) => v.chunks_exact(step).map(|part| Tokens::Floats(part.to_vec())).collect(),
    };
    parts.into_iter()
}

/// Frame `index` of `frames`, cropped to the video's size.
fn picture(
    video: &gst_video::VideoInfo,
    frames: &[u8],
    (padded_width, padded_height): (u32, u32),
    index: usize,
    time: FrameTime,
) -> Result<gst::Buffer, gst::glib::BoolError> {
    let mut buffer = gst::Buffer::with_size(video.size())?;
    let buffer_mut = buffer.make_mut();
    let row = padded_width as usize * 3;
    let frame = &frames[index * row * padded_height as usize..];
    let stride = video.stride()[0] as usize;
    let bytes = video.width() as usize * 3;
    {
        let mut map = buffer_mut.map_writable()?;
        let rows = map
            .chunks_mut(stride)
            .zip(frame.chunks_exact(row))
            .take(video.height() as usize);
        for (to, from) in rows {
            to[..bytes].copy_from_slice(&from[..bytes]);
        }
    }
    buffer_mut.set_pts(gst::ClockTime::from_nseconds(time.pts));
    buffer_mut.set_duration(time.duration.map(gst::ClockTime::from_nseconds));
    Ok(buffer)
}

/// How long a frame of `framerate` lasts; `None` where there is no rate.
pub fn frame_duration(framerate: Fraction) -> Option<gst::ClockTime> {
    frames_to_time(1, framerate).map(gst::ClockTime::from_nseconds)
}
