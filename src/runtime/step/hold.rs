//! Keeping the state of streams that a batch ran without: a graph writes the state of every one of its streams.
//!
//! The choice between the state before and after the step is made by a graph of one operator, on the device where the
//! state is.

use ort::value::{DynTensor, Tensor, TensorElementType};

use super::super::session::SharedSession;
use super::one_node;

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
                self.spares
                    .push(session.memory()?.device_tensor(element, after.shape())?);
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
    one_node::model("Where", &[TensorElementType::Bool, element, element], element)
}
