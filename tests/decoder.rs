//! Which tokens the decoder takes, which ones it refuses, and what it says then.

mod common;

use common::*;
use gst::prelude::*;
use gst_check::Harness;
use gstvidtok::caps::StreamFormat;
use gstvidtok::format::TokenFormat;

const SIZE: (u32, u32) = (18, 16);

/// The format of a video's tokens, the tokens, and their pictures.
fn tokens(frames: u64, properties: &str, stream_format: &str) -> (TokenFormat, Vec<gst::Buffer>, Vec<gst::Buffer>) {
    init();
    let caps = video_caps(SIZE.0, SIZE.1, (30, 1));
    let encoder = format!(
        "vidtokenc model={} {properties} ! video/x-vidtok,stream-format={stream_format}",
        tokenizer(TINY)
    );
    let line = Line::new(&encoder, &caps);
    line.play();
    let video = video(frames, SIZE.0, SIZE.1);
    video.iter().for_each(|frame| line.push(buffer(frame, SIZE.0)));
    let tokens = line.finish();
    let format = line.sink_format();
    let pictures = decode(&format, stream_format, &tokens).0;
    assert_eq!(pictures.len(), frames as usize);
    (format, tokens, pictures)
}

/// The pictures of `tokens`, and the warnings.
fn decode(format: &TokenFormat, stream_format: &str, tokens: &[gst::Buffer]) -> (Vec<gst::Buffer>, Vec<String>) {
    let stream_format = match stream_format {
        "raw" => StreamFormat::Raw,
        _ => StreamFormat::Framed,
    };
    decode_caps(&format.to_caps(stream_format), tokens)
}

fn decode_caps(caps: &gst::Caps, tokens: &[gst::Buffer]) -> (Vec<gst::Buffer>, Vec<String>) {
    let line = Line::new(&format!("vidtokdec model={}", tokenizer(TINY)), caps);
    line.play();
    tokens.iter().for_each(|buffer| line.push(buffer.clone()));
    (line.finish(), line.warnings())
}

/// The buffer as it comes out of a pipe or a program: its bytes, and of the rest only what `keep` says.
fn copied(buffer: &gst::Buffer, keep: gst::BufferCopyFlags) -> gst::Buffer {
    let mut copy = gst::Buffer::from_mut_slice(buffer.map_readable().unwrap().to_vec());
    buffer.copy_into(copy.make_mut(), keep, ..).unwrap();
    copy
}

const NOTHING: gst::BufferCopyFlags = gst::BufferCopyFlags::empty();

#[test]
fn raw_tokens_that_lost_their_meta_give_the_same_pictures() {
    // With a tail, and with segments that end inside a group.
    for (frames, properties) in [(18, ""), (20, "key-interval=7")] {
        let (format, tokens, pictures) = tokens(frames, properties, "raw");
        let keep = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
        let bare: Vec<_> = tokens.iter().map(|buffer| copied(buffer, keep)).collect();
        let (out, warnings) = decode(&format, "raw", &bare);
        assert!(bytes(&out) == bytes(&pictures), "{frames} frames");
        let times = |buffers: &[gst::Buffer]| buffers.iter().map(|b| (b.pts(), b.duration())).collect::<Vec<_>>();
        assert_eq!(times(&out), times(&pictures));
        assert_eq!(warnings, [""; 0]);
    }
}

