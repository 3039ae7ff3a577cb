use super::*;
use crate::runtime::Silent;
use crate::stream::Link;
use crate::tokenizer::{self, Role};

const FRAME: u64 = 40_000_000;

/// The built-in decoder, which looks no frame ahead, at 16×16 pixels and 25 frames a second.
fn decoder() -> (Decoder, Cancel) {
    gst::init().unwrap();
    let graph = tokenizer::embedded(Role::Decoder).unwrap();
    let tokenizer = &graph.description;
    assert_eq!((tokenizer.time_factor, tokenizer.decoder_delay), (4, 0));
    let format = TokenFormat::of(tokenizer, 16, 16);
    let video = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 16, 16).build();
    let cancel = Cancel::default();
    let decoder = Decoder::new(
        &graph,
        Options::default(),
        format,
        video.unwrap(),
        cancel.clone(),
        &Silent,
    );
    (decoder.unwrap(), cancel)
}

/// A packet of so many latent and real frames, the first of which is number `first`.
fn packet(segment_start: bool, latent_frames: u32, real_frames: u64, first: u64) -> Input {
    let payload = (0..latent_frames * 4).map(|i| (i * 977 + first as u32 * 31) as i32 % 32768);
    let tokens = Tokens::Indices(payload.collect());
    let format = TokenFormat {
        grid_width: 2,
        grid_height: 2,
        ..crate::dec::testing::format()
    };
    Input {
        segment_start,
        segment_end: false,
        link: Link::Follows,
        hole: None,
        hole_is_known: false,
        latent_frames,
        real_frames,
        times: Some(PacketTimes {
            pts: first * FRAME,
            duration: Some(real_frames * FRAME),
            offsets: None,
        }),
        shift: 0,
        tokens: UnreadTokens::of_payload(tokens.to_payload(&format).unwrap(), latent_frames),
    }
}

/// Numbers of the pictures that are there now, and how many steps they took.
fn pictures(decoder: &mut Decoder) -> (Vec<u64>, usize) {
    let mut steps = 0;
    let mut numbers = Vec::new();
    while let Some(picture) = decoder.next_picture(|_, _| steps += 1).unwrap() {
        numbers.push(picture.pts().unwrap().nseconds() / FRAME);
    }
    (numbers, steps)
}

#[test]
fn a_segment_ends_with_the_packet_that_says_so() {
    let (mut decoder, _) = decoder();
    let mut last = packet(true, 2, 5, 0);
    last.segment_end = true;
    decoder.push(last, false).unwrap();
    assert!(!decoder.in_segment());
    assert_eq!(pictures(&mut decoder), ((0..5).collect(), 2));
    assert_eq!(
        decoder.push(packet(false, 1, 4, 5), false),
        Err(Skipped::NoSegmentStart)
    );
}

#[test]
fn steps_that_nobody_sees_are_made_when_a_later_picture_needs_them() {
    let (mut decoder, _) = decoder();
    decoder.push(packet(true, 100, 2, 0), false).unwrap();
    assert_eq!(pictures(&mut decoder), (vec![0, 1], 2));
    decoder.push(packet(false, 1, 1, 397), false).unwrap();
    assert_eq!(pictures(&mut decoder), (vec![397], 99));
    // And never where none does.
    decoder.push(packet(true, 100, 1, 500), false).unwrap();
    decoder.push(packet(true, 1, 1, 501), false).unwrap();
    assert_eq!(pictures(&mut decoder), (vec![500, 501], 2));
}

#[test]
fn what_is_cancelled_waits_for_a_segment_start() {
    let (mut decoder, cancel) = decoder();
    decoder.push(packet(true, 3, 9, 0), false).unwrap();
    cancel.cancel();
    let error = decoder.next_picture(|_, _| ()).unwrap_err();
    assert!(matches!(error, StepError::Runtime(RuntimeError::Cancelled)));
    decoder.reset();
    cancel.reset();
    assert_eq!(
        decoder.push(packet(false, 1, 4, 9), false),
        Err(Skipped::NoSegmentStart)
    );
    decoder.push(packet(true, 1, 1, 13), false).unwrap();
    assert_eq!(pictures(&mut decoder), (vec![13], 1));
}

#[test]
fn what_is_uncertain_goes_on_without_a_start_and_is_marked() {
    let (mut decoder, _) = decoder();
    let flags = |decoder: &mut Decoder| {
        let pictures = std::iter::from_fn(|| decoder.next_picture(|_, _| ()).unwrap());
        let flags = pictures.map(|picture| {
            let flags = picture.flags();
            (
                flags.contains(gst::BufferFlags::CORRUPTED),
                flags.contains(gst::BufferFlags::DISCONT),
            )
        });
        flags.collect::<Vec<_>>()
    };
    decoder.push(packet(true, 1, 1, 0), false).unwrap();
    assert_eq!(flags(&mut decoder), [(false, false)]);
    decoder.break_segment();
    decoder.push(packet(false, 1, 4, 5), true).unwrap();
    decoder.end_segment();
    assert_eq!(
        flags(&mut decoder),
        [(true, true), (true, false), (true, false), (true, false)]
    );
    decoder.push(packet(true, 1, 1, 9), false).unwrap();
    assert_eq!(flags(&mut decoder), [(false, false)]);
}

#[test]
fn packets_without_times_follow_on_those_before_them() {
    let (mut decoder, _) = decoder();
    decoder.push(packet(true, 1, 1, 7), false).unwrap();
    let mut untimed = packet(true, 2, 5, 0);
    untimed.times = None;
    decoder.push(untimed, false).unwrap();
    decoder.end_segment();
    assert_eq!(pictures(&mut decoder).0, (7..13).collect::<Vec<_>>());
}

#[test]
fn times_are_counted_on_behind_a_packet_of_unknown_duration() {
    let (mut decoder, _) = decoder();
    let without = |mut input: Input, pts: Option<u64>| {
        input.times = pts.map(|pts| PacketTimes {
            pts,
            duration: None,
            offsets: None,
        });
        input
    };
    decoder
        .push(without(packet(true, 1, 1, 0), Some(250 * FRAME)), false)
        .unwrap();
    decoder.push(without(packet(false, 1, 4, 1), None), false).unwrap();
    decoder.push(without(packet(false, 1, 4, 5), None), false).unwrap();
    let mut ends = Vec::new();
    while let Some(picture) = decoder.next_picture(|_, _| ()).unwrap() {
        ends.push((picture.pts().unwrap() + picture.duration().unwrap()).nseconds() / FRAME);
    }
    assert_eq!(ends, Vec::from_iter(251..260));
}
