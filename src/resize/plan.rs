//! Which size a picture gets, and which part of it is kept: torchvision's arithmetic.

use std::str::FromStr;

use super::ResizeError;
use crate::format::MAX_DIMENSION;

/// The size that a user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The length of the shorter side; the other side follows, and nothing is cut off.
    Shorter(u32),
    /// Width and height of the output.
    Exact(u32, u32),
}

impl FromStr for Size {
    type Err = ResizeError;

    /// `256` or `320x256`.
    fn from_str(text: &str) -> Result<Self, ResizeError> {
        let side = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let side = is_number.then(|| text.parse().ok()).flatten();
            side.filter(|side| (1..=MAX_DIMENSION).contains(side))
        };
        let size = match text.split_once('x') {
            Some((width, height)) => side(width).zip(side(height)).map(|(w, h)| Self::Exact(w, h)),
            None => side(text).map(Self::Shorter),
        };
        size.ok_or_else(|| {
            ResizeError(format!(
                "size \"{text}\" is neither the shorter side (256) nor width and height (320x256), \
                 in pixels from 1 to {MAX_DIMENSION}"
            ))
        })
    }
}

/// What happens to a picture of another shape than the output's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// As VidTok: the shorter side becomes the output's height, then the middle is cut out. Where that would not fill
    /// the output (VidTok's code then leaves black bars), the picture is made just large enough to cover it.
    #[default]
    Crop,
    /// The whole picture, squeezed or stretched.
    Stretch,
    /// The whole picture in its own shape, in the middle, with black bars.
    Pad,
}

impl Fit {
    /// All, with the names that users write.
    pub const NAMES: [(&str, Self); 3] = [("crop", Self::Crop), ("stretch", Self::Stretch), ("pad", Self::Pad)];
}

/// From the source to the output: the source is resized to `scaled`; of that, the `window` at `offset` is kept, and put
/// `at` a place in the output, which is black elsewhere. Pairs are (x, y), in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) source: (u32, u32),
    pub(super) scaled: (u32, u32),
    pub(super) offset: (u32, u32),
    pub(super) window: (u32, u32),
    pub(super) at: (u32, u32),
    pub(super) output: (u32, u32),
}

impl Plan {
    /// For a source of that width and height. No size: it stays as it is.
    pub fn new(source: (u32, u32), size: Option<Size>, fit: Fit) -> Result<Self, ResizeError> {
        let (width, height) = source;
        let sides = 1..=MAX_DIMENSION;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(ResizeError(format!(
                "a picture of {width}×{height} pixels cannot be resized: sides are 1 to {MAX_DIMENSION}"
            )));
        }
        let whole = |scaled: (u32, u32)| Self {
            source,
            scaled,
            offset: (0, 0),
            window: scaled,
            at: (0, 0),
            output: scaled,
        };
        let (scaled, output) = match (size, fit) {
            (None, _) => return Ok(whole(source)),
            (Some(Size::Shorter(side)), _) => {
                let scaled = shorter_side(source, side);
                if scaled.0.max(scaled.1) > MAX_DIMENSION {
                    return Err(ResizeError(format!(
                        "with size={side}, a picture of {width}×{height} pixels would become {}×{}, and sides are at \
                         most {MAX_DIMENSION}: set a smaller size, or width and height",
                        scaled.0, scaled.1
                    )));
                }
                return Ok(whole(scaled));
            }
            (Some(Size::Exact(width, height)), Fit::Stretch) => return Ok(whole((width, height))),
            (Some(Size::Exact(width, height)), Fit::Crop) => (covering(source, (width, height)), (width, height)),
            (Some(Size::Exact(width, height)), Fit::Pad) => (inside(source, (width, height)), (width, height)),
        };
        // A side is cut or has bars, by the fit, or is the output's.
        let cut = |scaled: u32, output: u32| match scaled.checked_sub(output) {
            Some(rest) => (half_to_even(rest), output, 0),
            None => (0, scaled, (output - scaled) / 2),
        };
        let (x, y) = (cut(scaled.0, output.0), cut(scaled.1, output.1));
        Ok(Self {
            source,
            scaled,
            offset: (x.0, y.0),
            window: (x.1, y.1),
            at: (x.2, y.2),
            output,
        })
    }

    /// Width and height of the output.
    pub fn output(&self) -> (u32, u32) {
        self.output
    }

    /// Width and height of the whole source after resizing, of which the output may show a part.
    pub fn scaled(&self) -> (u32, u32) {
        self.scaled
    }

    /// Width and height of the source.
    pub fn source(&self) -> (u32, u32) {
        self.source
    }

    /// Left and top of what is kept of the scaled picture.
    pub fn offset(&self) -> (u32, u32) {
        self.offset
    }

    /// Whether pixels change their values: not so if the picture is only cut or stays as it is.
    pub fn is_resize(&self) -> bool {
        self.scaled != self.source
    }
}

/// torchvision's Resize(side). Its division is in float64, which is exact for such numbers: whole numbers do the same.
fn shorter_side((width, height): (u32, u32), side: u32) -> (u32, u32) {
    if width <= height {
        (side, scale(side, height, width))
    } else {
        (scale(side, width, height), side)
    }
}

