use super::*;
use crate::element::meta::TokenMeta;

const FPS25: Fraction = Fraction::new(25, 1);
const UNKNOWN: Fraction = Fraction::new(0, 1);
const FRAME: u64 = 40_000_000;

const START: gst::BufferFlags = gst::BufferFlags::empty();
const DELTA: gst::BufferFlags = gst::BufferFlags::DELTA_UNIT;
const DISCONT: gst::BufferFlags = gst::BufferFlags::DISCONT;

/// Latent frames of 7×5 cells of two bytes.
fn format() -> TokenFormat {
    TokenFormat::toy(&[8; 5], 5, 7)
}

fn raw(latent_frames: usize, duration: Option<u64>, flags: gst::BufferFlags) -> gst::Buffer {
    gst::init().unwrap();
    let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; 70 * latent_frames]);
    let buffer_mut = buffer.make_mut();
    buffer_mut.set_duration(duration.map(gst::ClockTime::from_nseconds));
    buffer_mut.set_flags(flags);
    buffer
}

fn with_meta(mut buffer: gst::Buffer, meta: &TokenMeta) -> gst::Buffer {
    meta::add(buffer.make_mut(), meta);
    buffer
}

/// Whether a buffer starts a segment, and how many of its frames are real.
fn read(reader: &mut RawReader, buffer: &gst::Buffer) -> (bool, u64) {
    let raw = reader.read(buffer, &format(), FPS25).unwrap();
    (raw.segment_start, raw.real_frames)
}

#[test]
fn a_duration_says_how_many_frames_are_real() {
    let mut reader = RawReader::default();
    assert_eq!(read(&mut reader, &raw(2, Some(5 * FRAME), START)), (true, 5));
    for (duration, real) in [
        (None, 8),
        (Some(0), 8),
        (Some(8 * FRAME), 8),
        (Some(100 * FRAME), 8),
        // Rounded as clocks and containers do.
        (Some(6 * FRAME - 1_000_000), 6),
        (Some(5 * FRAME + 1_000_000), 5),
        (Some(1), 1),
    ] {
        assert_eq!(
            read(&mut reader, &raw(2, duration, DELTA)),
            (false, real),
            "{duration:?}"
        );
    }
}

#[test]
fn without_a_framerate_all_frames_are_real_and_evenly_spread() {
    let mut buffer = raw(2, Some(500), START);
    let read = |buffer: &gst::Buffer| RawReader::default().read(buffer, &format(), UNKNOWN).unwrap();
    assert_eq!((read(&buffer).real_frames, read(&buffer).times), (5, None));
    buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(1000));
    let times = PacketTimes {
        pts: 1000,
        duration: Some(500),
        offsets: Some(vec![100, 200, 300, 400]),
    };
    assert_eq!((read(&buffer).real_frames, read(&buffer).times), (5, Some(times)));
}

#[test]
fn bare_buffers_are_one_segment_and_warned_of_once() {
    let mut reader = RawReader::default();
    let mut warnings = 0;
    for (flags, start) in [
        (START, true),
        (START, false),
        (START, false),
        (DISCONT, true),
        (START, false),
    ] {
        assert_eq!(read(&mut reader, &raw(1, None, flags)).0, start);
        warnings += u32::from(reader.take_warning().is_some());
    }
    assert_eq!(warnings, 1);
}

#[test]
fn buffers_that_are_marked_start_segments_as_they_say() {
    let mut reader = RawReader::default();
    for flags in [START, DELTA, START, START, DELTA, DISCONT, DELTA | DISCONT] {
        assert_eq!(
            read(&mut reader, &raw(1, None, flags)).0,
            !flags.contains(DELTA),
            "{flags:?}"
        );
        assert_eq!(reader.take_warning(), None);
    }
    // Joined in the middle: the user reads why there is no picture yet.
    let mut reader = RawReader::default();
    assert!(!read(&mut reader, &raw(1, None, DELTA)).0);
    assert!(reader.take_warning().is_some_and(|text| text.contains("DELTA_UNIT")));
    assert!(!read(&mut reader, &raw(1, None, DELTA)).0);
    assert_eq!(reader.take_warning(), None);
}

#[test]
fn the_meta_counts_where_there_is_one() {
    let mut reader = RawReader::default();
    let meta = |segment_start, real_frames| TokenMeta {
        segment_start,
        real_frames,
        ..Default::default()
    };
    let buffer = with_meta(raw(2, Some(FRAME), DELTA), &meta(true, 4));
    assert_eq!(read(&mut reader, &buffer), (true, 4));
    let buffer = with_meta(raw(2, Some(FRAME), START), &meta(false, 100));
    assert_eq!(read(&mut reader, &buffer), (false, 8));
    let mut ends = |segment_end, end_of_stream| {
        let ends = TokenMeta {
            segment_end,
            end_of_stream,
            ..meta(false, 4)
        };
        let buffer = with_meta(raw(1, Some(FRAME), DELTA), &ends);
        let raw = reader.read(&buffer, &format(), FPS25).unwrap();
        (raw.segment_end, raw.end_of_stream)
    };
    assert_eq!(
        [ends(false, false), ends(true, false), ends(false, true)],
        [(false, false), (true, false), (true, true)]
    );
    let none = with_meta(raw(1, None, START), &meta(true, 0));
    let read = reader.read(&none, &format(), FPS25);
    assert!(matches!(read, Err(StreamError::Packet(_))));
}

#[test]
fn a_buffer_behind_one_with_a_meta_is_not_the_first() {
    let meta = TokenMeta {
        segment_start: true,
        real_frames: 1,
        ..Default::default()
    };
    // Whether the others have DELTA_UNIT: without it, one after the other would be a start.
    for (flags, warns) in [(DELTA, false), (START, true)] {
        let mut reader = RawReader::default();
        assert!(read(&mut reader, &with_meta(raw(1, None, START), &meta)).0);
        assert_eq!(reader.take_warning(), None);
        assert!(!read(&mut reader, &raw(1, None, flags)).0);
        assert_eq!(reader.take_warning().is_some(), warns);
    }
}

#[test]
fn each_window_is_a_segment() {
    let windows = TokenFormat {
        causal: false,
        ..format()
    };
    let mut reader = RawReader::default();
    for flags in [START, DELTA, START] {
        let raw = reader.read(&raw(4, None, flags), &windows, FPS25).unwrap();
        assert_eq!((raw.segment_start, raw.real_frames), (true, 16));
        assert_eq!(reader.take_warning(), None);
    }
}

#[test]
fn a_buffer_of_another_size_says_the_size_wanted() {
    for bytes in [0, 1, 69, 71] {
        gst::init().unwrap();
        let buffer = gst::Buffer::from_mut_slice(vec![0u8; bytes]);
        let read = RawReader::default().read(&buffer, &format(), FPS25);
        let error = read.unwrap_err().to_string();
        for part in [&format!("{bytes} bytes"), "7×5 uint16", "takes 70", "vidtokparse"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
