//! Bare tokens through the parser: a file of numbers becomes pictures.

mod common;

use common::*;
use gst::prelude::*;

const SIZE: (u32, u32) = (40, 24);
/// What a person knows of such a file.
const CAPS: &str = "video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width=40,height=24";

/// Numbers of a video at 30 frames per second, and the pictures that they decode to.
fn recorded(frames: u64) -> (Vec<u8>, Vec<gst::Buffer>) {
    init();
    let video = video(frames, SIZE.0, SIZE.1);
    let encoder = "vidtokenc ! video/x-vidtok,stream-format=raw";
    let tokens = bytes(&run(encoder, &video, SIZE.0, SIZE.1, (30, 1))).concat();
    let pictures = run("vidtokenc ! vidtokdec", &video, SIZE.0, SIZE.1, (30, 1));
    (tokens, pictures)
}

/// What came out of a line.
struct Outcome {
    pictures: Vec<gst::Buffer>,
    warnings: Vec<String>,
    error: Option<String>,
}

/// Plays a file of these bytes by `filesrc ! FILTERS ! appsink`, up to its end or an error.
fn play(bytes: &[u8], filters: &str) -> Outcome {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let (pipeline, sink) = with_sink(&format!("filesrc location={} ! {filters}", file.path().display()));
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut warnings, mut error) = (Vec::new(), None);
    let mut pictures = Vec::new();
    loop {
        while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(10)) {
            pictures.push(sample.buffer_owned().unwrap());
        }
        let Some(message) = bus.pop() else {
            if sink.is_eos() {
                break;
            }
            continue;
        };
        match message.view() {
            gst::MessageView::Warning(warning) => warnings.push(warning.error().to_string()),
            gst::MessageView::Error(message) => {
                error = Some(message.error().to_string());
                break;
            }
            _ => (),
        }
    }
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Warning]) {
        if let gst::MessageView::Warning(warning) = message.view() {
            warnings.push(warning.error().to_string());
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    Outcome {
        pictures,
        warnings,
        error,
    }
}

fn times(buffers: &[gst::Buffer]) -> Vec<u64> {
    buffers.iter().map(|buffer| buffer.pts().unwrap().nseconds()).collect()
}

#[test]
fn a_file_of_numbers_becomes_pictures() {
    let (tokens, pictures) = recorded(29);
    // In pull mode, behind a queue, and with fields that the parser would fill in.
    for filters in [
        format!("{CAPS},framerate=30/1 ! vidtokparse ! vidtokdec"),
        format!("queue ! {CAPS},framerate=30/1 ! vidtokparse ! vidtokdec"),
        format!("{CAPS},framerate=30/1,time-factor=4,grid-width=5 ! vidtokparse ! queue ! vidtokdec"),
    ] {
        let played = play(&tokens, &filters);
        assert_eq!(played.error, None, "{filters}");
        assert!(bytes(&played.pictures) == bytes(&pictures), "{filters}");
        assert_eq!(times(&played.pictures), times(&pictures));
        assert_eq!(played.warnings, [""; 0]);
    }
}

#[test]
fn bytes_in_pieces_of_any_size_become_pictures() {
    let (tokens, pictures) = recorded(9);
    let caps = format!("{CAPS},framerate=30/1").parse().unwrap();
    let line = Line::new("vidtokparse ! vidtokdec", &caps);
    line.play();
    for piece in tokens.chunks(7) {
        line.push(gst::Buffer::from_mut_slice(piece.to_vec()));
    }
    assert!(bytes(&line.finish()) == bytes(&pictures));
    assert_eq!(line.warnings(), [""; 0]);
}

#[test]
fn without_a_framerate_it_is_25() {
    let (tokens, pictures) = recorded(9);
    let played = play(&tokens, &format!("{CAPS} ! vidtokparse ! vidtokdec"));
    assert!(bytes(&played.pictures) == bytes(&pictures));
    assert_eq!(
        times(&played.pictures),
        (0..9).map(|frame| frame * 40_000_000).collect::<Vec<_>>()
    );
    assert!(
        played.warnings.len() == 1 && played.warnings[0].contains("25/1 is assumed"),
        "{:?}",
        played.warnings
    );
}

#[test]
fn a_file_that_ends_in_the_middle_says_so() {
    let (mut tokens, pictures) = recorded(9);
    // A latent frame has 3 × 5 cells.
    tokens.extend([0; 7]);
    for queue in ["", "queue ! "] {
        let played = play(
            &tokens,
            &format!("{queue}{CAPS},framerate=30/1 ! vidtokparse ! vidtokdec"),
        );
        assert!(bytes(&played.pictures) == bytes(&pictures));
        assert_eq!(
            (played.error, played.warnings.len()),
            (None, 1),
            "{:?}",
            played.warnings
        );
        for part in ["7 bytes", "30", "40×24", "uint16"] {
            assert!(played.warnings[0].contains(part), "{part} in {}", played.warnings[0]);
        }
    }
    let error = play(&tokens[..29], &format!("{CAPS} ! vidtokparse ! vidtokdec"))
        .error
        .unwrap();
    assert!(error.contains("29 bytes"), "{error}");
}

#[test]
fn caps_that_cannot_be_are_named() {
    let (tokens, _) = recorded(1);
    for (caps, parts) in [
        (
            "model=nowhere,width=40,height=24",
            &["nowhere", "GST_VIDTOK_MODEL_PATH"][..],
        ),
        ("width=40,height=24", &["model"]),
        ("model=vidtok-small-488-32768,width=40", &["height"]),
        (
            "model=vidtok-small-488-32768,width=40,height=24,grid-height=4",
            &["grid-height=4", "40×24"],
        ),
    ] {
        let filters = format!("video/x-vidtok,stream-format=raw,{caps} ! vidtokparse ! vidtokdec");
        let error = play(&tokens, &filters).error.unwrap();
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

#[test]
fn raw_tokens_survive_a_pipe_without_their_meta() {
    let (_, pictures) = recorded(20);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.gdp");
    let encoder = format!(
        "vidtokenc key-interval=6 ! video/x-vidtok,stream-format=raw ! gdppay ! filesink location={}",
        path.display()
    );
    write(&encoder, &video(20, SIZE.0, SIZE.1), SIZE.0, SIZE.1);
    let played = play(&std::fs::read(path).unwrap(), "gdpdepay ! vidtokdec");
    assert_eq!(times(&played.pictures), times(&pictures));
    let expected = run(
        "vidtokenc key-interval=6 ! vidtokdec",
        &video(20, SIZE.0, SIZE.1),
        SIZE.0,
        SIZE.1,
        (30, 1),
    );
    assert!(bytes(&played.pictures) == bytes(&expected));
    assert_eq!((played.error, played.warnings), (None, Vec::new()));
}
