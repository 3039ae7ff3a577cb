//! What a token stream is: all that its caps and its stream header say. Free of GStreamer.
//!
//! [`TokenFormat`] has one mapping to caps (`element/caps.rs`) and one to the JSON of stream headers
//! (`stream/header.rs`).

use std::fmt;

use serde::{Deserialize, Serialize};

// Limits of what a stream, a file or caps may say, in the words of docs/stream.md.

/// Pixels of a picture's width and of its height.
pub const MAX_DIMENSION: u32 = 1 << 15;
/// Pixels of a cell's width and of its height.
pub(crate) const MAX_SPACE_FACTOR: u32 = 64;
/// Video frames of a latent frame.
pub(crate) const MAX_TIME_FACTOR: u32 = 64;
/// Cells of a latent frame: bounds what one packet makes a reader allocate.
pub(crate) const MAX_GRID_CELLS: u64 = 1 << 22;
/// Different FSQ indices.
pub(crate) const MAX_CODEBOOK: u32 = 1 << 24;
/// Channels of a KL latent.
pub(crate) const MAX_CHANNELS: u32 = 64;
/// Bytes of the model's name, of the colorimetry, and of what was done to the pixels.
pub(crate) const MAX_TEXT_BYTES: usize = 256;
/// Either number of a fraction: GStreamer's are signed.
pub(crate) const MAX_FRACTION: u32 = i32::MAX as u32;
/// Video frames of a window. The byte stream does not say how long one is.
pub(crate) const MAX_WINDOW: u32 = 256;

/// Whether `text` can be a model's name, a colorimetry or what was done to the pixels: one short line.
pub(crate) fn is_short_line(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES && !text.contains(char::is_control)
}

/// Indices that `uint16` holds.
const UINT16_CODES: u32 = 1 << 16;

/// Whether `text` is a tokenizer's digest: 64 lower-case hexadecimal digits, a SHA-256.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// How the latent becomes tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regularizer {
    /// Finite scalar quantization: one index per cell, in `0 .. levels.product()`.
    Fsq { levels: Vec<u32> },
    /// Continuous latent: `channels` floats per cell.
    Kl { channels: u32 },
}

impl Regularizer {
    /// The name of [`Self::Fsq`] in caps, stream headers and descriptions.
    pub(crate) const FSQ: &str = "fsq";
    /// The name of [`Self::Kl`].
    pub(crate) const KL: &str = "kl";

    /// Number of FSQ indices; `None` for continuous tokens.
    pub fn codebook_size(&self) -> Option<u32> {
        match self {
            Self::Fsq { levels } => Some(levels.iter().product()),
            Self::Kl { .. } => None,
        }
    }

    /// Values per cell of a latent frame: 1 for FSQ.
    pub(crate) fn values_per_cell(&self) -> usize {
        match self {
            Self::Fsq { .. } => 1,
            Self::Kl { channels } => *channels as usize,
        }
    }

