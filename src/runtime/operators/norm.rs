//! `Norm`: LayerNorm over the channels of `[1, C, H, W]`; `NormSilu`: SiLU of it.

use std::cell::RefCell;
use std::f32::consts::LOG2_E;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::TensorElementType::Float32;

use super::context::{input, output_is_like};
use super::tiles::{Rows, par_tiles};

pub struct NormOperator<const SILU: bool>;

impl<const SILU: bool> Operator for NormOperator<SILU> {
    type Kernel<'attr> = NormKernel<SILU>;

    fn name(&self) -> &str {
        if SILU { "NormSilu" } else { "Norm" }
    }

    /// `x`; `scale` and `shift`, `[C, 1]`; a row of 1/C that only the function needs; `epsilon`.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32; 5].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<NormKernel<SILU>> {
        Ok(NormKernel)
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        output_is_like(context, 0)
    }
}

/// Reads the operator's inputs and has [`Norm`] compute tiles.
pub struct NormKernel<const SILU: bool>;

impl<const SILU: bool> Kernel for NormKernel<SILU> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (x, scale, shift, epsilon) = (
            input(context, 0)?,
            input(context, 1)?,
            input(context, 2)?,
            input(context, 4)?,
        );
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let (_, scale) = scale.try_extract_tensor::<f32>()?;
        let (_, shift) = shift.try_extract_tensor::<f32>()?;
        let (_, epsilon) = epsilon.try_extract_tensor::<f32>()?;
        let mut output = context
            .output(0, shape.to_vec())?
            .ok_or_else(|| ort::Error::new("the output is missing"))?;
        let (_, y) = output.try_extract_tensor_mut::<f32>()?;
        let (channels, [epsilon]) = (scale.len(), epsilon) else {
            return Err(ort::Error::new("one epsilon is needed"));
        };
        let fits = shape.len() == 4 && shape[0] == 1 && shape[1] == channels as i64;
        if !fits || shift.len() != channels || channels == 0 {
            return Err(ort::Error::new("[1, C, H, W] and C scales and shifts are needed"));
        }
        let norm = Norm {
            scale,
            shift,
            epsilon: *epsilon,
        };
        let positions = x.len() / channels;
        par_tiles(context, y, channels, tile_len(channels), |start, rows| {
            let len = rows.len();
            let read = |channel: usize| &x[channel * positions + start..][..len];
            ROOM.with_borrow_mut(|room| norm.apply::<SILU>(len, read, rows, room));
        })
    }
}

thread_local! {
    /// Room for a tile, in each of ONNX Runtime's threads: allocating it for each tile would take a tenth of the time.
    static ROOM: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Floats of a tile: enough to use the first two levels of cache, and not so many that they overflow.
const TILE: usize = 1 << 14;

/// Positions of a tile.
fn tile_len(channels: usize) -> usize {
    (TILE / channels).next_multiple_of(16).clamp(16, 512)
}

/// LayerNorm over channels, each with its scale and shift.
struct Norm<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    epsilon: f32,
}

