//! Finds its way in a stream that can be read from any byte on, but only forward: how long it is, and where the segment
//! starts that is in time's way. No GStreamer in here.
//!
//! A search says where to [read](Next::Read) and is then fed what comes from there. It trusts packet headers, which
//! have checksums of their own, wherever it finds them; what is played in the end is looked at byte by byte.

use super::index::Snap;
use crate::stream::Budget;
use crate::stream::{
    Fault, MAGIC, MAX_HEADER_BYTES, MAX_JSON_BYTES, MAX_PAYLOAD_BYTES, PacketHeader, SYNC, StreamHeader,
};

/// A first stream header and packet have to be within that many bytes.
const HEAD: u64 = 1 << 20;
/// Read at the end, and backwards, at first; then twice as much, and so on.
const WINDOW: u64 = 1 << 16;
/// What a window reads of the one behind it, so that no stream header and packet header are cut in two.
const OVERLAP: u64 = (MAX_JSON_BYTES + 64 + MAX_HEADER_BYTES) as u64;

/// No packet is within so many bytes of the end only if what is there is no stream.
const TAIL: u64 = 2 * (MAX_PAYLOAD_BYTES as u64 + OVERLAP);

/// What a search wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The bytes that follow.
    More,
    /// Bytes from there on.
    Read(u64),
    Done(T),
    /// There is nothing to find.
    Failed,
}

/// A packet with a PTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub pts: u64,
    end: u64,
    offset: u64,
    /// Checksum of its stream header.
    stream: u32,
    /// Number of its segment, where that is said.
    segment: Option<u32>,
    /// Where reading begins, if it starts a segment right behind a stream header.
    start: Option<u64>,
}

/// Where and when a stream begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub first: Mark,
    /// Time at which the last packet ends.
    pub end: u64,
    /// Whether the first segment may be the only one.
    pub one_segment: bool,
    /// In bytes.
    pub size: u64,
    /// Nothing was found so far that contradicts times which go up with the offset.
    pub in_order: bool,
}

/// A segment's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub offset: u64,
    pub pts: u64,
}

/// Looks for the first packet and the last.
#[derive(Debug)]
pub struct Opening {
    size: u64,
    first: Option<Mark>,
    last: Option<Mark>,
    /// Where the window at the end begins.
    from: u64,
    /// The packet before, in this window.
    previous: Option<Mark>,
    gleaner: Gleaner,
}

impl Opening {
    /// Is to be fed a stream of `size` bytes from its start on.
    pub fn new(size: u64) -> Self {
        Self {
            size,
            first: None,
            last: None,
            from: size,
            previous: None,
            gleaner: Gleaner::at(0),
        }
    }

    /// Whether nothing but the stream's start was read.
    pub fn is_at_start(&self) -> bool {
        self.first.is_none()
    }

    /// Whether what is to be read is the first window.
    pub fn is_first_read(&self) -> bool {
        self.size - self.from <= WINDOW
    }

