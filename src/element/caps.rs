//! [`TokenFormat`] ⇄ `video/x-vidtok` caps: the one place that knows the caps' fields.
//!
//! | field | type | when |
//! | --- | --- | --- |
//! | `stream-format` | string | always: `framed` (packets of the byte stream) or `raw` (bare tokens) |
//! | `alignment` | string | `packet`; absent (or, for bare tokens, `none`) only in front of `vidtokparse` |
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
//! | `pixels` | string | what was done to the video's pixels, where anything was |
//!
//! In front of `vidtokparse` and `vidtokdec`, `raw` caps need no more than `model` (or `tokenizer`), `width` and
//! `height`: the tokenizer's description says the rest, `framerate` is [`DEFAULT_FRAMERATE`], and `pixel-aspect-ratio`
//! 1/1.

mod fields;

use fields::{fraction, missing, needed, optional_text, regularizer, text, token_type, unsigned};
use gst::prelude::*;

pub(super) use fields::set_regularizer;

use crate::format::{Coding, FormatError, Fraction, TokenFormat, TokenType};
use crate::tokenizer::Description;

pub const MEDIA_TYPE: &str = "video/x-vidtok";
/// The framerate of `raw` caps that have none; rawvideoparse has the same default.
pub const DEFAULT_FRAMERATE: Fraction = Fraction::new(25, 1);

/// How token buffers are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFormat {
    /// A buffer is one packet of the byte stream; a segment's first has the stream header in front.
    Framed,
    /// A buffer is n latent frames, `[t, h, w]` or `[t, h, w, C]`, C order, little endian.
    Raw,
}

impl StreamFormat {
    /// `framed` comes first, so that a `filesink` without caps gets it.
    pub(super) const ALL: [Self; 2] = [Self::Framed, Self::Raw];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Framed => "framed",
            Self::Raw => "raw",
        }
    }
}

/// Template caps for pads with whole packets.
pub(crate) fn packet_template() -> gst::Caps {
    StreamFormat::ALL.into_iter().map(packet_structure).collect()
}

/// Template caps for pads that take tokens. `raw` caps need no `alignment`, as no bin plugs elements by them.
pub(crate) fn input_template() -> gst::Caps {
    let mut raw = packet_structure(StreamFormat::Raw);
    raw.remove_field("alignment");
    gst::Caps::from_iter([packet_structure(StreamFormat::Framed), raw])
}

/// `video/x-vidtok` of one stream format, with no other field fixed.
pub(crate) fn packet_structure(format: StreamFormat) -> gst::Structure {
    gst::Structure::builder(MEDIA_TYPE)
        .field("stream-format", format.as_str())
        .field("alignment", "packet")
        .build()
}

impl TokenFormat {
    /// The format of tokens that `tokenizer` makes of video of `width` × `height` pixels. All else has its default: the
    /// smallest token type, [`DEFAULT_FRAMERATE`], square pixels, no colorimetry.
    pub fn of(tokenizer: &Description, width: u32, height: u32) -> Self {
        Self {
            model: tokenizer.name.clone(),
            digest: tokenizer.digest.clone(),
            regularizer: tokenizer.regularizer.clone(),
            token_type: TokenType::default_for(&tokenizer.regularizer),
            coding: Coding::default(),
            grid_width: width.div_ceil(tokenizer.space_factor),
            grid_height: height.div_ceil(tokenizer.space_factor),
            time_factor: tokenizer.time_factor,
            space_factor: tokenizer.space_factor,
            causal: tokenizer.causal,
            width,
            height,
            framerate: DEFAULT_FRAMERATE,
            pixel_aspect_ratio: Fraction::new(1, 1),
            colorimetry: None,
            pixels: None,
        }
    }

