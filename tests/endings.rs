//! How segments and streams end: what packets and end marks say, and how fast an encoder stops.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::*;
use gst::prelude::*;
use gst_check::Harness;
use gstvidtok::stream::{End, Event, Reader, Totals};

const SIZE: (u32, u32) = (16, 16);
/// Width and height of pictures whose steps take longer than stopping may.
const LARGE: u32 = 1024;
/// How long a flush or going to NULL may take.
const PROMPT: Duration = Duration::from_millis(500);

fn encoder(properties: &str) -> Harness {
    init();
    let encoder = format!("vidtokenc model={} {properties}", tokenizer(TINY));
    harness(&encoder, video_caps(SIZE.0, SIZE.1, (30, 1)))
}

fn push(harness: &mut Harness, frames: &[Frame]) {
    common::push(harness, frames, SIZE.0);
}

fn events(buffers: &[gst::Buffer]) -> Vec<Event> {
    let mut reader = Reader::new();
    bytes(buffers).iter().for_each(|bytes| reader.push(bytes));
    reader.finish();
    std::iter::from_fn(|| reader.next_event().unwrap()).collect()
}

/// A stream as text: `s4e.` is a packet that starts a segment, has four frames, and ends the segment and the stream;
/// `[2+5]` is an end mark after a segment of two latent frames and five frames, `[2+5 of 9+20]` that of the stream.
fn story(buffers: &[gst::Buffer]) -> String {
    let totals = |totals: Totals| format!("{}+{}", totals.latent_frames, totals.frames);
    let sign = |is: bool, sign| if is { sign } else { "" };
    let one = |event: Event| match event {
        Event::Header(_) => None,
        Event::Packet(packet) => Some(format!(
            "{}{}{}{}",
            sign(packet.segment_start, "s"),
            packet.real_frames,
            sign(packet.segment_end, "e"),
            sign(packet.end_of_stream, ".")
        )),
        Event::End(mark) => {
            let End { segment, stream, .. } = mark.end.unwrap();
            let stream = stream.map_or(String::new(), |stream| format!(" of {}", totals(stream)));
            Some(format!("[{}{stream}]", totals(segment)))
        }
        other => panic!("{other:?}"),
    };
    events(buffers)
        .into_iter()
        .filter_map(one)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The stream id of each header and end mark, without repetitions.
fn ids(buffers: &[gst::Buffer]) -> Vec<String> {
    let id = |event: Event| match event {
        Event::Header(header) | Event::End(header) => header.stream_id.clone(),
        _ => None,
    };
    let mut ids: Vec<String> = events(buffers).into_iter().filter_map(id).collect();
    ids.dedup();
    ids
}

#[test]
fn a_packet_says_that_it_is_its_segments_last() {
    let frames = video(12, SIZE.0, SIZE.1);
    let mut h = encoder("key-interval=5");
    push(&mut h, &frames);
    h.push_event(gst::event::Eos::new());
    assert_eq!(story(&pull(&mut h)), "s1 4e s1 4e s1 1e. [2+2 of 6+12]");
    // Windows of 16 frames are segments of their own.
    let line = format!("vidtokenc model={}", tokenizer("golden_fsq_noncausal"));
    let windows = run(&line, &video(17, SIZE.0, SIZE.1), SIZE.0, SIZE.1, (30, 1));
    assert_eq!(story(&windows), "s16e s1e. [4+1 of 8+17]");
    let mut h = encoder("");
    push(&mut h, &frames[..3]);
    let mut after = buffer(&frames[5], SIZE.0);
    after.make_mut().set_flags(gst::BufferFlags::DISCONT);
    h.push(after).unwrap();
    assert_eq!(story(&pull(&mut h)), "s1 2e s1");
}

#[test]
fn a_mark_ends_a_segment_whose_last_packet_has_left() {
    let frames = video(8, SIZE.0, SIZE.1);
    let ended = |what: &str, expected: &str, end: &dyn Fn(&mut Harness)| {
        let mut h = encoder("");
        push(&mut h, &frames[..5]);
        end(&mut h);
        assert_eq!(story(&pull(&mut h)), expected, "{what}");
    };
    // At once, not with the next frame: a look-ahead decoder still owes frames.
    ended("a live gap", "s1 4 [2+5]", &|h| {
        let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(167));
        h.push_event(gap.duration(gst::ClockTime::from_seconds(1)).build());
    });
    ended("another stream", "s1 4 [2+5]", &|h| {
        h.push_event(gst::event::StreamStart::new("other"));
    });
    ended("another playback segment", "s1 4 [2+5]", &|h| {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(gst::ClockTime::from_seconds(9));
        h.push_event(gst::event::Segment::new(&segment));
    });
    ended("a discontinuity", "s1 4 [2+5] s1", &|h| {
        let mut after = buffer(&frames[6], SIZE.0);
        after.make_mut().set_flags(gst::BufferFlags::DISCONT);
        h.push(after).unwrap();
    });
    ended("time that goes back", "s1 4 [2+5] s1", &|h| push(h, &frames[2..3]));
    ended("a request", "s1 4 [2+5] s1", &|h| {
        h.push_upstream_event(gst_video::UpstreamForceKeyUnitEvent::builder().build());
        push(h, &frames[5..6]);
    });
    // The packet of the current group says it, if that has frames.
    ended("a request within a group", "s1 4 4e s1", &|h| {
        push(h, &frames[5..6]);
        h.push_upstream_event(gst_video::UpstreamForceKeyUnitEvent::builder().build());
        push(h, &frames[6..8]);
        push(h, &video(10, SIZE.0, SIZE.1)[8..10]);
    });
}

