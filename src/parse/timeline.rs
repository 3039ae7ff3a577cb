//! One timeline for streams that were joined, or whose own PTS step back. Free of GStreamer.

use std::sync::Arc;

use crate::stream::{MAX_TIME, PacketHeader, Position, StreamHeader};

/// A segment of the same stream that starts this much before the latest PTS, in nanoseconds, is other video that was
/// recorded behind the first, as by `concat`. Switching between live sources steps back by less.
const RESTART_STEP: u64 = 500_000_000;

/// Gives packets their PTS on one timeline.
///
/// A stream follows directly on the stream before it. Another stream has another id in its stream header, or counts its
/// segments from 0 again. Where there is no id, a segment that starts at least one packet's duration before the latest
/// PTS is taken as another stream.
///
/// Within one stream, PTS are kept, unless the stream starts over: with a segment at its first PTS or before, or with
/// a later segment that steps back by [`RESTART_STEP`] or more. A step back by less than a packet's duration is
/// evened out. A packet that comes twice gets the same PTS twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Added to the PTS in packets, in nanoseconds.
    shift: i64,
    part: Option<Part>,
    /// The latest PTS given, and the duration of that packet.
    latest: Option<u64>,
    latest_duration: u64,
    /// The latest end of a packet.
    end: u64,
    /// The packet before, if it is numbered and its stream has not ended.
    last: Option<PacketKey>,
}

/// What a packet is recognised by. A file's index keeps one per segment, so it is smaller than a packet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PacketKey {
    pts: u64,
    position: Position,
    stream_header_crc: u32,
}

/// One of the streams that were joined.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    stream: Arc<StreamHeader>,
    /// Its first PTS on the timeline.
    start: u64,
    /// Another stream came before it.
    is_later: bool,
}

impl Timeline {
    /// Takes the next packet and its stream header. Returns the PTS in nanoseconds; `None` if the packet has none.
    pub fn place(&mut self, stream: &Arc<StreamHeader>, packet: &PacketHeader) -> Option<u64> {
        let own = packet.pts?;
        let mut pts = shifted(own, self.shift);
        let key = packet.position.map(|position| PacketKey {
            pts: own,
            position,
            stream_header_crc: packet.stream_header_crc,
        });
        if key.is_some() && self.last == key {
            return self.latest.map(|latest| latest.max(pts));
        }
        let duration = self.latest_duration.max(packet.duration.unwrap_or(0));
        let begins_part = self.begins_part(stream, packet, pts, duration);
        self.last = key.filter(|_| !packet.end_of_stream);
        if begins_part {
            let is_later = self.latest.is_some();
            pts = if is_later { self.end } else { pts };
            self.shift = pts as i64 - own as i64;
            let stream = stream.clone();
            self.part = Some(Part {
                stream,
                start: pts,
                is_later,
            });
        }
        match self.latest {
            Some(latest) if packet.segment_start && pts < latest && latest - pts < duration => pts = latest,
            _ => (),
        }
        if self.latest.is_none_or(|latest| pts >= latest) {
            (self.latest, self.latest_duration) = (Some(pts), packet.duration.unwrap_or(0));
        }
        self.end = self.end.max(shifted(pts, packet.duration.unwrap_or(0) as i64));
        Some(pts)
    }

    /// Takes an end mark.
    pub fn end_mark(&mut self, mark: &StreamHeader) {
        if mark.end.is_some_and(|end| end.stream.is_some()) {
            self.last = None;
        }
    }

    /// Whether the packet before belongs to a later stream than the first.
    pub fn is_joined(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.is_later)
    }

    /// Where the last packet ends, in nanoseconds; `None` until a packet has a PTS.
    pub fn end(&self) -> Option<u64> {
        self.latest.map(|_| self.end)
    }

    /// Whether `packet` is in segment 0, and that number is not the overflow of the counter.
    fn restarts_count(&self, packet: &PacketHeader) -> bool {
        let number = |position: Option<Position>| position.and_then(|at| at.segment);
        number(packet.position) == Some(0) && number(self.last.map(|last| last.position)) != Some(u32::MAX)
    }

    /// Whether the segment of `packet` has a higher number than the segment before, so it is neither a repetition nor
    /// late.
    fn goes_on(&self, packet: &PacketHeader) -> bool {
        let number = |position: Option<Position>| position.and_then(|at| at.segment);
        let last = number(self.last.map(|last| last.position));
        let ahead = number(packet.position)
            .zip(last)
            .map(|(this, last)| this.wrapping_sub(last));
        ahead.is_some_and(|ahead| (1..=u32::MAX / 2).contains(&ahead))
    }

    fn begins_part(&self, stream: &Arc<StreamHeader>, packet: &PacketHeader, pts: u64, duration: u64) -> bool {
        let (Some(part), Some(latest)) = (&self.part, self.latest) else {
            return true;
        };
        let same = is_same(&part.stream, stream);
        if same == Some(false) || (packet.segment_start && self.restarts_count(packet)) {
            return true;
        }
        let steps_back = packet.segment_start && pts <= latest;
        let min_step = match same {
            Some(_) if !self.goes_on(packet) => return steps_back && pts <= part.start,
            Some(_) => duration.max(RESTART_STEP),
            None => duration,
        };
        steps_back && (pts <= part.start || latest - pts >= min_step)
    }
}