    /// Checks that there can be such tokens; afterwards the codebook's size does not overflow.
    pub fn check(&self) -> Result<(), FormatError> {
        match self {
            Self::Fsq { levels } => {
                let is_possible = |product: &u32| *product <= MAX_CODEBOOK;
                let product = levels
                    .iter()
                    .try_fold(1u32, |product, level| product.checked_mul(*level).filter(is_possible));
                if levels.is_empty() || levels.iter().any(|level| *level < 2) || product.is_none() {
                    return Err(FormatError(format!("impossible FSQ levels {levels:?}")));
                }
            }
            Self::Kl { channels } => {
                if !(1..=MAX_CHANNELS).contains(channels) {
                    return Err(FormatError(format!(
                        "{channels} KL channels, allowed are 1 to {MAX_CHANNELS}"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The type of a token value in `raw` buffers, and of a continuous one in the byte stream. Little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    Uint16,
    Uint32,
    Float16,
    Float32,
}

impl TokenType {
    pub(crate) const ALL: [Self; 4] = [Self::Uint16, Self::Uint32, Self::Float16, Self::Float32];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == text)
    }

    pub fn bytes(self) -> usize {
        match self {
            Self::Uint16 | Self::Float16 => 2,
            Self::Uint32 | Self::Float32 => 4,
        }
    }

    /// The smallest type for the tokens of `regularizer`: `uint16` up to 65,536 codes, `float32` for KL.
    pub fn default_for(regularizer: &Regularizer) -> Self {
        match regularizer.codebook_size() {
            Some(size) if size <= UINT16_CODES => Self::Uint16,
            Some(_) => Self::Uint32,
            None => Self::Float32,
        }
    }

    /// Whether tokens of `regularizer` fit this type.
    pub(crate) fn fits(self, regularizer: &Regularizer) -> bool {
        match regularizer.codebook_size() {
            Some(size) => self == Self::Uint32 || (self == Self::Uint16 && size <= UINT16_CODES),
            None => matches!(self, Self::Float16 | Self::Float32),
        }
    }
}

/// How the tokens of a packet are laid out in its payload. `stream::coding` has what each coding does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// Indices of as few bits as the codebook needs; floats as they are.
    #[default]
    Packed,
    /// Tests the interface of codings: it has a memory, and payloads of any length.
    #[cfg(test)]
    Delta,
}

impl Coding {
    pub(crate) const ALL: &[Self] = &[
        Self::Packed,
        #[cfg(test)]
        Self::Delta,
    ];

    /// The name in caps and stream headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            #[cfg(test)]
            Self::Delta => "delta",
        }
    }

    /// The coding called `name`.
    ///
    /// # Errors
    /// Names the unknown coding, and those that this version reads.
    pub fn parse(name: &str) -> Result<Self, FormatError> {
        let known = Self::ALL.iter().map(|coding| format!("\"{}\"", coding.as_str()));
        let unknown = || {
            let known = known.collect::<Vec<_>>().join(" and ");
            FormatError(format!("unknown coding \"{name}\", known is {known}"))
        };
        let found = Self::ALL.iter().find(|coding| coding.as_str() == name);
        found.copied().ok_or_else(unknown)
    }
}

/// A fraction of caps: framerate or pixel aspect ratio. Written `"30000/1001"` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fraction {
    pub num: u32,
    pub den: u32,
}

impl Fraction {
    pub const fn new(num: u32, den: u32) -> Self {
        Self { num, den }
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

impl From<Fraction> for String {
    fn from(fraction: Fraction) -> Self {
        fraction.to_string()
    }
}

impl TryFrom<String> for Fraction {
    type Error = FormatError;

    fn try_from(text: String) -> Result<Self, FormatError> {
        let parse = || {
            let (num, den) = text.split_once('/')?;
            let (num, den) = (num.parse::<i32>().ok()?, den.parse::<i32>().ok()?);
            (num >= 0 && den > 0).then(|| Self::new(num as u32, den as u32))
        };
        parse().ok_or_else(|| FormatError(format!("\"{text}\" is not a fraction of the form 30/1")))
    }
}

/// All that a receiver must know to read the tokens of a stream and to decode them to video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFormat {
    /// Name of the tokenizer, for people.
    pub model: String,
    /// The tokenizer's digest, 64 lower-case hexadecimal digits: decides what can decode the stream. Caps and the
    /// stream header call it `tokenizer`.
    pub digest: String,
    pub regularizer: Regularizer,
    /// Type of a token in `raw` buffers, and of a KL value in the byte stream.
    pub token_type: TokenType,
    /// How packets lay the tokens out. `raw` buffers have no coding. Their format has the default, which packets that
    /// are made of them use.
    pub coding: Coding,
    /// Cells of a latent frame.
    pub grid_width: u32,
    pub grid_height: u32,
    /// Video frames per latent frame. A causal segment's first latent frame stands for one.
    pub time_factor: u32,
    /// Width and height of a cell in pixels.
    pub space_factor: u32,
    pub causal: bool,
    /// The video's own size in pixels, before padding to whole cells.
    pub width: u32,
    pub height: u32,
    /// 0/1 if frames come at no fixed rate.
    pub framerate: Fraction,
    pub pixel_aspect_ratio: Fraction,
    /// GStreamer's colorimetry text; `None` if it is not known.
    pub colorimetry: Option<String>,
    /// What was done to the video's pixels in front of the network, for people; `None`: nothing, or nobody said.
    pub pixels: Option<String>,
}

impl TokenFormat {
    /// Cells of a latent frame.
    pub(crate) fn grid_cells(&self) -> usize {
        self.grid_width as usize * self.grid_height as usize
    }

    /// Values of a latent frame: cells × values per cell.
    pub fn values_per_latent_frame(&self) -> usize {
        self.grid_cells() * self.regularizer.values_per_cell()
    }

    /// Bytes of a latent frame in a `raw` buffer.
    pub fn raw_latent_frame_bytes(&self) -> usize {
        self.values_per_latent_frame() * self.token_type.bytes()
    }

    /// Whether packets of `other` are read and decoded just like those of this format.
    pub(crate) fn decodes_like(&self, other: &Self) -> bool {
        let what = |f: &Self| {
            (
                f.grid_width,
                f.grid_height,
                f.time_factor,
                f.space_factor,
                f.width,
                f.height,
                f.causal,
            )
        };
        self.digest == other.digest
            && self.regularizer == other.regularizer
            // A payload of indices does not depend on their type in raw buffers.
            && (self.regularizer.codebook_size().is_some() || self.token_type == other.token_type)
            && self.coding == other.coding
            && what(self) == what(other)
    }

