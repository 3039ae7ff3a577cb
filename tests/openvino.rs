//! The ONNX Runtime for OpenVINO: the CPU's tokens and pictures, and statistics of what ran where.
//!
//! A file of its own, because a process loads one ONNX Runtime.

mod common;

use common::*;

fn init_openvino() -> bool {
    init_with_runtime("VIDTOK_OPENVINO_RUNTIME")
}

/// The output of elements that are all on `provider`, and the statistics of the element `e`.
fn run_on(provider: &str, description: &str, size: (u32, u32), frames: &[Frame]) -> (Vec<Vec<u8>>, gst::Structure) {
    let description = description.replace("PROVIDER", &format!("execution-provider={provider}"));
    let line = Line::new(&description, &video_caps(size.0, size.1, (30, 1)));
    line.play();
    frames.iter().for_each(|frame| line.push(buffer(frame, size.0)));
    let out = bytes(&line.finish());
    assert_eq!(line.warnings(), [""; 0]);
    (out, line.stats("e"))
}

const RAW: &str = "video/x-vidtok,stream-format=raw";

/// How many of two lists' 16-bit numbers differ, and how many there are.
fn different(a: &[Vec<u8>], b: &[Vec<u8>]) -> (usize, usize) {
    let (a, b) = (a.concat(), b.concat());
    assert_eq!(a.len(), b.len());
    let pairs = a.chunks_exact(2).zip(b.chunks_exact(2));
    (pairs.filter(|(a, b)| a != b).count(), a.len() / 2)
}

#[test]
fn the_embedded_tokenizers_tokens_and_pictures_are_those_of_the_cpu() {
    if !init_openvino() {
        return;
    }
    let (size, frames) = ((128, 96), video(33, 128, 96));
    let encoder = format!("vidtokenc name=e PROVIDER ! {RAW}");
    let (expected, _) = run_on("cpu", &encoder, size, &frames);
    let (tokens, stats) = run_on("openvino", &encoder, size, &frames);
    assert_eq!(stats.get::<&str>("provider"), Ok("openvino"), "{stats}");
    assert_eq!(stats.get::<&str>("nodes-elsewhere"), Ok("none"), "{stats}");
    // OpenVINO makes one node of the whole graph.
    assert_eq!(stats.get::<u64>("nodes-on-provider"), Ok(1), "{stats}");
    let (off, of) = different(&expected, &tokens);
    // A value that lies on the border of two codes may be rounded to either.
    assert!(off * 1000 <= of, "{off} of {of} tokens differ");
    let decoder = "vidtokenc execution-provider=cpu ! vidtokdec name=e PROVIDER";
    let (expected, _) = run_on("cpu", decoder, size, &frames);
    let (pictures, stats) = run_on("openvino", decoder, size, &frames);
    assert_eq!(stats.get::<&str>("provider"), Ok("openvino"), "{stats}");
    let (expected, pictures) = (expected.concat(), pictures.concat());
    assert_eq!(expected.len(), pictures.len());
    let worst = expected.iter().zip(&pictures).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(1), "{worst:?} grey levels off");
}

/// The toy tokenizer, with one operator more that changes nothing and that OpenVINO does not know.
#[test]
fn what_it_leaves_to_the_cpu_is_in_the_statistics_and_warned_about_once() {
    if !init_openvino() {
        return;
    }
    let (size, frames) = ((48, 32), video(13, 48, 32));
    let encoder = |name: &str| format!("vidtokenc name=e model={} PROVIDER ! {RAW}", tokenizer(name));
    let (expected, _) = run_on("cpu", &encoder("toy"), size, &frames);
    let line = encoder("toy_mixed").replace("PROVIDER", "execution-provider=openvino");
    let line = Line::new(&line, &video_caps(size.0, size.1, (30, 1)));
    line.play();
    frames.iter().for_each(|frame| line.push(buffer(frame, size.0)));
    assert_eq!(bytes(&line.finish()), expected);
    let stats = line.stats("e");
    assert_eq!(stats.get::<&str>("provider"), Ok("openvino"), "{stats}");
    assert_eq!(
        stats.get::<&str>("nodes-elsewhere"),
        Ok("CPUExecutionProvider: Det"),
        "{stats}"
    );
    assert!(stats.get::<u64>("nodes-on-provider").unwrap() > 0, "{stats}");
    let warnings = line.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in ["\"openvino\" runs only a part", "CPUExecutionProvider: Det"] {
        assert!(warnings[0].contains(part), "{part} in {warnings:?}");
    }
}

/// A graph of a published family, which the tests of the CPU provider compare with the reference implementation's
/// results.
#[test]
fn a_published_familys_tokens_are_those_of_the_cpu() {
    if !init_openvino() {
        return;
    }
    let (size, frames) = ((32, 32), video(9, 32, 32));
    let encoder = format!("vidtokenc name=e model={} PROVIDER ! {RAW}", tokenizer(GOLDEN));
    let (expected, _) = run_on("cpu", &encoder, size, &frames);
    let (tokens, stats) = run_on("openvino", &encoder, size, &frames);
    assert_eq!(stats.get::<&str>("provider"), Ok("openvino"), "{stats}");
    assert_eq!(different(&expected, &tokens), (0, 3 * 4 * 4));
}

/// With fewer positions than the graph has parts of attention, some are empty, which OpenVINO 2025.4 refuses when it
/// runs.
#[test]
fn a_size_that_it_does_not_run_is_an_error_before_the_first_step() {
    if !init_openvino() {
        return;
    }
    let encoder = format!("vidtokenc name=e model={} PROVIDER ! {RAW}", tokenizer(GOLDEN));
    let line = encoder.replace("PROVIDER", "execution-provider=openvino");
    let line = Line::new(&line, &video_caps(40, 24, (30, 1)));
    line.play();
    let frames = video(5, 40, 24);
    frames.iter().for_each(|frame| line.push(buffer(frame, 40)));
    match line.error(gst::ClockTime::from_seconds(20)) {
        Some(error) => {
            for part in [
                "\"openvino\" cannot be used",
                "does not run this network",
                "ONNX Runtime says",
            ] {
                assert!(error.contains(part), "\"{part}\" is missing in: {error}");
            }
            assert_eq!(line.stats("e").get::<u64>("frames"), Ok(0));
        }
        // A newer OpenVINO runs it.
        None => assert_eq!(bytes(&line.finish()), run_on("cpu", &encoder, (40, 24), &frames).0),
    }
}