    /// Takes bytes; none where the stream ends.
    pub fn feed(&mut self, bytes: &[u8]) -> Next<Ends> {
        self.gleaner.push(bytes);
        let at_end = bytes.is_empty() || self.gleaner.read_to >= self.size;
        let Some(first) = self.first else {
            self.first = std::iter::from_fn(|| self.gleaner.next()).find(|mark| mark.start.is_some());
            return match self.first {
                Some(_) => self.read_window(),
                None if at_end || self.gleaner.read_to > HEAD => Next::Failed,
                None => Next::More,
            };
        };
        while let Some(mark) = self.gleaner.next() {
            if !mark.is_in_order(&first, self.previous.as_ref()) {
                return Next::Failed;
            }
            self.previous = Some(mark);
            self.last = self.last.filter(|last| last.end >= mark.end).or(Some(mark));
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
        self.gleaner.go_to(self.from);
        Next::Read(self.from)
    }
}

/// Looks for a segment's start by its time.
#[derive(Debug)]
pub struct Locate {
    ends: Ends,
    target: u64,
    snap: Snap,
    /// A start from there on is not snapped to.
    stop: Option<u64>,
    /// A packet at or before the target: offset and time.
    low: (u64, u64),
    /// From here on packets are behind the target.
    high: (u64, u64),
    phase: Phase,
    before: Option<Found>,
    after: Option<Found>,
    /// The packet before, in what is read now.
    previous: Option<Mark>,
    gleaner: Gleaner,
    steps: u32,
}

#[derive(Debug)]
enum Phase {
    /// Reads one packet somewhere between low and high.
    Narrow { probe: u64 },
    /// Reads this far from a place before high, for the last start before the target.
    Back { from: u64, to: u64 },
    /// Reads from high on, for the first start behind the target.
    Forward,
}

impl Locate {
    /// Looks for the segment's start for `target`, one before `stop`. Both count as a packet's PTS does.
    pub fn new(ends: Ends, target: u64, snap: Snap, stop: Option<u64>) -> (Self, Next<Found>) {
        let mut search = Self {
            ends,
            target,
            snap,
            stop,
            low: (ends.first.offset, ends.first.pts),
            high: (ends.size, ends.end.max(ends.first.pts)),
            phase: Phase::Forward,
            before: None,
            after: None,
            previous: None,
            gleaner: Gleaner::at(0),
            steps: 0,
        };
        let next = if target <= ends.first.pts || !ends.in_order {
            Next::Done(ends.first.found())
        } else {
            search.narrow()
        };
        (search, next)
    }

