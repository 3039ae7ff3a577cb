//! Bad input: an element error that says at once what is wrong and what to do, and no hang.

mod common;

use std::path::Path;

use common::*;
use gst::prelude::*;
use gstvidtok::tokenizer::{Role, Target};

/// The error that an encoder with these properties gives for one frame of video.
fn encoder_error(properties: &str, width: u32, height: u32) -> String {
    init();
    let line = Line::new(&format!("vidtokenc {properties}"), &video_caps(width, height, (30, 1)));
    let frame = if width <= 64 {
        video(1, width, height).remove(0)
    } else {
        Frame {
            pts: 0,
            rgb: vec![0; 3],
        }
    };
    if line.pipeline.set_state(gst::State::Playing).is_ok() {
        line.push(if width <= 64 {
            buffer(&frame, width)
        } else {
            gst::Buffer::new()
        });
    }
    line.error(LIMIT).expect("an error")
}

fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "\"{part}\" is missing in: {error}");
    }
}

/// A copy of a tokenizer's folder for a test to damage.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "encoder.onnx", "decoder.onnx"] {
        std::fs::copy(Path::new(&tokenizer(name)).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn in_folder(folder: &tempfile::TempDir, file: &str) -> String {
    folder.path().join(file).to_str().unwrap().into()
}

#[test]
fn a_model_that_is_not_there() {
    let error = encoder_error("model=no-such-tokenizer", 16, 16);
    assert_says(&error, &["no-such-tokenizer", "GST_VIDTOK_MODEL_PATH", "gst-vidtok"]);
    let error = encoder_error("model=/no/such/folder", 16, 16);
    assert_says(&error, &["/no/such/folder"]);
}

#[test]
fn a_folder_without_a_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let error = encoder_error(&format!("model={}", folder.path().display()), 16, 16);
    assert_says(&error, &["tokenizer.json", "models/export.py"]);
}

#[test]
fn files_that_are_not_graphs() {
    let folder = copy(TINY);
    std::fs::write(folder.path().join("encoder.onnx"), "not a graph").unwrap();
    assert_says(
        &encoder_error(&format!("model={}", folder.path().display()), 16, 16),
        &["not an ONNX graph"],
    );
    for (name, said) in [("text.onnx", "not an ONNX graph"), ("model.ckpt", "it is a checkpoint")] {
        std::fs::write(folder.path().join(name), "something else").unwrap();
        assert_says(
            &encoder_error(&format!("model={}", in_folder(&folder, name)), 16, 16),
            &[said],
        );
    }
}

#[test]
fn a_truncated_graph() {
    let folder = copy(TINY);
    let path = folder.path().join("encoder.onnx");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_says(
        &encoder_error(&format!("model={}", folder.path().display()), 16, 16),
        &["encoder.onnx"],
    );
}

#[test]
fn the_wrong_role() {
    let error = encoder_error(&format!("model={}/decoder.onnx", tokenizer(TINY)), 16, 16);
    assert_says(&error, &["it is a decoder, but an encoder is needed"]);
}

#[test]
fn graphs_of_another_tokenizer_in_the_folder() {
    let folder = copy(TINY);
    std::fs::copy(
        Path::new(&tokenizer(GOLDEN)).join("encoder.onnx"),
        folder.path().join("encoder.onnx"),
    )
    .unwrap();
    let error = encoder_error(&format!("model={}", folder.path().display()), 16, 16);
    assert_says(&error, &["vidtok.digest", "do not belong together"]);
}

#[test]
fn missing_metadata() {
    let folder = copy(TINY);
    let path = folder.path().join("encoder.onnx");
    let mut bytes = std::fs::read(&path).unwrap();
    // Renames keys in place. The lengths stay, so the file is still an ONNX file.
    let rename = |bytes: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        let places: Vec<usize> = (0..bytes.len() - from.len())
            .filter(|i| bytes[*i..].starts_with(from))
            .collect();
        assert!(!places.is_empty());
        places.iter().for_each(|i| bytes[*i..*i + to.len()].copy_from_slice(to));
    };
    rename(&mut bytes, b"vidtok.time-factor", b"vidtok.xxxx-factor");
    std::fs::write(&path, &bytes).unwrap();
    assert_says(
        &encoder_error(&format!("model={}", path.display()), 16, 16),
        &["time-factor", "missing"],
    );
    rename(&mut bytes, b"vidtok.", b"foobar.");
    std::fs::write(&path, &bytes).unwrap();
    assert_says(
        &encoder_error(&format!("model={}", path.display()), 16, 16),
        &["no vidtok metadata"],
    );
}

#[test]
fn tokens_of_another_tokenizer() {
    init();
    let line = format!(
        "vidtokenc model={} ! vidtokdec model={}",
        tokenizer(TINY),
        tokenizer(GOLDEN)
    );
    let line = Line::new(&line, &video_caps(16, 16, (30, 1)));
    line.play();
    line.push(buffer(&video(1, 16, 16)[0], 16));
    let error = line.error(LIMIT).expect("an error");
    assert_says(
        &error,
        &[TINY, "vidtok_fsq_causal_488_32768_v1_1", "digest", "leave it unset"],
    );
}

