//! What the time of a frame means: which frames are dropped, and where segments end. Independent of elements.
//!
//! One [`Timing`] belongs to one element: it continues when caps change.

use gst::ClockTime;

use super::frame_clock::{ClockError, FrameClock};
use super::key_requests::KeyTime;
use super::latency::Latency;
use super::lateness::lateness;
use super::playback_segment::{Change, PlaybackSegment, to_running_time, to_stream_time};
use crate::format::Fraction;
use crate::timeline::FrameTime;

/// A frame as upstream hands it over, and what the element knows at that moment.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Nanoseconds, as is the duration.
    pub pts: Option<u64>,
    pub duration: Option<u64>,
    /// The buffer has the flag DISCONT.
    pub discont: bool,
    /// The playback segment that the frame belongs to.
    pub segment: Option<&'a PlaybackSegment>,
    /// Running time of the pipeline's clock; `None` where it does not run.
    pub now: Option<ClockTime>,
    pub latency: Latency,
    /// Nanoseconds; negative: nothing is dropped.
    pub max_lateness: i64,
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
    /// It is dropped: it comes `lateness` after its running time `due`.
    Drop { due: ClockTime, lateness: ClockTime },
    /// It is encoded.
    Encode(Arrival),
}

/// How a frame arrives at the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub time: FrameTime,
    /// What to add to the frame's PTS for its stream time.
    pub to_stream_time: i128,
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
    /// The latest playback segment differs from the one before by running time alone: the next frame's PTS tells
    /// whether it begins anew. If so, frames without PTS are counted from this time.
    may_begin_at: Option<u64>,
    /// A stream has begun, and no playback segment of it yet.
    is_new_stream: bool,
    /// The next frame that is encoded follows a discontinuity.
    discont: bool,
}

impl Timing {
    pub fn set_framerate(&mut self, framerate: Fraction) {
        self.clock.set_framerate(framerate);
    }

