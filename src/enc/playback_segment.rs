//! How a playback segment follows the one before, and what it makes of a PTS.

/// A playback segment in time: what GStreamer calls a segment. Segments of tokens are something else.
pub type PlaybackSegment = gst::FormattedSegment<gst::ClockTime>;

/// How a playback segment follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It shows frames at the same times: an element has sent its segment again, or moved its ends.
    Same,
    /// Only running time differs: a clip that begins anew at its first PTS, or the same one at another speed or offset.
    /// The next frame's PTS tells which.
    Shifted,
    /// It shows other frames: a seek, another edit of a file.
    New,
}

/// Compares two segments, of any format.
pub fn change(before: &gst::Segment, after: &gst::Segment) -> Change {
    let mapping = |segment: &gst::Segment| segment.downcast_ref().map(TimeMapping::of);
    let (Some(before), Some(after)) = (mapping(before), mapping(after)) else {
        // Segments in bytes and other formats have no timeline.
        return if before == after { Change::Same } else { Change::New };
    };
    if before.to_stream_time != after.to_stream_time || before.is_reverse() != after.is_reverse() {
        Change::New
    } else if before.to_running_time == after.to_running_time {
        Change::Same
    } else if before.start == after.start {
        Change::Shifted
    } else {
        Change::New
    }
}

/// When a segment shows its frames.
struct TimeMapping {
    start: i128,
    rate: f64,
    /// What is added to a PTS for stream time, and the rate of stream time.
    to_stream_time: (i128, f64),
    /// What is added to a PTS for running time, the rate of running time, and the PTS at which it starts where the rate
    /// is not 1.
    to_running_time: (i128, f64, i128),
}

impl TimeMapping {
    fn of(segment: &PlaybackSegment) -> Self {
        let nanoseconds = |time: Option<gst::ClockTime>| time.map_or(0, |time| i128::from(time.nseconds()));
        let (start, rate) = (nanoseconds(segment.start()), segment.rate());
        let origin = start + nanoseconds(segment.offset());
        Self {
            start,
            rate,
            to_stream_time: (nanoseconds(segment.time()) - start, segment.applied_rate()),
            to_running_time: (
                nanoseconds(segment.base()) - origin,
                rate,
                if rate == 1.0 { 0 } else { origin },
            ),
        }
    }

    fn is_reverse(&self) -> bool {
        self.rate < 0.0
    }
}

/// The stream time of `pts`, which is what a file keeps. Frames in front of the stream's start are at its start.
pub fn to_stream_time(segment: Option<&PlaybackSegment>, pts: u64) -> u64 {
    let pts_in_segment = gst::ClockTime::from_nseconds(pts);
    match segment.and_then(|segment| segment.to_stream_time_full(pts_in_segment)) {
        Some(gst::Signed::Positive(time)) => time.nseconds(),
        Some(gst::Signed::Negative(_)) => 0,
        None => pts,
    }
}

/// The running time of `pts`; `None` outside the segment.
pub fn to_running_time(segment: Option<&PlaybackSegment>, pts: u64) -> Option<gst::ClockTime> {
    segment.and_then(|segment| segment.to_running_time(gst::ClockTime::from_nseconds(pts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start: u64, time: u64, base: u64) -> PlaybackSegment {
        let mut segment = PlaybackSegment::new();
        segment.set_start(gst::ClockTime::from_seconds(start));
        segment.set_time(gst::ClockTime::from_seconds(time));
        segment.set_base(gst::ClockTime::from_seconds(base));
        segment
    }

    #[test]
    fn what_shows_the_same_frames_at_the_same_times_is_the_same() {
        gst::init().unwrap();
        let before = segment(10, 0, 0);
        let mut again = before.clone();
        again.set_position(gst::ClockTime::from_seconds(12));
        again.set_stop(gst::ClockTime::from_seconds(99));
        again.set_duration(gst::ClockTime::from_seconds(89));
        assert_eq!(change(before.upcast_ref(), again.upcast_ref()), Change::Same);
        // Only what is shown of the same timeline differs.
        assert_eq!(
            change(before.upcast_ref(), segment(12, 2, 2).upcast_ref()),
            Change::Same
        );
    }

    #[test]
    fn another_running_time_leaves_it_to_the_frames() {
        gst::init().unwrap();
        let before = segment(10, 0, 0);
        assert_eq!(
            change(before.upcast_ref(), segment(10, 0, 7).upcast_ref()),
            Change::Shifted
        );
        let mut faster = before.clone();
        faster.set_rate(2.0);
        assert_eq!(change(before.upcast_ref(), faster.upcast_ref()), Change::Shifted);
    }

    #[test]
    fn other_frames_are_a_new_segment() {
        gst::init().unwrap();
        let before = segment(10, 0, 0);
        let mut reverse = before.clone();
        reverse.set_rate(-1.0);
        let mut trick = before.clone();
        trick.set_applied_rate(2.0);
        for after in [segment(12, 0, 0), segment(10, 3, 0), segment(12, 2, 0), reverse, trick] {
            assert_eq!(
                change(before.upcast_ref(), after.upcast_ref()),
                Change::New,
                "{after:?}"
            );
        }
        let mut bytes = gst::Segment::new();
        bytes.set_format(gst::Format::Bytes);
        assert_eq!(change(before.upcast_ref(), &bytes), Change::New);
        assert_eq!(change(&bytes, &bytes.clone()), Change::Same);
    }
}
