//! Tokens over RTP: the same pictures come back, whatever the packets' size, the tokenizer and the format of the tokens.

mod common;

use common::*;
use gst::prelude::*;

const SIZE: u32 = 32;
/// The last group has two real frames of four.
const FRAMES: u64 = 16;
/// Half a tick of the 90 kHz clock is 5.6 µs; the timestamp and an offset are rounded.
const TICK: u64 = 1_000_000_000 / 90_000 + 1;

/// The built-in tokenizer, which needs no property.
const BUILT_IN: &str = "";

/// The property that chooses a tokenizer.
fn model(name: &str) -> String {
    match name {
        BUILT_IN => String::new(),
        name => format!("model={}", tokenizer(name)),
    }
}

/// All families: a codebook and a look-ahead decoder, a Gaussian posterior, windows.
const TOKENIZERS: [&str; 3] = [BUILT_IN, "golden_kl_v1_0", "golden_fsq_noncausal"];

/// The decoded pictures of `frames`, with a segment start every nine frames.
fn decoded(model: &str, between: &str, frames: &[Frame]) -> Vec<gst::Buffer> {
    let model = self::model(model);
    let line = format!("vidtokenc {model} key-interval=9 ! {between} ! vidtokdec name=decoder {model}");
    run(&line, frames, SIZE, SIZE, (30, 1))
}

/// Compares pictures exactly, and times to a tick of RTP's clock.
fn assert_same(found: &[gst::Buffer], expected: &[gst::Buffer], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let (found, expected) = (frame(found, SIZE), frame(expected, SIZE));
        assert!(found.rgb == expected.rgb, "{what}: picture {i} differs");
        let difference = found.pts.abs_diff(expected.pts);
        assert!(
            difference <= TICK,
            "{what}: frame {i} at {} for {}",
            found.pts,
            expected.pts
        );
    }
}

#[test]
fn pictures_are_the_same_as_without_rtp() {
    init();
    let frames = video(FRAMES, SIZE, SIZE);
    for model in TOKENIZERS {
        let expected = decoded(model, "queue", &frames);
        assert_eq!(expected.len() as u64, FRAMES);
        // Rows are split, and there is room for one cell of the tokenizers with floats. Sequence numbers begin again at 0.
        let between = "rtpvidtokpay mtu=52 seqnum-offset=65533 timestamp-offset=4294967290 ! rtpvidtokdepay";
        assert_same(&decoded(model, between, &frames), &expected, model);
    }
}

/// Bytes of raw tokens, and all that their buffers say.
fn tokens(buffers: &[gst::Buffer]) -> Vec<(Vec<u8>, bool, String)> {
    let tokens = |buffer: &gst::Buffer| {
        let meta = gst::meta::CustomMeta::from_buffer(buffer, "GstVidtokMeta").unwrap();
        let is_delta = buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        (
            buffer.map_readable().unwrap().to_vec(),
            is_delta,
            meta.structure().to_string(),
        )
    };
    buffers.iter().map(tokens).collect()
}

#[test]
fn framed_and_raw_tokens_are_the_same_as_without_rtp() {
    init();
    // Two windows.
    let frames = video(20, SIZE, SIZE);
    for model in TOKENIZERS {
        let line = |rest: &str| {
            let line = format!("vidtokenc key-interval=9 {} ! {rest}", self::model(model));
            run(&line, &frames, SIZE, SIZE, (30, 1))
        };
        let raw = "video/x-vidtok,stream-format=raw";
        let expected = line(raw);
        assert!(expected.len() > 1);
        for (from, to) in [
            ("raw", raw.to_string()),
            ("framed", raw.to_string()),
            (
                "raw",
                format!("video/x-vidtok,stream-format=framed ! vidtokparse ! {raw}"),
            ),
            (
                "framed",
                format!("video/x-vidtok,stream-format=framed ! vidtokparse ! {raw}"),
            ),
        ] {
            let found = line(&format!(
                "video/x-vidtok,stream-format={from} ! rtpvidtokpay ! rtpvidtokdepay ! {to}"
            ));
            assert_eq!(tokens(&found), tokens(&expected), "{model}: {from} to {to}");
            for (found, expected) in found.iter().zip(&expected) {
                let pts = |buffer: &gst::Buffer| buffer.pts().unwrap().nseconds();
                assert!(pts(found).abs_diff(pts(expected)) <= TICK, "{model}: {from} to {to}");
            }
        }
    }
}

