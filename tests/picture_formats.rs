//! The pictures of vidtokdec as I420 and NV12: their numbers, and what their caps say of them.

mod common;

use common::pictures::*;
use common::*;
use gst::prelude::*;
use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameExt, VideoInfo};

/// Y, U and V of the picture `rgb` in real numbers: one for each pixel, and one for each two by two.
fn slow(rgb: &[u8], (width, height): Size, info: &VideoInfo) -> [Vec<f64>; 3] {
    let (kr, kb) = match info.colorimetry().matrix() {
        VideoColorMatrix::Bt709 => (0.2126, 0.0722),
        _ => (0.299, 0.114),
    };
    let (offset, scale, chroma) = match info.colorimetry().range() {
        VideoColorRange::Range0_255 => (0.0, 1.0, 1.0),
        _ => (16.0, 219.0 / 255.0, 224.0 / 255.0),
    };
    let is_left = info.chroma_site() == gst_video::VideoChromaSite::MPEG2;
    let yuv = |[r, g, b]: [f64; 3]| {
        let luma = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (u, v) = ((b - luma) / (2.0 * (1.0 - kb)), (r - luma) / (2.0 * (1.0 - kr)));
        [offset + scale * luma, 128.0 + chroma * u, 128.0 + chroma * v]
    };
    let pixel = |x: isize, y: usize| {
        let (x, y) = (x.clamp(0, width as isize - 1) as usize, y.min(height - 1));
        [0, 1, 2].map(|colour| f64::from(rgb[(y * width + x) * 3 + colour]))
    };
    let mut out = [vec![], vec![], vec![]];
    for y in 0..height {
        for x in 0..width {
            out[0].push(yuv(pixel(x as isize, y))[0]);
        }
    }
    let columns: &[(isize, f64)] = match is_left {
        true => &[(-1, 0.25), (0, 0.5), (1, 0.25)],
        false => &[(0, 0.5), (1, 0.5)],
    };
    for y in (0..height).step_by(2) {
        for x in (0..width as isize).step_by(2) {
            let mut mean = [0.0; 3];
            for (row, (column, weight)) in [y, y + 1].into_iter().flat_map(|y| columns.iter().map(move |c| (y, c))) {
                let pixel = pixel(x + column, row);
                (0..3).for_each(|colour| mean[colour] += pixel[colour] * weight / 2.0);
            }
            let [_, u, v] = yuv(mean);
            out[1].push(u);
            out[2].push(v);
        }
    }
    out
}

/// The samples of the picture's Y, U and V.
fn samples(picture: &Picture) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|component| {
        let info = picture.format_info();
        let plane = info.plane()[component] as usize;
        let (step, first) = (
            info.pixel_stride()[component] as usize,
            info.poffset()[component] as usize,
        );
        let data = picture.plane_data(plane as u32).unwrap();
        let (columns, rows) = match component {
            0 => (picture.width() as usize, picture.height() as usize),
            _ => (
                (picture.width() as usize).div_ceil(2),
                (picture.height() as usize).div_ceil(2),
            ),
        };
        let rows = data.chunks(picture.plane_stride()[plane] as usize).take(rows);
        rows.flat_map(|row| {
            row.iter()
                .skip(first)
                .step_by(step)
                .take(columns)
                .copied()
                .collect::<Vec<_>>()
        })
        .collect()
    })
}

