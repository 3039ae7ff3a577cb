//! The encoder's work on one stream of one caps: frames in, token buffers out. Knows no element and no pad.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst_video::VideoFrameExt;

use super::packets::Packets;
use super::pixels::FrameStack;
use super::posterior::Sampler;
use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::runtime::{Cancel, EncoderNetwork, Options, Report, Running, RuntimeError};
use crate::stream::StreamError;
use crate::timeline::{FrameTime, Group, Groups};
use crate::tokenizer::{Description, Graph};

pub struct Encoder {
    tokenizer: Arc<Description>,
    network: EncoderNetwork,
    groups: Groups,
    stack: FrameStack,
    going_on: GoingOn,
}

/// What goes on where pictures of another size need another network.
pub struct GoingOn {
    pub packets: Packets,
    /// Draws tokens from the posterior; `None`: tokens are indices, or means.
    pub sampler: Option<Sampler>,
}

/// A token buffer, and what is in it.
pub struct Encoded {
    /// The end of the segment before, to be sent first.
    pub mark: Option<gst::Buffer>,
    pub buffer: gst::Buffer,
    pub segment_start: bool,
    pub frames: usize,
    pub latent_frames: usize,
    /// What the network took.
    pub elapsed: Duration,
    /// Streams that made the step together.
    pub streams: usize,
}

/// How a segment ends: with the group under way, with a mark, or both.
#[derive(Default)]
pub struct Finished {
    pub tail: Option<Encoded>,
    pub mark: Option<gst::Buffer>,
}

impl Encoder {
    /// A stream of what `going_on` describes. `cancel` ends its steps.
    pub fn new(
        graph: &Graph,
        options: Options,
        key_interval: u64,
        going_on: GoingOn,
        cancel: Cancel,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        let tokenizer = graph.description.clone();
        let format = going_on.packets.format();
        let size = (format.width, format.height);
        let mut network = EncoderNetwork::open(graph, options, size.0, size.1, report)?;
        if going_on.sampler.is_some() {
            network.expect_posterior()?;
        }
        network.set_cancel(cancel);
        let grouping = tokenizer.grouping();
        let padded = (tokenizer.padded(size.0), tokenizer.padded(size.1));
        Ok(Self {
            groups: Groups::new(grouping, key_interval),
            stack: FrameStack::new(grouping.step_frames(), size, padded),
            tokenizer,
            network,
            going_on,
        })
    }

    pub fn format(&self) -> &TokenFormat {
        self.going_on.packets.format()
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

    /// Forgets everything that is not encoded yet; the next frame starts a segment.
    pub fn reset(&mut self) -> Result<(), RuntimeError> {
        self.groups.finish();
        self.going_on.packets.flush().map_err(|e| stream_error(&e))
    }

    /// Whether tokens of `format` in `stream_format` are those that this stream makes.
    pub fn makes(&self, format: &TokenFormat, stream_format: StreamFormat) -> bool {
        self.format() == format && self.going_on.packets.stream_format() == stream_format
    }

    /// Whether the network takes pictures of the size that `format` says.
    pub fn is_of_size(&self, format: &TokenFormat) -> bool {
        (self.format().width, self.format().height) == (format.width, format.height)
    }

    /// Goes on in another format for pictures of the same size. The segment has ended.
    pub fn set_format(&mut self, format: TokenFormat, stream_format: StreamFormat) -> Result<(), RuntimeError> {
        let packets = &mut self.going_on.packets;
        packets.set_format(format, stream_format).map_err(|e| stream_error(&e))
    }

    /// Gives up the network, and what it takes of memory.
    pub fn go_on(self) -> GoingOn {
        self.going_on
    }

    /// Says how far stream time is from the PTS of buffers, for the group under way.
    pub fn set_stream_time(&mut self, shift: i128) {
        self.going_on.packets.set_stream_time(shift);
    }

    /// Adds a frame; runs the network when it completes a group.
    pub fn push(
        &mut self,
        frame: &gst_video::VideoFrameRef<&gst::BufferRef>,
        time: FrameTime,
    ) -> Result<Option<Encoded>, RuntimeError> {
        let picture = frame
            .plane_data(0)
            .map_err(|e| RuntimeError::Run(e.to_string().into()))?;
        self.stack
            .set(self.groups.filled(), picture, frame.plane_stride()[0] as usize);
        match self.groups.push(time) {
            Some(group) => self.encode(group, false).map(Some),
            None => Ok(None),
        }
    }

    /// Ends the segment: encodes the group under way, if there is one, filled up with its last frame.
    pub fn finish(&mut self, end_of_stream: bool) -> Result<Finished, RuntimeError> {
        let tail = self.groups.finish();
        let tail = tail.map(|group| self.encode(group, end_of_stream)).transpose()?;
        let packets = &mut self.going_on.packets;
        let mark = if end_of_stream {
            packets.end_stream()
        } else {
            packets.end_segment()
        };
        let mark = mark.map_err(|e| stream_error(&e))?;
        Ok(Finished { tail, mark })
    }

    fn encode(&mut self, group: Group, end_of_stream: bool) -> Result<Encoded, RuntimeError> {
        let frames = group.frames.len();
        let grouping = self.tokenizer.grouping();
        self.stack.repeat(frames - 1, frames..grouping.step_frames());
        if group.segment_start {
            self.network.restart();
        }
        let GoingOn { packets, sampler } = &mut self.going_on;
        let started = Instant::now();
        let tokens = match sampler {
            None => self.network.encode(self.stack.bytes())?,
            Some(sampler) => {
                let (means, log_variances) = self.network.encode_posterior(self.stack.bytes())?;
                if group.segment_start {
                    sampler.start_segment();
                }
                sampler.draw(means, &log_variances)
            }
        };
        let elapsed = started.elapsed();

        let latent_frames = grouping.step_latent_frames();
        let mark = if group.segment_start {
            packets.start_segment().map_err(|e| stream_error(&e))?
        } else {
            None
        };
        let buffer = packets
            .packet(&tokens, latent_frames, &group, end_of_stream)
            .map_err(|e| stream_error(&e))?;
        Ok(Encoded {
            mark,
            buffer,
            segment_start: group.segment_start,
            frames,
            latent_frames,
            elapsed,
            streams: self.network.streams(),
        })
    }
}

fn stream_error(error: &StreamError) -> RuntimeError {
    error.clone().into()
}
