//! [`TokenFormat`] ⇄ `video/x-vidtok` caps: the one place that knows the caps' fields.
//!
//! | field | type | when |
//! | --- | --- | --- |
//! | `stream-format` | string | always: `framed` (packets of the byte stream) or `raw` (bare tokens) |
//! | `alignment` | string | `packet`; absent only in front of `vidtokparse` |
//! | `model`, `tokenizer` | string | always: the tokenizer's name and digest |
//! | `regularizer` | string | always: `fsq` or `kl` |
//! | `levels`, `codebook-size` | array of int, int | FSQ |
//! | `channels` | int | KL |
//! | `token-type` | string | `raw`, and `framed` KL: `uint16`, `uint32`, `float16`, `float32` |
//! | `coding` | string | `framed`: `packed` |
//! | `grid-width`, `grid-height` | int | always: cells of a latent frame |
//! | `time-factor`, `space-factor` | int | always |
//! | `causal` | boolean | always |
//! | `width`, `height`, `framerate`, `pixel-aspect-ratio` | as in raw video | always: the video's own |
//! | `colorimetry` | string | where known |

use crate::format::{FormatError, Fraction, Regularizer, TokenFormat, TokenType};

pub const MEDIA_TYPE: &str = "video/x-vidtok";

/// How token buffers are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFormat {
    /// A buffer is one packet of the byte stream, a segment's first with the stream header in front.
    Framed,
    /// A buffer is n latent frames, `[t, h, w]` or `[t, h, w, C]`, C order, little endian.
    Raw,
}

impl StreamFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Framed => "framed",
            Self::Raw => "raw",
        }
    }
}

/// Template caps of elements that take or give whole packets: framed first, so that a bare `filesink` gets it.
pub fn packet_template() -> gst::Caps {
    [StreamFormat::Framed, StreamFormat::Raw]
        .into_iter()
        .map(packet_structure)
        .collect()
}

/// `video/x-vidtok` of one stream format, nothing else fixed.
pub fn packet_structure(format: StreamFormat) -> gst::Structure {
    gst::Structure::builder(MEDIA_TYPE)
        .field("stream-format", format.as_str())
        .field("alignment", "packet")
        .build()
}

impl TokenFormat {
    pub fn to_caps(&self, stream_format: StreamFormat) -> gst::Caps {
        let mut caps = packet_structure(stream_format);
        caps.set("model", &self.model);
        caps.set("tokenizer", &self.tokenizer);
        set_regularizer(&mut caps, &self.regularizer);
        let continuous = self.regularizer.codebook_size().is_none();
        if stream_format == StreamFormat::Raw || continuous {
            caps.set("token-type", self.token_type.as_str());
        }
        if stream_format == StreamFormat::Framed {
            caps.set("coding", "packed");
        }
        for (name, value) in [
            ("grid-width", self.grid_width),
            ("grid-height", self.grid_height),
            ("time-factor", self.time_factor),
            ("space-factor", self.space_factor),
            ("width", self.width),
            ("height", self.height),
        ] {
            caps.set(name, value as i32);
        }
        caps.set("causal", self.causal);
        for (name, value) in [
            ("framerate", self.framerate),
            ("pixel-aspect-ratio", self.pixel_aspect_ratio),
        ] {
            caps.set(name, gst::Fraction::new(value.num as i32, value.den as i32));
        }
        if let Some(colorimetry) = &self.colorimetry {
            caps.set("colorimetry", colorimetry);
        }
        gst::Caps::from_iter([caps])
    }

    /// Reads fixed caps.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type or impossible.
    pub fn from_caps(caps: &gst::CapsRef) -> Result<(Self, StreamFormat), FormatError> {
        let s = caps.structure(0).filter(|s| s.name() == MEDIA_TYPE);
        let s = s.ok_or_else(|| FormatError(format!("the caps are not {MEDIA_TYPE}")))?;
        let stream_format = match text(s, "stream-format")?.as_str() {
            "framed" => StreamFormat::Framed,
            "raw" => StreamFormat::Raw,
            other => return Err(FormatError(format!("unknown stream-format \"{other}\""))),
        };
        if stream_format == StreamFormat::Framed && text(s, "coding")? != "packed" {
            return Err(FormatError(format!("unknown coding \"{}\"", text(s, "coding")?)));
        }
        let regularizer = regularizer(s)?;
        // Checked before the codebook's size is computed from it.
        regularizer.check()?;
        let token_type = match s.get_optional::<String>("token-type") {
            Ok(Some(name)) => {
                TokenType::parse(&name).ok_or_else(|| FormatError(format!("unknown token-type \"{name}\"")))?
            }
            _ if stream_format == StreamFormat::Framed && regularizer.codebook_size().is_some() => {
                TokenType::default_for(&regularizer)
            }
            _ => return Err(missing("token-type")),
        };
        let format = Self {
            model: text(s, "model")?,
            tokenizer: text(s, "tokenizer")?,
            regularizer,
            token_type,
            grid_width: unsigned(s, "grid-width")?,
            grid_height: unsigned(s, "grid-height")?,
            time_factor: unsigned(s, "time-factor")?,
            space_factor: unsigned(s, "space-factor")?,
            causal: s.get("causal").map_err(|_| missing("causal"))?,
            width: unsigned(s, "width")?,
            height: unsigned(s, "height")?,
            framerate: fraction(s, "framerate")?,
            pixel_aspect_ratio: fraction(s, "pixel-aspect-ratio")?,
            colorimetry: s.get_optional("colorimetry").ok().flatten(),
        };
        format.check()?;
        Ok((format, stream_format))
    }
}