    /// Fixed caps of tokens of this format. [`from_caps`](Self::from_caps) reads them.
    pub fn to_caps(&self, stream_format: StreamFormat) -> gst::Caps {
        let mut caps = packet_structure(stream_format);
        caps.set("model", &self.model);
        caps.set("tokenizer", &self.digest);
        set_regularizer(&mut caps, &self.regularizer);
        let continuous = self.regularizer.codebook_size().is_none();
        if stream_format == StreamFormat::Raw || continuous {
            caps.set("token-type", self.token_type.as_str());
        }
        if stream_format == StreamFormat::Framed {
            caps.set("coding", self.coding.as_str());
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
        if let Some(pixels) = &self.pixels {
            caps.set("pixels", pixels);
        }
        gst::Caps::from_iter([caps])
    }

    /// Reads fixed caps.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type, impossible, or contradicts the others.
    pub fn from_caps(caps: &gst::CapsRef) -> Result<(Self, StreamFormat), FormatError> {
        let s = caps.structure(0).filter(|s| s.name() == MEDIA_TYPE);
        let s = s.ok_or_else(|| FormatError(format!("the caps are not {MEDIA_TYPE}")))?;
        let stream_format = stream_format(s)?;
        let coding = match stream_format {
            StreamFormat::Framed => Coding::parse(&text(s, "coding")?)?,
            StreamFormat::Raw => Coding::default(),
        };
        let regularizer = regularizer(s)?;
        // Checked before the codebook's size is computed from it.
        regularizer.check()?;
        // Packets of indices have no type: the reader chooses one.
        let token_type = match token_type(s)? {
            Some(token_type) => token_type,
            None if stream_format == StreamFormat::Framed && regularizer.codebook_size().is_some() => {
                TokenType::default_for(&regularizer)
            }
            None => return Err(missing("token-type")),
        };
        let format = Self {
            model: text(s, "model")?,
            digest: text(s, "tokenizer")?,
            regularizer,
            token_type,
            coding,
            grid_width: unsigned(s, "grid-width")?,
            grid_height: unsigned(s, "grid-height")?,
            time_factor: unsigned(s, "time-factor")?,
            space_factor: unsigned(s, "space-factor")?,
            causal: s.get("causal").map_err(|_| missing("causal"))?,
            width: unsigned(s, "width")?,
            height: unsigned(s, "height")?,
            framerate: fraction(s, "framerate")?,
            pixel_aspect_ratio: fraction(s, "pixel-aspect-ratio")?,
            colorimetry: optional_text(s, "colorimetry")?,
            pixels: optional_text(s, "pixels")?,
        };
        format.check()?;
        format.check_no_contradiction(s, stream_format)?;
        Ok((format, stream_format))
    }

    /// Reads caps of `raw` tokens of `tokenizer`, which determines the fields that they leave out.
    ///
    /// # Errors
    /// Names the field that is missing or impossible, or contradicts the tokenizer.
    pub fn from_raw_caps(caps: &gst::CapsRef, tokenizer: &Description) -> Result<Self, FormatError> {
        let s = caps.structure(0).filter(|s| s.name() == MEDIA_TYPE);
        let s = s.ok_or_else(|| FormatError(format!("the caps are not {MEDIA_TYPE}")))?;
        let optional_fraction = |name, default| match s.has_field(name) {
            true => fraction(s, name),
            false => Ok(default),
        };
        let size = |name| unsigned(s, name).map_err(|error| needed(error, &tokenizer.name));
        let (width, height) = (size("width")?, size("height")?);
        let usual = Self::of(tokenizer, width, height);
        let format = Self {
            token_type: token_type(s)?.unwrap_or(usual.token_type),
            framerate: optional_fraction("framerate", usual.framerate)?,
            pixel_aspect_ratio: optional_fraction("pixel-aspect-ratio", usual.pixel_aspect_ratio)?,
            colorimetry: optional_text(s, "colorimetry")?,
            pixels: optional_text(s, "pixels")?,
            ..usual
        };
        format.check()?;
        format.check_no_contradiction(s, StreamFormat::Raw)?;
        Ok(format)
    }

    /// Checks that each field of `s` is as in this format, and that there are no fields of other kinds of tokens.
    /// `model` may differ, as names are for people; `alignment` is not part of the format.
    fn check_no_contradiction(&self, s: &gst::StructureRef, stream_format: StreamFormat) -> Result<(), FormatError> {
        let own = self.to_caps(stream_format);
        let own = own.structure(0).expect("the caps have one structure");
        let text = |value: &gst::glib::Value| value.serialize().map_or_else(|_| "?".into(), |text| text.to_string());
        for (field, said) in s.iter() {
            let what = match own.value(field) {
                _ if ["model", "alignment"].contains(&&**field) => {
                    if said.is::<String>() {
                        continue;
                    }
                    "takes a text there".into()
                }
                Ok(value) if value.compare(said) == Some(std::cmp::Ordering::Equal) => continue,
                Ok(value) => format!("makes {}", text(value)),
                // The type to unpack indices to: `token_type` of this format.
                Err(_) if **field == *"token-type" => continue,
                Err(_) if OPTIONAL.contains(&&**field) => {
                    format!("has no such field in {} tokens", stream_format.as_str())
                }
                Err(_) => continue,
            };
            return Err(FormatError(format!(
                "the caps say {field}={}, which contradicts tokenizer \"{}\" at {}×{} pixels: that {what}",
                text(said),
                self.model,
                self.width,
                self.height,
            )));
        }
        Ok(())
    }
}

/// Fields of some kinds of tokens only.
const OPTIONAL: [&str; 5] = ["levels", "codebook-size", "channels", "token-type", "coding"];

/// The stream format that caps name.
pub fn stream_format(s: &gst::StructureRef) -> Result<StreamFormat, FormatError> {
    let name = text(s, "stream-format")?;
    let known = StreamFormat::ALL.into_iter().find(|format| format.as_str() == name);
    known.ok_or_else(|| FormatError(format!("unknown stream-format \"{name}\"")))
}

/// The tokenizer's digest, if the caps have it, and its name: what to look it up by.
///
/// # Errors
/// The caps have neither.
pub fn named_tokenizer(caps: &gst::CapsRef) -> Result<(Option<String>, String), FormatError> {
    let field = |name: &str| caps.structure(0)?.get::<String>(name).ok();
    match (field("tokenizer"), field("model")) {
        (None, None) => Err(needed(missing("model"), "NAME")),
        (digest, name) => Ok((digest, name.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Regularizer;

    fn format(regularizer: Regularizer) -> TokenFormat {
        TokenFormat {
            model: "toy".into(),
            digest: "0123456789abcdef".repeat(4),
            token_type: TokenType::default_for(&regularizer),
            regularizer,
            coding: Coding::default(),
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
            pixels: None,
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

    fn raw_caps(fields: &str) -> gst::Caps {
        gst::init().unwrap();
        format!("video/x-vidtok,stream-format=raw,{fields}").parse().unwrap()
    }

    #[test]
    fn a_tokenizer_and_a_size_are_enough_for_raw_tokens() {
        let full = TokenFormat::from_raw_caps(&raw_caps("model=toy,width=39,height=24"), &Description::toy()).unwrap();
        let expected = TokenFormat {
            framerate: Fraction::new(25, 1),
            pixel_aspect_ratio: Fraction::new(1, 1),
            colorimetry: None,
            pixels: None,
            ..format(Regularizer::Fsq { levels: vec![8; 5] })
        };
        assert_eq!(full, expected);
        // Fields that are there count, and all of them may be there.
        let all = format(Regularizer::Fsq { levels: vec![8; 5] });
        assert_eq!(
            TokenFormat::from_raw_caps(&all.to_caps(StreamFormat::Raw), &Description::toy()),
            Ok(all)
        );
    }

    #[test]
    fn raw_caps_that_say_too_little_or_contradict_are_named() {
        for (fields, parts) in [
            ("model=toy,width=39", &["height", "model, width and height"][..]),
            ("width=39,height=24,grid-width=6", &["grid-width=6", "39×24", "makes 5"]),
            ("width=39,height=24,levels=<8,8>", &["levels", "toy"]),
            ("width=39,height=24,causal=false", &["causal=false"]),
            ("width=39,height=24,token-type=float32", &["float32"]),
            ("width=39,height=24,token-type=u16", &["u16"]),
            ("width=39,height=0", &["39×0"]),
            ("width=39,height=24,framerate=fast", &["framerate"]),
            ("width=39,height=24,channels=4", &["channels=4", "raw"]),
            ("width=39,height=24,coding=packed", &["coding=packed"]),
            ("width=39,height=24,coding=(int)5", &["coding=5"]),
            ("width=39,height=24,token-type=5", &["token-type"]),
            ("width=39,height=24,colorimetry=(int)5", &["colorimetry"]),
            ("width=39,height=24,model=(int)5", &["model=5"]),
            ("width=39,height=24,codebook-size=(string)32768", &["codebook-size"]),
        ] {
            let error = TokenFormat::from_raw_caps(&raw_caps(fields), &Description::toy()).unwrap_err();
            for part in parts {
                assert!(error.0.contains(part), "{part} in {error}");
            }
        }
    }

    #[test]
    fn full_caps_that_contradict_themselves_are_named() {
        gst::init().unwrap();
        let fsq = format(Regularizer::Fsq { levels: vec![8; 5] });
        let kl = format(Regularizer::Kl { channels: 4 });
        let seven = || 7i32.to_send_value();
        for (format, stream_format, field, value) in [
            (&fsq, StreamFormat::Framed, "codebook-size", seven()),
            (&fsq, StreamFormat::Framed, "channels", seven()),
            (&fsq, StreamFormat::Framed, "token-type", seven()),
            (&fsq, StreamFormat::Framed, "colorimetry", seven()),
            (&fsq, StreamFormat::Raw, "codebook-size", seven()),
            (
                &fsq,
                StreamFormat::Raw,
                "coding",
                Coding::default().as_str().to_send_value(),
            ),
            (&kl, StreamFormat::Framed, "codebook-size", seven()),
            (
                &kl,
                StreamFormat::Raw,
                "levels",
                gst::Array::new([8i32, 8]).to_send_value(),
            ),
        ] {
            let mut caps = format.to_caps(stream_format);
            caps.make_mut().structure_mut(0).unwrap().set_value(field, value);
            let error = TokenFormat::from_caps(&caps).unwrap_err();
            assert!(error.0.contains(field), "{error}");
        }
        // The type to unpack indices to, and fields that are not part of the format, do not contradict.
        let mut caps = fsq.to_caps(StreamFormat::Framed);
        let s = caps.make_mut().structure_mut(0).unwrap();
        s.set("token-type", "uint32");
        s.set("parsed", true);
        let read = TokenFormat::from_caps(&caps).unwrap().0;
        assert_eq!(read.token_type, TokenType::Uint32);
    }

    #[test]
    fn an_unknown_coding_is_named_with_those_that_are_read() {
        gst::init().unwrap();
        let mut caps = format(Regularizer::Kl { channels: 4 }).to_caps(StreamFormat::Framed);
        caps.make_mut().structure_mut(0).unwrap().set("coding", "huffman");
        let error = TokenFormat::from_caps(&caps).unwrap_err().0;
        assert!(
            error.contains("\"huffman\"") && error.contains(Coding::Packed.as_str()),
            "{error}"
        );
    }
}
