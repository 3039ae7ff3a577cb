//! Packets: a few latent frames with their time and a checksum.

use bytes::{Buf, BufMut};

use super::limits::{MAX_HEADER_BYTES, MAX_INDICES, MAX_LATENT_FRAMES, MAX_LATENT_NUMBER, MAX_PAYLOAD_BYTES, MAX_TIME};
use super::{Fault, StreamError};
use crate::format::{MAX_TIME_FACTOR, TokenFormat};

/// First bytes of every packet.
pub const SYNC: [u8; 4] = *b"\x89VTP";

/// Length of a packet header of version 1.0, the shortest there is.
const HEADER_BYTES: usize = 48;
/// Length of a header that ends with the number of the packet's first latent frame.
const NUMBERED_BYTES: usize = HEADER_BYTES + size_of::<u64>();
/// Length of a header that ends with the number of the packet's segment.
const POSITION_BYTES: usize = NUMBERED_BYTES + size_of::<u32>();
/// Where a header has its own checksum.
const CRC_AT: usize = HEADER_BYTES - CRC_BYTES;
const CRC_BYTES: usize = size_of::<u32>();
const OFFSET_BYTES: usize = size_of::<u64>();
/// A PTS or duration that is not known.
const NO_TIME: u64 = u64::MAX;

const SEGMENT_START: u16 = 1 << 0;
const END_OF_STREAM: u16 = 1 << 1;
const FRAME_OFFSETS: u16 = 1 << 2;
const SEGMENT_END: u16 = 1 << 3;
/// A reader that does not know one of these must not use the packet.
const MUST_UNDERSTAND: u16 = 0xff00;

/// Where in its stream a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the packet's first latent frame within its segment: 0 where the segment starts.
    pub latent_frame: u64,
    /// Number of the segment within the stream; 0 follows the largest. A header may leave it out.
    pub segment: Option<u32>,
}

impl Position {
    /// Reads the fields behind those of version 1.0, as far as `fields` goes.
    fn decode(mut fields: &[u8]) -> Option<Self> {
        Some(Self {
            latent_frame: fields.try_get_u64_le().ok()?,
            segment: fields.try_get_u32_le().ok(),
        })
    }

    fn encode(self, fields: &mut Vec<u8>) {
        fields.put_u64_le(self.latent_frame);
        if let Some(segment) = self.segment {
            fields.put_u32_le(segment);
        }
    }

    /// Length of a packet header with this position.
    fn header_bytes(position: Option<Self>) -> usize {
        match position {
            None => HEADER_BYTES,
            Some(Self { segment: None, .. }) => NUMBERED_BYTES,
            Some(Self { segment: Some(_), .. }) => POSITION_BYTES,
        }
    }
}

/// What stands in front of a packet's frame offsets and payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketHeader {
    pub segment_start: bool,
    pub end_of_stream: bool,
    pub segment_end: bool,
    /// Whether the times of the frames after the first are given one by one.
    pub has_offsets: bool,
    /// [Checksum](super::StreamHeader::checksum) of the stream header that the packet belongs to.
    pub stream_header_crc: u32,
    pub latent_frames: u32,
    pub real_frames: u32,
    /// PTS of the first real frame in nanoseconds.
    pub pts: Option<u64>,
    /// Duration of the real frames together in nanoseconds.
    pub duration: Option<u64>,
    /// `None` in streams of version 1.0.
    pub position: Option<Position>,
    header_bytes: usize,
    payload_bytes: u32,
    body_crc: u32,
}

impl PacketHeader {
    /// Reads the packet header that `data` starts with. The body after it need not be there.
    pub fn decode(data: &[u8]) -> Result<Self, Fault> {
        let known = data.len().min(SYNC.len());
        if data[..known] != SYNC[..known] {
            return Err(Fault::Damaged { checked: 0 });
        }
        if data.len() < HEADER_BYTES {
            return Err(Fault::Short(HEADER_BYTES));
        }
        let mut fields = &data[SYNC.len()..];
        let header_bytes = usize::from(fields.get_u16_le());
        if !(HEADER_BYTES..=MAX_HEADER_BYTES).contains(&header_bytes) {
            return Err(Fault::Damaged { checked: 0 });
        }
        if data.len() < header_bytes {
            return Err(Fault::Short(header_bytes));
        }
        let flags = fields.get_u16_le();
        let header = Self {
            segment_start: flags & SEGMENT_START != 0,
            end_of_stream: flags & END_OF_STREAM != 0,
            segment_end: flags & SEGMENT_END != 0,
            has_offsets: flags & FRAME_OFFSETS != 0,
            stream_header_crc: fields.get_u32_le(),
            latent_frames: fields.get_u32_le(),
            real_frames: fields.get_u32_le(),
            payload_bytes: fields.get_u32_le(),
            pts: some_time(fields.get_u64_le()),
            duration: some_time(fields.get_u64_le()),
            body_crc: fields.get_u32_le(),
            position: Position::decode(&data[HEADER_BYTES..header_bytes]),
            header_bytes,
        };
        if fields.get_u32_le() != header_crc(&data[..header_bytes]) {
            return Err(Fault::Damaged { checked: header_bytes });
        }
        if flags & MUST_UNDERSTAND != 0 {
            return Err(StreamError::UnknownFlags(flags & MUST_UNDERSTAND).into());
        }
        header.check_bounds()?;
        Ok(header)
    }

