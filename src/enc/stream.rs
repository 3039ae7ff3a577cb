//! The encoder's work on one stream of one caps: frames in, token buffers out. Knows no element and no pad.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst_video::VideoFrameExt;

use super::pixels::FrameStack;
use super::posterior::Sampler;
use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::runtime::{EncoderNetwork, Options, Report, Running, RuntimeError};
use crate::stream::{Packet, StreamError, Tokens, Writer, random_stream_id};
use crate::timeline::{FrameTime, Group, Groups, PacketTimes, frames_to_time, regular_offsets, shifted};
use crate::tokenizer::{Description, Graph};

/// How far, in nanoseconds, a frame's duration may be from that of the framerate to be its rounding.
const ROUNDING: u64 = 1_000;

pub struct Stream {
    tokenizer: Arc<Description>,
    format: TokenFormat,
    stream_format: StreamFormat,
    writer: Writer,
    network: EncoderNetwork,
    /// Draws tokens from the posterior; `None`: tokens are indices, or means.
    sampler: Option<Sampler>,
    groups: Groups,
    stack: FrameStack,
    /// The latest PTS that a buffer carried, and frames since: what a missing PTS is counted from.
    counted_from: (u64, u64),
    /// From a buffer's PTS to its stream time, which is what a file keeps.
    to_stream_time: i64,
}

/// A token buffer, and what is in it.
pub struct Encoded {
    pub buffer: gst::Buffer,
    pub segment_start: bool,
    pub frames: usize,
    pub latent_frames: usize,
    /// What the network took.
    pub elapsed: Duration,
    /// Streams that made the step together.
    pub streams: usize,
}

impl Stream {
    pub fn new(
        graph: &Graph,
        options: Options,
        format: TokenFormat,
        stream_format: StreamFormat,
        key_interval: u64,
        sampler: Option<Sampler>,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        let tokenizer = graph.description.clone();
        let network = EncoderNetwork::open_reporting(graph, options, format.width, format.height, report)?;
        if sampler.is_some() {
            network.expect_posterior()?;
        }
        let writer = random_stream_id().and_then(|id| Writer::new(format.clone(), id));
        let writer = writer.map_err(|e| stream_error(&e))?;
        let grouping = tokenizer.grouping();
        let size = (format.width, format.height);
        let padded = (tokenizer.padded(format.width), tokenizer.padded(format.height));
        Ok(Self {
            groups: Groups::new(grouping, key_interval),
            stack: FrameStack::new(grouping.step_frames(), size, padded),
            tokenizer,
            format,
            stream_format,
            writer,
            network,
            sampler,
            counted_from: (0, 0),
            to_stream_time: 0,
        })
    }

    pub fn format(&self) -> &TokenFormat {
        &self.format
    }

    pub fn running(&self) -> &Running {
        self.network.running()
    }

    /// Frames that a step of the network takes.
    pub fn step_frames(&self) -> usize {
        self.tokenizer.grouping().step_frames()
    }

    /// Frames in the group under way.
    pub fn filled(&self) -> usize {
        self.groups.filled()
    }

    pub fn set_key_interval(&mut self, frames: u64) {
        self.groups.set_key_interval(frames);
    }

    /// Ends the segment once the group under way is full.
    pub fn finish_after_group(&mut self) {
        self.groups.finish_after_group();
    }

    /// Forgets everything that is not encoded yet; the next frame starts a segment. PTS count from `start`.
    pub fn reset(&mut self, start: u64) {
        self.groups.finish();
        self.counted_from = (start, 0);
    }

    /// The time of the next frame: its own PTS, else counted from the framerate.
    ///
    /// `None` where there is neither.
    pub fn frame_time(&mut self, pts: Option<u64>, duration: Option<u64>) -> Option<FrameTime> {
        let (base, count) = match pts {
            Some(pts) => (pts, 0),
            None => self.counted_from,
        };
        let pts = match pts {
            Some(pts) => pts,
            None => base.checked_add(frames_to_time(count, self.format.framerate)?)?,
        };
        self.counted_from = (base, count + 1);
        let regular = || regular_offsets(pts, None, 2, self.format.framerate)?.pop();
        // A duration is the framerate's, rounded: on its grid, a file lasts as long as its frames.
        let duration = match (duration, regular()) {
            (Some(own), Some(regular)) if own.abs_diff(regular) <= ROUNDING => Some(regular),
            (own, regular) => own.or(regular),
        };
        Some(FrameTime { pts, duration })
    }

    /// Says how far stream time is from the PTS of buffers, in the playback segment under way.
    pub fn set_stream_time(&mut self, shift: i64) {
        self.to_stream_time = shift;
    }

