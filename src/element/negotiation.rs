//! Which video caps belong to which token caps: what encoder and decoder answer while caps are negotiated.

use crate::caps::{self, StreamFormat};
use crate::format::{Coding, Fraction, MAX_DIMENSION, TokenType};
use crate::tokenizer::Description;

/// Video of any size in these formats.
pub fn video_template(formats: &[gst_video::VideoFormat]) -> gst::Caps {
    gst_video::VideoCapsBuilder::new()
        .format_list(formats.iter().copied())
        .width_range(1..=MAX_DIMENSION as i32)
        .height_range(1..=MAX_DIMENSION as i32)
        .build()
}

/// Fields of caps that pictures, of video and of tokens, have in common where nothing is done to them.
pub const PICTURE: [&str; 4] = ["width", "height", "framerate", "pixel-aspect-ratio"];

/// What `transform_caps` returns for `caps`: those of them that `filter` takes, in its order.
pub fn filtered(caps: gst::Caps, filter: Option<&gst::Caps>) -> gst::Caps {
    match filter {
        Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
        None => caps,
    }
}

/// The token caps that belong to video caps `video`, `framed` first. They share the fields `shared`. `tokenizer`: if
/// known, with the preferred token type.
pub fn tokens_of(
    video: &gst::CapsRef,
    shared: &[&str],
    tokenizer: Option<(&Description, Option<TokenType>)>,
) -> gst::Caps {
    let mut out = gst::Caps::new_empty();
    for format in StreamFormat::ALL {
        for s in video.iter() {
            let mut tokens = caps::packet_structure(format);
            for field in shared {
                if let Ok(value) = s.value(*field) {
                    tokens.set_value(*field, value.clone());
                }
            }
            match tokenizer {
                Some((tokenizer, token_type)) => describe(&mut tokens, tokenizer, token_type, format),
                // For the decoder's input, whose `raw` caps may leave it out.
                None if format == StreamFormat::Raw => tokens.remove_field("alignment"),
                None => (),
            }
            out.get_mut().expect("not shared").append_structure(tokens);
        }
    }
    out
}

/// Adds the fields that the tokenizer determines; the grid only where the size is fixed.
fn describe(tokens: &mut gst::Structure, tokenizer: &Description, token_type: Option<TokenType>, format: StreamFormat) {
    tokens.set("model", &tokenizer.name);
    tokens.set("tokenizer", &tokenizer.digest);
    caps::set_regularizer(tokens, &tokenizer.regularizer);
    tokens.set("time-factor", tokenizer.time_factor as i32);
    tokens.set("space-factor", tokenizer.space_factor as i32);
    tokens.set("causal", tokenizer.causal);
    for (pixels, cells) in [("width", "grid-width"), ("height", "grid-height")] {
        if let Ok(size) = tokens.get::<i32>(pixels) {
            tokens.set(cells, (size.max(0) as u32).div_ceil(tokenizer.space_factor) as i32);
        }
    }
    let continuous = tokenizer.regularizer.codebook_size().is_none();
    if format == StreamFormat::Framed {
        tokens.set("coding", Coding::default().as_str());
    }
    if format == StreamFormat::Raw || continuous {
        let first = token_type.unwrap_or_else(|| TokenType::default_for(&tokenizer.regularizer));
        let others = TokenType::ALL
            .into_iter()
            .filter(|t| *t != first && t.fits(&tokenizer.regularizer));
        let types = std::iter::once(first).chain(others).map(TokenType::as_str);
        tokens.set("token-type", gst::List::new(types));
    }
}

/// The video caps, in these formats, that belong to the token caps `tokens`. They share the fields `shared`.
pub fn video_of(tokens: &gst::CapsRef, shared: &[&str], formats: &[gst_video::VideoFormat]) -> gst::Caps {
    let formats = gst::List::new(formats.iter().map(|format| format.to_str()));
    let video = tokens.iter().map(|s| {
        let mut video = gst::Structure::builder("video/x-raw").field("format", &formats).build();
        for field in shared {
            if let Ok(value) = s.value(*field) {
                video.set_value(*field, value.clone());
            }
        }
        video
    });
    video.collect()
}

pub fn fraction(f: gst::Fraction) -> Fraction {
    Fraction::new(f.numer().max(0) as u32, f.denom().max(1) as u32)
}

/// The name of a colorimetry that GStreamer has written by name or by numbers, so that equal ones have equal texts.
/// One without a name stays as it is.
pub fn colorimetry_name(text: String) -> String {
    const NAMED: [&str; 8] = [
        "bt601",
        "bt709",
        "smpte240m",
        "sRGB",
        "bt2020",
        "bt2020-10",
        "bt2100-pq",
        "bt2100-hlg",
    ];
    let parse = |text: &str| text.parse::<gst_video::VideoColorimetry>().ok();
    let meant = parse(&text);
    let name = NAMED.into_iter().find(|name| meant.is_some() && parse(name) == meant);
    name.map_or(text, Into::into)
}

/// Whether the numbers are luma and chroma.
pub fn is_yuv(colorimetry: &gst_video::VideoColorimetry) -> bool {
    use gst_video::VideoColorMatrix::{Rgb, Unknown};
    !matches!(colorimetry.matrix(), Rgb | Unknown)
}

/// The name of the colorimetry that pictures have once they are RGB. GStreamer (1.22) itself, given RGB caps with the
/// colorimetry of YUV, would keep that one's range: 16 to 235 for `bt709`.
pub fn rgb_colorimetry(of: &gst_video::VideoColorimetry) -> String {
    if !is_yuv(of) {
        return colorimetry_name(of.to_string());
    }
    let rgb = gst_video::VideoColorimetry::new(
        gst_video::VideoColorRange::Range0_255,
        gst_video::VideoColorMatrix::Rgb,
        of.transfer(),
        of.primaries(),
    );
    colorimetry_name(rgb.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_that_a_stream_allows_is_in_the_template() {
        gst::init().unwrap();
        let template = video_template(&[gst_video::VideoFormat::Rgb]);
        let fits = |size: u32| {
            let size = size as i32;
            let caps = gst::Caps::builder("video/x-raw")
                .field("format", "RGB")
                .field("width", size)
                .field("height", size)
                .field("framerate", gst::Fraction::new(30, 1))
                .build();
            caps.is_subset(&template)
        };
        assert!(fits(1) && fits(MAX_DIMENSION) && !fits(MAX_DIMENSION + 1) && !fits(0));
    }

    #[test]
    fn a_colorimetry_has_a_form_for_rgb() {
        gst::init().unwrap();
        for (of, rgb) in [
            ("bt709", "1:1:5:1"),
            ("bt601", "1:1:16:4"),
            ("2:3:7:1", "sRGB"),
            ("1:4:0:0", "1:1:0:0"),
            ("sRGB", "sRGB"),
            ("1:1:16:4", "1:1:16:4"),
        ] {
            assert_eq!(rgb_colorimetry(&of.parse().unwrap()), rgb, "{of}");
        }
    }

    #[test]
    fn a_colorimetry_has_one_text() {
        gst::init().unwrap();
        assert_eq!(colorimetry_name("1:1:7:1".into()), "sRGB");
        for text in ["sRGB", "1:1:16:4", "bt709", "0:0:0:0", "nonsense"] {
            assert_eq!(colorimetry_name(text.into()), text);
        }
    }
}
