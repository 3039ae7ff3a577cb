//! `ConvOverTime2` and its kin: 1×1 convolutions over three frames, for two or four frames of the result at a time.

use std::sync::Arc;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::TensorElementType::Float32;
use ort::value::ValueRef;
use vidtok_winograd::{ConvolutionOverTime, Frames, WeightsOverTime};

use super::context::{floats, input, output_of_channels};
use super::transformed::{self, KernelsOverTime};

/// Frames that a result depends on.
const TAPS: usize = 3;

/// Makes `FRAMES` frames at a time; `ADD`: residuals are added, too.
pub struct OverTimeOperator<const FRAMES: usize, const ADD: bool> {
    pub threads: usize,
}

impl<const FRAMES: usize, const ADD: bool> OverTimeOperator<FRAMES, ADD> {
    /// Where inputs of a kind begin: first the frames.
    const WEIGHTS: usize = FRAMES + TAPS - 1;
    const BIAS: usize = Self::WEIGHTS + TAPS;
    const RESIDUALS: usize = Self::BIAS + 1;
    const INPUTS: usize = Self::RESIDUALS + if ADD { FRAMES } else { 0 };
}

impl<const FRAMES: usize, const ADD: bool> Operator for OverTimeOperator<FRAMES, ADD> {
    type Kernel<'attr> = OverTimeKernel<FRAMES, ADD>;

    fn name(&self) -> &str {
        match (FRAMES, ADD) {
            (2, false) => "ConvOverTime2",
            (2, true) => "ConvOverTime2Add",
            (_, false) => "ConvOverTime4",
            (_, true) => "ConvOverTime4Add",
        }
    }

    /// `x` `[1, C, H, W]`, two more than results, the oldest first; `w` `[O, C, 1, 1]` for each of three frames; `bias`
    /// `[O]`; for each result a residual `[1, O, H, W]`.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        (0..Self::INPUTS).map(|_| OperatorInput::required(Float32))
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        (0..FRAMES).map(|_| OperatorOutput::required(Float32))
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let kernels: Option<Vec<ValueRef<'_>>> = (0..TAPS)
            .map(|tap| context.constant_input(Self::WEIGHTS + tap).ok())
            .collect();
        let weights = match &kernels {
            Some(kernels) => Some(transformed::shared_over_time(&shaped::<FRAMES>(kernels)?)),
            None => None,
        };
        Ok(OverTimeKernel {
            weights,
            threads: self.threads,
        })
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        (0..FRAMES).try_for_each(|frame| output_of_channels(context, frame, Self::WEIGHTS))
    }
}

pub struct OverTimeKernel<const FRAMES: usize, const ADD: bool> {
    /// `None`: the graph calculates them in each step.
    weights: Option<Arc<WeightsOverTime>>,
    threads: usize,
}

impl<const FRAMES: usize, const ADD: bool> Kernel for OverTimeKernel<FRAMES, ADD> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        type Inputs<const FRAMES: usize, const ADD: bool> = OverTimeOperator<FRAMES, ADD>;
        let inputs = (0..Inputs::<FRAMES, ADD>::INPUTS)
            .map(|index| input(context, index))
            .collect::<ort::Result<Vec<_>>>()?;
        let (frames, rest) = inputs.split_at(Inputs::<FRAMES, ADD>::WEIGHTS);
        let (kernels, rest) = rest.split_at(TAPS);
        let (bias, residuals) = rest.split_at(1);
        let weights = match &self.weights {
            Some(weights) => weights.clone(),
            None => Arc::new(transformed::new_over_time(&shaped::<FRAMES>(kernels)?)),
        };
        let (first, _) = floats(&frames[0])?;
        let [1, channels, height, width] = *first else {
            return Err(ort::Error::new("an input of a convolution is not [1, C, H, W]"));
        };
        if channels != weights.inputs() as i64 || height < 1 || width < 1 {
            return Err(ort::Error::new("the inputs of a convolution differ from its weights"));
        }
        let all = |values: &[ValueRef<'_>], channels: i64| -> ort::Result<()> {
            for value in values {
                let (shape, _) = floats(value)?;
                if *shape != [1, channels, height, width] {
                    return Err(ort::Error::new("the frames of a convolution over time differ"));
                }
            }
            Ok(())
        };
        all(frames, channels)?;
        all(residuals, weights.outputs() as i64)?;
        let (_, bias) = floats(&bias[0])?;
        if bias.len() != weights.outputs() {
            return Err(ort::Error::new("the bias of a convolution differs from its weights"));
        }
        let frames: Vec<&[f32]> = frames.iter().map(values_of).collect::<ort::Result<_>>()?;
        let residuals: Vec<&[f32]> = residuals.iter().map(values_of).collect::<ort::Result<_>>()?;
        let result = [1, weights.outputs() as i64, height, width];
        let mut outputs = (0..FRAMES)
            .map(|frame| {
                context
                    .output(frame, result.to_vec())?
                    .ok_or_else(|| ort::Error::new("an output is missing"))
            })
            .collect::<ort::Result<Vec<_>>>()?;
        let mut y = outputs
            .iter_mut()
            .map(|output| Ok(output.try_extract_tensor_mut::<f32>()?.1))
            .collect::<ort::Result<Vec<_>>>()?;
        let pixels = (height * width) as usize;
        let convolution = ConvolutionOverTime::new(&weights, &frames, bias, &residuals, pixels, self.threads);
        convolution.run(&mut y, |count, block| context.par_for(count, 0, block))
    }
}

