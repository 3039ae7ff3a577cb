//! ONNX models of one node, for operations on tensors where they are.

use ort::value::TensorElementType;

use crate::tokenizer::protobuf::{put_bytes, put_integer, put_message};

const IR_VERSION: u64 = 8;
const OPSET: u64 = 17;

/// Numbers of fields in ONNX's messages (onnx.proto).
mod field {
    pub mod model {
        pub const IR_VERSION: u64 = 1;
        pub const GRAPH: u64 = 7;
        pub const OPSET_IMPORT: u64 = 8;
    }
    pub mod opset {
        pub const VERSION: u64 = 2;
    }
    pub mod graph {
        pub const NODE: u64 = 1;
        pub const NAME: u64 = 2;
        pub const INPUT: u64 = 11;
        pub const OUTPUT: u64 = 12;
    }
    pub mod node {
        pub const INPUT: u64 = 1;
        pub const OUTPUT: u64 = 2;
        pub const OPERATOR: u64 = 4;
    }
    pub mod value {
        pub const NAME: u64 = 1;
        pub const TYPE: u64 = 2;
    }
    pub mod value_type {
        pub const TENSOR: u64 = 1;
    }
    pub mod tensor_type {
        pub const ELEMENT: u64 = 1;
    }
}

/// A model whose one output is `operator` of its inputs, for tensors of any shape.
pub fn model(operator: &str, inputs: &[TensorElementType], output: TensorElementType) -> Vec<u8> {
    const OUTPUT: &str = "output";
    let names: Vec<String> = (0..inputs.len()).map(|index| format!("input{index}")).collect();
    let mut model = Vec::new();
    put_integer(field::model::IR_VERSION, IR_VERSION, &mut model);
    put_message(field::model::GRAPH, &mut model, |graph| {
        put_message(field::graph::NODE, graph, |node| {
            for name in &names {
                put_bytes(field::node::INPUT, name.as_bytes(), node);
            }
            put_bytes(field::node::OUTPUT, OUTPUT.as_bytes(), node);
            put_bytes(field::node::OPERATOR, operator.as_bytes(), node);
        });
        put_bytes(field::graph::NAME, operator.as_bytes(), graph);
        for (name, element) in names.iter().zip(inputs) {
            put_value(field::graph::INPUT, name, *element, graph);
        }
        put_value(field::graph::OUTPUT, OUTPUT, output, graph);
    });
    put_message(field::model::OPSET_IMPORT, &mut model, |opset| {
        put_integer(field::opset::VERSION, OPSET, opset);
    });
    model
}

/// Appends the declaration of an input or output.
fn put_value(number: u64, name: &str, element: TensorElementType, to: &mut Vec<u8>) {
    let element = ort::sys::ONNXTensorElementDataType::from(element) as u64;
    put_message(number, to, |value| {
        put_bytes(field::value::NAME, name.as_bytes(), value);
        put_message(field::value::TYPE, value, |value_type| {
            put_message(field::value_type::TENSOR, value_type, |tensor| {
                put_integer(field::tensor_type::ELEMENT, element, tensor);
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use ort::session::Session;
    use ort::value::Tensor;

    use super::*;
    use crate::runtime::library;

    #[test]
    fn onnx_runtime_runs_the_model() {
        use TensorElementType::{Bool, Float32};
        let bytes = model("Where", &[Bool, Float32, Float32], Float32);
        let mut builder = Session::builder(&library::load().unwrap()).unwrap();
        let mut session = builder.commit_from_memory(&bytes).unwrap();
        let hold = Tensor::from_array(([2, 1], vec![true, false])).unwrap();
        let tensor = |values: [f32; 4]| Tensor::from_array(([2, 2], values.to_vec())).unwrap();
        let (before, after) = (tensor([1.0, 2.0, 3.0, 4.0]), tensor([5.0, 6.0, 7.0, 8.0]));
        let outputs = session.run(ort::inputs![hold, before, after]).unwrap();
        let (shape, values) = outputs["output"].try_extract_tensor::<f32>().unwrap();
        assert_eq!((&shape[..], values), (&[2, 2][..], &[1.0, 2.0, 7.0, 8.0][..]));
    }
}