#[test]
fn every_stream_ends_with_a_mark_of_its_own() {
    for (count, expected) in [(5, "s1 4 [2+5 of 2+5]"), (6, "s1 4 1e. [3+6 of 3+6]")] {
        let mut h = encoder("");
        push(&mut h, &video(count, SIZE.0, SIZE.1));
        h.push_event(gst::event::Eos::new());
        let buffers = pull(&mut h);
        assert_eq!(story(&buffers), expected);
        let mark = buffers.last().unwrap();
        // It describes the stream as a header does, and decoding cannot start at it.
        let flags = gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT;
        assert!(mark.flags().contains(flags), "{:?}", mark.flags());
        assert_eq!(mark.pts().unwrap().nseconds(), count * 1_000_000_000 / 30);
        assert_eq!(mark.duration(), Some(gst::ClockTime::ZERO));
    }
}

#[test]
fn a_sink_takes_the_mark_where_the_playback_segment_stops() {
    let mut h = encoder("");
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_stop(gst::ClockTime::from_nseconds(5 * 1_000_000_000 / 30));
    h.push_event(gst::event::Segment::new(&segment));
    push(&mut h, &video(5, SIZE.0, SIZE.1));
    h.push_event(gst::event::Eos::new());
    let buffers = pull(&mut h);
    assert_eq!(story(&buffers), "s1 4 [2+5 of 2+5]");
    // With a PTS at the stop it would be outside, and dropped.
    assert_eq!(buffers.last().unwrap().pts(), None);
}

#[test]
fn without_frames_there_is_nothing_to_end() {
    let mut h = encoder("");
    h.push_event(gst::event::Eos::new());
    assert!(pull(&mut h).is_empty());
}

#[test]
fn bare_tokens_have_no_marks() {
    let mut h = encoder("! capsfilter caps=video/x-vidtok,stream-format=raw");
    let mut frames = video(6, SIZE.0, SIZE.1);
    frames[5].pts = 0;
    push(&mut h, &frames);
    h.push_event(gst::event::Eos::new());
    // 2 × 2 cells of two bytes.
    assert!(pull(&mut h).iter().map(|b| b.size()).eq([8, 8, 8]));
}

#[test]
fn new_caps_continue_the_stream_and_its_numbers() {
    let mut h = encoder("");
    push(&mut h, &video(5, SIZE.0, SIZE.1));
    h.set_src_caps(video_caps(32, SIZE.1, (30, 1)));
    for mut frame in video(3, 32, SIZE.1) {
        frame.pts += 200_000_000;
        h.push(buffer(&frame, 32)).unwrap();
    }
    h.push_event(gst::event::Eos::new());
    let buffers = pull(&mut h);
    assert_eq!(story(&buffers), "s1 4 [2+5] s1 2e. [2+3 of 4+8]");
    assert_eq!(ids(&buffers).len(), 1);
    let segments = events(&buffers).into_iter().filter_map(|event| match event {
        Event::Packet(packet) => packet.position.unwrap().segment,
        _ => None,
    });
    assert!(segments.eq([0, 0, 1, 1]));
}

#[test]
fn what_comes_behind_the_end_is_another_stream() {
    let mut h = encoder("");
    let frames = video(2, SIZE.0, SIZE.1);
    push(&mut h, &frames);
    h.push_event(gst::event::Eos::new());
    flush(&mut h);
    let first = pull(&mut h);
    h.push_event(whole_segment());
    push(&mut h, &frames);
    h.push_event(gst::event::Eos::new());
    let second = pull(&mut h);
    for buffers in [&first, &second] {
        assert_eq!(story(buffers), "s1 1e. [2+2 of 2+2]");
    }
    assert_ne!(ids(&first), ids(&second));
}

