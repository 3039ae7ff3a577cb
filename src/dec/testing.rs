//! What the decoder's unit tests share.

use crate::format::{Coding, Fraction, Regularizer, TokenFormat, TokenType};
use crate::stream::Tokens;

/// 39×53 pixels: 5 × 7 cells of 15 bits, at 25 frames per second.
pub fn format() -> TokenFormat {
    TokenFormat {
        model: "toy".into(),
        digest: "ab".repeat(32),
        regularizer: Regularizer::Fsq { levels: vec![8; 5] },
        token_type: TokenType::Uint16,
        coding: Coding::default(),
        grid_width: 5,
        grid_height: 7,
        time_factor: 4,
        space_factor: 8,
        causal: true,
        width: 39,
        height: 53,
        framerate: Fraction::new(25, 1),
        pixel_aspect_ratio: Fraction::new(1, 1),
        colorimetry: None,
    }
}

pub fn indices(range: std::ops::Range<usize>) -> Tokens {
    Tokens::Indices(range.map(|i| (i * 7919 % 32768) as i32).collect())
}
