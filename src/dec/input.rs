//! Token buffers, framed or raw, read as packets.

use std::fmt;

use super::tokens::UnreadTokens;
use crate::caps::StreamFormat;
use crate::element::concealed;
use crate::element::raw::RawReader;
use crate::format::{Fraction, TokenFormat};
use crate::stream::{Continuity, Fault, Hole, Link, Loss, MAGIC, Packet, PacketHeader, StreamError, StreamHeader};
use crate::timeline::PacketTimes;

/// What a packet or a `raw` buffer holds.
pub struct Input {
    pub segment_start: bool,
    /// The segment ends with it, so its last pictures need not wait for another packet.
    pub segment_end: bool,
    /// How it follows what came before it.
    pub link: Link,
    /// What is missing in front of it. Each hole is in one packet only.
    pub hole: Option<Hole>,
    /// The buffer has DISCONT: an element upstream has reported the hole.
    pub hole_is_known: bool,
    pub latent_frames: u32,
    pub real_frames: u64,
    /// `None` where neither buffer nor packet has a PTS.
    pub times: Option<PacketTimes>,
    /// Some of its tokens did not come, and an element upstream has put others in their place.
    pub concealed: bool,
    /// What to add to `times`, in nanoseconds: the buffer's PTS counts, and elements may have shifted it.
    pub shift: i64,
    pub tokens: UnreadTokens,
}

impl Input {
    /// PTS of its first frame.
    pub fn time(&self) -> Option<u64> {
        self.times.as_ref()?.pts.checked_add_signed(self.shift)
    }

    pub fn duration(&self) -> Option<u64> {
        self.times.as_ref()?.duration
    }

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
    /// Bytes were lost or changed. What follows may be undamaged.
    Damaged {
        text: String,
        /// Damage was reported already, and no undamaged packet was read since.
        was_reported: bool,
    },
    /// The decoder cannot decode this stream.
    Refused(StreamError),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { text, .. } => f.write_str(text),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl From<StreamError> for InputError {
    fn from(error: StreamError) -> Self {
        Self::Refused(error)
    }
}

/// A packet or an end mark.
pub enum Item {
    Packet(Input),
    /// The segment has ended, perhaps with a hole in front of its end.
    End(Option<Hole>),
}

/// What a buffer holds.
#[derive(Default)]
pub struct Read {
    pub items: Vec<Item>,
    /// Why nothing was read behind `items`.
    pub error: Option<InputError>,
    /// A warning for the user.
    pub warning: Option<&'static str>,
}

/// Reads token buffers of one format.
pub struct InputReader {
    format: TokenFormat,
    stream_format: StreamFormat,
    /// What durations go by; `0/1` where the framerate is a guess, from which nothing follows.
    raw_framerate: Fraction,
    /// Checksum of the latest stream header, which each of its packets has.
    stream_header_crc: Option<u32>,
    continuity: Continuity,
    /// Something is missing from the segment of `raw` tokens, which have no numbers to tell it by.
    raw_is_broken: bool,
    /// Nothing was read yet, so nothing can be missing before what comes next.
    is_first: bool,
    /// The next hole was reported as damage already.
    damage_was_reported: bool,
    raw: RawReader,
}

impl InputReader {
    pub fn new(format: TokenFormat, stream_format: StreamFormat, framerate_is_assumed: bool) -> Self {
        Self {
            raw_framerate: if framerate_is_assumed {
                Fraction::new(0, 1)
            } else {
                format.framerate
            },
            format,
            stream_format,
            stream_header_crc: None,
            continuity: Continuity::new(),
            raw_is_broken: false,
            is_first: true,
            damage_was_reported: false,
            raw: RawReader::default(),
        }
    }

    /// Continues after `before`, a reader that has read the same stream with other caps.
    pub fn follow(&mut self, before: Self) {
        self.continuity = before.continuity;
        self.is_first = before.is_first;
    }

    /// Forgets what came before, as after a flush.
    pub fn reset(&mut self) {
        self.continuity.reset();
        self.raw_is_broken = false;
        self.is_first = true;
        self.damage_was_reported = false;
        self.raw = RawReader::default();
    }

    /// Reads a buffer. DISCONT says that something in front of it may be missing, except in front of the first buffer.
    pub fn read(&mut self, buffer: &gst::Buffer) -> Read {
        let mut read = Read::default();
        let result = match self.stream_format {
            StreamFormat::Framed => self.read_framed(buffer, &mut read),
            StreamFormat::Raw => self.read_raw(buffer, &mut read),
        };
        read.error = result.err();
        read
    }

