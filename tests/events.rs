//! What starts a segment, and what happens to the current group then.

mod common;

use common::*;
use gst::prelude::*;
use gst_check::Harness;

const SIZE: (u32, u32) = (16, 16);

/// An encoder that gives raw tokens.
fn encoder() -> Harness {
    init();
    let raw = "capsfilter caps=video/x-vidtok,stream-format=raw";
    let encoder = format!("vidtokenc model={} ! {raw}", tokenizer(TINY));
    harness(&encoder, video_caps(SIZE.0, SIZE.1, (30, 1)))
}

fn push(harness: &mut Harness, frames: &[Frame]) {
    common::push(harness, frames, SIZE.0);
}

fn starts_segment(buffer: &gst::Buffer) -> bool {
    !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
}

/// The buffers so far: whether each starts a segment, and its duration in milliseconds.
fn pulled(harness: &mut Harness) -> Vec<(bool, u64)> {
    let ms = |buffer: &gst::Buffer| (buffer.duration().unwrap().nseconds() + 500_000) / 1_000_000;
    let buffers = pull(harness).into_iter();
    buffers.map(|buffer| (starts_segment(&buffer), ms(&buffer))).collect()
}

/// Durations of 1 to 4 frames at 30 fps.
const FRAMES: [u64; 5] = [0, 33, 67, 100, 133];

#[test]
fn the_end_of_the_stream_pushes_the_tail() {
    let mut h = encoder();
    push(&mut h, &video(7, 16, 16));
    assert_eq!(pulled(&mut h), [(true, FRAMES[1]), (false, FRAMES[4])]);
    assert!(h.push_event(gst::event::Eos::new()));
    assert_eq!(pulled(&mut h), [(false, FRAMES[2])]);
}

#[test]
fn a_discontinuity_starts_a_segment() {
    let mut h = encoder();
    let frames = video(12, 16, 16);
    push(&mut h, &frames[..3]);
    let mut after = buffer(&frames[6], 16);
    after.make_mut().set_flags(gst::BufferFlags::DISCONT);
    h.push(after).unwrap();
    let out = pull(&mut h);
    let flags = |b: &gst::Buffer| (starts_segment(b), b.flags().contains(gst::BufferFlags::DISCONT));
    // The tail belongs to the frames before: it is not a discontinuity. The new start is one.
    assert_eq!(flags(&out[1]), (false, false));
    assert_eq!(flags(&out[2]), (true, true));
    assert_eq!(out[1].duration().map(|d| d.mseconds()), Some(66));
    assert_eq!(out[2].pts().map(|p| p.mseconds()), Some(200));
}

#[test]
fn a_window_behind_a_discontinuity_has_the_flag_before_it_is_full() {
    init();
    let raw = "capsfilter caps=video/x-vidtok,stream-format=raw";
    let line = format!("vidtokenc model={} ! {raw}", tokenizer("golden_fsq_noncausal"));
    let mut h = harness(&line, video_caps(SIZE.0, SIZE.1, (30, 1)));
    let frames = video(40, SIZE.0, SIZE.1);
    push(&mut h, &frames[..3]);
    for (from, to) in [(6, 8), (20, 40)] {
        let mut after = buffer(&frames[from], SIZE.0);
        after.make_mut().set_flags(gst::BufferFlags::DISCONT);
        h.push(after).unwrap();
        push(&mut h, &frames[from + 1..to]);
    }
    h.push_event(gst::event::Eos::new());
    let shape = |b: &gst::Buffer| {
        let ms = b.duration().unwrap().mseconds();
        (ms, b.flags().contains(gst::BufferFlags::DISCONT))
    };
    let shapes: Vec<_> = pull(&mut h).iter().map(shape).collect();
    // Windows of 3, 2, 16 and 4 frames.
    assert_eq!(shapes, [(100, false), (66, true), (533, true), (133, false)]);
}

#[test]
fn a_key_unit_request_waits_for_the_current_group() {
    let mut h = encoder();
    let frames = video(12, 16, 16);
    push(&mut h, &frames[..3]);
    // From downstream. The encoder answers it, so it does not arrive upstream.
    assert!(
        h.push_upstream_event(
            gst_video::UpstreamForceKeyUnitEvent::builder()
                .all_headers(true)
                .count(7)
                .build()
        )
    );
    push(&mut h, &frames[3..7]);
    let expected = [(true, FRAMES[1]), (false, FRAMES[4]), (true, FRAMES[1])];
    assert_eq!(pulled(&mut h), expected);
    let key_unit =
        std::iter::from_fn(|| h.try_pull_event()).find_map(|e| gst_video::DownstreamForceKeyUnitEvent::parse(&e).ok());
    let key_unit = key_unit.expect("a key unit event in front of the segment start");
    assert_eq!(
        (key_unit.count, key_unit.timestamp.map(|t| t.mseconds())),
        (7, Some(166))
    );
}

