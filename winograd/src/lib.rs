//! Convolutions of stride 1 by Winograd's algorithm (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2015), in float32 on one processor core at a time: 3×3 in pictures, and 1×1 over three frames.
//!
//! A tile of `M` × `M` outputs needs `P` × `P` inputs, P = M + 2. Inputs and weights are transformed to values at P × P
//! *positions*; there each output channel is a sum of products over the input channels; and a last transform makes the
//! tile of it. That takes P²/9M² of a direct convolution's multiplications: 1/2.25 for M = 2, 1/4 for M = 4.
//!
//! [`Weights`] transforms weights of 3×3 convolutions, once. [`Convolution`] splits a picture into blocks, which threads
//! compute in any order: `points` has the transforms of one dimension, `input` and `output` apply them to pictures,
//! `product` sums over channels, `vector` and `machine` are the processor's instructions. A result depends on its place
//! in the picture, but not on how the picture is split. `over_time` does the same for frames.

mod block;
mod convolution;
mod input;
mod machine;
mod output;
mod over_time;
mod points;
mod product;
mod room;
mod shared;
mod vector;
mod weights;

pub use convolution::{Convolution, Picture};
pub use machine::Instructions;
pub use over_time::{ConvolutionOverTime, Frames, WeightsOverTime};
pub use points::Tile;
pub use weights::Weights;

#[cfg(test)]
mod tests;
