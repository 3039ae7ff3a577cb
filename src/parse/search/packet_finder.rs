//! Packet headers in bytes that may begin anywhere in a stream.

use super::SeekPoint;
use crate::stream::{Budget, Fault, MAGIC, PacketHeader, SYNC, StreamHeader};

/// A packet with a PTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedPacket {
    /// In nanoseconds, as `end`.
    pub pts: u64,
    pub end: u64,
    pub offset: u64,
    pub stream_header_crc: u32,
    /// Number of its segment, if the packet has it.
    pub segment: Option<u32>,
    /// Offset of the stream header directly in front, if the packet starts a segment.
    pub start: Option<u64>,
}

impl TimedPacket {
    /// Whether this packet can belong to the stream that begins with `first`, and follow on `previous`. A step back by
    /// less than a packet's duration is allowed.
    pub fn is_in_order(&self, first: &Self, previous: Option<&Self>) -> bool {
        let begins_stream = self.start.is_some() && self.segment == Some(0) && self.offset > first.offset;
        let is_behind = |earlier: &Self| self.offset == earlier.offset || self.end.max(self.pts + 1) > earlier.pts;
        self.stream_header_crc == first.stream_header_crc
            && !begins_stream
            && is_behind(first)
            && previous.is_none_or(is_behind)
    }

    pub fn seek_point(&self) -> SeekPoint {
        SeekPoint {
            offset: self.start.unwrap_or(self.offset),
            pts: self.pts,
        }
    }
}

/// Finds the headers of packets in bytes that may begin anywhere in a stream.
#[derive(Debug)]
pub struct PacketFinder {
    bytes: Vec<u8>,
    /// Where `bytes` begin in the stream.
    offset: u64,
    /// How many of `bytes` were looked at.
    at: usize,
    /// Offset behind the last byte that was pushed.
    pub read_to: u64,
    /// The last stream header: where it begins and ends, and its checksum.
    header: Option<(u64, u64, u32)>,
    budget: Budget,
}

impl PacketFinder {
    pub fn at(offset: u64) -> Self {
        Self {
            bytes: Vec::new(),
            offset,
            at: 0,
            read_to: offset,
            header: None,
            budget: Budget::default(),
        }
    }

    /// Continues with the bytes at `offset`.
    pub fn go_to(&mut self, offset: u64) {
        *self = Self {
            budget: std::mem::take(&mut self.budget),
            ..Self::at(offset)
        };
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // Only here, not with each packet, so that each byte moves once.
        self.bytes.drain(..self.at);
        self.offset += std::mem::take(&mut self.at) as u64;
        self.bytes.extend_from_slice(bytes);
        self.read_to += bytes.len() as u64;
    }

    /// The next packet that has a PTS.
    pub fn next(&mut self) -> Option<TimedPacket> {
        loop {
            let rest = &self.bytes[self.at..];
            let Some(next) = rest.iter().position(|byte| *byte == SYNC[0]) else {
                self.pass(rest.len());
                return None;
            };
            self.pass(next);
            match self.look() {
                Ok((bytes, packet)) => {
                    self.pass(bytes);
                    if packet.is_some() {
                        return packet;
                    }
                }
                Err(Fault::Short(_)) => return None,
                Err(Fault::Damaged { checked }) if self.budget.is_exceeded_by(checked) => self.pass(checked),
                Err(_) => self.pass(1),
            }
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.at += bytes;
        self.budget.passed(bytes);
    }

    /// What stands at the current position: how many bytes to move on, and the packet if it has a PTS.
    fn look(&mut self) -> Result<(usize, Option<TimedPacket>), Fault> {
        let (data, offset) = (&self.bytes[self.at..], self.offset + self.at as u64);
        if data.len() < 3 {
            return Err(Fault::Short(3));
        }
        if data.starts_with(&MAGIC[..3]) {
            let (header, bytes) = StreamHeader::decode(data)?;
            if header.end.is_none() {
                self.header = Some((offset, offset + bytes as u64, header.checksum));
            }
            return Ok((bytes, None));
        }
        let packet = PacketHeader::decode(data)?;
        let header = self
            .header
            .filter(|(_, end, stream)| *end == offset && *stream == packet.stream_header_crc);
        let start = header.filter(|_| packet.segment_start).map(|(start, ..)| start);
        let packet = packet.pts.map(|pts| TimedPacket {
            pts,
            end: pts + packet.duration.unwrap_or(0),
            offset,
            segment: packet.position.and_then(|at| at.segment),
            stream_header_crc: packet.stream_header_crc,
            start,
        });
        // Moves past the sync word only: the packet's length may be wrong.
        Ok((SYNC.len(), packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::stream;
    use crate::stream::MAX_JSON_BYTES;

    #[test]
    fn false_stream_headers_cost_little() {
        // Magic, version, and a large length of the JSON text.
        let mut claim = stream(10, 1, 0)[..12].to_vec();
        claim[8..].copy_from_slice(&(MAX_JSON_BYTES as u32).to_le_bytes());
        let bytes = claim.repeat(100_000);
        let mut finder = PacketFinder::at(0);
        finder.push(&bytes);
        assert_eq!(finder.next(), None);
        let checked = finder.budget.checked_in_vain();
        assert!(checked < (1 << 27) + 20 * bytes.len() as u64, "{checked} bytes");
    }
}
