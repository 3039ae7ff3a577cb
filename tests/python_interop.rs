//! The Python package `vidtok_stream` reads what the Rust writer writes, and the Rust reader what Python writes.
//!
//! Runs `$VIDTOK_PYTHON`, or `python3`; it needs NumPy.

use std::path::{Path, PathBuf};
use std::process::Command;

use gstvidtok::format::{Coding, Fraction, Regularizer, TokenFormat, TokenType};
use gstvidtok::stream::{Event, Hole, OnLoss, Packet, Reader, Tokens, Writer};
use gstvidtok::timeline::{FrameTime, PacketTimes, frames_to_time};
use serde_json::{Value, json};

#[path = "python_interop/loss.rs"]
mod loss;

/// A format of 37×20 pixels, in an odd grid of 5×3 cells.
fn format(regularizer: Regularizer, framerate: Fraction) -> TokenFormat {
    TokenFormat {
        model: "für \"Tests\"".into(),
        digest: "0123456789abcdef".repeat(4),
        token_type: TokenType::default_for(&regularizer),
        regularizer,
        coding: Coding::default(),
        grid_width: 5,
        grid_height: 3,
        time_factor: 4,
        space_factor: 8,
        causal: true,
        width: 37,
        height: 20,
        framerate,
        pixel_aspect_ratio: Fraction::new(16, 15),
        colorimetry: Some("bt709".into()),
        pixels: Some("yuv=swscale:bt709:limited".into()),
    }
}

fn fsq(levels: &[u32]) -> Regularizer {
    Regularizer::Fsq {
        levels: levels.to_vec(),
    }
}

/// Tokens that go through the whole range, the largest value included.
fn tokens(format: &TokenFormat, latent_frames: u32, seed: usize) -> Tokens {
    let count = format.values_per_latent_frame() * latent_frames as usize;
    match format.regularizer.codebook_size() {
        Some(size) => Tokens::Indices(
            (0..count)
                .map(|i| {
                    if i % 7 == seed % 7 {
                        size as i32 - 1
                    } else {
                        ((i * 7919 + seed * 104_729) % size as usize) as i32
                    }
                })
                .collect(),
        ),
        // Eighths: float16 holds them.
        None => Tokens::Floats(
            (0..count)
                .map(|i| ((i * 31 + seed) % 512) as f32 / 8.0 - 32.0)
                .collect(),
        ),
    }
}

/// A packet and its tokens.
struct Part {
    tokens: Tokens,
    packet: Packet,
}

fn part(format: &TokenFormat, latent_frames: u32, seed: usize, packet: Packet) -> Part {
    let tokens = tokens(format, latent_frames, seed);
    let payload = tokens.to_payload(format).unwrap();
    Part {
        tokens,
        packet: Packet {
            latent_frames,
            payload,
            ..packet
        },
    }
}

/// Frames of a causal stream in packets of one latent frame, in segments of `segment` packets; the last has a tail.
fn causal(format: &TokenFormat, packets: usize, segment: usize, time: impl Fn(u64) -> FrameTime) -> Vec<Part> {
    let mut shown = 0;
    let pack = |i: usize| {
        let segment_start = i.is_multiple_of(segment);
        let last = i == packets - 1;
        let real_frames = match (segment_start, last) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => u64::from(format.time_factor),
        };
        let frames: Vec<FrameTime> = (shown..shown + real_frames).map(&time).collect();
        shown += real_frames;
        let times = PacketTimes::of(&frames, format.framerate);
        let packet = Packet {
            segment_start,
            end_of_stream: last,
            segment_end: last || (i + 1).is_multiple_of(segment),
            real_frames: real_frames as u32,
            pts: Some(times.pts),
            duration: times.duration,
            offsets: times.offsets,
            ..Packet::default()
        };
        part(format, 1, i, packet)
    };
    (0..packets).map(pack).collect()
}

fn on_grid(framerate: Fraction, from: u64) -> impl Fn(u64) -> FrameTime {
    let time = move |frame| frames_to_time(from + frame, framerate).unwrap();
    move |frame| FrameTime {
        pts: time(frame),
        duration: Some(time(frame + 1) - time(frame)),
    }
}

/// A stream and its packets.
struct Case {
    name: String,
    format: TokenFormat,
    parts: Vec<Part>,
}

