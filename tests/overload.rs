//! Live video that comes faster than it can be encoded: what is dropped, and what is not.

mod common;

use std::sync::{Arc, Mutex};

use common::live::*;
use common::*;
use gst::prelude::*;
use gst_check::Harness;

#[test]
fn without_a_clock_nothing_is_said_of_lateness_and_nothing_dropped() {
    let mut h = encoder(TINY, "overload=drop-groups max-lateness=0 processing-deadline=0");
    play_at(&mut h, 30);
    h.find_element("vidtokenc")
        .unwrap()
        .set_clock(gst::Clock::NONE)
        .unwrap();
    push(&mut h, &video(5, SIZE.0, SIZE.1), SIZE.0);
    assert!(!stats(&mut h, "vidtokenc").has_field("lateness-ms"));
    assert_eq!(stats(&mut h, "vidtokenc").get("dropped"), Ok(0u64));
}

#[test]
fn lateness_is_allowed_up_to_the_latency_that_the_pipeline_has_set() {
    // Three frames to wait for, and four as the deadline: 233 ms of its own.
    let mut h = encoder(
        TINY,
        "overload=drop-groups max-lateness=0 processing-deadline=133333333",
    );
    h.use_testclock();
    play_at(&mut h, 30);
    let frame = &video(1, SIZE.0, SIZE.1)[0];
    let latency = |ms| gst::event::Latency::new(gst::ClockTime::from_mseconds(ms));
    // The latency that the pipeline sets, when the frame of one second comes, and how many frames are dropped then.
    for (set, now, dropped) in [(200, 1_233, 0), (500, 1_500, 0), (500, 1_501, 1), (600, 1_601, 2)] {
        // Each flush begins a segment, whose first group is one frame.
        flush(&mut h);
        h.push_event(whole_segment());
        assert!(h.push_upstream_event(latency(set)));
        h.set_time(gst::ClockTime::from_mseconds(now)).unwrap();
        h.push(at(frame, SECOND)).unwrap();
        assert_eq!(
            stats(&mut h, "vidtokenc").get("dropped"),
            Ok(dropped as u64),
            "at {now} ms with {set} ms"
        );
    }
}

#[test]
fn lateness_that_upstream_declares_is_allowed_where_no_sink_waits() {
    let mut h = encoder(TINY, "overload=drop-groups max-lateness=0 processing-deadline=0");
    h.use_testclock();
    h.set_upstream_latency(gst::ClockTime::from_seconds(2));
    play_at(&mut h, 30);
    // What a pipeline sets whose sinks do not wait.
    assert!(h.push_upstream_event(gst::event::Latency::new(gst::ClockTime::ZERO)));
    let frames = video(2, SIZE.0, SIZE.1);
    // Three frames to wait for are 100 ms.
    for (i, now, dropped) in [(0, 2_099, 0), (1, 2_134, 1)] {
        h.set_time(gst::ClockTime::from_mseconds(now)).unwrap();
        h.push(at(&frames[i], i as u64 * FRAME)).unwrap();
        assert_eq!(
            stats(&mut h, "vidtokenc").get("dropped"),
            Ok(dropped as u64),
            "at {now} ms"
        );
    }
}

#[test]
fn frames_that_come_too_late_are_dropped_counted_and_reported() {
    let mut h = encoder(TINY, "overload=drop-groups processing-deadline=0");
    h.use_testclock();
    play_at(&mut h, 30);
    let bus = bus(&mut h, "vidtokenc");
    let frames = video(26, SIZE.0, SIZE.1);
    push(&mut h, &frames[..5], SIZE.0);
    // Latency and max-lateness are 600 ms, and frame 5 is due at 166.7 ms. Of the groups that would begin with frames 9,
    // 13, 17 and 21, the last one is the first that is no later than the latency.
    h.set_time(gst::ClockTime::from_mseconds(767)).unwrap();
    push(&mut h, &frames[5..], SIZE.0);
    h.push_event(gst::event::Eos::new());
    let shape = |b: &gst::Buffer| {
        let start = !b.flags().contains(gst::BufferFlags::DELTA_UNIT);
        (
            b.pts().unwrap().mseconds(),
            start,
            b.flags().contains(gst::BufferFlags::DISCONT),
        )
    };
    let shapes: Vec<_> = pull(&mut h).iter().skip(1).map(shape).collect();
    assert_eq!(shapes, [(33, false, false), (700, true, true), (733, false, false)]);
    assert_eq!(stats(&mut h, "vidtokenc").get("frames"), Ok(10u64));
    assert_eq!(stats(&mut h, "vidtokenc").get("dropped"), Ok(16u64));
    assert_eq!(count(&bus, gst::MessageType::Qos), 16);
}

