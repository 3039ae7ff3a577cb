//! `Carried`: a layer's state, or at a segment's start what stands for it.

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::TensorElementType::{Bool, Float32};

use super::context::{input, output_is_like, truth_value};
use super::tiles::par_tiles;

/// Floats that a thread copies at a time.
const TILE: usize = 1 << 18;

pub struct Carried;

impl Operator for Carried {
    type Kernel<'attr> = Copy;

    fn name(&self) -> &str {
        "Carried"
    }

    /// `first`, one truth value; `fresh`, one value or a tensor like the state; the state.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Bool, Float32, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Copy> {
        Ok(Copy)
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        output_is_like(context, 2)
    }
}

/// Copies the state, or `fresh` where a segment starts.
pub struct Copy;

impl Kernel for Copy {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (first, fresh, state) = (input(context, 0)?, input(context, 1)?, input(context, 2)?);
        let first = truth_value(first)?;
        let (_, fresh) = fresh.try_extract_tensor::<f32>()?;
        let (shape, state) = state.try_extract_tensor::<f32>()?;
        let mut output = context
            .output(0, shape.to_vec())?
            .ok_or_else(|| ort::Error::new("the output is missing"))?;
        let (_, y) = output.try_extract_tensor_mut::<f32>()?;
        let from = match (first, fresh) {
            (false, _) => state,
            (true, fresh) if fresh.len() == y.len() => fresh,
            (true, [value]) => {
                y.fill(*value);
                return Ok(());
            }
            _ => return Err(ort::Error::new("a tensor like the state is needed")),
        };
        par_tiles(context, y, 1, TILE, |start, rows| {
            let from = &from[start..][..rows.len()];
            rows.row(0).copy_from_slice(from);
        })
    }
}
