//! Units as token buffers, framed or raw.

use crate::caps::StreamFormat;
use crate::element::concealed;
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::rtp::Joined;
use crate::stream::{End, Packet, Position, StreamError, StreamHeader, Totals, random_stream_id};

/// Makes the buffers of one format.
pub struct Output {
    format: TokenFormat,
    stream_format: StreamFormat,
    framing: Framing,
    /// The next buffer is the first, or follows a flush.
    is_first: bool,
}

/// A byte stream whose packets have the numbers of the units, so that a reader sees what is missing. A
/// [`Writer`](crate::stream::Writer) would number what it gets without holes.
struct Framing {
    stream_id: String,
    header: Vec<u8>,
    checksum: u32,
    /// Totals of the stream and of its latest segment.
    stream: Totals,
    segment: Totals,
    /// Number of the segment that has not ended.
    open: Option<u32>,
    ended: bool,
}

impl Framing {
    fn new(format: &TokenFormat) -> Result<Self, StreamError> {
        let stream_id = random_stream_id()?;
        let header = StreamHeader::encode(format, Some(&stream_id), None)?;
        Ok(Self {
            checksum: StreamHeader::checksum_of(&header),
            stream_id,
            header,
            stream: Totals::default(),
            segment: Totals::default(),
            open: None,
            ended: false,
        })
    }

    /// The end mark of the open segment, if there is one, or of the whole stream.
    fn mark(&mut self, format: &TokenFormat, of_stream: bool) -> Result<Option<Vec<u8>>, StreamError> {
        let open = self.open.take();
        if open.is_none() && !of_stream {
            return Ok(None);
        }
        let end = End {
            segment_number: open,
            segment: self.segment,
            stream: of_stream.then_some(self.stream),
        };
        StreamHeader::encode(format, Some(&self.stream_id), Some(&end)).map(Some)
    }

    /// The packet of a unit, with the stream header in front of it where it starts a segment.
    fn packet(&mut self, unit: &Joined, format: &TokenFormat) -> Result<Vec<u8>, StreamError> {
        let segment_start = unit.latent_frame == 0;
        let packet = Packet {
            segment_start,
            end_of_stream: unit.end_of_stream,
            segment_end: unit.segment_end || unit.end_of_stream,
            latent_frames: unit.latent_frames,
            real_frames: unit.real_frames,
            pts: unit.pts,
            duration: unit.duration,
            offsets: unit.offsets.clone().filter(|_| unit.pts.is_some()),
            position: None,
            payload: unit.tokens.to_payload(format)?,
        };
        let position = Position {
            latent_frame: unit.latent_frame.into(),
            segment: Some(unit.segment),
        };
        let packet = packet.encode(format, self.checksum, Some(position))?;
        let mut bytes = Vec::new();
        if segment_start {
            bytes.extend_from_slice(&self.header);
            self.segment = Totals::default();
        }
        bytes.extend(packet);
        for totals in [&mut self.segment, &mut self.stream] {
            totals.latent_frames += u64::from(unit.latent_frames);
            totals.frames += u64::from(unit.real_frames);
        }
        self.open = (!unit.segment_end && !unit.end_of_stream).then_some(unit.segment);
        Ok(bytes)
    }
}

/// A buffer, and whether something in front of it is missing.
pub struct Out {
    pub buffer: gst::Buffer,
    pub discont: bool,
}

impl Output {
    pub fn new(format: TokenFormat, stream_format: StreamFormat) -> Result<Self, StreamError> {
        Ok(Self {
            framing: Framing::new(&format)?,
            format,
            stream_format,
            is_first: true,
        })
    }

    /// The next buffer does not follow from those before, as after a flush.
    pub fn flush(&mut self) {
        self.is_first = true;
        self.framing.open = None;
    }

    /// Another sender's stream follows.
    pub fn restart(&mut self) -> Result<(), StreamError> {
        self.framing = Framing::new(&self.format)?;
        self.is_first = true;
        Ok(())
    }

    /// Adds the buffers of a unit to `out`.
    pub fn unit(&mut self, unit: &Joined, out: &mut Vec<Out>) -> Result<(), StreamError> {
        if std::mem::take(&mut self.framing.ended) {
            self.framing = Framing::new(&self.format)?;
        }
        let segment_start = unit.latent_frame == 0;
        // Where something is missing, nobody knows how the segment has ended: a reader shall see that.
        if segment_start
            && !unit.after_hole
            && self.stream_format == StreamFormat::Framed
            && let Some(mark) = self.framing.mark(&self.format, false)?
        {
            out.push(self.mark(mark, unit.pts));
        }
        let mut buffer = match self.stream_format {
            StreamFormat::Framed => gst::Buffer::from_mut_slice(self.framing.packet(unit, &self.format)?),
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
        let discont = std::mem::take(&mut self.is_first) || unit.after_hole;
        out.push(Out { buffer, discont });
        if unit.end_of_stream {
            let end = unit
                .pts
                .zip(unit.duration)
                .and_then(|(pts, duration)| pts.checked_add(duration));
            self.end(end, out)?;
        }
        Ok(())
    }

    /// Adds the end mark of the stream to `out`.
    pub fn end(&mut self, pts: Option<u64>, out: &mut Vec<Out>) -> Result<(), StreamError> {
        if self.stream_format != StreamFormat::Framed || self.framing.ended || self.framing.stream.latent_frames == 0 {
            return Ok(());
        }
        self.framing.ended = true;
        if let Some(mark) = self.framing.mark(&self.format, true)? {
            out.push(self.mark(mark, pts));
        }
        Ok(())
    }

    fn raw(&self, unit: &Joined) -> Result<gst::Buffer, StreamError> {
        let mut buffer = gst::Buffer::from_mut_slice(unit.tokens.to_raw(&self.format)?);
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
