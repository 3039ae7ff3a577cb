//! The two pipelines: the video to a file of tokens, and that file back to video, beside the original.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use gst::prelude::*;

use crate::Result;
use crate::metrics::{psnr, ssim};
use crate::picture::Column;
use crate::source::Source;

/// How often progress is shown and errors are looked for.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(200);
/// Moments in the picture.
const COLUMNS: u64 = 4;
/// Formats for the reconstruction, best first: extension, the element without which it cannot be written, pipeline.
const WRITERS: [(&str, &str, &str); 3] = [
    (
        "mp4",
        "x264enc",
        "x264enc pass=qual quantizer=16 speed-preset=fast ! h264parse ! mp4mux",
    ),
    (
        "webm",
        "vp8enc",
        "vp8enc deadline=1 cpu-used=4 target-bitrate=8000000 ! webmmux",
    ),
    ("avi", "jpegenc", "jpegenc quality=95 ! avimux"),
];

/// What the first pass made.
pub struct Encoding {
    pub frames: u64,
    pub latent_frames: u64,
    pub segments: u64,
    pub file_bytes: u64,
    pub shape: String,
    pub provider: String,
    pub model: String,
    pub speed: Speed,
}

/// What the second pass made and measured.
pub struct Comparison {
    pub frames: u64,
    /// Frames whose time differs from the original's.
    pub mistimed: u64,
    /// What the frames last, by their times.
    pub seconds: Option<f64>,
    pub psnr: f64,
    pub ssim: f64,
    pub speed: Speed,
    pub columns: Vec<Column>,
    pub file: PathBuf,
}

/// Of an element's network; unknown where the video has no frame rate.
pub struct Speed {
    fps: Option<f64>,
    real_time_factor: Option<f64>,
}

impl Speed {
    fn new(stats: &gst::StructureRef, fps: Option<f64>) -> Self {
        let real_time_factor = stats.get("real-time-factor").ok();
        let fps = fps.zip(real_time_factor).map(|(fps, factor)| fps * factor);
        Self { fps, real_time_factor }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.fps, self.real_time_factor) {
            (Some(fps), Some(factor)) => write!(f, "{fps:.1} frames/s, {factor:.1} × real time"),
            _ => write!(f, "not known: the video has no frame rate"),
        }
    }
}

/// Turns the video into a file of tokens.
pub fn encode(source: &Source, file: &Path, key_interval: u32, model: Option<&str>) -> Result<Encoding> {
    let pipeline = source.pipeline("vidtokenc name=encoder ! filesink name=file")?;
    let encoder = element(&pipeline, "encoder")?;
    encoder.set_property("key-interval", key_interval);
    encoder.set_property("model", model);
    element(&pipeline, "file")?.set_property("location", file);

    let running = Running::start(&pipeline)?;
    let mut progress = Progress::new("Encoding", source.expected_frames());
    while !running.is_over(TICK)? {
        progress.show(count(&stats(&encoder), "frames"));
    }
    let stats = stats(&encoder);
    let frames = count(&stats, "frames");
    progress.finish(frames);
    if frames == 0 {
        return Err("the video has no frames".into());
    }
    let text = |name| stats.get::<String>(name).unwrap_or_default();
    Ok(Encoding {
        frames,
        latent_frames: count(&stats, "latent-frames"),
        segments: count(&stats, "segments"),
        file_bytes: std::fs::metadata(file)?.len(),
        shape: text("shape"),
        provider: text("provider"),
        model: text("model"),
        speed: Speed::new(&stats, source.fps()),
    })
}

