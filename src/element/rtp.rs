//! RTP caps of tokens, which payloader and depayloader share. `crate::rtp::fields` has what their strings mean.

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
    if !s.has_field(fields::FIELD_VERSION) {
        return Ok(None);
    }
    fields::read(|name| s.get::<String>(name).ok()).map(Some)
}
