//! What the element tests share: fixtures, made-up video, harnesses, and pipelines with a time limit.
#![allow(dead_code)] // Each test binary uses its own part.

pub mod live;
pub mod pictures;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use gst_check::Harness;
use gstvidtok::runtime::{EncoderNetwork, RuntimeError};
use gstvidtok::stream::Tokens;

/// No pipeline of a test may take longer: a hang is a failure.
pub const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// A 4×8×8 FSQ tokenizer with a look-ahead decoder (family causal_v1_1), with the reference's results beside it.
pub const GOLDEN: &str = "golden_fsq_v1_1";
/// Another tokenizer of the same family, narrower and faster.
pub const TINY: &str = "tiny_v1_1";

/// Registers the elements once per process, as tests of one binary may run beside each other.
pub fn init() {
    static REGISTERED: std::sync::Once = std::sync::Once::new();
    REGISTERED.call_once(|| {
        gst::init().unwrap();
        gstvidtok::plugin_register_static().unwrap();
    });
}

/// Registers the elements to run with the ONNX Runtime in the folder that `variable` names, instead of the usual one.
/// Returns false where such tests are switched off. Works once per process: all tests of a binary need the same folder.
pub fn init_with_runtime(variable: &str) -> bool {
    static CHOSEN: std::sync::Once = std::sync::Once::new();
    if std::env::var_os("VIDTOK_WITHOUT_PROVIDERS").is_some() {
        eprintln!("left out: VIDTOK_WITHOUT_PROVIDERS is set");
        return false;
    }
    CHOSEN.call_once(|| {
        let library = std::env::var_os(variable).unwrap_or_else(|| panic!("tests/run.sh sets {variable}"));
        // SAFETY: no other thread of this process reads the environment yet: other tests wait for `CHOSEN`.
        unsafe { std::env::set_var("ORT_DYLIB_PATH", library) };
        init();
    });
    true
}

/// The folder of a tokenizer that `tests/run.sh` makes.
pub fn tokenizer(name: &str) -> String {
    let folder = std::env::var_os("VIDTOK_FIXTURES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/fixtures"));
    let path = folder.join(name);
    assert!(
        path.is_dir(),
        "{} is not there: run tests/run.sh, which makes it",
        path.display()
    );
    path.to_str().unwrap().into()
}

/// A step of a network on pictures, whatever numbers it takes.
pub fn encode(network: &mut EncoderNetwork, rgb: &[u8]) -> Result<Tokens, RuntimeError> {
    let mut buffer = Vec::new();
    network.encode(network.input().bytes_of(rgb, &mut buffer))
}

/// A frame of video: RGB without row padding, and its PTS in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub pts: u64,
    pub rgb: Vec<u8>,
}

/// Moving gratings at 30 frames per second. No two frames are alike.
pub fn video(frames: u64, width: u32, height: u32) -> Vec<Frame> {
    let picture = |t: u64| {
        let pixel = |i: u32| {
            let (x, y) = (u64::from(i % width), u64::from(i / width));
            [
                (x * 5 + t * 7) as u8,
                (y * 9 + t * 3) as u8,
                ((x + y) * 4 + t * 11) as u8,
            ]
        };
        (0..width * height).flat_map(pixel).collect()
    };
    (0..frames)
        .map(|t| Frame {
            pts: t * 1_000_000_000 / 30,
            rgb: picture(t),
        })
        .collect()
}

pub fn video_caps(width: u32, height: u32, fps: (i32, i32)) -> gst::Caps {
    gst_video::VideoCapsBuilder::new()
        .format(gst_video::VideoFormat::Rgb)
        .width(width as i32)
        .height(height as i32)
        .framerate(gst::Fraction::new(fps.0, fps.1))
        .build()
}

/// `frame` as a buffer, its rows padded to 4 bytes as GStreamer wants.
pub fn buffer(frame: &Frame, width: u32) -> gst::Buffer {
    let row = width as usize * 3;
    let rows = frame
        .rgb
        .chunks_exact(row)
        .flat_map(|r| r.iter().copied().chain(vec![0xee; row.next_multiple_of(4) - row]));
    let mut buffer = gst::Buffer::from_mut_slice(rows.collect::<Vec<u8>>());
    buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(frame.pts));
    buffer
}

/// The picture of a buffer, without row padding.
pub fn frame(buffer: &gst::BufferRef, width: u32) -> Frame {
    let map = buffer.map_readable().unwrap();
    let row = width as usize * 3;
    let rgb = map
        .chunks_exact(row.next_multiple_of(4))
        .flat_map(|r| r[..row].iter().copied())
        .collect();
    Frame {
        pts: buffer.pts().unwrap().nseconds(),
        rgb,
    }
}

