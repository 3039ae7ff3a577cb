//! Units as token buffers, framed or raw.

use crate::caps::StreamFormat;
use crate::element::concealed;
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::rtp::Joined;
use crate::stream::{Packet, StreamError, Writer, random_stream_id};

/// Makes the buffers of one format.
pub struct Output {
    stream_format: StreamFormat,
    writer: Writer,
    /// The next buffer is the first, or follows a flush.
    is_first: bool,
}

/// A buffer, and whether something in front of it is missing.
pub struct Out {
    pub buffer: gst::Buffer,
    pub discont: bool,
}

impl Output {
    pub fn new(format: TokenFormat, stream_format: StreamFormat) -> Result<Self, StreamError> {
        Ok(Self {
            stream_format,
            writer: Writer::new(format, random_stream_id()?)?,
            is_first: true,
        })
    }

    /// The next buffer does not follow from those before, as after a flush.
    pub fn flush(&mut self) {
        self.is_first = true;
    }

    /// Another sender's stream follows.
    pub fn restart(&mut self) -> Result<(), StreamError> {
        *self = Self::new(self.writer.format().clone(), self.stream_format)?;
        Ok(())
    }

    /// Adds the buffers of a unit to `out`.
    pub fn unit(&mut self, unit: &Joined, out: &mut Vec<Out>) -> Result<(), StreamError> {
        let segment_start = unit.latent_frame == 0;
        let discont = std::mem::take(&mut self.is_first) || unit.after_hole;
        let mut buffer = match self.stream_format {
            StreamFormat::Framed => self.framed(unit, discont, out)?,
            StreamFormat::Raw => self.raw(unit)?,
        };
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_pts(unit.pts.map(gst::ClockTime::from_nseconds));
        buffer_mut.set_duration(unit.duration.map(gst::ClockTime::from_nseconds));
        match (segment_start, self.stream_format) {
            (false, _) => buffer_mut.set_flags(gst::BufferFlags::DELTA_UNIT),
            (true, StreamFormat::Framed) => buffer_mut.set_flags(gst::BufferFlags::HEADER),
            (true, StreamFormat::Raw) => (),
        }
        if !unit.concealed.is_empty() {
            concealed::add(buffer_mut, &unit.concealed);
        }
        out.push(Out { buffer, discont });
        if unit.end_of_stream {
            self.end(unit.end(), out)?;
        }
        Ok(())
    }

    /// Adds the end mark of the stream to `out`, if anything of it was written. What follows is another stream.
    pub fn end(&mut self, pts: Option<u64>, out: &mut Vec<Out>) -> Result<(), StreamError> {
        let mark = self.writer.end()?;
        if !mark.is_empty() {
            out.push(self.mark(mark, pts));
            self.writer = Writer::new(self.writer.format().clone(), random_stream_id()?)?;
        }
        Ok(())
    }

    /// The packet of a unit. Adds the end mark of the segment before to `out`.
    fn framed(&mut self, unit: &Joined, discont: bool, out: &mut Vec<Out>) -> Result<gst::Buffer, StreamError> {
        let segment_start = unit.latent_frame == 0;
        if segment_start {
            // Where something is missing, nobody knows how the segment has ended: a reader shall see that.
            if !discont && let Some(mark) = self.writer.end_segment()? {
                out.push(self.mark(mark, unit.pts));
            }
            self.writer.skip_to(unit.segment);
        }
        let packet = Packet {
            segment_start,
            end_of_stream: unit.end_of_stream,
            segment_end: unit.segment_end || unit.end_of_stream,
            latent_frames: unit.latent_frames,
            real_frames: unit.real_frames,
            pts: unit.pts,
            duration: unit.duration,
            offsets: unit.offsets.clone().filter(|_| unit.pts.is_some()),
            payload: unit.tokens.to_payload(self.writer.format())?,
            ..Packet::default()
        };
        Ok(gst::Buffer::from_mut_slice(self.writer.write(&packet)?))
    }

    fn raw(&self, unit: &Joined) -> Result<gst::Buffer, StreamError> {
        let mut buffer = gst::Buffer::from_mut_slice(unit.tokens.to_raw(self.writer.format())?);
        let token_meta = TokenMeta {
            segment_start: unit.latent_frame == 0,
            segment_end: unit.segment_end,
            end_of_stream: unit.end_of_stream,
            real_frames: unit.real_frames,
            offsets: unit.offsets.clone(),
        };
        meta::add(buffer.make_mut(), &token_meta);
        Ok(buffer)
    }

    /// An end mark as a buffer, with the flags that `vidtokenc` sets.
    fn mark(&self, bytes: Vec<u8>, pts: Option<u64>) -> Out {
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_flags(gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT);
        buffer_mut.set_pts(pts.map(gst::ClockTime::from_nseconds));
        buffer_mut.set_duration(gst::ClockTime::ZERO);
        Out { buffer, discont: false }
    }
}
