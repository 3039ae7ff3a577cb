//! Many streams at once, as a batch or sharing one session, against each of them alone.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use gstvidtok::runtime::Options;
use gstvidtok::tokenizer::{Graph, Role};
use serde_json::{Value, json};

use crate::Result;
use crate::arguments::Arguments;
use crate::compare::{difference, merge};
use crate::network::{self, Data, Network};

/// Which stream pauses in front of which step, for how long: the others' batches go without it meanwhile.
const PAUSE: (usize, usize, Duration) = (1, 2, Duration::from_millis(300));
/// Which stream starts a segment with which step.
const RESTART: (usize, usize) = (2, 2);

pub fn run(arguments: &Arguments) -> Result<Value> {
    let alone = Options {
        batch_streams: 0,
        ..arguments.options()
    };
    let together = Options {
        batch_streams: arguments.batch,
        ..alone
    };
    let mut result = json!({
        "streams": arguments.streams, "batch": arguments.batch, "size": arguments.size, "steps": arguments.steps,
    });
    let mut inputs: Vec<Vec<Data>> = Vec::new();
    for role in [Role::Encoder, Role::Decoder] {
        // Of the form that a batch needs, also where each stream is alone.
        let graph = network::graph(arguments.model.as_deref(), role, &together)?;
        if inputs.is_empty() {
            inputs = (0..arguments.streams)
                .map(|stream| pictures(&graph, arguments, stream))
                .collect();
        }
        let mut expected = Vec::new();
        for (stream, inputs) in inputs.iter().enumerate() {
            let mut network = Network::open(&graph, alone, arguments.size)?;
            expected.push(segments(&mut network, stream, inputs, Duration::ZERO)?.0);
        }
        let (found, streams_a_run) = at_once(&graph, together, arguments.size, &inputs)?;
        let levels = network::levels(&graph.description);
        let mut of_role = json!({"streams-a-run": streams_a_run});
        merge(&mut of_role, difference(&expected.concat(), &found.concat(), levels)?);
        result[role.as_str()] = of_role;
        inputs = expected;
    }
    Ok(result)
}

fn pictures(graph: &Graph, arguments: &Arguments, stream: usize) -> Vec<Data> {
    let steps = 0..arguments.steps;
    steps
        .map(|step| network::pictures(&graph.description, stream, step, arguments.size))
        .collect()
}

/// All steps of a stream, and the sum of the streams that ran each of them.
fn segments(network: &mut Network, stream: usize, inputs: &[Data], pause: Duration) -> Result<(Vec<Data>, usize)> {
    let (mut outputs, mut together, mut start) = (Vec::new(), 0, 0);
    for (index, data) in inputs.iter().enumerate() {
        if (stream, index) == (PAUSE.0, PAUSE.1) {
            std::thread::sleep(pause);
        }
        if (stream, index) == RESTART {
            network.restart();
            start = index;
        }
        outputs.push(network.step(data, index == start + 1)?);
        together += network.streams();
    }
    Ok((outputs, together))
}

/// Each stream on a thread of its own; also how many streams made a step together, on average.
fn at_once(graph: &Graph, options: Options, size: u32, inputs: &[Vec<Data>]) -> Result<(Vec<Vec<Data>>, f64)> {
    let networks = inputs.iter().map(|_| Network::open(graph, options, size));
    let networks = networks.collect::<Result<Vec<_>>>()?;
    let gate = Arc::new(Barrier::new(inputs.len()));
    let steps: usize = inputs.iter().map(Vec::len).sum();
    let results = std::thread::scope(|scope| {
        let streams = networks
            .into_iter()
            .zip(inputs)
            .enumerate()
            .map(|(stream, (mut network, inputs))| {
                let gate = gate.clone();
                scope.spawn(move || {
                    gate.wait();
                    segments(&mut network, stream, inputs, PAUSE.2)
                })
            });
        let streams: Vec<_> = streams.collect();
        let joined = streams
            .into_iter()
            .map(|stream| stream.join().map_err(|_| "a stream panicked")?);
        joined.collect::<Result<Vec<_>>>()
    })?;
    let together: usize = results.iter().map(|(_, together)| together).sum();
    let outputs = results.into_iter().map(|(outputs, _)| outputs).collect();
    Ok((outputs, together as f64 / steps as f64))
}