#[test]
fn a_key_unit_event_from_upstream_names_its_time() {
    let mut h = encoder();
    let frames = video(12, 16, 16);
    push(&mut h, &frames[..1]);
    let at = gst::ClockTime::from_nseconds(frames[7].pts);
    assert!(
        h.push_event(
            gst_video::DownstreamForceKeyUnitEvent::builder()
                .running_time(at)
                .build()
        )
    );
    push(&mut h, &frames[1..11]);
    // Frame 7 is in the group 5..9, which is finished first.
    assert_eq!(
        pulled(&mut h),
        [
            (true, FRAMES[1]),
            (false, FRAMES[4]),
            (false, FRAMES[4]),
            (true, FRAMES[1])
        ]
    );
}

#[test]
fn a_flush_drops_the_current_group() {
    let mut h = encoder();
    let frames = video(9, 16, 16);
    push(&mut h, &frames[..4]);
    flush(&mut h);
    h.push_event(whole_segment());
    push(&mut h, &frames[..5]);
    let out = pull(&mut h);
    let starts: Vec<bool> = out.iter().map(starts_segment).collect();
    assert!(starts.ends_with(&[true, false]), "{starts:?}");
    assert_eq!(out[out.len() - 2].pts(), Some(gst::ClockTime::ZERO));
}

#[test]
fn new_caps_end_the_segment_under_the_old_ones() {
    let mut h = encoder();
    push(&mut h, &video(3, 16, 16));
    h.set_src_caps(video_caps(32, 16, (30, 1)));
    h.push(buffer(
        &Frame {
            pts: 100_000_000,
            ..video(1, 32, 16).remove(0)
        },
        32,
    ))
    .unwrap();
    let out: Vec<usize> = pull(&mut h).iter().map(|b| b.size()).collect();
    // Cells: 2 × 2 before, 4 × 2 after, two bytes each.
    assert_eq!(out, [8, 8, 16]);
}

#[test]
fn time_that_goes_back_starts_a_segment() {
    let mut h = encoder();
    let frames = video(9, 16, 16);
    push(&mut h, &frames[4..7]);
    push(&mut h, &frames[..1]);
    assert_eq!(
        pulled(&mut h),
        [(true, FRAMES[1]), (false, FRAMES[2]), (true, FRAMES[1])]
    );
}

/// Encoded packets of `frames`, in segments of five frames.
fn packets(frames: &[Frame]) -> (gst::Caps, Vec<gst::Buffer>) {
    let line = Line::new(
        &format!("vidtokenc model={} key-interval=5", tokenizer(TINY)),
        &video_caps(SIZE.0, SIZE.1, (30, 1)),
    );
    line.play();
    frames.iter().for_each(|f| line.push(buffer(f, SIZE.0)));
    line.source.end_of_stream().unwrap();
    let samples: Vec<gst::Sample> = std::iter::from_fn(|| line.sink.try_pull_sample(LIMIT)).collect();
    (
        samples[0].caps_owned().unwrap(),
        samples.iter().map(|s| s.buffer_owned().unwrap()).collect(),
    )
}

fn decoder(caps: gst::Caps) -> Harness {
    harness(&format!("vidtokdec model={}", tokenizer(TINY)), caps)
}

/// The PTS of the pictures so far, in milliseconds.
fn shown(harness: &mut Harness) -> Vec<u64> {
    pull(harness).iter().map(|b| b.pts().unwrap().mseconds()).collect()
}

#[test]
fn after_a_flush_the_decoder_waits_for_a_segment_start() {
    init();
    let (caps, packets) = packets(&video(10, 16, 16));
    let mut h = decoder(caps);
    h.push(packets[0].clone()).unwrap();
    flush(&mut h);
    h.push_event(whole_segment());
    pull(&mut h);
    h.push(packets[1].clone()).unwrap();
    assert_eq!(shown(&mut h), [0; 0]);
    h.push(packets[2].clone()).unwrap();
    h.push(packets[3].clone()).unwrap();
    h.push_event(gst::event::Eos::new());
    assert_eq!(shown(&mut h), [166, 200, 233, 266, 300]);
}

