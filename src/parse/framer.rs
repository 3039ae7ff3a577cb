//! Cuts the byte stream into what becomes one buffer each, and keeps account of what is skipped. No GStreamer in here.

use std::sync::Arc;

use super::walk::Walker;
use crate::stream::{Fault, Found, PacketHeader, StreamError, StreamHeader};

/// So much may come before the first stream header: a reader may have joined inside a segment.
const MAX_BYTES_BEFORE_HEADER: u64 = 1 << 24;

/// What to do with the bytes at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait until there are that many.
    Wait(usize),
    /// Pass over that many.
    Drop(usize),
    /// Make a buffer of the first `bytes`.
    Frame(Frame),
    /// Pass over a packet with a damaged body. What its header says of time still counts.
    Lost(PacketHeader),
    /// Make a buffer of an end mark.
    End { bytes: usize, mark: Arc<StreamHeader> },
}

/// A packet, behind its stream header if `packet_at` is not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
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
    /// No stream header within the first bytes: that many.
    NotVidTok(u64),
}

/// The state of parsing.
#[derive(Debug, Default)]
pub struct Framer {
    walker: Walker,
    /// Bytes of the stream header that holds.
    header_bytes: Vec<u8>,
    /// How much of the stream was taken: where the next bytes are expected.
    offset: u64,
    skipped: u64,
    /// Set where the stream's end cut off something that looked whole.
    cut: bool,
}

impl Framer {
    /// The stream header that holds, and its bytes.
    pub fn header(&self) -> Option<(&Arc<StreamHeader>, &[u8])> {
        Some((self.walker.header()?, &self.header_bytes))
    }

    /// Takes `data`, which stand elsewhere in the stream, as the stream header that holds.
    pub fn set_header(&mut self, data: &[u8]) -> Result<(), StreamError> {
        if let Found::Header { bytes } = self.walker.look(data)? {
            self.header_bytes = data[..bytes].to_vec();
        }
        Ok(())
    }

    /// How much of the stream was taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Looks at `data`, which begins at `offset` in the stream; with `at_end` it is all that is left.
    /// The caller does as told and comes again with what follows.
    pub fn next(&mut self, data: &[u8], offset: u64, at_end: bool) -> Result<Step, FramerError> {
        if offset != self.offset {
            // A seek: what was skipped elsewhere is of no interest.
            (self.offset, self.skipped, self.cut) = (offset, 0, false);
        }
        let step = self.look(data, at_end)?;
        match &step {
            Step::Wait(_) => (),
            Step::Drop(bytes) => self.offset += *bytes as u64,
            Step::Frame(frame) => {
                self.offset += frame.bytes as u64;
                self.walker.pass(frame.bytes);
                // What something whole follows on is not the cut-off end.
                self.cut = false;
            }
            Step::End { bytes, .. } => {
                self.offset += *bytes as u64;
                self.walker.pass(*bytes);
                self.cut = false;
            }
            Step::Lost(packet) => {
                self.offset += packet.packet_bytes() as u64;
                self.walker.pass(packet.packet_bytes());
                self.skipped += packet.packet_bytes() as u64;
            }
        }
        Ok(step)
    }

    /// The damage in front of the frame that [`next`](Self::next) gave, or at the stream's end. Told once.
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

