//! Kernels for the graphs' own operators. In the graphs they are functions of standard operators
//! (`models/vidtok_export/operators.py`), which ONNX Runtime runs where no kernel is registered, as for every provider
//! but the CPU's. A kernel does in one pass over memory what its function does in many.
//!
//! A kernel is an operator (`norm`, `carried`) that reads its inputs through `context` and has ONNX Runtime's threads
//! write its output in `tiles`. It has no state of its own, as several threads run one kernel at the same time.
//! Convolutions (`convolution`, `over_time`) have their loops in a package of their own, `winograd`, and their weights, `transformed`, in common.

mod carried;
mod context;
mod convolution;
mod norm;
mod over_time;
#[cfg(test)]
mod testing;
mod tiles;
mod transformed;

use gst::glib;
use ort::operator::OperatorDomain;
use vidtok_winograd::Instructions;

use carried::Carried;
use convolution::ConvolutionOperator;
use norm::NormOperator;
use over_time::OverTimeOperator;

const DOMAIN: &str = "vidtok";

/// What the CPU's 3×3 convolutions give most weight to. It never depends on the memory that is free, as results would
/// then depend on what else the machine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, glib::Enum)]
#[enum_type(name = "GstVidtokConvolutions")]
#[repr(u32)]
pub enum Convolutions {
    /// Layers of many channels, whose weights are most of the memory, multiply more and have smaller weights.
    #[default]
    #[enum_value(name = "Fast, and small where weights are large", nick = "balanced")]
    Balanced,
    #[enum_value(
        name = "Fastest everywhere: weights take up to four times their memory",
        nick = "fastest"
    )]
    Fastest,
}

/// The operators, for one session that has so many threads.
pub fn domain(threads: usize, convolutions: Convolutions) -> ort::Result<OperatorDomain> {
    let domain = OperatorDomain::new(DOMAIN)?
        .add(NormOperator::<false>)?
        .add(NormOperator::<true>)?
        .add(Carried)?;
    if Instructions::fast().is_empty() {
        // ONNX Runtime's own convolutions, in the functions, are faster then.
        return Ok(domain);
    }
    domain
        .add(ConvolutionOperator::<1, false> { threads, convolutions })?
        .add(ConvolutionOperator::<1, true> { threads, convolutions })?
        .add(ConvolutionOperator::<2, false> { threads, convolutions })?
        .add(ConvolutionOperator::<2, true> { threads, convolutions })?
        .add(ConvolutionOperator::<3, false> { threads, convolutions })?
        .add(ConvolutionOperator::<3, true> { threads, convolutions })?
        .add(OverTimeOperator::<2, false> { threads })?
        .add(OverTimeOperator::<2, true> { threads })?
        .add(OverTimeOperator::<4, false> { threads })?
        .add(OverTimeOperator::<4, true> { threads })
}
