//! Decides how the byte stream is cut into output buffers, and counts the bytes that it skips. Free of GStreamer.

use std::sync::Arc;

use super::walk::Walker;
use crate::stream::{Fault, Found, PacketHeader, StreamError, StreamHeader};

/// Bytes that may stand before the first stream header: a reader may have joined inside a segment.
const MAX_BYTES_BEFORE_HEADER: u64 = 1 << 24;

/// What the caller must do with the bytes that it has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait for that many bytes in total.
    Wait(usize),
    /// Skip that many bytes.
    Skip(usize),
    /// Skip a packet whose body is damaged. The times in its header still count.
    SkipDamaged(PacketHeader),
    /// Output a packet.
    Packet(PacketSpan),
    /// Output an end mark.
    EndMark { bytes: usize, mark: Arc<StreamHeader> },
}

/// Where a packet stands in the bytes shown. They begin with its stream header if `packet_at` is not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketSpan {
    /// Bytes of packet and stream header together.
    pub bytes: usize,
    pub packet_at: usize,
    pub packet: PacketHeader,
}

/// Bytes that were skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    pub bytes: u64,
    /// Where they begin in the stream.
    pub offset: u64,
}

/// Why a stream cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FramerError {
    Stream(StreamError),
    /// There is no stream header in the first bytes. Holds how many bytes those are.
    NotVidTok(u64),
}

/// The state of parsing.
#[derive(Debug, Default)]
pub struct Framer {
    walker: Walker,
    /// Bytes of the current stream header.
    header_bytes: Vec<u8>,
    /// Where in the stream the next bytes are expected.
    offset: u64,
    skipped: u64,
    /// The end of the stream cut off what looked like a packet or stream header.
    cut: bool,
}

impl Framer {
    /// The current stream header and its bytes.
    pub fn header(&self) -> Option<(&Arc<StreamHeader>, &[u8])> {
        Some((self.walker.header()?, &self.header_bytes))
    }

    /// Makes the stream header in `data`, which was read from another place, the current one.
    pub fn set_header(&mut self, data: &[u8]) -> Result<(), StreamError> {
        if let Found::Header { bytes } = self.walker.look(data)? {
            self.header_bytes = data[..bytes].to_vec();
        }
        Ok(())
    }

    /// Where in the stream the next bytes are expected.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Decides about `data`, which begins at `offset` in the stream. With `at_end`, it is the rest of the stream.
    /// The caller carries out the action and calls again with the bytes that follow.
    pub fn next(&mut self, data: &[u8], offset: u64, at_end: bool) -> Result<Action, FramerError> {
        if offset != self.offset {
            // After a seek, bytes that were skipped elsewhere do not matter.
            (self.offset, self.skipped, self.cut) = (offset, 0, false);
        }
        let action = self.look(data, at_end)?;
        match &action {
            Action::Wait(_) => (),
            Action::Skip(bytes) => self.offset += *bytes as u64,
            Action::SkipDamaged(packet) => {
                self.offset += packet.packet_bytes() as u64;
                self.walker.pass(packet.packet_bytes());
                self.skipped += packet.packet_bytes() as u64;
            }
            Action::Packet(PacketSpan { bytes, .. }) | Action::EndMark { bytes, .. } => {
                self.offset += *bytes as u64;
                self.walker.pass(*bytes);
                // A whole packet or end mark follows, so what was skipped was not the end of the stream.
                self.cut = false;
            }
        }
        Ok(action)
    }

    /// The damage in front of `before`: the offset of output that [`next`](Self::next) has returned, or of the end.
    /// Returned once.
    pub fn take_damage(&mut self, before: u64) -> Option<Damage> {
        let bytes = std::mem::take(&mut self.skipped);
        (bytes > 0).then(|| Damage {
            bytes,
            offset: before.saturating_sub(bytes),
        })
    }

