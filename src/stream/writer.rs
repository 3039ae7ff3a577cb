//! Writes a byte stream.

use super::{End, Packet, Position, StreamError, StreamHeader, Totals};
use crate::format::TokenFormat;

/// Writes the packets of a stream, numbers them, and puts a stream header in front of every segment.
///
/// ```
/// use gstvidtok::format::{Coding, Fraction, Regularizer, TokenFormat, TokenType};
/// use gstvidtok::stream::{Coder, Packet, Tokens, Writer, random_stream_id};
///
/// // Two cells of 32,768 codes, at 30 frames per second.
/// let format = TokenFormat {
///     model: "example".into(),
///     digest: "0123456789abcdef".repeat(4),
///     regularizer: Regularizer::Fsq { levels: vec![8; 5] },
///     token_type: TokenType::Uint16,
///     coding: Coding::Packed,
///     grid_width: 2,
///     grid_height: 1,
///     time_factor: 4,
///     space_factor: 8,
///     causal: true,
///     width: 16,
///     height: 8,
///     framerate: Fraction::new(30, 1),
///     pixel_aspect_ratio: Fraction::new(1, 1),
///     colorimetry: None,
///     pixels: None,
/// };
/// let mut coder = Coder::new(format.clone());
/// let mut writer = Writer::new(format.clone(), random_stream_id()?)?;
/// let mut bytes = Vec::new();
/// for (i, indices) in [vec![1, 32767], vec![2, 12345]].into_iter().enumerate() {
///     let packet = Packet {
///         segment_start: i == 0,
///         latent_frames: 1,
///         real_frames: format.frames_of(1, i == 0) as u32,
///         payload: coder.encode(&Tokens::Indices(indices))?,
///         ..Packet::default()
///     };
///     bytes.extend(writer.write(&packet)?);
/// }
/// bytes.extend(writer.end()?);
/// assert!(bytes.starts_with(b"\x89VIDTOK\x01"));
/// # Ok::<(), gstvidtok::stream::StreamError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Writer {
    format: TokenFormat,
    stream_id: String,
    header: Vec<u8>,
    checksum: u32,
    /// A segment has started and not ended.
    in_segment: bool,
    /// Number of the latest segment; `None` before the first.
    segment_number: Option<u32>,
    next_segment: u32,
    /// Totals of the latest segment.
    segment: Totals,
    /// Totals of the stream so far.
    stream: Totals,
}

impl Writer {
    /// A writer of a new stream. No other stream should have the id `stream_id`.
    ///
    /// # Errors
    /// No stream can have the format or the id.
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
            next_segment: 0,
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

    /// The totals of what was written.
    pub fn totals(&self) -> Totals {
        self.stream
    }

    /// The bytes of `packet`. If it starts a segment, the end mark that the segment before it still needs and the
    /// stream header stand in front of it.
    ///
    /// # Errors
    /// No reader would take the packet here.
    pub fn write(&mut self, packet: &Packet) -> Result<Vec<u8>, StreamError> {
        let position = self.position(packet)?;
        let packet_bytes = packet.encode(&self.format, self.checksum, Some(position))?;
        let mut bytes = Vec::new();
        if packet.segment_start {
            bytes.extend(self.end_segment()?.unwrap_or_default());
            bytes.extend_from_slice(&self.header);
            (self.segment_number, self.segment) = (position.segment, Totals::default());
            self.next_segment = self.next_segment.wrapping_add(1);
        }
        self.segment = self.segment.plus(packet.latent_frames, packet.real_frames);
        self.stream = self.stream.plus(packet.latent_frames, packet.real_frames);
        self.in_segment = !packet.segment_end && !packet.end_of_stream;
        bytes.extend(packet_bytes);
        Ok(bytes)
    }

    /// Ends the segment. Returns the bytes of an end mark; `None` if the last packet has ended the segment.
    pub fn end_segment(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        if !self.in_segment {
            return Ok(None);
        }
        let mark = self.mark(None)?;
        self.in_segment = false;
        Ok(Some(mark))
    }

    /// Leaves out what is missing up to segment number `next`, which the next packet must start. No end mark says how the
    /// segment before has ended, so that a reader sees that something is missing, unless
    /// [`end_segment`](Self::end_segment) has ended it.
    pub(crate) fn skip_to(&mut self, next: u32) {
        self.in_segment = false;
        self.next_segment = next;
    }

    /// Ends the stream. Returns the bytes of its end mark, which are empty if nothing was written. A segment that is
    /// written afterwards belongs to the same stream.
    pub fn end(&mut self) -> Result<Vec<u8>, StreamError> {
        if self.segment_number.is_none() {
            return Ok(Vec::new());
        }
        let mark = self.mark(Some(self.stream))?;
        self.in_segment = false;
        Ok(mark)
    }

    /// Continues in another format; the next packet must start a segment. Returns what
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
                segment: Some(self.next_segment),
            });
        }
        if !self.in_segment {
            let reason = "the packet must start a segment: it is the stream's first, or stands behind a segment's end";
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
