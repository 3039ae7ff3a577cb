//! One timeline for streams that were joined.

use crate::stream::PacketHeader;

/// Latest time given, so that no sum overflows and none means "unknown".
const MAX_TIME: u64 = i64::MAX as u64;

/// Gives packets their times. Where a segment starts no later than something before it, another stream was joined
/// there: its times are moved to the end of what came before.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    shift: u64,
    /// Latest PTS so far.
    latest: Option<u64>,
    /// End of the packet that ends last.
    end: u64,
}

impl Timeline {
    /// Takes the next packet and returns its PTS.
    pub fn place(&mut self, packet: &PacketHeader) -> Option<u64> {
        let pts = packet.pts?;
        if packet.segment_start && self.latest.is_some_and(|latest| shifted(pts, self.shift) <= latest) {
            self.shift = self.end.saturating_sub(pts);
        }
        let pts = shifted(pts, self.shift);
        self.latest = Some(self.latest.map_or(pts, |latest| latest.max(pts)));
        self.end = self.end.max(shifted(pts, packet.duration.unwrap_or(0)));
        Some(pts)
    }

    /// What is added to the PTS of packets now.
    pub fn shift(&self) -> u64 {
        self.shift
    }

    /// Where the last packet ends; `None` as long as no packet had a PTS.
    pub fn end(&self) -> Option<u64> {
        self.latest.map(|_| self.end)
    }
}

/// `time` moved by `shift`.
pub fn shifted(time: u64, shift: u64) -> u64 {
    time.saturating_add(shift).min(MAX_TIME)
}