/// The packets of `frames`.
fn packets(payloader: &str, frames: &[Frame]) -> Vec<gst::Buffer> {
    let line = format!("vidtokenc key-interval=9 {} ! {payloader}", model(BUILT_IN));
    run(&line, frames, SIZE, SIZE, (30, 1))
}

/// Marker bit, sequence number and timestamp of a packet, and its payload.
fn read(packet: &gst::Buffer) -> (bool, u16, u32, Vec<u8>) {
    let bytes = packet.map_readable().unwrap().to_vec();
    let number = u16::from_be_bytes([bytes[2], bytes[3]]);
    let timestamp = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
    (bytes[1] & 0x80 != 0, number, timestamp, bytes[12..].to_vec())
}

#[test]
fn packets_keep_to_the_mtu_and_share_the_timestamp_of_their_latent_frame() {
    init();
    let frames = video(FRAMES, SIZE, SIZE);
    let packets = packets("rtpvidtokpay mtu=60 timestamp-offset=1000 seqnum-offset=65534", &frames);
    let read: Vec<_> = packets.iter().map(read).collect();
    assert!(packets.iter().all(|packet| packet.size() <= 60));
    let numbers: Vec<u16> = read.iter().map(|(_, number, ..)| *number).collect();
    let expected: Vec<u16> = (0..read.len()).map(|i| 65_534u16.wrapping_add(i as u16)).collect();
    assert_eq!(numbers, expected);
    // Frames 0, 1, 5, then a segment start at 9, 10, 14: at 30 frames per second a frame is 3,000 ticks.
    let mut timestamps: Vec<u32> = read.iter().map(|(_, _, timestamp, _)| *timestamp).collect();
    timestamps.dedup();
    for (found, frame) in timestamps.iter().zip([0, 1, 5, 9, 10, 14]) {
        assert!(found.abs_diff(1000 + frame * 3_000) <= 1, "{timestamps:?}");
    }
    assert_eq!(timestamps.len(), 6);
    let last_of_its_time = |i: usize| read.get(i + 1).is_none_or(|next| next.2 != read[i].2);
    for (i, (marker, .., payload)) in read.iter().enumerate() {
        assert_eq!(*marker, last_of_its_time(i));
        // The flag of the last packet says the same.
        assert_eq!(payload[0] & 1 != 0, *marker);
    }
}

#[test]
fn an_mtu_too_small_for_a_cell_is_an_error_that_says_so() {
    init();
    let model = model("golden_kl_v1_0");
    let line = format!("vidtokenc {model} ! rtpvidtokpay mtu=30");
    let line = Line::new(&line, &video_caps(SIZE, SIZE, (30, 1)));
    line.play();
    line.push(buffer(&video(1, SIZE, SIZE)[0], SIZE));
    let error = line.error(LIMIT).expect("an error");
    // An RTP header, the payload's fields, four channels of four bytes.
    assert!(error.contains("mtu=30") && error.contains("46 bytes"), "{error}");
}

#[test]
fn frames_off_the_grid_keep_their_times() {
    init();
    let mut frames = video(FRAMES, SIZE, SIZE);
    for (i, frame) in frames.iter_mut().enumerate() {
        frame.pts += (i as u64 * 7_919_000) % 23_000_000;
    }
    let expected = decoded(BUILT_IN, "queue", &frames);
    let times: Vec<u64> = expected.iter().map(|buffer| buffer.pts().unwrap().nseconds()).collect();
    assert_eq!(times, frames.iter().map(|frame| frame.pts).collect::<Vec<_>>());
    for from in ["framed", "raw"] {
        let between = format!("video/x-vidtok,stream-format={from} ! rtpvidtokpay ! rtpvidtokdepay");
        assert_same(&decoded(BUILT_IN, &between, &frames), &expected, from);
    }
}

