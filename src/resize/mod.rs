//! Pictures brought to another size as VidTok's own code does it. Free of GStreamer and ONNX Runtime.
//!
//! [`Plan`] says which size and which part of the picture; [`Resizer`] computes the rows. It takes source rows one by
//! one, in order, and only the columns that it needs, so a colour converter can make them as they are asked for, and a
//! large picture never exists as floats.
//!
//! # Whose numbers these are
//!
//! `bilinear` and `bicubic` are PyTorch's resize of float pictures with antialiasing: weights in float32, computed in
//! PyTorch's steps. PyTorch resizes sideways first. Here the height comes first, in float32 too, which is 1.7 times as
//! fast for 1080p to 256×256 (1.5 against 2.5 ms, 2.4 against 4.0 without a crop). The two orders differ by at most
//! 0.0001 on the scale of 0 to 255 (`tests/resize.rs`).
//!
//! `pillow-bilinear` and `pillow-bicubic` are Pillow's bytes: whole numbers, rounded between the passes, the width first
//! (for some shapes the height, as in Pillow 13; 12.3 puts it first for other shapes).
//!
//! # Why not a library
//!
//! The crate `fast_image_resize` (6.1) needs the whole picture as floats: 1.4 ms to make them and 1.6 to 2.6 ms to
//! resize, where the code here takes 1.5 to 2.4 ms; its weights are float64, 0.013 of 255 away from PyTorch. Its bytes
//! are not Pillow's: 12 to 32% of them differ.

mod fixed;
mod float;
mod plan;
mod resizer;
mod ring;
mod taps;

use std::fmt;

pub use plan::{Fit, Plan, Size};
pub use resizer::{Resizer, to_bytes};

/// Something cannot be resized as asked; the text is for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeError(String);

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ResizeError {}

/// How values between pixels are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// A triangle, widened when the picture shrinks; not rounded.
    #[default]
    Bilinear,
    /// A cubic (a = -0.5), widened when the picture shrinks. Neither rounded nor clamped: values go below 0 and above
    /// 255 beside edges, as in PyTorch.
    Bicubic,
    /// Pillow's bytes.
    PillowBilinear,
    /// Pillow's bytes.
    PillowBicubic,
    /// One source pixel, as PyTorch's `nearest` takes it.
    Nearest,
}

impl Interpolation {
    /// All, with the names that users write.
    pub const NAMES: [(&str, Self); 5] = [
        ("bilinear", Self::Bilinear),
        ("bicubic", Self::Bicubic),
        ("pillow-bilinear", Self::PillowBilinear),
        ("pillow-bicubic", Self::PillowBicubic),
        ("nearest", Self::Nearest),
    ];

    /// Whether all values are whole numbers from 0 to 255, at every size.
    pub fn gives_bytes(self) -> bool {
        !matches!(self, Self::Bilinear | Self::Bicubic)
    }
}
