//! `vidtokparse` and the typefinder, with packets that are made here without a network.

use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use gst::ClockTime;
use gst::prelude::*;
use gst_check::Harness;
use gstvidtok::caps::StreamFormat;
use gstvidtok::format::{Coding, Fraction, Regularizer, TokenFormat, TokenType};
use gstvidtok::meta;
use gstvidtok::stream::{Packet, StreamHeader, Tokens, Writer};
use player::Player;

#[path = "parse/losses.rs"]
mod losses;
#[path = "parse/player.rs"]
mod player;
#[path = "parse/push.rs"]
mod push;
#[path = "parse/seeks.rs"]
mod seeks;
#[path = "parse/times.rs"]
mod times;

/// Far longer than anything here takes.
const TIMEOUT: ClockTime = ClockTime::from_seconds(20);
const PACKETS_PER_SEGMENT: u64 = 5;
/// Duration of a video frame in nanoseconds. The first packet of a segment stands for one frame, the others for four.
const FRAME: u64 = 40_000_000;
/// Duration of a segment in nanoseconds.
const SEGMENT: u64 = (1 + (PACKETS_PER_SEGMENT - 1) * 4) * FRAME;

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstvidtok::plugin_register_static().unwrap();
    });
}

fn format(width: u32) -> TokenFormat {
    let regularizer = Regularizer::Fsq { levels: vec![8; 5] };
    TokenFormat {
        model: "toy".into(),
        digest: "0123456789abcdef".repeat(4),
        token_type: TokenType::default_for(&regularizer),
        regularizer,
        coding: Coding::default(),
        grid_width: width / 8,
        grid_height: 8,
        time_factor: 4,
        space_factor: 8,
        causal: true,
        width,
        height: 64,
        framerate: Fraction::new(25, 1),
        pixel_aspect_ratio: Fraction::new(1, 1),
        colorimetry: None,
        pixels: None,
    }
}

fn tokens(format: &TokenFormat, seed: u64) -> Tokens {
    let values = 0..format.values_per_latent_frame() as u64;
    Tokens::Indices(values.map(|i| ((i * 37 + seed * 1009) % 32768) as i32).collect())
}

/// The packets of a stream that starts at PTS 0.
fn packets(format: &TokenFormat, segments: u64) -> Vec<Packet> {
    let packet = |i: u64| {
        let (segment, at) = (i / PACKETS_PER_SEGMENT, i % PACKETS_PER_SEGMENT);
        let frames = if at == 0 { 1 } else { 4 };
        let pts = segment * SEGMENT + if at == 0 { 0 } else { (at * 4 - 3) * FRAME };
        Packet {
            segment_start: at == 0,
            end_of_stream: i == segments * PACKETS_PER_SEGMENT - 1,
            segment_end: at == PACKETS_PER_SEGMENT - 1,
            position: None,
            latent_frames: 1,
            real_frames: frames as u32,
            pts: Some(pts),
            duration: Some(frames * FRAME),
            offsets: (at == 2).then(|| vec![FRAME, 2 * FRAME + 5, 3 * FRAME]),
            payload: tokens(format, i).to_payload(format).unwrap(),
        }
    };
    (0..segments * PACKETS_PER_SEGMENT).map(packet).collect()
}

