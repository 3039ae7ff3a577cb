//! End marks: what a segment and a stream had, written behind them.

use serde::{Deserialize, Serialize};

use super::{MAX_LATENT_NUMBER, StreamError};

/// What an end mark says. A reader sees by it whether packets are missing at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// [Number](super::Position::segment) of the segment that ends here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_number: Option<u32>,
    /// What the segment had that ends here.
    pub segment: Totals,
    /// What the whole stream had; `None` where it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Totals>,
}

/// How much there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    pub latent_frames: u64,
    /// Real video frames.
    pub frames: u64,
}

impl Totals {
    /// The totals with `latent_frames` and `frames` more.
    pub fn plus(self, latent_frames: u32, frames: u32) -> Self {
        Self {
            latent_frames: self.latent_frames.saturating_add(latent_frames.into()),
            frames: self.frames.saturating_add(frames.into()),
        }
    }

    fn is_possible(self) -> bool {
        // 64: the largest time factor that a token format may have.
        self.latent_frames <= MAX_LATENT_NUMBER && self.frames <= self.latent_frames * 64
    }
}

impl End {
    /// Checks that there can be a stream with these totals; afterwards none of their sums overflows.
    pub(super) fn check(&self) -> Result<(), StreamError> {
        let Self { segment, stream, .. } = self;
        let whole = stream.unwrap_or(*segment);
        let fits = segment.latent_frames <= whole.latent_frames && segment.frames <= whole.frames;
        if segment.is_possible() && whole.is_possible() && fits {
            return Ok(());
        }
        let reason = format!(
            "an end mark of {} latent frames and {} video frames in a segment, of {} and {} in all",
            segment.latent_frames, segment.frames, whole.latent_frames, whole.frames
        );
        Err(StreamError::Header(reason))
    }
}
