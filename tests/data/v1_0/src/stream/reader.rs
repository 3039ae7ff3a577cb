//! Takes a byte stream apart, piece by piece as its bytes come.

use std::sync::Arc;

use super::{Found, Packet, Scanner, StreamError, StreamHeader};

/// What a [`Reader`] came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stream header. The same one comes again in front of every segment.
    Header(Arc<StreamHeader>),
    /// A packet of the stream header before it.
    Packet(Packet),
    /// That many bytes in front of the next event were damaged.
    Skipped { bytes: u64 },
    /// The stream ended, and its last bytes are no whole packet.
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
///             Event::Header(_) | Event::CutTail { .. } => (),
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
    bytes: Vec<u8>,
    /// What of `bytes` was read.
    at: usize,
    /// Bytes from `at` on without which looking again is of no use.
    wanted: usize,
    /// Bytes passed over since the last event.
    skipped: u64,
    /// An event that follows on one for the bytes skipped.
    held: Option<Event>,
    /// Set once no more bytes come.
    finished: bool,
    /// Set where the end cut something off that looked whole.
    cut: bool,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
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
        if let Some(event) = self.held.take() {
            return Ok(Some(event));
        }
        while let Some(event) = self.step()? {
            let skipped = Event::Skipped { bytes: self.skipped };
            match event {
                Step::Passed(bytes) => self.skipped += bytes as u64,
                Step::Event(event) if self.skipped == 0 => return Ok(Some(event)),
                Step::Event(event) => {
                    self.skipped = 0;
                    self.held = Some(event);
                    return Ok(Some(skipped));
                }
            }
        }
        Ok(self.tail())
    }

    /// Passes over what comes next; `None` where bytes are missing.
    fn step(&mut self) -> Result<Option<Step>, StreamError> {
        let data = &self.bytes[self.at..];
        if data.is_empty() || (data.len() < self.wanted && !self.finished) {
            return Ok(None);
        }
        let (bytes, step) = match self.scanner.scan(data)? {
            Found::Header { bytes } => (bytes, self.scanner.header().cloned().map(Event::Header)),
            Found::Packet(header) => (
                header.packet_bytes(),
                Some(Event::Packet(Packet::from_checked(data, &header)?)),
            ),
            Found::Garbage(bytes) => (bytes, None),
            Found::Short(bytes) if !self.finished => {
                self.wanted = bytes;
                return Ok(None);
            }
            // Bytes may be missing inside and not at the end: look for whole packets in what is left.
            Found::Short(_) => {
                self.cut = true;
                (self.scanner.give_up(data), None)
            }
        };
        // What follows something whole is not the cut-off end.
        self.cut &= step.is_none();
        self.at += bytes;
        self.wanted = 0;
        Ok(Some(step.map_or(Step::Passed(bytes), Step::Event)))
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

enum Step {
    Event(Event),
    Passed(usize),
}
