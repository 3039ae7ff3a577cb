//! Compares an execution provider with the CPU, and looks into the time that a step takes. Prints one line of JSON.
//!
//! - `probe open`: how long it takes to make a network ready, and what runs it.
//! - `probe compare`: a tokenizer's encoder and decoder on the provider and on the CPU, which calculates in float32.
//! - `probe together`: many streams at once, as a batch or sharing one session, against each of them alone. One stream
//!   pauses on the way, and one starts a new segment.
//! - `probe profile`: the graph without the plugin's step, with ONNX Runtime's profile, or captured as a CUDA graph.
//!
//! Options: `--model MODEL` (a folder or a graph file; else the built-in tokenizer), `--size N` (pixels a side, 64),
//! `--steps N` (4), `--provider NAME` (cpu), `--precision fp32|fp16`, `--streams N` (4) and `--batch N` (0) for
//! `together`, `--role encoder|decoder`; for `profile` `--trace PREFIX`, `--cuda-graph`, `--provider-option KEY=VALUE`.

mod arguments;
mod clip;
mod compare;
mod difference;
mod network;
mod profile;
mod together;

use std::error::Error;
use std::process::ExitCode;

use serde_json::Value;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // One line, which the kit shows.
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Value> {
    let (command, arguments) = arguments::parse(std::env::args().skip(1))?;
    network::init()?;
    match command.as_str() {
        "open" => compare::open(&arguments),
        "compare" => compare::run(&arguments),
        "together" => together::run(&arguments),
        "profile" => profile::run(&arguments),
        other => Err(format!("there is no command {other}: open, compare, together or profile").into()),
    }
}