/// The bytes of each packet; the first packet of a segment has its stream header in front.
fn pieces(format: &TokenFormat, segments: u64) -> Vec<Vec<u8>> {
    let mut writer = Writer::new(format.clone(), "a-stream").unwrap();
    packets(format, segments)
        .iter()
        .map(|packet| writer.write(packet).unwrap())
        .collect()
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn pts(sample: &gst::Sample) -> u64 {
    sample.buffer().unwrap().pts().expect("a PTS").nseconds()
}

/// The PTS of packets, without those of end marks.
fn packet_times(samples: &[gst::Sample]) -> Vec<u64> {
    let packets = samples.iter().filter(|sample| !is_end_mark(sample.buffer().unwrap()));
    packets.map(pts).collect()
}

fn bytes_of(sample: &gst::Sample) -> Vec<u8> {
    sample.buffer().unwrap().map_readable().unwrap().to_vec()
}

fn flags(sample: &gst::Sample) -> gst::BufferFlags {
    sample.buffer().unwrap().flags()
}

fn is_end_mark(buffer: &gst::BufferRef) -> bool {
    let marks = gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT;
    buffer.flags().contains(marks)
}

/// Checks buffers against the packets and the pieces of the byte stream that they were made from. Pieces without a
/// packet are end marks.
fn assert_framed(buffers: &[gst::Buffer], packets: &[Packet], pieces: &[Vec<u8>]) {
    assert_eq!(buffers.len(), pieces.len());
    for (buffer, piece) in buffers.iter().zip(pieces) {
        assert!(*buffer.map_readable().unwrap() == piece[..]);
    }
    let buffers: Vec<_> = buffers.iter().filter(|buffer| !is_end_mark(buffer)).collect();
    assert_eq!(buffers.len(), packets.len());
    for (buffer, packet) in buffers.into_iter().zip(packets) {
        assert_eq!(buffer.pts().map(ClockTime::nseconds), packet.pts);
        assert_eq!(buffer.duration().map(ClockTime::nseconds), packet.duration);
        assert_eq!(buffer.flags().contains(gst::BufferFlags::HEADER), packet.segment_start);
        assert_eq!(
            buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            !packet.segment_start
        );
    }
}

fn buffers(samples: &[gst::Sample]) -> Vec<gst::Buffer> {
    samples.iter().map(|sample| sample.buffer_owned().unwrap()).collect()
}

#[test]
fn a_file_becomes_packets() {
    let format = format(64);
    let pieces = pieces(&format, 3);
    for middle in ["vidtokparse", "queue ! vidtokparse", "typefind ! queue ! vidtokparse"] {
        let samples = Player::play(&pieces.concat(), middle).samples();
        assert_framed(&buffers(&samples), &packets(&format, 3), &pieces);
        assert_eq!(samples[0].caps().unwrap(), &*format.to_caps(StreamFormat::Framed));
        let disconts = samples
            .iter()
            .filter(|sample| flags(sample).contains(gst::BufferFlags::DISCONT))
            .count();
        assert!(disconts <= 1, "{middle}: the first buffer only");
    }
}

#[test]
fn pieces_of_any_size_are_put_together() {
    init();
    let format = format(64);
    let pieces = pieces(&format, 2);
    for size in [1, 7, 100, 5000] {
        let mut harness = Harness::new("vidtokparse");
        harness.set_src_caps_str("video/x-vidtok, stream-format=framed");
        for piece in pieces.concat().chunks(size) {
            harness.push(gst::Buffer::from_slice(piece.to_vec())).unwrap();
        }
        harness.push_event(gst::event::Eos::new());
        let buffers: Vec<_> = std::iter::from_fn(|| harness.try_pull()).collect();
        assert_framed(&buffers, &packets(&format, 2), &pieces);
    }
}

#[test]
fn whole_packets_pass_with_their_own_times() {
    init();
    let format = format(64);
    let (packets, pieces) = (packets(&format, 2), pieces(&format, 2));
    let mut harness = Harness::new("vidtokparse");
    harness.set_src_caps(format.to_caps(StreamFormat::Framed));
    for (piece, packet) in pieces.iter().zip(&packets) {
        let mut buffer = gst::Buffer::from_slice(piece.clone());
        buffer
            .get_mut()
            .unwrap()
            .set_pts(packet.pts.map(ClockTime::from_nseconds));
        harness.push(buffer).unwrap();
    }
    let buffers: Vec<_> = packets.iter().map(|_| harness.pull().unwrap()).collect();
    assert_framed(&buffers, &packets, &pieces);
}

#[test]
fn raw_tokens_where_downstream_wants_them() {
    let format = format(64);
    let bytes = pieces(&format, 2).concat();
    let samples = Player::play(&bytes, "vidtokparse ! video/x-vidtok,stream-format=raw").samples();
    let packets = packets(&format, 2);
    assert_eq!(samples.len(), packets.len());
    assert_eq!(samples[0].caps().unwrap(), &*format.to_caps(StreamFormat::Raw));
    for (i, (sample, packet)) in samples.iter().zip(&packets).enumerate() {
        assert_eq!(
            Tokens::from_raw(&bytes_of(sample), &format).unwrap(),
            tokens(&format, i as u64)
        );
        let meta = meta::get(sample.buffer().unwrap()).expect("a meta");
        assert_eq!(meta.segment_start, packet.segment_start);
        assert_eq!(meta.end_of_stream, packet.end_of_stream);
        assert_eq!((meta.real_frames, &meta.offsets), (packet.real_frames, &packet.offsets));
        assert_eq!(Some(pts(sample)), packet.pts);
        assert_eq!(
            flags(sample).contains(gst::BufferFlags::DELTA_UNIT),
            !packet.segment_start
        );
    }
}

#[test]
fn damage_is_skipped_with_one_warning() {
    let format = format(64);
    let pieces = pieces(&format, 3);
    let packets = packets(&format, 3);
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        // A flipped byte in the eighth packet.
        let mut damaged = pieces.clone();
        damaged[7][60] ^= 1;
        let player = Player::play(&damaged.concat(), middle);
        let samples = player.samples();
        let (expected, left) = (
            [&packets[..7], &packets[8..]].concat(),
            [&pieces[..7], &pieces[8..]].concat(),
        );
        assert_framed(&buffers(&samples), &expected, &left);
        assert!(flags(&samples[7]).contains(gst::BufferFlags::DISCONT));
        assert!(!flags(&samples[8]).contains(gst::BufferFlags::DISCONT));
        let warnings = player.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let (bytes, at) = (pieces[7].len(), pieces[..7].concat().len());
        assert!(
            warnings[0].contains(&format!("{bytes} bytes at byte {at} ")),
            "{warnings:?}"
        );

        // More garbage between two packets than the base class would skip.
        let noise = vec![0x89; 3 << 20];
        let player = Player::play(
            &[&pieces[..7].concat()[..], &noise, &pieces[7..].concat()].concat(),
            middle,
        );
        assert_framed(&buffers(&player.samples()), &packets, &pieces);
        assert!(player.warnings()[0].contains(&noise.len().to_string()));

        // A damaged last packet is a warning, too.
        let mut damaged = pieces.clone();
        *damaged[14].last_mut().unwrap() ^= 1;
        let player = Player::play(&damaged.concat(), middle);
        assert_eq!(player.samples().len(), packets.len() - 1);
        assert_eq!(player.warnings().len(), 1);
    }
}

