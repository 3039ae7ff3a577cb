//! A kernel's inputs, and the shapes of its outputs.

use ort::operator::{ComputeContext, ShapeInferenceContext};
use ort::value::{DynTensorValueType, TensorElementType, ValueRef, ValueType};

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

/// Tells ONNX Runtime that an output has the shape of the first input, with as many channels as the weights at index
/// `weights` have outputs.
pub fn output_of_channels(context: &mut ShapeInferenceContext, output: usize, weights: usize) -> ort::Result<()> {
    let inputs = context.inputs();
    let (Some(ValueType::Tensor { shape: kernel, .. }), Some(x)) = (inputs.get(weights), inputs.first()) else {
        return Ok(());
    };
    let mut y = x.clone();
    if let ValueType::Tensor {
        shape,
        dimension_symbols,
        ..
    } = &mut y
    {
        let known = |(size, symbol): (&i64, &String)| *size >= 0 || !symbol.is_empty();
        // A size that is neither a number nor a name would count as -1.
        if shape.len() != 4 || kernel.len() != 4 || !shape.iter().zip(dimension_symbols.iter()).all(known) {
            return Ok(());
        }
        shape[1] = kernel[0];
        let named = dimension_symbols.iter().enumerate();
        let named = named.map(|(i, symbol)| if i == 1 { String::new() } else { symbol.clone() });
        *dimension_symbols = named.collect();
        context.set_output(output, &y)?;
    }
    Ok(())
}

/// A tensor's shape and its values.
pub type Floats<'a> = (&'a [i64], &'a [f32]);

pub fn floats<'a>(value: &'a ValueRef<'_>) -> ort::Result<Floats<'a>> {
    let (shape, values) = value.try_extract_tensor::<f32>()?;
    Ok((shape, values))
}

fn missing(index: usize) -> ort::Error {
    ort::Error::new(format!("input {index} is missing"))
}
