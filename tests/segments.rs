//! What ends a segment of tokens: the pictures and their times, and not the events that travel with them.

mod common;

use common::*;
use gst::prelude::*;
use gst_check::Harness;

const SIZE: (u32, u32) = (16, 16);
const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// An encoder of raw tokens, as the bytes of equal raw tokens are equal. `live`: the answer of upstream to the latency
/// query.
fn encoder(fps: (i32, i32), live: bool) -> Harness {
    init();
    let raw = "capsfilter caps=video/x-vidtok,stream-format=raw";
    let encoder = format!("vidtokenc name=enc model={} ! {raw}", tokenizer(TINY));
    let harness = harness(&encoder, video_caps(SIZE.0, SIZE.1, fps));
    if !live {
        // A harness is live unless told otherwise.
        let pad = harness.element().unwrap().static_pad("sink").unwrap().peer().unwrap();
        pad.add_probe(gst::PadProbeType::QUERY_UPSTREAM, |_, info| {
            if let Some(gst::QueryViewMut::Latency(query)) = info.query_mut().map(|query| query.view_mut()) {
                query.set(false, gst::ClockTime::ZERO, gst::ClockTime::NONE);
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        });
    }
    harness
}

/// A bus with the encoder's messages.
fn bus(harness: &mut Harness) -> gst::Bus {
    let bus = gst::Bus::new();
    harness.find_element("vidtokenc").unwrap().set_bus(Some(&bus));
    bus
}

fn warnings(bus: &gst::Bus) -> Vec<String> {
    let messages = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]));
    messages
        .map(|message| match message.view() {
            gst::MessageView::Warning(warning) => warning.error().to_string(),
            _ => unreachable!("filtered"),
        })
        .collect()
}

fn at(frame: &Frame, pts: u64) -> gst::Buffer {
    let mut buffer = buffer(frame, SIZE.0);
    buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(pts));
    buffer
}

fn without_pts(frame: &Frame) -> gst::Buffer {
    let mut buffer = buffer(frame, SIZE.0);
    buffer.make_mut().set_pts(gst::ClockTime::NONE);
    buffer
}

/// Buffers as text: `s` for a segment start, `d` for DISCONT, and the PTS in milliseconds.
fn shape(buffers: &[gst::Buffer]) -> String {
    let one = |buffer: &gst::Buffer| {
        let start = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        let pts = buffer.pts().unwrap().mseconds();
        format!(
            "{}{}{pts}",
            if start { "s" } else { "" },
            if discont { "d" } else { "" }
        )
    };
    buffers.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn segment(start: u64, time: u64, base: u64) -> gst::FormattedSegment<gst::ClockTime> {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_nseconds(start));
    segment.set_time(gst::ClockTime::from_nseconds(time));
    segment.set_base(gst::ClockTime::from_nseconds(base));
    segment
}

fn gap(from: u64, duration: u64) -> gst::Event {
    gst::event::Gap::builder(gst::ClockTime::from_nseconds(from))
        .duration(gst::ClockTime::from_nseconds(duration))
        .build()
}

