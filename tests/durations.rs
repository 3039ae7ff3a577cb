//! How long the last frame of a packet lasts, where buffers do not say the truth: video of a variable rate.

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use gst::prelude::*;
use gst_check::Harness;

const SIZE: (u32, u32) = (24, 16);
/// When frames are shown, in milliseconds. Groups are of 1, 4, 4 and 1 frames.
const TIMES: [u64; 10] = [0, 40, 140, 160, 300, 500, 510, 530, 700, 1100];
/// What the buffers say that every frame lasts, in milliseconds: at 50 frames per second.
const SAID: u64 = 20;
const UNKNOWN_RATE: (i32, i32) = (0, 1);

/// Frames at `times` in milliseconds, each with the duration `SAID`.
fn buffers(times: &[u64]) -> Vec<gst::Buffer> {
    let frames = video(times.len() as u64, SIZE.0, SIZE.1);
    let at = |(frame, ms): (&Frame, &u64)| {
        let mut buffer = buffer(frame, SIZE.0);
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_pts(gst::ClockTime::from_mseconds(*ms));
        buffer_mut.set_duration(gst::ClockTime::from_mseconds(SAID));
        buffer
    };
    frames.iter().zip(times).map(at).collect()
}

/// PTS and duration in milliseconds.
fn times(buffer: &gst::Buffer) -> (u64, u64) {
    (buffer.pts().unwrap().mseconds(), buffer.duration().unwrap().mseconds())
}

/// The times of what comes out of `appsrc ! DESCRIPTION` for frames at `TIMES`.
fn run_to_end(description: &str, fps: (i32, i32)) -> Vec<(u64, u64)> {
    init();
    let line = Line::new(description, &video_caps(SIZE.0, SIZE.1, fps));
    line.play();
    buffers(&TIMES).into_iter().for_each(|buffer| line.push(buffer));
    let is_end_mark = |b: &gst::Buffer| {
        b.flags()
            .contains(gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT)
    };
    let out = line.finish().into_iter().filter(|b| !is_end_mark(b));
    out.map(|b| times(&b)).collect()
}

/// An encoder of raw tokens behind a source that is not live, unless a test says so.
fn encoder(settings: &str, fps: (i32, i32)) -> Harness {
    init();
    let raw = "capsfilter caps=video/x-vidtok,stream-format=raw";
    let encoder = format!("vidtokenc model={} {settings} ! {raw}", tokenizer(TINY));
    let mut harness = Harness::new_parse(&encoder);
    harness.set_live(false);
    harness.set_src_caps(video_caps(SIZE.0, SIZE.1, fps));
    harness.play();
    harness
}

fn push_all(harness: &mut Harness, times: &[u64]) {
    for buffer in buffers(times) {
        harness.push(buffer).unwrap();
    }
}

fn pulled(harness: &mut Harness) -> Vec<(u64, u64)> {
    pull(harness).iter().map(times).collect()
}

#[test]
fn packets_last_until_the_next_frame() {
    let model = tokenizer(TINY);
    let rest = [(40, 460), (500, 600), (1100, SAID)];
    for format in ["framed", "raw"] {
        let encoder = format!("vidtokenc model={model} ! video/x-vidtok,stream-format={format}");
        let packets = run_to_end(&encoder, UNKNOWN_RATE);
        assert_eq!(packets, [[(0, 40)].as_slice(), &rest].concat(), "{format}");
        // Nothing has shown yet that the first one lasts longer.
        let packets = run_to_end(&encoder, (50, 1));
        assert_eq!(packets, [[(0, SAID)].as_slice(), &rest].concat(), "{format}");
    }
}

#[test]
fn decoded_frames_last_until_the_next_one() {
    let line = format!("vidtokenc model={0} ! vidtokdec model={0}", tokenizer(TINY));
    let ends = TIMES[1..].iter().copied().chain([TIMES[9] + SAID]);
    let expected: Vec<_> = TIMES.iter().zip(ends).map(|(pts, end)| (*pts, end - pts)).collect();
    assert_eq!(run_to_end(&line, UNKNOWN_RATE), expected);
}

#[test]
fn kept_frames_last_until_the_next_kept_one() {
    let mut h = encoder("frame-interval=2", UNKNOWN_RATE);
    push_all(&mut h, &TIMES);
    push_all(&mut h, &[1200]);
    // Those at 0, 140, 300, 510, 700 and 1200 ms.
    assert_eq!(pulled(&mut h), [(0, 140), (140, 1060)]);
}

#[test]
fn regular_video_does_not_wait() {
    let regular = [0, 20, 40, 60, 80, 100, 120, 140, 160];
    let mut h = encoder("", (50, 1));
    push_all(&mut h, &regular[..5]);
    assert_eq!(pulled(&mut h), [(0, 20), (20, 80)]);
    // Of every second frame, the same; after a pause that is announced, too.
    let mut h = encoder("frame-interval=2", (50, 1));
    push_all(&mut h, &regular);
    assert_eq!(pulled(&mut h), [(0, 40), (40, 160)]);
    let mut h = encoder("", (50, 1));
    push_all(&mut h, &regular[..5]);
    let second = gst::ClockTime::SECOND;
    h.push_event(gst::event::Gap::new(gst::ClockTime::from_mseconds(100), second));
    push_all(&mut h, &[1100, 1120, 1140, 1160]);
    assert_eq!(pulled(&mut h).last(), Some(&(1100, 80)));
}

