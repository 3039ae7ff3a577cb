//! As many frames come out as went in, each at its own time, and tokens do not depend on how the frames came.

mod common;

use common::*;
use gst::prelude::*;

const SIZE: (u32, u32) = (24, 16);

fn round_trip(frames: &[Frame], encoder: &str, fps: (i32, i32)) -> Vec<Frame> {
    let model = tokenizer(TINY);
    let line = format!("vidtokenc model={model} {encoder} ! vidtokdec model={model}");
    let out = run(&line, frames, SIZE.0, SIZE.1, fps);
    out.iter().map(|b| frame(b, SIZE.0)).collect()
}

fn times(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(|f| f.pts).collect()
}

/// A line that keeps the networks in memory between the lines of a test, as making them takes most of its time.
fn keep_networks() -> Line {
    let model = tokenizer(TINY);
    let description = format!("vidtokenc model={model} ! vidtokdec model={model}");
    let line = Line::new(&description, &video_caps(SIZE.0, SIZE.1, (30, 1)));
    line.play();
    line.push(buffer(&video(1, SIZE.0, SIZE.1)[0], SIZE.0));
    line.sink.try_pull_sample(LIMIT).unwrap();
    line
}

#[test]
fn as_many_frames_come_out_as_went_in_at_their_times() {
    init();
    let _networks = keep_networks();
    // Every way in which the last group can be filled, near the start and further on.
    for count in (1..=9).chain(37..=40) {
        let frames = video(count, SIZE.0, SIZE.1);
        assert_eq!(
            times(&round_trip(&frames, "", (30, 1))),
            times(&frames),
            "{count} frames"
        );
    }
}

#[test]
fn irregular_times_are_kept_with_and_without_a_framerate() {
    init();
    let _networks = keep_networks();
    for count in 1..=40 {
        let mut frames = video(count, SIZE.0, SIZE.1);
        for (i, frame) in frames.iter_mut().enumerate() {
            let i = i as u64;
            frame.pts = 5_000_000_000 + i * 33_000_000 + (i * i * 7919) % 9_000_001;
        }
        for fps in [(30, 1), (0, 1)] {
            for format in ["framed", "raw"] {
                let out = round_trip(&frames, &format!("! video/x-vidtok,stream-format={format}"), fps);
                assert_eq!(times(&out), times(&frames), "{count} frames at {fps:?}, {format}");
            }
        }
    }
}

#[test]
fn any_segment_length_keeps_every_frame() {
    init();
    let _networks = keep_networks();
    let frames = video(23, SIZE.0, SIZE.1);
    for key_interval in [1, 2, 5, 6, 22, 23, 24] {
        let out = round_trip(&frames, &format!("key-interval={key_interval}"), (30, 1));
        assert_eq!(times(&out), times(&frames), "key-interval {key_interval}");
    }
}

#[test]
fn one_frame_segments_are_pictures_of_their_own() {
    init();
    let frames = video(4, SIZE.0, SIZE.1);
    let together = round_trip(&frames, "key-interval=1", (30, 1));
    for (frame, decoded) in frames.iter().zip(&together) {
        assert_eq!(round_trip(std::slice::from_ref(frame), "", (30, 1))[0].rgb, decoded.rgb);
    }
}

#[test]
fn missing_timestamps_are_counted_from_the_framerate() {
    init();
    let line = Line::new(
        &format!("vidtokenc model={0} ! vidtokdec model={0}", tokenizer(TINY)),
        &video_caps(SIZE.0, SIZE.1, (30000, 1001)),
    );
    line.play();
    for frame in &video(11, SIZE.0, SIZE.1) {
        let mut buffer = buffer(frame, SIZE.0);
        buffer.make_mut().set_pts(gst::ClockTime::NONE);
        line.push(buffer);
    }
    let pts: Vec<u64> = line.finish().iter().map(|b| b.pts().unwrap().nseconds()).collect();
    assert_eq!(
        pts,
        (0..11u64).map(|k| k * 1001 * 1_000_000_000 / 30000).collect::<Vec<_>>()
    );
}

#[test]
fn neither_timestamps_nor_a_framerate_is_an_error_that_says_so() {
    init();
    let line = Line::new(
        &format!("vidtokenc model={}", tokenizer(TINY)),
        &video_caps(SIZE.0, SIZE.1, (0, 1)),
    );
    line.play();
    let mut buffer = buffer(&video(1, SIZE.0, SIZE.1)[0], SIZE.0);
    buffer.make_mut().set_pts(gst::ClockTime::NONE);
    line.push(buffer);
    let error = line.error(LIMIT).expect("an error");
    assert!(error.contains("no timestamp") && error.contains("videorate"), "{error}");
}

/// The token buffers of `frames`, pushed with `between` after each.
fn tokens(frames: &[Frame], between: impl Fn(&Line, usize)) -> Vec<Vec<u8>> {
    let description = format!(
        "vidtokenc name=enc model={} ! video/x-vidtok,stream-format=raw",
        tokenizer(TINY)
    );
    let line = Line::new(&description, &video_caps(SIZE.0, SIZE.1, (30, 1)));
    line.play();
    for (i, frame) in frames.iter().enumerate() {
        line.push(buffer(frame, SIZE.0));
        between(&line, i);
    }
    bytes(&line.finish())
}

