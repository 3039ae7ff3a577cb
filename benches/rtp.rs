//! RTP: `cargo bench --bench rtp`. What payloading and depayloading cost beside the network's steps, per packet and per
//! latent frame. With `-- --streams 64 --decoded 16`: whether one process receives so many streams in real time.
//!
//! Options after `--`: `--size N` (pixels, default 256; 64 with streams), `--frames N` (400), `--repeats N` (15),
//! `--seconds N` (20; with streams). `ORT_DYLIB_PATH` names ONNX Runtime.

mod common;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{FPS, Result, buffer, feed, median, picture, pipeline, pipeline_through, play_to_end};
use common::{timed, video_caps, watch};
use gst::prelude::*;
use gstvidtok::format::TokenFormat;
use gstvidtok::runtime;
use gstvidtok::stream::{Packet, Tokens, Writer};

/// The first stream's port on loopback.
const FIRST_PORT: u16 = 17_000;
/// Latent frames whose packets are timed: many, as each takes microseconds.
const UNITS: usize = 3_000;
/// Packets come one by one behind `identity`, and not as lists, as from a network.
const PAYLOADER: &str = "rtpvidtokpay ! identity";
/// How long receivers may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(2);

struct Arguments {
    size: Option<u32>,
    frames: usize,
    repeats: usize,
    streams: usize,
    decoded: usize,
    seconds: usize,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            size: None,
            frames: 400,
            repeats: 15,
            streams: 0,
            decoded: 0,
            seconds: 20,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                // Cargo's own.
                "--bench" => (),
                "--size" => arguments.size = Some(value()?.parse()?),
                "--frames" => arguments.frames = value()?.parse()?,
                "--repeats" => arguments.repeats = value()?.parse()?,
                "--streams" => arguments.streams = value()?.parse()?,
                "--decoded" => arguments.decoded = value()?.parse()?,
                "--seconds" => arguments.seconds = value()?.parse()?,
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(arguments)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    gst::init()?;
    gstvidtok::plugin_register_static()?;
    runtime::load()?;
    if arguments.streams > 0 {
        streams(&arguments)
    } else {
        cost(&arguments)
    }
}

/// Caps and buffers of what an element puts out.
type Recorded = (gst::Caps, Vec<gst::Buffer>);

fn record(element: &str, caps: &gst::Caps, buffers: &[gst::Buffer]) -> Result<Recorded> {
    let recorded = Arc::new(Mutex::new((None, Vec::new())));
    let recorder = recorded.clone();
    let pipeline = pipeline_through(element)?;
    watch(&pipeline, "sink", "sink", move |pad, buffer| {
        let mut recorder = recorder.lock().unwrap();
        recorder.0 = pad.current_caps();
        recorder.1.push(buffer.clone());
    })?;
    feed(&pipeline, caps, buffers.iter().cloned())?;
    play_to_end(&pipeline)?;
    let (caps, buffers) = std::mem::take(&mut *recorded.lock().unwrap());
    Ok((caps.ok_or("the element has no output")?, buffers))
}

fn pictures(size: u32, frames: usize) -> Result<Recorded> {
    let some: Vec<_> = (0..frames.min(60)).map(|index| picture(index, size as usize)).collect();
    let buffers = (0..frames).map(|index| buffer(&some[index % some.len()], index));
    Ok((video_caps(size)?, buffers.collect()))
}

/// Seconds from start to end of a pipeline with these elements.
fn play(elements: &str, (caps, buffers): &Recorded) -> Result<f64> {
    let pipeline = pipeline_through(elements)?;
    feed(&pipeline, caps, buffers.iter().cloned())?;
    let started = Instant::now();
    play_to_end(&pipeline)?;
    Ok(started.elapsed().as_secs_f64())
}

/// Packets of random tokens that the caps allow, in segments of 30 latent frames.
fn made_up(caps: &gst::Caps, count: usize) -> Result<Recorded> {
    let (format, _) = TokenFormat::from_caps(caps)?;
    let codes = format.regularizer.codebook_size().ok_or("not FSQ")?;
    let mut writer = Writer::new(format.clone(), "random")?;
    let mut random = 1u32;
    let mut packet = |index: usize| -> Result<gst::Buffer> {
        let segment_start = index.is_multiple_of(30);
        let indices = (0..format.values_per_latent_frame()).map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as i32 % codes as i32
        });
        let packet = Packet {
            segment_start,
            latent_frames: 1,
            real_frames: format.frames_of(1, segment_start) as u32,
            payload: Tokens::Indices(indices.collect()).to_payload(&format)?,
            ..Packet::default()
        };
        let frame = 4 * index;
        Ok(timed(gst::Buffer::from_slice(writer.write(&packet)?), frame))
    };
    let buffers = (0..count).map(&mut packet).collect::<Result<_>>()?;
    Ok((caps.clone(), buffers))
}

