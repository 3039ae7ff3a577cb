//! What the pictures' numbers mean: which colorimetry and chroma position can be given, and which is.
//!
//! Matrix and range are the decoder's to choose. Transfer function and primaries are those of the tokens' video, as the
//! pixels stay what they are. Those of ordinary video (BT.601, BT.709, sRGB) count as the same where downstream asks for
//! one of them, as `videoconvert` takes them by default.

use gst_video::{
    VideoChromaSite, VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoColorimetry, VideoFormat,
    VideoTransferFunction,
};

use crate::element::negotiation::{colorimetry_name, is_yuv, rgb_colorimetry, video_of};
use crate::yuv::{Matrix, Meaning, Siting};

/// Formats of the pictures, the first choice first.
pub const FORMATS: [VideoFormat; 3] = [VideoFormat::Rgb, VideoFormat::I420, VideoFormat::Nv12];
/// What pictures have in common with their tokens. Colorimetry depends on the format.
pub const SHARED: [&str; 4] = ["width", "height", "framerate", "pixel-aspect-ratio"];
/// Positions of chroma, the first choice first.
const SITES: [&str; 2] = ["mpeg2", "jpeg"];

/// The caps of the pictures that can be made of tokens of these caps. Those of YUV may have each colorimetry that
/// [`only_possible`] leaves.
pub fn pictures_of(tokens: &gst::CapsRef) -> gst::Caps {
    let [rgb, yuv @ ..] = &FORMATS;
    let of_rgb = video_of(tokens, &SHARED, &[*rgb]);
    let of_rgb = of_rgb.iter().zip(tokens.iter()).map(|(pictures, tokens)| {
        let mut pictures = pictures.to_owned();
        pictures.set("format", rgb.to_str());
        if let Ok(said) = tokens.get::<String>("colorimetry") {
            let meant = said.parse().ok();
            pictures.set("colorimetry", meant.map_or(said, |meant| rgb_colorimetry(&meant)));
        }
        pictures
    });
    let of_yuv = video_of(tokens, &SHARED, yuv);
    let of_yuv = of_yuv.iter().map(|pictures| {
        let mut pictures = pictures.to_owned();
        pictures.set("chroma-site", gst::List::new(SITES));
        pictures
    });
    of_rgb.chain(of_yuv).collect()
}

/// Of the caps of pictures, those with a colorimetry that tokens of the caps `tokens` can be given.
pub fn only_possible(pictures: &gst::CapsRef, tokens: &gst::CapsRef) -> gst::Caps {
    let video = said(tokens).and_then(|text| text.parse::<VideoColorimetry>().ok());
    let kept = pictures.iter().filter_map(|s| {
        let mut s = s.to_owned();
        let asked = match s.value("colorimetry") {
            Err(_) => return Some(s),
            Ok(value) => match value.get::<gst::List>() {
                Ok(list) => list.iter().filter_map(|value| value.get::<String>().ok()).collect(),
                Err(_) => vec![value.get::<String>().ok()?],
            },
        };
        let rgb = is_rgb(&s);
        let possible = |text: &String| match text.parse::<VideoColorimetry>() {
            Ok(meant) if rgb => !is_yuv(&meant),
            Ok(meant) => can_be(&meant, video.as_ref()),
            Err(_) => rgb,
        };
        let mut left: Vec<String> = asked.into_iter().filter(possible).collect();
        match left.len() {
            0 => return None,
            1 => s.set("colorimetry", left.remove(0)),
            _ => s.set("colorimetry", gst::List::new(left)),
        }
        Some(s)
    });
    kept.collect()
}

/// Chooses the colorimetry of the pictures `s` where the caps leave a choice.
pub fn choose(s: &mut gst::StructureRef, tokens: &gst::CapsRef) {
    if is_rgb(s) {
        return;
    }
    let usual = usual(said(tokens).as_deref());
    if s.has_field("colorimetry") {
        s.fixate_field_str("colorimetry", &usual);
    } else {
        s.set("colorimetry", usual);
    }
}

/// What the numbers of pictures with these caps mean; `None` if they are not made here, and for RGB.
pub fn meaning(video: &gst_video::VideoInfo) -> Option<Meaning> {
    let colorimetry = video.colorimetry();
    Some(Meaning {
        matrix: match colorimetry.matrix() {
            VideoColorMatrix::Bt601 => Matrix::Bt601,
            VideoColorMatrix::Bt709 => Matrix::Bt709,
            _ => return None,
        },
        full_range: match colorimetry.range() {
            VideoColorRange::Range0_255 => true,
            VideoColorRange::Range16_235 => false,
            _ => return None,
        },
        siting: match video.chroma_site() {
            VideoChromaSite::MPEG2 => Siting::Left,
            VideoChromaSite::JPEG => Siting::Centre,
            _ => return None,
        },
    })
}

fn is_rgb(s: &gst::StructureRef) -> bool {
    s.get::<&str>("format") == Ok(FORMATS[0].to_str().as_str())
}

/// The colorimetry that the tokens' caps name.
fn said(tokens: &gst::CapsRef) -> Option<String> {
    tokens.structure(0)?.get("colorimetry").ok()
}