/// `appsrc ! DESCRIPTION ! appsink`.
pub struct Line {
    pub pipeline: gst::Pipeline,
    pub source: gst_app::AppSrc,
    pub sink: gst_app::AppSink,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Line {
    pub fn new(description: &str, caps: &gst::Caps) -> Self {
        let (pipeline, sink) = with_sink(&format!("appsrc name=source format=time ! {description}"));
        let source = pipeline
            .by_name("source")
            .unwrap()
            .downcast::<gst_app::AppSrc>()
            .unwrap();
        source.set_caps(Some(caps));
        source.set_max_bytes(1 << 30);
        let warnings = Arc::<Mutex<Vec<String>>>::default();
        let seen = warnings.clone();
        // In a handler, as waiting for an error on the bus discards all other messages.
        pipeline.bus().unwrap().set_sync_handler(move |_, message| {
            if let gst::MessageView::Warning(warning) = message.view() {
                seen.lock().unwrap().push(warning.error().to_string());
            }
            gst::BusSyncReply::Pass
        });
        Self {
            pipeline,
            source,
            sink,
            warnings,
        }
    }

    pub fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    pub fn push(&self, buffer: gst::Buffer) {
        self.source.push_buffer(buffer).unwrap();
    }

    /// Ends the stream; returns every buffer that came out, and fails on an error or after [`LIMIT`].
    pub fn finish(&self) -> Vec<gst::Buffer> {
        self.source.end_of_stream().unwrap();
        let mut out = Vec::new();
        while let Some(sample) = self.sink.try_pull_sample(LIMIT) {
            out.push(sample.buffer_owned().unwrap());
        }
        if let Some(error) = self.error(gst::ClockTime::ZERO) {
            panic!("{error}");
        }
        assert!(self.sink.is_eos(), "no end of stream within {LIMIT}");
        out
    }

    /// The text of the first error message within `timeout`.
    pub fn error(&self, timeout: gst::ClockTime) -> Option<String> {
        let (bus, errors) = (self.pipeline.bus().unwrap(), [gst::MessageType::Error]);
        let message = bus
            .pop_filtered(&errors)
            .or_else(|| bus.timed_pop_filtered(timeout, &errors))?;
        let gst::MessageView::Error(error) = message.view() else {
            return None;
        };
        // What an application shows. The place in the code is in the debug text.
        Some(error.error().to_string())
    }

    /// The texts of all warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap().clone()
    }

    /// The token format of the sink's caps.
    pub fn sink_format(&self) -> gstvidtok::format::TokenFormat {
        let caps = self.sink.static_pad("sink").unwrap().current_caps().unwrap();
        gstvidtok::format::TokenFormat::from_caps(&caps).unwrap().0
    }

    pub fn stats(&self, element: &str) -> gst::Structure {
        self.pipeline.by_name(element).unwrap().property("stats")
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// A line with its own source after its end, and the buffers that came out.
pub struct Played {
    pub pipeline: gst::Pipeline,
    pub buffers: Vec<gst::Buffer>,
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// `DESCRIPTION ! appsink`, and its sink.
pub fn with_sink(description: &str) -> (gst::Pipeline, gst_app::AppSink) {
    let text = format!("{description} ! appsink name=sink sync=false");
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline
        .by_name("sink")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    (pipeline, sink)
}

/// Plays `DESCRIPTION ! appsink` to its end.
pub fn play(description: &str) -> Played {
    let (pipeline, sink) = with_sink(description);
    pipeline.set_state(gst::State::Playing).unwrap();
    let buffers = std::iter::from_fn(|| sink.try_pull_sample(LIMIT)).map(|sample| sample.buffer_owned().unwrap());
    let played = Played {
        buffers: buffers.collect(),
        pipeline,
    };
    let errors = [gst::MessageType::Error];
    let error = played.pipeline.bus().unwrap().pop_filtered(&errors);
    assert!(error.is_none() && sink.is_eos(), "{description}: {error:?}");
    played
}

/// Waits for the end of a line that ends in a file, and stops it.
pub fn wait_for_end(pipeline: &gst::Pipeline) {
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(LIMIT, &ends);
    let _ = pipeline.set_state(gst::State::Null);
    assert_eq!(
        message.as_ref().map(|m| m.type_()),
        Some(gst::MessageType::Eos),
        "{message:?}"
    );
}

/// All buffers that come out of `DESCRIPTION` for `frames`.
pub fn run(description: &str, frames: &[Frame], width: u32, height: u32, fps: (i32, i32)) -> Vec<gst::Buffer> {
    let line = Line::new(description, &video_caps(width, height, fps));
    line.play();
    frames.iter().for_each(|f| line.push(buffer(f, width)));
    line.finish()
}

/// The bytes of all buffers.
pub fn bytes(buffers: &[gst::Buffer]) -> Vec<Vec<u8>> {
    buffers.iter().map(|b| b.map_readable().unwrap().to_vec()).collect()
}

/// Runs `appsrc ! DESCRIPTION`, which ends in a file, on `frames` at 30 frames per second.
pub fn write(description: &str, frames: &[Frame], width: u32, height: u32) {
    let line = format!("appsrc name=source format=time ! {description}");
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("source").unwrap();
    let source = source.downcast::<gst_app::AppSrc>().unwrap();
    source.set_caps(Some(&video_caps(width, height, (30, 1))));
    pipeline.set_state(gst::State::Playing).unwrap();
    for frame in frames {
        source.push_buffer(buffer(frame, width)).unwrap();
    }
    source.end_of_stream().unwrap();
    wait_for_end(&pipeline);
}

/// A playing harness around `description`, with `caps` in front.
pub fn harness(description: &str, caps: gst::Caps) -> Harness {
    let mut harness = Harness::new_parse(description);
    harness.set_src_caps(caps);
    harness.play();
    harness
}

/// Pushes frames that are `width` pixels wide.
pub fn push(harness: &mut Harness, frames: &[Frame], width: u32) {
    for frame in frames {
        harness.push(buffer(frame, width)).unwrap();
    }
}

/// The buffers that have come out of a harness.
pub fn pull(harness: &mut Harness) -> Vec<gst::Buffer> {
    std::iter::from_fn(|| harness.try_pull()).collect()
}

/// Flushes what is in a harness. A segment event has to follow.
pub fn flush(harness: &mut Harness) {
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
}

/// A playback segment in time that is played from its start on.
pub fn whole_segment() -> gst::Event {
    gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())
}

/// A moment, in which other threads can run.
pub fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
