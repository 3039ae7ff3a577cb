//! A token format as strings, each with a name in lower case: all that SDP keeps of RTP caps.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::format::{Coding, FormatError, Fraction, Regularizer, TokenFormat, TokenType};

/// Version of the payload format, which the first bits of a payload have, too (as 0).
const THIS_VERSION: &str = "1";

/// What a value keeps as it is. SDP cuts a value at `;`, and strips spaces at its ends.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Characters of a value that are looked at: none is longer, percent-encoded.
const MAX_VALUE: usize = 1024;
/// Numbers of a list: each level of FSQ doubles the codebook at least.
const MAX_LEVELS: usize = 32;

pub const VERSION: &str = "vidtok-version";
const MODEL: &str = "model";
pub const TOKENIZER: &str = "tokenizer";
const REGULARIZER: &str = "regularizer";
const LEVELS: &str = "levels";
const CHANNELS: &str = "channels";
const TOKEN_TYPE: &str = "token-type";
const CODING: &str = "coding";
const TIME_FACTOR: &str = "time-factor";
const SPACE_FACTOR: &str = "space-factor";
const CAUSAL: &str = "causal";
const WIDTH: &str = "video-width";
const HEIGHT: &str = "video-height";
const FRAMERATE: &str = "video-framerate";
const PIXEL_ASPECT_RATIO: &str = "video-pixel-aspect-ratio";
const COLORIMETRY: &str = "video-colorimetry";
const PIXELS: &str = "video-pixels";

/// What a receiver must know to read the packets and to decode their tokens. The short digest is over these.
fn decisive(format: &TokenFormat) -> Vec<(&'static str, String)> {
    let mut fields = vec![(VERSION, THIS_VERSION.into()), (TOKENIZER, format.digest.clone())];
    match &format.regularizer {
        Regularizer::Fsq { levels } => {
            let levels: Vec<_> = levels.iter().map(u32::to_string).collect();
            fields.extend([(REGULARIZER, Regularizer::FSQ.into()), (LEVELS, levels.join(","))]);
        }
        Regularizer::Kl { channels } => fields.extend([
            (REGULARIZER, Regularizer::KL.into()),
            (CHANNELS, channels.to_string()),
            (TOKEN_TYPE, format.token_type.as_str().into()),
        ]),
    }
    fields.extend([
        (CODING, format.coding.as_str().into()),
        (TIME_FACTOR, format.time_factor.to_string()),
        (SPACE_FACTOR, format.space_factor.to_string()),
        (CAUSAL, format.causal.to_string()),
        (WIDTH, format.width.to_string()),
        (HEIGHT, format.height.to_string()),
    ]);
    fields
}

/// The format as names and values.
pub fn of(format: &TokenFormat) -> Vec<(&'static str, String)> {
    let encoded = |text: &str| utf8_percent_encode(text, KEPT).to_string();
    let mut fields = decisive(format);
    fields.extend([
        (MODEL, encoded(&format.model)),
        (FRAMERATE, format.framerate.to_string()),
        (PIXEL_ASPECT_RATIO, format.pixel_aspect_ratio.to_string()),
    ]);
    for (name, text) in [(COLORIMETRY, &format.colorimetry), (PIXELS, &format.pixels)] {
        fields.extend(text.as_deref().map(|text| (name, encoded(text))));
    }
    fields
}

