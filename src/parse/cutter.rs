use crate::caps;
use crate::format::TokenFormat;
use crate::timeline::{Grouping, frames_to_time};
use crate::tokenizer;

/// How bytes are cut.
#[derive(Clone, Debug)]
pub struct Cutter {
    pub format: TokenFormat,
    grouping: Grouping,
    pub framerate_is_assumed: bool,
}

/// What a piece stands for: a latent frame, or all of a window's.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub segment_start: bool,
    pub frames: u32,
    /// In nanoseconds, as is the duration; `None` without a framerate.
    pub pts: Option<u64>,
    pub duration: Option<u64>,
}

impl Cutter {
    /// For tokens of these caps.
    ///
    /// # Errors
    /// Says what the caps lack or contradict, or that there is no such tokenizer.
    pub fn new(caps: &gst::CapsRef) -> Result<Self, String> {
        let (digest, name) = caps::named_tokenizer(caps).map_err(|e| e.0)?;
        let tokenizer = tokenizer::describe(digest.as_deref(), &name).map_err(|e| e.to_string())?;
        let format = TokenFormat::from_raw_caps(caps, &tokenizer).map_err(|e| e.0)?;
        Ok(Self {
            format,
            grouping: tokenizer.grouping(),
            framerate_is_assumed: caps.structure(0).is_none_or(|s| !s.has_field("framerate")),
        })
    }

    /// Bytes of a piece.
    pub fn bytes(&self) -> usize {
        self.format.raw_latent_frame_bytes() * self.grouping.step_latent_frames()
    }

    /// What piece number `number` stands for.
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

    /// When `bytes` bytes end.
    pub fn end(&self, bytes: u64) -> Option<u64> {
        self.piece(bytes / self.bytes() as u64).pts
    }

    /// What to tell of bytes at the end that are no whole piece.
    pub fn leftover(&self, bytes: usize) -> String {
        let Self { format, grouping, .. } = self;
        let latent_frames = match grouping.step_latent_frames() {
            1 => "a latent frame".to_string(),
            window => format!("a window of {window} latent frames"),
        };
        format!(
            "The tokens end in the middle of {latent_frames}: {bytes} bytes are left over, of {} that {latent_frames} of {}×{} \
             pixels takes ({}×{} cells, {}). Are size and token type the right ones?",
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

    fn cutter(fields: &str) -> Result<Cutter, String> {
        gst::init().unwrap();
        let caps = format!("video/x-vidtok,stream-format=raw,{fields}");
        Cutter::new(&caps.parse::<gst::Caps>().unwrap())
    }

    const BUILT_IN: &str = "model=vidtok-small-488-32768,width=384,height=288";

    #[test]
    fn a_latent_frame_is_as_long_as_its_frames() {
        let cutter = cutter(&format!("{BUILT_IN},framerate=25/1")).unwrap();
        // 36 × 48 cells of two bytes.
        assert_eq!(cutter.bytes(), 3456);
        let ms = |ms: u64| Some(ms * 1_000_000);
        let piece = |segment_start, frames, pts, duration| Piece {
            segment_start,
            frames,
            pts: ms(pts),
            duration: ms(duration),
        };
        assert_eq!(cutter.piece(0), piece(true, 1, 0, 40));
        assert_eq!(cutter.piece(1), piece(false, 4, 40, 160));
        assert_eq!(cutter.piece(2), piece(false, 4, 200, 160));
        assert_eq!(cutter.end(3 * 3456 + 1), ms(360));
    }

    #[test]
    fn what_is_left_over_is_said_in_numbers() {
        let text = cutter(BUILT_IN).unwrap().leftover(1000);
        for part in ["1000 bytes", "3456", "384×288", "48×36", "uint16"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn caps_that_do_not_suffice_are_named() {
        for (fields, part) in [
            ("width=384,height=288", "model"),
            ("model=nowhere,width=384,height=288", "nowhere"),
            ("model=vidtok-small-488-32768,height=288", "width"),
            (
                "model=vidtok-small-488-32768,width=384,height=288,grid-width=40",
                "grid-width=40",
            ),
        ] {
            let error = cutter(fields).unwrap_err();
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
