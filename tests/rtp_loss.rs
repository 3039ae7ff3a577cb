//! Packets that are lost, late, foreign or hostile, in front of the depayloader.

mod common;

use std::sync::LazyLock;

use common::*;
use gst::meta::CustomMeta;
use gst::prelude::*;
use gst_check::Harness;
use gst_rtp::rtp_buffer::{RTPBuffer, Writable};

const SIZE: u32 = 64;
/// 8×8 of the built-in tokenizer.
const CELLS: u32 = 64;
/// Segments begin at frames 0, 9 and 18: latent frames of 1, 4 and 4 frames each.
const FRAMES: u64 = 27;
/// Units of all segments.
const UNITS: usize = 9;
/// Packets of a unit: 15 bits per cell, 120 bytes, of which 82 − 12 − 18 fit.
const PARTS: usize = 3;
const MTU: usize = 82;

/// Caps of the payloader and its packets, unit by unit.
fn sent() -> (gst::Caps, Vec<gst::Buffer>) {
    static SENT: LazyLock<(gst::Caps, Vec<gst::Buffer>)> = LazyLock::new(encode);
    SENT.clone()
}

fn encode() -> (gst::Caps, Vec<gst::Buffer>) {
    init();
    let line = format!("vidtokenc key-interval=9 ! rtpvidtokpay mtu={MTU} seqnum-offset=100 ssrc=7");
    let line = Line::new(&line, &video_caps(SIZE, SIZE, (30, 1)));
    line.play();
    let frames = video(FRAMES, SIZE, SIZE);
    frames.iter().for_each(|frame| line.push(buffer(frame, SIZE)));
    let packets = line.finish();
    let caps = line.sink.static_pad("sink").unwrap().current_caps().unwrap();
    assert_eq!(packets.len(), UNITS * PARTS);
    (caps, packets)
}

/// A depayloader that puts out tokens in this format.
fn receiver(caps: &gst::Caps, properties: &str, stream_format: &str) -> Harness {
    let line = format!(
        "rtpvidtokdepay name=receiver {properties} ! capsfilter caps=video/x-vidtok,stream-format={stream_format}"
    );
    harness(&line, caps.clone())
}

fn element(harness: &Harness) -> gst::Element {
    let bin = harness.element().unwrap().downcast::<gst::Bin>().unwrap();
    bin.by_name("receiver").unwrap()
}

fn count(harness: &Harness, field: &str) -> u64 {
    let stats: gst::Structure = element(harness).property("stats");
    stats.get(field).unwrap()
}

/// What comes out for packets.
fn receive(harness: &mut Harness, packets: impl IntoIterator<Item = gst::Buffer>) -> Vec<gst::Buffer> {
    for packet in packets {
        harness.push(packet).unwrap();
    }
    pull(harness)
}

/// The requests for a segment start that have gone upstream.
fn key_requests(harness: &mut Harness) -> usize {
    let events = std::iter::from_fn(|| harness.try_pull_upstream_event());
    events
        .filter(|event| gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok())
        .count()
}

fn concealed(buffer: &gst::BufferRef) -> Option<(u32, Vec<u32>)> {
    let meta = CustomMeta::from_buffer(buffer, "GstVidtokConcealed").ok()?;
    let runs = meta.structure().get::<gst::Array>("runs").unwrap();
    let runs = runs.iter().map(|number| number.get().unwrap()).collect();
    Some((meta.structure().get("cells").unwrap(), runs))
}

fn has(buffer: &gst::BufferRef, flag: gst::BufferFlags) -> bool {
    buffer.flags().contains(flag)
}

fn indices(buffer: &gst::BufferRef) -> Vec<u16> {
    let map = buffer.map_readable().unwrap();
    map.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
}

/// The packets without those that are numbered.
fn without(packets: &[gst::Buffer], lost: &[usize]) -> Vec<gst::Buffer> {
    let kept = packets.iter().enumerate().filter(|(i, _)| !lost.contains(i));
    kept.map(|(_, packet)| packet.clone()).collect()
}

/// Packets of another sender.
fn with_ssrc(packets: &[gst::Buffer], ssrc: u32) -> Vec<gst::Buffer> {
    changed(packets, |packet| packet.set_ssrc(ssrc))
}