/// VidTok's Resize(height) for CenterCrop((height, width)), or the size that just covers the output.
fn covering(source: (u32, u32), output: (u32, u32)) -> (u32, u32) {
    let scaled = shorter_side(source, output.1);
    if scaled.0 >= output.0 && scaled.1 >= output.1 {
        return scaled;
    }
    let (wide, high) = (cross(source.0, output.1), cross(source.1, output.0));
    if wide >= high {
        (scale(output.1, source.0, source.1), output.1)
    } else {
        (output.0, scale(output.0, source.1, source.0))
    }
}

/// The largest size of the source's shape within the output.
fn inside(source: (u32, u32), output: (u32, u32)) -> (u32, u32) {
    let (wide, high) = (cross(source.0, output.1), cross(source.1, output.0));
    if wide >= high {
        (output.0, scale(output.0, source.1, source.0).max(1))
    } else {
        (scale(output.1, source.0, source.1).max(1), output.1)
    }
}

fn cross(a: u32, b: u32) -> u64 {
    u64::from(a) * u64::from(b)
}

/// side · part / whole, cut. Sides have 16 bits at most, so the result has 32.
fn scale(side: u32, part: u32, whole: u32) -> u32 {
    (cross(side, part) / u64::from(whole)) as u32
}

/// Python's round(rest / 2).
fn half_to_even(rest: u32) -> u32 {
    let half = rest / 2;
    half + (rest % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(source: (u32, u32), size: &str, fit: Fit) -> Plan {
        Plan::new(source, Some(size.parse().unwrap()), fit).unwrap()
    }

    #[test]
    fn sizes_are_a_side_or_width_and_height() {
        assert_eq!("256".parse(), Ok(Size::Shorter(256)));
        assert_eq!("320x256".parse(), Ok(Size::Exact(320, 256)));
        assert_eq!("32768x1".parse(), Ok(Size::Exact(32768, 1)));
        for text in [
            "",
            "x",
            "0",
            "0x5",
            "5x0",
            "-1",
            "+5",
            "5 x5",
            "5x5x5",
            "32769",
            "99999999999",
            "5X5",
            "٣",
        ] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
            assert!(error.contains("320x256"), "{error}");
        }
    }

    #[test]
    fn the_whole_picture_stays_where_no_size_is_asked_for() {
        for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
            let plan = Plan::new((33, 7), None, fit).unwrap();
            assert_eq!((plan.output(), plan.is_resize()), ((33, 7), false));
        }
    }

    #[test]
    fn a_crop_is_of_the_middle() {
        // Resize(256) of 1920×1080 is 455×256; 199 columns are too many, and round(99.5) is 100.
        let wide = plan((1920, 1080), "256x256", Fit::Crop);
        assert_eq!(
            (wide.scaled, wide.offset, wide.window),
            ((455, 256), (100, 0), (256, 256))
        );
        let high = plan((1080, 1920), "256x256", Fit::Crop);
        assert_eq!((high.scaled, high.offset), ((256, 455), (0, 100)));
        // The shorter side becomes the output's height, also where a smaller picture would cover the output.
        let narrow = plan((1080, 1920), "128x256", Fit::Crop);
        assert_eq!((narrow.scaled, narrow.offset), ((256, 455), (64, 100)));
    }

    #[test]
    fn a_crop_has_no_bars() {
        // Resize(256) of 1920×1080 is 455 columns: too few for 512.
        let plan = plan((1920, 1080), "512x256", Fit::Crop);
        assert_eq!(
            (plan.scaled, plan.offset, plan.window),
            ((512, 288), (0, 16), (512, 256))
        );
        for width in 1..40 {
            for height in 1..40 {
                for (w, h) in [(1, 40), (40, 1), (7, 13), (16, 16), (31, 5)] {
                    let plan = Plan::new((width, height), Some(Size::Exact(w, h)), Fit::Crop).unwrap();
                    assert_eq!((plan.window, plan.at, plan.output), ((w, h), (0, 0), (w, h)));
                    assert!(plan.offset.0 + w <= plan.scaled.0 && plan.offset.1 + h <= plan.scaled.1);
                }
            }
        }
    }

    #[test]
    fn stretching_and_bars_keep_the_whole_picture() {
        let stretched = plan((1920, 1080), "256x256", Fit::Stretch);
        assert_eq!((stretched.scaled, stretched.window), ((256, 256), (256, 256)));
        let padded = plan((1920, 1080), "256x256", Fit::Pad);
        assert_eq!(
            (padded.scaled, padded.window, padded.at),
            ((256, 144), (256, 144), (0, 56))
        );
        let padded = plan((1080, 1920), "200x257", Fit::Pad);
        assert_eq!(
            (padded.scaled, padded.at, padded.output),
            ((144, 257), (28, 0), (200, 257))
        );
        assert_eq!(plan((30_000, 2), "8x8", Fit::Pad).scaled, (8, 1));
    }

    #[test]
    fn sizes_beyond_the_limit_are_errors() {
        let error = Plan::new((3000, 1), Some(Size::Shorter(256)), Fit::Crop)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("size=256") && error.contains("3000×1") && error.contains("768000×256"),
            "{error}"
        );
        for source in [(0, 4), (4, 0), (32769, 4)] {
            assert!(Plan::new(source, None, Fit::Crop).is_err());
        }
        // Most of the scaled picture is cut off: it may be larger than any picture.
        assert_eq!(plan((3000, 1), "256x256", Fit::Crop).scaled, (768_000, 256));
    }
}
