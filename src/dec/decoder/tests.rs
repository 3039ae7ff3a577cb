use super::*;
use crate::dec::input::Input;
use crate::dec::testing::{self, FRAME};
use crate::runtime::Silent;
use crate::stream::Tokens;
use crate::tokenizer::{self, Role};

/// The built-in decoder, which looks no frame ahead, at 16×16 pixels and 25 frames per second.
fn decoder() -> (Decoder, Cancel) {
    gst::init().unwrap();
    let graph = tokenizer::embedded(Role::Decoder).unwrap();
    let tokenizer = &graph.description;
    assert_eq!((tokenizer.time_factor, tokenizer.decoder_delay), (4, 0));
    let format = TokenFormat::of(tokenizer, 16, 16);
    let video = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 16, 16).build();
    let (options, cancel) = (Options::default(), Cancel::default());
    let decoder = Decoder::new(
        &graph,
        options,
        format,
        PictureMaker::new(video.unwrap()).unwrap(),
        cancel.clone(),
        &Silent,
    );
    (decoder.unwrap(), cancel)
}

/// A packet whose first frame has the number `first`.
fn packet(segment_start: bool, latent_frames: u32, real_frames: u64, first: u64) -> Input {
    let payload = (0..latent_frames * 4).map(|i| (i * 977 + first as u32 * 31) as i32 % 32768);
    let tokens = Tokens::Indices(payload.collect());
    let format = TokenFormat {
        grid_width: 2,
        grid_height: 2,
        ..testing::format()
    };
    testing::packet(
        segment_start,
        latent_frames,
        real_frames,
        first,
        tokens.to_payload(&format).unwrap(),
    )
}

/// The pictures that can be made now, and how many steps they take.
fn pictures(decoder: &mut Decoder) -> (Vec<gst::Buffer>, usize) {
    let mut steps = 0;
    let mut pictures = Vec::new();
    while let Some(picture) = decoder.next_picture(|_| steps += 1).unwrap() {
        pictures.push(picture);
    }
    (pictures, steps)
}

/// The number of a picture, and whether it has the flags CORRUPTED and DISCONT.
fn number_and_flags(picture: &gst::Buffer) -> (u64, bool, bool) {
    (
        picture.pts().unwrap().nseconds() / FRAME,
        picture.flags().contains(gst::BufferFlags::CORRUPTED),
        picture.flags().contains(gst::BufferFlags::DISCONT),
    )
}

#[test]
fn pictures_have_the_times_and_flags_of_their_packets() {
    let (mut decoder, _) = decoder();
    decoder.segments.push(packet(true, 2, 4, 0), false).unwrap();
    let (shown, steps) = pictures(&mut decoder);
    let numbers: Vec<_> = shown.iter().map(number_and_flags).collect();
    assert_eq!(numbers, [0, 1, 2, 3].map(|number| (number, false, false)));
    assert_eq!(steps, 2);
    decoder.segments.leave();
    decoder.segments.push(packet(false, 1, 3, 5), true).unwrap();
    let shown: Vec<_> = pictures(&mut decoder).0.iter().map(number_and_flags).collect();
    assert_eq!(shown, [(5, true, true), (6, true, false), (7, true, false)]);
}

#[test]
fn pictures_do_not_depend_on_the_segments_before() {
    let rgb = |pictures: Vec<gst::Buffer>| {
        let bytes = pictures.iter().map(|picture| picture.map_readable().unwrap().to_vec());
        bytes.collect::<Vec<_>>()
    };
    let (mut decoder, _) = decoder();
    decoder.segments.push(packet(true, 3, 9, 9), false).unwrap();
    let expected = rgb(pictures(&mut decoder).0);
    decoder.segments.push(packet(true, 2, 5, 100), false).unwrap();
    decoder.segments.push(packet(true, 3, 9, 9), false).unwrap();
    let shown = rgb(pictures(&mut decoder).0);
    assert_eq!((expected.len(), shown.len()), (9, 14));
    assert!(shown[5..] == expected && shown[..5] != expected[..5]);
}

#[test]
fn a_cancelled_decoder_waits_for_a_segment_start() {
    let (mut decoder, cancel) = decoder();
    decoder.segments.push(packet(true, 3, 9, 0), false).unwrap();
    cancel.cancel();
    let error = decoder.next_picture(|_| ()).unwrap_err();
    assert!(matches!(error, StepError::Runtime(RuntimeError::Cancelled)));
    decoder.reset();
    cancel.reset();
    assert!(decoder.segments.push(packet(false, 1, 4, 9), false).is_err());
    decoder.segments.push(packet(true, 1, 1, 13), false).unwrap();
    let (shown, steps) = pictures(&mut decoder);
    assert_eq!(
        (number_and_flags(&shown[0]), shown.len(), steps),
        ((13, false, false), 1, 1)
    );
}