fn changed(packets: &[gst::Buffer], change: impl Fn(&mut RTPBuffer<Writable>)) -> Vec<gst::Buffer> {
    let change = |packet: &gst::Buffer| {
        let mut packet = packet.copy_deep().unwrap();
        change(&mut RTPBuffer::from_buffer_writable(packet.make_mut()).unwrap());
        packet
    };
    packets.iter().map(change).collect()
}

#[test]
fn all_packets_give_all_tokens() {
    let (caps, packets) = sent();
    let mut receiver = receiver(&caps, "", "raw");
    let out = receive(&mut receiver, packets);
    assert_eq!(out.len(), UNITS);
    for (i, buffer) in out.iter().enumerate() {
        assert_eq!(has(buffer, gst::BufferFlags::DELTA_UNIT), i % 3 != 0);
        assert_eq!(has(buffer, gst::BufferFlags::DISCONT), i == 0);
        assert_eq!(concealed(buffer), None);
    }
    assert_eq!(count(&receiver, "packets"), (UNITS * PARTS) as u64);
    assert_eq!(count(&receiver, "latent-frames"), UNITS as u64);
    assert_eq!(count(&receiver, "concealed-cells"), 0);
}

#[test]
fn a_lost_packet_is_concealed_and_marked() {
    let (caps, packets) = sent();
    let all = receive(&mut receiver(&caps, "", "raw"), packets.clone());
    // The second part of the segment's third unit.
    let lost = 2 * PARTS + 1;
    let mut receiver = receiver(&caps, "", "raw");
    let out = receive(&mut receiver, without(&packets, &[lost]));
    assert_eq!(out.len(), UNITS);
    let (cells, runs) = concealed(&out[2]).expect("a meta");
    assert_eq!(runs.len(), 2);
    let (first, length) = (runs[0] as usize, runs[1] as usize);
    assert_eq!(cells as usize, length);
    assert!(first > 0 && length > 0 && first + length < CELLS as usize);
    let mut expected = indices(&all[2]);
    expected[first..first + length].copy_from_slice(&indices(&all[1])[first..first + length]);
    assert_eq!(indices(&out[2]), expected);
    // The decoder takes what has no DISCONT.
    assert!(!has(&out[2], gst::BufferFlags::DISCONT));
    assert_eq!(count(&receiver, "concealed-cells"), u64::from(cells));
    assert_eq!(count(&receiver, "concealed-latent-frames"), 0);
    assert_eq!(key_requests(&mut receiver), 0);
    for i in (0..UNITS).filter(|i| *i != 2) {
        assert_eq!((indices(&out[i]), concealed(&out[i])), (indices(&all[i]), None));
    }
}

#[test]
fn a_latent_frame_of_which_nothing_came_is_concealed_at_its_time() {
    let (caps, packets) = sent();
    let all = receive(&mut receiver(&caps, "", "raw"), packets.clone());
    let lost: Vec<usize> = (PARTS..2 * PARTS).collect();
    let mut receiver = receiver(&caps, "", "raw");
    let out = receive(&mut receiver, without(&packets, &lost));
    assert_eq!(out.len(), UNITS);
    assert_eq!(concealed(&out[1]), Some((CELLS, vec![0, CELLS])));
    assert_eq!(indices(&out[1]), indices(&all[0]));
    let pts = |buffer: &gst::Buffer| buffer.pts().unwrap().nseconds();
    assert!(pts(&out[1]).abs_diff(pts(&all[1])) < 1_000_000);
    assert_eq!(count(&receiver, "concealed-latent-frames"), 1);
}

#[test]
fn pictures_go_on_after_a_concealed_loss() {
    let (caps, packets) = sent();
    for stream_format in ["framed", "raw"] {
        let line = format!("rtpvidtokdepay ! video/x-vidtok,stream-format={stream_format} ! vidtokdec name=decoder");
        let line = Line::new(&line, &caps);
        line.play();
        let lost = [PARTS, 4 * PARTS, 4 * PARTS + 1, 4 * PARTS + 2];
        without(&packets, &lost)
            .into_iter()
            .for_each(|packet| line.push(packet));
        assert_eq!(line.finish().len() as u64, FRAMES, "{stream_format}");
        assert_eq!(line.stats("decoder").get::<u64>("gaps"), Ok(0), "{stream_format}");
    }
}

