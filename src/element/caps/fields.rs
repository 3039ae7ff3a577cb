//! Single fields of token caps.

use crate::format::{FormatError, Fraction, Regularizer, TokenType};

/// Writes the fields that belong to the regularizer.
pub fn set_regularizer(caps: &mut gst::StructureRef, regularizer: &Regularizer) {
    match regularizer {
        Regularizer::Fsq { levels } => {
            caps.set("regularizer", Regularizer::FSQ);
            caps.set("levels", gst::Array::new(levels.iter().map(|&l| l as i32)));
            caps.set("codebook-size", levels.iter().product::<u32>() as i32);
        }
        Regularizer::Kl { channels } => {
            caps.set("regularizer", Regularizer::KL);
            caps.set("channels", *channels as i32);
        }
    }
}

/// Reads the fields that belong to the regularizer.
pub fn regularizer(s: &gst::StructureRef) -> Result<Regularizer, FormatError> {
    match text(s, "regularizer")?.as_str() {
        Regularizer::FSQ => {
            let levels = s.get::<gst::Array>("levels").map_err(|_| missing("levels"))?;
            let levels = levels
                .iter()
                .map(|l| l.get::<i32>().ok().and_then(|l| u32::try_from(l).ok()));
            Ok(Regularizer::Fsq {
                levels: levels.collect::<Option<_>>().ok_or_else(|| missing("levels"))?,
            })
        }
        Regularizer::KL => Ok(Regularizer::Kl {
            channels: unsigned(s, "channels")?,
        }),
        other => Err(FormatError(format!("unknown regularizer \"{other}\""))),
    }
}

/// `None` where the caps have no such field.
pub fn token_type(s: &gst::StructureRef) -> Result<Option<TokenType>, FormatError> {
    if !s.has_field("token-type") {
        return Ok(None);
    }
    let name = text(s, "token-type")?;
    let known = TokenType::parse(&name).ok_or_else(|| FormatError(format!("unknown token-type \"{name}\"")))?;
    Ok(Some(known))
}

/// `None` where the caps have no such field.
pub fn optional_text(s: &gst::StructureRef, field: &str) -> Result<Option<String>, FormatError> {
    s.has_field(field).then(|| text(s, field)).transpose()
}

/// `error`, with an example of what `raw` caps need.
pub fn needed(FormatError(text): FormatError, model: &str) -> FormatError {
    FormatError(format!(
        "{text}: raw tokens need at least model, width and height, as in \
         video/x-vidtok,stream-format=raw,model={model},width=384,height=288,framerate=30/1"
    ))
}

pub fn missing(field: &str) -> FormatError {
    FormatError(format!("the caps have no usable field \"{field}\""))
}

pub fn text(s: &gst::StructureRef, field: &str) -> Result<String, FormatError> {
    s.get(field).map_err(|_| missing(field))
}

pub fn unsigned(s: &gst::StructureRef, field: &str) -> Result<u32, FormatError> {
    s.get::<i32>(field)
        .ok()
        .and_then(|v| u32::try_from(v).ok())
        .ok_or_else(|| missing(field))
}

pub fn fraction(s: &gst::StructureRef, field: &str) -> Result<Fraction, FormatError> {
    let value = s.get::<gst::Fraction>(field).map_err(|_| missing(field))?;
    match (u32::try_from(value.numer()), u32::try_from(value.denom())) {
        (Ok(num), Ok(den)) => Ok(Fraction::new(num, den)),
        _ => Err(missing(field)),
    }
}
