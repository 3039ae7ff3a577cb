//! The search for the first and the last packet of a stream.

use super::packet_finder::{PacketFinder, TimedPacket};
use super::{Next, OVERLAP, WINDOW};
use crate::stream::MAX_PAYLOAD_BYTES;

/// The first stream header and packet must be within that many bytes.
const HEAD: u64 = 1 << 20;
/// The last packet must be within that many bytes of the end.
const TAIL: u64 = 2 * (MAX_PAYLOAD_BYTES as u64 + OVERLAP);

/// The ends of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub first: TimedPacket,
    /// Where the last packet ends, in nanoseconds.
    pub end: u64,
    /// The first segment may be the only one.
    pub one_segment: bool,
    /// Bytes of the stream.
    pub size: u64,
    /// PTS ascend with the offset, as far as known.
    pub in_order: bool,
}

/// Searches for the first and the last packet.
#[derive(Debug)]
pub struct EndsSearch {
    size: u64,
    first: Option<TimedPacket>,
    last: Option<TimedPacket>,
    /// Where the window at the end begins.
    from: u64,
    /// The packet before in this window.
    previous: Option<TimedPacket>,
    finder: PacketFinder,
}

impl EndsSearch {
    /// For a stream of `size` bytes; the first bytes to feed are those of its start.
    pub fn new(size: u64) -> Self {
        Self {
            size,
            first: None,
            last: None,
            from: size,
            previous: None,
            finder: PacketFinder::at(0),
        }
    }

    /// Whether only the stream's start was read so far.
    pub fn is_at_start(&self) -> bool {
        self.first.is_none()
    }

    /// Whether the first window is read next.
    pub fn is_first_read(&self) -> bool {
        self.size - self.from <= WINDOW
    }

    /// Takes bytes; an empty slice is the end of the stream.
    pub fn feed(&mut self, bytes: &[u8]) -> Next<Ends> {
        self.finder.push(bytes);
        let at_end = bytes.is_empty() || self.finder.read_to >= self.size;
        let Some(first) = self.first else {
            self.first = std::iter::from_fn(|| self.finder.next()).find(|packet| packet.start.is_some());
            return match self.first {
                Some(_) => self.read_window(),
                None if at_end || self.finder.read_to > HEAD => Next::Failed,
                None => Next::More,
            };
        };
        while let Some(packet) = self.finder.next() {
            if !packet.is_in_order(&first, self.previous.as_ref()) {
                return Next::Failed;
            }
            self.previous = Some(packet);
            self.last = self.last.filter(|last| last.end >= packet.end).or(Some(packet));
        }
        match self.last {
            _ if !at_end => Next::More,
            Some(last) => Next::Done(Ends {
                first,
                in_order: true,
                end: last.end.max(first.end),
                one_segment: last.segment.is_none() || last.segment == first.segment,
                size: self.size,
            }),
            None if self.from == 0 || self.size - self.from >= TAIL => Next::Failed,
            None => self.read_window(),
        }
    }

    fn read_window<T>(&mut self) -> Next<T> {
        self.from = self.size.saturating_sub(2 * (self.size - self.from).max(WINDOW / 2));
        self.previous = None;
        self.finder.go_to(self.from);
        Next::Read(self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::stream;

    #[test]
    fn the_last_packet_is_not_looked_for_in_all_of_a_long_tail() {
        let (bytes, size) = (stream(10, 8, 0), 1 << 40);
        let mut opening = EndsSearch::new(size);
        let mut next = opening.feed(&bytes);
        let mut longest = 0;
        while let Next::Read(from) = next {
            longest = size - from;
            // The window is empty.
            next = opening.feed(&[]);
        }
        assert_eq!(next, Next::Failed);
        assert!((TAIL..2 * TAIL).contains(&longest), "{longest} bytes");
    }
}