    /// Reads packets, with a stream header in front of a segment start, and end marks.
    fn read_framed(&mut self, buffer: &gst::BufferRef, read: &mut Read) -> Result<(), InputError> {
        let map = buffer.map_readable().map_err(|e| self.damaged(e.to_string()))?;
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let mut data = &map[..];
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        // The buffer's PTS is for its first packet, in which another PTS may be written.
        let mut shift = None;
        while !data.is_empty() {
            if data.starts_with(&MAGIC) {
                let (header, bytes) = StreamHeader::decode(data).map_err(|fault| self.fault(fault))?;
                data = &data[bytes..];
                self.read_header(&header, read)?;
                continue;
            }
            let header = PacketHeader::decode(data).map_err(|fault| self.fault(fault))?;
            if self
                .stream_header_crc
                .is_some_and(|crc| crc != header.stream_header_crc)
            {
                return Err(self.damaged("a packet belongs to another stream header".into()));
            }
            header.check(&self.format)?;
            header.check_body(data).map_err(|fault| self.fault(fault))?;
            let packet = Packet::from_checked(data, &header)?;
            data = &data[header.packet_bytes()..];
            // The numbers of a segment start tell whether anything is missing.
            if discont && read.items.is_empty() && !packet.segment_start {
                self.continuity.lost();
            }
            let place = self.continuity.packet(&header);
            let own = packet.pts.or(pts.filter(|_| shift.is_none()));
            let shift = *shift.get_or_insert_with(|| {
                let both = pts.zip(own);
                both.map_or(0, |(buffer, packet)| buffer.wrapping_sub(packet) as i64)
            });
            let is_first = read.items.is_empty();
            let times = own.map(|pts| PacketTimes {
                pts,
                duration: packet.duration,
                offsets: packet.offsets,
            });
            read.items.push(Item::Packet(Input {
                segment_start: packet.segment_start,
                segment_end: packet.segment_end || packet.end_of_stream,
                link: place.link,
                hole: self.unreported(place.hole),
                hole_is_known: discont && is_first,
                latent_frames: packet.latent_frames,
                real_frames: packet.real_frames.into(),
                times,
                concealed: concealed::is_on(buffer),
                shift,
                tokens: UnreadTokens::of_payload(packet.payload, packet.latent_frames),
            }));
        }
        Ok(())
    }

    fn read_header(&mut self, header: &StreamHeader, read: &mut Read) -> Result<(), InputError> {
        if header.end.is_some() {
            let hole = self.continuity.end(header);
            // Only a packet shows that the damage is over: the mark may be another stream's.
            let damage_was_reported = self.damage_was_reported;
            read.items.push(Item::End(self.unreported(hole)));
            self.damage_was_reported = damage_was_reported;
            return Ok(());
        }
        // Framerate and colorimetry of the caps may differ: elements upstream can override them.
        if !header.format.decodes_like(&self.format) {
            let text = "it contradicts the caps of the stream";
            return Err(InputError::Refused(StreamError::Header(text.into())));
        }
        self.stream_header_crc = Some(header.checksum);
        self.continuity.header(header);
        Ok(())
    }

    /// `hole`, unless nothing came before it, or it was reported as damage.
    fn unreported(&mut self, hole: Option<Hole>) -> Option<Hole> {
        let is_first = std::mem::take(&mut self.is_first);
        let was_reported = std::mem::take(&mut self.damage_was_reported);
        hole.filter(|_| !is_first && !was_reported)
    }

    fn fault(&mut self, fault: Fault) -> InputError {
        match fault {
            Fault::Refused(error) => InputError::Refused(error),
            fault => self.damaged(format!("a packet is {fault}")),
        }
    }

    fn damaged(&mut self, text: String) -> InputError {
        self.continuity.lost();
        self.raw_is_broken = true;
        let was_reported = std::mem::replace(&mut self.damage_was_reported, true);
        InputError::Damaged { text, was_reported }
    }

    /// Reads bare tokens.
    fn read_raw(&mut self, buffer: &gst::Buffer, read: &mut Read) -> Result<(), InputError> {
        let raw = self.raw.read(buffer, &self.format, self.raw_framerate)?;
        read.warning = self.raw.take_warning();
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        let (link, hole) = self.link_raw(raw.segment_start, discont);
        let map = buffer.clone().into_mapped_buffer_readable();
        let map = map.map_err(|_| self.damaged("a buffer cannot be read".into()))?;
        read.items.push(Item::Packet(Input {
            segment_start: raw.segment_start,
            segment_end: raw.segment_end,
            link,
            hole,
            hole_is_known: true,
            latent_frames: raw.latent_frames,
            real_frames: raw.real_frames,
            times: raw.times,
            concealed: concealed::is_on(buffer),
            shift: 0,
            tokens: UnreadTokens::of_raw(map, raw.latent_frames),
        }));
        Ok(())
    }

    /// How raw tokens follow what came before. Only DISCONT tells that some are missing.
    fn link_raw(&mut self, segment_start: bool, discont: bool) -> (Link, Option<Hole>) {
        if segment_start {
            self.raw_is_broken = false;
            return (Link::Starts, self.unreported(None));
        }
        let hole = Hole {
            loss: Loss::Damage,
            latent_frames: None,
        };
        let was_first = self.is_first;
        let hole = self.unreported(discont.then_some(hole));
        self.raw_is_broken |= discont && !was_first;
        let link = if self.raw_is_broken {
            Link::Uncertain
        } else {
            Link::Follows
        };
        (link, hole)
    }
}

#[cfg(test)]
mod tests;
