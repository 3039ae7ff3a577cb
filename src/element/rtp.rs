//! RTP caps of tokens, which payloader and depayloader share. `crate::rtp::fields` has what their strings mean.

use gst::prelude::*;

use crate::format::{FormatError, TokenFormat};
use crate::rtp::{CLOCK_RATE, fields};

/// In upper case, as SDP brings it back.
pub const ENCODING_NAME: &str = "VIDTOK";

/// Key requests reach the sender only where caps have these: a session turns them into RTCP messages then.
const KEY_REQUESTS: [&str; 2] = ["rtcp-fb-nack-pli", "rtcp-fb-ccm-fir"];

/// Template caps of a payloader. `payload` is one of the numbers that a session gives out.
pub fn payload_template() -> gst::Caps {
    builder().field("payload", gst::IntRange::new(96, 127)).build()
}

/// Template caps of a depayloader, which takes any payload type.
pub fn depayload_template() -> gst::Caps {
    builder().build()
}

fn builder() -> gst::caps::Builder<gst::caps::NoFeature> {
    gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("encoding-name", ENCODING_NAME)
        .field("clock-rate", CLOCK_RATE as i32)
}

/// The fields of caps that say what the tokens are.
pub fn fields(format: &TokenFormat) -> gst::Structure {
    let mut s = gst::Structure::new_empty("application/x-rtp");
    for (name, value) in fields::of(format) {
        s.set(name, value);
    }
    for name in KEY_REQUESTS {
        s.set(name, true);
    }
    s
}

/// The format that caps say; `None` where they say nothing of it, and packets have to.
///
/// # Errors
/// Names the field that is missing or impossible.
pub fn format(caps: &gst::CapsRef) -> Result<Option<TokenFormat>, FormatError> {
    let Some(s) = caps.structure(0) else {
        return Ok(None);
    };
    if ![fields::VERSION, fields::TOKENIZER]
        .iter()
        .any(|name| s.has_field(*name))
    {
        return Ok(None);
    }
    // A person who writes caps leaves types out: `video-width=64` is a number then.
    let text = |value: &gst::glib::Value| {
        value
            .get::<String>()
            .ok()
            .or_else(|| Some(value.serialize().ok()?.into()))
    };
    fields::read(|name| text(s.value(name).ok()?)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_say_the_format_also_where_they_leave_types_out() {
        gst::init().unwrap();
        let toy = TokenFormat {
            framerate: crate::format::Fraction::new(30, 1),
            ..TokenFormat::toy(&[8; 5], 3, 2)
        };
        let mut caps = depayload_template();
        let s = caps.make_mut().structure_mut(0).unwrap();
        fields(&toy)
            .iter()
            .for_each(|(name, value)| s.set_value(name.as_str(), value.clone()));
        assert_eq!(format(&caps), Ok(Some(toy.clone())));
        // As written, but for what would be numbers, booleans and fractions without a type.
        let bare = caps.to_string().replace("(string)", "");
        // The toy's digest has digits only.
        let bare = bare.replace("tokenizer=", "tokenizer=(string)");
        assert_eq!(format(&bare.parse::<gst::Caps>().unwrap()), Ok(Some(toy)));
        assert_eq!(format(&depayload_template()), Ok(None));
    }
}
