//! Reads a byte stream, piece by piece as its bytes come.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Continuity, Found, Hole, Link, OnLoss, Packet, PacketHeader, Scanner, StreamError, StreamHeader};

/// What a [`Reader`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stream header. The same one comes again in front of every segment.
    Header(Arc<StreamHeader>),
    /// A packet of the stream header before it.
    Packet(Packet),
    /// An end mark: [`StreamHeader::end`] says what a segment had, and a stream.
    End(Arc<StreamHeader>),
    /// The sequence of packets is broken here. Unless the loss is [`Repeated`](super::Loss::Repeated), the packets up
    /// to the next segment start decode to something wrong; the reader gives them only with [`OnLoss::Continue`].
    Hole(Hole),
    /// That many bytes in front of the next event are neither stream headers nor packets that can be read.
    Skipped { bytes: u64 },
    /// That many bytes at the end belong to a stream header or packet whose end is missing.
    CutTail { bytes: u64 },
}

/// Reads a byte stream that is pushed in pieces of any size.
///
/// Holds the last piece and one packet at most.
///
/// ```
/// use std::io::Read;
///
/// use gstvidtok::stream::{Event, Reader};
///
/// let mut file = std::fs::File::open("tests/data/stream/causal.vidtok")?;
/// let mut reader = Reader::new();
/// let (mut piece, mut at_end) = ([0; 4096], false);
/// let mut frames = 0;
/// while !at_end {
///     match file.read(&mut piece)? {
///         0 => {
///             reader.finish();
///             at_end = true;
///         }
///         bytes => reader.push(&piece[..bytes]),
///     }
///     while let Some(event) = reader.next_event()? {
///         match event {
///             Event::Packet(packet) => frames += packet.real_frames,
///             Event::Skipped { bytes } => eprintln!("{bytes} damaged bytes skipped"),
///             Event::Hole(hole) => eprintln!("{hole}"),
///             Event::Header(_) | Event::End(_) | Event::CutTail { .. } => (),
///         }
///     }
/// }
/// assert_eq!((frames, reader.has_ended()), (25, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Reader {
    scanner: Scanner,
    continuity: Continuity,
    on_loss: OnLoss,
    bytes: Vec<u8>,
    /// How many of `bytes` were read.
    at: usize,
    /// How many bytes from `at` on the next stream header or packet needs at least.
    wanted: usize,
    /// Bytes skipped since the last event.
    skipped: u64,
    /// Events to give next.
    held: VecDeque<Event>,
    /// No more bytes come.
    finished: bool,
    /// The bytes skipped last begin like a stream header or packet whose end is missing.
    cut: bool,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader that treats packets behind a hole as `on_loss` says. By default it leaves them out.
    pub fn on_loss(on_loss: OnLoss) -> Self {
        Self {
            on_loss,
            ..Self::default()
        }
    }

    /// Whether what was read last is the end of a stream. If the bytes end otherwise, a writer was stopped, the end was
    /// cut off, or a writer of version 1.0 did not mark it.
    pub fn has_ended(&self) -> bool {
        self.continuity.has_ended()
    }

    /// Adds bytes. Take all events before you push more, so that the reader holds little.
    pub fn push(&mut self, bytes: &[u8]) {
        // The rest moves only when it is shorter than what was read: on average a byte moves once.
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

    /// The next event; `None` until more bytes come.
    ///
    /// # Errors
    /// The stream is of a newer version or impossible. The reader cannot continue.
    pub fn next_event(&mut self) -> Result<Option<Event>, StreamError> {
        while self.held.is_empty() && self.step()? {}
        Ok(self.held.pop_front().or_else(|| self.tail()))
    }

    /// Reads or skips what comes next, and holds the events for it; `false` if it needs more bytes.
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
            Found::Garbage(bytes) => self.skip(bytes),
            Found::Short(bytes) if !self.finished => {
                self.wanted = bytes;
                return Ok(false);
            }
            // Bytes may be missing inside and not at the end: look for whole packets in the rest.
            Found::Short(_) => {
                self.cut = true;
                let garbage = self.scanner.give_up(data);
                self.skip(garbage)
            }
        };
        self.at += bytes;
        self.wanted = 0;
        Ok(true)
    }

    fn skip(&mut self, bytes: usize) -> usize {
        self.skipped += bytes as u64;
        bytes
    }

    /// Notes that something whole follows the skipped bytes, which are then not a cut-off end.
    fn found(&mut self) {
        self.cut = false;
        let bytes = std::mem::take(&mut self.skipped);
        if bytes > 0 {
            self.continuity.lost();
            self.held.push_back(Event::Skipped { bytes });
        }
    }

    /// Holds a packet and the hole in front of it, or leaves the packet out.
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

    /// The event for the bytes that were skipped at the end, once.
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
