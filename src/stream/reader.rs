//! Takes a byte stream apart, piece by piece as its bytes come.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Continuity, Found, Hole, Link, OnLoss, Packet, PacketHeader, Scanner, StreamError, StreamHeader};

/// What a [`Reader`] came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stream header. The same one comes again in front of every segment.
    Header(Arc<StreamHeader>),
    /// A packet of the stream header before it.
    Packet(Packet),
    /// An end mark: [`StreamHeader::end`] says what a segment had, and a stream.
    End(Arc<StreamHeader>),
    /// The sequence is broken here. Unless the loss is [`Repeated`](super::Loss::Repeated), packets up to the next one
    /// that starts a segment decode to something wrong; they come only with [`OnLoss::Continue`].
    Hole(Hole),
    /// That many bytes in front of the next event were damaged.
    Skipped { bytes: u64 },
    /// The bytes ended, and the last of them are no whole packet.
    CutTail { bytes: u64 },
}

/// Reads a byte stream that is pushed in pieces of any size.
///
/// Holds no more than the piece pushed last and one packet.
///
/// ```
/// # use gstvidtok::stream::{Event, Reader, StreamError};
/// # fn read(pieces: &[&[u8]]) -> Result<usize, StreamError> {
/// let mut reader = Reader::new();
/// let mut packets = 0;
/// for piece in pieces {
///     reader.push(piece);
///     while let Some(event) = reader.next_event()? {
///         match event {
///             Event::Packet(packet) => packets += 1,
///             Event::Skipped { bytes } => eprintln!("{bytes} damaged bytes skipped"),
///             Event::Hole(hole) => eprintln!("{hole}"),
///             Event::Header(_) | Event::End(_) | Event::CutTail { .. } => (),
///         }
///     }
/// }
/// # Ok(packets)
/// # }
/// # assert_eq!(read(&[b"no", b"stream"]), Ok(0));
/// ```
#[derive(Debug, Default)]
pub struct Reader {
    scanner: Scanner,
    continuity: Continuity,
    on_loss: OnLoss,
    bytes: Vec<u8>,
    /// What of `bytes` was read.
    at: usize,
    /// Bytes from `at` on without which looking again is of no use.
    wanted: usize,
    /// Bytes passed over since the last event.
    skipped: u64,
    /// Events that follow on the one given last.
    held: VecDeque<Event>,
    /// Set once no more bytes come.
    finished: bool,
    /// Set where the end cut something off that looked whole.
    cut: bool,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader that does with packets behind a hole as `on_loss` says. By default they are left out.
    pub fn on_loss(on_loss: OnLoss) -> Self {
        Self {
            on_loss,
            ..Self::default()
        }
    }

    /// Whether what was read last is the end of a stream. Where the bytes end without one, a writer was stopped, the
    /// end was cut off, or the writer is one of version 1.0, which said it in some streams only.
    pub fn has_ended(&self) -> bool {
        self.continuity.has_ended()
    }

    /// Adds bytes. Take all events before pushing more, so that little is held.
    pub fn push(&mut self, bytes: &[u8]) {
        // What is left moves only when it is less than what was read: on average a byte moves once.
        if self.at * 2 >= self.bytes.len() {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Says that no more bytes come.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next event; `None` until more bytes come. After an error there is no going on.
    pub fn next_event(&mut self) -> Result<Option<Event>, StreamError> {
        while self.held.is_empty() && self.step()? {}
        Ok(self.held.pop_front().or_else(|| self.tail()))
    }

    /// Passes over what comes next, and holds the events for it; `false` where bytes are missing.
    fn step(&mut self) -> Result<bool, StreamError> {
        let data = &self.bytes[self.at..];
        if data.is_empty() || (data.len() < self.wanted && !self.finished) {
            return Ok(false);
        }
        let bytes = match self.scanner.scan(data)? {
            Found::Header { bytes } => {
                let header = self.scanner.header().cloned();
                self.found();
                if let Some(header) = header {
                    self.continuity.header(&header);
                    self.held.push_back(Event::Header(header));
                }
                bytes
            }
            Found::End { bytes, mark } => {
                self.found();
                self.held.extend(self.continuity.end(&mark).map(Event::Hole));
                self.held.push_back(Event::End(mark));
                bytes
            }
            Found::Packet(header) => {
                let packet = Packet::from_checked(data, &header)?;
                self.found();
                self.place(&header, packet);
                header.packet_bytes()
            }
            Found::Garbage(bytes) => self.pass_over(bytes),
            Found::Short(bytes) if !self.finished => {
                self.wanted = bytes;
                return Ok(false);
            }
            // Bytes may be missing inside and not at the end: look for whole packets in what is left.
            Found::Short(_) => {
                self.cut = true;
                let garbage = self.scanner.give_up(data);
                self.pass_over(garbage)
            }
        };
        self.at += bytes;
        self.wanted = 0;
        Ok(true)
    }

    fn pass_over(&mut self, bytes: usize) -> usize {
        self.skipped += bytes as u64;
        bytes
    }

    /// Notes that something whole follows on what was passed over, which is then not the cut-off end.
    fn found(&mut self) {
        self.cut = false;
        let bytes = std::mem::take(&mut self.skipped);
        if bytes > 0 {
            self.continuity.lost();
            self.held.push_back(Event::Skipped { bytes });
        }
    }

    /// Holds a packet, unless it is of no use.
    fn place(&mut self, header: &PacketHeader, packet: Packet) {
        let place = self.continuity.packet(header);
        self.held.extend(place.hole.map(Event::Hole));
        let wanted = match place.link {
            Link::Follows | Link::Starts | Link::Joins => true,
            Link::Uncertain => self.on_loss == OnLoss::Continue,
            Link::Repeated => false,
        };
        if wanted {
            self.held.push_back(Event::Packet(packet));
        }
    }

    /// What there is to say about the bytes at the end, once.
    fn tail(&mut self) -> Option<Event> {
        if !self.finished || self.skipped == 0 {
            return None;
        }
        let bytes = std::mem::take(&mut self.skipped);
        Some(if self.cut {
            Event::CutTail { bytes }
        } else {
            Event::Skipped { bytes }
        })
    }
}
