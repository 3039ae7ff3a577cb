//! One timeline for streams that were joined, or whose own time steps back.

use std::sync::Arc;

use crate::stream::{PacketHeader, Position, StreamHeader};

/// Latest time given, so that no sum overflows and none means "unknown".
const LATEST: u64 = i64::MAX as u64;

/// So far back, in nanoseconds, time goes where other video was recorded behind the first, as by `concat`. Switching from
/// one source to another takes it back by less.
const ANEW: u64 = 500_000_000;

/// Gives packets their times.
///
/// Another stream follows directly on the one before it. Which stream a packet is of, its stream header's id says, and
/// segments that are counted from 0 again. Where there is no id, a segment that starts a packet's length or more
/// before the latest one is taken for another stream. In one stream nothing is moved, unless it begins anew: from its
/// start, or a later segment by [`ANEW`] or more before the latest one. A shorter step back than a packet is evened out. A
/// packet that comes twice is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// What is added to PTS now.
    shift: i64,
    part: Option<Part>,
    /// Latest PTS given, and how long the packet is that has it.
    latest: Option<u64>,
    length: u64,
    /// End of the packet that ends last.
    end: u64,
    /// Which packet came before, if it was numbered, as long as its stream goes on.
    last: Option<Last>,
}

/// What a packet is known by. The whole header would be kept for each segment of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    pts: u64,
    position: Position,
    /// Checksum of its stream header.
    stream: u32,
}

/// What is joined: a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    stream: Arc<StreamHeader>,
    /// Its first PTS, as given.
    start: u64,
    /// Another came before it.
    is_later: bool,
}

impl Timeline {
    /// Takes the next packet, which `stream` is the stream header of, and returns its PTS.
    pub fn place(&mut self, stream: &Arc<StreamHeader>, packet: &PacketHeader) -> Option<u64> {
        let own = packet.pts?;
        let mut pts = shifted(own, self.shift);
        let this = packet.position.map(|position| Last {
            pts: own,
            position,
            stream: packet.stream_header_crc,
        });
        if this.is_some() && self.last == this {
            return self.latest.map(|latest| latest.max(pts));
        }
        let length = self.length.max(packet.duration.unwrap_or(0));
        let begins_part = self.begins_part(stream, packet, pts, length);
        self.last = this.filter(|_| !packet.end_of_stream);
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
            Some(latest) if packet.segment_start && pts < latest && latest - pts < length => pts = latest,
            _ => (),
        }
        if self.latest.is_none_or(|latest| pts >= latest) {
            (self.latest, self.length) = (Some(pts), packet.duration.unwrap_or(0));
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

    /// Whether what came last is not of the stream that came first.
    pub fn is_joined(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.is_later)
    }

    /// Where the last packet ends; `None` as long as no packet had a PTS.
    pub fn end(&self) -> Option<u64> {
        self.latest.map(|_| self.end)
    }

    /// Whether the segment that `packet` starts is a stream's first, and no later one of those before.
    fn counts_anew(&self, packet: &PacketHeader) -> bool {
        let number = |position: Option<Position>| position.and_then(|at| at.segment);
        number(packet.position) == Some(0) && number(self.last.map(|last| last.position)) != Some(u32::MAX)
    }

    /// Whether the segment that `packet` starts is behind the last one, and does not come twice or too late.
    fn goes_on(&self, packet: &PacketHeader) -> bool {
        let number = |position: Option<Position>| position.and_then(|at| at.segment);
        let last = number(self.last.map(|last| last.position));
        let ahead = number(packet.position)
            .zip(last)
            .map(|(this, last)| this.wrapping_sub(last));
        ahead.is_some_and(|ahead| (1..=u32::MAX / 2).contains(&ahead))
    }

    fn begins_part(&self, stream: &Arc<StreamHeader>, packet: &PacketHeader, pts: u64, length: u64) -> bool {
        let (Some(part), Some(latest)) = (&self.part, self.latest) else {
            return true;
        };
        let same = is_same(&part.stream, stream);
        if same == Some(false) || (packet.segment_start && self.counts_anew(packet)) {
            return true;
        }
        let steps_back = packet.segment_start && pts <= latest;
        let least = match same {
            Some(_) if !self.goes_on(packet) => return steps_back && pts <= part.start,
            Some(_) => length.max(ANEW),
            None => length,
        };
        steps_back && (pts <= part.start || latest - pts >= least)
    }
}

