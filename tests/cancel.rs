//! Ending a network's steps from another thread: it stops, and other networks are not disturbed.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{TINY, encode, init, tokenizer, video};
use gstvidtok::runtime::{Cancel, DecoderNetwork, EncoderNetwork, ExecutionProvider, Options, RuntimeError, Silent};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{self, Role, Target};

/// A tokenizer whose graphs run several members.
const TOY: &str = "toy";
const SIZE: (u32, u32) = (48, 32);

fn options(batch_streams: u32) -> Options {
    Options {
        provider: ExecutionProvider::Cpu,
        batch_streams,
        batch_timeout: Duration::from_millis(20),
        ..Options::default()
    }
}

fn encoder(name: &str, batch_streams: u32) -> EncoderNetwork {
    let graph = tokenizer::open(&tokenizer(name), Role::Encoder, Target::Cpu).unwrap();
    EncoderNetwork::open(&graph, options(batch_streams), SIZE.0, SIZE.1, &Silent).unwrap()
}

/// The frames of `count` steps.
fn steps(count: u64) -> Vec<Vec<u8>> {
    let frames = video(4 * count, SIZE.0, SIZE.1);
    frames
        .chunks(4)
        .map(|step| step.iter().flat_map(|frame| frame.rgb.clone()).collect())
        .collect()
}

fn encode_all(network: &mut EncoderNetwork, steps: &[Vec<u8>]) -> Vec<Tokens> {
    steps.iter().map(|step| encode(network, step).unwrap()).collect()
}

#[test]
fn a_cancelled_network_starts_a_segment_next() {
    init();
    let steps = steps(3);
    let expected = encode_all(&mut encoder(TINY, 0), &steps);
    for streams in [0, 2] {
        let name = if streams == 0 { TINY } else { TOY };
        let expected = if streams == 0 {
            expected.clone()
        } else {
            encode_all(&mut encoder(TOY, 0), &steps)
        };
        let (mut network, cancel) = (encoder(name, streams), Cancel::default());
        network.set_cancel(cancel.clone());
        encode_all(&mut network, &steps[..2]);
        cancel.cancel();
        for _ in 0..2 {
            assert!(matches!(encode(&mut network, &steps[2]), Err(RuntimeError::Cancelled)));
        }
        cancel.reset();
        assert_eq!(encode_all(&mut network, &steps), expected);
    }
}

#[test]
fn a_step_ends_before_it_is_done() {
    init();
    let graph = tokenizer::embedded(Role::Decoder).unwrap();
    let side = 1024;
    let mut network = DecoderNetwork::open(&graph, options(0), side, side, &Silent).unwrap();
    let cells = (side / 8 * side / 8) as usize;
    let tokens = Tokens::Indices(vec![7; cells]);
    network.decode(&tokens, false, |_| ()).unwrap();
    let mut whole = || {
        let started = Instant::now();
        network.decode(&tokens, true, |_| ()).unwrap();
        started.elapsed()
    };
    // The longer of two: the machine may be busy.
    let whole = whole().max(whole());
    let cancel = Cancel::default();
    network.set_cancel(cancel.clone());
    std::thread::scope(|scope| {
        let step = scope.spawn(|| {
            let started = Instant::now();
            (network.decode(&tokens, false, |_| ()).err(), started.elapsed())
        });
        std::thread::sleep(whole / 8);
        cancel.cancel();
        let (error, elapsed) = step.join().unwrap();
        assert!(matches!(error, Some(RuntimeError::Cancelled)), "{error:?}");
        assert!(elapsed < whole, "{elapsed:?} of {whole:?}");
    });
}

/// One network is cancelled again and again, at any point; the other one's tokens are not changed.
#[test]
fn other_streams_of_the_network_go_on() {
    init();
    let steps = steps(20);
    for (name, streams) in [(TINY, 0), (TOY, 2)] {
        let expected = encode_all(&mut encoder(name, 0), &steps);
        let (mut disturbed, mut other) = (encoder(name, streams), encoder(name, streams));
        let (cancel, done) = (Cancel::default(), AtomicBool::new(false));
        disturbed.set_cancel(cancel.clone());
        let cancelled = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let (steps, expected, done, cancelled) = (&steps, &expected, &done, &cancelled);
            let own = cancel.clone();
            let disturbed = scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    match encode(&mut disturbed, &steps[0]) {
                        Ok(tokens) => drop(tokens),
                        Err(RuntimeError::Cancelled) => {
                            cancelled.fetch_add(1, Ordering::SeqCst);
                            own.reset();
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    cancel.cancel();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            // Small steps may be over before the other threads run.
            let (started, mut same) = (Instant::now(), true);
            while same && !disturbed.is_finished() {
                other.restart();
                same = encode_all(&mut other, steps) == *expected;
                if cancelled.load(Ordering::SeqCst) > 0 || started.elapsed() > Duration::from_secs(30) {
                    break;
                }
            }
            done.store(true, Ordering::SeqCst);
            assert!(same, "{name}");
        });
        assert!(cancelled.into_inner() > 0, "{name}");
    }
}

#[test]
fn a_network_that_waits_for_a_batch_is_cancelled() {
    init();
    let steps = steps(2);
    let graph = tokenizer::open(&tokenizer(TOY), Role::Encoder, Target::Cpu).unwrap();
    let patient = Options {
        batch_timeout: Duration::from_secs(60),
        ..options(2)
    };
    let [mut waiting, mut absent] =
        [0, 1].map(|_| EncoderNetwork::open(&graph, patient, SIZE.0, SIZE.1, &Silent).unwrap());
    // It took part in the last run: the next one waits for it.
    encode_all(&mut absent, &steps[..1]);
    let cancel = Cancel::default();
    waiting.set_cancel(cancel.clone());
    let started = Instant::now();
    std::thread::scope(|scope| {
        let step = scope.spawn(|| encode(&mut waiting, &steps[1]));
        std::thread::sleep(Duration::from_millis(50));
        cancel.cancel();
        assert!(matches!(step.join().unwrap(), Err(RuntimeError::Cancelled)));
    });
    assert!(started.elapsed() < Duration::from_secs(30));
    drop(absent);
}
