//! A provider's tokens and pictures beside the CPU's.

use gstvidtok::runtime::{ExecutionProvider, Options};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{Graph, Precision, Role};
use serde_json::{Value, json};

use crate::Result;
use crate::arguments::Arguments;
use crate::difference::{OfFloats, OfIndices, OfPictures};
use crate::network::{self, Data, Network};

pub fn run(arguments: &Arguments) -> Result<Value> {
    let cpu = Options {
        provider: ExecutionProvider::Cpu,
        precision: None,
        ..arguments.options()
    };
    let encoder = network::graph(arguments.model.as_deref(), Role::Encoder, &cpu)?;
    let description = encoder.description.clone();
    let pictures: Vec<Data> = (0..arguments.steps)
        .map(|step| network::pictures(&description, 0, step, arguments.size))
        .collect();
    let tokens = all_steps(&encoder, cpu, arguments, &pictures)?.outputs;
    let decoder = network::graph(arguments.model.as_deref(), Role::Decoder, &cpu)?;
    let shown = all_steps(&decoder, cpu, arguments, &tokens)?.outputs;
    let mut result = json!({
        "model": description.name, "family": description.family, "size": arguments.size, "steps": arguments.steps,
        "cpu-precision": encoder.precision.as_str(),
        "precision": arguments.precision.unwrap_or(Precision::Fp32).as_str(),
    });
    for (role, inputs, expected) in [(Role::Encoder, &pictures, &tokens), (Role::Decoder, &tokens, &shown)] {
        let graph = network::graph(arguments.model.as_deref(), role, &arguments.options())?;
        let found = all_steps(&graph, arguments.options(), arguments, inputs)?;
        let mut of_role = json!({
            "form": graph.target.as_str(), "open-seconds": found.open_seconds, "running": found.running,
        });
        merge(
            &mut of_role,
            difference(expected, &found.outputs, network::levels(&description))?,
        );
        result[role.as_str()] = of_role;
    }
    Ok(result)
}

/// Makes one network ready.
pub fn open(arguments: &Arguments) -> Result<Value> {
    let graph = network::graph(arguments.model.as_deref(), arguments.role, &arguments.options())?;
    let (network, open_seconds) = network::open_timed(&graph, arguments.options(), arguments.size)?;
    Ok(json!({
        "model": graph.description.name, "role": arguments.role.as_str(), "size": arguments.size,
        "precision": graph.precision.as_str(), "open-seconds": open_seconds, "running": network.describe(),
    }))
}

/// What the steps of one network gave.
struct Found {
    open_seconds: f64,
    running: Value,
    outputs: Vec<Data>,
}

fn all_steps(graph: &Graph, options: Options, arguments: &Arguments, inputs: &[Data]) -> Result<Found> {
    let (mut network, open_seconds) = network::open_timed(graph, options, arguments.size)?;
    let outputs = steps(&mut network, inputs)?;
    Ok(Found {
        open_seconds,
        running: network.describe(),
        outputs,
    })
}

/// One segment.
pub fn steps(network: &mut Network, inputs: &[Data]) -> Result<Vec<Data>> {
    let steps = inputs.iter().enumerate();
    steps.map(|(index, data)| network.step(data, index == 1)).collect()
}

/// How far what was found is from what is expected.
pub fn difference(expected: &[Data], found: &[Data], levels: Option<&[u32]>) -> Result<Value> {
    let (mut indices, mut floats, mut pictures) = (OfIndices::default(), OfFloats::default(), OfPictures::default());
    for (expected, found) in expected.iter().zip(found) {
        match (expected, found) {
            (Data::Tokens(Tokens::Indices(a)), Data::Tokens(Tokens::Indices(b))) => {
                indices.add(a, b, levels.ok_or("indices of a tokenizer without levels")?);
            }
            (Data::Tokens(Tokens::Floats(a)), Data::Tokens(Tokens::Floats(b))) => floats.add(a, b),
            (Data::Pictures(a), Data::Pictures(b)) => pictures.add(a, b),
            _ => return Err("two networks gave different kinds of data".into()),
        }
    }
    Ok(if indices.count > 0 {
        indices.json()
    } else if floats.count > 0 {
        floats.json()
    } else {
        pictures.json()
    })
}

/// Adds the keys of one object to another.
pub fn merge(to: &mut Value, from: Value) {
    if let (Value::Object(to), Value::Object(from)) = (to, from) {
        to.extend(from);
    }
}
