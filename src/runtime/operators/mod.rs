//! Kernels for the graphs' own operators. In the graphs they are functions of standard operators
//! (`models/vidtok_export/operators.py`), which ONNX Runtime runs where no kernel is registered, as for every provider
//! but the CPU's. A kernel does in one pass over memory what its function does in many.
//!
//! A kernel is an operator (`norm`, `carried`) that reads its inputs through `context` and has ONNX Runtime's threads
//! write its output in `tiles`. It has no state of its own, as several threads run one kernel at the same time.

mod carried;
mod context;
mod norm;
mod tiles;

use ort::operator::OperatorDomain;

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
