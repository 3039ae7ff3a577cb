//! Keeping the state of streams that a batch ran without: a graph writes the state of every one of its streams.
//!
//! The choice between the state before and after the step is made by a graph of one operator, on the device where the
//! state is.

use ort::value::{DynTensor, Tensor, TensorElementType};
use prost::Message;

use super::session::SharedSession;

/// Made when a batch first runs without one of its streams.
#[derive(Default)]
pub struct Keep {
    /// One for each type of state.
    choosers: Vec<(TensorElementType, SharedSession)>,
    /// A tensor of each type and shape of state, to write a choice to.
    spares: Vec<DynTensor>,
}

impl Keep {
    /// Makes `after` what `before` is for the streams that `holds` names. What `before` is then is of no use.
    pub fn choose(
        &mut self,
        session: &SharedSession,
        holds: &[bool],
        before: &mut DynTensor,
        after: &mut DynTensor,
    ) -> ort::Result<()> {
        let element = *after.data_type();
        let chooser = match self.choosers.iter().position(|(of, _)| *of == element) {
            Some(index) => index,
            None => {
                self.choosers.push((element, session.companion(&chooser(element))?));
                self.choosers.len() - 1
            }
        };
        let same = |spare: &DynTensor| spare.data_type() == after.data_type() && spare.shape() == after.shape();
        let spare = match self.spares.iter().position(same) {
            Some(index) => index,
            None => {
                let device = session.memory().device;
                self.spares
                    .push(DynTensor::new(&device, element, after.shape().to_vec())?);
                self.spares.len() - 1
            }
        };
        // One truth value a stream: [N, 1, 1, …].
        let mut shape = vec![1; after.shape().len()];
        shape[0] = holds.len() as i64;
        let hold = Tensor::from_array((shape, holds.to_vec()))?.upcast();
        let feeds = [(0, &hold), (1, &*before), (2, &*after)];
        self.choosers[chooser]
            .1
            .run(&feeds, &mut [(0, &mut self.spares[spare])])?;
        // The choice takes the place of `after`, which is the next spare.
        std::mem::swap(after, &mut self.spares[spare]);
        Ok(())
    }
}

/// An ONNX model with the one node `chosen = Where(hold, before, after)`, for tensors of any shape.
fn chooser(element: TensorElementType) -> Vec<u8> {
    let value = |name: &str, element_type| Value {
        name: name.into(),
        value_type: Some(Type {
            tensor: Some(TensorType { element_type }),
        }),
    };
    let state = ort::sys::ONNXTensorElementDataType::from(element) as i32;
    let flag = ort::sys::ONNXTensorElementDataType::from(TensorElementType::Bool) as i32;
    let node = Node {
        input: ["hold", "before", "after"].map(String::from).into(),
        output: vec!["chosen".into()],
        operator: "Where".into(),
    };
    let model = Model {
        ir_version: 8,
        graph: Some(Graph {
            node: vec![node],
            name: "keep".into(),
            input: vec![value("hold", flag), value("before", state), value("after", state)],
            output: vec![value("chosen", state)],
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