#[test]
fn a_segment_is_whole_without_its_own_stream_header() {
    let format = format(64);
    let mut pieces = pieces(&format, 2);
    let original = pieces.clone();
    pieces[5][20] ^= 1;
    let samples = Player::play(&pieces.concat(), "vidtokparse").samples();
    assert_framed(&buffers(&samples), &packets(&format, 2), &original);
}

#[test]
fn a_cut_tail_is_the_end() {
    let format = format(64);
    let pieces = pieces(&format, 2);
    let bytes = pieces.concat();
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let player = Player::play(&bytes[..bytes.len() - 50], middle);
        assert_framed(&buffers(&player.samples()), &packets(&format, 2)[..9], &pieces[..9]);
        let warnings = player.warnings();
        assert_eq!(warnings.len(), 1, "{middle}: {warnings:?}");
        assert!(warnings[0].contains("cut off"), "{warnings:?}");
    }
    let player = Player::pause(&bytes[..bytes.len() - 50], "vidtokparse");
    let duration = ClockTime::from_nseconds(2 * SEGMENT - 4 * FRAME);
    assert_eq!(player.pipeline.query_duration::<ClockTime>(), Some(duration));
}

#[test]
fn a_stream_joined_inside_a_segment_starts_with_the_next() {
    let format = format(64);
    let pieces = pieces(&format, 3);
    let samples = Player::play(&pieces.concat()[700..], "vidtokparse").samples();
    assert_framed(&buffers(&samples), &packets(&format, 3)[5..], &pieces[5..]);
}