#[test]
fn a_packet_waits_for_one_frame() {
    let mut h = encoder("", UNKNOWN_RATE);
    push_all(&mut h, &TIMES[..5]);
    assert_eq!(pulled(&mut h), [(0, 40)]);
    push_all(&mut h, &TIMES[5..6]);
    assert_eq!(pulled(&mut h), [(40, 460)]);
}

#[test]
fn live_video_does_not_wait() {
    let mut h = encoder("", UNKNOWN_RATE);
    h.set_live(true);
    push_all(&mut h, &TIMES[..5]);
    assert_eq!(pulled(&mut h), [(0, SAID), (40, 260 + SAID)]);
}

#[test]
fn a_packet_whose_next_frame_does_not_follow_lasts_as_was_said() {
    let said = [(40, 260 + SAID)];
    let waiting = || {
        let mut h = encoder("", UNKNOWN_RATE);
        push_all(&mut h, &TIMES[..5]);
        assert_eq!(pulled(&mut h), [(0, 40)]);
        h
    };
    // Something is missing; time goes back.
    let mut h = waiting();
    let mut behind_hole = buffers(&[700]).remove(0);
    behind_hole.make_mut().set_flags(gst::BufferFlags::DISCONT);
    h.push(behind_hole).unwrap();
    assert_eq!(pulled(&mut h), said);
    let mut h = waiting();
    push_all(&mut h, &[200]);
    assert_eq!(pulled(&mut h), said);
    // The end; another playback segment; other pictures.
    let mut h = waiting();
    h.push_event(gst::event::Eos::new());
    assert_eq!(pulled(&mut h), said);
    let mut h = waiting();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::SECOND);
    h.push_event(gst::event::Segment::new(&segment));
    assert_eq!(pulled(&mut h), said);
    let mut h = waiting();
    h.push_event(gst::event::Caps::new(&video_caps(8, 8, UNKNOWN_RATE)));
    assert_eq!(pulled(&mut h), said);
}

#[test]
fn a_packet_that_waits_comes_before_an_event() {
    let mut h = encoder("", UNKNOWN_RATE);
    push_all(&mut h, &TIMES[..5]);
    let seen = Arc::<Mutex<Vec<&str>>>::default();
    let (source, log) = (h.element().unwrap().static_pad("src").unwrap(), seen.clone());
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    source.add_probe(what, move |_, info| {
        let name = info.event().map_or("buffer", |event| event.type_().name());
        log.lock().unwrap().push(name);
        gst::PadProbeReturn::Ok
    });
    let own = gst::event::CustomDownstream::new(gst::Structure::new_empty("application/x-own"));
    h.push_event(own);
    h.push_event(gst::event::Tag::new(gst::TagList::new()));
    assert_eq!(*seen.lock().unwrap(), ["buffer", "custom-downstream", "tag"]);
}

#[test]
fn an_event_behind_a_packet_that_waits_makes_no_discontinuity() {
    let mut h = encoder("", UNKNOWN_RATE);
    let mut frames = buffers(&TIMES).into_iter();
    let mut first = frames.next().unwrap();
    first.make_mut().set_flags(gst::BufferFlags::DISCONT);
    h.push(first).unwrap();
    h.push_event(gst::event::Tag::new(gst::TagList::new()));
    frames.for_each(|buffer| assert!(h.push(buffer).is_ok()));
    h.push_event(gst::event::Eos::new());
    let shape = |b: &gst::Buffer| (times(b), b.flags().contains(gst::BufferFlags::DISCONT));
    let shapes: Vec<_> = pull(&mut h).iter().map(shape).collect();
    let expected = [
        ((0, SAID), true),
        ((40, 460), false),
        ((500, 600), false),
        ((1100, SAID), false),
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn a_packet_that_waits_is_not_lost_where_the_next_frame_fails() {
    let mut h = encoder("", UNKNOWN_RATE);
    push_all(&mut h, &TIMES[..5]);
    assert_eq!(pulled(&mut h).len(), 1);
    let mut broken = gst::Buffer::with_size(5).unwrap();
    broken.make_mut().set_pts(gst::ClockTime::from_mseconds(TIMES[5]));
    assert_eq!(h.push(broken), Err(gst::FlowError::Error));
    assert_eq!(pulled(&mut h), [(40, 460)]);
}

#[test]
fn a_flush_drops_a_packet_that_waits() {
    let mut h = encoder("", UNKNOWN_RATE);
    push_all(&mut h, &TIMES[..5]);
    assert_eq!(pulled(&mut h).len(), 1);
    flush(&mut h);
    h.push_event(whole_segment());
    push_all(&mut h, &[3000, 3700]);
    let out = pull(&mut h);
    assert_eq!(out.iter().map(times).collect::<Vec<_>>(), [(3000, 700)]);
    assert!(!out[0].flags().contains(gst::BufferFlags::DELTA_UNIT));
}
