//! A kernel's inputs, and the shape of its output.

use ort::operator::{ComputeContext, ShapeInferenceContext};
use ort::value::{DynTensorValueType, TensorElementType, ValueRef};

/// The input at `index`.
pub fn input(context: &ComputeContext, index: usize) -> ort::Result<ValueRef<'_>> {
    context.input(index)?.ok_or_else(|| missing(index))
}

/// The truth value in a tensor of one.
pub fn truth_value(value: ValueRef<'_>) -> ort::Result<bool> {
    let value = value.downcast::<DynTensorValueType>()?;
    if *value.data_type() != TensorElementType::Bool || value.shape().num_elements() != 1 {
        return Err(ort::Error::new("one truth value is needed"));
    }
    // SAFETY: the tensor has one byte. It is read as a byte, because a graph's file may contain any byte there, and a
    // `bool` must be 0 or 1.
    Ok(unsafe { *value.data_ptr().cast::<u8>() } != 0)
}

/// Tells ONNX Runtime that the only output has the type and shape of the input at `index`. Every size of that must be
/// known by number or name.
pub fn output_is_like(context: &mut ShapeInferenceContext, index: usize) -> ort::Result<()> {
    let inputs = context.inputs();
    let input = inputs.get(index).ok_or_else(|| missing(index))?;
    context.set_output(0, input)
}

fn missing(index: usize) -> ort::Error {
    ort::Error::new(format!("input {index} is missing"))
}
