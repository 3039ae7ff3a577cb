//! The same pictures have the same tokens in the same segments, whatever container they come from, with sound or
//! without.

mod common;

use std::path::Path;

use common::*;
use gst::prelude::*;

const FRAMES: u32 = 13;
const SIZE: u32 = 64;
/// Frames per second from slide shows to sports, and the number of B frames between others.
const VIDEOS: [((i32, i32), u32); 5] = [((1, 5), 0), ((1, 1), 2), ((25, 1), 0), ((30000, 1001), 2), ((60, 1), 0)];

/// A moving ball as H.264, so that every container holds the same pictures.
fn video((num, den): (i32, i32), b_frames: u32) -> String {
    format!(
        "videotestsrc pattern=ball num-buffers={FRAMES} ! video/x-raw,width={SIZE},height={SIZE},framerate={num}/{den} \
         ! x264enc bframes={b_frames} key-int-max=6 speed-preset=ultrafast ! h264parse"
    )
}

/// Sound as long as the video.
fn sound((num, den): (i32, i32)) -> String {
    let tenths = FRAMES as i32 * 10 * den / num;
    format!(
        "audiotestsrc samplesperbuffer=800 num-buffers={tenths} ! audio/x-raw,rate=8000,channels=1 ! avenc_aac ! mux."
    )
}

fn write(file: &Path, container: &str, rate: (i32, i32), b_frames: u32, with_sound: bool) {
    let sound = if with_sound { sound(rate) } else { String::new() };
    let line = format!(
        "{} ! {container} name=mux ! filesink location={} {sound}",
        video(rate, b_frames),
        file.display()
    );
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    wait_for_end(&pipeline);
}

/// The tokens of the pictures from `source`, how many frames they stand for, and in how many segments.
fn tokens(source: &str) -> (Vec<u8>, u64, u64) {
    let played = play(&format!(
        "{source} ! videoconvert ! vidtokenc name=encoder model={} ! video/x-vidtok,stream-format=raw",
        tokenizer(TINY)
    ));
    let stats: gst::Structure = played.pipeline.by_name("encoder").unwrap().property("stats");
    let count = |name| stats.get::<u64>(name).unwrap();
    (bytes(&played.buffers).concat(), count("frames"), count("segments"))
}

/// Compares the tokens of video in `container` with those of the same video in none, at every rate, with sound and
/// without.
fn same_tokens(container: &str) {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip");
    for (rate, b_frames) in VIDEOS {
        let expected = tokens(&format!("{} ! avdec_h264", video(rate, b_frames)));
        assert_eq!((expected.1, expected.2), (FRAMES.into(), 1));
        for with_sound in [false, true] {
            write(&file, container, rate, b_frames, with_sound);
            let got = tokens(&format!("filesrc location={} ! decodebin", file.display()));
            let case = format!("{container} at {rate:?}, {b_frames} B frames, sound: {with_sound}");
            assert_eq!((got.1, got.2), (FRAMES.into(), 1), "frames and segments: {case}");
            assert!(got.0 == expected.0, "other tokens: {case}");
        }
    }
}

#[test]
fn mp4_gives_the_tokens_of_its_pictures() {
    same_tokens("mp4mux");
}

#[test]
fn matroska_gives_the_tokens_of_its_pictures() {
    same_tokens("matroskamux");
}

#[test]
fn mpeg_ts_gives_the_tokens_of_its_pictures() {
    same_tokens("mpegtsmux");
}

#[test]
fn flv_gives_the_tokens_of_its_pictures() {
    same_tokens("flvmux");
}