fn values_of<'a>(value: &'a ValueRef<'_>) -> ort::Result<&'a [f32]> {
    Ok(floats(value)?.1)
}

/// The weights of all three frames, of one shape.
fn shaped<'a, const FRAMES: usize>(kernels: &'a [ValueRef<'_>]) -> ort::Result<KernelsOverTime<'a>> {
    let wrong = || ort::Error::new("the weights of a convolution over time are not [O, C, 1, 1]");
    let [(shape, a), (other, b), (last, c)] = [floats(&kernels[0])?, floats(&kernels[1])?, floats(&kernels[2])?];
    let [outputs, inputs, 1, 1] = *shape else {
        return Err(wrong());
    };
    if outputs < 1 || inputs < 1 || *other != *shape || *last != *shape {
        return Err(wrong());
    }
    Ok(KernelsOverTime {
        taps: [a, b, c],
        inputs: inputs as usize,
        outputs: outputs as usize,
        frames: match FRAMES {
            2 => Frames::Two,
            _ => Frames::Four,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;

    /// A frame of two channels of ones gives 2 for each tap; with a bias of one and perhaps a residual of ones.
    #[test]
    fn weights_may_change_from_step_to_step() {
        let (x, w, one, y): (&[i64], &[i64], &[i64], &[i64]) = (&[1, 2, 3, 5], &[4, 2, 1, 1], &[4], &[1, 4, 3, 5]);
        for (name, frames, add) in [
            ("ConvOverTime2", 2, false),
            ("ConvOverTime2Add", 2, true),
            ("ConvOverTime4", 4, false),
            ("ConvOverTime4Add", 4, true),
        ] {
            let shapes = [
                vec![x; frames + 2],
                vec![w; 3],
                vec![one],
                vec![y; if add { frames } else { 0 }],
            ]
            .concat();
            let found = run(name, &shapes, frames).unwrap();
            assert_eq!(found.len(), frames);
            for value in found.concat() {
                let expected = if add { 8.0 } else { 7.0 };
                assert!((value - expected).abs() < 1e-4, "{name}: {value}");
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let (x, w): (&[i64], &[i64]) = (&[1, 2, 4, 4], &[5, 2, 1, 1]);
        let (wide, empty): (&[i64], &[i64]) = (&[1, 3, 4, 4], &[1, 2, 0, 4]);
        let cases: [[&[i64]; 8]; 7] = [
            [wide, wide, wide, wide, w, w, w, &[5]],
            [&[2, 2, 4, 4], x, x, x, w, w, w, &[5]],
            [x, &[1, 2, 4, 5], x, x, w, w, w, &[5]],
            [empty, empty, empty, empty, w, w, w, &[5]],
            [x, x, x, x, w, &[4, 2, 1, 1], w, &[5]],
            [x, x, x, x, &[5, 2, 3, 3], &[5, 2, 3, 3], &[5, 2, 3, 3], &[5]],
            [x, x, x, x, w, w, w, &[4]],
        ];
        for shapes in cases {
            let error = run("ConvOverTime2", &shapes, 2).unwrap_err();
            assert!(error.contains("convolution"), "{shapes:?}: {error}");
        }
        let residuals: [&[i64]; 10] = [x, x, x, x, w, w, w, &[5], &[1, 5, 4, 4], &[1, 5, 4, 3]];
        let error = run("ConvOverTime2Add", &residuals, 2).unwrap_err();
        assert!(error.contains("convolution"), "{error}");
    }
}