    /// The latest frame that was encoded since the playback segment began.
    pub fn last(&self) -> Option<FrameTime> {
        self.clock.last()
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
        self.may_begin_at = None;
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
        let time = self.clock.next(frame.pts, frame.duration, stream_time)?;
        let running_time = to_running_time(frame.segment, time.pts);

        // A group is never dropped in part.
        let group_is_open = frame.group_is_open && !ends_segment;
        if !group_is_open
            && let Some((due, now)) = running_time.zip(frame.now)
            && let Some(lateness) = lateness(frame.latency, now, due, frame.max_lateness)
        {
            let fate = Fate::Drop { due, lateness };
            return Ok(Verdict { ends_segment, fate });
        }
        let goes_back_from = self.clock.goes_back_from(time.pts);
        let key_is_due = frame.key_time.is_some_and(|key| key.is_met_at(running_time));
        ends_segment |= goes_back_from.is_some() || (key_is_due && !group_is_open);
        self.discont |= goes_back_from.is_some();
        let arrival = Arrival {
            time,
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
        self.clock.encoded(arrival.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// 25 frames per second in groups of 4: the encoder's own latency is 280 ms.
    fn latency() -> Latency {
        Latency {
            step_frames: 4,
            frame: Some(ClockTime::from_mseconds(40)),
            ..Latency::default()
        }
    }

    fn timing() -> Timing {
        let mut timing = Timing::default();
        timing.set_framerate(Fraction::new(25, 1));
        timing
    }

    /// A frame at `ms` milliseconds in the middle of a segment, on time.
    fn at(segment: &PlaybackSegment, ms: u64) -> Incoming<'_> {
        Incoming {
            pts: Some(ms * MS),
            duration: None,
            discont: false,
            segment: Some(segment),
            now: None,
            latency: latency(),
            max_lateness: 0,
            key_time: None,
            group_is_open: false,
        }
    }

    fn segment() -> PlaybackSegment {
        gst::init().unwrap();
        PlaybackSegment::new()
    }

    /// Whether the frame ends the segment in front of it, and how it arrives.
    fn encoded(timing: &mut Timing, frame: &Incoming) -> (bool, Arrival) {
        let verdict = timing.judge(frame).unwrap();
        match verdict.fate {
            Fate::Encode(arrival) => {
                timing.accept(&arrival);
                (verdict.ends_segment, arrival)
            }
            dropped => panic!("{dropped:?}"),
        }
    }

    #[test]
    fn frames_that_follow_each_other_end_nothing() {
        let (segment, mut timing) = (segment(), timing());
        let (ends, first) = encoded(&mut timing, &at(&segment, 80));
        assert!(!ends && !first.discont && !first.ends_with_group);
        assert_eq!((first.time.pts, first.time.duration), (80 * MS, Some(40 * MS)));
        assert_eq!(first.goes_back_from, None);
        let (ends, _) = encoded(&mut timing, &at(&segment, 130));
        assert!(!ends);
        // Equal times are in order.
        let (ends, third) = encoded(&mut timing, &at(&segment, 130));
        assert_eq!((ends, third.goes_back_from), (false, None));
    }

    #[test]
    fn a_frame_that_is_not_accepted_does_not_count() {
        let (segment, mut timing) = (segment(), timing());
        let judged = |timing: &mut Timing, frame: &Incoming| match timing.judge(frame).unwrap().fate {
            Fate::Encode(arrival) => arrival,
            dropped => panic!("{dropped:?}"),
        };
        let first = judged(&mut timing, &at(&segment, 80));
        assert_eq!(timing.accept(&first), None);
        // Neither is a picture.
        let behind_gap = Incoming {
            discont: true,
            ..at(&segment, 500)
        };
        judged(&mut timing, &behind_gap);
        let back = judged(&mut timing, &at(&segment, 40));
        assert_eq!(back.goes_back_from, Some(80 * MS));
        let next = judged(&mut timing, &at(&segment, 130));
        assert_eq!((next.goes_back_from, next.discont), (None, true));
        assert_eq!(timing.accept(&next), Some(50 * MS));
        assert!(!judged(&mut timing, &at(&segment, 170)).discont);
    }

    #[test]
    fn the_stream_keeps_stream_time() {
        let (mut segment, mut timing) = (segment(), timing());
        segment.set_start(ClockTime::from_mseconds(1_000));
        segment.set_time(ClockTime::from_mseconds(300));
        let (_, arrival) = encoded(&mut timing, &at(&segment, 1_040));
        assert_eq!(arrival.to_stream_time, -700 * i128::from(MS));
    }

    #[test]
    fn time_that_goes_back_ends_the_segment_once() {
        let (segment, mut timing) = (segment(), timing());
        encoded(&mut timing, &at(&segment, 500));
        let back = Incoming {
            group_is_open: true,
            // The new segment is the start that was asked for.
            key_time: Some(KeyTime::AtOnce),
            ..at(&segment, 100)
        };
        let (ends, arrival) = encoded(&mut timing, &back);
        assert!(ends && arrival.discont && !arrival.ends_with_group);
        assert_eq!(arrival.goes_back_from, Some(500 * MS));
        let (ends, arrival) = encoded(&mut timing, &at(&segment, 140));
        assert!(!ends && !arrival.discont);
    }

    #[test]
    fn a_late_frame_is_dropped_between_groups_only() {
        let (segment, mut timing) = (segment(), timing());
        let late = Incoming {
            now: Some(ClockTime::from_mseconds(1_281)),
            ..at(&segment, 1_000)
        };
        let dropped = Fate::Drop {
            due: ClockTime::from_mseconds(1_000),
            lateness: ClockTime::from_mseconds(281),
        };
        assert_eq!(timing.judge(&late).unwrap().fate, dropped);
        // It was not encoded.
        assert_eq!(timing.last(), None);
        let in_group = Incoming {
            group_is_open: true,
            ..late
        };
        encoded(&mut timing, &in_group);
        // A discontinuity ends that group; the first frame on time tells of it.
        let behind_gap = Incoming {
            discont: true,
            ..in_group
        };
        let verdict = timing.judge(&behind_gap).unwrap();
        assert_eq!((verdict.ends_segment, verdict.fate), (true, dropped));
        let (ends, arrival) = encoded(&mut timing, &at(&segment, 2_000));
        assert!(!ends && arrival.discont);
    }

    #[test]
    fn a_request_ends_the_segment_at_once_or_with_the_group() {
        let (segment, mut timing) = (segment(), timing());
        let asked = |ms, at_ms, group_is_open| Incoming {
            key_time: Some(KeyTime::At(ClockTime::from_mseconds(at_ms))),
            group_is_open,
            ..at(&segment, ms)
        };
        let mut ends = |frame: Incoming| {
            let (ends_segment, arrival) = encoded(&mut timing, &frame);
            (ends_segment, arrival.ends_with_group)
        };
        assert_eq!(ends(asked(0, 80, false)), (false, false));
        assert_eq!(ends(asked(80, 80, true)), (false, true));
        assert_eq!(ends(asked(120, 80, false)), (true, false));
    }

    #[test]
    fn a_shifted_playback_segment_begins_anew_where_pts_do() {
        let (segment, mut timing) = (segment(), timing());
        encoded(&mut timing, &at(&segment, 40));
        assert!(!timing.begin_playback_segment(Change::Shifted, 0));
        let (ends, _) = encoded(&mut timing, &at(&segment, 80));
        assert!(!ends);
        assert!(!timing.begin_playback_segment(Change::Shifted, 20 * MS));
        let (ends, arrival) = encoded(&mut timing, &at(&segment, 30));
        assert!(ends && !arrival.discont);
        assert_eq!(arrival.goes_back_from, None);
        // Without PTS, it is taken to begin anew.
        assert!(!timing.begin_playback_segment(Change::Shifted, 20 * MS));
        let untimed = Incoming {
            pts: None,
            ..at(&segment, 0)
        };
        let (ends, arrival) = encoded(&mut timing, &untimed);
        assert!(ends);
        assert_eq!(arrival.time.pts, 20 * MS);
    }

    #[test]
    fn other_frames_and_another_stream_end_the_segment_at_once() {
        let mut timing = timing();
        assert!(!timing.begin_playback_segment(Change::Same, 0));
        assert!(timing.begin_playback_segment(Change::New, 0));
        timing.begin_stream();
        assert!(timing.begin_playback_segment(Change::Shifted, 0));
        assert!(!timing.begin_playback_segment(Change::Shifted, 0));
    }
}
