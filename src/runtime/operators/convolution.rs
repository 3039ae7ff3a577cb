//! `Conv3x3` and its kin: the sum of 3×3 convolutions of stride 1 of up to three pictures, by Winograd's algorithm.

use std::sync::Arc;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::TensorElementType::Float32;
use ort::value::ValueRef;
use vidtok_winograd::{Convolution, Picture, Weights};

use super::Convolutions;
use super::context::{Floats, floats, input, output_of_channels};
use super::transformed::{self, Kernels};

/// A convolution for each of `TAPS` pictures, with zeros around them; `ADD`: a residual is added, too.
pub struct ConvolutionOperator<const TAPS: usize, const ADD: bool> {
    pub threads: usize,
    pub convolutions: Convolutions,
}

impl<const TAPS: usize, const ADD: bool> Operator for ConvolutionOperator<TAPS, ADD> {
    type Kernel<'attr> = ConvolutionKernel<TAPS, ADD>;

    fn name(&self) -> &str {
        match (TAPS, ADD) {
            (1, false) => "Conv3x3",
            (1, true) => "Conv3x3Add",
            (2, false) => "Conv3x3Of2",
            (2, true) => "Conv3x3Of2Add",
            (_, false) => "Conv3x3Of3",
            (_, true) => "Conv3x3Of3Add",
        }
    }

    /// `x` `[1, C, H, W]` and `w` `[O, C, 3, 3]` for each tap; `bias` `[O]`; `residual` `[1, O, H, W]`.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        (0..2 * TAPS + 1 + usize::from(ADD)).map(|_| OperatorInput::required(Float32))
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let kernels: Option<Vec<ValueRef<'_>>> =
            (0..TAPS).map(|tap| context.constant_input(weight(tap)).ok()).collect();
        let weights = match &kernels {
            Some(kernels) => Some(transformed::shared(&shaped(kernels)?, self.convolutions)),
            None => None,
        };
        Ok(ConvolutionKernel {
            weights,
            threads: self.threads,
            convolutions: self.convolutions,
        })
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        output_of_channels(context, 0, weight(0))
    }
}

/// The index of a tap's weights among the inputs.
const fn weight(tap: usize) -> usize {
    2 * tap + 1
}

pub struct ConvolutionKernel<const TAPS: usize, const ADD: bool> {
    /// `None`: the graph calculates them in each step.
    weights: Option<Arc<Weights>>,
    threads: usize,
    convolutions: Convolutions,
}

impl<const TAPS: usize, const ADD: bool> Kernel for ConvolutionKernel<TAPS, ADD> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let weights = match &self.weights {
            Some(weights) => weights.clone(),
            None => {
                let kernels: Vec<_> = (0..TAPS)
                    .map(|tap| input(context, weight(tap)))
                    .collect::<ort::Result<_>>()?;
                Arc::new(transformed::new(&shaped(&kernels)?, self.convolutions))
            }
        };
        let pictures: Vec<_> = (0..TAPS)
            .map(|tap| input(context, 2 * tap))
            .collect::<ort::Result<_>>()?;
        let (bias, residual) = (
            input(context, 2 * TAPS)?,
            ADD.then(|| input(context, 2 * TAPS + 1)).transpose()?,
        );
        let (first, _) = floats(&pictures[0])?;
        let [1, channels, height, width] = *first else {
            return Err(ort::Error::new("an input of a convolution is not [1, C, H, W]"));
        };
        let expected = [1, channels, height, width];
        let mut taps = Vec::with_capacity(TAPS);
        for picture in &pictures {
            let (shape, values) = floats(picture)?;
            if *shape != expected || channels != weights.inputs() as i64 || values.is_empty() {
                return Err(ort::Error::new(
                    "the inputs of a convolution differ from each other or its weights",
                ));
            }
            taps.push(values);
        }
        let (_, bias) = floats(&bias)?;
        let result = [1, weights.outputs() as i64, height, width];
        let residual = residual.as_ref().map(floats).transpose()?;
        if bias.len() != weights.outputs() || residual.is_some_and(|(shape, _)| *shape != result) {
            return Err(ort::Error::new(
                "bias or residual of a convolution differ from its weights",
            ));
        }
        let mut output = context
            .output(0, result.to_vec())?
            .ok_or_else(|| ort::Error::new("the output is missing"))?;
        let (_, y) = output.try_extract_tensor_mut::<f32>()?;
        let picture = Picture {
            height: height as usize,
            width: width as usize,
        };
        let residual = residual.map(|(_, values)| values);
        let convolution = Convolution::new(&weights, &taps, Some(bias), residual, picture, self.threads);
        convolution.run(y, |count, block| context.par_for(count, 0, block))
    }
}

