use super::*;
use crate::dec::testing::{self, FRAME, format, indices};
use crate::format::{Fraction, Regularizer};
use crate::stream::{Hole, Loss};

const CELLS: usize = 35;

/// Segments of a causal tokenizer of time factor 4 whose output is late by `delay` frames.
fn segments(delay: usize) -> Segments {
    Segments {
        grouping: Grouping::Causal { factor: 4 },
        delay,
        format: format(),
        phase: Phase::Start,
        queue: VecDeque::new(),
        next_pts: None,
        discont: false,
    }
}

/// A packet whose first frame has the number `first`. Its tokens are numbered from `35 * first` on.
fn packet(segment_start: bool, latent_frames: u32, real_frames: u64, first: u64) -> Input {
    let from = first as usize * CELLS;
    let tokens = indices(from..from + latent_frames as usize * CELLS);
    testing::packet(
        segment_start,
        latent_frames,
        real_frames,
        first,
        tokens.to_payload(&format()).unwrap(),
    )
}

fn without_time(input: Input) -> Input {
    Input { times: None, ..input }
}

/// A step that was taken.
#[derive(Debug, PartialEq)]
struct Taken {
    tokens: Tokens,
    first: bool,
    edge: bool,
    /// Index in the output and number of each frame that is shown.
    shown: Vec<(usize, u64)>,
    uncertain: bool,
    discont: bool,
}

fn take(segments: &mut Segments) -> Vec<Taken> {
    let mut taken = Vec::new();
    while let Some(next) = segments.next_step().unwrap() {
        let shown = next.step.shown.iter();
        taken.push(Taken {
            tokens: next.tokens.clone(),
            first: next.step.first,
            edge: next.step.edge,
            shown: shown.map(|(index, time)| (*index, time.pts / FRAME)).collect(),
            uncertain: next.uncertain,
            discont: next.discont,
        });
    }
    taken
}

/// Numbers of the frames that are shown, and how many steps they take.
fn frames(segments: &mut Segments) -> (Vec<u64>, usize) {
    let taken = take(segments);
    let shown = taken
        .iter()
        .flat_map(|step| step.shown.iter().map(|(_, number)| *number));
    (shown.collect(), taken.len())
}

#[test]
fn each_step_has_its_tokens_and_its_place_in_the_segment() {
    let mut segments = segments(0);
    segments.push(packet(true, 1, 1, 0), false).unwrap();
    segments.push(packet(false, 2, 8, 1), false).unwrap();
    let step = |from: usize, first, edge, shown: Vec<(usize, u64)>| Taken {
        tokens: indices(from..from + CELLS),
        first,
        edge,
        shown,
        uncertain: false,
        discont: false,
    };
    let expected = [
        step(0, true, false, vec![(3, 0)]),
        step(CELLS, false, true, vec![(0, 1), (1, 2), (2, 3), (3, 4)]),
        step(2 * CELLS, false, false, vec![(0, 5), (1, 6), (2, 7), (3, 8)]),
    ];
    assert_eq!(take(&mut segments), expected);
    assert!(segments.in_segment());
}

#[test]
fn the_end_of_a_segment_flushes_frames_that_are_late() {
    let mut segments = segments(3);
    segments.push(packet(true, 3, 9, 0), false).unwrap();
    // The first latent frame's frame, one of the second's, and four.
    assert_eq!(frames(&mut segments), ((0..6).collect(), 3));
    segments.end();
    let flush = take(&mut segments);
    assert_eq!(flush.len(), 1);
    assert!(flush[0].edge && !flush[0].first);
    assert_eq!(flush[0].tokens, indices(2 * CELLS..3 * CELLS));
    assert_eq!(flush[0].shown, [(0, 6), (1, 7), (2, 8)]);
    assert_eq!(frames(&mut segments), (vec![], 0));
}

#[test]
fn a_flush_is_left_out_where_no_real_frame_is_late() {
    let mut segments = segments(3);
    segments.push(packet(true, 2, 2, 0), false).unwrap();
    segments.end();
    assert_eq!(frames(&mut segments), (vec![0, 1], 2));
}

#[test]
fn the_next_start_ends_a_segment() {
    let mut segments = segments(3);
    segments.push(packet(true, 2, 5, 0), false).unwrap();
    segments.push(packet(true, 1, 1, 5), false).unwrap();
    assert_eq!(frames(&mut segments), ((0..6).collect(), 4));
}

#[test]
fn a_segment_ends_with_the_packet_that_says_so() {
    let mut segments = segments(0);
    let last = Input {
        segment_end: true,
        ..packet(true, 2, 5, 0)
    };
    segments.push(last, false).unwrap();
    assert!(!segments.in_segment() && segments.has_started());
    assert_eq!(frames(&mut segments), ((0..5).collect(), 2));
    let next = segments.push(packet(false, 1, 4, 5), false);
    assert_eq!(next, Err(Skipped::NoSegmentStart));
}

#[test]
fn steps_that_show_nothing_wait_for_a_later_picture() {
    let mut segments = segments(0);
    segments.push(packet(true, 100, 2, 0), false).unwrap();
    assert_eq!(frames(&mut segments), (vec![0, 1], 2));
    segments.push(packet(false, 1, 1, 397), false).unwrap();
    assert_eq!(frames(&mut segments), (vec![397], 99));
    // And never where no picture does.
    segments.push(packet(true, 100, 1, 500), false).unwrap();
    segments.push(packet(true, 1, 1, 501), false).unwrap();
    assert_eq!(frames(&mut segments), (vec![500, 501], 2));
}

