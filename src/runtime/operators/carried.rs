//! `Carried`: a layer's state, or what stands for it where a segment starts.

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::TensorElementType::{Bool, Float32};
use ort::value::{DynTensorValueType, ValueRef};

use super::{Disjoint, input, output_is_like};

/// Floats that a thread copies at a time.
const PART: usize = 1 << 18;

pub struct Carried;

impl Operator for Carried {
    type Kernel<'attr> = Copy;

    fn name(&self) -> &str {
        "Carried"
    }

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

/// Has no state, as several threads run one kernel at the same time.
pub struct Copy;

impl Kernel for Copy {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (first, fresh, state) = (input(context, 0)?, input(context, 1)?, input(context, 2)?);
        let first = is_true(first)?;
        let (_, fresh) = fresh.try_extract_tensor::<f32>()?;
        let (shape, state) = state.try_extract_tensor::<f32>()?;
        let mut output = context
            .output(0, shape.to_vec())?
            .ok_or_else(|| ort::Error::new("the output is missing"))?;
        let (_, y) = output.try_extract_tensor_mut::<f32>()?;
        let (len, to) = (y.len(), Disjoint(y.as_mut_ptr()));
        let from = match (first, fresh) {
            (false, _) => state,
            (true, fresh) if fresh.len() == len => fresh,
            (true, [value]) => {
                y.fill(*value);
                return Ok(());
            }
            _ => {
                return Err(ort::Error::new("a tensor like the state is needed"));
            }
        };
        context.par_for(len.div_ceil(PART), 0, |part| {
            let start = part * PART;
            let from = &from[start..len.min(start + PART)];
            // SAFETY: within `len`, and each part is copied once.
            unsafe { to.slice(start, from.len()) }.copy_from_slice(from);
        })
    }
}

/// A tensor of one truth value.
fn is_true(value: ValueRef<'_>) -> ort::Result<bool> {
    let value = value.downcast::<DynTensorValueType>()?;
    if *value.data_type() != Bool || value.shape().num_elements() != 1 {
        return Err(ort::Error::new("one truth value is needed"));
    }
    // SAFETY: the tensor has one byte. It is read as such: a graph's file may have put anything there, and a `bool` is
    // 0 or 1.
    Ok(unsafe { *value.data_ptr().cast::<u8>() } != 0)
}
