//! Tokens as buffers: packets of the byte stream with the end marks of its segments, or bare tokens.

use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::stream::{Coder, Packet, StreamError, Tokens, Writer, random_stream_id};
use crate::timeline::{FrameTime, Group, PacketTimes};

/// Makes the buffers of one element, stream after stream.
pub struct Packets {
    stream_format: StreamFormat,
    /// The id that the user has chosen; `None`: a random one for every stream.
    stream_id: Option<String>,
    writer: Writer,
    coder: Coder,
    /// The stream's end mark was made: the next packet begins another stream.
    has_ended: bool,
    /// What to add to a buffer's PTS for its stream time, which is what a file keeps.
    to_stream_time: i128,
    /// PTS of the end of the latest packet's last frame.
    end: Option<u64>,
    /// The end mark of a segment that a flush has cut off. It waits for the next segment, as nothing may be pushed
    /// between a flush and the playback segment that follows it.
    waiting_mark: Option<gst::Buffer>,
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
            waiting_mark: None,
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

    /// Sets what to add to a buffer's PTS for its stream time.
    pub fn set_stream_time(&mut self, shift: i128) {
        self.to_stream_time = shift;
    }

    /// Ends the segment that a flush has cut off. Its end mark comes in front of the next segment.
    pub fn flush(&mut self) -> Result<(), StreamError> {
        if let Some(mut mark) = self.end_segment()? {
            // Its time belongs to the playback segment before the flush.
            mark.make_mut().set_pts(gst::ClockTime::NONE);
            self.waiting_mark = Some(mark);
        }
        Ok(())
    }

    /// Call before a segment's first packet. Returns the end mark of the segment before it, if a flush has cut that off.
    pub fn start_segment(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        if std::mem::take(&mut self.has_ended) {
            self.writer = writer(self.format().clone(), self.stream_id.as_deref())?;
        }
        Ok(self.waiting_mark.take())
    }

    /// The buffer of the tokens of `group`, which are `latent_frames` long.
    pub fn packet(
        &mut self,
        tokens: &Tokens,
        latent_frames: usize,
        group: &Group,
        end_of_stream: bool,
    ) -> Result<gst::Buffer, StreamError> {
        let mut buffer = match self.stream_format {
            StreamFormat::Framed => self.framed(tokens, latent_frames, group, end_of_stream)?,
            StreamFormat::Raw => self.raw(tokens, group, end_of_stream)?,
        };
        let first = group.frames[0].pts;
        let last = group.frames[group.frames.len() - 1];
        self.end = last.duration.map(|duration| last.pts.saturating_add(duration));
        let duration = self.end.map(|end| end.saturating_sub(first));
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_pts(gst::ClockTime::from_nseconds(first));
        buffer_mut.set_duration(duration.map(gst::ClockTime::from_nseconds));
        if !group.segment_start {
            buffer_mut.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        Ok(buffer)
    }

    /// A packet of the byte stream, behind the stream header where it starts a segment.
    fn framed(
        &mut self,
        tokens: &Tokens,
        latent_frames: usize,
        group: &Group,
        end_of_stream: bool,
    ) -> Result<gst::Buffer, StreamError> {
        if group.segment_start {
            self.coder.start_segment();
        }
        // In stream time: a file has no playback segment that would say where its time begins.
        let times = PacketTimes::of(&self.in_stream_time(&group.frames), self.format().framerate);
        let packet = Packet {
            segment_start: group.segment_start,
            segment_end: group.segment_end,
            end_of_stream,
            position: None,
            latent_frames: latent_frames as u32,
            real_frames: group.frames.len() as u32,
            pts: Some(times.pts),
            duration: times.duration,
            offsets: times.offsets,
            payload: self.coder.encode(tokens)?,
        };
        let mut buffer = gst::Buffer::from_mut_slice(self.writer.write(&packet)?);
        if group.segment_start {
            buffer.make_mut().set_flags(gst::BufferFlags::HEADER);
        }
        Ok(buffer)
    }

    /// Bare tokens, with a meta that says what they cannot.
    fn raw(&self, tokens: &Tokens, group: &Group, end_of_stream: bool) -> Result<gst::Buffer, StreamError> {
        let mut buffer = gst::Buffer::from_mut_slice(tokens.to_raw(self.format())?);
        let token_meta = TokenMeta {
            segment_start: group.segment_start,
            segment_end: group.segment_end,
            end_of_stream,
            real_frames: group.frames.len() as u32,
            offsets: PacketTimes::of(&group.frames, self.format().framerate).offsets,
        };
        meta::add(buffer.make_mut(), &token_meta);
        Ok(buffer)
    }

    /// Ends the segment. Returns an end mark, unless the last packet said that it is the segment's last. Bare tokens have
    /// no end marks.
    pub fn end_segment(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        let mark = self.writer.end_segment()?;
        Ok(mark.map(|mark| self.mark(mark)))
    }

    /// Ends the stream. Returns its end mark, if anything was written. Bare tokens have none.
    pub fn end_stream(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        if self.has_ended || self.writer.totals().latent_frames == 0 {
            return Ok(None);
        }
        self.has_ended = true;
        // The stream's end mark stands for it, too.
        self.waiting_mark = None;
        let mark = self.writer.end()?;
        Ok((self.stream_format == StreamFormat::Framed).then(|| self.mark(mark)))
    }

    /// An end mark as a buffer. HEADER: it describes the stream. DELTA_UNIT: decoding cannot start at it.
    fn mark(&self, bytes: Vec<u8>) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_flags(gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT);
        buffer_mut.set_pts(self.end.map(gst::ClockTime::from_nseconds));
        buffer_mut.set_duration(gst::ClockTime::ZERO);
        buffer
    }

    /// `frames` in stream time. Frames in front of the stream's start are at its start.
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
