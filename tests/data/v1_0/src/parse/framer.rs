//! Cuts the byte stream into what becomes one buffer each, and keeps account of what is skipped. No GStreamer in here.

use std::sync::Arc;

use crate::stream::{Found, PacketHeader, Scanner, StreamError, StreamHeader};

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
    scanner: Scanner,
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
        Some((self.scanner.header()?, &self.header_bytes))
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
            Step::Frame(frame) => self.offset += frame.bytes as u64,
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
            garbage += match self.scan(rest)? {
                Found::Garbage(bytes) => bytes,
                Found::Short(_) if at_end => {
                    self.cut = true;
                    self.scanner.give_up(rest)
                }
                // It comes again, at the start of what is given.
                _ if garbage > 0 => break,
                Found::Short(bytes) => return Ok(Step::Wait(bytes)),
                Found::Header { bytes } => return self.look_behind_header(data, bytes, at_end),
                Found::Packet(packet) => {
                    return Ok(Step::Frame(Frame {
                        bytes: packet.packet_bytes(),
                        packet_at: 0,
                        packet,
                    }));
                }
            };
        }
        self.skipped += garbage as u64;
        if self.scanner.header().is_none() && self.skipped > MAX_BYTES_BEFORE_HEADER {
            return Err(FramerError::NotVidTok(self.skipped));
        }
        Ok(Step::Drop(garbage))
    }

    /// A stream header and the packet behind it stay together.
    fn look_behind_header(&mut self, data: &[u8], header: usize, at_end: bool) -> Result<Step, FramerError> {
        if self.header_bytes != data[..header] {
            self.header_bytes = data[..header].to_vec();
        }
        match self.scan(&data[header..])? {
            Found::Packet(packet) if packet.segment_start => Ok(Step::Frame(Frame {
                bytes: header + packet.packet_bytes(),
                packet_at: header,
                packet,
            })),
            Found::Short(bytes) if !at_end => Ok(Step::Wait(header + bytes)),
            _ => Ok(Step::Drop(header)),
        }
    }

    fn scan(&mut self, data: &[u8]) -> Result<Found, FramerError> {
        if data.is_empty() {
            return Ok(Found::Short(1));
        }
        self.scanner.scan(data).map_err(FramerError::Stream)
    }
}