fn cost(arguments: &Arguments) -> Result<()> {
    let size = arguments.size.unwrap_or(256);
    let video = pictures(size, arguments.frames)?;
    let tokens = record("vidtokenc", &video.0, &video.1)?;
    let many = made_up(&tokens.0, UNITS)?;
    let packets = record(PAYLOADER, &many.0, &many.1)?;
    let count = packets.1.len();
    println!(
        "{size}×{size}, {UNITS} latent frames, {count} packets, {} turns",
        arguments.repeats
    );
    // Tokens and packets through elements that do nothing, and through ours. The steps are of fewer latent frames.
    let lines = [
        ("identity", &many),
        ("rtpvidtokpay", &many),
        ("identity", &packets),
        ("rtpvidtokdepay", &packets),
        ("vidtokenc", &video),
        ("vidtokdec", &tokens),
    ];
    let mut turns = vec![Vec::new(); lines.len()];
    // The first turn warms up.
    for turn in 0..=arguments.repeats {
        for ((elements, input), times) in lines.iter().zip(&mut turns) {
            let seconds = play(elements, input)?;
            if turn > 0 {
                times.push(seconds);
            }
        }
    }
    let medians: Vec<f64> = turns.into_iter().map(median).collect();
    let (pay, depay) = (medians[1] - medians[0], medians[3] - medians[2]);
    let steps = (medians[4] + medians[5]) / tokens.1.len() as f64;
    for (name, seconds) in [("payload", pay), ("depayload", depay), ("both", pay + depay)] {
        let of_unit = seconds / UNITS as f64;
        println!(
            "{name:10} {:7.2} µs per packet, {:7.2} µs per latent frame, {:.2}% of encoding and decoding",
            seconds * 1e6 / count as f64,
            of_unit * 1e6,
            of_unit / steps * 100.0
        );
    }
    println!("encoding and decoding: {:.2} ms per latent frame", steps * 1e3);
    Ok(())
}

fn streams(arguments: &Arguments) -> Result<()> {
    let (size, count) = (arguments.size.unwrap_or(64), arguments.streams);
    let video = pictures(size, arguments.seconds * FPS as usize)?;
    let tokens = record("vidtokenc key-interval=30", &video.0, &video.1)?;
    let (mut caps, packets) = record(PAYLOADER, &tokens.0, &tokens.1)?;
    // Text that a launch line can have.
    caps.make_mut()
        .structure_mut(0)
        .ok_or("no caps")?
        .remove_fields(["a-framerate"]);
    let branches = (0..count).map(|stream| {
        let decoder = if stream < arguments.decoded {
            "vidtokdec threads=1 !"
        } else {
            ""
        };
        format!(
            "udpsrc port={} caps=\"{}\" ! rtpjitterbuffer latency=200 ! rtpvidtokdepay name=depay{stream} ! {decoder} \
             fakesink name=sink{stream} sync=false async=false ",
            FIRST_PORT + stream as u16,
            caps.to_string().replace('"', "\\\"")
        )
    });
    let receiver = pipeline(&branches.collect::<String>())?;
    let shown = Arc::new(AtomicU64::new(0));
    for stream in 0..arguments.decoded {
        let shown = shown.clone();
        watch(&receiver, &format!("sink{stream}"), "sink", move |_, _| {
            shown.fetch_add(1, Ordering::Relaxed);
        })?;
    }
    receiver.set_state(gst::State::Playing)?;
    std::thread::sleep(PATIENCE);
    let (before, started) = (processor_seconds(), Instant::now());
    send(&packets, count)?;
    std::thread::sleep(PATIENCE);
    let (busy, passed) = (processor_seconds() - before, started.elapsed().as_secs_f64());
    let mut lacking = 0;
    for stream in 0..count {
        let depay = receiver
            .by_name(&format!("depay{stream}"))
            .ok_or("a depayloader is missing")?;
        let stats = depay.property::<gst::Structure>("stats");
        let concealed: u64 = stats.get("concealed-cells")?;
        let received: u64 = stats.get("packets")?;
        lacking += packets.len() as u64 - received.min(packets.len() as u64) + concealed;
    }
    receiver.set_state(gst::State::Null)?;
    let frames = arguments.decoded as u64 * video.1.len() as u64;
    let shown = shown.load(Ordering::Relaxed);
    println!(
        "{count} streams of {size}×{size} at {FPS} fps, {} decoded, {} packets each: {lacking} packets and cells lacking, \
         {shown} of {frames} frames shown, {:.2} processors busy",
        arguments.decoded,
        packets.len(),
        busy / passed
    );
    // What no later packet pushes out waits for the end of the stream, which UDP does not tell.
    let waiting = arguments.decoded as u64 * 4;
    if lacking > 0 || shown + waiting < frames {
        return Err("not all that was sent came out".into());
    }
    Ok(())
}

/// Sends all packets to each stream's port, each at its time.
fn send(packets: &[gst::Buffer], streams: usize) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let started = Instant::now();
    for packet in packets {
        let due = Duration::from(packet.pts().ok_or("a packet has no time")?);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        let data = packet.map_readable()?;
        for stream in 0..streams {
            socket.send_to(&data, ("127.0.0.1", FIRST_PORT + stream as u16))?;
        }
    }
    Ok(())
}

/// Processor time of this process, in seconds.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // Ticks of a hundredth, for user and system.
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
