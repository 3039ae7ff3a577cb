//! What carries tokens from one element to another changes no picture: the right number of the right frames come back.

mod common;

use std::path::Path;

use common::*;
use gst::prelude::*;

/// The last group has two real frames of four.
const FRAMES: u64 = 16;
const SIZE: u32 = 64;
/// Two segments: of nine frames and of seven.
const KEY_INTERVAL: u32 = 9;

/// What an encoder makes of the test's video, before `rest` of the line.
fn through(rest: &str) -> Vec<gst::Buffer> {
    let encoder = format!("vidtokenc key-interval={KEY_INTERVAL} model={}", tokenizer(TINY));
    run(
        &format!("{encoder} ! {rest}"),
        &video(FRAMES, SIZE, SIZE),
        SIZE,
        SIZE,
        (30, 1),
    )
}

fn decoder() -> String {
    format!("vidtokdec name=decoder model={}", tokenizer(TINY))
}

/// Pictures and their times.
fn pictures(buffers: &[gst::Buffer]) -> Vec<Frame> {
    buffers.iter().map(|buffer| frame(buffer, SIZE)).collect()
}

fn expected() -> Vec<Frame> {
    init();
    let expected = pictures(&through(&decoder()));
    assert_eq!(expected.len() as u64, FRAMES);
    expected
}

/// All pictures of `line`, which ends in front of the sink.
fn play(line: &str) -> Vec<Frame> {
    let line = format!("{line} ! appsink name=sink sync=false");
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline
        .by_name("sink")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut buffers = Vec::new();
    while let Some(sample) = sink.try_pull_sample(LIMIT) {
        buffers.push(sample.buffer_owned().unwrap());
    }
    assert!(sink.is_eos(), "{line}");
    pipeline.set_state(gst::State::Null).unwrap();
    pictures(&buffers)
}

#[test]
fn elements_between_encoder_and_decoder_change_nothing() {
    let expected = expected();
    for format in ["framed", "raw"] {
        for way in [
            "queue",
            "gdppay ! gdpdepay",
            "rtpgstpay config-interval=1 ! rtpgstdepay",
            "queue ! identity ! queue",
        ] {
            let rest = format!("video/x-vidtok,stream-format={format} ! {way} ! {}", decoder());
            assert_eq!(pictures(&through(&rest)), expected, "{format}: {way}");
        }
    }
}

#[test]
fn any_type_of_number_comes_back_as_the_same_pictures() {
    init();
    let frames = video(FRAMES, SIZE, SIZE);
    let through = |properties: &str| {
        let line = format!("vidtokenc {properties} model={} ! {}", tokenizer(TINY), decoder());
        pictures(&run(&line, &frames, SIZE, SIZE, (30, 1)))
    };
    let expected = through("");
    for token_type in ["uint16", "uint32"] {
        assert_eq!(through(&format!("token-type={token_type}")), expected, "{token_type}");
    }
}

fn write(file: &Path, format: &str) {
    let rest = format!(
        "video/x-vidtok,stream-format={format} ! filesink name=sink location={}",
        file.display()
    );
    let line = format!(
        "appsrc name=source format=time ! vidtokenc key-interval={} model={} ! {rest}",
        // Bare tokens do not say where a segment starts: they are of one.
        if format == "raw" { 0 } else { KEY_INTERVAL },
        tokenizer(TINY)
    );
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline
        .by_name("source")
        .unwrap()
        .downcast::<gst_app::AppSrc>()
        .unwrap();
    source.set_caps(Some(&video_caps(SIZE, SIZE, (30, 1))));
    pipeline.set_state(gst::State::Playing).unwrap();
    for frame in video(FRAMES, SIZE, SIZE) {
        source.push_buffer(buffer(&frame, SIZE)).unwrap();
    }
    source.end_of_stream().unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(LIMIT, &ends);
    assert_eq!(message.map(|m| m.type_()), Some(gst::MessageType::Eos), "{line}");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_file_plays_by_any_way_of_reading_it() {
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.vidtok");
    write(&file, "framed");
    for way in ["", "! queue"] {
        let line = format!(
            "filesrc location={} {way} ! vidtokparse ! {}",
            file.display(),
            decoder()
        );
        assert_eq!(play(&line), expected, "{way}");
    }
}

#[test]
fn a_file_plays_over_tcp() {
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.vidtok");
    write(&file, "framed");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bytes = std::fs::read(&file).unwrap();
    let server = std::thread::spawn(move || {
        std::io::Write::write_all(&mut listener.accept().unwrap().0, &bytes).unwrap();
    });
    let line = format!("tcpclientsrc host=127.0.0.1 port={port} ! vidtokparse ! {}", decoder());
    assert_eq!(play(&line), expected);
    server.join().unwrap();
}