#[test]
fn only_frames_of_the_playback_segment_are_shown() {
    init();
    let (caps, packets) = packets(&video(10, 16, 16));
    let mut h = decoder(caps);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_mseconds(100));
    segment.set_stop(gst::ClockTime::from_mseconds(250));
    h.push_event(gst::event::Segment::new(&segment));
    for packet in packets {
        // Behind the segment's stop the decoder may return EOS.
        let _ = h.push(packet);
    }
    h.push_event(gst::event::Eos::new());
    assert_eq!(shown(&mut h), [100, 133, 166, 200, 233]);
}

#[test]
fn a_lost_packet_costs_its_segment_only() {
    init();
    let (caps, packets) = packets(&video(15, 16, 16));
    let mut h = decoder(caps);
    // Two packets per segment. The first segment's second packet is lost, the next segment's second one is damaged.
    h.push(packets[0].clone()).unwrap();
    let mut damaged = packets[3].map_readable().unwrap().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut buffer = gst::Buffer::from_mut_slice(damaged);
    buffer.make_mut().set_flags(gst::BufferFlags::DELTA_UNIT);
    for packet in [packets[2].clone(), buffer, packets[4].clone(), packets[5].clone()] {
        h.push(packet).unwrap();
    }
    h.push_event(gst::event::Eos::new());
    assert_eq!(shown(&mut h), [0, 166, 333, 366, 400, 433, 466]);
}

#[test]
fn seeking_backwards_is_refused() {
    let mut enc = encoder();
    push(&mut enc, &video(1, 16, 16));
    let (caps, _) = packets(&video(1, 16, 16));
    let mut dec = decoder(caps);
    let zero = gst::ClockTime::ZERO;
    let set = gst::SeekType::Set;
    let seek = |rate| gst::event::Seek::new(rate, gst::SeekFlags::FLUSH, set, zero, set, zero);
    for h in [&mut enc, &mut dec] {
        assert!(h.push_upstream_event(seek(1.0)));
        assert!(!h.push_upstream_event(seek(-1.0)));
    }
}

#[test]
fn a_file_has_stream_time_and_the_pipeline_its_own() {
    init();
    let model = tokenizer(TINY);
    let mut h = Harness::new_parse(&format!("vidtokenc model={model}"));
    h.set_src_caps(video_caps(SIZE.0, SIZE.1, (30, 1)));
    let begin = 3_600_000_000_000;
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_nseconds(begin));
    segment.set_time(gst::ClockTime::ZERO);
    h.push_event(gst::event::Segment::new(&segment));
    let mut frames = video(5, 16, 16);
    frames.iter_mut().for_each(|f| f.pts += begin);
    push(&mut h, &frames);
    let packets = pull(&mut h);
    let own = |b: &gst::Buffer| {
        let mut reader = gstvidtok::stream::Reader::new();
        reader.push(&packets[0].map_readable().unwrap());
        reader.push(&b.map_readable().unwrap());
        let events = std::iter::from_fn(|| reader.next_event().unwrap());
        events
            .filter_map(|e| {
                if let gstvidtok::stream::Event::Packet(p) = e {
                    p.pts
                } else {
                    None
                }
            })
            .last()
    };
    assert_eq!((own(&packets[0]), own(&packets[1])), (Some(0), Some(33_333_333)));
    let pts: Vec<u64> = packets.iter().map(|b| b.pts().unwrap().nseconds() - begin).collect();
    assert_eq!(pts, [0, 33_333_333]);

    let caps = h.sinkpad().unwrap().current_caps().unwrap();
    let mut d = decoder(caps);
    d.push_event(gst::event::Segment::new(&segment));
    packets
        .into_iter()
        .for_each(|p| assert_eq!(d.push(p), Ok(gst::FlowSuccess::Ok)));
    d.push_event(gst::event::Eos::new());
    let shown: Vec<u64> = pull(&mut d).iter().map(|b| b.pts().unwrap().nseconds()).collect();
    assert_eq!(shown, frames.iter().map(|f| f.pts).collect::<Vec<_>>());
}

#[test]
fn rounded_durations_do_not_shorten_a_file() {
    let mut h = encoder();
    for frame in &video(61, 16, 16) {
        let mut buffer = buffer(frame, SIZE.0);
        buffer
            .make_mut()
            .set_duration(gst::ClockTime::from_nseconds(33_333_333));
        h.push(buffer).unwrap();
    }
    h.push_event(gst::event::Eos::new());
    let last = pull(&mut h).pop().unwrap();
    let end = last.pts().unwrap() + last.duration().unwrap();
    assert_eq!(end.nseconds(), 61 * 1_000_000_000 / 30);
}
