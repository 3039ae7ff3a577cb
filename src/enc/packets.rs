//! Tokens as buffers: packets of the byte stream with the end marks of its segments, or bare tokens.

use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::stream::{Coder, Packet, StreamError, Tokens, Writer, random_stream_id};
use crate::timeline::{FrameTime, Group, PacketTimes};

/// Makes the buffers of one element, stream after stream.
pub struct Packets {
    stream_format: StreamFormat,
    /// The id that the user has chosen; `None`: a random one for every stream.
    stream_id: Option<String>,
    writer: Writer,
    coder: Coder,
    /// The stream's end mark was made: the next packet begins another stream.
    has_ended: bool,
    /// What to add to a buffer's PTS for its stream time, which is what a file keeps.
    to_stream_time: i128,
    /// PTS of the end of the latest packet's last frame.
    end: Option<u64>,
    /// The end mark of a segment that a flush has cut off. It waits for the next segment, as nothing may be pushed
    /// between a flush and the playback segment that follows it.
    waiting_mark: Option<gst::Buffer>,
}

impl Packets {
    pub fn new(
        format: TokenFormat,
        stream_format: StreamFormat,
        stream_id: Option<String>,
    ) -> Result<Self, StreamError> {
        Ok(Self {
            stream_format,
            coder: Coder::new(format.clone()),
            writer: writer(format, stream_id.as_deref())?,
            stream_id,
            has_ended: false,
            to_stream_time: 0,
            end: None,
            waiting_mark: None,
        })
    }

    pub fn format(&self) -> &TokenFormat {
        self.writer.format()
    }

    pub fn stream_format(&self) -> StreamFormat {
        self.stream_format
    }

    /// Continues the stream in another format. The segment has ended.
    pub fn set_format(&mut self, format: TokenFormat, stream_format: StreamFormat) -> Result<(), StreamError> {
        self.coder = Coder::new(format.clone());
        self.writer.set_format(format)?;
        self.stream_format = stream_format;
        Ok(())
    }

    /// Sets what to add to a buffer's PTS for its stream time.
    pub fn set_stream_time(&mut self, shift: i128) {
        self.to_stream_time = shift;
    }

    /// Ends the segment that a flush has cut off. Its end mark comes in front of the next segment.
    pub fn flush(&mut self) -> Result<(), StreamError> {
        if let Some(mut mark) = self.end_segment()? {
            // Its time belongs to the playback segment before the flush.
            mark.make_mut().set_pts(gst::ClockTime::NONE);
            self.waiting_mark = Some(mark);
        }
        Ok(())
    }

    /// Call before a segment's first packet. Returns the end mark of the segment before it, if a flush has cut that
    /// off.
    pub fn start_segment(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        if std::mem::take(&mut self.has_ended) {
            self.writer = writer(self.format().clone(), self.stream_id.as_deref())?;
        }
        Ok(self.waiting_mark.take())
    }

