//! Live video: what the elements declare as their latency, and how late they are.

mod common;

use common::live::*;
use common::*;
use gst::prelude::*;
use gst_check::Harness;

#[test]
fn the_encoders_latency_is_a_group_without_its_first_frame_and_a_step() {
    // Tokenizer, frames that the first one of a group waits for, frames per second.
    for (model, frames, fps) in [
        (TINY, 3, 30),
        ("golden_fsq_v1_1_888", 7, 25),
        ("golden_fsq_noncausal", 15, 30),
    ] {
        let mut h = encoder(model, "processing-deadline=20000000");
        play_at(&mut h, fps);
        let expected = frames * SECOND / fps as u64 + 20 * MS;
        let latency = h.query_latency().unwrap().nseconds();
        assert!(latency.abs_diff(expected) < 20, "{model}: {latency} is not {expected}");
        assert_eq!(milliseconds(&mut h, "vidtokenc", "latency-ms"), latency as f64 / 1e6);
    }
}

#[test]
fn the_decoders_latency_is_its_delay_and_a_step() {
    init();
    // The tokenizer's decoder-delay is 3.
    let (caps, _) = packets(1, 30);
    let mut h = decoder("processing-deadline=20000000");
    h.set_src_caps(caps);
    h.play();
    assert_eq!(h.query_latency().map(|latency| latency.mseconds()), Some(100 - 1 + 20));
}

#[test]
fn without_a_framerate_the_distance_of_frames_counts() {
    init();
    let mut h = encoder(TINY, "processing-deadline=20000000");
    play_at(&mut h, 0);
    assert_eq!(h.query_latency(), Some(gst::ClockTime::ZERO));
    push(&mut h, &video(2, SIZE.0, SIZE.1), SIZE.0);
    assert_eq!(h.query_latency().map(|latency| latency.mseconds()), Some(100 - 1 + 20));

    let (caps, packets) = packets(5, 0);
    let mut h = decoder("processing-deadline=20000000");
    h.set_src_caps(caps);
    h.play();
    assert_eq!(h.query_latency(), Some(gst::ClockTime::ZERO));
    for packet in packets {
        h.push(packet).unwrap();
    }
    assert_eq!(h.query_latency().map(|latency| latency.mseconds()), Some(100 - 1 + 20));
}

#[test]
fn a_deadline_may_change_while_video_plays() {
    let mut h = encoder(TINY, "processing-deadline=20000000");
    play_at(&mut h, 30);
    let bus = bus(&mut h, "vidtokenc");
    h.find_element("vidtokenc")
        .unwrap()
        .set_property("processing-deadline", 70 * MS as i64);
    assert_eq!(count(&bus, gst::MessageType::Latency), 1);
    assert_eq!(h.query_latency().map(|latency| latency.mseconds()), Some(100 - 1 + 70));
}

#[test]
fn only_a_live_element_knows_its_steps_before_the_first_frame() {
    init();
    // Long frames, as a busy machine may take long for a step.
    let (caps, _) = packets(1, 1);
    // The guess is the duration of the frames of a step: four, besides three to wait for.
    let guess = 7_000.0;
    for live in [true, false] {
        let mut enc = encoder(TINY, "");
        let mut dec = decoder("");
        for h in [&enc, &dec] {
            if !live {
                is_not_live(h);
            }
        }
        play_at(&mut enc, 1);
        dec.set_src_caps(caps.clone());
        dec.play();
        for (h, element) in [(&mut enc, "vidtokenc"), (&mut dec, "vidtokdec")] {
            let latency = milliseconds(h, element, "latency-ms");
            if live {
                assert!(latency > 3_000.0 && latency < guess, "{element}: {latency}");
            } else {
                assert_eq!(latency, guess, "{element}");
            }
            // The trial is no step of the stream.
            assert_eq!(milliseconds(h, element, "step-ms-max"), 0.0);
        }
    }
}

#[test]
fn the_trial_changes_no_token_and_no_picture() {
    let encoded = |model: &str, properties: &str, live: bool| {
        let mut h = encoder(model, properties);
        if !live {
            is_not_live(&h);
        }
        play_at(&mut h, 30);
        push(&mut h, &video(9, SIZE.0, SIZE.1), SIZE.0);
        h.push_event(gst::event::Eos::new());
        bytes(&pull(&mut h))
    };
    for (model, properties) in [(TINY, ""), ("golden_kl_v1_0", "latent=sample seed=7")] {
        let tokens = encoded(model, properties, false);
        assert_eq!(tokens.len(), 3);
        assert!(encoded(model, properties, true) == tokens, "{model}");
    }
    let (caps, packets) = packets(9, 30);
    let decoded = |live: bool| {
        let mut h = decoder("");
        if !live {
            is_not_live(&h);
        }
        h.set_src_caps(caps.clone());
        h.play();
        for packet in &packets {
            h.push(packet.clone()).unwrap();
        }
        h.push_event(gst::event::Eos::new());
        bytes(&pull(&mut h))
    };
    let pictures = decoded(false);
    assert_eq!(pictures.len(), 9);
    assert!(decoded(true) == pictures);
}

#[test]
fn lateness_counts_from_the_running_time_of_the_first_frame() {
    let clock = |h: &mut Harness, ms: u64| h.set_time(gst::ClockTime::from_mseconds(ms)).unwrap();
    let mut h = encoder(TINY, "");
    h.use_testclock();
    play_at(&mut h, 25);
    assert!(!stats(&mut h, "vidtokenc").has_field("lateness-ms"));
    let frames = video(5, SIZE.0, SIZE.1);
    clock(&mut h, 33);
    h.push(at(&frames[0], 0)).unwrap();
    assert_eq!(milliseconds(&mut h, "vidtokenc", "lateness-ms"), 33.0);
    clock(&mut h, 190);
    for i in 1..5 {
        h.push(at(&frames[i as usize], i * 40 * MS)).unwrap();
    }
    assert_eq!(milliseconds(&mut h, "vidtokenc", "lateness-ms"), 150.0);

    let (caps, packets) = packets(5, 25);
    let mut h = decoder("");
    h.use_testclock();
    h.set_src_caps(caps);
    h.play();
    clock(&mut h, 700);
    h.push(packets[0].clone()).unwrap();
    assert_eq!(milliseconds(&mut h, "vidtokdec", "lateness-ms"), 700.0);
    // Its delay leaves one frame for this step: the second one, which the made-up video has at 33.3 ms.
    clock(&mut h, 730);
    h.push(packets[1].clone()).unwrap();
    assert_eq!(milliseconds(&mut h, "vidtokdec", "lateness-ms").round(), 730.0 - 33.0);
}
