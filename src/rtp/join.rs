//! Payloads to units: which unit a packet belongs to, what is missing in front of it, and what takes its place.

mod build;
mod clock;
mod counts;

use std::ops::Range;

use build::{Build, Last};
use clock::UnitClock;
pub use counts::Counts;

use super::fields::short_digest;
use super::header::{Fault, Header, max_latent_frames};
use crate::format::TokenFormat;
use crate::stream::{MAX_TIME, Tokens};

/// Packets of so many units in a row that are all from before are a sender that began anew.
const RESTART_AFTER: u32 = 8;
/// Nanoseconds after which a segment start is asked for again.
const ASK_AGAIN: u64 = 1_000_000_000;
/// Packets after which it is, where they have no times.
const ASK_AGAIN_PACKETS: u32 = 32;

/// What follows where a segment's start did not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLostStart {
    /// Nothing, up to the next segment start.
    #[default]
    Hold,
    /// The segment's latent frames, as if it had begun with those of the segment before.
    Conceal,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub on_lost_start: OnLostStart,
    /// Latent frames in a row that may be concealed without a single packet of theirs.
    pub max_concealed: u32,
}

/// A unit that is given out.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// Number of the segment; it does not wrap at 256.
    pub segment: u32,
    pub latent_frame: u32,
    pub latent_frames: u32,
    pub segment_end: bool,
    pub end_of_stream: bool,
    pub real_frames: u32,
    pub tokens: Tokens,
    /// Times in nanoseconds, as those of [`PacketTimes`](crate::timeline::PacketTimes).
    pub pts: Option<u64>,
    pub duration: Option<u64>,
    pub offsets: Option<Vec<u64>>,
    /// Cells, over the unit's latent frames, that did not come.
    pub concealed: Vec<Range<u32>>,
    /// Latent frames in front of this one are missing, and were not concealed.
    pub after_hole: bool,
}

impl Joined {
    /// When its last frame ends.
    pub fn end(&self) -> Option<u64> {
        self.pts?.checked_add(self.duration?)
    }
}

/// What follows from a payload.
#[derive(Debug, Default)]
pub struct Pushed {
    pub units: Vec<Joined>,
    /// The sender should start a segment.
    pub needs_key: bool,
    /// The sender has begun anew: what was not complete of the stream before, in front of `units`, which are of another.
    pub before_restart: Option<Vec<Joined>>,
    pub fault: Option<Fault>,
}

/// Makes units of the payloads of one sender, in the order in which their packets were sent.
///
/// A unit is given out as soon as its cells are there, or a packet says that no more will come: its last one, or one of a
/// later unit. Cells that are missing then have the tokens of the latent frame before.
pub struct Joiner {
    format: TokenFormat,
    digest: u32,
    settings: Settings,
    clock: UnitClock,
    /// The unit that is not complete.
    current: Option<Build>,
    /// What was given out last.
    last: Option<Last>,
    /// The next unit that is given out comes after a hole.
    after_hole: bool,
    /// Up to the next segment start, nothing is given out.
    waits: bool,
    /// When a segment start was last asked for, and how many packets ago.
    asked: Option<(Option<u64>, u32)>,
    /// Units in a row that came late, and the latest of them: segment and latent frame.
    late_in_a_row: u32,
    latest_late: Option<(u8, u32)>,
    /// Packets are missing in front of the next one.
    packets_missing: bool,
    counts: Counts,
}

/// Where a packet belongs, as seen from the latest unit.
enum Place {
    Current,
    Before,
    /// In a later unit; the number of segments between.
    After(u32),
}

