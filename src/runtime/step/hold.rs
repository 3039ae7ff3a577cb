//! Holding the state of members that a batch ran without: a graph writes the state of every member.
//!
//! A graph of one operator chooses between the state before and after the step, on the device where the state is.

use ort::value::{DynTensor, Tensor, TensorElementType};

use super::one_node;
use crate::runtime::session::{HelperSession, Session};

/// Holds states. It is empty until a batch first runs without one of its members.
#[derive(Default)]
pub struct Holder {
    /// A session for each type of state.
    choosers: Vec<(TensorElementType, HelperSession)>,
    /// A tensor of each type and shape of state, for the next result.
    spares: Vec<DynTensor>,
}

impl Holder {
    /// For each member set in `holds`, restores `after` from `before`. `before` is undefined afterwards.
    pub fn restore(
        &mut self,
        session: &Session,
        holds: &[bool],
        before: &mut DynTensor,
        after: &mut DynTensor,
    ) -> ort::Result<()> {
        let element = *after.data_type();
        let chooser = match self.choosers.iter().position(|(of, _)| *of == element) {
            Some(index) => index,
            None => {
                let chooser = HelperSession::new(session, &chooser(element))?;
                self.choosers.push((element, chooser));
                self.choosers.len() - 1
            }
        };
        let same = |spare: &DynTensor| spare.data_type() == after.data_type() && spare.shape() == after.shape();
        let spare = match self.spares.iter().position(same) {
            Some(index) => index,
            None => {
                let spare = session.allocators().device_tensor(element, after.shape())?;
                self.spares.push(spare);
                self.spares.len() - 1
            }
        };
        // One truth value per member: [N, 1, 1, …].
        let mut shape = vec![1; after.shape().len()];
        shape[0] = holds.len() as i64;
        let hold = Tensor::from_array((shape, holds.to_vec()))?.upcast();
        let result = &mut self.spares[spare];
        self.choosers[chooser].1.run(&[&hold, before, after], result)?;
        // `after` becomes the next spare.
        std::mem::swap(after, result);
        Ok(())
    }
}

/// An ONNX model with the one node `output = Where(hold, before, after)`, for tensors of any shape.
fn chooser(element: TensorElementType) -> Vec<u8> {
    one_node::model("Where", &[TensorElementType::Bool, element, element], element)
}
