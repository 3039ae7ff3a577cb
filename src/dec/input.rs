//! Token buffers, framed or raw, read as packets.

use std::fmt;

use super::tokens::UnreadTokens;
use crate::caps::StreamFormat;
use crate::format::{Fraction, TokenFormat};
use crate::meta;
use crate::stream::{Continuity, Fault, Hole, Link, Loss, MAGIC, Packet, PacketHeader, StreamError, StreamHeader};
use crate::timeline::{PacketTimes, regular_offsets};

/// Most latent frames of a `raw` buffer: each needs memory for the times of its frames.
const MAX_RAW_LATENT_FRAMES: usize = 1 << 20;

/// What a packet or a `raw` buffer holds.
pub struct Input {
    pub segment_start: bool,
    /// The segment ends with it: no other packet tells anything about its pictures.
    pub segment_end: bool,
    /// How it follows on what came before it.
    pub link: Link,
    /// What is missing in front of it, once.
    pub hole: Option<Hole>,
    /// Somebody upstream knows of the hole: there was DISCONT.
    pub hole_is_known: bool,
    pub latent_frames: u32,
    pub real_frames: u64,
    /// `None` where neither buffer nor packet has a PTS.
    pub times: Option<PacketTimes>,
    /// What is added to these times: a buffer's PTS counts, and it may have been shifted on the way.
    pub shift: i64,
    pub tokens: UnreadTokens,
}

impl Input {
    /// When its first frame is shown.
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
    /// Bytes were lost or changed on the way: what follows may be good again.
    Damaged {
        text: String,
        /// Nothing good came since damage was told.
        was_told: bool,
    },
    /// The stream is not one that this decoder can decode.
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

pub enum Item {
    Packet(Input),
    /// The segment has ended, after a hole or not.
    End(Option<Hole>),
}

/// What a buffer holds, up to the first that cannot be read.
#[derive(Default)]
pub struct Read {
    pub items: Vec<Item>,
    pub error: Option<InputError>,
    /// What there is to warn of.
    pub warning: Option<&'static str>,
}

/// Reads the buffers of one stream.
pub struct InputReader {
    format: TokenFormat,
    stream_format: StreamFormat,
    /// The framerate is a guess, which says nothing about how many frames of a buffer are real.
    framerate_is_assumed: bool,
    /// Checksum of the latest stream header: packets name the header that they belong to.
    header: Option<u32>,
    continuity: Continuity,
    /// Of `raw` tokens, which are not numbered: something before the next buffer is missing, up to a segment start.
    raw_is_broken: bool,
    /// Nothing has come yet that something could be missing after.
    is_first: bool,
    /// The next hole was told as damage already.
    damage_was_told: bool,
    starts: RawStarts,
}

impl InputReader {
    pub fn new(format: TokenFormat, stream_format: StreamFormat, framerate_is_assumed: bool) -> Self {
        Self {
            format,
            stream_format,
            framerate_is_assumed,
            header: None,
            continuity: Continuity::new(),
            raw_is_broken: false,
            is_first: true,
            damage_was_told: false,
            starts: RawStarts::default(),
        }
    }

    /// Goes on where another reader has read the same stream in other caps.
    pub fn follow(&mut self, before: Self) {
        self.continuity = before.continuity;
        self.is_first = before.is_first;
    }

    /// What comes next does not follow on what came: after a flush.
    pub fn reset(&mut self) {
        self.continuity.reset();
        self.raw_is_broken = false;
        self.is_first = true;
        self.damage_was_told = false;
        self.starts = RawStarts::default();
    }

    /// Reads the packets and end marks of a buffer. With DISCONT, something in front of it may be missing, but at
    /// first.
    pub fn read(&mut self, buffer: &gst::Buffer) -> Read {
        let mut read = Read::default();
        let result = match self.stream_format {
            StreamFormat::Framed => self.read_framed(buffer, &mut read),
            StreamFormat::Raw => self.read_raw(buffer, &mut read),
        };
        read.error = result.err();
        read
    }

