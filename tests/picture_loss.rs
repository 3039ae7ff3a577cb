//! How much of a picture's colours I420 and NV12 keep: exact arithmetic, and videoconvert.

mod common;

use common::pictures::*;
use common::*;
use gst_video::{VideoFrame, VideoInfo};
use gstvidtok::yuv;

/// Blocks of one colour each: every 15th level of red, green and blue.
fn blocks(red: usize) -> Vec<u8> {
    let levels = |i: usize| [red, i / SIDE / BLOCK, i % SIDE / BLOCK].map(|level| (level * 15) as u8);
    (0..SIDE * SIDE).flat_map(levels).collect()
}

const BLOCK: usize = 8;
const SIDE: usize = 18 * BLOCK;

/// Rounding Y, U and V moves no constant colour by more than a level.
#[test]
fn constant_colours_come_back() {
    init();
    for (matrix, full_range, colorimetry) in [
        (yuv::Matrix::Bt601, false, "bt601"),
        (yuv::Matrix::Bt709, false, "bt709"),
        (yuv::Matrix::Bt601, true, "1:4:0:0"),
        (yuv::Matrix::Bt709, true, "1:3:0:0"),
    ] {
        let meaning = yuv::Meaning {
            matrix,
            full_range,
            siting: yuv::Siting::Left,
        };
        let caps = format!(
            "video/x-raw,format=I420,width={SIDE},height={SIDE},framerate=30/1,chroma-site=mpeg2,colorimetry=(string){colorimetry}"
        );
        let caps: gst::Caps = caps.parse().unwrap();
        let info = VideoInfo::from_caps(&caps).unwrap();
        let line = Line::new("videoconvert ! video/x-raw,format=RGB", &caps);
        line.play();
        let mut ours = Vec::new();
        for red in 0..18 {
            let mut planes = vec![0; SIDE * SIDE * 3 / 2];
            let (luma, chroma) = planes.split_at_mut(SIDE * SIDE);
            let (u, v) = chroma.split_at_mut(SIDE * SIDE / 4);
            let plane = |bytes, stride| yuv::Plane { bytes, stride };
            let chroma = yuv::Chroma::Planar(plane(u, SIDE / 2), plane(v, SIDE / 2));
            yuv::Converter::new(SIDE, meaning).run(&blocks(red), SIDE * 3, 0..SIDE, plane(luma, SIDE), chroma);
            let mut buffer = gst::Buffer::from_mut_slice(planes);
            buffer.make_mut().set_pts(gst::ClockTime::from_seconds(red as u64));
            line.push(buffer.clone());
            ours.push(back(&VideoFrame::from_buffer_readable(buffer, &info).unwrap()));
        }
        let theirs: Vec<_> = pictures(&line).iter().map(rgb).collect();
        assert_eq!(theirs.len(), 18);
        for (name, pictures) in [("exact", ours), ("videoconvert", theirs)] {
            let errors = pictures.iter().enumerate().flat_map(|(red, picture)| {
                let expected = blocks(red);
                let middles =
                    (0..18 * 18).map(|i| ((i / 18 * BLOCK + BLOCK / 2) * SIDE + i % 18 * BLOCK + BLOCK / 2) * 3);
                let error = |at: usize| (at..at + 3).map(|at| picture[at].abs_diff(expected[at])).max();
                middles.map(error).collect::<Vec<_>>()
            });
            let errors: Vec<u8> = errors.flatten().collect();
            let (beyond, most) = (errors.iter().filter(|error| **error > 1).count(), errors.iter().max());
            println!(
                "{colorimetry}, {name}: {beyond} of {} are more than a level off, at most {most:?}",
                errors.len()
            );
            if name == "exact" {
                assert!(most <= Some(&1));
            } else {
                // Its own arithmetic has few bits. Another matrix or range would be off by 15 levels and more.
                assert!(most <= Some(&8));
            }
        }
    }
}

fn mean_error(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

/// Whatever turns the pictures back to RGB: exact arithmetic, or videoconvert.
#[test]
fn less_is_lost_than_in_videoconvert() {
    for size in [(128, 96), (127, 95)] {
        let tokens = tokens_of(&drawn(5, size), size, Some("1:1:5:1"));
        let plain: Vec<_> = decode(&tokens, "video/x-raw,format=RGB").iter().map(rgb).collect();
        let loss = |pictures: Vec<Vec<u8>>| {
            assert_eq!(pictures.len(), 5);
            let errors = pictures.iter().zip(&plain).map(|(made, plain)| mean_error(made, plain));
            errors.sum::<f64>() / 5.0
        };
        for format in ["I420", "NV12"] {
            for said in [
                "bt601,chroma-site=mpeg2",
                "bt709,chroma-site=mpeg2",
                "bt709,chroma-site=jpeg",
                "(string)1:4:0:0,chroma-site=jpeg",
            ] {
                let ours = format!("video/x-raw,format={format},colorimetry={said}");
                let theirs = format!("video/x-raw,format=RGB ! videoconvert ! {ours}");
                let exact = |behind: &str| loss(decode(&tokens, behind).iter().map(back).collect());
                let by_videoconvert = |behind: &str| {
                    let behind = format!("{behind} ! videoconvert ! video/x-raw,format=RGB");
                    loss(decode(&tokens, &behind).iter().map(rgb).collect())
                };
                for (ours, theirs) in [
                    (exact(&ours), exact(&theirs)),
                    (by_videoconvert(&ours), by_videoconvert(&theirs)),
                ] {
                    println!("{size:?} {format} {said}: {ours:.4}, videoconvert {theirs:.4}");
                    assert!(ours <= theirs && ours > 0.0);
                }
            }
        }
    }
}