    /// Bytes of the packet: header, frame offsets, payload.
    pub fn packet_bytes(&self) -> usize {
        self.header_bytes + self.offsets_bytes() + self.payload_bytes as usize
    }

    /// Checks that the packet is one that a stream of `format` can have.
    pub fn check(&self, format: &TokenFormat) -> Result<(), StreamError> {
        let fail = |reason| Err(StreamError::Packet(reason));
        let length = format.payload_length(self.latent_frames);
        if !length.allows(self.payload_bytes.into()) {
            return fail(format!(
                "a payload of {} bytes, {} latent frames take {length}",
                self.payload_bytes, self.latent_frames
            ));
        }
        let indices = u64::from(self.latent_frames) * format.grid_cells() as u64;
        if format.regularizer.codebook_size().is_some() && indices > MAX_INDICES {
            return fail(format!(
                "{} latent frames of {} indices, allowed are {MAX_INDICES} indices in a packet",
                self.latent_frames,
                format.grid_cells()
            ));
        }
        let frames = format.frames_of(self.latent_frames, self.segment_start);
        if u64::from(self.real_frames) > frames {
            return fail(format!(
                "{} video frames, {} latent frames make {frames}",
                self.real_frames, self.latent_frames
            ));
        }
        Ok(())
    }

    /// Checks that the packet's body is complete and undamaged; `data` starts with the packet.
    pub fn check_body(&self, data: &[u8]) -> Result<(), Fault> {
        let bytes = self.packet_bytes();
        if data.len() < bytes {
            return Err(Fault::Short(bytes));
        }
        if crc32fast::hash(&data[self.header_bytes..bytes]) != self.body_crc {
            return Err(Fault::Damaged { checked: bytes });
        }
        Ok(())
    }

    fn offsets_bytes(&self) -> usize {
        if self.has_offsets {
            (self.real_frames as usize - 1) * OFFSET_BYTES
        } else {
            0
        }
    }

    /// Checks what needs no token format; afterwards no sum of lengths or times overflows.
    fn check_bounds(&self) -> Result<(), StreamError> {
        let fail = |reason: String| Err(StreamError::Packet(reason));
        if !(1..=MAX_LATENT_FRAMES).contains(&self.latent_frames) {
            return fail(format!(
                "{} latent frames, allowed are 1 to {MAX_LATENT_FRAMES}",
                self.latent_frames
            ));
        }
        if !(1..=self.latent_frames * MAX_TIME_FACTOR).contains(&self.real_frames) {
            return fail(format!(
                "{} video frames in {} latent frames",
                self.real_frames, self.latent_frames
            ));
        }
        if self.payload_bytes > MAX_PAYLOAD_BYTES {
            return fail(format!(
                "a payload of {} bytes, allowed are {MAX_PAYLOAD_BYTES}",
                self.payload_bytes
            ));
        }
        if self.pts.is_some_and(|t| t > MAX_TIME) || self.duration.is_some_and(|t| t > MAX_TIME) {
            return fail(format!("a PTS or duration above {MAX_TIME} ns"));
        }
        if self.has_offsets && self.pts.is_none() {
            return fail("frame offsets without a PTS".into());
        }
        if let Some(Position { latent_frame, .. }) = self.position {
            if latent_frame > MAX_LATENT_NUMBER {
                return fail(format!(
                    "latent frame {latent_frame} of a segment, the last may be {MAX_LATENT_NUMBER}"
                ));
            }
            if self.segment_start != (latent_frame == 0) {
                let start = if self.segment_start { "a" } else { "no" };
                return fail(format!(
                    "{start} segment start at latent frame {latent_frame} of its segment"
                ));
            }
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let flag = |on: bool, flag: u16| if on { flag } else { 0 };
        let flags = flag(self.segment_start, SEGMENT_START)
            | flag(self.end_of_stream, END_OF_STREAM)
            | flag(self.has_offsets, FRAME_OFFSETS)
            | flag(self.segment_end, SEGMENT_END);
        let mut fields = Vec::with_capacity(self.packet_bytes());
        fields.put_slice(&SYNC);
        fields.put_u16_le(self.header_bytes as u16);
        fields.put_u16_le(flags);
        fields.put_u32_le(self.stream_header_crc);
        fields.put_u32_le(self.latent_frames);
        fields.put_u32_le(self.real_frames);
        fields.put_u32_le(self.payload_bytes);
        fields.put_u64_le(self.pts.unwrap_or(NO_TIME));
        fields.put_u64_le(self.duration.unwrap_or(NO_TIME));
        fields.put_u32_le(self.body_crc);
        // The header's checksum, once it is known.
        fields.put_u32_le(0);
        if let Some(position) = self.position {
            position.encode(&mut fields);
        }
        let crc = header_crc(&fields);
        fields[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        fields
    }
}

/// A packet that was read, or that a [`Writer`](super::Writer) writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// The packet decodes without those before it. A stream header stands in front of it.
    pub segment_start: bool,
    /// No later packet belongs to the stream.
    pub end_of_stream: bool,
    /// The next packet, if there is one, starts a segment.
    pub segment_end: bool,
    pub latent_frames: u32,
    /// Video frames to show: fewer than the latent frames stand for if the stream or segment ended inside a group.
    pub real_frames: u32,
    /// PTS of the first real frame in nanoseconds.
    pub pts: Option<u64>,
    /// Duration of the real frames together in nanoseconds.
    pub duration: Option<u64>,
    /// Time of each real frame but the first, in nanoseconds from the PTS. `None`: they are evenly spaced.
    pub offsets: Option<Vec<u64>>,
    /// `None` in streams of version 1.0. A [`Writer`](super::Writer) ignores it and counts.
    pub position: Option<Position>,
    /// The tokens, as a [`Coder`](super::Coder) lays them out.
    pub payload: Vec<u8>,
}

impl Packet {
    /// The packet's bytes at `position` in a stream whose header has the checksum `stream_header_crc`. Without a
    /// position it is a packet of version 1.0.
    ///
    /// # Errors
    /// No reader would take the packet.
    pub fn encode(
        &self,
        format: &TokenFormat,
        stream_header_crc: u32,
        position: Option<Position>,
    ) -> Result<Vec<u8>, StreamError> {
        let offsets = self.offsets.as_deref().unwrap_or_default();
        let mut header = PacketHeader {
            segment_start: self.segment_start,
            end_of_stream: self.end_of_stream,
            segment_end: self.segment_end,
            has_offsets: self.offsets.is_some(),
            stream_header_crc,
            latent_frames: self.latent_frames,
            real_frames: self.real_frames,
            pts: self.pts,
            duration: self.duration,
            position,
            header_bytes: Position::header_bytes(position),
            payload_bytes: u32::try_from(self.payload.len()).unwrap_or(u32::MAX),
            body_crc: 0,
        };
        header.check_bounds()?;
        header.check(format)?;
        if offsets.len() * OFFSET_BYTES != header.offsets_bytes() {
            let reason = format!("{} frame offsets for {} video frames", offsets.len(), self.real_frames);
            return Err(StreamError::Packet(reason));
        }
        check_offsets(offsets)?;
        if !offsets.is_sorted() {
            return Err(StreamError::Packet("frame offsets that go back".into()));
        }
        let offsets: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&offsets);
        crc.update(&self.payload);
        header.body_crc = crc.finalize();