#[test]
fn a_lost_start_is_held_back_and_asked_for() {
    let (caps, packets) = sent();
    // All of the second segment's first unit.
    let lost: Vec<usize> = (3 * PARTS..4 * PARTS).collect();
    for stream_format in ["framed", "raw"] {
        let mut receiver = receiver(&caps, "on-lost-start=hold", stream_format);
        let out = receive(&mut receiver, without(&packets, &lost));
        let starts = |i: usize| !has(&out[i], gst::BufferFlags::DELTA_UNIT);
        assert_eq!(out.len(), 6, "{stream_format}");
        assert!(starts(0) && starts(3) && !starts(4));
        assert!(has(&out[3], gst::BufferFlags::DISCONT));
        assert_eq!(count(&receiver, "holes"), 1);
        assert_eq!(count(&receiver, "held"), 2 * PARTS as u64);
        assert_eq!(count(&receiver, "key-requests"), 1);
        assert_eq!(key_requests(&mut receiver), 1);
    }
}

#[test]
fn the_last_latent_frames_of_a_segment_are_concealed_by_the_time() {
    let (caps, packets) = sent();
    let lost: Vec<usize> = (5 * PARTS..6 * PARTS).collect();
    let all = receive(&mut receiver(&caps, "", "raw"), packets.clone());
    let out = receive(&mut receiver(&caps, "", "raw"), without(&packets, &lost));
    assert_eq!(out.len(), UNITS);
    assert_eq!(concealed(&out[5]), Some((CELLS, vec![0, CELLS])));
    assert_eq!(indices(&out[5]), indices(&out[4]));
    for (made_up, sent) in out.iter().zip(&all) {
        let apart = made_up.pts().unwrap().absdiff(sent.pts().unwrap());
        assert!(apart <= gst::ClockTime::from_nseconds(1), "{apart}");
    }
    // Where nothing may be made up, no end mark says that the segment is complete.
    let mut receiver = receiver(&caps, "max-concealed=0", "framed");
    let out = receive(&mut receiver, without(&packets, &lost));
    assert_eq!(out.len(), UNITS - 1);
    assert!(has(&out[5], gst::BufferFlags::DISCONT) && !has(&out[5], gst::BufferFlags::DELTA_UNIT));
    assert_eq!(count(&receiver, "holes"), 1);
    assert_eq!(key_requests(&mut receiver), 0);
}

#[test]
fn a_decoder_sees_the_hole_of_a_lost_start() {
    let (caps, packets) = sent();
    let line = Line::new("rtpvidtokdepay ! vidtokdec name=decoder", &caps);
    line.play();
    let lost: Vec<usize> = (3 * PARTS..4 * PARTS).collect();
    without(&packets, &lost)
        .into_iter()
        .for_each(|packet| line.push(packet));
    assert_eq!(line.finish().len(), 18);
    assert_eq!(line.stats("decoder").get::<u64>("gaps"), Ok(1));
}

#[test]
fn a_lost_start_is_concealed_where_that_is_wanted() {
    let (caps, packets) = sent();
    let lost: Vec<usize> = (3 * PARTS..4 * PARTS).collect();
    let mut receiver = receiver(&caps, "on-lost-start=conceal", "raw");
    let out = receive(&mut receiver, without(&packets, &lost));
    assert_eq!(out.len(), UNITS);
    assert_eq!(concealed(&out[3]), Some((CELLS, vec![0, CELLS])));
    assert_eq!(indices(&out[3]), indices(&out[2]));
    assert!(!has(&out[3], gst::BufferFlags::DELTA_UNIT));
    // A better start is asked for all the same.
    assert_eq!(key_requests(&mut receiver), 1);
}

#[test]
fn no_more_latent_frames_are_made_up_than_allowed() {
    let (caps, packets) = sent();
    // Both latent frames behind the first start.
    let lost: Vec<usize> = (PARTS..3 * PARTS - 1).collect();
    for (max, expected) in [(0, 7), (1, 9)] {
        let mut receiver = receiver(&caps, &format!("max-concealed={max}"), "raw");
        let out = receive(&mut receiver, without(&packets, &lost));
        assert_eq!(out.len(), expected, "max-concealed={max}");
    }
}

