//! Token buffers, framed or raw, read as packets.

use std::fmt;

use super::tokens::UnreadTokens;
use crate::caps::StreamFormat;
use crate::format::{Fraction, TokenFormat};
use crate::meta;
use crate::stream::{Fault, MAGIC, Packet, PacketHeader, StreamError, StreamHeader};
use crate::timeline::{PacketTimes, regular_offsets};

/// Most latent frames of a `raw` buffer: each needs memory for the times of its frames.
const MAX_RAW_LATENT_FRAMES: usize = 1 << 20;

/// What a packet or a `raw` buffer holds.
pub struct Input {
    pub segment_start: bool,
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

/// What a buffer holds, up to the first that cannot be read.
#[derive(Default)]
pub struct Read {
    pub inputs: Vec<Input>,
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
    starts: RawStarts,
}

impl InputReader {
    pub fn new(format: TokenFormat, stream_format: StreamFormat, framerate_is_assumed: bool) -> Self {
        Self {
            format,
            stream_format,
            framerate_is_assumed,
            header: None,
            starts: RawStarts::default(),
        }
    }

    /// What comes next does not follow on what came: after a flush.
    pub fn reset(&mut self) {
        self.starts = RawStarts::default();
    }

    pub fn read(&mut self, buffer: &gst::Buffer) -> Read {
        let mut read = Read::default();
        let result = match self.stream_format {
            StreamFormat::Framed => self.read_framed(buffer, &mut read),
            StreamFormat::Raw => self.read_raw(buffer, &mut read),
        };
        read.error = result.err();
        read
    }

