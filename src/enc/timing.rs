//! What the time of a frame means: which frames are dropped, and where segments end. Independent of elements.
//!
//! One [`Timing`] belongs to one element: it continues when caps change.

use gst::ClockTime;

use super::durations::Durations;
use super::frame_clock::{ClockError, FrameClock};
use super::key_requests::KeyTime;
use super::lateness::{Dropping, Limits};
use super::playback_segment::{Change, PlaybackSegment, to_running_time, to_stream_time};
use crate::format::Fraction;
use crate::timeline::FrameTime;

/// A frame as upstream hands it over, and what the element knows at that moment.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Nanoseconds, as is the duration.
    pub pts: Option<u64>,
    pub duration: Option<u64>,
    /// Not every frame is kept: this one is shown until the next that is, and not as long as its buffer says.
    pub is_picked: bool,
    /// The buffer has the flag DISCONT.
    pub discont: bool,
    /// The playback segment that the frame belongs to.
    pub segment: Option<&'a PlaybackSegment>,
    /// Running time of the pipeline's clock; `None` where it does not run.
    pub now: Option<ClockTime>,
    /// When groups are dropped; `None`: never. It counts where the frame [may begin a group](Timing::may_begin_group).
    pub limits: Option<Limits>,
    /// The first segment start that was asked for.
    pub key_time: Option<KeyTime>,
    /// The encoder's current group has frames already.
    pub group_is_open: bool,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The current segment ends in front of the frame.
    pub ends_segment: bool,
    pub fate: Fate,
}

/// Whether a frame is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is dropped: it comes `lateness` after its running time `due`, if that is known.
    Drop {
        due: Option<ClockTime>,
        lateness: ClockTime,
    },
    /// It is encoded.
    Encode(Arrival),
}

/// How a frame arrives at the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub time: FrameTime,
    /// What to add to the frame's PTS for its stream time.
    pub to_stream_time: i128,
    /// Nanoseconds since the frame before, where this one follows it.
    pub distance: Option<u64>,
    /// Its buffer has a duration, while caps say that the framerate is variable.
    pub is_of_variable_rate: bool,
    /// Something is missing between the frame before and this one, or time goes back.
    pub discont: bool,
    /// The PTS of the frame before, where this one's is earlier.
    pub goes_back_from: Option<u64>,
    /// The segment ends when the current group is full.
    pub ends_with_group: bool,
}

/// The timing of one element's frames.
#[derive(Debug, Default)]
pub struct Timing {
    clock: FrameClock,
    durations: Durations,
    /// The latest playback segment differs from the one before by running time alone: the next frame's PTS tells
    /// whether it begins anew. If so, frames without PTS are counted from this time.
    may_begin_at: Option<u64>,
    /// A stream has begun, and no playback segment of it yet.
    is_new_stream: bool,
    /// The next frame that is encoded follows a discontinuity.
    discont: bool,
    dropping: Dropping,
}

impl Timing {
    pub fn set_framerate(&mut self, framerate: Fraction) {
        self.clock.set_framerate(framerate);
    }

    /// The latest frame that was encoded since the playback segment began.
    pub fn last(&self) -> Option<FrameTime> {
        self.clock.last()
    }

    /// Whether the next frame's PTS says how long a frame lasts, and its own duration does not.
    pub fn durations_are_untrue(&self) -> bool {
        self.durations.are_untrue()
    }

    /// Takes a GAP: no frames come for a while.
    pub fn pause(&mut self) {
        self.durations.interrupt();
    }

    pub fn begin_stream(&mut self) {
        self.is_new_stream = true;
    }

    /// Takes a playback segment that starts at `start`. Returns whether it ends the segment of tokens at once.
    pub fn begin_playback_segment(&mut self, change: Change, start: u64) -> bool {
        let is_new_stream = std::mem::take(&mut self.is_new_stream);
        match change {
            Change::Same => false,
            Change::Shifted if !is_new_stream => {
                self.may_begin_at = Some(start);
                false
            }
            Change::Shifted | Change::New => {
                self.restart(start);
                true
            }
        }
    }

    /// Forgets the frames before a flush.
    pub fn flush(&mut self) {
        self.restart(0);
    }

    fn restart(&mut self, start: u64) {
        self.clock.restart(start);
        self.durations.restart();
        self.may_begin_at = None;
        self.dropping = Dropping::default();
    }

    /// Whether the next frame may be the first one of a group that is encoded or dropped as a whole. `discont`: it has
    /// the flag. `group_is_open`: the encoder's current group has frames.
    pub fn may_begin_group(&self, discont: bool, group_is_open: bool) -> bool {
        let begins_anew = self.may_begin_at.is_some();
        begins_anew || (discont || !group_is_open) && self.dropping.is_at_group()
    }

    /// Decides what becomes of a frame.
    ///
    /// # Errors
    /// The frame's time is unknown, or later than a stream can keep.
    pub fn judge(&mut self, frame: &Incoming) -> Result<Verdict, ClockError> {
        // Kept if this frame is dropped: the next one then follows the discontinuity.
        self.discont |= frame.discont;
        let mut ends_segment = frame.discont;
        if let Some(start) = self.may_begin_at.take()
            && frame
                .pts
                .is_none_or(|pts| self.last().is_some_and(|last| pts <= last.pts))
        {
            self.restart(start);
            ends_segment = true;
        }
        let stream_time = |pts| to_stream_time(frame.segment, pts);
        let duration = frame.duration.filter(|_| !frame.is_picked);
        let time = self.clock.next(frame.pts, duration, stream_time)?;
        let running_time = to_running_time(frame.segment, time.pts);

        // A group is never dropped in part.
        let group_is_open = frame.group_is_open && !ends_segment;
        let lateness = running_time.zip(frame.now).map(|(due, now)| now.saturating_sub(due));
        let was_dropping = self.dropping.is_on();
        if !group_is_open && self.dropping.drops(frame.limits, lateness) {
            self.durations.interrupt();
            // What follows is a new segment, so that decoders give the frames that they owe of this one at once.
            self.discont = true;
            let fate = Fate::Drop {
                due: running_time,
                lateness: lateness.unwrap_or_default(),
            };
            return Ok(Verdict {
                ends_segment: ends_segment || !was_dropping,
                fate,
            });
        }
        let goes_back_from = self.clock.goes_back_from(time.pts);
        let key_is_due = frame.key_time.is_some_and(|key| key.is_met_at(running_time));
        ends_segment |= goes_back_from.is_some() || (key_is_due && !group_is_open);
        self.discont |= goes_back_from.is_some();
        let before = self.last().filter(|_| !self.discont);
        let arrival = Arrival {
            time,
            distance: before.and_then(|before| time.pts.checked_sub(before.pts)),
            is_of_variable_rate: frame.duration.is_some() && !self.clock.has_framerate(),
            to_stream_time: i128::from(stream_time(time.pts)) - i128::from(time.pts),
            discont: self.discont,
            goes_back_from,
            ends_with_group: key_is_due && !ends_segment,
        };
        Ok(Verdict {
            ends_segment,
            fate: Fate::Encode(arrival),
        })
    }

    /// Notes a frame that was judged and can be encoded: a buffer may still turn out not to be a picture. Returns how
    /// long after the frame before it comes, in nanoseconds, where that is known.
    pub fn accept(&mut self, arrival: &Arrival) -> Option<u64> {
        self.discont = false;
        self.durations.follow(self.last(), arrival.distance);
        if arrival.is_of_variable_rate {
            self.durations.are_of_variable_rate();
        }
        self.clock.encoded(arrival.time)
    }
}

#[cfg(test)]
mod tests;
