//! Pictures that vidtokdec makes of drawn video, and their way back to RGB.

use gst::prelude::*;
use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrame, VideoFrameExt, VideoInfo};
use gstvidtok::pixels::{Colour, Converter, Layout, Matrix, Method, Planes, Siting, Source};

use super::{Frame, Line, buffer, frame, init, video_caps};

pub type Size = (usize, usize);

/// Caps of tokens, and the tokens.
pub struct Tokens(pub gst::Caps, pub Vec<gst::Buffer>);

/// A picture with what its caps say.
pub type Picture = VideoFrame<gst_video::video_frame::Readable>;

/// Tokens of `frames`. `colorimetry`: that of the RGB frames.
pub fn tokens_of(frames: &[Frame], (width, height): Size, colorimetry: Option<&str>) -> Tokens {
    init();
    let mut caps = video_caps(width as u32, height as u32, (30, 1));
    if let Some(colorimetry) = colorimetry {
        caps.make_mut().set("colorimetry", colorimetry);
    }
    let line = Line::new("vidtokenc", &caps);
    line.play();
    frames.iter().for_each(|frame| line.push(buffer(frame, width as u32)));
    let tokens = line.finish();
    Tokens(caps_of(&line), tokens)
}

/// The caps at the line's end.
pub fn caps_of(line: &Line) -> gst::Caps {
    line.sink.static_pad("sink").unwrap().current_caps().unwrap()
}

/// What comes out of `vidtokdec ! BEHIND`.
pub fn decode(Tokens(caps, tokens): &Tokens, behind: &str) -> Vec<Picture> {
    let line = Line::new(&format!("vidtokdec ! {behind}"), caps);
    line.play();
    tokens.iter().for_each(|buffer| line.push(buffer.clone()));
    pictures(&line)
}

pub fn pictures(line: &Line) -> Vec<Picture> {
    let buffers = line.finish();
    let info = VideoInfo::from_caps(&caps_of(line)).unwrap();
    let picture = |buffer| VideoFrame::from_buffer_readable(buffer, &info).unwrap();
    buffers.into_iter().map(picture).collect()
}

/// The pixels of an RGB picture.
pub fn rgb(picture: &Picture) -> Vec<u8> {
    assert_eq!(picture.format(), VideoFormat::Rgb);
    frame(picture.buffer(), picture.width()).rgb
}

/// The picture's colours, by exact arithmetic from its caps.
pub fn back(picture: &Picture) -> Vec<u8> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let colorimetry = picture.info().colorimetry();
    let site = picture.info().chroma_site();
    let source = Source {
        layout: match picture.format() {
            VideoFormat::I420 => Layout::I420,
            VideoFormat::Nv12 => Layout::NV12,
            other => panic!("{other}"),
        },
        width,
        height,
        colour: Colour {
            matrix: match colorimetry.matrix() {
                VideoColorMatrix::Bt601 => Matrix::Bt601,
                VideoColorMatrix::Bt709 => Matrix::Bt709,
                other => panic!("{other:?}"),
            },
            is_full_range: colorimetry.range() == VideoColorRange::Range0_255,
            siting: Some(Siting {
                is_left: site.contains(gst_video::VideoChromaSite::H_COSITED),
                is_top: false,
            }),
        },
    };
    let planes: Vec<_> = (0..picture.n_planes())
        .map(|plane| {
            (
                picture.plane_data(plane).unwrap(),
                picture.plane_stride()[plane as usize] as usize,
            )
        })
        .collect();
    let planes = Planes::check(&source, &planes).unwrap();
    let mut converter = Converter::new(source, Method::Exact);
    let mut out = vec![0; width * height * 3];
    for (y, row) in out.chunks_exact_mut(width * 3).enumerate() {
        converter.row(&planes, y, row);
    }
    out
}

/// Edges of strong colours, a circle, a gradient and fine stripes.
pub fn drawn(frames: u64, (width, height): Size) -> Vec<Frame> {
    let colours = [
        [230, 20, 30],
        [20, 60, 220],
        [250, 230, 40],
        [10, 150, 60],
        [128, 128, 128],
    ];
    let pixel = |x: usize, y: usize, t: usize| -> [u8; 3] {
        let (dx, dy) = (x as i64 - (width / 2 + t) as i64, y as i64 - height as i64 / 2);
        match (dx * dx + dy * dy < (height * height / 16) as i64, y * 3 / height) {
            (true, _) => [(x * 255 / width) as u8, (y * 255 / height) as u8, 200],
            (_, 0) => colours[(x + t) * 10 / width % 5],
            (_, 1) => [
                (x * 255 / width) as u8,
                255 - (x * 255 / width) as u8,
                (y * 255 / height) as u8,
            ],
            _ => [[255, 255, 255], [40, 40, 40]][(x / 3 + y / 2) % 2],
        }
    };
    let frame = |t: u64| Frame {
        pts: t * 1_000_000_000 / 30,
        rgb: (0..width * height)
            .flat_map(|i| pixel(i % width, i / width, t as usize))
            .collect(),
    };
    (0..frames).map(frame).collect()
}
