//! Whatever carries tokens from encoder to decoder, the same pictures come back.

mod common;

use std::path::Path;

use common::*;

/// The last group has two real frames of four.
const FRAMES: u64 = 16;
const SIZE: u32 = 64;
/// Two segments: of nine frames and of seven.
const KEY_INTERVAL: u32 = 9;

/// What comes out of `rest` behind an encoder of the test's video.
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

fn framed() -> String {
    let model = tokenizer(TINY);
    format!("vidtokenc key-interval={KEY_INTERVAL} model={model} ! video/x-vidtok,stream-format=framed")
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

/// Writes what `encoder` makes of the test's video.
fn write(file: &Path, encoder: &str) {
    let line = format!("{encoder} ! filesink location={}", file.display());
    common::write(&line, &video(FRAMES, SIZE, SIZE), SIZE, SIZE);
}

#[test]
fn a_file_plays_by_any_way_of_reading_it() {
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.vidtok");
    write(&file, &framed());
    for way in ["", "! queue"] {
        let line = format!(
            "filesrc location={} {way} ! vidtokparse ! {}",
            file.display(),
            decoder()
        );
        assert_eq!(pictures(&play(&line).buffers), expected, "{way}");
    }
}

#[test]
fn bare_numbers_play_by_any_way_of_reading_them() {
    init();
    // Bytes alone do not say that the last group has fewer real frames: the copies that fill it up are shown, too.
    let mut filled = video(FRAMES, SIZE, SIZE);
    filled.push(Frame {
        pts: FRAMES * 1_000_000_000 / 30,
        ..filled.last().unwrap().clone()
    });
    let expected = pictures(&run("vidtokenc ! vidtokdec", &filled, SIZE, SIZE, (30, 1)));
    assert_eq!(expected.len() as u64, FRAMES + 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.u16");
    write(&file, "vidtokenc ! video/x-vidtok,stream-format=raw");
    // What a person knows of such a file: the embedded tokenizer is found by its name.
    let caps = format!(
        "video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width={SIZE},height={SIZE},framerate=30/1"
    );
    for way in ["", "! queue"] {
        let line = format!(
            "filesrc location={} {way} ! {caps} ! vidtokparse ! vidtokdec",
            file.display()
        );
        assert_eq!(pictures(&play(&line).buffers), expected, "{way}");
    }
}

#[test]
fn a_file_plays_over_tcp() {
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.vidtok");
    write(&file, &framed());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bytes = std::fs::read(&file).unwrap();
    let server = std::thread::spawn(move || {
        std::io::Write::write_all(&mut listener.accept().unwrap().0, &bytes).unwrap();
    });
    let line = format!("tcpclientsrc host=127.0.0.1 port={port} ! vidtokparse ! {}", decoder());
    assert_eq!(pictures(&play(&line).buffers), expected);
    server.join().unwrap();
}