    /// Packets, with a stream header in front of a segment start, and end marks.
    fn read_framed(&mut self, buffer: &gst::BufferRef, read: &mut Read) -> Result<(), InputError> {
        let map = buffer.map_readable().map_err(|e| self.damaged(e.to_string()))?;
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let mut data = &map[..];
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        // From a packet's own PTS to the buffer's, which is of its first packet.
        let mut shift = None;
        while !data.is_empty() {
            if data.starts_with(&MAGIC) {
                let (header, bytes) = StreamHeader::decode(data).map_err(|fault| self.fault(fault))?;
                data = &data[bytes..];
                self.read_header(&header, read)?;
                continue;
            }
            let header = PacketHeader::decode(data).map_err(|fault| self.fault(fault))?;
            if self.header.is_some_and(|own| own != header.stream_header_crc) {
                return Err(self.damaged("a packet belongs to another stream header".into()));
            }
            let (packet, bytes) = Packet::decode(data, &self.format).map_err(|fault| self.fault(fault))?;
            data = &data[bytes..];
            // A start says by itself whether it follows.
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
                hole: self.untold(place.hole),
                hole_is_known: discont && is_first,
                latent_frames: packet.latent_frames,
                real_frames: packet.real_frames.into(),
                times,
                shift,
                tokens: UnreadTokens::of_payload(packet.payload, packet.latent_frames),
            }));
        }
        Ok(())
    }

    fn read_header(&mut self, header: &StreamHeader, read: &mut Read) -> Result<(), InputError> {
        if header.end.is_some() {
            let hole = self.continuity.end(header);
            // Only a packet tells whether what was damaged is over: the mark may be another stream's.
            let damage_was_told = self.damage_was_told;
            read.items.push(Item::End(self.untold(hole)));
            self.damage_was_told = damage_was_told;
            return Ok(());
        }
        // Framerate and the like may have been overruled on the way.
        if !header.format.decodes_like(&self.format) {
            let text = "it contradicts the caps of the stream";
            return Err(InputError::Refused(StreamError::Header(text.into())));
        }
        self.header = Some(header.checksum);
        self.continuity.header(header);
        Ok(())
    }

    /// `hole`, unless nothing came before it, or it was told as damage.
    fn untold(&mut self, hole: Option<Hole>) -> Option<Hole> {
        let is_first = std::mem::take(&mut self.is_first);
        let was_told = std::mem::take(&mut self.damage_was_told);
        hole.filter(|_| !is_first && !was_told)
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
        let was_told = std::mem::replace(&mut self.damage_was_told, true);
        InputError::Damaged { text, was_told }
    }

    /// Bare tokens; what they cannot say is in the meta, or taken to be the usual.
    fn read_raw(&mut self, buffer: &gst::Buffer, read: &mut Read) -> Result<(), InputError> {
        let latent_frames = self.raw_latent_frames(buffer.size())?;
        let meta = meta::get(buffer);
        let segment_start = match &meta {
            Some(meta) => meta.segment_start,
            // Each window is a segment of its own.
            None if !self.format.causal => true,
            None => {
                let start = self.starts.see(buffer.flags());
                read.warning = self.starts.take_warning();
                start
            }
        };
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        let (link, hole) = self.link_raw(segment_start, discont);
        let capacity = self.format.frames_of(latent_frames, segment_start);
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let duration = buffer.duration().map(|duration| duration.nseconds());
        let segment_end = meta.as_ref().is_some_and(|meta| meta.segment_end || meta.end_of_stream);
        let (real_frames, offsets) = match meta {
            Some(meta) if meta.real_frames == 0 => {
                let text = format!("no real frame in {latent_frames} latent frames");
                return Err(InputError::Refused(StreamError::Packet(text)));
            }
            Some(meta) => (u64::from(meta.real_frames).min(capacity), meta.offsets),
            None if self.framerate_is_assumed => {
                let spread = |pts| regular_offsets(pts, Some(duration?), capacity as usize, UNKNOWN_RATE);
                (capacity, pts.and_then(spread))
            }
            None => {
                let said = duration.and_then(|duration| frames_in(duration, self.format.framerate));
                (said.map_or(capacity, |frames| frames.clamp(1, capacity)), None)
            }
        };
        let map = buffer.clone().into_mapped_buffer_readable();
        let map = map.map_err(|_| self.damaged("a buffer cannot be read".into()))?;
        read.items.push(Item::Packet(Input {
            segment_start,
            segment_end,
            link,
            hole,
            hole_is_known: true,
            latent_frames,
            real_frames,
            times: pts.map(|pts| PacketTimes { pts, duration, offsets }),
            shift: 0,
            tokens: UnreadTokens::of_raw(map, latent_frames),
        }));
        Ok(())
    }

    /// Nothing but DISCONT tells that raw tokens are missing.
    fn link_raw(&mut self, segment_start: bool, discont: bool) -> (Link, Option<Hole>) {
        if segment_start {
            self.raw_is_broken = false;
            return (Link::Starts, self.untold(None));
        }
        let hole = Hole {
            loss: Loss::Damage,
            latent_frames: None,
        };
        let was_first = self.is_first;
        let hole = self.untold(discont.then_some(hole));
        self.raw_is_broken |= discont && !was_first;
        let link = if self.raw_is_broken {
            Link::Uncertain
        } else {
            Link::Follows
        };
        (link, hole)
    }

    /// How many latent frames a buffer of that many bytes holds.
    fn raw_latent_frames(&self, bytes: usize) -> Result<u32, StreamError> {
        let latent_frame = self.format.raw_latent_frame_bytes();
        if bytes == 0 || !bytes.is_multiple_of(latent_frame) {
            return Err(StreamError::Tokens(format!(
                "a buffer of {bytes} bytes, where a latent frame of {} takes {latent_frame}: buffers hold whole latent \
                 frames (vidtokparse cuts bytes into such)",
                raw_shape(&self.format)
            )));
        }
        let latent_frames = bytes / latent_frame;
        if latent_frames > MAX_RAW_LATENT_FRAMES {
            return Err(StreamError::Tokens(format!(
                "a buffer of {latent_frames} latent frames, allowed are {MAX_RAW_LATENT_FRAMES}"
            )));
        }
        Ok(latent_frames as u32)
    }
}