impl Joiner {
    pub fn new(format: TokenFormat, settings: Settings) -> Self {
        Self {
            digest: short_digest(&format),
            clock: UnitClock::new(&format),
            format,
            settings,
            current: None,
            last: None,
            after_hole: false,
            waits: false,
            asked: None,
            late_in_a_row: 0,
            latest_late: None,
            packets_missing: false,
            counts: Counts::default(),
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Settings for what comes from now on.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Forgets all units, as after a flush. Counts go on.
    pub fn reset(&mut self) {
        let counts = self.counts;
        *self = Self::new(self.format.clone(), self.settings);
        self.counts = counts;
    }

    /// Notes that sequence numbers are missing in front of the next packet. Time without pictures is no loss without it.
    pub fn note_missing(&mut self) {
        self.packets_missing = true;
    }

    /// Gives out what is not complete, as at the end of the stream. What follows is another one.
    pub fn finish(&mut self) -> Vec<Joined> {
        let mut pushed = Pushed::default();
        self.close(None, &mut pushed);
        self.reset();
        pushed.units
    }

    /// Takes the cells of a packet. `pts`: of the unit, in nanoseconds.
    pub fn push(&mut self, header: &Header, offsets: Option<Vec<u32>>, data: &[u8], pts: Option<u64>) -> Pushed {
        let mut pushed = Pushed::default();
        let pts = pts.filter(|pts| *pts <= MAX_TIME);
        if let Err(fault) = self.take(header, offsets, data, pts, &mut pushed) {
            self.count(fault);
            pushed.fault = Some(fault);
        }
        pushed
    }

    /// Counts a packet that could not be read.
    pub fn count(&mut self, fault: Fault) {
        self.counts.faults[fault as usize] += 1;
    }

    fn take(
        &mut self,
        header: &Header,
        offsets: Option<Vec<u32>>,
        data: &[u8],
        pts: Option<u64>,
        pushed: &mut Pushed,
    ) -> Result<(), Fault> {
        self.check(header)?;
        // Nothing depends on a packet whose cells are no tokens.
        let tokens = crate::stream::decode_cells(data, header.cells.into(), &self.format);
        let tokens = tokens.map_err(|_| match data.len() as u64 == self.bytes(header) {
            true => Fault::Tokens,
            false => Fault::Cells,
        })?;
        let place = match self.place(header) {
            Place::Before if self.has_begun_anew(header) => {
                pushed.before_restart = Some(self.finish());
                Place::After(0)
            }
            place => place,
        };
        match place {
            Place::Before => return Ok(()),
            Place::Current => (),
            Place::After(segments) => {
                self.late_in_a_row = 0;
                self.close(pts, pushed);
                // Latent frames that the unit before has, too, or that are behind its segment's end.
                let is_impossible = |last: &Last| last.ended || header.latent_frame < last.next;
                if segments == 0 && self.last.as_ref().is_some_and(is_impossible) {
                    return Err(Fault::Contradiction);
                }
                if !self.open(header, segments, pts, pushed) {
                    return Ok(());
                }
            }
        }
        let Some(build) = &mut self.current else {
            return Ok(());
        };
        let added = build.add(header, offsets, tokens);
        if build.is_over() {
            self.close(pts, pushed);
        }
        added
    }

    /// Checks that a packet is one of the format, whatever came before.
    fn check(&self, header: &Header) -> Result<(), Fault> {
        if header.digest != self.digest {
            return Err(Fault::OtherFormat);
        }
        let cells = self.format.grid_cells() as u64 * u64::from(header.latent_frames);
        let end = u64::from(header.first_cell) + u64::from(header.cells);
        let is_possible = usize::from(header.latent_frames) <= max_latent_frames(&self.format);
        if !is_possible || end > cells || header.is_last != (end == cells) {
            return Err(Fault::Cells);
        }
        let frames = self.format.frames_of(header.latent_frames.into(), header.segment_start);
        if u64::from(header.real_frames) > frames {
            return Err(Fault::Contradiction);
        }
        Ok(())
    }

    fn bytes(&self, header: &Header) -> u64 {
        crate::stream::bits_of_cells(&self.format, header.cells.into()).div_ceil(8)
    }

    fn place(&self, header: &Header) -> Place {
        let (segment, next, is_open) = match (&self.current, &self.last) {
            (Some(build), _) => (build.segment(), build.latent_frame(), true),
            (None, Some(last)) => (last.segment, last.next, false),
            (None, None) => return Place::After(0),
        };
        let segments = header.segment.wrapping_sub(segment as u8) as i8;
        match segments {
            0 if is_open && header.latent_frame == next => Place::Current,
            0 if header.latent_frame < next => Place::Before,
            0.. => Place::After(segments as u32),
            _ => Place::Before,
        }
    }

    /// Counts a packet that is late. Whether so many were that the sender must have begun anew.
    fn has_begun_anew(&mut self, header: &Header) -> bool {
        self.counts.late += 1;
        let unit = (header.segment, header.latent_frame);
        if self.latest_late.replace(unit) != Some(unit) {
            self.late_in_a_row += 1;
        }
        self.late_in_a_row >= RESTART_AFTER
    }

    /// Begins a unit that follows what was given out. False where its packets are of no use.
    fn open(&mut self, header: &Header, segments: u32, pts: Option<u64>, pushed: &mut Pushed) -> bool {
        let segment = match &self.last {
            Some(last) => last.segment.wrapping_add(segments),
            None => header.segment.into(),
        };
        let starts = header.segment_start;
        // Where the unit would have to begin for nothing to be missing.
        let next = match &self.last {
            Some(last) if segments == 0 => Some(last.next),
            Some(_) => Some(0),
            None => starts.then_some(0),
        };
        let missing = next.map(|next| header.latent_frame - next);
        let start_is_lost = !starts && (segments > 0 || next.is_none());
        let may_conceal = !start_is_lost || self.settings.on_lost_start == OnLostStart::Conceal;
        if start_is_lost {
            self.ask(pts, pushed);
        }
        // What follows on what was given out needs no start, whatever other packets have claimed.
        let follows = segments == 0 && missing.is_some_and(|missing| missing <= self.settings.max_concealed);
        if self.waits && !starts && !follows {
            self.hold(pts, pushed);
            return false;
        }
        let packets_missing = std::mem::take(&mut self.packets_missing);
        match missing {
            Some(0) => (),
            Some(missing) if may_conceal && self.conceal(segment, missing, 0, pts, pushed) => (),
            _ => {
                self.hole();
                self.hold(pts, pushed);
                return false;
            }
        }
        if starts && packets_missing && !self.after_hole {
            self.end_before(segments, pts, pushed);
        }
        if std::mem::take(&mut self.waits) && !starts {
            self.after_hole = false;
        }
        self.current = Some(Build::new(&self.format, header, segment, pts));
        true
    }

    /// Conceals the end of the segment before, of which no number tells, only the time up to the segment start at `pts`.
    fn end_before(&mut self, segments: u32, pts: Option<u64>, pushed: &mut Pushed) {
        let Some(last) = self.last.as_ref() else { return };
        let frames = match self.clock.frames_between(last.end(), pts) {
            _ if last.ended => 0,
            frames => frames.unwrap_or_default(),
        };
        // A segment in between is missing whole.
        if segments > 1 {
            self.hole();
        } else if frames > 0 {
            let segment = last.segment;
            let factor = u64::from(self.format.time_factor);
            let missing = frames.div_ceil(factor);
            let padding = missing * factor - frames;
            let missing = u32::try_from(missing);
            if !missing.is_ok_and(|missing| self.conceal(segment, missing, padding, pts, pushed)) {
                self.hole();
            }
        }
    }

    /// Conceals `missing` latent frames of `segment` in front of a unit at `pts`. The last of them has `padding` frames that
    /// are not shown. False where that is not possible.
    fn conceal(&mut self, segment: u32, missing: u32, padding: u64, pts: Option<u64>, pushed: &mut Pushed) -> bool {
        // They are all made at once.
        let most = self.settings.max_concealed.min(max_latent_frames(&self.format) as u32);
        let Some(last) = self.last.clone().filter(|_| missing <= most) else {
            return false;
        };
        // A window's latent frames are decoded together, and one alone is none.
        if !self.format.causal {
            return false;
        }
        let first = if last.segment == segment { last.next } else { 0 };
        let numbers = first..first + missing;
        let frames = numbers.clone().map(|number| self.format.frames_of(1, number == 0));
        let mut frames: Vec<_> = frames.collect();
        if let Some(latest) = frames.last_mut() {
            *latest = latest.saturating_sub(padding).max(1);
        }
        let Some(times) = self.clock.spread(last.end(), pts, &frames) else {
            return false;
        };
        let cells = self.format.grid_cells() as u32;
        for ((latent_frame, real_frames), times) in numbers.zip(frames).zip(times) {
            self.counts.concealed_latent_frames += 1;
            let joined = Joined {
                segment,
                latent_frame,
                latent_frames: 1,
                segment_end: false,
                end_of_stream: false,
                real_frames: real_frames as u32,
                tokens: last.tokens.clone(),
                pts: times.pts,
                duration: times.duration,
                offsets: times.offsets,
                concealed: std::iter::once(0..cells).collect(),
                after_hole: std::mem::take(&mut self.after_hole),
            };
            self.give(joined, pushed);
        }
        true
    }

    /// Ends the unit that is not complete. `next_pts`: of the unit behind it.
    fn close(&mut self, next_pts: Option<u64>, pushed: &mut Pushed) {
        let Some(build) = self.current.take() else {
            return;
        };
        let (pts, starts, packets) = (build.pts(), build.latent_frame() == 0, build.packets());
        let after_hole = std::mem::take(&mut self.after_hole);
        match build.finish(&self.format, self.last.as_ref(), &self.clock, after_hole) {
            Some(joined) => {
                self.asked = self.asked.filter(|_| !starts);
                self.give(joined, pushed);
            }
            None => {
                self.counts.held += packets;
                self.hole();
                self.ask(pts.or(next_pts), pushed);
            }
        }
    }

    fn give(&mut self, joined: Joined, pushed: &mut Pushed) {
        self.counts.concealed_cells += joined
            .concealed
            .iter()
            .map(|run| u64::from(run.end - run.start))
            .sum::<u64>();
        self.last = Some(Last::of(&joined, &self.format));
        pushed.units.push(joined);
    }

    /// What is missing is not concealed: nothing is given out up to the next segment start.
    fn hole(&mut self) {
        if !self.waits {
            self.counts.holes += u64::from(self.last.is_some());
            self.after_hole = self.last.is_some();
        }
        self.waits = true;
    }

    fn hold(&mut self, pts: Option<u64>, pushed: &mut Pushed) {
        self.waits = true;
        self.counts.held += 1;
        self.ask(pts, pushed);
    }

    /// Asks for a segment start, now and then until it comes.
    fn ask(&mut self, pts: Option<u64>, pushed: &mut Pushed) {
        let is_time = match &mut self.asked {
            None => true,
            Some((Some(at), _)) if pts.is_some() => pts.is_some_and(|pts| pts.abs_diff(*at) >= ASK_AGAIN),
            Some((_, packets)) => {
                *packets += 1;
                *packets >= ASK_AGAIN_PACKETS
            }
        };
        if is_time {
            self.asked = Some((pts, 0));
            pushed.needs_key = true;
        }
    }
}

#[cfg(test)]
mod tests;