/// Whether both are of one stream; `None` where nothing says so.
fn is_same(a: &StreamHeader, b: &StreamHeader) -> Option<bool> {
    match (&a.stream_id, &b.stream_id) {
        (None, None) => None,
        (a, b) => Some(a == b),
    }
}

/// `time` moved by `shift`.
pub fn shifted(time: u64, shift: i64) -> u64 {
    time.saturating_add_signed(shift).min(LATEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Fraction, Regularizer, TokenFormat, TokenType};
    use crate::stream::{Packet, StreamHeader, Writer};

    fn format() -> TokenFormat {
        let regularizer = Regularizer::Fsq { levels: vec![16, 16] };
        TokenFormat {
            model: "toy".into(),
            digest: "0".repeat(64),
            token_type: TokenType::default_for(&regularizer),
            regularizer,
            grid_width: 1,
            grid_height: 1,
            time_factor: 4,
            space_factor: 8,
            causal: true,
            width: 8,
            height: 8,
            framerate: Fraction::new(25, 1),
            pixel_aspect_ratio: Fraction::new(1, 1),
            colorimetry: None,
        }
    }

    /// Segments of one packet of 40 each, which start at `starts`, by the writer `id`; without one as version 1.0
    /// writes.
    fn segments(id: Option<&str>, starts: &[u64]) -> Vec<(Arc<StreamHeader>, PacketHeader)> {
        let header = StreamHeader::encode(&format(), id, None).unwrap();
        let header = Arc::new(StreamHeader::decode(&header).unwrap().0);
        let mut writer = Writer::new(format(), id.unwrap_or("none")).unwrap();
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
                None => packet.encode(&format(), header.checksum, None).unwrap(),
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
        // As an input-selector makes them; the last one is longer than a packet.
        let starts = [0, 40, 20, 60, 100, 70, 110, 150, 50, 190];
        let evened = vec![0, 40, 40, 60, 100, 100, 110, 150];
        let (times, end) = placed(&[segments(Some("a"), &starts)]);
        assert_eq!((&times[..8], times[9], end), (&evened[..], 190, Some(230)));
        // Without an id only a shorter step than a packet.
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
        // A file of one packet, twice; and one that begins anew by itself.
        assert_eq!(placed(&[segments(None, &[0]), segments(None, &[0])]).0, [0, 40]);
        assert_eq!(
            placed(&[segments(Some("a"), &[0, 40, 80, 0, 40])]).0,
            [0, 40, 80, 120, 160]
        );
        // A larger step back is taken for another stream where nothing else tells; a gap is none.
        assert_eq!(
            placed(&[segments(None, &[10, 50, 90, 20, 60, 900])]).0,
            [10, 50, 90, 130, 170, 1010]
        );
    }

    #[test]
    fn other_video_of_the_same_writer_follows_directly() {
        // Two clips of two seconds behind each other, the second of which begins at 125 ms.
        let ms = 1_000_000;
        let clips = [0, 1000, 2000, 125, 1125].map(|start| start * ms);
        let (times, end) = placed(&[segments(Some("a"), &clips)]);
        let second = 2000 * ms + 40;
        assert_eq!(times, [0, 1000 * ms, 2000 * ms, second, second + 1000 * ms]);
        assert_eq!(end, Some(second + 1000 * ms + 40));
        // A segment that comes twice is none.
        let mut twice = segments(Some("a"), &[0, 1000 * ms, 2000 * ms]);
        twice.insert(3, twice[1].clone());
        assert_eq!(placed(&[twice]).0, [0, 1000 * ms, 2000 * ms, 1000 * ms]);
    }

    #[test]
    fn a_packet_that_comes_twice_has_one_time() {
        let mut packets = segments(Some("a"), &[0, 40]);
        packets.insert(0, packets[0].clone());
        assert_eq!(placed(&[packets]).0, [0, 0, 40]);
    }
}