#[test]
fn bare_numbers_are_one_segment() {
    let (format, tokens, pictures) = tokens(33, "", "raw");
    assert_eq!(tokens.len(), 9);
    // One latent frame per buffer, as a model gives them, and then all in one buffer.
    let bare: Vec<_> = tokens.iter().map(|buffer| copied(buffer, NOTHING)).collect();
    let (out, warnings) = decode(&format, "raw", &bare);
    assert!(bytes(&out) == bytes(&pictures));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("DELTA_UNIT"), "{warnings:?}");
    let all = gst::Buffer::from_mut_slice(bytes(&tokens).concat());
    let (out, warnings) = decode(&format, "raw", &[all]);
    assert!(bytes(&out) == bytes(&pictures));
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn tokenizer_and_size_are_enough_for_raw_caps() {
    let (_, tokens, pictures) = tokens(33, "", "raw");
    let all = gst::Buffer::from_mut_slice(bytes(&tokens).concat());
    let caps = |more: &str| {
        let text = format!("video/x-vidtok,stream-format=raw,width=18,height=16{more}");
        text.parse::<gst::Caps>().unwrap()
    };
    let pts = |buffers: &[gst::Buffer]| buffers.iter().map(|b| b.pts().unwrap().nseconds()).collect::<Vec<_>>();
    // The element's property names the tokenizer. The caps may name it, too.
    for more in [
        ",framerate=30/1",
        ",framerate=30/1,model=tiny_v1_1,token-type=uint16,causal=true",
    ] {
        let (out, warnings) = decode_caps(&caps(more), std::slice::from_ref(&all));
        assert!(bytes(&out) == bytes(&pictures));
        assert_eq!(pts(&out), pts(&pictures));
        assert_eq!(warnings, [""; 0]);
    }
    let (out, warnings) = decode_caps(&caps(""), &[all]);
    assert!(bytes(&out) == bytes(&pictures));
    assert_eq!(pts(&out)[..3], [0, 40_000_000, 80_000_000]);
    assert!(
        warnings.len() == 1 && warnings[0].contains("25/1 is assumed"),
        "{warnings:?}"
    );
}

#[test]
fn the_built_in_tokenizer_is_found_by_its_name() {
    init();
    let caps = "video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width=16,height=16,framerate=30/1";
    let line = Line::new("vidtokdec", &caps.parse().unwrap());
    line.play();
    line.push(gst::Buffer::from_mut_slice(vec![0u8; 3 * 8]));
    assert_eq!(line.finish().len(), 9);
}

/// The error for a buffer of `bytes` bytes with these caps.
fn error(caps: &str, properties: &str, bytes: usize) -> String {
    init();
    let line = Line::new(&format!("vidtokdec {properties}"), &caps.parse().unwrap());
    line.play();
    line.push(gst::Buffer::from_mut_slice(vec![0u8; bytes]));
    line.error(LIMIT).expect("an error")
}