#[test]
fn a_late_joiner_waits_for_a_start_and_asks_for_it() {
    let (caps, packets) = sent();
    let mut receiver = receiver(&caps, "", "framed");
    let out = receive(&mut receiver, packets[PARTS + 1..].to_vec());
    assert_eq!(out.len(), 6);
    assert!(!has(&out[0], gst::BufferFlags::DELTA_UNIT));
    assert_eq!(key_requests(&mut receiver), 1);
    assert_eq!(count(&receiver, "held"), (2 * PARTS - 1) as u64);
}

#[test]
fn another_sender_is_another_stream() {
    let (caps, packets) = sent();
    let line = "rtpvidtokdepay name=receiver ! vidtokdec name=decoder".to_string();
    let line = Line::new(&line, &caps);
    line.play();
    // The second sender begins anew while the first is in a segment.
    let others = with_ssrc(&packets, 8);
    for packet in packets[..4 * PARTS].iter().chain(&others) {
        line.push(packet.clone());
    }
    assert_eq!(line.finish().len() as u64, 10 + FRAMES);
    assert_eq!(line.stats("receiver").get::<u64>("late"), Ok(0));
}

#[test]
fn what_is_not_complete_is_put_out_before_another_stream() {
    let (caps, packets) = sent();
    let cut = without(&packets, &[packets.len() - 1]);
    let later = |times: u16| {
        changed(&packets, |packet| {
            packet.set_seq(packet.seq() + times * packets.len() as u16)
        })
    };
    // With another SSRC, or noticed by the numbers of eight units, behind which a segment has to start.
    for others in [with_ssrc(&packets, 8), [later(1), later(2)].concat()] {
        let mut receiver = receiver(&caps, "", "raw");
        let out = receive(&mut receiver, cut.iter().chain(&others).cloned());
        assert_eq!(out.len(), 2 * UNITS);
        let (last, next) = (&out[UNITS - 1], &out[UNITS]);
        assert!(concealed(last).is_some_and(|(cells, _)| cells > 0 && cells < CELLS));
        assert!(!has(last, gst::BufferFlags::DISCONT));
        assert!(has(next, gst::BufferFlags::DISCONT) && !has(next, gst::BufferFlags::DELTA_UNIT));
        assert_eq!(concealed(next), None);
    }
}

#[test]
fn packets_that_are_of_no_use_are_counted_and_survived() {
    let (caps, packets) = sent();
    let mut receiver = receiver(&caps, "", "raw");
    let bus = gst::Bus::new();
    element(&receiver).set_bus(Some(&bus));
    let header = packets[0].map_readable().unwrap()[..12].to_vec();
    let payload = packets[PARTS].map_readable().unwrap()[12..].to_vec();
    // What stands in a payload of the second unit at these places.
    let changed = |at: usize, value: u8| {
        let mut payload = payload.clone();
        payload[at] = value;
        payload
    };
    let hostile = [
        ("damaged", vec![]),
        ("damaged", payload[..17].to_vec()),
        ("newer-version", changed(0, 0xc0)),
        ("other-format", changed(4, !payload[4])),
        ("impossible-cells", changed(13, 0xff)),
        ("impossible-cells", payload[..payload.len() - 1].to_vec()),
        ("damaged", changed(0, 0x20)),
    ];
    let mut sequence = 100u16;
    let mut push = |receiver: &mut Harness, packet: &[u8], payload: &[u8]| {
        let mut bytes = packet[..12].to_vec();
        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
        sequence += 1;
        bytes.extend_from_slice(payload);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.make_mut().set_pts(gst::ClockTime::ZERO);
        receiver.push(buffer).unwrap();
    };
    for packet in &packets[..PARTS] {
        let bytes = packet.map_readable().unwrap().to_vec();
        push(&mut receiver, &bytes, &bytes[12..]);
    }
    for (_, payload) in &hostile {
        push(&mut receiver, &header, payload);
    }
    for packet in &packets[PARTS..] {
        let bytes = packet.map_readable().unwrap().to_vec();
        push(&mut receiver, &bytes, &bytes[12..]);
    }
    assert_eq!(pull(&mut receiver).len(), UNITS);
    for kind in ["damaged", "newer-version", "other-format", "impossible-cells"] {
        let expected = hostile.iter().filter(|(name, _)| *name == kind).count();
        assert_eq!(count(&receiver, kind), expected as u64, "{kind}");
    }
    assert_eq!(count(&receiver, "concealed-cells"), 0);
    // Each kind is told once.
    let warnings = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]));
    assert_eq!(warnings.count(), 4);
}

