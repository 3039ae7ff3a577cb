//! A decoder stops at once when it is told to, in a long packet as well.

mod common;

use std::time::{Duration, Instant};

use common::*;
use gst::prelude::*;
use gst_check::Harness;
use gstvidtok::caps::StreamFormat;
use gstvidtok::format::TokenFormat;
use gstvidtok::stream::{Packet, Tokens, Writer};
use gstvidtok::tokenizer::{self, Role};

/// The time that a flush or going to NULL may take at 256×256.
const PROMPT: Duration = Duration::from_millis(500);
const LATENT_FRAMES: u32 = 4096;

/// Tokens of the built-in tokenizer at 256×256.
fn format() -> TokenFormat {
    let tokenizer = tokenizer::embedded(Role::Decoder).unwrap().description;
    TokenFormat::of(&tokenizer, 256, 256)
}

/// A packet of as many latent frames as allowed, with `real_frames` real frames.
fn packet(format: &TokenFormat, real_frames: u32) -> gst::Buffer {
    let tokens = Tokens::Indices(vec![9; format.values_per_latent_frame() * LATENT_FRAMES as usize]);
    let packet = Packet {
        segment_start: true,
        latent_frames: LATENT_FRAMES,
        real_frames,
        pts: Some(0),
        payload: tokens.to_payload(format).unwrap(),
        ..Packet::default()
    };
    let bytes = Writer::new(format.clone(), "test").unwrap().write(&packet).unwrap();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    buffer.make_mut().set_pts(gst::ClockTime::ZERO);
    buffer
}

#[test]
fn latent_frames_that_are_not_shown_are_not_decoded() {
    init();
    let format = format();
    let line = Line::new("vidtokdec name=dec", &format.to_caps(StreamFormat::Framed));
    line.play();
    let packet = packet(&format, 1);
    let started = Instant::now();
    line.push(packet);
    assert_eq!(line.finish().len(), 1);
    // Decoding all of them takes two minutes.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(line.stats("dec").get("latent-frames"), Ok(u64::from(LATENT_FRAMES)));
}

#[test]
fn null_is_reached_while_a_long_packet_is_decoded() {
    init();
    let format = format();
    let line = Line::new("vidtokdec", &format.to_caps(StreamFormat::Framed));
    line.play();
    line.push(packet(&format, 4 * LATENT_FRAMES - 3));
    line.sink.try_pull_sample(LIMIT).expect("a picture");
    let started = Instant::now();
    line.pipeline.set_state(gst::State::Null).unwrap();
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
}

#[test]
fn a_flush_is_done_while_a_long_packet_is_decoded() {
    init();
    let format = format();
    let line = Line::new("vidtokdec", &format.to_caps(StreamFormat::Framed));
    line.play();
    let packet = packet(&format, 4 * LATENT_FRAMES - 3);
    for _ in 0..3 {
        line.push(packet.clone());
        line.sink.try_pull_sample(LIMIT).expect("a picture");
        let started = Instant::now();
        assert!(line.source.send_event(gst::event::FlushStart::new()));
        // This event waits for the streaming thread.
        assert!(line.source.send_event(gst::event::FlushStop::new(true)));
        assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    }
    assert_eq!(line.error(gst::ClockTime::ZERO), None);
}

/// Frames outside the playback segment are decoded and not pushed, so that no push can tell the decoder to stop.
#[test]
fn null_is_reached_while_nothing_is_shown() {
    init();
    let format = format();
    let mut harness = Harness::new("vidtokdec");
    harness.set_src_caps(format.to_caps(StreamFormat::Framed));
    harness.play();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(100_000));
    harness.push_event(gst::event::Segment::new(&segment));
    let element = harness.element().unwrap();
    let packet = packet(&format, 4 * LATENT_FRAMES - 3);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| harness.push(packet));
        std::thread::sleep(Duration::from_secs(1));
        assert!(!pushing.is_finished());
        let started = Instant::now();
        element.set_state(gst::State::Null).unwrap();
        assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
        assert_eq!(pushing.join().unwrap(), Err(gst::FlowError::Flushing));
    });
}