    /// Takes bytes; none where the stream ends. Fails where packets are not in the order of their times.
    pub fn feed(&mut self, bytes: &[u8]) -> Next<Found> {
        self.take(bytes).unwrap_or(Next::Failed)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Next<Found>, Disorder> {
        let ended = bytes.is_empty();
        // Buffers may be of any size.
        let wanted = match self.phase {
            Phase::Back { to, .. } => to.saturating_sub(self.gleaner.read_to),
            Phase::Narrow { .. } | Phase::Forward => u64::MAX,
        };
        self.gleaner
            .push(&bytes[..bytes.len().min(wanted.try_into().unwrap_or(usize::MAX))]);
        let read_to = self.gleaner.read_to;
        let next = match self.phase {
            Phase::Narrow { probe } => {
                match self.next_mark()? {
                    Some(mark) if mark.offset < self.high.0 && !self.is_between(&mark) => return Err(Disorder),
                    Some(mark) if mark.offset < self.high.0 && mark.pts <= self.target => {
                        self.low = (mark.offset, mark.pts);
                    }
                    Some(mark) if mark.offset < self.high.0 => self.high = (probe, mark.pts),
                    None if !ended && read_to < self.high.0 => return Ok(Next::More),
                    _ => self.high.0 = probe,
                }
                self.narrow()
            }
            Phase::Back { from, to } => {
                while let Some(mark) = self.next_mark()? {
                    match mark.start.map(|_| mark.found()) {
                        Some(start) if mark.pts <= self.target => self.before = Some(start),
                        Some(start) if self.after.is_none_or(|after| after.offset > start.offset) => {
                            self.after = Some(start);
                        }
                        _ => (),
                    }
                }
                match self.before {
                    _ if !ended && read_to < to => Next::More,
                    None if from > self.ends.first.offset => self.back(from, 2 * (self.high.0 - from)),
                    _ => self.look_ahead(),
                }
            }
            Phase::Forward => {
                while let Some(mark) = self.next_mark()? {
                    if mark.start.is_some() && mark.pts > self.target {
                        self.after = Some(mark.found());
                        break;
                    }
                }
                if self.after.is_none() && !ended && read_to < self.ends.size {
                    return Ok(Next::More);
                }
                self.choose()
            }
        };
        Ok(next)
    }

    fn next_mark(&mut self) -> Result<Option<Mark>, Disorder> {
        let Some(mark) = self.gleaner.next() else {
            return Ok(None);
        };
        if !mark.is_in_order(&self.ends.first, self.previous.as_ref()) {
            return Err(Disorder);
        }
        self.previous = Some(mark);
        Ok(Some(mark))
    }

    /// Whether the time of a packet between low and high is between theirs.
    fn is_between(&self, mark: &Mark) -> bool {
        mark.end >= self.low.1 && mark.pts - self.high.1.min(mark.pts) <= mark.end - mark.pts
    }

    /// Halves what is between low and high, in turn with a guess by the time, until a window holds it.
    fn narrow(&mut self) -> Next<Found> {
        let bytes = self.high.0.saturating_sub(self.low.0);
        if bytes <= WINDOW {
            return self.back(self.high.0, WINDOW.max(bytes));
        }
        self.steps += 1;
        let (time, whole) = (self.target - self.low.1, self.high.1.saturating_sub(self.low.1).max(1));
        let guess = (u128::from(bytes) * u128::from(time.min(whole)) / u128::from(whole)) as u64;
        let ahead = if self.steps % 2 == 1 {
            guess.saturating_sub(WINDOW / 2)
        } else {
            bytes / 2
        };
        let probe = self.low.0 + ahead.clamp(1, bytes - 1);
        self.phase = Phase::Narrow { probe };
        self.read(probe)
    }

    /// Reads `bytes` before `to`, and what may have been cut in two there.
    fn back(&mut self, to: u64, bytes: u64) -> Next<Found> {
        let from = to.saturating_sub(bytes);
        let overlap = if to == self.high.0 { 0 } else { OVERLAP };
        let to = (to + overlap).min(self.ends.size);
        self.phase = Phase::Back { from, to };
        self.read(from)
    }

    fn look_ahead(&mut self) -> Next<Found> {
        let exact = self.before.is_some_and(|before| before.pts == self.target);
        if self.snap == Snap::Before || exact || self.after.is_some() || self.high.0 >= self.ends.size {
            return self.choose();
        }
        self.phase = Phase::Forward;
        self.read(self.high.0)
    }

    fn choose(&self) -> Next<Found> {
        let before = self.before.unwrap_or(self.ends.first.found());
        let take_after = |after: &Found| match self.snap {
            Snap::Before => false,
            Snap::After => before.pts != self.target,
            Snap::Nearest => after.pts - self.target < self.target - before.pts,
        };
        let after = self.after.filter(|after| self.stop.is_none_or(|stop| after.pts < stop));
        Next::Done(after.filter(take_after).unwrap_or(before))
    }

    fn read(&mut self, from: u64) -> Next<Found> {
        self.previous = None;
        self.gleaner.go_to(from);
        Next::Read(from)
    }
}

/// Times do not go up with the offset, as where streams were joined: only by reading it all a packet's time is found.
#[derive(Debug)]
struct Disorder;

impl Mark {
    /// Whether this packet can be one of the stream that begins with `first`, behind `previous`. Steps back in time
    /// may be shorter than a packet.
    fn is_in_order(&self, first: &Self, previous: Option<&Self>) -> bool {
        let begins_stream = self.start.is_some() && self.segment == Some(0) && self.offset > first.offset;
        let is_behind = |earlier: &Self| self.offset == earlier.offset || self.end.max(self.pts + 1) > earlier.pts;
        self.stream == first.stream && !begins_stream && is_behind(first) && previous.is_none_or(is_behind)
    }

    pub fn found(&self) -> Found {
        Found {
            offset: self.start.unwrap_or(self.offset),
            pts: self.pts,
        }
    }
}

/// Picks packet headers out of bytes that may begin anywhere.
#[derive(Debug)]
struct Gleaner {
    /// Where they stand in the stream, and how many of them were looked at.
    bytes: Vec<u8>,
    offset: u64,
    at: usize,
    read_to: u64,
    /// The stream header seen last: where it begins and ends, and its checksum.
    header: Option<(u64, u64, u32)>,
    budget: Budget,
}

impl Gleaner {
    fn at(offset: u64) -> Self {
        Self {
            bytes: Vec::new(),
            offset,
            at: 0,
            read_to: offset,
            header: None,
            budget: Budget::default(),
        }
    }