#[test]
fn a_receiver_without_caps_waits_for_them() {
    init();
    let frames = video(FRAMES, SIZE, SIZE);
    let bare =
        "capssetter join=false replace=true caps=application/x-rtp,media=video,encoding-name=VIDTOK,clock-rate=90000";
    let expected = decoded(BUILT_IN, "queue", &frames);
    let every = format!("rtpvidtokpay config-interval=-1 mtu=1400 ! {bare} ! rtpvidtokdepay");
    assert_same(&decoded(BUILT_IN, &every, &frames), &expected, "every segment start");
    let line = format!("rtpvidtokpay ! {bare} ! rtpvidtokdepay name=receiver");
    let line = format!("vidtokenc {} ! {line}", model(BUILT_IN));
    let line = Line::new(&line, &video_caps(SIZE, SIZE, (30, 1)));
    line.play();
    frames.iter().for_each(|frame| line.push(buffer(frame, SIZE)));
    assert_eq!(line.finish().len(), 0);
    let stats = line.stats("receiver");
    // The encoder gives five latent frames, and one more for each segment start that it is asked for.
    let packets = stats.get::<u64>("packets").unwrap();
    assert!(packets >= 5, "{packets}");
    assert_eq!(stats.get::<u64>("held"), Ok(packets));
    let requests = stats.get::<u64>("key-requests").unwrap();
    assert!((1..packets).contains(&requests), "{requests}");
}

#[test]
fn a_configuration_comes_as_often_as_asked() {
    init();
    // Segments begin every nine frames, 0.3 s.
    let frames = video(40, SIZE, SIZE);
    for (interval, expected) in [(-1, 5), (0, 0), (1, 2)] {
        let packets = packets(&format!("rtpvidtokpay config-interval={interval}"), &frames);
        let configurations = packets.iter().filter(|packet| read(packet).3[0] & 0x20 != 0);
        assert_eq!(configurations.count(), expected, "{interval}");
    }
}

#[test]
fn a_configuration_larger_than_the_mtu_is_left_out_with_a_warning() {
    init();
    let line = format!(
        "vidtokenc {} ! rtpvidtokpay config-interval=-1 mtu=100",
        model(BUILT_IN)
    );
    let line = Line::new(&line, &video_caps(SIZE, SIZE, (30, 1)));
    line.play();
    video(FRAMES, SIZE, SIZE)
        .iter()
        .for_each(|frame| line.push(buffer(frame, SIZE)));
    assert!(!line.finish().is_empty());
    let warnings = line.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("config-interval"), "{warnings:?}");
}

#[test]
fn caps_that_are_wrong_are_an_error_that_names_the_field() {
    init();
    let mut harness = gst_check::Harness::new("rtpvidtokdepay");
    harness.play();
    let bus = gst::Bus::new();
    harness.element().unwrap().set_bus(Some(&bus));
    harness.push_event(gst::event::StreamStart::new("test"));
    let caps = "application/x-rtp,media=video,encoding-name=VIDTOK,clock-rate=90000,payload=96,vidtok-version=(string)1,\
                tokenizer=(string)nonsense";
    harness.push_event(gst::event::Caps::new(&caps.parse().unwrap()));
    let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!("filtered");
    };
    let text = error.error().to_string();
    assert!(text.contains("regularizer"), "{text}");
}

#[test]
fn a_stream_that_changes_its_size_goes_on() {
    init();
    for stream_format in ["framed", "raw"] {
        let line = format!(
            "vidtokenc {model} ! video/x-vidtok,stream-format={stream_format} ! rtpvidtokpay ! rtpvidtokdepay ! \
             vidtokdec name=decoder {model}",
            model = model(BUILT_IN)
        );
        let line = Line::new(&line, &video_caps(SIZE, SIZE, (30, 1)));
        line.play();
        let mut frames = video(FRAMES, SIZE, SIZE);
        frames.iter().for_each(|frame| line.push(buffer(frame, SIZE)));
        let size = SIZE + 16;
        line.source.set_caps(Some(&video_caps(size, size, (30, 1))));
        frames = video(2 * FRAMES, size, size).split_off(FRAMES as usize);
        frames.iter().for_each(|frame| line.push(buffer(frame, size)));
        let pictures = line.finish();
        let sizes: Vec<usize> = pictures.iter().map(|picture| picture.size()).collect();
        let bytes = |size: u32| (size * size * 3) as usize;
        let expected = [vec![bytes(SIZE); FRAMES as usize], vec![bytes(size); FRAMES as usize]].concat();
        assert_eq!(sizes, expected, "{stream_format}");
        assert_eq!(line.stats("decoder").get::<u64>("gaps"), Ok(0), "{stream_format}");
    }
}