#[test]
fn tokens_before_and_behind_dropped_groups_are_those_of_their_frames_alone() {
    let frames = video(26, SIZE.0, SIZE.1);
    let alone = |model: &str, frames: &[Frame]| {
        let mut h = encoder(model, "");
        play_at(&mut h, 30);
        push(&mut h, frames, SIZE.0);
        h.push_event(gst::event::Eos::new());
        bytes(&pull(&mut h))
    };
    for (model, properties, has_times, asks) in [
        (TINY, "", true, false),
        (TINY, "key-interval=8", true, false),
        (TINY, "", false, false),
        (TINY, "", true, true),
        ("golden_kl_v1_0", "", true, false),
    ] {
        let mut h = encoder(
            model,
            &format!("overload=drop-groups processing-deadline=0 {properties}"),
        );
        h.use_testclock();
        play_at(&mut h, 30);
        for (index, frame) in frames.iter().enumerate() {
            // As in the test above: frames 5 to 20 are dropped.
            match index {
                5 => h.set_time(gst::ClockTime::from_mseconds(767)).unwrap(),
                10 if asks => {
                    h.push_upstream_event(gst_video::UpstreamForceKeyUnitEvent::builder().build());
                }
                _ => {}
            }
            let mut buffer = buffer(frame, SIZE.0);
            if !has_times {
                buffer.make_mut().set_pts(gst::ClockTime::NONE);
            }
            h.push(buffer).unwrap();
        }
        h.push_event(gst::event::Eos::new());
        let what = format!("{model} {properties} {has_times} {asks}");
        assert_eq!(stats(&mut h, "vidtokenc").get("dropped"), Ok(16u64), "{what}");
        let expected = [alone(model, &frames[..5]), alone(model, &frames[21..])].concat();
        assert!(bytes(&pull(&mut h)) == expected, "{what}");
        let answers = std::iter::from_fn(|| h.try_pull_event())
            .filter(|event| gst_video::DownstreamForceKeyUnitEvent::parse(event).is_ok())
            .count();
        assert_eq!(answers, usize::from(asks), "{what}");
    }
}

#[test]
fn frames_that_come_while_the_pipeline_is_paused_are_not_late() {
    let mut h = encoder(TINY, "overload=drop-groups max-lateness=0 processing-deadline=0");
    h.use_testclock();
    play_at(&mut h, 30);
    let element = h.find_element("vidtokenc").unwrap();
    element.set_state(gst::State::Paused).unwrap();
    h.set_time(gst::ClockTime::from_seconds(10)).unwrap();
    let frames = video(6, SIZE.0, SIZE.1);
    push(&mut h, &frames[..5], SIZE.0);
    // Sinks are in PLAYING before this element is, and before it is told when running time begins now.
    element.set_base_time(gst::ClockTime::from_seconds(10));
    element.set_state(gst::State::Playing).unwrap();
    push(&mut h, &frames[5..], SIZE.0);
    assert_eq!(stats(&mut h, "vidtokenc").get("dropped"), Ok(0u64));
}

#[test]
fn nothing_is_dropped_where_it_may_not_be() {
    for (properties, live) in [
        ("processing-deadline=0", true),
        ("overload=block max-lateness=0 processing-deadline=0", true),
        ("overload=drop-groups max-lateness=-1 processing-deadline=0", true),
        ("overload=drop-groups max-lateness=0 processing-deadline=0", false),
    ] {
        let mut h = encoder(TINY, properties);
        if !live {
            is_not_live(&h);
        }
        h.use_testclock();
        play_at(&mut h, 30);
        h.set_time(gst::ClockTime::from_seconds(3_600)).unwrap();
        push(&mut h, &video(9, SIZE.0, SIZE.1), SIZE.0);
        assert_eq!(stats(&mut h, "vidtokenc").get("frames"), Ok(9u64), "{properties}");
    }
}

/// Frames of a group.
const GROUP: u64 = 4;