/// The colorimetry of YUV pictures where downstream leaves the choice: limited range, and BT.709 only where the tokens'
/// says so.
fn usual(said: Option<&str>) -> String {
    let known = said
        .and_then(|text| text.parse::<VideoColorimetry>().ok())
        .filter(|said| {
            is_yuv(said)
                || said.transfer() != VideoTransferFunction::Unknown
                || said.primaries() != VideoColorPrimaries::Unknown
        });
    let Some(known) = known else { return "bt601".into() };
    let matrix = match (known.matrix(), known.primaries()) {
        (VideoColorMatrix::Bt709, _) => VideoColorMatrix::Bt709,
        (VideoColorMatrix::Bt601, _) => VideoColorMatrix::Bt601,
        (_, VideoColorPrimaries::Bt709) => VideoColorMatrix::Bt709,
        _ => VideoColorMatrix::Bt601,
    };
    let range = VideoColorRange::Range16_235;
    colorimetry_name(VideoColorimetry::new(range, matrix, known.transfer(), known.primaries()).to_string())
}

/// Whether YUV pictures of video of this colorimetry can have the colorimetry `asked`.
fn can_be(asked: &VideoColorimetry, video: Option<&VideoColorimetry>) -> bool {
    use VideoColorPrimaries as Primaries;
    use VideoTransferFunction as Transfer;
    let transfers = [Transfer::Unknown, Transfer::Bt601, Transfer::Bt709, Transfer::Srgb];
    let primaries = [
        Primaries::Unknown,
        Primaries::Bt709,
        Primaries::Bt470bg,
        Primaries::Smpte170m,
    ];
    let transfer = video.map_or(Transfer::Unknown, VideoColorimetry::transfer);
    let primary = video.map_or(Primaries::Unknown, VideoColorimetry::primaries);
    matches!(asked.matrix(), VideoColorMatrix::Bt601 | VideoColorMatrix::Bt709)
        && asked.range() != VideoColorRange::Unknown
        && fits(asked.transfer(), transfer, &transfers)
        && fits(asked.primaries(), primary, &primaries)
}

fn fits<T: PartialEq>(asked: T, known: T, alike: &[T]) -> bool {
    asked == known || alike[0] == asked || (alike.contains(&asked) && alike.contains(&known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_that_of_the_video() {
        gst::init().unwrap();
        for (said, expected) in [
            (None, "bt601"),
            (Some("nonsense"), "bt601"),
            (Some("0:0:0:0"), "bt601"),
            (Some("bt709"), "bt709"),
            // RGB of BT.709 and of BT.601 video, as the encoder names it.
            (Some("1:1:5:1"), "bt709"),
            (Some("1:1:16:4"), "bt601"),
            // BT.709's primaries with sRGB's transfer function.
            (Some("sRGB"), "2:3:7:1"),
            // JPEG, and BT.601's matrix with BT.709's primaries.
            (Some("1:4:0:0"), "2:4:0:0"),
            (Some("2:4:5:1"), "2:4:5:1"),
        ] {
            assert_eq!(usual(said), expected, "{said:?}");
        }
    }

    #[test]
    fn what_is_not_made_is_not_offered() {
        gst::init().unwrap();
        let left = |tokens: &str, pictures: &str| {
            let caps = |media: &str, more: &str| format!("{media},width=16{more}").parse::<gst::Caps>().unwrap();
            let left = only_possible(
                &caps("video/x-raw", pictures),
                &caps("video/x-vidtok", &format!(",colorimetry=(string){tokens}")),
            );
            let texts = left.iter().map(|s| match s.get::<gst::List>("colorimetry") {
                Ok(list) => list.iter().map(|text| text.get::<String>().unwrap()).collect(),
                Err(_) => vec![s.get::<String>("colorimetry").unwrap()],
            });
            texts.flatten().collect::<Vec<_>>()
        };
        for (tokens, pictures, expected) in [
            ("1:1:5:1", ",format=I420,colorimetry=bt601", &["bt601"][..]),
            ("1:1:5:1", ",format=NV12,colorimetry=(string)1:4:0:0", &["1:4:0:0"]),
            (
                "1:1:5:1",
                ",format=I420,colorimetry={bt2020,bt709,bt601}",
                &["bt709", "bt601"],
            ),
            ("1:1:5:1", ",format=I420,colorimetry=smpte240m", &[]),
            // High dynamic range stays what it is.
            ("1:1:14:7", ",format=I420,colorimetry=bt709", &[]),
            ("1:1:5:1", ",format=I420,colorimetry=(string)2:3:14:7", &[]),
            ("1:1:14:7", ",format=I420,colorimetry=(string)2:3:14:7", &["2:3:14:7"]),
            ("1:1:5:1", ",format=RGB,colorimetry=bt709", &[]),
            ("1:1:5:1", ",format=RGB,colorimetry=(string)1:1:5:1", &["1:1:5:1"]),
        ] {
            assert_eq!(left(tokens, pictures), expected, "{tokens}: {pictures}");
        }
    }
}