/// Turns the tokens back into video, writes it to `folder`, and compares it with the original.
pub fn decode(source: &Source, file: &Path, folder: &Path, frames: u64, model: Option<&str>) -> Result<Comparison> {
    let (extension, _, writer) = WRITERS
        .iter()
        .find(|(_, element, _)| gst::ElementFactory::find(element).is_some())
        .ok_or("no video encoder: install gstreamer1.0-plugins-ugly or gstreamer1.0-plugins-good")?;
    let video = folder.join("reconstruction").with_extension(extension);
    let original = source.pipeline("appsink name=frames sync=false max-buffers=4")?;
    // The file does not wait for a first frame before it plays: it comes after the comparison has taken some.
    let restored = gst::parse::launch(&format!(
        "filesrc name=tokens ! vidtokparse ! video/x-vidtok,stream-format=raw ! tee name=raw \
         raw. ! queue ! vidtokdec name=decoder ! tee name=pictures \
         raw. ! queue ! appsink name=latent async=false sync=false \
         pictures. ! queue ! appsink name=frames sync=false max-buffers=4 \
         pictures. ! queue ! videoconvert ! {writer} ! filesink name=file async=false"
    ))?;
    let restored = restored.downcast::<gst::Pipeline>().map_err(|_| "not a pipeline")?;
    element(&restored, "tokens")?.set_property("location", file);
    element(&restored, "file")?.set_property("location", &video);
    let decoder = element(&restored, "decoder")?;
    decoder.set_property("model", model);

    let originals = Frames::start(&original)?;
    let reconstructions = Frames::start(&restored)?;
    let moments: Vec<u64> = (0..COLUMNS).map(|i| (2 * i + 1) * frames / (2 * COLUMNS)).collect();
    let mut progress = Progress::new("Decoding", Some(frames));
    let mut times: Vec<gst::ClockTime> = Vec::new();
    let (mut mistimed, mut psnrs, mut ssims, mut columns) = (0, 0.0, 0.0, Vec::new());
    while let (Some(before), Some(after)) = (originals.next()?, reconstructions.next()?) {
        let index = times.len() as u64;
        let time = before.time.ok_or("a frame of the video has no time")?;
        mistimed += u64::from(after.time != Some(time));
        psnrs += psnr(&before.rgb, &after.rgb);
        ssims += ssim(&before.rgb, &after.rgb, source.width as usize);
        times.push(time);
        if moments.contains(&index) {
            columns.push(Column::new(time, before.rgb, after.rgb));
        }
        progress.show(index + 1);
    }
    let compared = times.len() as u64;
    let rest = std::iter::from_fn(|| reconstructions.next().transpose()).collect::<Result<Vec<_>>>()?;
    progress.finish(compared);
    let latent = sink(&restored, "latent")?;
    while let Some(sample) = latent.try_pull_sample(TICK) {
        columns.iter_mut().try_for_each(|column| column.look_at(&sample))?;
    }
    while !reconstructions.running.is_over(TICK)? {}

    let mean = |sum: f64| sum / compared.max(1) as f64;
    let spread = times
        .last()
        .zip(times.first())
        .and_then(|(last, first)| last.checked_sub(*first));
    let seconds = spread
        .filter(|_| compared > 1)
        .map(|t| t.seconds_f64() * compared as f64 / (compared - 1) as f64);
    Ok(Comparison {
        frames: compared + rest.len() as u64,
        mistimed,
        seconds: seconds.or(source.fps().map(|fps| compared as f64 / fps)),
        psnr: mean(psnrs),
        ssim: mean(ssims),
        speed: Speed::new(&stats(&decoder), source.fps()),
        columns,
        file: video,
    })
}

/// The error that a pipeline has posted, with what an element has to say about it.
pub fn bus_error(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    Some(error_text(&message))
}

fn error_text(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => {
            let from = error.src().map(|source| source.name().to_string()).unwrap_or_default();
            format!("{from}: {}", error.error())
        }
        _ => "unknown error".into(),
    }
}

/// A sample's place in its stream: what a file of tokens keeps of times.
pub fn stream_time(sample: &gst::Sample) -> Option<gst::ClockTime> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    segment.to_stream_time(sample.buffer()?.pts())
}

fn element(pipeline: &gst::Pipeline, name: &str) -> Result<gst::Element> {
    Ok(pipeline
        .by_name(name)
        .ok_or_else(|| format!("the pipeline has no {name}"))?)
}

