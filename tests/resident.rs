//! Runs on tensors at fixed places, as CUDA graphs want them. Here on the CPU provider, which captures nothing: that the
//! right things are at the right places at every step.

mod common;

use common::{GOLDEN, Line, TINY, buffer, init, tokenizer, video, video_caps};
use gstvidtok::runtime::{DecoderNetwork, EncoderNetwork, ExecutionProvider, Options, RuntimeError};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{self, Role, Target};

const SIZE: (u32, u32) = (48, 32);

fn options(cuda_graph: bool) -> Options {
    Options {
        provider: ExecutionProvider::Cpu,
        cuda_graph,
        ..Options::default()
    }
}

fn encoder(name: &str, cuda_graph: bool) -> EncoderNetwork {
    let graph = tokenizer::open(&tokenizer(name), Role::Encoder, Target::Cpu).unwrap();
    EncoderNetwork::open(&graph, options(cuda_graph), SIZE.0, SIZE.1).unwrap()
}

fn decoder(name: &str, cuda_graph: bool) -> DecoderNetwork {
    let graph = tokenizer::open(&tokenizer(name), Role::Decoder, Target::Cpu).unwrap();
    DecoderNetwork::open(&graph, options(cuda_graph), SIZE.0, SIZE.1).unwrap()
}

/// Steps of four frames, with a new segment after an even and after an odd number of them.
fn steps() -> Vec<(Vec<u8>, bool)> {
    let frames = video(4 * 9, SIZE.0, SIZE.1);
    let pictures = frames
        .chunks(4)
        .map(|step| step.iter().flat_map(|frame| frame.rgb.clone()).collect());
    pictures
        .enumerate()
        .map(|(step, pictures)| (pictures, step == 4 || step == 7))
        .collect()
}

#[test]
fn tokens_and_pictures_are_those_of_ordinary_runs() {
    init();
    let encode = |cuda_graph| -> Vec<Tokens> {
        let mut network = encoder(TINY, cuda_graph);
        let step = |(pictures, restart): &(Vec<u8>, bool)| {
            if *restart {
                network.restart();
            }
            network.encode(pictures).unwrap()
        };
        steps().iter().map(step).collect()
    };
    let tokens = encode(false);
    assert!(
        tokens.windows(2).all(|pair| pair[0] != pair[1]),
        "all steps give the same"
    );
    assert_eq!(encode(true), tokens);

    let decode = |cuda_graph| -> Vec<Vec<u8>> {
        let mut network = decoder(TINY, cuda_graph);
        let step = |(index, tokens)| network.decode(tokens, index == 1, <[u8]>::to_vec).unwrap();
        tokens.iter().enumerate().map(step).collect()
    };
    let pictures = decode(false);
    assert!(
        pictures.windows(2).all(|pair| pair[0] != pair[1]),
        "all steps give the same"
    );
    assert!(decode(true) == pictures);
}

#[test]
fn each_of_several_outputs_comes_out_of_its_own_place() {
    init();
    let encode = |cuda_graph| -> Vec<_> {
        let mut network = encoder("golden_kl_v1_0", cuda_graph);
        let steps = steps();
        let steps = steps.iter().take(3);
        steps
            .map(|(pictures, _)| network.encode_posterior(pictures).unwrap())
            .collect()
    };
    let expected = encode(false);
    let Tokens::Floats(means) = &expected[0].0 else {
        panic!("a KL tokenizer has means")
    };
    assert_ne!(*means, expected[0].1, "means and variances cannot be told apart");
    assert!(encode(true) == expected);
}

#[test]
fn streams_do_not_share_places() {
    init();
    let steps = steps();
    let expected: Vec<_> = {
        let mut network = encoder(TINY, false);
        steps
            .iter()
            .map(|(pictures, _)| network.encode(pictures).unwrap())
            .collect()
    };
    let mut networks = [encoder(TINY, true), encoder(TINY, true)];
    // The second one is a step behind.
    for step in 0..=steps.len() {
        for (behind, network) in networks.iter_mut().enumerate() {
            if let Some(step) = step.checked_sub(behind).filter(|step| *step < steps.len()) {
                assert_eq!(
                    network.encode(&steps[step].0).unwrap(),
                    expected[step],
                    "{behind}: {step}"
                );
            }
        }
    }
}

#[test]
fn batches_move_states_and_are_refused() {
    init();
    let options = Options {
        batch_streams: 2,
        ..options(true)
    };
    let graph = tokenizer::open(&tokenizer("toy"), Role::Encoder, Target::Gpu).unwrap();
    let Err(RuntimeError::Graph(text)) = EncoderNetwork::open(&graph, options, SIZE.0, SIZE.1) else {
        panic!("it was taken");
    };
    assert!(text.contains("cuda-graph") && text.contains("batch-streams"), "{text}");
}

#[test]
fn elements_warn_where_there_is_nothing_to_capture() {
    init();
    let line = format!(
        "vidtokenc model={} execution-provider=cpu cuda-graph=true",
        tokenizer(GOLDEN)
    );
    let line = Line::new(&line, &video_caps(16, 16, (30, 1)));
    line.play();
    line.push(buffer(&video(1, 16, 16)[0], 16));
    // A packet and the end mark.
    assert_eq!(line.finish().len(), 2);
    let warnings = line.warnings();
    assert!(
        warnings.len() == 1 && warnings[0].contains("cuda-graph=true has no use on \"cpu\""),
        "{warnings:?}"
    );
}