/// Whether both headers are of one stream; `None` if neither has an id.
fn is_same(a: &StreamHeader, b: &StreamHeader) -> Option<bool> {
    match (&a.stream_id, &b.stream_id) {
        (None, None) => None,
        (a, b) => Some(a == b),
    }
}

/// `time` moved by `shift`, both in nanoseconds: not below 0 and not above [`MAX_TIME`].
pub fn shifted(time: u64, shift: i64) -> u64 {
    time.saturating_add_signed(shift).min(MAX_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::format;
    use crate::stream::{Packet, StreamHeader, Writer};

    /// Segments of one packet of 40 ns that start at `starts`, in a stream with that id; without an id, as version 1.0
    /// of the format has them.
    fn segments(id: Option<&str>, starts: &[u64]) -> Vec<(Arc<StreamHeader>, PacketHeader)> {
        let header = StreamHeader::encode(&format(1), id, None).unwrap();
        let header = Arc::new(StreamHeader::decode(&header).unwrap().0);
        let mut writer = Writer::new(format(1), id.unwrap_or("none")).unwrap();
        let packet = |&pts: &u64| {
            let packet = Packet {
                segment_start: true,
                segment_end: true,
                latent_frames: 1,
                real_frames: 1,
                pts: Some(pts),
                duration: Some(40),
                payload: vec![0],
                ..Packet::default()
            };
            let bytes = match id {
                Some(_) => writer.write(&packet).unwrap(),
                None => packet.encode(&format(1), header.checksum, None).unwrap(),
            };
            let at = bytes.windows(4).position(|bytes| bytes == b"\x89VTP").unwrap();
            (header.clone(), PacketHeader::decode(&bytes[at..]).unwrap())
        };
        starts.iter().map(packet).collect()
    }

    fn placed(parts: &[Vec<(Arc<StreamHeader>, PacketHeader)>]) -> (Vec<u64>, Option<u64>) {
        let mut timeline = Timeline::default();
        let packets = parts.iter().flatten();
        let times = packets.map(|(stream, packet)| timeline.place(stream, packet).unwrap());
        (times.collect(), timeline.end())
    }

    #[test]
    fn a_step_back_in_one_stream_shifts_nothing() {
        // As behind an input-selector; the last step is longer than a packet.
        let starts = [0, 40, 20, 60, 100, 70, 110, 150, 50, 190];
        let evened = vec![0, 40, 40, 60, 100, 100, 110, 150];
        let (times, end) = placed(&[segments(Some("a"), &starts)]);
        assert_eq!((&times[..8], times[9], end), (&evened[..], 190, Some(230)));
        // Without an id, only steps shorter than a packet.
        let (times, end) = placed(&[segments(None, &starts[..8])]);
        assert_eq!((times, end), (evened, Some(190)));
    }

    #[test]
    fn another_stream_follows_directly() {
        for (second, third) in [("b", "c"), ("b", "a")] {
            let parts = [
                segments(Some("a"), &[8000, 8040]),
                segments(Some(second), &[0, 40]),
                segments(Some(third), &[9000, 9040]),
            ];
            let times = vec![8000, 8040, 8080, 8120, 8160, 8200];
            assert_eq!(placed(&parts), (times, Some(8240)), "{second} {third}");
        }
        // A file of one packet, twice; and one stream that starts over.
        assert_eq!(placed(&[segments(None, &[0]), segments(None, &[0])]).0, [0, 40]);
        assert_eq!(
            placed(&[segments(Some("a"), &[0, 40, 80, 0, 40])]).0,
            [0, 40, 80, 120, 160]
        );
        // Without an id, a larger step back is another stream; a gap is not.
        assert_eq!(
            placed(&[segments(None, &[10, 50, 90, 20, 60, 900])]).0,
            [10, 50, 90, 130, 170, 1010]
        );
    }

    #[test]
    fn other_video_of_the_same_writer_follows_directly() {
        // Two clips of two seconds; the second begins at 125 ms.
        let ms = 1_000_000;
        let clips = [0, 1000, 2000, 125, 1125].map(|start| start * ms);
        let (times, end) = placed(&[segments(Some("a"), &clips)]);
        let second = 2000 * ms + 40;
        assert_eq!(times, [0, 1000 * ms, 2000 * ms, second, second + 1000 * ms]);
        assert_eq!(end, Some(second + 1000 * ms + 40));
        // A repeated segment is not other video.
        let mut twice = segments(Some("a"), &[0, 1000 * ms, 2000 * ms]);
        twice.insert(3, twice[1].clone());
        assert_eq!(placed(&[twice]).0, [0, 1000 * ms, 2000 * ms, 1000 * ms]);
    }

    #[test]
    fn times_end_at_the_limit_of_the_byte_stream() {
        let parts = [segments(Some("a"), &[MAX_TIME - 50]), segments(Some("b"), &[0, 40, 80])];
        let (times, end) = placed(&parts);
        assert_eq!(times, [MAX_TIME - 50, MAX_TIME - 10, MAX_TIME, MAX_TIME]);
        assert_eq!(end, Some(MAX_TIME));
    }

    #[test]
    fn a_packet_that_comes_twice_has_one_time() {
        let mut packets = segments(Some("a"), &[0, 40]);
        packets.insert(0, packets[0].clone());
        assert_eq!(placed(&[packets]).0, [0, 0, 40]);
    }
}