#[test]
fn after_a_reset_a_segment_start_is_waited_for() {
    let mut segments = segments(0);
    segments.push(packet(true, 3, 9, 0), false).unwrap();
    segments.reset();
    assert!(!segments.has_started() && !segments.in_segment());
    assert_eq!(frames(&mut segments), (vec![], 0));
    let next = segments.push(packet(false, 1, 4, 9), false);
    assert_eq!(next, Err(Skipped::NoSegmentStart));
    segments.push(packet(true, 1, 1, 13), false).unwrap();
    assert_eq!(frames(&mut segments), (vec![13], 1));
}

#[test]
fn what_is_uncertain_continues_without_a_start_and_is_marked() {
    let mut segments = segments(0);
    segments.push(packet(true, 1, 1, 0), false).unwrap();
    segments.leave();
    let hole = Hole {
        loss: Loss::Missing,
        latent_frames: None,
    };
    let marks = |segments: &mut Segments| {
        let taken = take(segments);
        let marks = taken
            .iter()
            .map(|step| (step.first, step.edge, step.uncertain, step.discont));
        marks.collect::<Vec<_>>()
    };
    assert_eq!(marks(&mut segments), [(true, false, false, false)]);
    segments.push(packet(false, 1, 4, 5), true).unwrap();
    segments.push(packet(false, 1, 4, 9), true).unwrap();
    // Neither the segment's first step nor its second: those are missing.
    assert_eq!(
        marks(&mut segments),
        [(false, false, true, true), (false, false, true, false)]
    );
    // A second hole in the same segment.
    let behind_hole = Input {
        hole: Some(hole),
        ..packet(false, 1, 4, 17)
    };
    segments.push(behind_hole, true).unwrap();
    assert_eq!(marks(&mut segments), [(false, false, true, true)]);
    segments.push(packet(true, 1, 1, 21), false).unwrap();
    assert_eq!(marks(&mut segments), [(true, false, false, false)]);
}

#[test]
fn a_segment_behind_one_that_was_left_is_a_discontinuity() {
    let mut segments = segments(0);
    segments.leave();
    assert!(!segments.has_started());
    segments.push(packet(true, 1, 1, 0), false).unwrap();
    assert!(take(&mut segments)[0].discont);
    segments.push(packet(true, 1, 1, 1), false).unwrap();
    assert!(!take(&mut segments)[0].discont);
}

#[test]
fn packets_without_times_follow_those_before_them() {
    let mut segments = segments(0);
    segments.push(packet(true, 1, 1, 7), false).unwrap();
    segments.push(without_time(packet(true, 2, 5, 0)), false).unwrap();
    segments.end();
    assert_eq!(frames(&mut segments).0, (7..13).collect::<Vec<_>>());
}

#[test]
fn a_packet_whose_time_nothing_tells_is_left_out() {
    let mut segments = segments(0);
    segments.format.framerate = Fraction::new(0, 1);
    let untimed = segments.push(without_time(packet(true, 1, 1, 0)), false);
    assert_eq!(untimed, Err(Skipped::NoTime));
}

#[test]
fn times_are_counted_on_behind_a_packet_of_unknown_duration() {
    let mut segments = segments(0);
    let start = Input {
        times: Some(PacketTimes {
            pts: 250 * FRAME,
            duration: None,
            offsets: None,
        }),
        ..packet(true, 1, 1, 0)
    };
    segments.push(start, false).unwrap();
    segments.push(without_time(packet(false, 1, 4, 1)), false).unwrap();
    segments.push(without_time(packet(false, 1, 4, 5)), false).unwrap();
    let mut ends = Vec::new();
    while let Some(next) = segments.next_step().unwrap() {
        let end = |(_, time): &(usize, FrameTime)| (time.pts + time.duration.unwrap()) / FRAME;
        ends.extend(next.step.shown.iter().map(end));
    }
    assert_eq!(ends, Vec::from_iter(251..260));
}

#[test]
fn a_part_of_a_window_is_left_out() {
    let mut segments = segments(0);
    segments.grouping = Grouping::Windows { factor: 4, window: 16 };
    let part = segments.push(packet(true, 3, 1, 0), false);
    assert_eq!(part, Err(Skipped::PartOfWindow { window: 4 }));
    segments.push(packet(true, 8, 32, 0), false).unwrap();
    segments.end();
    assert_eq!(frames(&mut segments), ((0..32).collect(), 2));
}

#[test]
fn the_steps_of_a_start_include_its_segments_flush() {
    for (delay, start, inner) in [(0, 3, 3), (3, 4, 3)] {
        let segments = segments(delay);
        assert_eq!(segments.steps(&packet(true, 3, 9, 0)), start);
        assert_eq!(segments.steps(&packet(false, 3, 12, 0)), inner);
    }
}

#[test]
fn numbers_that_are_not_tokens_are_an_error() {
    let mut segments = segments(0);
    // 20,480 codes, which take 15 bits like the format's 32,768: all bits set is not an index.
    segments.format.regularizer = Regularizer::Fsq {
        levels: vec![8, 8, 8, 8, 5],
    };
    let payload_bytes = indices(0..CELLS).to_payload(&format()).unwrap().len();
    let input = Input {
        tokens: UnreadTokens::of_payload(vec![0xff; payload_bytes], 1),
        ..packet(true, 1, 1, 0)
    };
    segments.push(input, false).unwrap();
    assert!(segments.next_step().is_err());
}
