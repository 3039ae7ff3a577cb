//! ONNX models of one node, for what is done to tensors where they are.

use ort::value::TensorElementType;
use prost::Message;

/// A model whose one output is `operator` of its inputs, for tensors of any shape.
pub fn model(operator: &str, inputs: &[TensorElementType], output: TensorElementType) -> Vec<u8> {
    let value = |name: String, element| Value {
        name,
        value_type: Some(Type {
            tensor: Some(TensorType {
                element_type: ort::sys::ONNXTensorElementDataType::from(element) as i32,
            }),
        }),
    };
    let names: Vec<String> = (0..inputs.len()).map(|index| format!("input{index}")).collect();
    let node = Node {
        input: names.clone(),
        output: vec!["output".into()],
        operator: operator.into(),
    };
    let model = Model {
        ir_version: 8,
        graph: Some(Graph {
            node: vec![node],
            name: operator.into(),
            input: names
                .into_iter()
                .zip(inputs)
                .map(|(name, element)| value(name, *element))
                .collect(),
            output: vec![value("output".into(), output)],
        }),
        opset: vec![Opset { version: 17 }],
    };
    model.encode_to_vec()
}

// The few fields of ONNX's messages (onnx.proto) that such a model has.

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset: Vec<Opset>,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    operator: String,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value_type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    element_type: i32,
}