    /// The buffer of the tokens of `group`, which are `latent_frames` long.
    pub fn packet(
        &mut self,
        tokens: &Tokens,
        latent_frames: usize,
        group: &Group,
        end_of_stream: bool,
    ) -> Result<gst::Buffer, StreamError> {
        let mut buffer = match self.stream_format {
            StreamFormat::Framed => self.framed(tokens, latent_frames, group, end_of_stream)?,
            StreamFormat::Raw => self.raw(tokens, group, end_of_stream)?,
        };
        let first = group.frames[0].pts;
        let last = group.frames[group.frames.len() - 1];
        self.end = last.duration.map(|duration| last.pts.saturating_add(duration));
        let duration = self.end.map(|end| end.saturating_sub(first));
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_pts(gst::ClockTime::from_nseconds(first));
        buffer_mut.set_duration(duration.map(gst::ClockTime::from_nseconds));
        if !group.segment_start {
            buffer_mut.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        Ok(buffer)
    }

    /// A buffer with a packet of the byte stream, behind the stream header where it starts a segment.
    fn framed(
        &mut self,
        tokens: &Tokens,
        latent_frames: usize,
        group: &Group,
        end_of_stream: bool,
    ) -> Result<gst::Buffer, StreamError> {
        if group.segment_start {
            self.coder.start_segment();
        }
        // In stream time: a file has no playback segment that would say where its time begins.
        let times = PacketTimes::of(&self.in_stream_time(&group.frames), self.format().framerate);
        let packet = Packet {
            segment_start: group.segment_start,
            segment_end: group.segment_end,
            end_of_stream,
            position: None,
            latent_frames: latent_frames as u32,
            real_frames: group.frames.len() as u32,
            pts: Some(times.pts),
            duration: times.duration,
            offsets: times.offsets,
            payload: self.coder.encode(tokens)?,
        };
        let mut buffer = gst::Buffer::from_mut_slice(self.writer.write(&packet)?);
        if group.segment_start {
            buffer.make_mut().set_flags(gst::BufferFlags::HEADER);
        }
        Ok(buffer)
    }

    /// A buffer of bare tokens, with a meta for what their bytes cannot say.
    fn raw(&self, tokens: &Tokens, group: &Group, end_of_stream: bool) -> Result<gst::Buffer, StreamError> {
        let mut buffer = gst::Buffer::from_mut_slice(tokens.to_raw(self.format())?);
        let token_meta = TokenMeta {
            segment_start: group.segment_start,
            segment_end: group.segment_end,
            end_of_stream,
            real_frames: group.frames.len() as u32,
            offsets: PacketTimes::of(&group.frames, self.format().framerate).offsets,
        };
        meta::add(buffer.make_mut(), &token_meta);
        Ok(buffer)
    }

    /// Ends the segment. Returns an end mark, unless the last packet said that it is the segment's last. Bare tokens
    /// have no end marks.
    pub fn end_segment(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        let mark = self.writer.end_segment()?;
        Ok(mark.map(|mark| self.mark(mark)))
    }

    /// Ends the stream. Returns its end mark, if anything was written. Bare tokens have none.
    pub fn end_stream(&mut self) -> Result<Option<gst::Buffer>, StreamError> {
        if self.has_ended || self.writer.totals().latent_frames == 0 {
            return Ok(None);
        }
        self.has_ended = true;
        // The stream's end mark replaces it.
        self.waiting_mark = None;
        let mark = self.writer.end()?;
        Ok((self.stream_format == StreamFormat::Framed).then(|| self.mark(mark)))
    }

    /// An end mark as a buffer. HEADER: it describes the stream. DELTA_UNIT: decoding cannot start at it.
    fn mark(&self, bytes: Vec<u8>) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_flags(gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT);
        buffer_mut.set_pts(self.end.map(gst::ClockTime::from_nseconds));
        buffer_mut.set_duration(gst::ClockTime::ZERO);
        buffer
    }

    /// `frames` in stream time. Frames in front of the stream's start are at its start.
    fn in_stream_time(&self, frames: &[FrameTime]) -> Vec<FrameTime> {
        let shifted = |pts: u64| (i128::from(pts) + self.to_stream_time).clamp(0, i128::from(u64::MAX)) as u64;
        let frame = |frame: &FrameTime| FrameTime {
            pts: shifted(frame.pts),
            ..*frame
        };
        frames.iter().map(frame).collect()
    }
}

