use super::*;

const MS: u64 = 1_000_000;

/// Frames may be 280 ms late; they are dropped one by one.
fn limits() -> Limits {
    Limits {
        latency: ClockTime::from_mseconds(280),
        max_lateness: ClockTime::ZERO,
        group: 1,
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
        is_picked: false,
        discont: false,
        segment: Some(segment),
        now: None,
        limits: Some(limits()),
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

/// Whether durations are untrue once `frame` is encoded.
fn untrue_after(timing: &mut Timing, frame: &Incoming) -> bool {
    encoded(timing, frame);
    timing.durations_are_untrue()
}

#[test]
fn durations_are_untrue_where_frames_follow_otherwise() {
    let (segment, mut timing) = (segment(), timing());
    let behind_gap = Incoming {
        discont: true,
        ..at(&segment, 500)
    };
    // Time goes back at 20 ms.
    for frame in [at(&segment, 0), at(&segment, 40), behind_gap, at(&segment, 20)] {
        assert!(!untrue_after(&mut timing, &frame), "{frame:?}");
    }
    assert!(untrue_after(&mut timing, &at(&segment, 120)));
    assert!(timing.begin_playback_segment(Change::New, 0));
    assert!(!untrue_after(&mut timing, &at(&segment, 700)));
}

#[test]
fn announced_time_without_frames_is_no_untrue_duration() {
    let (segment, mut timing) = (segment(), timing());
    encoded(&mut timing, &at(&segment, 0));
    timing.pause();
    assert!(!untrue_after(&mut timing, &at(&segment, 800)));
    let late = Incoming {
        now: Some(ClockTime::from_mseconds(9_000)),
        ..at(&segment, 840)
    };
    assert!(matches!(timing.judge(&late).unwrap().fate, Fate::Drop { .. }));
    assert!(!untrue_after(&mut timing, &at(&segment, 880)));
    assert!(untrue_after(&mut timing, &at(&segment, 960)));
}

#[test]
fn a_variable_framerate_makes_durations_untrue_at_once() {
    let (segment, mut timing) = (segment(), Timing::default());
    timing.set_framerate(Fraction::new(0, 1));
    assert!(!untrue_after(&mut timing, &at(&segment, 0)));
    let picked = Incoming {
        duration: Some(40 * MS),
        is_picked: true,
        ..at(&segment, 40)
    };
    let (_, arrival) = encoded(&mut timing, &picked);
    assert_eq!((arrival.time.duration, arrival.distance), (None, Some(40 * MS)));
    assert!(timing.durations_are_untrue());
}

#[test]
fn a_picked_frame_lasts_as_the_framerate_of_those_says() {
    let (segment, mut timing) = (segment(), timing());
    for ms in [0, 40, 80] {
        // Of a video of 75 frames per second, every third.
        let picked = Incoming {
            duration: Some(13_333_333),
            is_picked: true,
            ..at(&segment, ms)
        };
        assert!(!untrue_after(&mut timing, &picked));
    }
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
        due: Some(ClockTime::from_mseconds(1_000)),
        lateness: ClockTime::from_mseconds(281),
    };
    assert_eq!(timing.judge(&late).unwrap().fate, dropped);
    // It was not encoded.
    assert_eq!(timing.last(), None);
    // One in time begins a group.
    encoded(&mut timing, &at(&segment, 960));
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
fn a_dropped_group_ends_the_segment_and_the_next_one_follows_a_discontinuity() {
    let (segment, mut timing) = (segment(), timing());
    encoded(&mut timing, &at(&segment, 960));
    let in_groups = |ms, now| Incoming {
        now: Some(ClockTime::from_mseconds(now)),
        limits: Some(Limits { group: 4, ..limits() }),
        ..at(&segment, ms)
    };
    let judged = |timing: &mut Timing, frame| {
        let verdict = timing.judge(&frame).unwrap();
        (verdict.ends_segment, matches!(verdict.fate, Fate::Drop { .. }))
    };
    // The group's other frames are on time, and dropped, too.
    assert!(timing.may_begin_group(false, false));
    assert_eq!(judged(&mut timing, in_groups(1_000, 1_281)), (true, true));
    for ms in [1_040, 1_080, 1_120] {
        assert!(!timing.may_begin_group(true, false));
        let unlimited = |frame| Incoming { limits: None, ..frame };
        assert_eq!(judged(&mut timing, unlimited(in_groups(ms, ms))), (false, true));
    }
    // In a group that the encoder has begun, only what ends the segment begins one.
    assert!(!timing.may_begin_group(false, true) && timing.may_begin_group(true, true));
    let (ends, arrival) = encoded(&mut timing, &in_groups(1_160, 1_440));
    assert!(!ends && arrival.discont);
    let (_, arrival) = encoded(&mut timing, &in_groups(1_200, 1_480));
    assert!(!arrival.discont);
}

#[test]
fn a_seek_begins_anew_with_frames_in_time() {
    let (segment, mut timing) = (segment(), timing());
    let late = |ms| Incoming {
        now: Some(ClockTime::from_mseconds(ms + 300)),
        limits: Some(Limits {
            max_lateness: ClockTime::from_mseconds(20),
            group: 4,
            ..limits()
        }),
        ..at(&segment, ms)
    };
    let later = Incoming {
        now: Some(ClockTime::from_mseconds(9_000)),
        ..late(0)
    };
    assert!(matches!(timing.judge(&later).unwrap().fate, Fate::Drop { .. }));
    timing.flush();
    // It is later than where dropping ends, and not than where it begins.
    encoded(&mut timing, &late(1_000));
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