#[test]
fn a_jitter_buffer_puts_packets_in_order() {
    let (caps, packets) = sent();
    let mut swapped = packets.clone();
    // Not the first packets: the jitter buffer begins with what comes first.
    for i in (4..packets.len() - 1).step_by(5) {
        swapped.swap(i, i + 1);
    }
    let mut receiver = harness(
        "rtpjitterbuffer latency=200 ! rtpvidtokdepay name=receiver ! capsfilter caps=video/x-vidtok,stream-format=raw",
        caps,
    );
    receiver.use_testclock();
    for packet in swapped {
        receiver.push(packet).unwrap();
    }
    receiver.crank_multiple_clock_waits(1).ok();
    receiver.push_event(gst::event::Eos::new());
    // The jitter buffer gives the last ones on its own thread.
    let mut out = 0;
    while out < UNITS && receiver.pull().is_ok() {
        out += 1;
    }
    assert_eq!(out, UNITS);
    assert_eq!(count(&receiver, "concealed-cells"), 0);
}

#[test]
fn a_flush_forgets_what_is_not_complete() {
    let (caps, packets) = sent();
    for stream_format in ["framed", "raw"] {
        let mut receiver = receiver(&caps, "", stream_format);
        receive(&mut receiver, packets[..PARTS + 1].to_vec());
        flush(&mut receiver);
        receiver.push_event(whole_segment());
        // Back to the start, as after a seek.
        let out = receive(&mut receiver, packets.clone());
        let packets_out = out.iter().filter(|buffer| {
            !buffer
                .flags()
                .contains(gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT)
        });
        assert_eq!(packets_out.count(), UNITS, "{stream_format}");
        assert_eq!(count(&receiver, "late"), 0);
        assert_eq!(count(&receiver, "concealed-cells"), 0);
    }
}

#[test]
fn the_end_gives_what_is_not_complete() {
    let (caps, packets) = sent();
    let mut receiver = receiver(&caps, "", "raw");
    // The last packet is lost, which says that no more comes.
    let out = receive(&mut receiver, without(&packets, &[packets.len() - 1]));
    assert_eq!(out.len(), UNITS - 1);
    receiver.push_event(gst::event::Eos::new());
    let out = pull(&mut receiver);
    assert_eq!(out.len(), 1);
    assert!(concealed(&out[0]).is_some_and(|(cells, _)| cells > 0 && cells < CELLS));
}

#[test]
fn what_comes_behind_the_end_is_another_stream() {
    let (caps, packets) = sent();
    for stream_format in ["framed", "raw"] {
        let mut receiver = receiver(&caps, "", stream_format);
        receive(&mut receiver, packets[..2 * PARTS].to_vec());
        receiver.push_event(gst::event::Eos::new());
        pull(&mut receiver);
        receiver.push_event(gst::event::StreamStart::new("another"));
        receiver.push_event(gst::event::Caps::new(&caps));
        receiver.push_event(whole_segment());
        // Its first unit is within a segment, which no reader of another stream can use.
        let out = receive(&mut receiver, packets[2 * PARTS..].to_vec());
        assert_eq!(out.len(), UNITS - 3, "{stream_format}");
        assert!(has(&out[0], gst::BufferFlags::DISCONT) && !has(&out[0], gst::BufferFlags::DELTA_UNIT));
        assert_eq!(key_requests(&mut receiver), 1);
    }
}