    /// Whether a frame at `pts` would go back in time within its group.
    pub fn goes_back(&self, pts: u64) -> bool {
        self.groups.last_pts().is_some_and(|last| pts < last)
    }

    /// Adds a frame; runs the network when it completes a group.
    pub fn push(
        &mut self,
        frame: &gst_video::VideoFrameRef<&gst::BufferRef>,
        time: FrameTime,
    ) -> Result<Option<Encoded>, RuntimeError> {
        let picture = frame.plane_data(0).map_err(|e| RuntimeError::Run(e.to_string()))?;
        self.stack
            .set(self.groups.filled(), picture, frame.plane_stride()[0] as usize);
        match self.groups.push(time) {
            Some(group) => self.encode(group, false).map(Some),
            None => Ok(None),
        }
    }

    /// Ends the segment: encodes the group under way, if there is one, filled up with its last frame.
    pub fn finish(&mut self, end_of_stream: bool) -> Result<Option<Encoded>, RuntimeError> {
        match self.groups.finish() {
            Some(group) => self.encode(group, end_of_stream).map(Some),
            None => Ok(None),
        }
    }

    fn encode(&mut self, group: Group, end_of_stream: bool) -> Result<Encoded, RuntimeError> {
        let frames = group.frames.len();
        let grouping = self.tokenizer.grouping();
        self.stack.repeat(frames - 1, frames..grouping.step_frames());
        if group.segment_start {
            self.network.restart();
            if let Some(sampler) = &mut self.sampler {
                sampler.start_segment(group.frames[0].pts);
            }
        }
        let started = Instant::now();
        let tokens = match &mut self.sampler {
            None => self.network.encode(self.stack.bytes())?,
            Some(sampler) => {
                let (means, log_variances) = self.network.encode_posterior(self.stack.bytes())?;
                sampler.draw(means, &log_variances)
            }
        };
        let elapsed = started.elapsed();

        let latent_frames = grouping.step_latent_frames();
        let packet = PacketInfo {
            segment_start: group.segment_start,
            end_of_stream,
            latent_frames,
            frames,
        };
        let mut buffer = self
            .buffer(&tokens, &packet, &group.frames)
            .map_err(|e| stream_error(&e))?;
        let times = PacketTimes::of(&group.frames, self.format.framerate);
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_pts(gst::ClockTime::from_nseconds(times.pts));
        buffer_mut.set_duration(times.duration.map(gst::ClockTime::from_nseconds));
        if !group.segment_start {
            buffer_mut.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        Ok(Encoded {
            buffer,
            segment_start: group.segment_start,
            frames,
            latent_frames,
            elapsed,
            streams: self.network.streams(),
        })
    }

    /// A buffer with the tokens in the stream format that was negotiated.
    fn buffer(&mut self, tokens: &Tokens, info: &PacketInfo, frames: &[FrameTime]) -> Result<gst::Buffer, StreamError> {
        match self.stream_format {
            StreamFormat::Framed => {
                // A file has no playback segment that would say where its time begins.
                let in_stream_time = shifted(frames, self.to_stream_time);
                let times = PacketTimes::of(in_stream_time.as_deref().unwrap_or(frames), self.format.framerate);
                let packet = Packet {
                    segment_start: info.segment_start,
                    end_of_stream: info.end_of_stream,
                    segment_end: false,
                    position: None,
                    latent_frames: info.latent_frames as u32,
                    real_frames: info.frames as u32,
                    pts: Some(times.pts),
                    duration: times.duration,
                    offsets: times.offsets,
                    payload: tokens.to_payload(&self.format)?,
                };
                let mut buffer = gst::Buffer::from_mut_slice(self.writer.write(&packet)?);
                if info.segment_start {
                    buffer.make_mut().set_flags(gst::BufferFlags::HEADER);
                }
                Ok(buffer)
            }
            StreamFormat::Raw => {
                let mut buffer = gst::Buffer::from_mut_slice(tokens.to_raw(&self.format)?);
                let token_meta = TokenMeta {
                    segment_start: info.segment_start,
                    end_of_stream: info.end_of_stream,
                    real_frames: info.frames as u32,
                    offsets: PacketTimes::of(frames, self.format.framerate).offsets,
                };
                meta::add(buffer.make_mut(), &token_meta);
                Ok(buffer)
            }
        }
    }
}

/// What a packet says besides tokens and times.
struct PacketInfo {
    segment_start: bool,
    end_of_stream: bool,
    latent_frames: usize,
    frames: usize,
}

fn stream_error(error: &StreamError) -> RuntimeError {
    RuntimeError::Run(error.to_string())
}
