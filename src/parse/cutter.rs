//! Cuts bare tokens into pieces of whole latent frames. Free of GStreamer.

use crate::format::TokenFormat;
use crate::timeline::{Grouping, frames_to_time};

/// How bare tokens are cut.
#[derive(Clone, Debug)]
pub struct Cutter {
    format: TokenFormat,
    grouping: Grouping,
}

/// A latent frame, or all latent frames of a window.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub segment_start: bool,
    /// Video frames that it stands for.
    pub frames: u32,
    /// In nanoseconds, as `duration`; `None` without a framerate.
    pub pts: Option<u64>,
    pub duration: Option<u64>,
}

impl Cutter {
    pub fn new(format: TokenFormat, grouping: Grouping) -> Self {
        Self { format, grouping }
    }

    pub fn format(&self) -> &TokenFormat {
        &self.format
    }

    /// Bytes of a piece.
    pub fn bytes(&self) -> usize {
        self.format.raw_latent_frame_bytes() * self.grouping.step_latent_frames()
    }

    /// Piece `number`, counted from 0.
    pub fn piece(&self, number: u64) -> Piece {
        let (first, end) = (self.grouping.frames_in(number), self.grouping.frames_in(number + 1));
        let time = |frame| frames_to_time(frame, self.format.framerate);
        let (pts, end_time) = (time(first), time(end));
        Piece {
            segment_start: number == 0 || matches!(self.grouping, Grouping::Windows { .. }),
            frames: (end - first) as u32,
            pts,
            duration: pts.zip(end_time).map(|(pts, end)| end - pts),
        }
    }

    /// When the whole pieces in `bytes` bytes end, in nanoseconds.
    pub fn end(&self, bytes: u64) -> Option<u64> {
        self.piece(bytes / self.bytes() as u64).pts
    }

    /// The text of a warning about `bytes` bytes at the end, too few for a piece.
    pub fn leftover(&self, bytes: usize) -> String {
        let Self { format, grouping } = self;
        let latent_frames = match grouping.step_latent_frames() {
            1 => "a latent frame".to_string(),
            window => format!("a window of {window} latent frames"),
        };
        format!(
            "The tokens end in the middle of {latent_frames}: {bytes} bytes are left over, of {} that {latent_frames} \
             of {}×{} pixels takes ({}×{} cells, {}). Are size and token type the right ones?",
            self.bytes(),
            format.width,
            format.height,
            format.grid_width,
            format.grid_height,
            format.token_type.as_str(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Fraction;
    use crate::parse::testing;

    fn cutter(grouping: Grouping) -> Cutter {
        let format = TokenFormat {
            width: 384,
            height: 288,
            grid_width: 48,
            grid_height: 36,
            framerate: Fraction::new(25, 1),
            ..testing::format(1)
        };
        Cutter::new(format, grouping)
    }

    fn piece(segment_start: bool, frames: u32, pts_ms: u64, duration_ms: u64) -> Piece {
        Piece {
            segment_start,
            frames,
            pts: Some(pts_ms * 1_000_000),
            duration: Some(duration_ms * 1_000_000),
        }
    }

    #[test]
    fn a_latent_frame_is_as_long_as_its_frames() {
        let cutter = cutter(Grouping::Causal { factor: 4 });
        // 36 × 48 cells of two bytes.
        assert_eq!(cutter.bytes(), 3456);
        assert_eq!(cutter.piece(0), piece(true, 1, 0, 40));
        assert_eq!(cutter.piece(1), piece(false, 4, 40, 160));
        assert_eq!(cutter.piece(2), piece(false, 4, 200, 160));
        assert_eq!(cutter.end(3 * 3456 + 1), Some(360_000_000));
    }

    #[test]
    fn a_window_is_a_segment() {
        let cutter = cutter(Grouping::Windows { factor: 4, window: 16 });
        assert_eq!(cutter.bytes(), 4 * 3456);
        assert_eq!(cutter.piece(0), piece(true, 16, 0, 640));
        assert_eq!(cutter.piece(1), piece(true, 16, 640, 640));
    }

    #[test]
    fn the_warning_about_bytes_left_over_has_the_numbers() {
        let text = cutter(Grouping::Causal { factor: 4 }).leftover(1000);
        for part in ["1000 bytes", "3456", "384×288", "48×36", "uint16"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