#[test]
fn a_packet_that_is_reported_lost_is_no_gap_in_time() {
    let (caps, packets) = sent();
    let mut receiver = receiver(&caps, "", "raw");
    receive(&mut receiver, packets[..PARTS].to_vec());
    let lost = gst::Structure::builder("GstRTPPacketLost")
        .field("seqnum", 103u32)
        .field("timestamp", 33_000_000u64)
        .field("duration", 0u64)
        .build();
    receiver.push_event(gst::event::CustomDownstream::new(lost));
    receive(&mut receiver, packets[PARTS + 1..].to_vec());
    let gaps = std::iter::from_fn(|| receiver.try_pull_event()).filter(|event| event.type_() == gst::EventType::Gap);
    assert_eq!(gaps.count(), 0);
    assert!(count(&receiver, "concealed-cells") > 0);
}

#[test]
fn packets_of_any_bytes_are_survived() {
    let (caps, packets) = sent();
    let mut receiver = receiver(&caps, "on-lost-start=conceal max-concealed=250", "framed");
    // A generator with a long period (Knuth's MMIX).
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for i in 0..3_000u16 {
        let mut bytes = packets[random() % packets.len()].map_readable().unwrap().to_vec();
        bytes[2..4].copy_from_slice(&i.to_be_bytes());
        for _ in 0..random() % 4 {
            // Behind the RTP header, mostly in the fields of the payload.
            let at = 12 + random() % (bytes.len() - 12).min(if random() % 4 == 0 { usize::MAX } else { 18 });
            bytes[at] = random() as u8;
        }
        bytes.truncate(bytes.len() - random() % 2 * (random() % 20));
        let mut packet = gst::Buffer::from_mut_slice(bytes);
        packet.make_mut().set_pts(gst::ClockTime::from_mseconds(i.into()));
        receiver.push(packet).unwrap();
        pull(&mut receiver);
    }
    assert_eq!(count(&receiver, "packets"), 3_000);
}

#[test]
fn pictures_of_concealed_tokens_are_marked() {
    let (caps, packets) = sent();
    // A part of the second segment's second unit: the frames 10 to 13.
    let packets = without(&packets, &[4 * PARTS + 1]);
    for between in ["", "vidtokparse !", "video/x-vidtok,stream-format=raw !"] {
        let line = format!("rtpvidtokdepay name=receiver ! {between} vidtokdec name=decoder");
        let mut harness = harness(&line, caps.clone());
        let mut pictures = receive(&mut harness, packets.clone());
        harness.push_event(gst::event::Eos::new());
        pictures.extend(pull(&mut harness));
        assert_eq!(pictures.len() as u64, FRAMES, "{between}");
        let is_marked = |i: &usize| has(&pictures[*i], gst::BufferFlags::CORRUPTED);
        let marked: Vec<usize> = (0..pictures.len()).filter(is_marked).collect();
        assert_eq!(marked, [10, 11, 12, 13], "{between}");
        let bin = harness.element().unwrap().downcast::<gst::Bin>().unwrap();
        let stats: gst::Structure = bin.by_name("decoder").unwrap().property("stats");
        assert_eq!(stats.get::<u64>("uncertain-frames"), Ok(4), "{between}");
    }
}

#[test]
fn a_mistake_and_a_first_loss_are_told_once() {
    let (caps, packets) = sent();
    let warnings = |caps: gst::Caps, packets: Vec<gst::Buffer>| {
        let mut harness = receiver(&caps, "", "raw");
        let bus = gst::Bus::new();
        element(&harness).set_bus(Some(&bus));
        receive(&mut harness, packets);
        let messages = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]));
        let text = |message: gst::Message| match message.view() {
            gst::MessageView::Warning(warning) => warning.error().message().to_string(),
            _ => unreachable!("filtered"),
        };
        messages.map(text).collect::<Vec<_>>()
    };
    assert_eq!(warnings(caps.clone(), packets.clone()), Vec::<String>::new());
    let lossy = without(&packets, &[PARTS + 1, 2 * PARTS + 1]);
    let told = warnings(caps, lossy);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("cells were concealed"), "{told:?}");
    // Nothing says what they hold.
    let bare: gst::Caps = "application/x-rtp,media=video,clock-rate=90000,encoding-name=VIDTOK"
        .parse()
        .unwrap();
    let told = warnings(bare, packets);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("config-interval"), "{told:?}");
}