#[test]
fn joined_files_follow_each_other() {
    let (first, second) = (format(64), format(128));
    let bytes = [pieces(&first, 2).concat(), pieces(&second, 2).concat()].concat();
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let samples = Player::play(&bytes, middle).samples();
        let times: Vec<u64> = packets(&first, 4).iter().map(|packet| packet.pts.unwrap()).collect();
        assert_eq!(samples.iter().map(pts).collect::<Vec<_>>(), times);
        for (samples, format) in [(&samples[..10], &first), (&samples[10..], &second)] {
            let caps = format.to_caps(StreamFormat::Framed);
            assert!(samples.iter().all(|sample| sample.caps().unwrap() == &*caps));
        }
    }
    let player = Player::pause(&bytes, "vidtokparse");
    let duration = ClockTime::from_nseconds(4 * SEGMENT);
    assert_eq!(player.pipeline.query_duration::<ClockTime>(), Some(duration));
    // Into the second file, and back.
    for segment in [3, 1, 2] {
        let (buffer, _) = player.seek(gst::SeekFlags::ACCURATE, segment * SEGMENT + FRAME);
        assert_eq!(buffer.pts(), Some(ClockTime::from_nseconds(segment * SEGMENT)));
        let format = if segment < 2 { &first } else { &second };
        let caps = player.sink.static_pad("sink").unwrap().current_caps();
        assert_eq!(caps, Some(format.to_caps(StreamFormat::Framed)));
    }
}

#[test]
fn what_is_not_a_vidtok_stream_is_an_error() {
    let newer = b"\x89VIDTOK\x02 and something that only version 2 knows".repeat(3);
    let mut huffman = StreamHeader::encode(&format(64), None, None).unwrap();
    let at = huffman.windows(6).position(|bytes| bytes == b"packed").unwrap();
    huffman[at..at + 6].copy_from_slice(b"ripped");
    let end = huffman.len() - 4;
    let crc = crc32fast::hash(&huffman[..end]);
    huffman[end..].copy_from_slice(&crc.to_le_bytes());
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        for (bytes, text, kind) in [
            (newer.clone(), "version 2", gst::StreamError::WrongType),
            (huffman.clone(), "\"ripped\"", gst::StreamError::Decode),
            (
                vec![0x47; 17 << 20],
                "not a .vidtok stream",
                gst::StreamError::WrongType,
            ),
            (b"too short to tell".to_vec(), "", gst::StreamError::WrongType),
        ] {
            let player = Player::play(&bytes, middle);
            let error = player.error();
            assert!(
                error.matches(kind) && error.message().contains(text),
                "{middle}: {error}"
            );
        }
    }
}

#[test]
fn a_short_file_of_something_else_is_named_as_that() {
    let player = Player::play(&[0x47; 200_000], "vidtokparse");
    let error = player.error();
    assert!(
        error.message().contains("not a .vidtok stream") && error.message().contains("200000 bytes"),
        "{error}"
    );
}

#[test]
fn files_are_recognized() {
    init();
    for (bytes, ours) in [(pieces(&format(64), 1).concat(), true), (vec![0x89; 4096], false)] {
        let player = Player::play(&bytes, "typefind name=typefind");
        player.message(&[gst::MessageType::AsyncDone, gst::MessageType::Error]);
        let typefind = player.pipeline.by_name("typefind").unwrap();
        let caps = typefind.property::<Option<gst::Caps>>("caps");
        let expected = gst::Caps::builder("video/x-vidtok")
            .field("stream-format", "framed")
            .build();
        assert_eq!(caps == Some(expected), ours, "{caps:?}");
    }
}

#[test]
fn the_parser_is_plugged_in_front_of_what_wants_packets() {
    let format = format(64);
    let samples = Player::play(&pieces(&format, 2).concat(), "parsebin").samples();
    assert_framed(&buffers(&samples), &packets(&format, 2), &pieces(&format, 2));
}
