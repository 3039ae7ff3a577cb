//! The search for the segment start to play from.

use super::packet_finder::{PacketFinder, TimedPacket};
use super::{Ends, Next, OVERLAP, SeekPoint, WINDOW};
use crate::parse::index::Snap;

/// Searches for the segment start for a PTS.
#[derive(Debug)]
pub struct StartSearch {
    ends: Ends,
    target: u64,
    snap: Snap,
    /// Segment starts at or after it are not taken.
    stop: Option<u64>,
    /// A packet at or before the target: offset and PTS.
    low: (u64, u64),
    /// Packets from here on are after the target: offset and PTS.
    high: (u64, u64),
    phase: Phase,
    before: Option<SeekPoint>,
    after: Option<SeekPoint>,
    /// The packet before in the bytes that are being read.
    previous: Option<TimedPacket>,
    finder: PacketFinder,
    steps: u32,
}

/// What the bytes that are read next are for.
#[derive(Debug)]
enum Phase {
    /// Reads one packet somewhere between low and high.
    Narrow { probe: u64 },
    /// Reads from before high up to `to`, for the last segment start at or before the target.
    Back { from: u64, to: u64 },
    /// Reads from high, for the first segment start after the target.
    Forward,
}

impl StartSearch {
    /// Begins the search for the segment start for `target`, in front of `stop`: both PTS in nanoseconds. Also returns
    /// where to read first.
    pub fn new(ends: Ends, target: u64, snap: Snap, stop: Option<u64>) -> (Self, Next<SeekPoint>) {
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
            finder: PacketFinder::at(0),
            steps: 0,
        };
        let next = if target <= ends.first.pts || !ends.in_order {
            Next::Done(ends.first.seek_point())
        } else {
            search.narrow()
        };
        (search, next)
    }

    /// Takes bytes; an empty slice is the end of the stream. Fails if packets are not in the order of their PTS.
    pub fn feed(&mut self, bytes: &[u8]) -> Next<SeekPoint> {
        self.take(bytes).unwrap_or(Next::Failed)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Next<SeekPoint>, Disorder> {
        let ended = bytes.is_empty();
        // A buffer may reach further than the window.
        let room = match self.phase {
            Phase::Back { to, .. } => to.saturating_sub(self.finder.read_to),
            Phase::Narrow { .. } | Phase::Forward => u64::MAX,
        };
        self.finder
            .push(&bytes[..bytes.len().min(room.try_into().unwrap_or(usize::MAX))]);
        let read_to = self.finder.read_to;
        let next = match self.phase {
            Phase::Narrow { probe } => {
                match self.next_packet()? {
                    Some(packet) if packet.offset < self.high.0 && !self.is_between(&packet) => return Err(Disorder),
                    Some(packet) if packet.offset < self.high.0 && packet.pts <= self.target => {
                        self.low = (packet.offset, packet.pts);
                    }
                    Some(packet) if packet.offset < self.high.0 => self.high = (probe, packet.pts),
                    None if !ended && read_to < self.high.0 => return Ok(Next::More),
                    _ => self.high.0 = probe,
                }
                self.narrow()
            }
            Phase::Back { from, to } => {
                while let Some(packet) = self.next_packet()? {
                    match packet.start.map(|_| packet.seek_point()) {
                        Some(start) if packet.pts <= self.target => self.before = Some(start),
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
                while let Some(packet) = self.next_packet()? {
                    if packet.start.is_some() && packet.pts > self.target {
                        self.after = Some(packet.seek_point());
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

    fn next_packet(&mut self) -> Result<Option<TimedPacket>, Disorder> {
        let Some(packet) = self.finder.next() else {
            return Ok(None);
        };
        if !packet.is_in_order(&self.ends.first, self.previous.as_ref()) {
            return Err(Disorder);
        }
        self.previous = Some(packet);
        Ok(Some(packet))
    }

    /// Whether the PTS of a packet between low and high is between theirs.
    fn is_between(&self, packet: &TimedPacket) -> bool {
        packet.end >= self.low.1 && packet.pts - self.high.1.min(packet.pts) <= packet.end - packet.pts
    }

    /// Narrows the range between low and high until it fits a window: by interpolation of the PTS, and by bisection, in
    /// turn.
    fn narrow(&mut self) -> Next<SeekPoint> {
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

    /// Reads `bytes` in front of `to`, and an overlap with the window behind.
    fn back(&mut self, to: u64, bytes: u64) -> Next<SeekPoint> {
        let from = to.saturating_sub(bytes);
        let overlap = if to == self.high.0 { 0 } else { OVERLAP };
        let to = (to + overlap).min(self.ends.size);
        self.phase = Phase::Back { from, to };
        self.read(from)
    }

    fn look_ahead(&mut self) -> Next<SeekPoint> {
        let exact = self.before.is_some_and(|before| before.pts == self.target);
        if self.snap == Snap::Before || exact || self.after.is_some() || self.high.0 >= self.ends.size {
            return self.choose();
        }
        self.phase = Phase::Forward;
        self.read(self.high.0)
    }

    fn choose(&self) -> Next<SeekPoint> {
        let before = self.before.unwrap_or(self.ends.first.seek_point());
        let take_after = |after: &SeekPoint| match self.snap {
            Snap::Before => false,
            Snap::After => before.pts != self.target,
            Snap::Nearest => after.pts - self.target < self.target - before.pts,
        };
        let after = self.after.filter(|after| self.stop.is_none_or(|stop| after.pts < stop));
        Next::Done(after.filter(take_after).unwrap_or(before))
    }

    fn read(&mut self, from: u64) -> Next<SeekPoint> {
        self.previous = None;
        self.finder.go_to(from);
        Next::Read(from)
    }
}

/// PTS do not ascend with the offset, as in joined streams: only reading the whole stream gives a packet's time.
#[derive(Debug)]
struct Disorder;
