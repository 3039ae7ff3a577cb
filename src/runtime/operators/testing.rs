//! Running one operator in a test.

use ort::session::Session;
use ort::value::Tensor;

use crate::runtime::operators::Convolutions;
use crate::runtime::{library, operators};
use crate::tokenizer::protobuf::{put_bytes, put_integer, put_message};

/// A model of the one operator `name`, with so many inputs and outputs of any shape.
fn model(name: &str, inputs: usize, outputs: usize) -> Vec<u8> {
    let mut model = Vec::new();
    put_integer(1, 8, &mut model);
    put_message(7, &mut model, |graph| {
        put_message(1, graph, |node| {
            for input in 0..inputs {
                put_bytes(1, format!("i{input}").as_bytes(), node);
            }
            for output in 0..outputs {
                put_bytes(2, format!("y{output}").as_bytes(), node);
            }
            put_bytes(4, name.as_bytes(), node);
            put_bytes(7, b"vidtok", node);
        });
        put_bytes(2, b"graph", graph);
        let values = (0..inputs).map(|input| (11, format!("i{input}")));
        for (field, name) in values.chain((0..outputs).map(|output| (12, format!("y{output}")))) {
            put_message(field, graph, |value| {
                put_bytes(1, name.as_bytes(), value);
                put_message(2, value, |kind| {
                    put_message(1, kind, |tensor| put_integer(1, 1, tensor))
                });
            });
        }
    });
    for (domain, version) in [("", 18), ("vidtok", 1)] {
        put_message(8, &mut model, |opset| {
            put_bytes(1, domain.as_bytes(), opset);
            put_integer(2, version, opset);
        });
    }
    model
}

/// Runs an operator on tensors of these shapes, all of ones; returns its outputs.
pub fn run(name: &str, shapes: &[&[i64]], outputs: usize) -> Result<Vec<Vec<f32>>, String> {
    let builder = Session::builder(&library::load().unwrap()).unwrap();
    let mut builder = builder
        .with_operators(operators::domain(2, Convolutions::default()).unwrap())
        .unwrap();
    let mut session = builder.commit_from_memory(&model(name, shapes.len(), outputs)).unwrap();
    let inputs = shapes.iter().enumerate().map(|(i, shape)| {
        let ones = vec![1.0_f32; shape.iter().product::<i64>() as usize];
        (format!("i{i}"), Tensor::from_array((shape.to_vec(), ones)).unwrap())
    });
    let results = session
        .run(inputs.collect::<Vec<_>>())
        .map_err(|error| error.to_string())?;
    let values = |output| {
        let (_, values) = results[format!("y{output}")].try_extract_tensor::<f32>().unwrap();
        values.to_vec()
    };
    Ok((0..outputs).map(values).collect())
}
