//! Several networks of one graph: each with its own state, alone and in batches.

mod common;

use std::error::Error;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{Frame, Line, TINY, buffer, bytes, init, run, tokenizer, video, video_caps};
use gstvidtok::runtime::{DecoderNetwork, EncoderNetwork, ExecutionProvider, Options, RuntimeError, Silent};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{self, Graph, Role};

/// A tokenizer whose graphs run several members.
const TOY: &str = "toy";
const SIZE: (u32, u32) = (48, 32);
/// Longer than a test may take: waiting for it fails the test.
const FOREVER: Duration = Duration::from_secs(60);

/// Steps of a clip, different for every `seed`: the pictures of each, and whether it starts a segment.
fn clip(steps: u64, seed: u64, (width, height): (u32, u32)) -> Vec<(Vec<u8>, bool)> {
    let frames = video(4 * (steps + 3 * seed), width, height);
    let frames: Vec<&Frame> = frames.iter().skip(12 * seed as usize).collect();
    let step = |(index, frames): (usize, &[&Frame])| {
        let pictures = frames.iter().flat_map(|frame| frame.rgb.iter().copied()).collect();
        // Segments of different lengths, so that clips start them at different times.
        (pictures, index % (5 + seed as usize) == 0)
    };
    frames.chunks(4).enumerate().map(step).collect()
}

fn graph(name: &str, role: Role, options: Options) -> Graph {
    tokenizer::open(&tokenizer(name), role, options.target()).unwrap()
}

fn encoder(name: &str, options: Options, (width, height): (u32, u32)) -> EncoderNetwork {
    EncoderNetwork::open(&graph(name, Role::Encoder, options), options, width, height, &Silent).unwrap()
}

fn decoder(name: &str, options: Options, (width, height): (u32, u32)) -> DecoderNetwork {
    DecoderNetwork::open(&graph(name, Role::Decoder, options), options, width, height, &Silent).unwrap()
}

fn encode(network: &mut EncoderNetwork, (pictures, restart): &(Vec<u8>, bool)) -> Tokens {
    if *restart {
        network.restart();
    }
    common::encode(network, pictures).unwrap()
}

fn alone() -> Options {
    Options {
        provider: ExecutionProvider::Cpu,
        ..Options::default()
    }
}

fn batched(streams: u32, timeout: Duration) -> Options {
    Options {
        batch_streams: streams,
        batch_timeout: timeout,
        ..alone()
    }
}

/// The tokens of a clip in a session of its own.
fn expected(name: &str, clip: &[(Vec<u8>, bool)], size: (u32, u32)) -> Vec<Tokens> {
    let mut network = encoder(name, alone(), size);
    let tokens: Vec<Tokens> = clip.iter().map(|step| encode(&mut network, step)).collect();
    // A test in which all steps give the same could not tell one state from another.
    assert!(tokens.windows(2).all(|pair| pair[0] != pair[1]));
    tokens
}

#[test]
fn interleaved_networks_give_what_each_gives_alone() {
    init();
    let clips: Vec<_> = (0..3).map(|seed| clip(7, seed, SIZE)).collect();
    let expected: Vec<_> = clips.iter().map(|clip| expected(TINY, clip, SIZE)).collect();
    let mut networks: Vec<_> = clips.iter().map(|_| encoder(TINY, alone(), SIZE)).collect();
    for step in 0..7 {
        for (stream, network) in networks.iter_mut().enumerate() {
            assert_eq!(encode(network, &clips[stream][step]), expected[stream][step]);
        }
    }
}

#[test]
fn networks_that_run_at_the_same_time_give_what_each_gives_alone() {
    init();
    let clips: Vec<_> = (0..4).map(|seed| clip(12, seed, SIZE)).collect();
    let expected: Vec<_> = clips.iter().map(|clip| expected(TINY, clip, SIZE)).collect();
    // With one thread per session, where they run at the same time, and with threads that they share.
    for threads in [1, 3] {
        let options = Options { threads, ..alone() };
        let start = Barrier::new(clips.len());
        std::thread::scope(|scope| {
            for (clip, expected) in clips.iter().zip(&expected) {
                let mut network = encoder(TINY, options, SIZE);
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    for (step, tokens) in clip.iter().zip(expected) {
                        assert_eq!(encode(&mut network, step), *tokens);
                    }
                });
            }
        });
    }
}