#[test]
fn raw_caps_that_cannot_be_are_named() {
    let tiny = format!("model={}", tokenizer(TINY));
    for (caps, properties, parts) in [
        ("width=16,height=16", "", &["\"model\""][..]),
        (
            "width=16,height=16,model=nowhere",
            "",
            &["nowhere", "vidtok-small-488-32768", "GST_VIDTOK_MODEL_PATH"],
        ),
        ("width=16,height=16,model=other", &tiny, &["other", TINY]),
        ("width=16,height=16,grid-width=3", &tiny, &["grid-width=3", "16×16"]),
        ("width=16,height=16,token-type=float16", &tiny, &["float16"]),
    ] {
        let caps = format!("video/x-vidtok,stream-format=raw,framerate=30/1,{caps}");
        let error = error(&caps, properties, 8);
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

#[test]
fn a_raw_buffer_of_another_size_says_the_size_wanted() {
    let caps = "video/x-vidtok,stream-format=raw,width=48,height=32,framerate=30/1";
    let error = error(caps, &format!("model={}", tokenizer(TINY)), 4096);
    for part in ["4096 bytes", "4×6 uint16", "48", "vidtokparse"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn a_part_of_a_window_is_refused() {
    init();
    let caps = "video/x-vidtok,stream-format=raw,width=16,height=16,framerate=30/1";
    let error = error(caps, &format!("model={}", tokenizer("golden_fsq_noncausal")), 16);
    assert!(error.contains("windows of 4"), "{error}");
}

#[test]
fn all_packets_of_a_buffer_are_decoded() {
    let (format, tokens, pictures) = tokens(20, "key-interval=9", "framed");
    let mut all = gst::Buffer::from_mut_slice(bytes(&tokens).concat());
    all.make_mut().set_pts(gst::ClockTime::ZERO);
    let (out, warnings) = decode(&format, "framed", &[all]);
    assert!(bytes(&out) == bytes(&pictures));
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_picture_with_more_pixels_than_allowed_is_refused() {
    let (format, tokens, _) = tokens(1, "", "framed");
    let caps = format.to_caps(StreamFormat::Framed);
    for (max_pixels, refused) in [(18 * 16 - 1, true), (18 * 16, false), (0, false)] {
        let decoder = format!("vidtokdec model={} max-pixels={max_pixels}", tokenizer(TINY));
        let line = Line::new(&decoder, &caps);
        line.play();
        line.push(tokens[0].clone());
        if refused {
            let error = line.error(LIMIT).expect("an error");
            assert!(error.contains("max-pixels=287") && error.contains("18×16"), "{error}");
        } else {
            assert_eq!(line.finish().len(), 1);
        }
    }
}

#[test]
fn the_padding_of_rows_is_zero() {
    let (_, _, pictures) = tokens(5, "", "framed");
    for picture in pictures {
        let map = picture.map_readable().unwrap();
        assert!(map.chunks_exact(56).all(|row| row[54..] == [0, 0]));
    }
}

#[test]
fn bytes_without_caps_are_an_error_that_names_vidtokparse() {
    init();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "bytes").unwrap();
    let text = format!("filesrc location={} ! vidtokdec ! fakesink", file.path().display());
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let error = first_error(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(error.contains("vidtokparse") && error.contains("decodebin"), "{error}");
}

/// The text of the first error.
fn first_error(pipeline: &gst::Pipeline) -> String {
    let message = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(LIMIT, &[gst::MessageType::Error]);
    match message.expect("an error").view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        _ => unreachable!("filtered"),
    }
}

#[test]
fn behind_decodebin_the_error_names_the_missing_tokenizer() {
    let (_, tokens, _) = tokens(5, "", "framed");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes(&tokens).concat()).unwrap();
    for bin in ["decodebin", "decodebin3"] {
        let text = format!("filesrc location={} ! {bin} ! fakesink", file.path().display());
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let error = first_error(&pipeline);
        pipeline.set_state(gst::State::Null).unwrap();
        assert!(
            error.contains(TINY) && error.contains("GST_VIDTOK_MODEL_PATH"),
            "{bin}: {error}"
        );
    }
}

/// After 4 packets, the sink reports that the picture at 0 came 10 s late: a second of PTS, as video is played at a
/// tenth of its speed. So a step takes a small part of a segment's time, however busy the machine is.
#[test]
fn a_decoder_that_is_late_continues_at_a_start_that_is_due() {
    let (format, packets, _) = tokens(60, "key-interval=5", "framed");
    for (qos, overload) in [(true, "skip-to-key"), (false, "skip-to-key"), (true, "block")] {
        let element = gst::ElementFactory::make("vidtokdec")
            .property("model", tokenizer(TINY))
            .property("qos", qos)
            .property_from_str("overload", overload)
            .build()
            .unwrap();
        let mut h = Harness::with_element(&element, Some("sink"), Some("src"));
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        h.use_testclock();
        h.set_src_caps(format.to_caps(StreamFormat::Framed));
        h.play();
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_rate(0.1);
        h.push_event(gst::event::Segment::new(&segment));
        for (index, packet) in packets.iter().enumerate() {
            if index == 4 {
                let late = gst::event::Qos::builder(gst::QOSType::Underflow, 2.0, 10_000_000_000);
                h.push_upstream_event(late.timestamp(gst::ClockTime::ZERO).build());
            }
            h.push(packet.clone()).unwrap();
        }
        h.push_event(gst::event::Eos::new());
        let out = pull(&mut h);
        let messages = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Qos])).count();
        let dropped: u64 = element.property::<gst::Structure>("stats").get("dropped").unwrap();
        if !qos || overload == "block" {
            assert_eq!((out.len(), messages, dropped), (60, 0, 0));
            continue;
        }
        // Segments have 5 frames in two packets. Left out are those from 0.33 s of PTS on, up to the first one that is
        // due after 1 s and the time of a step.
        let resumed = out.iter().rfind(|b| b.flags().contains(gst::BufferFlags::DISCONT));
        let resumed = resumed.unwrap().pts().unwrap();
        assert!(
            resumed >= gst::ClockTime::SECOND && resumed < 2 * gst::ClockTime::SECOND,
            "{resumed}"
        );
        let left_out = (resumed.mseconds() + 5) * 30 / 1000 - 10;
        assert_eq!((out.len() as u64, left_out % 5), (60 - left_out, 0));
        assert_eq!((messages as u64, dropped), (left_out / 5 * 2, left_out));
    }
}