/// Writes a file for each case, runs Python on them, and compares what it read and wrote.
fn check(cases: &[Case]) {
    let root = tempfile::tempdir().unwrap();
    let folder = |case: usize| root.path().join(case.to_string());
    let files: Vec<Vec<u8>> = cases.iter().map(write).collect();
    for (i, file) in files.iter().enumerate() {
        std::fs::create_dir(folder(i)).unwrap();
        std::fs::write(folder(i).join("rust.vidtok"), file).unwrap();
    }
    run_python((0..cases.len()).map(folder));

    for (i, (case, file)) in cases.iter().zip(&files).enumerate() {
        let name = &case.name;
        let read: Value = serde_json::from_slice(&std::fs::read(folder(i).join("read.json")).unwrap()).unwrap();
        for (key, value) in expected(case, file) {
            assert_eq!(read[key], value, "{name}: {key}");
        }
        let packets: Vec<Packet> = case.parts.iter().map(|part| part.packet.clone()).collect();
        for copy in ["packets.vidtok", "stream.vidtok"] {
            let bytes = std::fs::read(folder(i).join(copy)).unwrap();
            assert_eq!(read_packets(&bytes, &case.format), packets, "{name}: {copy}");
            assert!(
                &bytes == file,
                "{name}: {copy} reads the same, but not all of its bytes are"
            );
        }
    }
}

fn write(case: &Case) -> Vec<u8> {
    let mut writer = Writer::new(case.format.clone(), "interop").unwrap();
    let packets = case.parts.iter().map(|part| writer.write(&part.packet).unwrap());
    let mut bytes: Vec<u8> = packets.flatten().collect();
    bytes.extend(writer.end().unwrap());
    bytes
}

fn run_python(folders: impl Iterator<Item = PathBuf>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var("VIDTOK_PYTHON").unwrap_or_else(|_| "python3".into());
    let done = Command::new(&python)
        .arg(root.join("tests/python/interop.py"))
        .args(folders)
        .env("PYTHONPATH", root.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|e| panic!("{python} does not run ({e}); set VIDTOK_PYTHON to a Python with NumPy"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{python} (VIDTOK_PYTHON; needs NumPy): {said}");
}

/// The packets of a stream that has nothing but packets of `format`.
fn read_packets(bytes: &[u8], format: &TokenFormat) -> Vec<Packet> {
    let mut reader = Reader::new();
    reader.push(bytes);
    reader.finish();
    let mut packets = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Header(header) => assert_eq!(&header.format, format),
            // The writer has counted the positions.
            Event::Packet(packet) => packets.push(Packet {
                position: None,
                ..packet
            }),
            Event::End(_) => (),
            other => panic!("{other:?}"),
        }
    }
    packets
}

/// What Python must say of the file.
fn expected(case: &Case, file: &[u8]) -> Vec<(&'static str, Value)> {
    let Case { format, parts, .. } = case;
    let json_bytes = u32::from_le_bytes(file[8..12].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[12..12 + json_bytes]).unwrap();
    let mut shape = vec![0, format.grid_height, format.grid_width];
    if let Regularizer::Kl { channels } = format.regularizer {
        shape.push(channels);
    }
    let dtype = match format.regularizer.codebook_size() {
        Some(_) => TokenType::default_for(&format.regularizer),
        None => format.token_type,
    };
    let (mut token_bytes, mut real_frames) = (String::new(), Vec::new());
    let (mut pts, mut durations) = (Vec::new(), Vec::new());
    let (mut segment_starts, mut packet_starts) = (Vec::new(), Vec::new());
    for Part { tokens, packet } in parts {
        token_bytes += &match tokens {
            Tokens::Indices(values) => hex(values.iter().flat_map(|v| v.to_le_bytes())),
            Tokens::Floats(values) => hex(values.iter().flat_map(|v| v.to_le_bytes())),
        };
        packet_starts.push(shape[0]);
        if packet.segment_start {
            segment_starts.push(shape[0]);
        }
        shape[0] += packet.latent_frames;
        let mut left = packet.real_frames;
        for k in 0..packet.latent_frames {
            let alone = format.causal && packet.segment_start && k == 0;
            let frames = left.min(if alone { 1 } else { format.time_factor });
            real_frames.push(frames);
            left -= frames;
        }
        for (start, duration) in frame_times(packet, format) {
            pts.push(start);
            durations.push(duration);
        }
    }
    vec![
        ("header", header),
        ("dtype", json!(dtype.as_str())),
        ("shape", json!(shape)),
        ("tokens", json!(token_bytes)),
        ("real-frames", json!(real_frames)),
        ("pts", json!(pts)),
        ("durations", json!(durations)),
        ("segment-starts", json!(segment_starts)),
        ("packet-starts", json!(packet_starts)),
        ("gaps", json!([])),
        ("skipped-bytes", json!(0)),
        ("cut-bytes", json!(0)),
        ("ended", json!(true)),
    ]
}

/// PTS and duration of each frame, -1 where not known.
fn frame_times(packet: &Packet, format: &TokenFormat) -> Vec<(i64, i64)> {
    let real = packet.real_frames as usize;
    let Some(pts) = packet.pts else {
        return vec![(-1, -1); real];
    };
    let times = PacketTimes {
        pts,
        duration: packet.duration,
        offsets: packet.offsets.clone(),
    };
    match times.frames(real, format.framerate) {
        Some(frames) => frames
            .iter()
            .map(|frame| (frame.pts as i64, frame.duration.map_or(-1, |d| d as i64)))
            .collect(),
        None => (0..real).map(|i| (if i == 0 { pts as i64 } else { -1 }, -1)).collect(),
    }
}