    /// Packets, with a stream header in front of a segment start.
    fn read_framed(&mut self, buffer: &gst::BufferRef, read: &mut Read) -> Result<(), InputError> {
        let map = buffer.map_readable().map_err(|e| InputError::Damaged(e.to_string()))?;
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let mut data = &map[..];
        // From a packet's own PTS to the buffer's, which is of its first packet.
        let mut shift = None;
        while !data.is_empty() {
            if data.starts_with(&MAGIC) {
                let (header, bytes) = StreamHeader::decode(data)?;
                // Framerate and the like may have been overruled on the way.
                if !header.format.reads_like(&self.format) {
                    let text = "it contradicts the caps of the stream";
                    return Err(InputError::Refused(StreamError::Header(text.into())));
                }
                self.header = Some(header.checksum);
                data = &data[bytes..];
                continue;
            }
            let stream = PacketHeader::decode(data)?.stream;
            if self.header.is_some_and(|header| header != stream) {
                return Err(InputError::Damaged("a packet belongs to another stream header".into()));
            }
            let (packet, bytes) = Packet::decode(data, &self.format)?;
            data = &data[bytes..];
            let own = match read.inputs.is_empty() {
                true => packet.pts.or(pts),
                false => packet.pts,
            };
            let shift = *shift.get_or_insert_with(|| {
                let both = pts.zip(own);
                both.map_or(0, |(buffer, packet)| buffer.wrapping_sub(packet) as i64)
            });
            let times = own.map(|pts| PacketTimes {
                pts,
                duration: packet.duration,
                offsets: packet.offsets,
            });
            read.inputs.push(Input {
                segment_start: packet.segment_start,
                latent_frames: packet.latent_frames,
                real_frames: packet.real_frames.into(),
                times,
                shift,
                tokens: UnreadTokens::of_payload(packet.payload, packet.latent_frames),
            });
        }
        Ok(())
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
        let factor = u64::from(self.format.time_factor);
        let missing = if self.format.causal && segment_start {
            factor - 1
        } else {
            0
        };
        let capacity = u64::from(latent_frames) * factor - missing;
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let duration = buffer.duration().map(|duration| duration.nseconds());
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
        let map = map.map_err(|_| InputError::Damaged("a buffer cannot be read".into()))?;
        read.inputs.push(Input {
            segment_start,
            latent_frames,
            real_frames,
            times: pts.map(|pts| PacketTimes { pts, duration, offsets }),
            shift: 0,
            tokens: UnreadTokens::of_raw(map, latent_frames),
        });
        Ok(())
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
/// Buffers that somebody has made of bare numbers have no flags at all, so that each would be a segment's first. Only where
/// some do have DELTA_UNIT, those without it are starts.
#[derive(Debug, Default)]
struct RawStarts {
    first_came: bool,
    has_deltas: bool,
    claims_in_vain: bool,
    warned: bool,
}

impl RawStarts {
    fn see(&mut self, flags: gst::BufferFlags) -> bool {
        let first = !std::mem::replace(&mut self.first_came, true);
        if flags.contains(gst::BufferFlags::DELTA_UNIT) {
            self.has_deltas = true;
            return false;
        }
        let start = first || self.has_deltas || flags.contains(gst::BufferFlags::DISCONT);
        self.claims_in_vain |= !start;
        start
    }

    /// What to warn of, once.
    fn take_warning(&mut self) -> Option<&'static str> {
        (self.claims_in_vain && !std::mem::replace(&mut self.warned, true)).then_some(
            "Every buffer of raw tokens lacks the flag DELTA_UNIT, as if each started a segment: they are taken as one \
             segment, and only a buffer with DISCONT starts another. Set DELTA_UNIT on buffers that start none",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dec::testing::{format, indices};
    use crate::stream::Writer;

    const FRAME: u64 = 40_000_000;

    fn reader(stream_format: StreamFormat) -> InputReader {
        gst::init().unwrap();
        InputReader::new(format(), stream_format, false)
    }

    fn raw(latent_frames: usize, duration: Option<u64>, flags: gst::BufferFlags) -> gst::Buffer {
        let bytes = indices(0..35 * latent_frames).to_raw(&format()).unwrap();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_duration(duration.map(gst::ClockTime::from_nseconds));
        buffer_mut.set_flags(flags);
        buffer
    }

    const START: gst::BufferFlags = gst::BufferFlags::empty();
    const DELTA: gst::BufferFlags = gst::BufferFlags::DELTA_UNIT;
    const DISCONT: gst::BufferFlags = gst::BufferFlags::DISCONT;

    /// Whether each of a buffer's packets starts a segment, and how many of its frames are real.
    fn read(reader: &mut InputReader, buffer: &gst::Buffer) -> Vec<(bool, u64)> {
        let read = reader.read(buffer);
        assert!(read.error.is_none(), "{:?}", read.error);
        read.inputs
            .iter()
            .map(|input| (input.segment_start, input.real_frames))
            .collect()
    }

    #[test]
    fn a_duration_says_how_many_frames_are_real() {
        let mut reader = reader(StreamFormat::Raw);
        assert_eq!(read(&mut reader, &raw(2, Some(5 * FRAME), START)), [(true, 5)]);
        for (duration, real) in [
            (None, 8),
            (Some(0), 8),
            (Some(8 * FRAME), 8),
            (Some(100 * FRAME), 8),
            // Rounded as clocks and containers do.
            (Some(6 * FRAME - 1_000_000), 6),
            (Some(5 * FRAME + 1_000_000), 5),
            (Some(1), 1),
        ] {
            assert_eq!(
                read(&mut reader, &raw(2, duration, DELTA)),
                [(false, real)],
                "{duration:?}"
            );
        }
    }

    #[test]
    fn a_guessed_framerate_leaves_out_no_frame() {
        gst::init().unwrap();
        let mut reader = InputReader::new(format(), StreamFormat::Raw, true);
        let mut buffer = raw(2, Some(500), START);
        buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(1000));
        let input = reader.read(&buffer).inputs.remove(0);
        let times = input.times.unwrap();
        assert_eq!((input.real_frames, times.offsets), (5, Some(vec![100, 200, 300, 400])));
    }

    #[test]
    fn bare_buffers_are_one_segment_and_warned_of_once() {
        let mut reader = reader(StreamFormat::Raw);
        let mut warnings = 0;
        for (flags, start) in [
            (START, true),
            (START, false),
            (START, false),
            (DISCONT, true),
            (START, false),
        ] {
            let read = reader.read(&raw(1, None, flags));
            assert_eq!(read.inputs[0].segment_start, start);
            warnings += u32::from(read.warning.is_some());
        }
        assert_eq!(warnings, 1);
        reader.reset();
        assert_eq!(read(&mut reader, &raw(1, None, START)), [(true, 1)]);
    }

    #[test]
    fn buffers_that_are_marked_start_segments_as_they_say() {
        let mut reader = reader(StreamFormat::Raw);
        for flags in [START, DELTA, START, START, DELTA, DISCONT, DELTA | DISCONT] {
            let read = reader.read(&raw(1, None, flags));
            assert_eq!(read.inputs[0].segment_start, !flags.contains(DELTA), "{flags:?}");
            assert_eq!(read.warning, None);
        }
        // Joined in the middle.
        reader.reset();
        assert_eq!(read(&mut reader, &raw(1, None, DELTA)), [(false, 4)]);
    }

    #[test]
    fn the_meta_counts_where_there_is_one() {
        let mut reader = reader(StreamFormat::Raw);
        let mut buffer = raw(2, Some(FRAME), DELTA);
        let meta = |segment_start, real_frames| meta::TokenMeta {
            segment_start,
            real_frames,
            ..Default::default()
        };
        meta::add(buffer.make_mut(), &meta(true, 4));
        assert_eq!(read(&mut reader, &buffer), [(true, 4)]);
        let mut buffer = raw(2, Some(FRAME), START);
        meta::add(buffer.make_mut(), &meta(false, 100));
        assert_eq!(read(&mut reader, &buffer), [(false, 8)]);
        let mut none = raw(1, None, START);
        meta::add(none.make_mut(), &meta(true, 0));
        assert!(matches!(reader.read(&none).error, Some(InputError::Refused(_))));
    }

    #[test]
    fn a_raw_buffer_of_another_size_says_the_size_wanted() {
        let mut reader = reader(StreamFormat::Raw);
        for bytes in [0, 1, 69, 71] {
            let error = reader
                .read(&gst::Buffer::from_mut_slice(vec![0u8; bytes]))
                .error
                .unwrap()
                .to_string();
            for part in [&format!("{bytes} bytes"), "7×5 uint16", "takes 70", "vidtokparse"] {
                assert!(error.contains(part), "{part} in {error}");
            }
        }
    }

    fn packet(segment_start: bool, pts: u64) -> Packet {
        Packet {
            segment_start,
            latent_frames: 1,
            real_frames: if segment_start { 1 } else { 4 },
            pts: Some(pts),
            duration: Some(FRAME),
            payload: indices(0..35).to_payload(&format()).unwrap(),
            ..Packet::default()
        }
    }

    #[test]
    fn all_packets_of_a_buffer_are_read() {
        let writer = Writer::new(format()).unwrap();
        let packets = [packet(true, 100), packet(false, 200), packet(true, 300)];
        let bytes: Vec<u8> = packets
            .iter()
            .flat_map(|packet| writer.write(packet).unwrap())
            .collect();
        let mut reader = reader(StreamFormat::Framed);
        let mut buffer = gst::Buffer::from_mut_slice(bytes.clone());
        // Shifted on the way.
        buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(1100));
        let inputs = reader.read(&buffer).inputs;
        let seen = inputs
            .iter()
            .map(|input| (input.segment_start, input.real_frames, input.shift));
        assert_eq!(
            seen.collect::<Vec<_>>(),
            [(true, 1, 1000), (false, 4, 1000), (true, 1, 1000)]
        );

        // Up to what is damaged.
        let mut cut = bytes;
        cut.pop();
        let read = reader.read(&gst::Buffer::from_mut_slice(cut));
        assert_eq!(read.inputs.len(), 2);
        assert!(matches!(read.error, Some(InputError::Damaged(_))));
    }
}