fn sink(pipeline: &gst::Pipeline, name: &str) -> Result<gst_app::AppSink> {
    let sink = element(pipeline, name)?.downcast::<gst_app::AppSink>();
    Ok(sink.map_err(|_| format!("{name} is not an appsink"))?)
}

fn stats(element: &gst::Element) -> gst::Structure {
    element.property("stats")
}

fn count(stats: &gst::StructureRef, name: &str) -> u64 {
    stats.get(name).unwrap_or(0)
}

/// A pipeline that plays, and stops when this is dropped.
struct Running<'a> {
    pipeline: &'a gst::Pipeline,
    bus: gst::Bus,
}

impl<'a> Running<'a> {
    fn start(pipeline: &'a gst::Pipeline) -> Result<Self> {
        let bus = pipeline.bus().ok_or("a pipeline without a bus")?;
        if pipeline.set_state(gst::State::Playing).is_err() {
            let error = bus_error(pipeline).unwrap_or("the pipeline does not start".into());
            let _ = pipeline.set_state(gst::State::Null);
            return Err(error.into());
        }
        Ok(Self { pipeline, bus })
    }

    /// Waits for the end or an error, but not longer than `timeout`.
    fn is_over(&self, timeout: gst::ClockTime) -> Result<bool> {
        let message = self
            .bus
            .timed_pop_filtered(timeout, &[gst::MessageType::Eos, gst::MessageType::Error]);
        match message {
            None => Ok(false),
            Some(message) if message.type_() == gst::MessageType::Eos => Ok(true),
            Some(message) => Err(error_text(&message).into()),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The pictures that arrive at a playing pipeline's appsink "frames".
struct Frames<'a> {
    running: Running<'a>,
    sink: gst_app::AppSink,
}

/// RGB without padding between rows.
struct Frame {
    time: Option<gst::ClockTime>,
    rgb: Vec<u8>,
}

impl<'a> Frames<'a> {
    fn start(pipeline: &'a gst::Pipeline) -> Result<Self> {
        let sink = sink(pipeline, "frames")?;
        Ok(Self {
            running: Running::start(pipeline)?,
            sink,
        })
    }

    /// The next picture; `None` at the end.
    fn next(&self) -> Result<Option<Frame>> {
        let sample = loop {
            if let Some(sample) = self.sink.try_pull_sample(TICK) {
                break sample;
            }
            if self.sink.is_eos() {
                return Ok(None);
            }
            if let Some(error) = bus_error(self.running.pipeline) {
                return Err(error.into());
            }
        };
        let video = gst_video::VideoInfo::from_caps(sample.caps().ok_or("a frame without caps")?)?;
        let buffer = sample.buffer().ok_or("a sample without a frame")?;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &video)?;
        let row = video.width() as usize * 3;
        let rows = frame
            .plane_data(0)?
            .chunks(video.stride()[0] as usize)
            .take(video.height() as usize);
        Ok(Some(Frame {
            time: stream_time(&sample),
            rgb: rows.flat_map(|padded| &padded[..row]).copied().collect(),
        }))
    }
}

/// A line on the terminal that is written over; elsewhere only its last state.
struct Progress {
    what: &'static str,
    total: Option<u64>,
    started: std::time::Instant,
}

impl Progress {
    fn new(what: &'static str, total: Option<u64>) -> Self {
        Self {
            what,
            total,
            started: std::time::Instant::now(),
        }
    }

    fn show(&mut self, frames: u64) {
        if std::io::stderr().is_terminal() {
            let of = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
            eprint!("\r{} {frames}{of} frames", self.what);
            let _ = std::io::stderr().flush();
        }
    }

    fn finish(&self, frames: u64) {
        let start = if std::io::stderr().is_terminal() { "\r" } else { "" };
        eprintln!(
            "{start}{} {frames} frames took {:.1} s      ",
            self.what,
            self.started.elapsed().as_secs_f64()
        );
    }
}
