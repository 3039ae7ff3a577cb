use super::packet_finder::{PacketFinder, TimedPacket};
use super::{Ends, Next, OVERLAP, SeekPoint, WINDOW};
use crate::parse::index::Snap;

/// Looks for a segment's start by its time.
#[derive(Debug)]
pub struct StartSearch {
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
    before: Option<SeekPoint>,
    after: Option<SeekPoint>,
    /// The packet before, in what is read now.
    previous: Option<TimedPacket>,
    finder: PacketFinder,
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

impl StartSearch {
    /// Looks for the segment's start for `target`, one before `stop`. Both count as a packet's PTS does.
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

    /// Takes bytes; none where the stream ends. Fails where packets are not in the order of their times.
    pub fn feed(&mut self, bytes: &[u8]) -> Next<SeekPoint> {
        self.take(bytes).unwrap_or(Next::Failed)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Next<SeekPoint>, Disorder> {
        let ended = bytes.is_empty();
        // Buffers may be of any size.
        let wanted = match self.phase {
            Phase::Back { to, .. } => to.saturating_sub(self.finder.read_to),
            Phase::Narrow { .. } | Phase::Forward => u64::MAX,
        };
        self.finder
            .push(&bytes[..bytes.len().min(wanted.try_into().unwrap_or(usize::MAX))]);
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

    /// Whether the time of a packet between low and high is between theirs.
    fn is_between(&self, packet: &TimedPacket) -> bool {
        packet.end >= self.low.1 && packet.pts - self.high.1.min(packet.pts) <= packet.end - packet.pts
    }

    /// Halves what is between low and high, in turn with a guess by the time, until a window holds it.
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

    /// Reads `bytes` before `to`, and what may have been cut in two there.
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

/// Times do not go up with the offset, as where streams were joined: only by reading it all a packet's time is found.
#[derive(Debug)]
struct Disorder;
