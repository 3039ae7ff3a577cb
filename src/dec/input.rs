//! Token buffers, framed or raw, read as packets.

use std::fmt;

use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::meta;
use crate::stream::{Fault, MAGIC, Packet, PacketHeader, StreamError, StreamHeader, Tokens};
use crate::timeline::PacketTimes;

/// What a token buffer holds.
pub struct Input {
    pub segment_start: bool,
    pub latent_frames: u64,
    pub real_frames: u64,
    /// `None` where neither buffer nor packet has a PTS.
    pub times: Option<PacketTimes>,
    /// What is added to these times: a buffer's PTS counts, and it may have been shifted on the way.
    pub shift: i64,
    pub tokens: Tokens,
}

impl Input {
    /// Mean distance of the real frames in nanoseconds; `None` where it is not known.
    pub fn frame_distance(&self) -> Option<u64> {
        let times = self.times.as_ref()?;
        let by_offsets = || {
            times
                .offsets
                .as_ref()?
                .last()?
                .checked_div(self.real_frames.checked_sub(1)?)
        };
        let by_duration = times
            .duration
            .and_then(|duration| duration.checked_div(self.real_frames));
        by_duration.or_else(by_offsets).filter(|distance| *distance > 0)
    }
}

/// Why a token buffer cannot be decoded.
#[derive(Debug)]
pub enum InputError {
    /// Bytes were lost or changed on the way: what follows may be good again.
    Damaged(String),
    /// The stream is not one that this decoder can decode.
    Refused(StreamError),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(text) => f.write_str(text),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl From<Fault> for InputError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => Self::Refused(error),
            fault => Self::Damaged(format!("a packet is {fault}")),
        }
    }
}

impl From<StreamError> for InputError {
    fn from(error: StreamError) -> Self {
        Self::Refused(error)
    }
}

/// Reads the buffers of one stream.
pub struct InputReader {
    format: TokenFormat,
    stream_format: StreamFormat,
    /// Checksum of the latest stream header: packets name the header that they belong to.
    header: Option<u32>,
}

impl InputReader {
    pub fn new(format: TokenFormat, stream_format: StreamFormat) -> Self {
        Self {
            format,
            stream_format,
            header: None,
        }
    }

    /// What `buffer` holds; `None` for an end mark.
    pub fn read(&mut self, buffer: &gst::BufferRef) -> Result<Option<Input>, InputError> {
        let map = buffer.map_readable().map_err(|e| InputError::Damaged(e.to_string()))?;
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let duration = buffer.duration().map(|duration| duration.nseconds());
        match self.stream_format {
            StreamFormat::Framed => self.read_framed(&map, pts),
            StreamFormat::Raw => self.read_raw(&map, buffer, pts, duration).map(Some),
        }
    }

    /// A packet, with a stream header in front of it at a segment start.
    fn read_framed(&mut self, mut data: &[u8], pts: Option<u64>) -> Result<Option<Input>, InputError> {
        if data.starts_with(&MAGIC) {
            let (header, bytes) = StreamHeader::decode(data)?;
            if header.end.is_some() {
                return Ok(None);
            }
            // Framerate and the like may have been overruled on the way.
            if !header.format.reads_like(&self.format) {
                let text = "it contradicts the caps of the stream";
                return Err(InputError::Refused(StreamError::Header(text.into())));
            }
            self.header = Some(header.checksum);
            data = &data[bytes..];
        }
        let stream = PacketHeader::decode(data)?.stream;
        if self.header.is_some_and(|header| header != stream) {
            return Err(InputError::Damaged("a packet belongs to another stream header".into()));
        }
        let (packet, _) = Packet::decode(data, &self.format)?;
        let own = packet.pts.or(pts);
        let shift = pts
            .zip(own)
            .map_or(0, |(buffer, packet)| buffer.wrapping_sub(packet) as i64);
        let times = own.map(|pts| PacketTimes {
            pts,
            duration: packet.duration,
            offsets: packet.offsets,
        });
        Ok(Some(Input {
            segment_start: packet.segment_start,
            latent_frames: packet.latent_frames.into(),
            real_frames: packet.real_frames.into(),
            times,
            shift,
            tokens: Tokens::from_payload(&packet.payload, &self.format, packet.latent_frames)?,
        }))
    }

    /// Bare tokens; what they cannot say is in the meta, or taken to be the usual.
    fn read_raw(
        &self,
        data: &[u8],
        buffer: &gst::BufferRef,
        pts: Option<u64>,
        duration: Option<u64>,
    ) -> Result<Input, InputError> {
        let tokens = Tokens::from_raw(data, &self.format)?;
        let latent_frames = (tokens.len() / self.format.values_per_latent_frame()) as u64;
        let meta = meta::get(buffer);
        let segment_start = match &meta {
            Some(meta) => meta.segment_start,
            None => !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        };
        let factor = u64::from(self.format.time_factor);
        let missing = if self.format.causal && segment_start {
            factor - 1
        } else {
            0
        };
        let capacity = latent_frames * factor - missing;
        let (real_frames, offsets) = match meta {
            Some(meta) => (u64::from(meta.real_frames).min(capacity), meta.offsets),
            None => (capacity, None),
        };
        let times = pts.map(|pts| PacketTimes { pts, duration, offsets });
        Ok(Input {
            segment_start,
            latent_frames,
            real_frames,
            times,
            shift: 0,
            tokens,
        })
    }
}