    fn look(&mut self, data: &[u8], at_end: bool) -> Result<Step, FramerError> {
        let mut garbage = 0;
        while garbage < data.len() {
            let rest = &data[garbage..];
            let found = self.look_once(rest, at_end)?;
            garbage += match found {
                Look::Garbage(bytes) => bytes,
                // It comes again, at the start of what is given.
                _ if garbage > 0 => break,
                Look::Short(bytes) => return Ok(Step::Wait(bytes)),
                Look::Header(bytes) => return self.look_behind_header(data, bytes, at_end),
                Look::Lost(packet) => return Ok(Step::Lost(packet)),
                Look::End(bytes, mark) => return Ok(Step::End { bytes, mark }),
                Look::Packet(packet) => {
                    return Ok(Step::Frame(Frame {
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
        Ok(Step::Drop(garbage))
    }

    /// A stream header and the packet behind it stay together.
    fn look_behind_header(&mut self, data: &[u8], header: usize, at_end: bool) -> Result<Step, FramerError> {
        if self.header_bytes != data[..header] {
            self.header_bytes = data[..header].to_vec();
        }
        let rest = &data[header..];
        // What is not given with it is looked at once more.
        let drop_header = |walker: &mut Walker| {
            walker.pass(header);
            Step::Drop(header)
        };
        Ok(match self.walker.clone().look(rest).map_err(FramerError::Stream)? {
            Found::Packet(packet) if packet.segment_start => match packet.check_body(rest) {
                Ok(()) => Step::Frame(Frame {
                    bytes: header + packet.packet_bytes(),
                    packet_at: header,
                    packet,
                }),
                Err(Fault::Short(bytes)) if !at_end => Step::Wait(header + bytes),
                Err(_) => drop_header(&mut self.walker),
            },
            Found::Short(bytes) if !at_end => Step::Wait(header + bytes),
            _ => drop_header(&mut self.walker),
        })
    }

    fn look_once(&mut self, data: &[u8], at_end: bool) -> Result<Look, FramerError> {
        Ok(match self.walker.look(data).map_err(FramerError::Stream)? {
            Found::Header { bytes } => Look::Header(bytes),
            Found::End { bytes, mark } => Look::End(bytes, mark),
            Found::Garbage(bytes) => Look::Garbage(bytes),
            Found::Short(bytes) if !at_end => Look::Short(bytes),
            Found::Short(_) => {
                self.cut = true;
                Look::Garbage(self.walker.give_up(data))
            }
            Found::Packet(packet) => match packet.check_body(data) {
                Ok(()) => Look::Packet(packet),
                Err(Fault::Short(bytes)) if !at_end => Look::Short(bytes),
                Err(Fault::Short(_)) => {
                    self.cut = true;
                    Look::Garbage(self.walker.deny(data, &packet, true))
                }
                Err(_) => self.look_behind_damage(data, packet, at_end),
            },
        })
    }

    /// What a packet is whose body is damaged.
    fn look_behind_damage(&mut self, data: &[u8], packet: PacketHeader, at_end: bool) -> Look {
        let next = &data[packet.packet_bytes()..];
        match self.walker.follows(next) {
            _ if next.is_empty() && at_end => Look::Lost(packet),
            Ok(true) => Look::Lost(packet),
            Err(bytes) if !at_end => Look::Short(packet.packet_bytes() + bytes),
            Ok(false) | Err(_) => Look::Garbage(self.walker.deny(data, &packet, false)),
        }
    }
}

/// What the bytes at hand start with.
enum Look {
    Garbage(usize),
    Short(usize),
    Header(usize),
    End(usize, Arc<StreamHeader>),
    Packet(PacketHeader),
    /// A packet that is there, but damaged.
    Lost(PacketHeader),
}

#[cfg(test)]
mod tests {
    use super::super::walk::tests::stream;
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
    fn headers_that_claim_much_do_not_buy_more_of_the_same() {
        let mut bytes = stream(128, 1, 0);
        let header = StreamHeader::decode(&bytes).unwrap().0;
        // They come one by one, and are looked at before their bodies are there.
        for _ in 0..24 {
            bytes.extend(false_claim(&header));
            bytes.resize(bytes.len() + 70_000, 0);
        }
        bytes.resize(bytes.len() + (1 << 24), 0);
        let (mut framer, mut at, mut wanted) = (Framer::default(), 0, 1);
        while at < bytes.len() {
            let end = bytes.len().min(at + wanted);
            let step = framer.next(&bytes[at..end], at as u64, end == bytes.len()).unwrap();
            wanted = 1;
            match step {
                Step::Wait(bytes) => wanted = bytes,
                Step::Drop(bytes) | Step::Frame(Frame { bytes, .. }) | Step::End { bytes, .. } => at += bytes,
                Step::Lost(packet) => at += packet.packet_bytes(),
            }
        }
        // What is spared, some for what was passed, and one body more; they claim 384 MiB.
        let checked = framer.walker.checked_in_vain();
        assert!(checked < 4 << 26, "{checked} bytes checked in vain");
    }
}