    /// Goes on elsewhere.
    fn go_to(&mut self, offset: u64) {
        *self = Self {
            budget: std::mem::take(&mut self.budget),
            ..Self::at(offset)
        };
    }

    fn push(&mut self, bytes: &[u8]) {
        // Only here, so that each byte moves once.
        self.bytes.drain(..self.at);
        self.offset += std::mem::take(&mut self.at) as u64;
        self.bytes.extend_from_slice(bytes);
        self.read_to += bytes.len() as u64;
    }

    /// The next packet that has a PTS.
    fn next(&mut self) -> Option<Mark> {
        loop {
            let rest = &self.bytes[self.at..];
            let Some(next) = rest.iter().position(|byte| *byte == SYNC[0]) else {
                self.pass(rest.len());
                return None;
            };
            self.pass(next);
            match self.look() {
                Ok((bytes, mark)) => {
                    self.pass(bytes);
                    if mark.is_some() {
                        return mark;
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

    /// What comes next: how much of it there is to pass over, and the packet.
    fn look(&mut self) -> Result<(usize, Option<Mark>), Fault> {
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
        let mark = packet.pts.map(|pts| Mark {
            pts,
            end: pts + packet.duration.unwrap_or(0),
            offset,
            segment: packet.position.and_then(|at| at.segment),
            stream: packet.stream_header_crc,
            start,
        });
        // Its length may be wrong: what is behind it is searched, too.
        Ok((SYNC.len(), mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::index::Index;
    use crate::parse::index::tests::{anew, file};
    use crate::parse::walk::tests::stream;

    /// Does what the search wants, in pieces of `piece` bytes. Returns what it found and how much it read.
    fn run<T>(
        bytes: &[u8],
        piece: usize,
        mut next: Next<T>,
        mut feed: impl FnMut(&[u8]) -> Next<T>,
    ) -> (Option<T>, usize) {
        let (mut at, mut read) = (0, 0);
        loop {
            next = match next {
                Next::Done(found) => return (Some(found), read),
                Next::Failed => return (None, read),
                Next::Read(from) => {
                    at = from as usize;
                    Next::More
                }
                Next::More => {
                    let end = bytes.len().min(at + piece);
                    let part = &bytes[at..end];
                    (at, read) = (end, read + part.len());
                    feed(part)
                }
            }
        }
    }

    fn open(bytes: &[u8], piece: usize) -> Option<Ends> {
        let mut opening = Opening::new(bytes.len() as u64);
        run(bytes, piece, Next::More, |part| opening.feed(part)).0
    }

    #[test]
    fn every_start_that_an_index_has_is_found_with_little_reading() {
        let bytes = file(40, 7_000);
        let read = |offset: u64, length: usize| {
            let rest = &bytes[offset as usize..];
            Ok::<_, ()>(&rest[..length.min(rest.len())])
        };
        let index = Index::build(bytes.len() as u64, read).unwrap();
        let ends = open(&bytes, 4096).unwrap();
        assert_eq!((Some(ends.first.pts), Some(ends.end)), (index.begin(), index.end()));
        for target in (6_900..19_200).step_by(150) {
            for snap in [Snap::Before, Snap::After, Snap::Nearest] {
                let (mut search, next) = Locate::new(ends, target, snap, None);
                let (found, read) = run(&bytes, 4096, next, |part| search.feed(part));
                let expected = index.start(target, snap).unwrap();
                let found = found.map(|found| (found.offset, found.pts));
                assert_eq!(found, Some((expected.offset, expected.time)), "{snap:?} {target}");
                assert!(read < bytes.len() / 4, "{read} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn one_long_segment_is_gone_back_through_to_its_start() {
        let whole = file(40, 0);
        // Without all stream headers but the first.
        let header = whole.windows(4).position(|bytes| bytes == SYNC).unwrap();
        let mut bytes = whole[..header].to_vec();
        let mut at = 0;
        while at < whole.len() {
            let is_header = whole[at..].starts_with(&whole[..header]);
            let next = whole[at + 1..].windows(4).position(|w| w == &whole[..4] || w == SYNC);
            let next = next.map_or(whole.len(), |next| at + 1 + next);
            if !is_header {
                bytes.extend(&whole[at..next]);
            }
            at = next;
        }
        let ends = open(&bytes, 10_000).unwrap();
        assert_eq!((ends.first.pts, ends.end), (0, 12_000));
        let (mut search, next) = Locate::new(ends, 11_950, Snap::Before, None);
        let (found, read) = run(&bytes, 10_000, next, |part| search.feed(part));
        assert_eq!(found, Some(Found { offset: 0, pts: 0 }));
        assert!(read < 3 * bytes.len());
    }

    #[test]
    fn the_last_packet_is_not_looked_for_in_all_of_a_long_tail() {
        let (bytes, size) = (stream(10, 8, 0), 1 << 40);
        let mut opening = Opening::new(size);
        let mut next = opening.feed(&bytes);
        let mut longest = 0;
        while let Next::Read(from) = next {
            longest = size - from;
            // Nothing is there; the window's end comes at once.
            next = opening.feed(&[]);
        }
        assert_eq!(next, Next::Failed);
        assert!((TAIL..2 * TAIL).contains(&longest), "{longest} bytes");
    }

    #[test]
    fn what_has_no_packets_or_several_streams_is_not_sought_in() {
        assert_eq!(open(&[], 10), None);
        assert_eq!(open(&[0x89; 3 << 20], 100_000), None);
        let joined = |second| [stream(10, 7, 0), stream(second, 7, 700)].concat();
        // The same writer's, from its first segment on once more.
        assert_eq!(open(&joined(10), 5000), None);
        assert_eq!(open(&joined(11), 5000), None);
    }

    #[test]
    fn times_that_begin_anew_are_not_sought_in() {
        // Long enough for that to be in no window at the end.
        let twice = file(20, 0).repeat(2);
        let ends = open(&twice, 4096).unwrap();
        let (mut refused, mut found) = (0, 0);
        for target in (50..6_000).step_by(50) {
            let (mut search, next) = Locate::new(ends, target, Snap::Before, None);
            match run(&twice, 4096, next, |part| search.feed(part)).0 {
                None => refused += 1,
                Some(start) => {
                    assert_eq!(start.pts, target / 300 * 300, "{target}");
                    found += 1;
                }
            }
        }
        assert!(refused > 0, "{found} of them found");
        // One writer, whose times begin anew: within the last bytes, before the first time, and where only a seek sees
        // it.
        let whole = anew((20, 0), (1, 0));
        assert_eq!(open(&whole[..whole.len() - 110_000], 4096), None);
        assert_eq!(open(&anew((20, 3_000), (10, 0)), 4096), None);
        let bytes = anew((20, 0), (10, 500));
        let ends = open(&bytes, 4096).unwrap();
        let (mut search, next) = Locate::new(ends, 2_000, Snap::Before, None);
        assert_eq!(run(&bytes, 4096, next, |part| search.feed(part)).0, None);
    }

    #[test]
    fn false_stream_headers_cost_little() {
        // Magic, version, and much of what follows.
        let mut claim = stream(10, 1, 0)[..12].to_vec();
        claim[8..].copy_from_slice(&(MAX_JSON_BYTES as u32).to_le_bytes());
        let bytes = claim.repeat(100_000);
        let mut gleaner = Gleaner::at(0);
        gleaner.push(&bytes);
        assert_eq!(gleaner.next(), None);
        let checked = gleaner.budget.checked_in_vain();
        assert!(checked < (1 << 27) + 20 * bytes.len() as u64, "{checked} bytes");
    }
}