#[test]
fn a_flush_leaves_numbers_and_totals_right() {
    let mut h = encoder("");
    let frames = video(9, SIZE.0, SIZE.1);
    // Two packets are out; the flush drops two frames.
    push(&mut h, &frames[..7]);
    let mut buffers = pull(&mut h);
    flush(&mut h);
    h.push_event(whole_segment());
    push(&mut h, &frames[..3]);
    h.push_event(gst::event::Eos::new());
    buffers.extend(pull(&mut h));
    assert_eq!(story(&buffers), "s1 4 [2+5] s1 2e. [2+3 of 4+8]");
}

#[test]
fn nothing_comes_between_a_flush_and_its_playback_segment() {
    let mut h = encoder("");
    let order = Arc::<Mutex<Vec<&'static str>>>::default();
    let seen = order.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_BOTH | gst::PadProbeType::EVENT_FLUSH;
    let src = h.element().unwrap().static_pad("src").unwrap();
    src.add_probe(kinds, move |_, info| {
        let name = match &info.data {
            Some(gst::PadProbeData::Buffer(_)) => Some("buffer"),
            Some(gst::PadProbeData::Event(event)) => match event.type_() {
                gst::EventType::FlushStop => Some("flush-stop"),
                gst::EventType::Segment => Some("segment"),
                _ => None,
            },
            _ => None,
        };
        seen.lock().unwrap().extend(name);
        gst::PadProbeReturn::Ok
    });
    let frames = video(6, SIZE.0, SIZE.1);
    push(&mut h, &frames);
    order.lock().unwrap().clear();
    flush(&mut h);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_mseconds(100));
    h.push_event(gst::event::Segment::new(&segment));
    push(&mut h, &frames[3..4]);
    // The end mark of the segment that the flush has cut off, and the first packet of the next one.
    assert_eq!(*order.lock().unwrap(), ["flush-stop", "segment", "buffer", "buffer"]);
}

#[test]
fn a_stream_has_an_id_of_its_own_or_the_one_that_was_chosen() {
    let file = |properties: &str| {
        let mut h = encoder(properties);
        push(&mut h, &video(2, SIZE.0, SIZE.1));
        h.push_event(gst::event::Eos::new());
        pull(&mut h)
    };
    let (one, other) = (ids(&file("")), ids(&file("")));
    assert!(one[0].len() == 32 && one[0].bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    assert_ne!(one, other);
    assert_eq!(ids(&file("stream-id=job-7/a")), ["job-7/a"]);
    assert_eq!(bytes(&file("stream-id=job-7/a")), bytes(&file("stream-id=job-7/a")));
}

#[test]
fn an_impossible_id_is_refused_before_anything_flows() {
    init();
    for id in ["two words", &"x".repeat(65), "ähnlich"] {
        let line = Line::new(
            &format!("vidtokenc name=enc model={}", tokenizer(TINY)),
            &video_caps(SIZE.0, SIZE.1, (30, 1)),
        );
        line.pipeline.by_name("enc").unwrap().set_property("stream-id", id);
        assert!(line.pipeline.set_state(gst::State::Playing).is_err());
        let error = line.error(LIMIT).expect("an error");
        for part in ["the property stream-id", "64"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

/// A line with the built-in tokenizer that has begun a step of a second or more.
fn busy() -> Line {
    init();
    let line = Line::new("vidtokenc", &video_caps(LARGE, LARGE, (30, 1)));
    line.play();
    feed(&line);
    line
}

fn feed(line: &Line) {
    let picture = vec![7u8; (LARGE * LARGE * 3) as usize];
    for i in 0..9 {
        let mut frame = gst::Buffer::from_slice(picture.clone());
        frame.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * i));
        line.push(frame);
    }
    // The first packet is one frame; the next step is running.
    line.sink.try_pull_sample(LIMIT).expect("a first packet");
    // A flush while the sink goes to PLAYING may leave it in PAUSED, where it shows nothing more.
    line.pipeline.state(LIMIT).0.unwrap();
}

#[test]
fn null_is_reached_while_a_step_runs() {
    let line = busy();
    let started = Instant::now();
    line.pipeline.set_state(gst::State::Null).unwrap();
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
}

#[test]
fn a_flush_is_done_while_a_step_runs() {
    let line = busy();
    for _ in 0..2 {
        let started = Instant::now();
        assert!(line.source.send_event(gst::event::FlushStart::new()));
        // It waits for the streaming thread.
        assert!(line.source.send_event(gst::event::FlushStop::new(true)));
        assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
        feed(&line);
    }
    assert_eq!(line.error(gst::ClockTime::ZERO), None);
}
