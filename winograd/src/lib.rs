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
//!
//! # What did not pay
//! Of a layer of 64 channels at 128×128, three fifths of the time are products, at the processor's rate (195 GFLOP/s a
//! core); the rest is mostly loads and stores of the transforms, which miss the first level of cache. Tried on an Intel
//! Xeon with 2 MiB of second level a core, on one thread, while other programs ran; a few percent are noise:
//!
//! - The next block's pixels, and the output's, fetched into the second level while products are computed: 1 to 4%
//!   slower.
//! - The room for intermediate values in huge pages: at most 5% faster, at 64 and 16 channels not measurably.
//! - Outputs transformed along rows and down columns a vector of tiles at a time, as inputs are: no difference, up to 5%
//!   slower at 32 channels.
//! - Blocks of 32 tiles: 64 channels at 128×128 took 10% less, 128 at 32×32 10% more. Blocks of 128 tiles: 5 to 15% more.
//! - Frames over time, transformed beside the products of the ones before, with their pixels fetched ahead: no faster. Rows
//!   of channels lie a power of two apart, so that few of them stay in a cache that has them loaded long before.

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