/// No framerate: frames lie evenly in their buffer's duration.
const UNKNOWN_RATE: Fraction = Fraction::new(0, 1);

/// A latent frame of raw tokens, for people.
fn raw_shape(format: &TokenFormat) -> String {
    let mut shape = format!("{}×{}", format.grid_height, format.grid_width);
    if format.regularizer.values_per_cell() > 1 {
        shape += &format!("×{}", format.regularizer.values_per_cell());
    }
    format!("{shape} {} values", format.token_type.as_str())
}

/// Frames that last `duration` nanoseconds together, to the nearest; `None` where neither says so.
fn frames_in(duration: u64, framerate: Fraction) -> Option<u64> {
    let second = u128::from(framerate.den) * 1_000_000_000;
    let frames = (u128::from(duration) * u128::from(framerate.num) + second / 2) / second;
    (duration > 0 && framerate.num > 0).then(|| u64::try_from(frames).unwrap_or(u64::MAX))
}

/// Which `raw` buffers without a meta start a segment of a causal tokenizer.
///
/// Buffers that somebody has made of bare numbers have no flags at all, so that each would be a segment's first. Only
/// where some do have DELTA_UNIT, those without it are starts.
#[derive(Debug, Default)]
struct RawStarts {
    first_came: bool,
    has_deltas: bool,
    claims_in_vain: bool,
    /// The first buffer says that it starts no segment.
    waits: bool,
    warned: bool,
}

impl RawStarts {
    fn see(&mut self, flags: gst::BufferFlags) -> bool {
        let first = !std::mem::replace(&mut self.first_came, true);
        if flags.contains(gst::BufferFlags::DELTA_UNIT) {
            self.has_deltas = true;
            self.waits |= first;
            return false;
        }
        let start = first || self.has_deltas || flags.contains(gst::BufferFlags::DISCONT);
        self.claims_in_vain |= !start;
        start
    }

    /// What to warn of, once.
    fn take_warning(&mut self) -> Option<&'static str> {
        if !(self.claims_in_vain || self.waits) || std::mem::replace(&mut self.warned, true) {
            return None;
        }
        Some(if self.waits {
            "The first buffer of raw tokens has the flag DELTA_UNIT, so that it starts no segment: nothing is shown up to a \
             buffer that does, one without DELTA_UNIT or with DISCONT"
        } else {
            "Every buffer of raw tokens lacks the flag DELTA_UNIT, as if each started a segment: they are taken as one \
             segment, and only a buffer with DISCONT starts another. Set DELTA_UNIT on buffers that start none"
        })
    }
}

#[cfg(test)]
mod tests;