    /// Checks that the fields are possible and agree with each other. Every format that comes from outside is checked
    /// here.
    ///
    /// # Errors
    /// Names what is impossible.
    pub fn check(&self) -> Result<(), FormatError> {
        let fail = |text: String| Err(FormatError(text));
        self.regularizer.check()?;
        if !self.token_type.fits(&self.regularizer) {
            let fitting = TokenType::ALL.iter().filter(|other| other.fits(&self.regularizer));
            let fitting = fitting.map(|other| other.as_str()).collect::<Vec<_>>().join(" or ");
            return fail(format!(
                "the tokenizer \"{}\" has no tokens of type {}, only of {fitting}",
                self.model,
                self.token_type.as_str()
            ));
        }
        if !is_digest(&self.digest) {
            return fail("the tokenizer digest is not 64 hexadecimal digits".into());
        }
        for text in [&self.model].into_iter().chain(&self.colorimetry).chain(&self.pixels) {
            if !is_short_line(text) {
                return fail("the model's name, the colorimetry or \"pixels\" is not a short line of text".into());
            }
        }
        if !(1..=MAX_DIMENSION).contains(&self.width) || !(1..=MAX_DIMENSION).contains(&self.height) {
            return fail(format!(
                "video size {}×{}, allowed is 1 to {MAX_DIMENSION} per side",
                self.width, self.height
            ));
        }
        if !(1..=MAX_TIME_FACTOR).contains(&self.time_factor) || !(1..=MAX_SPACE_FACTOR).contains(&self.space_factor) {
            return fail(format!(
                "impossible compression {}×{}",
                self.time_factor, self.space_factor
            ));
        }
        let cells = |pixels: u32| pixels.div_ceil(self.space_factor);
        if self.grid_width != cells(self.width) || self.grid_height != cells(self.height) {
            return fail(format!(
                "a grid of {}×{} does not belong to {}×{} pixels at space factor {}",
                self.grid_width, self.grid_height, self.width, self.height, self.space_factor
            ));
        }
        if self.grid_cells() as u64 > MAX_GRID_CELLS {
            return fail(format!(
                "{}×{} pixels make a latent frame of {} cells, allowed are {MAX_GRID_CELLS}",
                self.width,
                self.height,
                self.grid_cells()
            ));
        }
        let numbers = [self.framerate, self.pixel_aspect_ratio].map(|f| f.num.max(f.den));
        if numbers.iter().any(|number| *number > MAX_FRACTION) {
            return fail("a fraction with too large a number".into());
        }
        if self.framerate.den == 0 || self.pixel_aspect_ratio.den == 0 || self.pixel_aspect_ratio.num == 0 {
            return fail("a fraction with a zero".into());
        }
        Ok(())
    }
}

#[cfg(test)]
impl TokenFormat {
    /// A causal 4×8×8 FSQ format for unit tests: whole cells, 30 frames per second.
    pub fn toy(levels: &[u32], grid_width: u32, grid_height: u32) -> Self {
        let regularizer = Regularizer::Fsq { levels: levels.into() };
        Self {
            model: "toy".into(),
            digest: "0".repeat(64),
            token_type: TokenType::default_for(&regularizer),
            regularizer,
            coding: Coding::default(),
            grid_width,
            grid_height,
            time_factor: 4,
            space_factor: 8,
            causal: true,
            width: grid_width * 8,
            height: grid_height * 8,
            framerate: Fraction::new(30, 1),
            pixel_aspect_ratio: Fraction::new(1, 1),
            colorimetry: None,
            pixels: None,
        }
    }
}

/// Why there cannot be such a [`TokenFormat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError(pub String);

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormatError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_64_lower_case_hexadecimal_digits() {
        assert!(is_digest(&"0123456789abcdef".repeat(4)));
        for bad in [
            "",
            "0123456789abcdef",
            &"0123456789ABCDEF".repeat(4),
            &"g".repeat(64),
            &"0".repeat(65),
        ] {
            assert!(!is_digest(bad), "{bad}");
        }
    }

    #[test]
    fn a_token_type_that_does_not_fit_is_told_with_those_that_do() {
        for (regularizer, token_type, fitting) in [
            (
                Regularizer::Fsq { levels: vec![8; 5] },
                TokenType::Float32,
                "float32, only of uint16 or uint32",
            ),
            (
                Regularizer::Fsq { levels: vec![8; 6] },
                TokenType::Uint16,
                "uint16, only of uint32",
            ),
            (
                Regularizer::Kl { channels: 4 },
                TokenType::Uint16,
                "uint16, only of float16 or float32",
            ),
        ] {
            let format = TokenFormat {
                regularizer,
                token_type,
                ..TokenFormat::toy(&[8; 5], 2, 1)
            };
            let error = format.check().unwrap_err().to_string();
            assert!(error.contains("\"toy\"") && error.ends_with(fitting), "{error}");
        }
    }

    #[test]
    fn regularizers_are_held_to_their_limits() {
        let fsq = |levels: Vec<u32>| Regularizer::Fsq { levels }.check().is_ok();
        assert!(fsq(vec![2; 24]) && fsq(vec![MAX_CODEBOOK]));
        for levels in [
            vec![],
            vec![1],
            vec![8, 0],
            vec![2; 25],
            vec![MAX_CODEBOOK + 1],
            vec![u32::MAX; 9],
        ] {
            assert!(!fsq(levels.clone()), "{levels:?}");
        }
        let kl = |channels| Regularizer::Kl { channels }.check().is_ok();
        assert!(kl(1) && kl(MAX_CHANNELS) && !kl(0) && !kl(MAX_CHANNELS + 1));
    }
}