fn hex(bytes: impl Iterator<Item = u8>) -> String {
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn indices_of_any_width() {
    let framerate = Fraction::new(30, 1);
    let levels = [
        &[8; 4][..],
        &[8; 5],
        &[8; 6],
        &[5],
        &[2],
        &[8, 8, 8, 8, 8, 8, 64],
        &[7, 5, 5],
    ];
    let cases = levels.map(|levels| {
        let format = format(fsq(levels), framerate);
        let parts = causal(&format, 7, 3, on_grid(framerate, 0));
        assert!(parts.iter().all(|part| part.packet.offsets.is_none()));
        let name = format!("levels {levels:?}");
        Case { name, format, parts }
    });
    check(&cases);
}

#[test]
fn floats_of_both_sizes() {
    let framerate = Fraction::new(24, 1);
    let cases = [TokenType::Float16, TokenType::Float32].map(|token_type| {
        let format = TokenFormat {
            token_type,
            ..format(Regularizer::Kl { channels: 4 }, framerate)
        };
        let parts = causal(&format, 5, 2, on_grid(framerate, 0));
        let name = token_type.as_str().into();
        Case { name, format, parts }
    });
    check(&cases);
}

#[test]
fn times_on_the_grid_of_any_framerate_and_off_it() {
    let mut cases = Vec::new();
    for (num, den) in [
        (30, 1),
        (30_000, 1001),
        (24_000, 1001),
        (60, 1),
        (1, 3),
        (i32::MAX as u32, 7),
    ] {
        let framerate = Fraction::new(num, den);
        let format = format(fsq(&[8; 5]), framerate);
        let mut case = |name: String, parts: Vec<Part>| {
            let format = format.clone();
            cases.push(Case { name, format, parts });
        };
        for from in [0, 1, 1_000_001] {
            let time = on_grid(framerate, from);
            let parts = causal(&format, 7, 4, &time);
            assert!(parts.iter().all(|part| part.packet.offsets.is_none()));
            case(format!("{framerate} from {from}"), parts);
            let late = |frame| FrameTime {
                pts: time(frame).pts + 5,
                ..time(frame)
            };
            case(format!("{framerate} from {from}, late"), causal(&format, 7, 4, late));
        }
        let irregular = |frame| FrameTime {
            pts: frame * frame * 1_000_003,
            duration: Some((2 * frame + 1) * 1_000_003),
        };
        let parts = causal(&format, 7, 4, irregular);
        assert!(parts.iter().any(|part| part.packet.offsets.is_some()));
        case(format!("{framerate}, irregular"), parts);
    }
    check(&cases);
}

#[test]
fn times_without_a_framerate_and_unknown_ones() {
    let format = format(fsq(&[8; 5]), Fraction::new(0, 1));
    let times = [
        (Some(0), Some(100), None),
        (Some(1000), Some(101), None),
        (Some(2000), None, None),
        (None, None, None),
        (Some(1 << 61), Some(1 << 61), Some(vec![5, 5, 1 << 61])),
        (Some(3000), None, Some(vec![1, 2, 3])),
    ];
    let packet = |(i, (pts, duration, offsets))| {
        let packet = Packet {
            segment_start: i == 0,
            segment_end: i == 5,
            end_of_stream: i == 5,
            real_frames: if i == 0 { 1 } else { 4 },
            pts,
            duration,
            offsets,
            ..Packet::default()
        };
        part(&format, 1, i, packet)
    };
    let parts = times.into_iter().enumerate().map(packet).collect();
    let name = "no framerate".into();
    check(&[Case { name, format, parts }]);
}

#[test]
fn packets_of_several_latent_frames() {
    let framerate = Fraction::new(25, 1);
    let format = TokenFormat {
        causal: false,
        token_type: TokenType::Uint32,
        colorimetry: None,
        pixels: None,
        ..format(fsq(&[8; 5]), framerate)
    };
    let time = on_grid(framerate, 0);
    // Windows of 16 frames, the third with 6 real ones; then one of another length.
    let window = |(i, (latent_frames, real_frames))| {
        let frames: Vec<FrameTime> = (0..u64::from(real_frames)).map(|k| time(i as u64 * 16 + k)).collect();
        let times = PacketTimes::of(&frames, framerate);
        let packet = Packet {
            segment_start: true,
            segment_end: true,
            end_of_stream: i == 3,
            real_frames,
            pts: Some(times.pts),
            duration: times.duration,
            offsets: times.offsets,
            ..Packet::default()
        };
        part(&format, latent_frames, i, packet)
    };
    let parts = [(4, 16), (4, 16), (4, 6), (2, 8)]
        .into_iter()
        .enumerate()
        .map(window)
        .collect();
    let name = "windows".into();
    check(&[Case { name, format, parts }]);
}