/// The first four bytes of the SHA-256 of the lines `name=value`, of what decides how packets are read and decoded.
pub fn short_digest(format: &TokenFormat) -> u32 {
    let mut digest = Sha256::new();
    for (name, value) in decisive(format) {
        digest.update(format!("{name}={value}\n"));
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
    u32::from_be_bytes([a, b, c, d])
}

/// The format that names and values say; `value` looks one up.
///
/// # Errors
/// Names the field that is missing, impossible, or contradicts the others.
pub fn read(value: impl Fn(&str) -> Option<String>) -> Result<TokenFormat, FormatError> {
    let fields = Fields(value);
    let version = fields.needed(VERSION)?;
    if version != THIS_VERSION {
        let text = format!(
            "the packets are of version {version} of the payload format, known is {THIS_VERSION}: update the plugin"
        );
        return Err(FormatError(text));
    }
    let regularizer = match fields.needed(REGULARIZER)?.as_str() {
        Regularizer::FSQ => Regularizer::Fsq {
            levels: fields.levels()?,
        },
        Regularizer::KL => Regularizer::Kl {
            channels: fields.number(CHANNELS)?,
        },
        _ => return Err(impossible(REGULARIZER)),
    };
    // Checked before the codebook's size is computed from it.
    regularizer.check()?;
    let token_type = match regularizer {
        Regularizer::Fsq { .. } => TokenType::default_for(&regularizer),
        Regularizer::Kl { .. } => {
            TokenType::parse(&fields.needed(TOKEN_TYPE)?).ok_or_else(|| impossible(TOKEN_TYPE))?
        }
    };
    let (width, height) = (fields.number(WIDTH)?, fields.number(HEIGHT)?);
    let space_factor = fields.number(SPACE_FACTOR)?;
    if space_factor == 0 {
        return Err(impossible(SPACE_FACTOR));
    }
    let format = TokenFormat {
        model: fields.text(MODEL)?.unwrap_or_default(),
        digest: fields.needed(TOKENIZER)?,
        regularizer,
        token_type,
        coding: Coding::parse(&fields.needed(CODING)?)?,
        grid_width: width.div_ceil(space_factor),
        grid_height: height.div_ceil(space_factor),
        time_factor: fields.number(TIME_FACTOR)?,
        space_factor,
        causal: fields.needed(CAUSAL)?.parse().map_err(|_| impossible(CAUSAL))?,
        width,
        height,
        framerate: fields.fraction(FRAMERATE)?.unwrap_or(Fraction::new(0, 1)),
        pixel_aspect_ratio: fields.fraction(PIXEL_ASPECT_RATIO)?.unwrap_or(Fraction::new(1, 1)),
        colorimetry: fields.text(COLORIMETRY)?,
        pixels: fields.text(PIXELS)?,
    };
    format.check()?;
    Ok(format)
}

fn impossible(name: &str) -> FormatError {
    FormatError(format!("the field {name} of the RTP caps has no possible value"))
}

/// Looks up fields by name.
struct Fields<F>(F);

impl<F: Fn(&str) -> Option<String>> Fields<F> {
    fn optional(&self, name: &str) -> Result<Option<String>, FormatError> {
        match (self.0)(name) {
            Some(value) if value.len() > MAX_VALUE => Err(impossible(name)),
            value => Ok(value),
        }
    }

    fn needed(&self, name: &str) -> Result<String, FormatError> {
        let missing = || FormatError(format!("the RTP caps lack the field {name}, a string"));
        self.optional(name)?.ok_or_else(missing)
    }

    fn number(&self, name: &str) -> Result<u32, FormatError> {
        self.needed(name)?.parse().map_err(|_| impossible(name))
    }

    fn levels(&self) -> Result<Vec<u32>, FormatError> {
        let text = self.needed(LEVELS)?;
        let levels = text.split(',').map(|level| level.trim().parse().ok());
        let levels: Option<Vec<_>> = levels.take(MAX_LEVELS + 1).collect();
        levels
            .filter(|levels| levels.len() <= MAX_LEVELS)
            .ok_or_else(|| impossible(LEVELS))
    }

    fn fraction(&self, name: &str) -> Result<Option<Fraction>, FormatError> {
        let text = self.optional(name)?;
        text.map(Fraction::try_from).transpose().map_err(|_| impossible(name))
    }

    /// A percent-encoded text.
    fn text(&self, name: &str) -> Result<Option<String>, FormatError> {
        let Some(text) = self.optional(name)? else {
            return Ok(None);
        };
        let decoded = percent_decode_str(&text).decode_utf8().map_err(|_| impossible(name))?;
        Ok(Some(decoded.into_owned()))
    }
}

#[cfg(test)]
mod tests;
