//! Token buffers, framed or raw, read as units that RTP packets carry.

use super::numbers::Numbers;
use crate::caps::StreamFormat;
use crate::element::raw::RawReader;
use crate::format::{Fraction, TokenFormat};
use crate::rtp::{Unit, ticks};
use crate::stream::{Fault, MAGIC, Packet, PacketHeader, StreamError, StreamHeader, Tokens};
use crate::timeline::PacketTimes;

/// A frame that is nearer than this to the framerate's grid is on it: half a tick of RTP's clock, in nanoseconds.
const ON_GRID: u64 = 5_555;

/// A unit and when its first frame is shown.
pub struct Timed {
    pub unit: Unit,
    /// In nanoseconds.
    pub pts: Option<u64>,
}

/// Why a buffer is not sent.
#[derive(Debug)]
pub enum UnitError {
    /// It is damaged. What follows may be undamaged.
    Damaged(String),
    /// The stream cannot be sent.
    Refused(StreamError),
}

impl From<StreamError> for UnitError {
    fn from(error: StreamError) -> Self {
        Self::Refused(error)
    }
}

impl From<Fault> for UnitError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => Self::Refused(error),
            fault => Self::Damaged(format!("a packet is {fault}")),
        }
    }
}

/// Reads token buffers of one format after the other.
pub struct UnitReader {
    format: TokenFormat,
    stream_format: StreamFormat,
    /// Id of the stream that is read, and the checksum of its header.
    stream: Option<(Option<String>, u32)>,
    numbers: Numbers,
    raw: RawReader,
}

impl UnitReader {
    pub fn new(format: TokenFormat, stream_format: StreamFormat) -> Self {
        Self {
            format,
            stream_format,
            stream: None,
            numbers: Numbers::default(),
            raw: RawReader::default(),
        }
    }

    /// Continues in another format.
    pub fn set_format(&mut self, format: TokenFormat, stream_format: StreamFormat) {
        (self.format, self.stream_format) = (format, stream_format);
        self.stream = None;
        self.reset();
    }

    /// Another part of the stream follows, as after a flush. Its numbers may go back, which receivers would take for
    /// packets that are late.
    pub fn reset(&mut self) {
        self.numbers.join();
        self.raw = RawReader::default();
    }

    /// Reads a buffer.
    ///
    /// # Errors
    /// Why the units behind those that are returned could not be read.
    pub fn read(&mut self, buffer: &gst::BufferRef) -> (Vec<Timed>, Option<UnitError>) {
        let mut units = Vec::new();
        let read = match self.stream_format {
            StreamFormat::Framed => self.read_framed(buffer, &mut units),
            StreamFormat::Raw => self.read_raw(buffer, &mut units),
        };
        (units, read.err())
    }

    /// Reads packets, with a stream header in front of a segment start, and end marks, which no RTP packet carries.
    fn read_framed(&mut self, buffer: &gst::BufferRef, units: &mut Vec<Timed>) -> Result<(), UnitError> {
        let map = buffer.map_readable().map_err(|e| UnitError::Damaged(e.to_string()))?;
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let mut data = &map[..];
        // The buffer's PTS is for its first packet, in which another PTS may be written.
        let mut shift = None;
        while !data.is_empty() {
            if data.starts_with(&MAGIC) {
                let (header, bytes) = StreamHeader::decode(data)?;
                data = &data[bytes..];
                if header.end.is_none() {
                    self.read_header(header)?;
                }
                continue;
            }
            let header = PacketHeader::decode(data)?;
            if self
                .stream
                .as_ref()
                .is_some_and(|(_, crc)| *crc != header.stream_header_crc)
            {
                return Err(UnitError::Damaged("a packet belongs to another stream header".into()));
            }
            header.check(&self.format)?;
            header.check_body(data)?;
            let packet = Packet::from_checked(data, &header)?;
            data = &data[header.packet_bytes()..];
            let own = packet.pts.or(pts.filter(|_| shift.is_none()));
            let shift = *shift.get_or_insert_with(|| {
                let both = pts.zip(own);
                both.map_or(0, |(buffer, packet)| buffer.wrapping_sub(packet) as i64)
            });
            let times = own.map(|pts| PacketTimes {
                pts,
                duration: packet.duration,
                offsets: packet.offsets.clone(),
            });
            let tokens = Tokens::from_payload(&packet.payload, &self.format, packet.latent_frames)?;
            let position = header.position;
            let mut unit = self.unit(
                tokens,
                packet.segment_start,
                position,
                packet.real_frames,
                times.as_ref(),
            )?;
            unit.segment_end = packet.segment_end || packet.end_of_stream;
            unit.end_of_stream = packet.end_of_stream;
            units.push(Timed {
                unit,
                pts: own.and_then(|pts| pts.checked_add_signed(shift)),
            });
        }
        Ok(())
    }

