//! What the decoder's unit tests share.

use super::input::Input;
use super::tokens::UnreadTokens;
use crate::format::{Coding, Fraction, Regularizer, TokenFormat, TokenType};
use crate::stream::{Link, Tokens};
use crate::timeline::PacketTimes;

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
        pixels: None,
    }
}

/// How long a frame lasts, in nanoseconds.
pub const FRAME: u64 = 40_000_000;

/// A packet whose first frame has the number `first`.
pub fn packet(segment_start: bool, latent_frames: u32, real_frames: u64, first: u64, payload: Vec<u8>) -> Input {
    Input {
        segment_start,
        segment_end: false,
        link: Link::Follows,
        hole: None,
        hole_is_known: false,
        latent_frames,
        real_frames,
        times: Some(PacketTimes {
            pts: first * FRAME,
            duration: Some(real_frames * FRAME),
            offsets: None,
        }),
        concealed: false,
        shift: 0,
        tokens: UnreadTokens::of_payload(payload, latent_frames),
    }
}

pub fn indices(range: std::ops::Range<usize>) -> Tokens {
    Tokens::Indices(range.map(|i| (i * 7919 % 32768) as i32).collect())
}