#[test]
fn decoders_that_run_at_the_same_time_give_what_each_gives_alone() {
    init();
    let streams: Vec<_> = (0..3)
        .map(|seed| {
            let tokens = expected(TINY, &clip(8, seed, SIZE), SIZE);
            let pictures = decode(&mut decoder(TINY, alone(), SIZE), &tokens);
            (tokens, pictures)
        })
        .collect();
    std::thread::scope(|scope| {
        for (tokens, pictures) in &streams {
            let mut network = decoder(TINY, alone(), SIZE);
            scope.spawn(move || assert!(decode(&mut network, tokens) == *pictures));
        }
    });
}

/// The pictures of `tokens`, as one segment.
fn decode(network: &mut DecoderNetwork, tokens: &[Tokens]) -> Vec<Vec<u8>> {
    let step = |(index, tokens)| network.decode(tokens, index == 1, <[u8]>::to_vec).unwrap();
    tokens.iter().enumerate().map(step).collect()
}

/// More networks than a batch takes, which begin, pause and end at different times.
#[test]
fn members_of_batches_give_what_each_gives_alone() {
    init();
    let clips: Vec<_> = (0..5).map(|seed| clip(10 + 4 * seed, seed, SIZE)).collect();
    let expected: Vec<_> = clips.iter().map(|clip| expected(TOY, clip, SIZE)).collect();
    let options = batched(3, Duration::from_millis(20));
    let largest = std::thread::scope(|scope| {
        let streams = clips
            .iter()
            .zip(&expected)
            .enumerate()
            .map(|(stream, (clip, expected))| {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(15 * stream as u64));
                    let mut network = encoder(TOY, options, SIZE);
                    let mut largest = 0;
                    for (index, (step, tokens)) in clip.iter().zip(expected).enumerate() {
                        if index == 4 + stream {
                            std::thread::sleep(Duration::from_millis(100));
                        }
                        assert_eq!(encode(&mut network, step), *tokens, "stream {stream}, step {index}");
                        largest = largest.max(network.streams());
                    }
                    largest
                })
            });
        let streams: Vec<_> = streams.collect();
        streams.into_iter().map(|stream| stream.join().unwrap()).max().unwrap()
    });
    assert!(largest > 1, "no two networks ever ran together");
}

#[test]
fn decoders_in_batches_give_what_each_gives_alone() {
    init();
    let streams: Vec<_> = (0..3)
        .map(|seed| {
            let tokens = expected(TOY, &clip(9, seed, SIZE), SIZE);
            let pictures = decode(&mut decoder(TOY, alone(), SIZE), &tokens);
            (tokens, pictures)
        })
        .collect();
    let options = batched(2, Duration::from_millis(20));
    std::thread::scope(|scope| {
        for (tokens, pictures) in &streams {
            scope.spawn(move || assert!(decode(&mut decoder(TOY, options, SIZE), tokens) == *pictures));
        }
    });
}

/// The timeout is never reached, so that a run starts when all members have requested a step.
#[test]
fn all_members_are_in_every_batch() {
    init();
    let options = batched(3, FOREVER);
    let clips: Vec<_> = (0..3).map(|seed| clip(60, seed, SIZE)).collect();
    let expected: Vec<_> = clips.iter().map(|clip| expected(TOY, clip, SIZE)).collect();
    let networks: Vec<_> = (0..3).map(|_| encoder(TOY, options, SIZE)).collect();
    let ready = Barrier::new(3);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for ((clip, expected), mut network) in clips.iter().zip(&expected).zip(networks) {
            let ready = &ready;
            scope.spawn(move || {
                ready.wait();
                let mut streams = Vec::new();
                for (step, tokens) in clip.iter().zip(expected) {
                    // Without a pause, one network could be done before the next one begins.
                    std::thread::sleep(Duration::from_millis(3));
                    assert_eq!(encode(&mut network, step), *tokens);
                    streams.push(network.streams());
                }
                // The first steps may run before the others have joined, and the last ones after the others have left.
                let first = streams.iter().position(|streams| *streams == 3);
                let last = streams.iter().rposition(|streams| *streams == 3);
                let (Some(first), Some(last)) = (first, last) else {
                    panic!("never together: {streams:?}");
                };
                assert!(streams[first..last].iter().all(|streams| *streams == 3), "{streams:?}");
            });
        }
    });
    assert!(started.elapsed() < FOREVER);
}