        let mut bytes = header.encode();
        bytes.extend_from_slice(&offsets);
        bytes.extend_from_slice(&self.payload);
        Ok(bytes)
    }

    /// Reads the packet that `data` starts with, in a stream of `format`. Returns it and its length in bytes. Does not
    /// check which stream header the packet belongs to.
    pub fn decode(data: &[u8], format: &TokenFormat) -> Result<(Self, usize), Fault> {
        let header = PacketHeader::decode(data)?;
        header.check(format)?;
        header.check_body(data)?;
        let packet = Self::from_checked(data, &header)?;
        Ok((packet, header.packet_bytes()))
    }

    /// Reads the packet that `data` starts with. `header` is its header; it and the body were checked.
    pub(crate) fn from_checked(data: &[u8], header: &PacketHeader) -> Result<Self, StreamError> {
        let (offsets, payload) = data[header.header_bytes..header.packet_bytes()].split_at(header.offsets_bytes());
        let mut offsets: Vec<u64> = offsets
            .chunks_exact(OFFSET_BYTES)
            .map(|mut offset| offset.get_u64_le())
            .collect();
        check_offsets(&offsets)?;
        // No frame is shown before the one in front of it.
        let mut latest = 0;
        for offset in &mut offsets {
            latest = latest.max(*offset);
            *offset = latest;
        }
        Ok(Self {
            segment_start: header.segment_start,
            end_of_stream: header.end_of_stream,
            segment_end: header.segment_end,
            latent_frames: header.latent_frames,
            real_frames: header.real_frames,
            pts: header.pts,
            duration: header.duration,
            offsets: header.has_offsets.then_some(offsets),
            position: header.position,
            payload: payload.to_vec(),
        })
    }
}

fn check_offsets(offsets: &[u64]) -> Result<(), StreamError> {
    match offsets.iter().find(|offset| **offset > MAX_TIME) {
        Some(offset) => Err(StreamError::Packet(format!(
            "a frame offset of {offset} ns, allowed are {MAX_TIME}"
        ))),
        None => Ok(()),
    }
}

fn some_time(time: u64) -> Option<u64> {
    (time != NO_TIME).then_some(time)
}

/// CRC-32 of a packet header, with its own field taken as zero.
fn header_crc(header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..CRC_AT]);
    crc.update(&[0; CRC_BYTES]);
    crc.update(&header[HEADER_BYTES..]);
    crc.finalize()
}

#[cfg(test)]
mod tests;