#[test]
fn the_numbers_are_those_of_the_rgb_pictures() {
    for size in [(18, 16), (17, 15), (1, 1), (33, 8)] {
        let tokens = tokens_of(&drawn(5, size), size, None);
        let plain = decode(&tokens, "video/x-raw,format=RGB");
        assert_eq!(plain.len(), 5);
        for format in ["I420", "NV12"] {
            for said in [
                "",
                ",colorimetry=bt709",
                ",colorimetry=(string)1:4:0:0",
                ",colorimetry=bt709,chroma-site=jpeg",
            ] {
                let made = decode(&tokens, &format!("video/x-raw,format={format}{said}"));
                assert_eq!(made.len(), 5);
                for (made, plain) in made.iter().zip(&plain) {
                    assert_eq!(made.buffer().pts(), plain.buffer().pts());
                    let expected = slow(&rgb(plain), size, made.info());
                    for (samples, expected) in samples(made).iter().zip(expected) {
                        assert_eq!(samples.len(), expected.len());
                        for (sample, expected) in samples.iter().zip(expected) {
                            let expected = expected.min(255.0);
                            assert!(
                                (f64::from(*sample) - expected).abs() < 0.500_001,
                                "{size:?} {format}{said}: {sample}, not {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_no_pixel_is_zero() {
    let size = (17, 15);
    let tokens = tokens_of(&drawn(1, size), size, None);
    for format in ["I420", "NV12"] {
        let made = decode(&tokens, &format!("video/x-raw,format={format}"));
        let whole = made[0].buffer().map_readable().unwrap();
        // GStreamer's layout of 17×15: 16 rows of luma in 20 bytes each, and 8 rows of chroma, in 12 bytes each or both
        // in 20.
        assert_eq!(whole.len(), if format == "I420" { 320 + 2 * 96 } else { 320 + 160 });
        let (luma, chroma) = whole.split_at(320);
        let (pixels, behind) = luma.split_at(300);
        assert!(pixels.chunks(20).all(|row| row[17..] == [0; 3]) && behind == [0; 20]);
        let (bytes, stride) = if format == "I420" { (9, 12) } else { (18, 20) };
        assert!(
            chroma
                .chunks(stride)
                .all(|row| row[bytes..].iter().all(|byte| *byte == 0))
        );
    }
}

#[test]
fn caps_say_what_the_numbers_mean() {
    let size = (16, 16);
    for (video, of_rgb, of_yuv) in [
        (None, None, "bt601"),
        // RGB of BT.709 and BT.601 video.
        (Some("1:1:5:1"), Some("1:1:5:1"), "bt709"),
        (Some("1:1:16:4"), Some("1:1:16:4"), "bt601"),
        (Some("sRGB"), Some("sRGB"), "2:3:7:1"),
    ] {
        let Tokens(caps, tokens) = tokens_of(&drawn(1, size), size, video);
        let said = |behind: &str, field: &str| -> Option<String> {
            let line = Line::new(&format!("vidtokdec ! {behind}"), &caps);
            line.play();
            tokens.iter().for_each(|buffer| line.push(buffer.clone()));
            line.finish();
            let caps = caps_of(&line);
            caps.structure(0).unwrap().get_optional(field).unwrap()
        };
        let said_of = |behind: &str, field: &str| said(behind, field).unwrap_or_default();
        // RGB is the first choice.
        assert_eq!(said_of("identity", "format"), "RGB");
        assert_eq!(said("identity", "colorimetry").as_deref(), of_rgb);
        assert_eq!(said("identity", "chroma-site"), None);
        for format in ["I420", "NV12"] {
            let filter = format!("video/x-raw,format={format}");
            assert_eq!(said_of(&filter, "colorimetry"), of_yuv, "{video:?}");
            assert_eq!(said_of(&filter, "chroma-site"), "mpeg2");
            for asked in ["bt601", "bt709", "1:4:0:0"] {
                let filter = format!("{filter},colorimetry=(string){asked},chroma-site=jpeg");
                assert_eq!(said_of(&filter, "colorimetry"), asked);
                assert_eq!(said_of(&filter, "chroma-site"), "jpeg");
            }
        }
    }
}

/// Tokens' caps may name the colorimetry that the video had before it was RGB.
#[test]
fn rgb_pictures_have_no_yuv_colorimetry() {
    let size = (16, 16);
    let Tokens(mut caps, tokens) = tokens_of(&drawn(1, size), size, None);
    for (video, of_rgb, of_yuv) in [
        ("bt709", "1:1:5:1", "bt709"),
        ("1:4:0:0", "1:1:0:0", "2:4:0:0"),
        ("bt2020", "1:1:11:7", "2:4:11:7"),
    ] {
        caps.make_mut().set("colorimetry", video);
        for (format, expected) in [("RGB", of_rgb), ("I420", of_yuv)] {
            let line = Line::new(&format!("vidtokdec ! video/x-raw,format={format}"), &caps);
            line.play();
            tokens.iter().for_each(|buffer| line.push(buffer.clone()));
            line.finish();
            let said = caps_of(&line);
            assert_eq!(said.structure(0).unwrap().get("colorimetry"), Ok(expected));
        }
    }
}

#[test]
fn a_colorimetry_that_cannot_be_is_an_error_that_names_it() {
    let size = (16, 16);
    let Tokens(caps, tokens) = tokens_of(&drawn(1, size), size, None);
    for (format, colorimetry) in [("I420", "bt2020"), ("NV12", "smpte240m"), ("RGB", "bt709")] {
        let filter = format!("video/x-raw,format={format},colorimetry={colorimetry}");
        let line = Line::new(&format!("vidtokdec ! {filter}"), &caps);
        line.play();
        line.push(tokens[0].clone());
        let error = line.error(LIMIT).expect("an error");
        for part in [format, colorimetry, "videoconvert"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

#[test]
fn x264enc_takes_the_pictures_as_they_are() {
    let size = (32, 16);
    let Tokens(caps, tokens) = tokens_of(&drawn(9, size), size, None);
    let line = Line::new("vidtokdec ! x264enc tune=zerolatency", &caps);
    line.play();
    tokens.iter().for_each(|buffer| line.push(buffer.clone()));
    assert_eq!(line.finish().len(), 9);
}

/// decodebin asks for pictures before it is linked, so first for RGB.
#[test]
fn x264enc_takes_the_pictures_behind_decodebin() {
    let size = (32, 16);
    let Tokens(_, tokens) = tokens_of(&drawn(9, size), size, None);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes(&tokens).concat()).unwrap();
    for bin in ["decodebin", "decodebin3"] {
        let location = file.path().display();
        let line = format!("filesrc location={location} ! {bin} ! x264enc tune=zerolatency");
        assert_eq!(play(&line).buffers.len(), 9, "{bin}");
    }
}

#[test]
fn pictures_are_rgb_wherever_that_is_taken() {
    let size = (32, 16);
    let tokens = tokens_of(&drawn(5, size), size, None);
    for (behind, format) in [
        ("videoconvert ! video/x-raw,format=I420", VideoFormat::Rgb),
        ("video/x-raw,format={NV12,RGB}", VideoFormat::Rgb),
        ("video/x-raw,format=NV12", VideoFormat::Nv12),
    ] {
        let line = Line::new(&format!("vidtokdec name=dec ! {behind}"), &tokens.0);
        line.play();
        tokens.1.iter().for_each(|buffer| line.push(buffer.clone()));
        line.finish();
        let pad = line.pipeline.by_name("dec").unwrap().static_pad("src").unwrap();
        let video = gst_video::VideoInfo::from_caps(&pad.current_caps().unwrap()).unwrap();
        assert_eq!(video.format(), format, "{behind}");
    }
}

#[test]
fn the_format_can_change_within_a_segment() {
    let size = (18, 16);
    let tokens = tokens_of(&drawn(21, size), size, None);
    let plain = decode(&tokens, "video/x-raw,format=RGB");
    let line = Line::new(
        "vidtokdec ! capsfilter name=filter caps=video/x-raw,format=RGB",
        &tokens.0,
    );
    line.play();
    let (first, last) = tokens.1.split_at(3);
    first.iter().for_each(|buffer| line.push(buffer.clone()));
    // A causal tokenizer's first latent frame is one frame; the others are four each.
    let before: Vec<_> = (0..9).map(|_| line.sink.try_pull_sample(LIMIT).unwrap()).collect();
    let before = before.iter().map(|sample| frame(sample.buffer().unwrap(), 18).rgb);
    assert!(before.eq(plain[..9].iter().map(rgb)));
    let filter = line.pipeline.by_name("filter").unwrap();
    filter.set_property("caps", "video/x-raw,format=NV12".parse::<gst::Caps>().unwrap());
    last.iter().for_each(|buffer| line.push(buffer.clone()));
    let after = pictures(&line);
    assert_eq!(after.len(), 12);
    for (made, plain) in after.iter().zip(&plain[9..]) {
        assert_eq!(made.format(), VideoFormat::Nv12);
        let luma = &slow(&rgb(plain), size, made.info())[0];
        let same = samples(made)[0]
            .iter()
            .zip(luma)
            .all(|(made, luma)| (f64::from(*made) - luma).abs() < 0.500_001);
        assert!(same);
    }
}