#[test]
fn tokens_of_a_tokenizer_that_is_nowhere() {
    init();
    let line = Line::new(
        &format!("vidtokenc model={} ! vidtokdec", tokenizer(TINY)),
        &video_caps(16, 16, (30, 1)),
    );
    line.play();
    line.push(buffer(&video(1, 16, 16)[0], 16));
    assert_says(
        &line.error(LIMIT).expect("an error"),
        &[TINY, "digest", "GST_VIDTOK_MODEL_PATH"],
    );
}

#[test]
fn a_provider_that_is_not_there_is_not_swapped_for_another() {
    for (provider, package) in [
        ("cuda", "onnxruntime-gpu"),
        ("tensorrt", "onnxruntime-gpu"),
        ("openvino", "onnxruntime-openvino"),
    ] {
        let properties = format!("model={} execution-provider={provider}", tokenizer(TINY));
        assert_says(
            &encoder_error(&properties, 16, 16),
            &[provider, "cannot be used", package],
        );
    }
}

#[test]
fn a_provider_that_does_not_exist() {
    init();
    let error = gst::parse::launch("vidtokenc execution-provider=abacus").expect_err("no such provider");
    assert!(error.to_string().contains("execution-provider"), "{error}");
}

#[test]
fn a_picture_too_large_for_memory_is_named_in_megabytes() {
    let error = encoder_error(&format!("model={}", tokenizer(TINY)), 16_000, 16_000);
    assert_says(&error, &["MB", "16000×16000", "scale the video down"]);
}

#[test]
fn sizes_that_cannot_be() {
    init();
    let line = Line::new(
        &format!("vidtokenc model={}", tokenizer(TINY)),
        &video_caps(100_000, 16, (30, 1)),
    );
    line.play();
    line.push(gst::Buffer::new());
    assert!(line.error(LIMIT).is_some(), "caps outside the template are refused");
}

#[test]
fn interlaced_video() {
    init();
    let mut caps = video_caps(16, 16, (30, 1));
    caps.get_mut().unwrap().set("interlace-mode", "interleaved");
    let line = Line::new(&format!("vidtokenc model={}", tokenizer(TINY)), &caps);
    line.play();
    line.push(buffer(&video(1, 16, 16)[0], 16));
    assert_says(&line.error(LIMIT).expect("an error"), &["Interlaced", "deinterlace"]);
}

#[test]
fn a_frame_of_the_wrong_size() {
    init();
    // Rows of ten pixels are 30 bytes, padded to 32. These frames are too short, without padding, or with too much of
    // it.
    for bytes in [5, 16 * 30, 16 * 48] {
        let line = Line::new(
            &format!("vidtokenc model={}", tokenizer(TINY)),
            &video_caps(10, 16, (30, 1)),
        );
        line.play();
        let mut timed = gst::Buffer::from_mut_slice(vec![0u8; bytes]);
        timed.make_mut().set_pts(gst::ClockTime::ZERO);
        line.push(timed);
        let said = [&*format!("{bytes} bytes"), "10×16", "512 bytes", "padded to 4 bytes"];
        assert_says(&line.error(LIMIT).expect("an error"), &said);
    }
}

#[test]
fn times_that_no_stream_can_keep() {
    let run = |pts: u64| {
        let line = Line::new(
            &format!("vidtokenc model={}", tokenizer(TINY)),
            &video_caps(16, 16, (30, 1)),
        );
        line.play();
        let mut frame = video(1, 16, 16).remove(0);
        frame.pts = pts;
        line.push(buffer(&frame, 16));
        line
    };
    init();
    // Nanoseconds since 1970 are possible, since 1900 they are not. Two buffers: a packet and the end mark.
    assert_eq!(run(1_790_000_000_000_000_000).finish().len(), 2);
    for pts in [4_000_000_000_000_000_000, u64::MAX - 1] {
        let error = run(pts).error(LIMIT).expect("an error");
        assert_says(&error, &["timestamp", &pts.to_string(), "73 years", "do-timestamp"]);
    }
}

#[test]
fn no_caps_at_all() {
    init();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [0u8; 4096]).unwrap();
    let text = format!(
        "filesrc location={} ! vidtokenc model={} ! fakesink",
        file.path().display(),
        tokenizer(TINY)
    );
    assert_says(&first_error(&text), &["no caps", "put decodebin in front"]);
}

/// The first error of a pipeline.
fn first_error(text: &str) -> String {
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    // An error may come before this returns.
    let _ = pipeline.set_state(gst::State::Playing);
    let message = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(LIMIT, &[gst::MessageType::Error]);
    let Some(gst::MessageView::Error(error)) = message.as_ref().map(|message| message.view()) else {
        panic!("no error");
    };
    let said = error.error().to_string();
    pipeline.set_state(gst::State::Null).unwrap();
    said
}

#[test]
fn caps_that_the_pictures_of_the_properties_cannot_have() {
    init();
    for (properties, wanted) in [
        ("size=32x32", "width=64"),
        ("frame-interval=2", "framerate=10/1"),
        ("", "colorimetry=bt601"),
    ] {
        let said = first_error(&format!(
            "videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=64,height=48,framerate=10/1,colorimetry=bt709 \
             ! vidtokenc {properties} ! video/x-vidtok,{wanted} ! fakesink"
        ));
        assert_says(&said, &["Downstream takes", wanted.split('=').next().unwrap()]);
    }
}

