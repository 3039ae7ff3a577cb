//! Tokens as buffers: packets of the byte stream with the marks that end its segments, or bare tokens.

use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::stream::{Coder, Packet, StreamError, Tokens, Writer, random_stream_id};
use crate::timeline::{FrameTime, Group, PacketTimes};

pub struct Packets {
    stream_format: StreamFormat,
    /// The id that a user has chosen; `None`: a random one for every stream.
    stream_id: Option<String>,
    writer: Writer,
    coder: Coder,
    /// The stream's end mark was made: what comes now is another stream.
    has_ended: bool,
    /// From a buffer's PTS to its stream time, which is what a file keeps.
    to_stream_time: i128,
    /// Where the frames of the latest packet end.
    end: Option<u64>,
    /// The end mark of a segment that a flush has ended. Nothing may be pushed before the playback segment behind it.
    held: Option<gst::Buffer>,
}

impl Packets {
    pub fn new(
        format: TokenFormat,
        stream_format: StreamFormat,
        stream_id: Option<String>,
    ) -> Result<Self, StreamError> {
        Ok(Self {
            stream_format,
            coder: Coder::new(format.clone()),
            writer: writer(format, stream_id.as_deref())?,
            stream_id,
            has_ended: false,
            to_stream_time: 0,
            end: None,
            held: None,
        })
    }

    pub fn format(&self) -> &TokenFormat {
        self.writer.format()
    }

    pub fn stream_format(&self) -> StreamFormat {
        self.stream_format
    }

    /// Goes on with the stream in another format. The segment has ended.
    pub fn set_format(&mut self, format: TokenFormat, stream_format: StreamFormat) -> Result<(), StreamError> {
        self.coder = Coder::new(format.clone());
        self.writer.set_format(format)?;
        self.stream_format = stream_format;
        Ok(())
    }

    /// Says how far stream time is from the PTS of buffers.
    pub fn set_stream_time(&mut self, shift: i128) {
        self.to_stream_time = shift;
    }

    /// Ends the segment where a flush has cut it off. Its end mark comes in front of the next segment.
    pub fn flush(&mut self) -> Result<(), StreamError> {
        if let Some(mut mark) = self.end_segment()? {
            // Its time was on the timeline before.
            mark.make_mut().set_pts(gst::ClockTime::NONE);
            self.held = Some(mark);
        }
        Ok(())
    }

    /// Call before a segment's first packet: gives the end mark of the segment before, where a flush has ended that.
    pub fn start_segment(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        if std::mem::take(&mut self.has_ended) {
            self.writer = writer(self.format().clone(), self.stream_id.as_deref())?;
        }
        Ok(self.held.take())
    }

    /// The buffer of the tokens of `group`, which are `latent_frames` long.
    pub fn packet(
        &mut self,
        tokens: &Tokens,
        latent_frames: usize,
        group: &Group,
        end_of_stream: bool,
    ) -> Result<gst::Buffer, StreamError> {
        let framerate = self.format().framerate;
        let times = PacketTimes::of(&group.frames, framerate);
        let mut buffer = match self.stream_format {
            StreamFormat::Framed => {
                // A file has no playback segment that would say where its time begins.
                if group.segment_start {
                    self.coder.start_segment();
                }
                let kept = PacketTimes::of(&self.in_stream_time(&group.frames), framerate);
                let packet = Packet {
                    segment_start: group.segment_start,
                    segment_end: group.segment_end,
                    end_of_stream,
                    position: None,
                    latent_frames: latent_frames as u32,
                    real_frames: group.frames.len() as u32,
                    pts: Some(kept.pts),
                    duration: kept.duration,
                    offsets: kept.offsets,
                    payload: self.coder.encode(tokens)?,
                };
                let mut buffer = gst::Buffer::from_mut_slice(self.writer.write(&packet)?);
                if group.segment_start {
                    buffer.make_mut().set_flags(gst::BufferFlags::HEADER);
                }
                buffer
            }
            StreamFormat::Raw => {
                let mut buffer = gst::Buffer::from_mut_slice(tokens.to_raw(self.format())?);
                let token_meta = TokenMeta {
                    segment_start: group.segment_start,
                    segment_end: group.segment_end,
                    end_of_stream,
                    real_frames: group.frames.len() as u32,
                    offsets: times.offsets.clone(),
                };
                meta::add(buffer.make_mut(), &token_meta);
                buffer
            }
        };
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_pts(gst::ClockTime::from_nseconds(times.pts));
        buffer_mut.set_duration(times.duration.map(gst::ClockTime::from_nseconds));
        if !group.segment_start {
            buffer_mut.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        self.end = times.duration.map(|duration| times.pts.saturating_add(duration));
        Ok(buffer)
    }

    /// Ends the segment: gives an end mark where the last packet has not said it. Bare tokens have none.
    pub fn end_segment(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        let mark = self.writer.end_segment()?;
        Ok(mark.map(|mark| self.mark(mark)))
    }

    /// Ends the stream: gives its end mark, where anything was written.
    pub fn end_stream(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        if self.has_ended || self.writer.totals().latent_frames == 0 {
            return Ok(None);
        }
        self.has_ended = true;
        // The stream's mark counts that segment, too.
        self.held = None;
        let mark = self.writer.end()?;
        Ok((self.stream_format == StreamFormat::Framed).then(|| self.mark(mark)))
    }

    /// An end mark as a buffer: it explains the stream as a header does, and nothing can start at it.
    fn mark(&self, bytes: Vec<u8>) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_flags(gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT);
        buffer_mut.set_pts(self.end.map(gst::ClockTime::from_nseconds));
        buffer_mut.set_duration(gst::ClockTime::ZERO);
        buffer
    }

    /// `frames` at the times that the stream keeps: what is before its start is at its start.
    fn in_stream_time(&self, frames: &[FrameTime]) -> Vec<FrameTime> {
        let shifted = |pts: u64| (i128::from(pts) + self.to_stream_time).clamp(0, i128::from(u64::MAX)) as u64;
        let frame = |frame: &FrameTime| FrameTime {
            pts: shifted(frame.pts),
            ..*frame
        };
        frames.iter().map(frame).collect()
    }
}

fn writer(format: TokenFormat, stream_id: Option<&str>) -> Result<Writer, StreamError> {
    match stream_id {
        Some(id) => Writer::new(format, id),
        None => Writer::new(format, random_stream_id()?),
    }
}