/// The weights of all taps, of one shape.
fn shaped<'a>(kernels: &'a [ValueRef<'_>]) -> ort::Result<Kernels<'a>> {
    let taps: Vec<Floats> = kernels.iter().map(floats).collect::<ort::Result<_>>()?;
    let wrong = || ort::Error::new("the weights of a convolution are not [O, C, 3, 3]");
    let (shape, _) = *taps.first().ok_or_else(wrong)?;
    let [outputs, inputs, 3, 3] = *shape else {
        return Err(wrong());
    };
    if outputs < 1 || inputs < 1 || taps.iter().any(|(other, _)| *other != shape) {
        return Err(wrong());
    }
    Ok(Kernels {
        taps: taps.into_iter().map(|(_, values)| values).collect(),
        inputs: inputs as usize,
        outputs: outputs as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;

    fn run(name: &str, shapes: &[&[i64]]) -> Result<Vec<f32>, String> {
        Ok(testing::run(name, shapes, 1)?.concat())
    }

    /// The sum of ones is the number of inputs around a pixel that are in the picture.
    #[test]
    fn weights_may_change_from_step_to_step() {
        let (x, w, one, y): (&[i64], &[i64], &[i64], &[i64]) = (&[1, 2, 3, 3], &[1, 2, 3, 3], &[1], &[1, 1, 3, 3]);
        let around = [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0];
        let check = |name: &str, shapes: &[&[i64]], taps: f32, ones: f32| {
            let found = run(name, shapes).unwrap();
            for (found, around) in found.iter().zip(around) {
                assert!((found - (taps * 2.0 * around + ones)).abs() < 1e-3, "{name}: {found}");
            }
        };
        check("Conv3x3", &[x, w, one], 1.0, 1.0);
        check("Conv3x3Add", &[x, w, one, y], 1.0, 2.0);
        check("Conv3x3Of2", &[x, w, x, w, one], 2.0, 1.0);
        check("Conv3x3Of2Add", &[x, w, x, w, one, y], 2.0, 2.0);
        check("Conv3x3Of3", &[x, w, x, w, x, w, one], 3.0, 1.0);
        check("Conv3x3Of3Add", &[x, w, x, w, x, w, one, y], 3.0, 2.0);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let cases: [(&str, &[&[i64]]); 10] = [
            ("Conv3x3", &[&[1, 3, 4, 4], &[5, 2, 3, 3], &[5]]),
            ("Conv3x3", &[&[2, 2, 4, 4], &[5, 2, 3, 3], &[5]]),
            ("Conv3x3", &[&[2, 4, 4], &[5, 2, 3, 3], &[5]]),
            ("Conv3x3", &[&[1, 2, 0, 4], &[5, 2, 3, 3], &[5]]),
            ("Conv3x3", &[&[1, 2, 4, 4], &[5, 2, 1, 1], &[5]]),
            ("Conv3x3", &[&[1, 2, 4, 4], &[0, 2, 3, 3], &[0]]),
            ("Conv3x3", &[&[1, 2, 4, 4], &[5, 2, 3, 3], &[4]]),
            ("Conv3x3Add", &[&[1, 2, 4, 4], &[5, 2, 3, 3], &[5], &[1, 5, 4, 3]]),
            (
                "Conv3x3Of2",
                &[&[1, 2, 4, 4], &[5, 2, 3, 3], &[1, 2, 4, 5], &[5, 2, 3, 3], &[5]],
            ),
            (
                "Conv3x3Of2",
                &[&[1, 2, 4, 4], &[5, 2, 3, 3], &[1, 2, 4, 4], &[4, 2, 3, 3], &[5]],
            ),
        ];
        for (name, shapes) in cases {
            let error = run(name, shapes).unwrap_err();
            assert!(error.contains("convolution"), "{shapes:?}: {error}");
        }
    }
}