impl Norm<'_> {
    /// Computes `len` positions: `read` gives their values in a channel, `output` takes the results. A position's
    /// result depends on no other position. `room` may have any contents.
    fn apply<'x, const SILU: bool>(
        &self,
        len: usize,
        read: impl Fn(usize) -> &'x [f32],
        output: &mut Rows<'_>,
        room: &mut Vec<f32>,
    ) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                // SAFETY: the processor has the instructions that the function is compiled for.
                return unsafe { self.apply_avx512::<SILU>(len, read, output, room) };
            }
            // SAFETY: as above.
            return unsafe { self.apply_avx2::<SILU>(len, read, output, room) };
        }
        self.apply_any::<SILU, false>(len, read, output, room);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
    fn apply_avx512<'x, const SILU: bool>(
        &self,
        len: usize,
        read: impl Fn(usize) -> &'x [f32],
        output: &mut Rows<'_>,
        room: &mut Vec<f32>,
    ) {
        self.apply_any::<SILU, true>(len, read, output, room);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn apply_avx2<'x, const SILU: bool>(
        &self,
        len: usize,
        read: impl Fn(usize) -> &'x [f32],
        output: &mut Rows<'_>,
        room: &mut Vec<f32>,
    ) {
        self.apply_any::<SILU, true>(len, read, output, room);
    }

    /// Plain loops over positions, which the compiler turns into vector instructions. `FUSED`: the processor multiplies
    /// and adds in one instruction.
    #[inline(always)]
    fn apply_any<'x, const SILU: bool, const FUSED: bool>(
        &self,
        len: usize,
        read: impl Fn(usize) -> &'x [f32],
        output: &mut Rows<'_>,
        room: &mut Vec<f32>,
    ) {
        let channels = self.scale.len();
        if room.len() < (channels + 2) * len {
            room.resize((channels + 2) * len, 0.0);
        }
        let (mean, rest) = room.split_at_mut(len);
        let (factor, rest) = rest.split_at_mut(len);
        // The input is copied into one piece first: its rows are often a power of two apart, and would evict each other
        // from the caches in each pass.
        let rows = &mut rest[..channels * len];
        mean.fill(0.0);
        for (channel, row) in rows.chunks_exact_mut(len).enumerate() {
            for ((value, sum), x) in row.iter_mut().zip(&mut *mean).zip(read(channel)) {
                *value = *x;
                *sum += x;
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= channels as f32);
        factor.fill(0.0);
        for row in rows.chunks_exact_mut(len) {
            for ((value, sum), mean) in row.iter_mut().zip(&mut *factor).zip(&*mean) {
                *value -= mean;
                *sum = multiply_add::<FUSED>(*value, *value, *sum);
            }
        }
        for sum in &mut *factor {
            *sum = 1.0 / (*sum / channels as f32 + self.epsilon).sqrt();
        }
        for (channel, row) in rows.chunks_exact(len).enumerate() {
            let (scale, shift) = (self.scale[channel], self.shift[channel]);
            for ((y, d), factor) in output.row(channel).iter_mut().zip(row).zip(&*factor) {
                let value = multiply_add::<FUSED>(d * factor, scale, shift);
                *y = if SILU {
                    // The power is less exact for large arguments, where the result is nearly the value or nearly 0.
                    value / (1.0 + exp2::<FUSED>(value * -LOG2_E))
                } else {
                    value
                };
            }
        }
    }
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// 2 to the power of `x`, within 2 units in the last place. Results that float32 cannot hold are near its limits.
///
/// x = k + f with |f| ≤ ½: a polynomial of f, and k added to the exponent.
#[inline(always)]
fn exp2<const FUSED: bool>(x: f32) -> f32 {
    /// Adding it leaves the nearest integer in the last bits.
    const ROUND: f32 = 12_582_912.0;
    /// The polynomial with the least relative error: 2·10⁻⁹ before rounding.
    const POLYNOMIAL: [f32; 7] = [
        1.535_336e-4,
        1.339_887_5e-3,
        9.618_437e-3,
        5.550_332_4e-2,
        2.402_264_8e-1,
        6.931_472e-1,
        1.0,
    ];
    // Comparisons that compile to one instruction each, unlike `clamp`.
    let x = if x < 126.0 { x } else { 126.0 };
    let x = if x > -125.0 { x } else { -125.0 };
    let rounded = x + ROUND;
    let f = x - (rounded - ROUND);
    let power = POLYNOMIAL
        .iter()
        .fold(0.0, |sum, term| multiply_add::<FUSED>(sum, f, *term));
    f32::from_bits(power.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::operators::tiles::tests::with_rows;

    /// The operator's definition, in float64.
    fn expected(x: &[f64], scale: f32, shift: f32, channel: usize, silu: bool) -> f64 {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let y = (x[channel] - mean) / (variance + 1e-6).sqrt() * f64::from(scale) + f64::from(shift);
        if silu { y / (1.0 + (-y).exp()) } else { y }
    }

    #[test]
    fn every_implementation_gives_the_definition() {
        check::<false>();
        check::<true>();
    }

    fn check<const SILU: bool>() {
        const CHANNELS: usize = 20;
        const POSITIONS: usize = 37;
        let wave = |i: usize, step: f32| (i as f32 * step).sin();
        let x: Vec<f32> = (0..CHANNELS * POSITIONS).map(|i| 30.0 * wave(i, 0.7) + 100.0).collect();
        let scale: Vec<f32> = (0..CHANNELS).map(|i| 1.0 + 3.0 * wave(i, 1.1)).collect();
        let shift: Vec<f32> = (0..CHANNELS).map(|i| 9.0 * wave(i, 1.9)).collect();
        let norm = Norm {
            scale: &scale,
            shift: &shift,
            epsilon: 1e-6,
        };
        let run = |way: &str| {
            let mut y = vec![f32::NAN; x.len()];
            let read = |channel: usize| &x[channel * POSITIONS..][..POSITIONS];
            // Room for more than is needed, as for a picture's last tile, and not cleared.
            let mut room = vec![f32::NAN; (CHANNELS + 2) * (POSITIONS + 11)];
            with_rows(&mut y, CHANNELS, |rows| match way {
                "plain" => norm.apply_any::<SILU, false>(POSITIONS, read, rows, &mut room),
                #[cfg(target_arch = "x86_64")]
                "avx2" if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
                    // SAFETY: the processor has the instructions that the function is compiled for.
                    unsafe { norm.apply_avx2::<SILU>(POSITIONS, read, rows, &mut room) }
                }
                _ => norm.apply::<SILU>(POSITIONS, read, rows, &mut room),
            });
            y
        };
        for y in ["plain", "avx2", "widest"].map(run) {
            for (i, y) in y.iter().enumerate() {
                let (channel, position) = (i / POSITIONS, i % POSITIONS);
                let column: Vec<f64> = (0..CHANNELS).map(|c| x[c * POSITIONS + position].into()).collect();
                let expected = expected(&column, scale[channel], shift[channel], channel, SILU);
                assert!((f64::from(*y) - expected).abs() < 2e-5, "{y} for {expected} at {i}");
            }
        }
    }

    #[test]
    fn powers_are_close_to_the_standard_librarys() {
        for step in -1_000_000..=1_000_000 {
            let x = step as f32 * 124e-6;
            for power in [exp2::<false>(x), exp2::<true>(x)] {
                let exact = f64::from(x).exp2();
                assert!((f64::from(power) / exact - 1.0).abs() < 2.4e-7, "{power} for {exact}");
            }
        }
        assert!(exp2::<false>(f32::INFINITY).is_finite());
        assert!(exp2::<false>(f32::NEG_INFINITY) > 0.0);
    }
}
