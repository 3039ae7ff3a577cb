//! One timeline for streams that were joined, or whose own time steps back.

use std::sync::Arc;

use crate::stream::{PacketHeader, StreamHeader};

/// Latest time given, so that no sum overflows and none means "unknown".
const MAX_TIME: u64 = i64::MAX as u64;

/// Gives packets their times.
///
/// Another stream follows directly on the one before it. Which stream a packet is of, its stream header's id says. Where
/// there is none, a segment that starts a packet's length or more before the latest one is taken for another stream.
/// In one stream nothing is moved, unless it begins anew from its start; a shorter step back than a packet is evened
/// out.
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
}

/// What is joined: a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    stream: Arc<StreamHeader>,
    /// Its first PTS, as given.
    start: u64,
}

impl Timeline {
    /// Takes the next packet, which `stream` is the stream header of, and returns its PTS.
    pub fn place(&mut self, stream: &Arc<StreamHeader>, packet: &PacketHeader) -> Option<u64> {
        let own = packet.pts?;
        let mut pts = shifted(own, self.shift);
        let length = self.length.max(packet.duration.unwrap_or(0));
        if self.begins_part(stream, packet, pts, length) {
            pts = if self.latest.is_some() { self.end } else { pts };
            self.shift = pts as i64 - own as i64;
            let stream = stream.clone();
            self.part = Some(Part { stream, start: pts });
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

    /// Where the last packet ends; `None` as long as no packet had a PTS.
    pub fn end(&self) -> Option<u64> {
        self.latest.map(|_| self.end)
    }

    fn begins_part(&self, stream: &Arc<StreamHeader>, packet: &PacketHeader, pts: u64, length: u64) -> bool {
        let (Some(part), Some(latest)) = (&self.part, self.latest) else {
            return true;
        };
        let same = is_same(&part.stream, stream);
        if same == Some(false) {
            return true;
        }
        let steps_back = packet.segment_start && pts <= latest;
        steps_back && (pts <= part.start || (same.is_none() && latest - pts >= length))
    }
}

/// Whether both are of one stream; `None` where nothing says so.
fn is_same(_a: &StreamHeader, _b: &StreamHeader) -> Option<bool> {
    None
}

/// `time` moved by `shift`.
pub fn shifted(time: u64, shift: i64) -> u64 {
    time.saturating_add_signed(shift).min(MAX_TIME)
}
