//! Runs the fuzz targets with the inputs in `fuzz/corpus` and with random changes of them, the same in every run.
//!
//! `VIDTOK_FUZZ_RUNS` is the number of changed inputs per target, `VIDTOK_FUZZ_SEED` their random seed. An input on
//! which a target fails is written to `target/tmp`.

mod mutate;
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::path::{Path, PathBuf};

use mutate::Mutator;
use targets::Target;

/// Default numbers of changed inputs, for targets without and with elements.
const PURE: usize = 3000;
const ELEMENT: usize = 150;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn run(target: Target, default_runs: usize) {
    let seeds = corpus(target.name);
    assert!(!seeds.is_empty());
    let runs = number("VIDTOK_FUZZ_RUNS").map_or(default_runs, |runs| runs as usize);
    let mut mutator = Mutator::new(&seeds, number("VIDTOK_FUZZ_SEED").unwrap_or(1));
    let changed = std::iter::repeat_with(|| mutator.next()).take(runs);
    for input in seeds.iter().cloned().chain(changed) {
        if std::panic::catch_unwind(|| (target.run)(&input)).is_err() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-finding", target.name));
            std::fs::write(&path, &input).unwrap();
            panic!(
                "{} fails on the {} bytes in {}",
                target.name,
                input.len(),
                path.display()
            );
        }
    }
}

#[test]
fn the_reader_of_the_byte_stream() {
    run(targets::READER, PURE);
}

#[test]
fn rtp_packets_from_strangers() {
    run(targets::RTP, PURE);
}

#[test]
fn frames_at_any_times() {
    run(targets::TIMELINE, PURE);
}

#[test]
fn caps_with_any_fields() {
    run(targets::CAPS, PURE);
}

#[test]
fn a_tokenizers_description() {
    run(targets::DESCRIPTION, PURE);
}

#[test]
fn a_graph() {
    run(targets::GRAPH, PURE);
}

#[test]
fn the_parser() {
    run(targets::PARSER, ELEMENT);
}

#[test]
fn the_decoder() {
    run(targets::DECODER, ELEMENT);
}