/// Encodes nine frames at 1 frame per second, and calls `between` in front of each.
fn slide_show(between: impl Fn(&mut Harness, usize)) -> Vec<gst::Buffer> {
    let mut harness = encoder((1, 1), false);
    for (i, frame) in video(9, SIZE.0, SIZE.1).iter().enumerate() {
        between(&mut harness, i);
        harness.push(at(frame, i as u64 * SECOND)).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    pull(&mut harness)
}

#[test]
fn events_that_travel_with_the_pictures_change_no_token() {
    let expected = slide_show(|_, _| ());
    assert_eq!(shape(&expected), "s0 1000 5000");
    let same = |what: &str, between: &dyn Fn(&mut Harness, usize)| {
        let buffers = slide_show(between);
        assert_eq!(shape(&buffers), shape(&expected), "{what}");
        assert!(bytes(&buffers) == bytes(&expected), "{what}: other tokens");
    };
    same("a gap in front of every frame", &|h, i| {
        h.push_event(gap(i as u64 * SECOND, SECOND));
    });
    same("a long gap", &|h, i| {
        if i == 3 {
            h.push_event(gap(3 * SECOND, 100 * SECOND));
        }
    });
    same("the same playback segment again", &|h, i| {
        let mut again = segment(0, 0, 0);
        again.set_position(gst::ClockTime::from_seconds(i as u64));
        again.set_duration(gst::ClockTime::from_seconds(9));
        h.push_event(gst::event::Segment::new(&again));
    });
    same("a playback segment that begins where the last one ends", &|h, i| {
        let now = i as u64 * SECOND;
        h.push_event(gst::event::Segment::new(&segment(now, now, now)));
    });
    same("another running time", &|h, i| {
        h.push_event(gst::event::Segment::new(&segment(0, 0, i as u64 * 70)));
    });
    same("the same start of the stream again", &|h, _| {
        let pad = h.srcpad().unwrap();
        let start = pad.sticky_event::<gst::event::StreamStart>(0).unwrap();
        let again = gst::event::StreamStart::builder(start.stream_id());
        h.push_event(again.group_id(gst::GroupId::next()).build());
    });
    same("caps with another field", &|h, i| {
        let mut caps = video_caps(SIZE.0, SIZE.1, (1, 1));
        caps.get_mut().unwrap().set("multiview-mode", "mono");
        caps.get_mut().unwrap().set("interlace-mode", "progressive");
        caps.get_mut().unwrap().set("number", i as i32);
        h.push_event(gst::event::Caps::new(&caps));
    });
    same("tags and events of applications", &|h, i| {
        let mut tags = gst::TagList::new();
        tags.make_mut()
            .add::<gst::tags::Bitrate>(&(i as u32), gst::TagMergeMode::Append);
        h.push_event(gst::event::Tag::new(tags));
        h.push_event(gst::event::CustomDownstream::new(gst::Structure::new_empty("note")));
    });
}

#[test]
fn pictures_in_several_memories_have_the_same_tokens() {
    let expected = slide_show(|_, _| ());
    let mut harness = encoder((1, 1), false);
    for (i, frame) in video(9, SIZE.0, SIZE.1).iter().enumerate() {
        let whole = buffer(frame, SIZE.0);
        let whole = whole.map_readable().unwrap();
        let mut parts = gst::Buffer::new();
        for part in [&whole[..100], &whole[100..]] {
            let memory = gst::Memory::from_mut_slice(part.to_vec());
            parts.make_mut().append_memory(memory);
        }
        parts.make_mut().set_pts(gst::ClockTime::from_seconds(i as u64));
        harness.push(parts).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    assert!(bytes(&pull(&mut harness)) == bytes(&expected));
}

#[test]
fn events_that_bring_other_pictures_end_the_segment() {
    let cut = |what: &str, expected: &str, between: &dyn Fn(&mut Harness)| {
        let buffers = slide_show(|harness, i| {
            if i == 3 {
                between(harness);
            }
        });
        assert_eq!(shape(&buffers), expected, "{what}");
    };
    let expected = "s0 1000 s3000 4000 8000";
    cut("another stream", expected, &|h| {
        h.push_event(gst::event::StreamStart::new("other"));
        h.push_event(gst::event::Segment::new(&segment(0, 0, 0)));
    });
    cut("a seek", expected, &|h| {
        h.push_event(gst::event::Segment::new(&segment(3 * SECOND, 0, 0)));
    });
    cut("an edit", expected, &|h| {
        h.push_event(gst::event::Segment::new(&segment(3 * SECOND, 3 * SECOND, 0)));
    });
    cut("another pixel aspect ratio", expected, &|h| {
        let mut caps = video_caps(SIZE.0, SIZE.1, (1, 1));
        caps.get_mut()
            .unwrap()
            .set("pixel-aspect-ratio", gst::Fraction::new(4, 3));
        h.push_event(gst::event::Caps::new(&caps));
    });
    cut("another framerate", expected, &|h| {
        h.push_event(gst::event::Caps::new(&video_caps(SIZE.0, SIZE.1, (2, 1))));
    });
}

#[test]
fn a_clip_that_begins_anew_starts_a_segment_silently() {
    let mut h = encoder((25, 1), false);
    let bus = bus(&mut h);
    let frames = video(4, SIZE.0, SIZE.1);
    for clip in 0..3 {
        h.push_event(gst::event::Segment::new(&segment(0, 0, clip * 160 * MS)));
        for (i, frame) in frames.iter().enumerate() {
            h.push(at(frame, i as u64 * 40 * MS)).unwrap();
        }
    }
    h.push_event(gst::event::Eos::new());
    assert_eq!(shape(&pull(&mut h)), "s0 40 s0 40 s0 40");
    assert_eq!(warnings(&bus), [""; 0]);
}

#[test]
fn time_that_goes_back_is_seen_wherever_it_happens() {
    // Five frames are two full groups: the jump is between groups. With four frames it is within a group, with one
    // frame behind the first group.
    for before in [5, 4, 1] {
        let mut h = encoder((25, 1), false);
        let bus = bus(&mut h);
        let frames = video(9, SIZE.0, SIZE.1);
        let pts = (0..before).map(|i| 40 * i + 20).chain((0..4).map(|i| 10 + 40 * i));
        for (frame, pts) in frames.iter().zip(pts) {
            h.push(at(frame, pts * MS)).unwrap();
        }
        h.push_event(gst::event::Eos::new());
        let out = shape(&pull(&mut h));
        let expected = if before == 1 { "s20 sd10 50" } else { "s20 60 sd10 50" };
        assert_eq!(out, expected, "{before} frames before the jump");
        let said = warnings(&bus);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("goes back"), "{said:?}");
    }
}

#[test]
fn every_jump_back_is_warned_of_once() {
    let mut h = encoder((25, 1), false);
    let bus = bus(&mut h);
    let frames = video(9, SIZE.0, SIZE.1);
    for (i, pts) in [500, 540, 100, 140, 180, 20, 60, 60, 1_000].into_iter().enumerate() {
        h.push(at(&frames[i], pts * MS)).unwrap();
    }
    h.push_event(gst::event::Eos::new());
    assert_eq!(shape(&pull(&mut h)), "s500 540 sd100 140 sd20 60");
    assert_eq!(warnings(&bus).len(), 2);
}

#[test]
fn missing_pts_are_counted_from_the_playback_segments_start() {
    let mut h = encoder((25, 1), false);
    h.push_event(gst::event::Segment::new(&segment(7 * SECOND, 0, 0)));
    let frames = video(6, SIZE.0, SIZE.1);
    for frame in &frames[..5] {
        h.push(without_pts(frame)).unwrap();
    }
    assert_eq!(shape(&pull(&mut h)), "s7000 7040");
    h.push_event(gst::event::Segment::new(&segment(90 * SECOND, 0, 0)));
    h.push(without_pts(&frames[5])).unwrap();
    assert_eq!(shape(&pull(&mut h)), "s90000");
}

#[test]
fn missing_pts_are_counted_on_behind_new_caps_and_a_flush() {
    let mut h = encoder((25, 1), false);
    h.push_event(gst::event::Segment::new(&segment(2 * SECOND, 2 * SECOND, 0)));
    let frames = video(3, SIZE.0, SIZE.1);
    for frame in &frames {
        h.push(without_pts(frame)).unwrap();
    }
    // Three frames at 25 frames per second, and then frames of 100 ms.
    h.push_event(gst::event::Caps::new(&video_caps(32, SIZE.1, (10, 1))));
    for frame in video(2, 32, SIZE.1) {
        let mut buffer = buffer(&frame, 32);
        buffer.make_mut().set_pts(gst::ClockTime::NONE);
        h.push(buffer).unwrap();
    }
    flush(&mut h);
    h.push_event(gst::event::Segment::new(&segment(5 * SECOND, 5 * SECOND, 0)));
    for frame in video(2, 32, SIZE.1) {
        let mut buffer = buffer(&frame, 32);
        buffer.make_mut().set_pts(gst::ClockTime::NONE);
        h.push(buffer).unwrap();
    }
    h.push_event(gst::event::Eos::new());
    let out = shape(&pull(&mut h));
    // A harness may drop at a flush what was not pulled yet.
    assert!(out.ends_with("s5000 5100"), "{out}");
    assert!("s2000 2040 s2120 s5000 5100".ends_with(&out), "{out}");
}

#[test]
fn a_live_gap_of_nearly_two_groups_ends_the_segment() {
    // Seven frames at 25 frames per second are 280 ms, however fast the machine is. The frame before the gap lasts until
    // 120 ms.
    for (end, expected) in [(400, "s0 40"), (401, "s0 40 s1000")] {
        let mut h = encoder((25, 1), true);
        let frames = video(4, SIZE.0, SIZE.1);
        for (i, frame) in frames[..3].iter().enumerate() {
            h.push(at(frame, i as u64 * 40 * MS)).unwrap();
        }
        // In two pieces: the time since the latest frame counts.
        h.push_event(gap(120 * MS, 100 * MS));
        h.push_event(gap(220 * MS, (end - 220) * MS));
        h.push(at(&frames[3], SECOND)).unwrap();
        if end == 400 {
            h.push_event(gst::event::Eos::new());
        }
        assert_eq!(shape(&pull(&mut h)), expected, "a gap until {end} ms");
    }
}

#[test]
fn a_live_gap_ends_a_segment_of_full_groups() {
    let mut h = encoder((25, 1), true);
    let frames = video(6, SIZE.0, SIZE.1);
    for (i, frame) in frames[..5].iter().enumerate() {
        h.push(at(frame, i as u64 * 40 * MS)).unwrap();
    }
    h.push_event(gap(200 * MS, SECOND));
    h.push(at(&frames[5], 2 * SECOND)).unwrap();
    assert_eq!(shape(&pull(&mut h)), "s0 40 s2000");
}

#[test]
fn gaps_within_a_group_stop_at_the_encoder_and_others_pass() {
    let mut h = encoder((25, 1), false);
    let frames = video(4, SIZE.0, SIZE.1);
    let gaps = |h: &mut Harness| {
        let events = std::iter::from_fn(|| h.try_pull_event());
        events.filter(|event| event.type_() == gst::EventType::Gap).count()
    };
    h.push_event(gap(0, 40 * MS));
    assert_eq!(gaps(&mut h), 1);
    h.push(at(&frames[0], 40 * MS)).unwrap();
    h.push_event(gap(80 * MS, 40 * MS));
    assert_eq!(gaps(&mut h), 1);
    // The tokens of the current group will stand for this time.
    h.push(at(&frames[1], 120 * MS)).unwrap();
    h.push_event(gap(160 * MS, 40 * MS));
    assert_eq!(gaps(&mut h), 0);
}

/// Tags that ask players to turn the picture.
fn oriented(orientation: &str) -> gst::Event {
    let mut tags = gst::TagList::new();
    tags.make_mut()
        .add::<gst::tags::ImageOrientation>(&orientation, gst::TagMergeMode::Append);
    gst::event::Tag::new(tags)
}

/// Pushes a frame, tags, and two more frames. Returns size, segments and warnings behind an encoder with these properties.
fn turned(properties: &str, orientations: &[&str]) -> ((u32, u32), u64, Vec<String>) {
    init();
    let line = Line::new(
        &format!("vidtokenc name=enc model={} {properties}", tokenizer(TINY)),
        &video_caps(32, 16, (30, 1)),
    );
    line.play();
    let frames = video(3, 32, 16);
    line.push(buffer(&frames[0], 32));
    line.sink.try_pull_sample(LIMIT).unwrap();
    let source = line.source.static_pad("src").unwrap();
    for orientation in orientations {
        source.push_event(oriented(orientation));
    }
    line.push(buffer(&frames[1], 32));
    line.push(buffer(&frames[2], 32));
    line.finish();
    let format = line.sink_format();
    let stats: gst::Structure = line.pipeline.by_name("enc").unwrap().property("stats");
    (
        (format.width, format.height),
        stats.get("segments").unwrap(),
        line.warnings(),
    )
}

#[test]
fn a_picture_is_turned_from_its_tag_on() {
    assert_eq!(turned("", &["rotate-90"]), ((16, 32), 2, vec![]));
    assert_eq!(turned("", &["flip-rotate-180"]), ((32, 16), 2, vec![]));
    // The same again, upright, and unknown: nothing changes.
    assert_eq!(turned("", &["rotate-90", "rotate-90"]), ((16, 32), 2, vec![]));
    for orientation in ["rotate-0", "rotate-45"] {
        assert_eq!(turned("", &[orientation]), ((32, 16), 1, vec![]));
    }
    assert_eq!(turned("orientation=ignore", &["rotate-90"]), ((32, 16), 1, vec![]));
}

#[test]
fn behind_videoflip_pictures_are_not_turned_any_more() {
    init();
    // In a bin, as an application may have it.
    let flip = "( videoflip video-direction=auto ! identity )";
    let line = Line::new(
        &format!("{flip} ! queue ! vidtokenc model={}", tokenizer(TINY)),
        &video_caps(32, 16, (30, 1)),
    );
    line.play();
    line.push(buffer(&video(1, 32, 16)[0], 32));
    line.sink.try_pull_sample(LIMIT).unwrap();
    let source = line.source.static_pad("src").unwrap();
    source.push_event(oriented("rotate-90"));
    line.push(buffer(&video(2, 32, 16)[1], 32));
    line.finish();
    let format = line.sink_format();
    assert_eq!((format.width, format.height), (16, 32));
    assert_eq!(line.warnings(), [""; 0]);
}