#[test]
fn tokens_that_downstream_does_not_take() {
    init();
    let wanted = "video/x-vidtok,stream-format=raw,token-type=float32";
    let line = Line::new(
        &format!("vidtokenc model={} ! {wanted}", tokenizer(TINY)),
        &video_caps(16, 16, (30, 1)),
    );
    line.play();
    line.push(buffer(&video(1, 16, 16)[0], 16));
    assert_says(
        &line.error(LIMIT).expect("an error"),
        &["Downstream takes", "float32", "uint16", "can be"],
    );
}

#[test]
fn a_token_type_that_does_not_suit_the_tokenizer_is_an_error_of_settings() {
    init();
    let line = Line::new(
        &format!("vidtokenc model={} token-type=float32", tokenizer(TINY)),
        &video_caps(16, 16, (30, 1)),
    );
    line.play();
    line.push(buffer(&video(1, 16, 16)[0], 16));
    let bus = line.pipeline.bus().unwrap();
    let message = bus.timed_pop_filtered(LIMIT, &[gst::MessageType::Error]);
    let Some(gst::MessageView::Error(error)) = message.as_ref().map(|message| message.view()) else {
        panic!("no error");
    };
    let error = error.error();
    assert!(error.matches(gst::LibraryError::Settings), "{error:?}");
    assert_says(&error.to_string(), &["float32", "only of uint16 or uint32"]);
}

#[test]
fn the_shape_of_raw_tokens_is_posted_where_gst_launch_prints_it() {
    init();
    let raw = "video/x-vidtok,stream-format=raw";
    let line = Line::new(
        &format!("vidtokenc model={} ! {raw}", tokenizer(TINY)),
        &video_caps(16, 24, (30, 1)),
    );
    line.play();
    line.push(buffer(&video(1, 16, 24)[0], 16));
    line.sink.try_pull_sample(LIMIT).unwrap();
    let message = line.pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Info]);
    let Some(gst::MessageView::Info(info)) = message.as_ref().map(|message| message.view()) else {
        panic!("no message");
    };
    // An application shows the first text, gst-launch-1.0 the second.
    for text in [
        info.error().to_string(),
        info.debug().expect("a debug text").to_string(),
    ] {
        assert_says(&text, &[TINY, "little endian", "[t, 3, 2] uint16"]);
    }
}

#[test]
fn pictures_as_wide_as_a_stream_allows() {
    init();
    let mut harness = gst_check::Harness::new_parse(&format!("vidtokenc model={}", tokenizer(TINY)));
    let width = gstvidtok::format::MAX_DIMENSION;
    harness.set_src_caps(video_caps(width, 1, (30, 1)));
    let caps = harness.sinkpad().unwrap().current_caps().expect("token caps");
    assert_eq!(caps.structure(0).unwrap().get("width"), Ok(width as i32));
}

#[test]
fn raw_tokens_that_cannot_be() {
    init();
    let format = gstvidtok::format::TokenFormat {
        model: TINY.into(),
        digest: digest(TINY),
        regularizer: gstvidtok::format::Regularizer::Fsq { levels: vec![8; 5] },
        token_type: gstvidtok::format::TokenType::Uint16,
        coding: gstvidtok::format::Coding::default(),
        grid_width: 2,
        grid_height: 2,
        time_factor: 4,
        space_factor: 8,
        causal: true,
        width: 16,
        height: 16,
        framerate: gstvidtok::format::Fraction::new(30, 1),
        pixel_aspect_ratio: gstvidtok::format::Fraction::new(1, 1),
        colorimetry: None,
        pixels: None,
    };
    let caps = format.to_caps(gstvidtok::caps::StreamFormat::Raw);
    for (bytes, said) in [(vec![0u8; 7], "7 bytes"), (vec![0xff; 8], "32767")] {
        let line = Line::new(&format!("vidtokdec model={}", tokenizer(TINY)), &caps);
        line.play();
        line.push(gst::Buffer::from_mut_slice(bytes));
        assert_says(&line.error(LIMIT).expect("an error"), &[said]);
    }
}

fn digest(name: &str) -> String {
    let json = std::fs::read(Path::new(&tokenizer(name)).join("tokenizer.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    json["digest"].as_str().unwrap().into()
}

#[test]
fn tokens_of_another_version_of_the_embedded_tokenizer() {
    let embedded = gstvidtok::tokenizer::embedded(Role::Decoder).unwrap().description;
    let by_digest = |name: &str| {
        let other = "0".repeat(64);
        let found = gstvidtok::tokenizer::by_digest(&other, name, Role::Decoder, Target::Cpu);
        found.expect_err("there is no such tokenizer").to_string()
    };
    let short = &embedded.digest[..12];
    assert_says(&by_digest(&embedded.name), &["000000000000", "another version", short]);
    assert_says(&by_digest("other"), &["\"other\"", "not embedded"]);
}
