//! A `.vidtok` file in a player: parser and decoder are found, and position, duration and seeks work.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use gst::prelude::*;

const SIZE: (u32, u32) = (64, 48);
const FRAME: u64 = 1_000_000_000 / 30;

/// A file of `frames` frames at 30 frames per second, made with the embedded tokenizer.
fn file(frames: u64, key_interval: u32) -> tempfile::TempPath {
    late_file(frames, key_interval, 0)
}

/// A file as from [`file`], whose first frame is shown at `later`.
fn late_file(frames: u64, key_interval: u32, later: u64) -> tempfile::TempPath {
    let path = tempfile::Builder::new()
        .suffix(".vidtok")
        .tempfile()
        .unwrap()
        .into_temp_path();
    let line = format!("vidtokenc key-interval={key_interval}");
    let mut video = video(frames, SIZE.0, SIZE.1);
    video.iter_mut().for_each(|frame| frame.pts += later);
    let packets = bytes(&run(&line, &video, SIZE.0, SIZE.1, (30, 1)));
    std::fs::write(&path, packets.concat()).unwrap();
    path
}

struct Player {
    playbin: gst::Element,
    sink: gst_app::AppSink,
}

impl Player {
    fn paused(path: &std::path::Path) -> Self {
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(1).build();
        let playbin = gst::ElementFactory::make("playbin")
            .property("uri", gst::glib::filename_to_uri(path, None).unwrap())
            .property("video-sink", &sink)
            .build()
            .unwrap();
        playbin.set_state(gst::State::Paused).unwrap();
        let player = Self { playbin, sink };
        player.settle();
        player
    }

    /// Waits until a state change or a seek is done.
    fn settle(&self) {
        let (result, state, _) = self.playbin.state(LIMIT);
        assert_eq!(
            (result.is_ok(), state),
            (true, gst::State::Paused),
            "not paused within {LIMIT}"
        );
    }

    /// Seeks to frame `to`. Returns the number of the frame that is shown, and the frame.
    fn seek(&self, flags: gst::SeekFlags, to: u64) -> (u64, Frame) {
        let to = gst::ClockTime::from_nseconds(to * FRAME + FRAME / 2);
        self.playbin.seek_simple(gst::SeekFlags::FLUSH | flags, to).unwrap();
        self.settle();
        let sample = self.sink.try_pull_preroll(LIMIT).expect("a frame");
        let pts = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
        let pts = pts.to_stream_time(sample.buffer().unwrap().pts().unwrap()).unwrap();
        // The sink's position changes a moment after its preroll.
        let position = || self.playbin.query_position::<gst::ClockTime>().unwrap();
        let found = (0..100).any(|_| {
            let there = position().nseconds().abs_diff(pts.nseconds()) <= FRAME;
            if !there {
                pause();
            }
            there
        });
        assert!(found, "position {} at frame {pts}", position());
        (
            (pts.nseconds() + FRAME / 4) / FRAME,
            frame(sample.buffer().unwrap(), SIZE.0),
        )
    }

    fn duration(&self) -> Option<gst::ClockTime> {
        self.playbin.query_duration()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.playbin.set_state(gst::State::Null);
    }
}

#[test]
fn seeks_in_segments_find_key_frames_and_any_frame() {
    init();
    let path = file(100, 30);
    let player = Player::paused(&path);
    assert_eq!(player.duration().unwrap().mseconds(), 3333);
    // 30 frames are rounded up to 1 + 8 · 4.
    for (to, key) in [(70, 66), (10, 0), (98, 66), (40, 33), (33, 33)] {
        assert_eq!(
            player
                .seek(gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE, to)
                .0,
            key,
            "key frame for {to}"
        );
        assert_eq!(player.seek(gst::SeekFlags::ACCURATE, to).0, to);
    }
}

#[test]
fn a_file_of_one_segment_is_sought_by_decoding_from_its_start() {
    init();
    let path = file(60, 0);
    let player = Player::paused(&path);
    assert_eq!(player.duration().unwrap().mseconds(), 2000);
    for to in [50, 5, 31] {
        assert_eq!(player.seek(gst::SeekFlags::ACCURATE, to).0, to);
    }
}

#[test]
fn a_file_that_begins_late_is_played_from_its_first_frame_on() {
    init();
    let path = late_file(60, 20, 8_000_000_000);
    let player = Player::paused(&path);
    assert_eq!(player.duration().unwrap().mseconds(), 2000);
    let position = player.playbin.query_position::<gst::ClockTime>();
    assert_eq!(position, Some(gst::ClockTime::ZERO));
    for (to, key) in [(50, 42), (5, 0), (21, 21)] {
        assert_eq!(player.seek(gst::SeekFlags::KEY_UNIT, to).0, key);
        assert_eq!(player.seek(gst::SeekFlags::ACCURATE, to).0, to);
    }
}

#[test]
fn key_unit_trick_mode_decodes_one_packet_per_segment() {
    init();
    let path = file(100, 9);
    let player = Player::paused(&path);
    let shown = Arc::new(AtomicU64::new(0));
    let counted = shown.clone();
    let pad = player.sink.static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::TRICKMODE | gst::SeekFlags::TRICKMODE_KEY_UNITS;
    let (set, none) = (gst::SeekType::Set, gst::ClockTime::NONE);
    player
        .playbin
        .seek(4.0, flags, set, gst::ClockTime::ZERO, gst::SeekType::None, none)
        .unwrap();
    player.settle();
    player.playbin.set_state(gst::State::Playing).unwrap();
    while player.sink.try_pull_sample(LIMIT).is_some() {}
    assert!(player.sink.is_eos(), "no end within {LIMIT}");
    // A segment's first packet has one frame.
    assert_eq!(shown.load(Ordering::Relaxed), 100u64.div_ceil(9));
}

#[test]
fn a_sought_frame_is_the_frame_that_plays() {
    init();
    let path = file(45, 20);
    let location = path.to_str().unwrap();
    let (pipeline, sink) = with_sink(&format!("filesrc location={location} ! decodebin"));
    pipeline.set_state(gst::State::Playing).unwrap();
    let played: Vec<Frame> = std::iter::from_fn(|| sink.try_pull_sample(LIMIT))
        .map(|sample| frame(sample.buffer().unwrap(), SIZE.0))
        .collect();
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(played.len(), 45);

    let player = Player::paused(&path);
    for to in [44, 3, 21, 30] {
        let (_, shown) = player.seek(gst::SeekFlags::ACCURATE, to);
        assert_eq!(shown.rgb, played[to as usize].rgb, "frame {to}");
    }
}