#[test]
fn a_paused_member_is_waited_for_once_and_goes_on_where_it_was() {
    init();
    let timeout = Duration::from_secs(1);
    let clips = [clip(30, 0, SIZE), clip(6, 1, SIZE)];
    let expected = [0, 1].map(|stream| expected(TOY, &clips[stream], SIZE));
    let mut networks = [0, 1].map(|_| encoder(TOY, batched(2, timeout), SIZE));
    let [running, paused] = &mut networks;
    let step = |network: &mut EncoderNetwork, stream: usize, index: usize| {
        assert_eq!(
            encode(network, &clips[stream][index]),
            expected[stream][index],
            "{stream}: {index}"
        );
    };
    let together =
        |first: &mut EncoderNetwork, second: &mut EncoderNetwork, range: std::ops::Range<usize>, shift: usize| {
            std::thread::scope(|scope| {
                let (clips, expected) = (&clips, &expected);
                let steps = range.clone();
                scope.spawn(move || {
                    for index in steps {
                        assert_eq!(encode(second, &clips[1][index]), expected[1][index], "1: {index}");
                    }
                });
                for index in range {
                    assert_eq!(
                        encode(first, &clips[0][index + shift]),
                        expected[0][index + shift],
                        "0: {index}"
                    );
                }
            });
        };
    together(running, paused, 0..3, 0);
    let started = Instant::now();
    for index in 3..23 {
        step(running, 0, index);
    }
    // Waiting at every step would take twenty times the timeout.
    assert!(started.elapsed() < 5 * timeout, "{:?}", started.elapsed());
    together(running, paused, 3..6, 20);
}

#[test]
fn no_member_waits_for_one_that_has_left() {
    init();
    let clips = [clip(9, 0, SIZE), clip(3, 1, SIZE)];
    let expected = [0, 1].map(|stream| expected(TOY, &clips[stream], SIZE));
    let options = batched(2, FOREVER);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (clip, expected) in clips.iter().zip(&expected) {
            let mut network = encoder(TOY, options, SIZE);
            scope.spawn(move || {
                for (step, tokens) in clip.iter().zip(expected) {
                    assert_eq!(encode(&mut network, step), *tokens);
                }
            });
        }
    });
    assert!(started.elapsed() < FOREVER);
}

#[test]
fn pictures_of_different_sizes_are_in_different_batches() {
    init();
    let sizes = [(48, 32), (64, 40)];
    let clips = sizes.map(|size| clip(6, 1, size));
    let expected = [0, 1].map(|stream| expected(TOY, &clips[stream], sizes[stream]));
    let options = batched(2, FOREVER);
    std::thread::scope(|scope| {
        for ((clip, expected), size) in clips.iter().zip(&expected).zip(sizes) {
            let mut network = encoder(TOY, options, size);
            scope.spawn(move || {
                for (step, tokens) in clip.iter().zip(expected) {
                    assert_eq!(encode(&mut network, step), *tokens);
                    assert_eq!(network.streams(), 1);
                }
            });
        }
    });
}

#[test]
fn a_graph_for_one_member_is_refused_for_batches() {
    init();
    let options = batched(4, Duration::ZERO);
    let graph = graph(TINY, Role::Encoder, options);
    let Err(error @ RuntimeError::Graph(_)) = EncoderNetwork::open(&graph, options, SIZE.0, SIZE.1, &Silent) else {
        panic!("it was taken");
    };
    let text = error.to_string();
    assert!(
        text.contains("batch-streams") && text.contains("one stream at a time"),
        "{text}"
    );
}

