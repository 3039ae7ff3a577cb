//! Encoder graphs that take bytes, and such that take floats.

mod common;

use std::path::Path;
use std::time::Duration;

use common::*;
use gstvidtok::runtime::{EncoderNetwork, ExecutionProvider, Options, RuntimeError, Silent};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{self, FrameType, Role, Target};

/// Pairs of tokenizers that differ in this only: of bytes, and of floats. `golden_bytes` does not say what it takes, as
/// graphs from before the key.
const PAIRS: [[&str; 2]; 2] = [["toy", "toy_floats"], ["golden_bytes", GOLDEN]];

fn options(batch_streams: u32) -> Options {
    Options {
        provider: ExecutionProvider::Cpu,
        batch_streams,
        batch_timeout: Duration::from_millis(1),
        ..Options::default()
    }
}

fn open(model: &Path, options: Options, size: (u32, u32)) -> Result<EncoderNetwork, String> {
    let graph = tokenizer::open(model.to_str().unwrap(), Role::Encoder, Target::Cpu).map_err(|e| e.to_string())?;
    EncoderNetwork::open(&graph, options, size.0, size.1, &Silent).map_err(|e| e.to_string())
}

#[test]
fn both_give_the_same_tokens_of_whole_numbers() {
    init();
    // Not in whole cells, so that frames are padded; two segments, of which the second ends within a group.
    let (width, height) = (44, 28);
    let frames = video(15, width, height);
    let tokens = |name: &str, properties: &str| {
        let line = format!(
            "vidtokenc name=e model={} execution-provider=cpu key-interval=9 {properties} ! {}",
            tokenizer(name),
            "video/x-vidtok,stream-format=raw"
        );
        let line = Line::new(&line, &video_caps(width, height, (30, 1)));
        line.play();
        frames.iter().for_each(|frame| line.push(buffer(frame, width)));
        let tokens = bytes(&line.finish()).concat();
        (tokens, line.stats("e").get::<String>("input").unwrap())
    };
    for [of_bytes, of_floats] in PAIRS {
        let (expected, input) = tokens(of_bytes, "");
        assert_eq!(input, "uint8");
        assert!(expected.windows(2).any(|pair| pair[0] != pair[1]));
        assert_eq!(tokens(of_floats, ""), (expected.clone(), "float32".into()));
        if of_floats == "toy_floats" {
            assert_eq!(tokens(of_floats, "batch-streams=2 batch-timeout=0").0, expected);
        }
    }
}

/// The toy's first token of a plain picture is a hundred times its brightness, plus one.
#[test]
fn numbers_between_whole_ones_are_not_rounded() {
    init();
    let (width, height) = (16, 8);
    for streams in [0, 2] {
        let mut network = open(tokenizer("toy_floats").as_ref(), options(streams), (width, height)).unwrap();
        assert_eq!(network.input(), FrameType::Float32);
        for (brightness, token) in [(10.5f32, 1051), (10.75, 1076), (255.25, 25526)] {
            let frames: Vec<u8> = (0..4 * width * height * 3)
                .flat_map(|_| brightness.to_ne_bytes())
                .collect();
            network.restart();
            assert_eq!(network.encode(&frames).unwrap(), Tokens::Indices(vec![token; 2]));
        }
    }
}

#[test]
fn a_step_on_numbers_of_another_type_is_refused() {
    init();
    for (name, numbers) in [("toy", 4), ("toy_floats", 1)] {
        let mut network = open(tokenizer(name).as_ref(), options(0), (16, 8)).unwrap();
        let Err(error @ RuntimeError::Run(_)) = network.encode(&vec![0; 4 * 16 * 8 * 3 * numbers]) else {
            panic!("{name} took it");
        };
        assert!(error.to_string().contains("a step takes"), "{error}");
    }
}

#[test]
fn a_graph_that_contradicts_what_it_says_is_refused() {
    init();
    let folder = tempfile::tempdir().unwrap();
    // The same graph, with some of its bytes changed.
    let spoilt = |name: &str, from: &str, to: &str| {
        let graph = std::fs::read(format!("{}/encoder.onnx", tokenizer(name))).unwrap();
        let place = graph.windows(from.len()).position(|bytes| bytes == from.as_bytes());
        let mut graph = graph.clone();
        graph[place.unwrap()..][..to.len()].copy_from_slice(to.as_bytes());
        let path = folder.path().join("encoder.onnx");
        std::fs::write(&path, graph).unwrap();
        open(&path, options(0), (16, 8)).map(|network| network.input())
    };
    // Without the key, frames are bytes.
    assert_eq!(spoilt("toy", "vidtok.input", "vidtok.inpux"), Ok(FrameType::Uint8));
    let error = spoilt("toy_floats", "vidtok.input", "vidtok.inpux").unwrap_err();
    for part in [
        "\"toy_floats\"",
        "\"frames\" of f32",
        "\"vidtok.input\" is uint8, or missing",
        "encoder.onnx",
    ] {
        assert!(error.contains(part), "\"{part}\" is missing in: {error}");
    }
    let error = spoilt("toy_floats", "float32", "float64").unwrap_err();
    assert!(error.contains("\"vidtok.input\" has an impossible value"), "{error}");
}
