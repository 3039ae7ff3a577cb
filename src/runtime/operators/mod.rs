//! Kernels for the graphs' own operators, which are functions of standard ones (`models/vidtok_export/operators.py`):
//! each does in one pass over memory what its function does in many. ONNX Runtime takes the functions apart where these
//! are not registered, as for every provider but the CPU's.

mod carried;
mod norm;

use ort::operator::{ComputeContext, OperatorDomain, ShapeInferenceContext};
use ort::value::ValueRef;

use carried::Carried;
use norm::NormOperator;

const DOMAIN: &str = "vidtok";

/// The operators, for one session.
pub fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(NormOperator::<false>)?
        .add(NormOperator::<true>)?
        .add(Carried)
}

/// What a kernel reads.
fn input(context: &ComputeContext, index: usize) -> ort::Result<ValueRef<'_>> {
    context
        .input(index)?
        .ok_or_else(|| ort::Error::new(format!("input {index} is missing")))
}

/// Says that the only output is like the input at `index`, whose sizes all have to be known by number or name.
fn output_is_like(context: &mut ShapeInferenceContext, index: usize) -> ort::Result<()> {
    let inputs = context.inputs();
    let input = inputs
        .get(index)
        .ok_or_else(|| ort::Error::new(format!("input {index} is missing")))?;
    context.set_output(0, input)
}

/// A pointer to floats of which every thread writes others.
#[derive(Clone, Copy)]
struct Disjoint(*mut f32);
// SAFETY: it is only a pointer; who writes through it answers for what is written.
unsafe impl Send for Disjoint {}
// SAFETY: as above.
unsafe impl Sync for Disjoint {}

impl Disjoint {
    /// `len` floats from `start` on.
    ///
    /// # Safety
    /// They are within the tensor, which outlives them, and nobody else has them.
    #[allow(clippy::mut_from_ref, reason = "the caller answers for it")]
    unsafe fn slice(&self, start: usize, len: usize) -> &mut [f32] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}
