//! Puts a byte stream together.

use super::{End, Packet, Position, StreamError, StreamHeader, Totals};
use crate::format::TokenFormat;

/// Writes the packets of a stream, numbers them, and puts a stream header in front of every segment.
///
/// ```
/// # use gstvidtok::format::TokenFormat;
/// # use gstvidtok::stream::{Packet, StreamError, Writer, random_stream_id};
/// # fn write(format: TokenFormat, packets: &[Packet]) -> Result<Vec<u8>, StreamError> {
/// let mut writer = Writer::new(format, random_stream_id()?)?;
/// let mut bytes = Vec::new();
/// for packet in packets {
///     bytes.extend(writer.write(packet)?);
/// }
/// bytes.extend(writer.end()?);
/// # Ok(bytes)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Writer {
    format: TokenFormat,
    stream_id: String,
    header: Vec<u8>,
    checksum: u32,
    /// A packet of the segment was written, and none that ends it.
    in_segment: bool,
    /// Number of the latest segment, `None` before the first, and what it has.
    segment_number: Option<u32>,
    segment: Totals,
    stream: Totals,
}

impl Writer {
    /// A writer of a new stream, whose id no other stream should have.
    pub fn new(format: TokenFormat, stream_id: impl Into<String>) -> Result<Self, StreamError> {
        let stream_id = stream_id.into();
        let header = StreamHeader::encode(&format, Some(&stream_id), None)?;
        Ok(Self {
            checksum: StreamHeader::checksum_of(&header),
            format,
            stream_id,
            header,
            in_segment: false,
            segment_number: None,
            segment: Totals::default(),
            stream: Totals::default(),
        })
    }

    pub fn format(&self) -> &TokenFormat {
        &self.format
    }

    pub fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// What was written so far.
    pub fn totals(&self) -> Totals {
        self.stream
    }

    /// The bytes of `packet`; where it starts a segment, behind those of the end mark that the segment before it still
    /// needs, and of the stream header.
    pub fn write(&mut self, packet: &Packet) -> Result<Vec<u8>, StreamError> {
        let position = self.position(packet)?;
        let packet_bytes = packet.encode(&self.format, self.checksum, Some(position))?;
        let mut bytes = Vec::new();
        if packet.segment_start {
            bytes.extend(self.end_segment()?.unwrap_or_default());
            bytes.extend_from_slice(&self.header);
            (self.segment_number, self.segment) = (position.segment, Totals::default());
        }
        self.segment = self.segment.plus(packet.latent_frames, packet.real_frames);
        self.stream = self.stream.plus(packet.latent_frames, packet.real_frames);
        self.in_segment = !packet.segment_end && !packet.end_of_stream;
        bytes.extend(packet_bytes);
        Ok(bytes)
    }

    /// Ends the segment: the bytes of an end mark, `None` where the last packet said that it is the segment's last.
    pub fn end_segment(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        if !self.in_segment {
            return Ok(None);
        }
        let mark = self.mark(None)?;
        self.in_segment = false;
        Ok(Some(mark))
    }

    /// Ends the stream: the bytes of its end mark, none where nothing was written. A segment that is written afterwards
    /// goes on with the stream.
    pub fn end(&mut self) -> Result<Vec<u8>, StreamError> {
        if self.segment_number.is_none() {
            return Ok(Vec::new());
        }
        let mark = self.mark(Some(self.stream))?;
        self.in_segment = false;
        Ok(mark)
    }

    /// Goes on with the stream in another format; the next packet starts a segment. Returns what
    /// [`end_segment`](Self::end_segment) does.
    pub fn set_format(&mut self, format: TokenFormat) -> Result<Option<Vec<u8>>, StreamError> {
        let header = StreamHeader::encode(&format, Some(&self.stream_id), None)?;
        let mark = self.end_segment()?;
        self.checksum = StreamHeader::checksum_of(&header);
        (self.format, self.header) = (format, header);
        Ok(mark)
    }

    fn position(&self, packet: &Packet) -> Result<Position, StreamError> {
        if packet.segment_start {
            return Ok(Position {
                latent_frame: 0,
                segment: Some(self.segment_number.map_or(0, |number| number.wrapping_add(1))),
            });
        }
        if !self.in_segment {
            let reason = "a stream's first packet, and the one behind a segment's end, has to start a segment";
            return Err(StreamError::Packet(reason.into()));
        }
        Ok(Position {
            latent_frame: self.segment.latent_frames,
            segment: self.segment_number,
        })
    }

    fn mark(&self, stream: Option<Totals>) -> Result<Vec<u8>, StreamError> {
        let end = End {
            segment_number: self.segment_number,
            segment: self.segment,
            stream,
        };
        StreamHeader::encode(&self.format, Some(&self.stream_id), Some(&end))
    }
}