#[test]
fn a_decoder_that_may_skip_again_has_forgotten_what_was_late() {
    let (format, packets, _) = tokens(60, "key-interval=5", "framed");
    let element = gst::ElementFactory::make("vidtokdec")
        .property("model", tokenizer(TINY))
        .build()
        .unwrap();
    let mut h = Harness::with_element(&element, Some("sink"), Some("src"));
    h.set_src_caps(format.to_caps(StreamFormat::Framed));
    h.play();
    // Segments have 5 frames in two packets.
    for (index, packet) in packets.iter().enumerate() {
        match index {
            4 => {
                // Later than the whole stream is long.
                let late = gst::event::Qos::builder(gst::QOSType::Underflow, 2.0, 10_000_000_000);
                h.push_upstream_event(late.timestamp(gst::ClockTime::ZERO).build());
            }
            6 => element.set_property_from_str("overload", "block"),
            10 => element.set_property_from_str("overload", "skip-to-key"),
            _ => {}
        }
        h.push(packet.clone()).unwrap();
    }
    h.push_event(gst::event::Eos::new());
    assert_eq!(pull(&mut h).len(), 55);
    assert_eq!(element.property::<gst::Structure>("stats").get("dropped"), Ok(5u64));
}

#[test]
fn a_frame_may_last_for_decades() {
    init();
    let model = tokenizer("golden_fsq_noncausal");
    let slowest = (1, i32::MAX);
    let line = Line::new(
        &format!("vidtokenc model={model} ! vidtokdec name=dec model={model}"),
        &video_caps(16, 16, slowest),
    );
    line.play();
    // A window of 16 such frames lasts longer than a clock can count.
    video(1, 16, 16).iter().for_each(|frame| line.push(buffer(frame, 16)));
    assert_eq!(line.finish().len(), 1);
    let mut query = gst::query::Latency::new();
    assert!(line.pipeline.by_name("dec").unwrap().query(&mut query));
}

#[test]
fn another_framerate_needs_no_other_network() {
    let (format, tokens, pictures) = tokens(9, "", "framed");
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(tokenizer(TINY)).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
    }
    let mut h = Harness::new_parse(&format!("vidtokdec model={}", folder.path().display()));
    let play = |h: &mut Harness, format: &TokenFormat| {
        h.set_src_caps(format.to_caps(StreamFormat::Framed));
        for buffer in &tokens {
            h.push(buffer.clone()).unwrap();
        }
        pull(h)
    };
    h.play();
    let out = play(&mut h, &format);
    assert!(bytes(&out) == bytes(&pictures));
    // Without the files, no other network can be made.
    folder.close().unwrap();
    let slower = TokenFormat {
        framerate: gstvidtok::format::Fraction::new(15, 1),
        ..format
    };
    let out = play(&mut h, &slower);
    assert!(bytes(&out) == bytes(&pictures));
    let caps = h.sinkpad().unwrap().current_caps().unwrap();
    assert_eq!(
        caps.structure(0).unwrap().get("framerate"),
        Ok(gst::Fraction::new(15, 1))
    );
}