#[test]
fn a_graph_that_gives_more_than_it_says_is_an_error() {
    init();
    let tokens = expected(TOY, &clip(1, 0, SIZE), SIZE);
    for options in [alone(), batched(2, Duration::ZERO)] {
        let mut network = decoder("toy_wrong", options, SIZE);
        let Err(error @ RuntimeError::Run(_)) = network.decode(&tokens[0], false, |_| ()) else {
            panic!("it was shown");
        };
        assert!(error.to_string().contains("ONNX Runtime"), "{error}");
        // The cause is there for programs, for each member of a batch, too.
        assert!(error.source().is_some_and(|cause| cause.is::<ort::Error>()));
    }
}

/// Graphs exported before `edge` was a truth value take it as a number.
#[test]
fn decoders_that_take_the_edge_as_a_number_show_the_same() {
    init();
    let tokens = expected(TOY, &clip(3, 0, SIZE), SIZE);
    let show = |name: &str, options| {
        let mut network = decoder(name, options, SIZE);
        let edges = [false, true, false];
        let step = |(tokens, edge): (&Tokens, bool)| network.decode(tokens, edge, <[u8]>::to_vec).unwrap();
        tokens.iter().zip(edges).map(step).collect::<Vec<_>>()
    };
    let shown = show(TOY, alone());
    assert!(show("toy_float_edge", alone()) == shown);
    assert!(show("toy_float_edge", batched(2, Duration::ZERO)) == shown);
    // The toy is brighter by 10 where it looks ahead, so the edge reached it.
    let mut first = decoder(TOY, alone(), SIZE);
    let clamped = first.decode(&tokens[0], true, <[u8]>::to_vec).unwrap();
    assert!(
        shown[0]
            .iter()
            .zip(&clamped)
            .all(|(ahead, clamped)| *ahead == clamped + 10)
    );
}

#[test]
fn a_graph_of_the_other_role_is_an_error() {
    init();
    let graph = graph(TINY, Role::Decoder, alone());
    let Err(error @ RuntimeError::Graph(_)) = EncoderNetwork::open(&graph, alone(), SIZE.0, SIZE.1, &Silent) else {
        panic!("it was taken");
    };
    assert!(error.to_string().contains("the graph of the decoder"), "{error}");
}

#[test]
fn a_step_of_another_size_is_an_error() {
    init();
    let mut network = encoder(TOY, alone(), SIZE);
    let Err(error @ RuntimeError::Run(_)) = network.encode(&[0; 100]) else {
        panic!("it was taken");
    };
    let text = error.to_string();
    assert!(text.contains("18432 bytes") && text.contains("100"), "{text}");
}

#[test]
fn elements_run_in_batches() {
    init();
    let model = tokenizer(TOY);
    let (width, height) = SIZE;
    let frames = video(61, width, height);
    let raw = "video/x-vidtok,stream-format=raw";
    let expected = bytes(&run(
        &format!("vidtokenc model={model} ! {raw}"),
        &frames,
        width,
        height,
        (30, 1),
    ));
    let line = format!(
        "vidtokenc name=encoder model={model} execution-provider=cpu batch-streams=2 batch-timeout=1000000000 ! {raw}"
    );
    let lines = [0, 1].map(|_| Line::new(&line, &video_caps(width, height, (30, 1))));
    lines.iter().for_each(Line::play);
    for frame in &frames {
        lines.iter().for_each(|line| line.push(buffer(frame, width)));
        // Without a pause, the first line could be done before the second one begins.
        std::thread::sleep(Duration::from_millis(3));
    }
    for line in &lines {
        assert_eq!(bytes(&line.finish()), expected);
        let mean: f64 = line.stats("encoder").get("batch-mean").unwrap();
        assert!(mean > 1.5 && mean <= 2.0, "{mean}");
    }
}
