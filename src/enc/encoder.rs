//! The encoder's worker: frames in, token buffers out. Independent of elements and pads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::packets::Packets;
use super::posterior::Sampler;
use super::timing::Arrival;
use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::runtime::{Cancel, EncoderNetwork, Options, Report, Running, RuntimeError};
use crate::timeline::{Group, Groups};
use crate::tokenizer::{Description, FrameStack, FrameType, Graph};

/// Encodes video of one size.
pub struct Encoder {
    tokenizer: Arc<Description>,
    network: EncoderNetwork,
    groups: Groups,
    /// A full group whose pictures are in the stack. It waits for what the next frame says of its last frame's duration.
    held: Option<Group>,
    stack: FrameStack,
    /// The current group's buffer follows a discontinuity.
    discont: bool,
    continued: Continued,
}

/// What an encoder leaves to the next one, where pictures of another size need another network.
pub struct Continued {
    pub packets: Packets,
    /// Draws tokens from the posterior; `None`: tokens are indices, or means.
    pub sampler: Option<Sampler>,
}

/// A token buffer, and what is in it.
pub struct Encoded {
    /// The end mark of the segment before, to be pushed first.
    pub mark: Option<gst::Buffer>,
    pub buffer: gst::Buffer,
    pub segment_start: bool,
    pub frames: usize,
    pub latent_frames: usize,
    /// How long the network's step took.
    pub elapsed: Duration,
    /// Streams in the step's batch, this one included.
    pub members: usize,
}

/// How a segment ends: with a group that was not full, with an end mark, or both.
#[derive(Default)]
pub struct Finished {
    pub tail: Option<Encoded>,
    pub mark: Option<gst::Buffer>,
}

impl Encoder {
    /// An encoder for pictures of the size in the format of `continued`. `cancel` ends its steps.
    pub fn new(
        graph: &Graph,
        options: Options,
        continued: Continued,
        cancel: Cancel,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        let tokenizer = graph.description.clone();
        let format = continued.packets.format();
        let size = (format.width, format.height);
        let mut network = EncoderNetwork::open(graph, options, size.0, size.1, report)?;
        if continued.sampler.is_some() {
            network.expect_posterior()?;
        }
        network.set_cancel(cancel);
        let grouping = tokenizer.grouping();
        let padded = (tokenizer.padded(size.0), tokenizer.padded(size.1));
        Ok(Self {
            groups: Groups::new(grouping, 0),
            held: None,
            stack: FrameStack::new(network.input(), grouping.step_frames(), size, padded),
            discont: false,
            tokenizer,
            network,
            continued,
        })
    }

    /// Runs two steps on black pictures, and returns how long the second one took: the first may be slower. The next step
    /// starts a segment, as if there had been none.
    pub fn run_trial(&mut self) -> Result<Duration, RuntimeError> {
        let first = self.network.encode(self.stack.bytes());
        let started = Instant::now();
        let second = first.and_then(|_| self.network.encode(self.stack.bytes()));
        let elapsed = started.elapsed();
        self.network.restart();
        second.map(|_| elapsed)
    }

    pub fn format(&self) -> &TokenFormat {
        self.continued.packets.format()
    }

    pub fn running(&self) -> &Running {
        self.network.running()
    }

    /// What the network takes.
    pub fn input(&self) -> FrameType {
        self.network.input()
    }

    /// Frames that a step of the network takes.
    pub fn step_frames(&self) -> usize {
        self.tokenizer.grouping().step_frames()
    }

    /// Whether the current group has frames.
    pub fn has_open_group(&self) -> bool {
        self.groups.filled() > 0
    }

    /// Forgets everything that is not encoded yet; the next frame starts a segment.
    pub fn reset(&mut self) -> Result<(), RuntimeError> {
        self.held = None;
        self.groups.finish();
        Ok(self.continued.packets.flush()?)
    }

    /// Whether this encoder makes tokens of `format` in `stream_format`.
    pub fn makes(&self, format: &TokenFormat, stream_format: StreamFormat) -> bool {
        self.format() == format && self.continued.packets.stream_format() == stream_format
    }

    /// Whether the network takes pictures of the size in `format`.
    pub fn is_of_size(&self, format: &TokenFormat) -> bool {
        (self.format().width, self.format().height) == (format.width, format.height)
    }

    /// Continues in another format for pictures of the same size. The segment has ended.
    pub fn set_format(&mut self, format: TokenFormat, stream_format: StreamFormat) -> Result<(), RuntimeError> {
        let packets = &mut self.continued.packets;
        Ok(packets.set_format(format, stream_format)?)
    }

    /// Gives up the network and its memory.
    pub fn into_continued(self) -> Continued {
        self.continued
    }

    /// The last frame of a group that is held lasts for `duration` nanoseconds.
    pub fn set_held_duration(&mut self, duration: u64) {
        if let Some(last) = self.held.as_mut().and_then(|group| group.frames.last_mut()) {
            last.duration = Some(duration);
        }
    }

    /// Runs the network on the group that is held, if one is. Call before the next frame is added.
    pub fn release(&mut self) -> Result<Option<Encoded>, RuntimeError> {
        self.held.take().map(|group| self.encode(group, false)).transpose()
    }

    /// Where the next frame's picture belongs: its number in the stack. No group is held.
    pub fn next_picture(&mut self) -> (&mut FrameStack, usize) {
        (&mut self.stack, self.groups.filled())
    }

    /// Adds a frame whose [picture](Self::next_picture) is there, and runs the network when it completes a group.
    /// `key_interval`: frames from one segment start to the next, rounded up to whole groups; 0: one segment. `holds`: a
    /// group that the frame completes is held until it is [released](Self::release).
    pub fn push(&mut self, arrival: &Arrival, key_interval: u64, holds: bool) -> Result<Option<Encoded>, RuntimeError> {
        self.groups.set_key_interval(key_interval);
        if arrival.ends_with_group {
            self.groups.finish_after_group();
        }
        self.discont |= arrival.discont;
        self.continued.packets.set_stream_time(arrival.to_stream_time);
        match self.groups.push(arrival.time) {
            Some(group) if holds => {
                self.held = Some(group);
                Ok(None)
            }
            Some(group) => self.encode(group, false).map(Some),
            None => Ok(None),
        }
    }

    /// Ends the segment. No group is held. Encodes the current group, if it has frames, filled up with copies of its last one.
    pub fn finish(&mut self, end_of_stream: bool) -> Result<Finished, RuntimeError> {
        let tail = self.groups.finish();
        let tail = tail.map(|group| self.encode(group, end_of_stream)).transpose()?;
        let packets = &mut self.continued.packets;
        let mark = if end_of_stream {
            packets.end_stream()
        } else {
            packets.end_segment()
        }?;
        Ok(Finished { tail, mark })
    }

    fn encode(&mut self, group: Group, end_of_stream: bool) -> Result<Encoded, RuntimeError> {
        let frames = group.frames.len();
        let grouping = self.tokenizer.grouping();
        self.stack.repeat(frames - 1, frames..grouping.step_frames());
        if group.segment_start {
            self.network.restart();
        }
        let Continued { packets, sampler } = &mut self.continued;
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
            packets.start_segment()?
        } else {
            None
        };
        let mut buffer = packets.packet(&tokens, latent_frames, &group, end_of_stream)?;
        if std::mem::take(&mut self.discont) {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        Ok(Encoded {
            mark,
            buffer,
            segment_start: group.segment_start,
            frames,
            latent_frames,
            elapsed,
            members: self.network.streams(),
        })
    }
}