fn writer(format: TokenFormat, stream_id: Option<&str>) -> Result<Writer, StreamError> {
    match stream_id {
        Some(id) => Writer::new(format, id),
        None => Writer::new(format, random_stream_id()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Event, Reader};

    const MS: u64 = 1_000_000;
    const CELLS: usize = 6;

    fn packets(stream_format: StreamFormat) -> Packets {
        gst::init().unwrap();
        Packets::new(TokenFormat::toy(&[8; 5], 3, 2), stream_format, None).unwrap()
    }

    fn group(segment_start: bool, pts: &[u64]) -> Group {
        let frame = |pts: &u64| FrameTime {
            pts: *pts,
            duration: Some(33 * MS),
        };
        Group {
            segment_start,
            segment_end: false,
            frames: pts.iter().map(frame).collect(),
        }
    }

    fn push(packets: &mut Packets, group: &Group) -> gst::Buffer {
        let tokens = Tokens::Indices(vec![7; CELLS]);
        packets.packet(&tokens, 1, group, false).unwrap()
    }

    fn events(buffers: &[&gst::Buffer]) -> Vec<Event> {
        let mut reader = Reader::new();
        for buffer in buffers {
            reader.push(&buffer.map_readable().unwrap());
        }
        reader.finish();
        std::iter::from_fn(|| reader.next_event().unwrap()).collect()
    }

    fn packet(buffers: &[&gst::Buffer]) -> Packet {
        let packet = |event| match event {
            Event::Packet(packet) => Some(packet),
            _ => None,
        };
        events(buffers).into_iter().rev().find_map(packet).expect("a packet")
    }

    fn stream_id(buffer: &gst::Buffer) -> Option<String> {
        events(&[buffer]).into_iter().find_map(|event| match event {
            Event::Header(header) => header.stream_id.clone(),
            _ => None,
        })
    }

    #[test]
    fn a_packet_has_stream_time_and_its_buffer_has_the_frames() {
        let mut packets = packets(StreamFormat::Framed);
        packets.set_stream_time(-1_000 * i128::from(MS));
        let start = push(&mut packets, &group(true, &[1_500 * MS]));
        assert_eq!(start.pts().map(|pts| pts.mseconds()), Some(1_500));
        assert_eq!(start.duration().map(|duration| duration.mseconds()), Some(33));
        assert!(
            start.flags().contains(gst::BufferFlags::HEADER) && !start.flags().contains(gst::BufferFlags::DELTA_UNIT)
        );
        let read = packet(&[&start]);
        assert_eq!((read.pts, read.duration), (Some(500 * MS), Some(33 * MS)));
        let next = push(&mut packets, &group(false, &[1_540 * MS, 1_600 * MS]));
        assert!(
            next.flags().contains(gst::BufferFlags::DELTA_UNIT) && !next.flags().contains(gst::BufferFlags::HEADER)
        );
        assert_eq!(next.duration().map(|duration| duration.mseconds()), Some(93));
        let read = packet(&[&start, &next]);
        assert_eq!((read.pts, read.real_frames), (Some(540 * MS), 2));
        assert_eq!((read.duration, read.offsets), (Some(93 * MS), Some(vec![60 * MS])));
    }

    #[test]
    fn frames_in_front_of_the_stream_are_at_its_start() {
        let mut packets = packets(StreamFormat::Framed);
        packets.set_stream_time(-1_000 * i128::from(MS));
        let start = push(&mut packets, &group(true, &[900 * MS]));
        assert_eq!(packet(&[&start]).pts, Some(0));
        assert_eq!(start.pts().map(|pts| pts.mseconds()), Some(900));
    }

    #[test]
    fn a_flush_keeps_its_end_mark_for_the_next_segment() {
        let mut packets = packets(StreamFormat::Framed);
        assert!(packets.start_segment().unwrap().is_none());
        push(&mut packets, &group(true, &[0]));
        packets.flush().unwrap();
        // There is no segment left to end.
        assert!(packets.end_segment().unwrap().is_none());
        let mark = packets.start_segment().unwrap().expect("an end mark");
        assert_eq!(mark.pts(), None);
        assert!(matches!(events(&[&mark])[..], [Event::End(_)]));
        assert!(packets.start_segment().unwrap().is_none());
    }

    #[test]
    fn an_end_mark_is_where_the_last_frame_ends() {
        let mut packets = packets(StreamFormat::Framed);
        push(&mut packets, &group(true, &[100 * MS]));
        let mark = packets.end_segment().unwrap().expect("an end mark");
        assert_eq!(mark.pts().map(|pts| pts.mseconds()), Some(133));
        assert!(packets.end_segment().unwrap().is_none());
    }

    #[test]
    fn another_stream_follows_the_end_of_one() {
        let mut packets = packets(StreamFormat::Framed);
        assert!(packets.end_stream().unwrap().is_none());
        let first = push(&mut packets, &group(true, &[0]));
        assert!(packets.end_stream().unwrap().is_some());
        assert!(packets.end_stream().unwrap().is_none());
        packets.start_segment().unwrap();
        let second = push(&mut packets, &group(true, &[40 * MS]));
        let (first, second) = (stream_id(&first), stream_id(&second));
        assert!(first.is_some() && second.is_some() && first != second);
    }

    #[test]
    fn bare_tokens_have_a_meta_and_no_end_marks() {
        let mut packets = packets(StreamFormat::Raw);
        let buffer = push(&mut packets, &group(true, &[10 * MS, 70 * MS]));
        assert_eq!(buffer.size(), CELLS * 2);
        let expected = TokenMeta {
            segment_start: true,
            real_frames: 2,
            offsets: Some(vec![60 * MS]),
            ..TokenMeta::default()
        };
        assert_eq!(meta::get(&buffer), Some(expected));
        assert!(packets.end_segment().unwrap().is_none() && packets.end_stream().unwrap().is_none());
    }
}