/// Writes the fields that belong to the regularizer.
pub fn set_regularizer(caps: &mut gst::StructureRef, regularizer: &Regularizer) {
    match regularizer {
        Regularizer::Fsq { levels } => {
            caps.set("regularizer", "fsq");
            caps.set("levels", gst::Array::new(levels.iter().map(|&l| l as i32)));
            caps.set("codebook-size", levels.iter().product::<u32>() as i32);
        }
        Regularizer::Kl { channels } => {
            caps.set("regularizer", "kl");
            caps.set("channels", *channels as i32);
        }
    }
}

fn regularizer(s: &gst::StructureRef) -> Result<Regularizer, FormatError> {
    match text(s, "regularizer")?.as_str() {
        "fsq" => {
            let levels = s.get::<gst::Array>("levels").map_err(|_| missing("levels"))?;
            let levels = levels
                .iter()
                .map(|l| l.get::<i32>().ok().and_then(|l| u32::try_from(l).ok()));
            Ok(Regularizer::Fsq {
                levels: levels.collect::<Option<_>>().ok_or_else(|| missing("levels"))?,
            })
        }
        "kl" => Ok(Regularizer::Kl {
            channels: unsigned(s, "channels")?,
        }),
        other => Err(FormatError(format!("unknown regularizer \"{other}\""))),
    }
}

fn missing(field: &str) -> FormatError {
    FormatError(format!("the caps have no usable field \"{field}\""))
}

fn text(s: &gst::StructureRef, field: &str) -> Result<String, FormatError> {
    s.get(field).map_err(|_| missing(field))
}

fn unsigned(s: &gst::StructureRef, field: &str) -> Result<u32, FormatError> {
    s.get::<i32>(field)
        .ok()
        .and_then(|v| u32::try_from(v).ok())
        .ok_or_else(|| missing(field))
}

fn fraction(s: &gst::StructureRef, field: &str) -> Result<Fraction, FormatError> {
    let value = s.get::<gst::Fraction>(field).map_err(|_| missing(field))?;
    match (u32::try_from(value.numer()), u32::try_from(value.denom())) {
        (Ok(num), Ok(den)) => Ok(Fraction::new(num, den)),
        _ => Err(missing(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(regularizer: Regularizer) -> TokenFormat {
        TokenFormat {
            model: "toy".into(),
            tokenizer: "0123456789abcdef".repeat(4),
            token_type: TokenType::default_for(&regularizer),
            regularizer,
            grid_width: 5,
            grid_height: 3,
            time_factor: 4,
            space_factor: 8,
            causal: true,
            width: 39,
            height: 24,
            framerate: Fraction::new(30000, 1001),
            pixel_aspect_ratio: Fraction::new(4, 3),
            colorimetry: Some("sRGB".into()),
        }
    }

    #[test]
    fn caps_carry_the_whole_format() {
        gst::init().unwrap();
        for regularizer in [Regularizer::Fsq { levels: vec![8; 5] }, Regularizer::Kl { channels: 4 }] {
            for stream_format in [StreamFormat::Framed, StreamFormat::Raw] {
                let format = format(regularizer.clone());
                let caps = format.to_caps(stream_format);
                assert!(caps.is_fixed() && caps.is_subset(&packet_template()), "{caps}");
                assert_eq!(TokenFormat::from_caps(&caps), Ok((format, stream_format)));
            }
        }
    }

    #[test]
    fn a_missing_or_impossible_field_is_named() {
        gst::init().unwrap();
        let caps = format(Regularizer::Fsq { levels: vec![8; 5] }).to_caps(StreamFormat::Raw);
        for field in ["tokenizer", "levels", "grid-width", "causal", "framerate", "token-type"] {
            let mut broken = caps.clone();
            broken.make_mut().structure_mut(0).unwrap().remove_field(field);
            let error = TokenFormat::from_caps(&broken).unwrap_err();
            assert!(error.0.contains(field), "{error}");
        }
        let mut broken = caps.clone();
        broken.make_mut().set("grid-width", 6i32);
        assert!(TokenFormat::from_caps(&broken).unwrap_err().0.contains("6×3"));
    }
}