#[test]
fn tokens_do_not_depend_on_pace_or_pauses() {
    init();
    let frames = video(14, SIZE.0, SIZE.1);
    let at_once = tokens(&frames, |_, _| ());
    assert_eq!(at_once.len(), 5);
    assert_eq!(tokens(&frames, |_, _| pause()), at_once);
    let paused = tokens(&frames, |line, i| {
        if i % 3 == 1 {
            line.pipeline.set_state(gst::State::Paused).unwrap();
            pause();
            line.pipeline.set_state(gst::State::Playing).unwrap();
        }
    });
    assert_eq!(paused, at_once);
}

#[test]
fn a_segment_has_the_tokens_of_a_stream_that_starts_there() {
    init();
    let frames = video(18, SIZE.0, SIZE.1);
    let line = format!(
        "vidtokenc model={} key-interval=9 ! video/x-vidtok,stream-format=raw",
        tokenizer(TINY)
    );
    let segments = bytes(&run(&line, &frames, SIZE.0, SIZE.1, (30, 1)));
    let halves = [tokens(&frames[..9], |_, _| ()), tokens(&frames[9..], |_, _| ())].concat();
    assert_eq!(segments, halves);
}

#[test]
fn a_tail_is_the_clip_extended_by_its_last_frame() {
    init();
    let mut frames = video(12, SIZE.0, SIZE.1);
    let whole = tokens(&frames, |_, _| ());
    let last = frames[11].clone();
    frames.push(Frame {
        pts: last.pts + 33_333_333,
        ..last
    });
    assert_eq!(tokens(&frames, |_, _| ()), whole);
}

#[test]
fn a_picture_of_odd_size_is_padded_and_cropped() {
    init();
    let model = tokenizer(TINY);
    let line = format!("vidtokenc model={model} ! vidtokdec model={model}");
    for (width, height) in [(1, 1), (7, 9), (8, 8), (33, 17)] {
        let frames = video(6, width, height);
        let out = run(&line, &frames, width, height, (30, 1));
        assert_eq!(out.len(), 6, "{width}×{height}");
        assert!(
            out.iter()
                .all(|b| frame(b, width).rgb.len() == (width * height * 3) as usize)
        );
    }
}

#[test]
fn two_tokenizers_run_beside_each_other() {
    init();
    let (tiny, golden) = (tokenizer(TINY), tokenizer(GOLDEN));
    let frames = video(9, SIZE.0, SIZE.1);
    let alone = |model: &str| {
        let line = format!("vidtokenc model={model} ! video/x-vidtok,stream-format=raw");
        bytes(&run(&line, &frames, SIZE.0, SIZE.1, (30, 1)))
    };
    let expected = [alone(&tiny), alone(&golden)];
    let lines = [&tiny, &golden].map(|model| {
        let description = format!("vidtokenc model={model} ! video/x-vidtok,stream-format=raw");
        let line = Line::new(&description, &video_caps(SIZE.0, SIZE.1, (30, 1)));
        line.play();
        line
    });
    for frame in &frames {
        lines.iter().for_each(|line| line.push(buffer(frame, SIZE.0)));
    }
    assert_eq!(lines.map(|line| bytes(&line.finish())), expected);
}

#[test]
fn two_streams_of_one_tokenizer_do_not_see_each_other() {
    init();
    let frames = video(18, SIZE.0, SIZE.1);
    let expected = [tokens(&frames[..9], |_, _| ()), tokens(&frames[9..], |_, _| ())];
    let lines = [0, 1].map(|_| {
        let description = format!("vidtokenc model={} ! video/x-vidtok,stream-format=raw", tokenizer(TINY));
        let line = Line::new(&description, &video_caps(SIZE.0, SIZE.1, (30, 1)));
        line.play();
        line
    });
    for i in 0..9 {
        lines[0].push(buffer(&frames[i], SIZE.0));
        lines[1].push(buffer(&frames[9 + i], SIZE.0));
        pause();
    }
    assert_eq!(lines.map(|line| bytes(&line.finish())), expected);
}

#[test]
fn stats_count_what_went_through() {
    init();
    let model = tokenizer(TINY);
    let description = format!("vidtokenc name=enc model={model} key-interval=5 ! vidtokdec name=dec model={model}");
    let line = Line::new(&description, &video_caps(SIZE.0, SIZE.1, (30, 1)));
    line.play();
    video(12, SIZE.0, SIZE.1)
        .iter()
        .for_each(|f| line.push(buffer(f, SIZE.0)));
    assert_eq!(line.finish().len(), 12);
    for element in ["enc", "dec"] {
        let stats = line.stats(element);
        let count = |field: &str| stats.get::<u64>(field).unwrap();
        // Segments of 5, 5 and 2 frames: 2, 2 and 2 latent frames.
        assert_eq!(
            (count("frames"), count("latent-frames"), count("segments")),
            (12, 6, 3),
            "{stats}"
        );
        assert_eq!(count("dropped"), 0);
        assert!(count("bytes") > 0 && stats.get::<f64>("step-ms-mean").unwrap() > 0.0);
        assert_eq!(stats.get::<&str>("provider"), Ok("cpu"));
        assert_eq!(stats.get::<&str>("shape"), Ok("[t, 2, 3] uint16"));
    }
}