/// An encoder whose steps seem to take `step` nanoseconds, as the clock goes on by that with every packet.
struct Slow {
    harness: Harness,
    clock: gst_check::TestClock,
    step: Arc<Mutex<u64>>,
    /// How late each packet left, its step included.
    lateness: Arc<Mutex<Vec<u64>>>,
    frames: Vec<Frame>,
    next: u64,
}

impl Slow {
    fn new(properties: &str) -> Self {
        let mut harness = encoder(TINY, properties);
        harness.use_testclock();
        play_at(&mut harness, 30);
        let clock = harness.testclock().unwrap();
        let (step, lateness) = (Arc::new(Mutex::new(0)), Arc::<Mutex<Vec<u64>>>::default());
        let (clock_of_probe, step_of_probe, seen) = (clock.clone(), step.clone(), lateness.clone());
        let source = harness.find_element("vidtokenc").unwrap().static_pad("src").unwrap();
        source.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let pts = info.buffer().unwrap().pts().unwrap();
            let now = clock_of_probe.time() + gst::ClockTime::from_nseconds(*step_of_probe.lock().unwrap());
            clock_of_probe.set_time(now);
            seen.lock().unwrap().push((now - pts).nseconds());
            gst::PadProbeReturn::Ok
        });
        Self {
            harness,
            clock,
            step,
            lateness,
            frames: video(1, SIZE.0, SIZE.1),
            next: 0,
        }
    }

    /// Pushes so many frames at their times, or as soon as the encoder takes them. Returns how many were dropped.
    fn push(&mut self, frames: u64, step: u64) -> u64 {
        let dropped = |h: &mut Harness| stats(h, "vidtokenc").get::<u64>("dropped").unwrap();
        let before = dropped(&mut self.harness);
        *self.step.lock().unwrap() = step;
        for _ in 0..frames {
            let due = gst::ClockTime::from_nseconds(self.next * SECOND / 30);
            if self.clock.time() < due {
                self.clock.set_time(due);
            }
            self.harness.push(at(&self.frames[0], due.nseconds())).unwrap();
            self.next += 1;
        }
        dropped(&mut self.harness) - before
    }
}

#[test]
fn a_slow_encoder_drops_groups_stays_in_time_and_recovers() {
    const FRAMES: u64 = 30 * 20;
    let deadline = GROUP * FRAME;
    let mut slow = Slow::new(&format!("overload=drop-groups processing-deadline={deadline}"));
    // Half of the speed that is needed.
    let step = 2 * GROUP * FRAME;
    let dropped = slow.push(FRAMES, step);
    // Three frames to wait for, the deadline, and max-lateness.
    let most = 7 * FRAME + 500 * MS + step;
    let latest = *slow.lateness.lock().unwrap().iter().max().unwrap();
    assert!(latest <= most + MS, "{latest} of {most}");
    // At most half of the frames can be encoded. A segment's first frame takes a whole step: in the time that two
    // groups add to max-lateness there are at least that frame and two groups, 9 frames in the time of 24.
    let encoded = FRAMES - dropped;
    assert!((FRAMES * 9 / 24 - 24..=FRAMES / 2 + 24).contains(&encoded), "{encoded}");
    let buffers = pull(&mut slow.harness);
    let starts = buffers
        .iter()
        .filter(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT));
    let (first, others) = (starts.clone().count().min(1), starts.skip(1).collect::<Vec<_>>());
    assert!(first == 1 && !others.is_empty());
    assert!(others.iter().all(|b| b.flags().contains(gst::BufferFlags::DISCONT)));

    // Twice the speed that is needed: after two seconds nothing is dropped any more, and packets leave as in time.
    let dropped_since = slow.push(60, step / 4);
    assert_eq!((dropped + dropped_since) % GROUP, 0, "whole groups");
    slow.lateness.lock().unwrap().clear();
    assert_eq!(slow.push(FRAMES, step / 4), 0);
    let latest = *slow.lateness.lock().unwrap().iter().max().unwrap();
    assert!(latest <= 3 * FRAME + step / 4 + MS, "{latest}");
}

#[test]
fn a_slow_encoder_that_blocks_encodes_every_frame_late() {
    let mut slow = Slow::new("processing-deadline=0");
    let step = 2 * GROUP * FRAME;
    assert_eq!(slow.push(301, step), 0);
    // 76 steps in the time of 38, or 300 frames: the last group began at frame 297.
    let last = *slow.lateness.lock().unwrap().last().unwrap();
    assert!(last.abs_diff(76 * step - 297 * FRAME) < MS, "{last}");
}
