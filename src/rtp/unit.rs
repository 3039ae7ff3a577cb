//! A unit: the latent frames that an encoder gives at once.

use crate::stream::Tokens;

/// What one buffer of tokens holds, and all packets with one timestamp carry: one latent frame of a causal tokenizer, or
/// the latent frames of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Number of the segment, modulo 256.
    pub segment: u8,
    /// Number of the unit's first latent frame within its segment: 0 where the segment starts.
    pub latent_frame: u32,
    pub latent_frames: u8,
    /// The segment, or the stream, ends with the unit; `false` also where that is not known.
    pub segment_end: bool,
    pub end_of_stream: bool,
    /// Video frames that are shown.
    pub real_frames: u16,
    /// Ticks from the first real frame to each other one, and to the end of the last; `None`: on the framerate's grid.
    pub offsets: Option<Vec<u32>>,
    pub tokens: Tokens,
}