    fn read_header(&mut self, header: StreamHeader) -> Result<(), StreamError> {
        if !header.format.decodes_like(&self.format) {
            let text = "it contradicts the caps of the stream";
            return Err(StreamError::Header(text.into()));
        }
        let before = self.stream.replace((header.stream_id, header.checksum));
        let same = |(id, crc): (Option<String>, u32)| match self.stream.as_ref() {
            Some((Some(now), _)) => id.as_ref() == Some(now),
            Some((None, now)) => id.is_none() && crc == *now,
            None => false,
        };
        if before.is_some_and(|before| !same(before)) {
            self.numbers.join();
        }
        Ok(())
    }

    /// Reads bare tokens.
    fn read_raw(&mut self, buffer: &gst::BufferRef, units: &mut Vec<Timed>) -> Result<(), UnitError> {
        let raw = self.raw.read(buffer, &self.format, self.format.framerate)?;
        let map = buffer.map_readable().map_err(|e| UnitError::Damaged(e.to_string()))?;
        let tokens = Tokens::from_raw(&map, &self.format)?;
        let mut unit = self.unit(
            tokens,
            raw.segment_start,
            None,
            raw.real_frames as u32,
            raw.times.as_ref(),
        )?;
        unit.end_of_stream = raw.end_of_stream;
        unit.segment_end = raw.segment_end;
        units.push(Timed {
            unit,
            pts: raw.times.map(|times| times.pts),
        });
        Ok(())
    }

    fn unit(
        &mut self,
        tokens: Tokens,
        segment_start: bool,
        position: Option<crate::stream::Position>,
        real_frames: u32,
        times: Option<&PacketTimes>,
    ) -> Result<Unit, StreamError> {
        let latent_frames = tokens.len() / self.format.values_per_latent_frame();
        let refuse = |text: String| StreamError::Packet(text);
        let count = u8::try_from(latent_frames).map_err(|_| {
            refuse(format!(
                "{latent_frames} latent frames in one buffer; an RTP timestamp stands for at most {}",
                u8::MAX
            ))
        })?;
        let number = self
            .numbers
            .next(position, segment_start, latent_frames as u32)
            .ok_or_else(|| refuse("the segment is too long for RTP: set key-interval of vidtokenc".into()))?;
        let real_frames = u16::try_from(real_frames)
            .ok()
            .filter(|frames| *frames > 0)
            .ok_or_else(|| refuse(format!("{real_frames} real frames in one buffer")))?;
        Ok(Unit {
            segment: number.segment,
            latent_frame: number.latent_frame,
            latent_frames: count,
            segment_end: false,
            end_of_stream: false,
            real_frames,
            offsets: times.and_then(|times| offsets(times, real_frames.into(), self.format.framerate)),
            tokens,
        })
    }
}

/// Ticks from the first frame to each other one and to the end of the last; `None` where the framerate says them.
fn offsets(times: &PacketTimes, real_frames: usize, framerate: Fraction) -> Option<Vec<u32>> {
    let frames = times.frames(real_frames, framerate)?;
    let mut said: Vec<u64> = frames[1..].iter().map(|frame| frame.pts - times.pts).collect();
    let distance = crate::timeline::frames_to_time(1, framerate);
    // Without a duration, the last frame is as long as the one before it.
    let end = times.duration.or_else(|| {
        let last = said.last().copied().unwrap_or(0);
        let before = said.iter().rev().nth(1).copied().unwrap_or(0);
        last.checked_add(distance.or((last > 0).then_some(last - before))?)
    })?;
    said.push(end);
    let on_grid = |(i, offset): (usize, &u64)| {
        let regular = crate::timeline::frames_to_time(i as u64 + 1, framerate);
        regular.is_some_and(|regular| regular.abs_diff(*offset) <= ON_GRID)
    };
    if said.iter().enumerate().all(on_grid) {
        return None;
    }
    said.into_iter().map(ticks).collect()
}