    /// Whether the stream ended in the middle of a packet.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    fn look(&mut self, data: &[u8], at_end: bool) -> Result<Action, FramerError> {
        let mut garbage = 0;
        while garbage < data.len() {
            let rest = &data[garbage..];
            let item = self.look_once(rest, at_end)?;
            garbage += match item {
                Item::Garbage(bytes) => bytes,
                // The next call looks at it again, at the start of its data.
                _ if garbage > 0 => break,
                Item::Short(bytes) => return Ok(Action::Wait(bytes)),
                Item::Header(bytes) => return self.look_behind_header(data, bytes, at_end),
                Item::DamagedPacket(packet) => return Ok(Action::SkipDamaged(packet)),
                Item::EndMark(bytes, mark) => return Ok(Action::EndMark { bytes, mark }),
                Item::Packet(packet) => {
                    return Ok(Action::Packet(PacketSpan {
                        bytes: packet.packet_bytes(),
                        packet_at: 0,
                        packet,
                    }));
                }
            };
        }
        self.skipped += garbage as u64;
        if self.walker.header().is_none() && self.skipped > MAX_BYTES_BEFORE_HEADER {
            return Err(FramerError::NotVidTok(self.skipped));
        }
        Ok(Action::Skip(garbage))
    }

    /// Looks behind a stream header: it goes into one buffer with the packet behind it.
    fn look_behind_header(&mut self, data: &[u8], header: usize, at_end: bool) -> Result<Action, FramerError> {
        if self.header_bytes != data[..header] {
            self.header_bytes = data[..header].to_vec();
        }
        let rest = &data[header..];
        // The next call looks at what stands behind the header.
        let skip_header = |walker: &mut Walker| {
            walker.pass(header);
            Action::Skip(header)
        };
        Ok(match self.walker.clone().look(rest).map_err(FramerError::Stream)? {
            Found::Packet(packet) if packet.segment_start => match packet.check_body(rest) {
                Ok(()) => Action::Packet(PacketSpan {
                    bytes: header + packet.packet_bytes(),
                    packet_at: header,
                    packet,
                }),
                Err(Fault::Short(bytes)) if !at_end => Action::Wait(header + bytes),
                Err(_) => skip_header(&mut self.walker),
            },
            Found::Short(bytes) if !at_end => Action::Wait(header + bytes),
            _ => skip_header(&mut self.walker),
        })
    }

    fn look_once(&mut self, data: &[u8], at_end: bool) -> Result<Item, FramerError> {
        Ok(match self.walker.look(data).map_err(FramerError::Stream)? {
            Found::Header { bytes } => Item::Header(bytes),
            Found::End { bytes, mark } => Item::EndMark(bytes, mark),
            Found::Garbage(bytes) => Item::Garbage(bytes),
            Found::Short(bytes) if !at_end => Item::Short(bytes),
            Found::Short(_) => {
                self.cut = true;
                Item::Garbage(self.walker.give_up(data))
            }
            Found::Packet(packet) => match packet.check_body(data) {
                Ok(()) => Item::Packet(packet),
                Err(Fault::Short(bytes)) if !at_end => Item::Short(bytes),
                Err(Fault::Short(_)) => {
                    self.cut = true;
                    Item::Garbage(self.walker.deny(data, &packet, true))
                }
                Err(_) => self.look_behind_damage(data, packet, at_end),
            },
        })
    }

    /// Decides whether `packet`, whose body is damaged, is a packet at all: see [`walk`](super::walk).
    fn look_behind_damage(&mut self, data: &[u8], packet: PacketHeader, at_end: bool) -> Item {
        let next = &data[packet.packet_bytes()..];
        match self.walker.follows(next) {
            _ if next.is_empty() && at_end => Item::DamagedPacket(packet),
            Ok(true) => Item::DamagedPacket(packet),
            Err(bytes) if !at_end => Item::Short(packet.packet_bytes() + bytes),
            Ok(false) | Err(_) => Item::Garbage(self.walker.deny(data, &packet, false)),
        }
    }
}

/// What the bytes shown start with.
enum Item {
    Garbage(usize),
    Short(usize),
    Header(usize),
    EndMark(usize, Arc<StreamHeader>),
    Packet(PacketHeader),
    DamagedPacket(PacketHeader),
}

#[cfg(test)]
mod tests {
    use super::super::testing::stream;
    use super::*;

    /// The header of a packet of 16 MiB, which fits [`stream(128, …)`](stream).
    fn false_claim(header: &StreamHeader) -> Vec<u8> {
        let mut bytes = b"\x89VTP\x30\0\x01\0".to_vec();
        for field in [header.checksum, 1024, 1, 1 << 24] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.resize(48, 0);
        let crc = crc32fast::hash(&bytes);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn headers_that_claim_large_bodies_cost_bounded_work() {
        let mut bytes = stream(128, 1, 0);
        let header = StreamHeader::decode(&bytes).unwrap().0;
        // The framer sees each header before its body has arrived.
        for _ in 0..24 {
            bytes.extend(false_claim(&header));
            bytes.resize(bytes.len() + 70_000, 0);
        }
        bytes.resize(bytes.len() + (1 << 24), 0);
        let (mut framer, mut at, mut needed) = (Framer::default(), 0, 1);
        while at < bytes.len() {
            let end = bytes.len().min(at + needed);
            let action = framer.next(&bytes[at..end], at as u64, end == bytes.len()).unwrap();
            needed = 1;
            match action {
                Action::Wait(bytes) => needed = bytes,
                Action::Skip(bytes) | Action::Packet(PacketSpan { bytes, .. }) | Action::EndMark { bytes, .. } => {
                    at += bytes
                }
                Action::SkipDamaged(packet) => at += packet.packet_bytes(),
            }
        }
        // The spare budget, the budget for bytes passed, and one body more. The headers claim 384 MiB.
        let checked = framer.walker.checked_in_vain();
        assert!(checked < 4 << 26, "{checked} bytes checked in vain");
    }
}
