//! The two pipelines: from the video to a file of tokens, and from that file back to video, to compare with the
//! original.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::Result;
use crate::metrics::{psnr, ssim};
use crate::picture::Column;
use crate::pipeline::{self, Frames, Running, TICK, element};
use crate::source::Source;
use crate::writer::{Format, align_pictures, read_sound};

/// Columns of the picture.
const COLUMNS: u64 = 4;

/// Result of the first pass.
pub struct Encoding {
    pub frames: u64,
    pub latent_frames: u64,
    pub segments: u64,
    pub file_bytes: u64,
    pub shape: String,
    pub provider: String,
    pub model: String,
    pub speed: Speed,
    /// The stream time at which the last frame ends.
    pub end: Option<gst::ClockTime>,
}

/// Result of the second pass.
pub struct Comparison {
    pub frames: u64,
    /// Frames whose time differs from the original's.
    pub mistimed: u64,
    /// Duration of the frames by their times.
    pub seconds: Option<f64>,
    pub psnr: f64,
    pub ssim: f64,
    pub speed: Speed,
    pub columns: Vec<Column>,
    /// Whether the sound was kept, in words.
    pub sound: String,
}

/// Speed in frames per second.
pub enum Speed {
    /// The speed of an element's network.
    Network { fps: f64, real_time_factor: f64 },
    /// The speed of a whole pass, for a video without a frame rate: an element reports its speed only relative to real
    /// time.
    Pass { fps: f64 },
}

impl Speed {
    /// From an element's statistics and the video's frame rate or, without one, from `frames` in the time `pass`.
    fn new(stats: &gst::StructureRef, source_fps: Option<f64>, frames: u64, pass: Duration) -> Self {
        match source_fps.zip(stats.get::<f64>("real-time-factor").ok()) {
            Some((fps, real_time_factor)) => Self::Network {
                fps: fps * real_time_factor,
                real_time_factor,
            },
            None => Self::Pass {
                fps: frames as f64 / pass.as_secs_f64().max(1e-9),
            },
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { fps, real_time_factor } => {
                write!(f, "{fps:.1} frames/s, {real_time_factor:.1} × real time")
            }
            Self::Pass { fps } => write!(
                f,
                "{fps:.1} frames/s, reading and writing included (the video has no frame rate to compare with)"
            ),
        }
    }
}

/// Checks that the tokenizer has encoder and decoder, before the first pass spends time.
pub fn check_tokenizer(model: Option<&str>) -> Result<()> {
    for (half, name) in [("vidtokenc", "encoder"), ("vidtokdec", "decoder")] {
        // In a pipeline, whose bus gets the error.
        let pipeline = pipeline::launch(&format!("{half} name={name} ! fakesink"))?;
        element(&pipeline, name)?.set_property("model", model);
        Running::ready(&pipeline)?;
    }
    Ok(())
}

/// Encodes the video to a file of tokens.
pub fn encode(source: &Source, file: &Path, key_interval: u32, model: Option<&str>) -> Result<Encoding> {
    let pipeline = source.encoding("vidtokenc name=encoder ! filesink name=file")?;
    let encoder = element(&pipeline, "encoder")?;
    encoder.set_property("key-interval", key_interval);
    encoder.set_property("model", model);
    element(&pipeline, "file")?.set_property("location", file);

    let end = watch_end(&encoder)?;
    let running = Running::start(&pipeline)?;
    let mut progress = Progress::new("Encoding", source.expected_frames());
    while !running.is_over(TICK)? {
        progress.show(count(&stats(&encoder), "frames"));
    }
    let stats = stats(&encoder);
    let frames = count(&stats, "frames");
    let elapsed = progress.finish(frames);
    if frames == 0 {
        return Err("the video has no frames".into());
    }
    let end = *end.lock().map_err(|_| "the end is not known")?;
    let text = |name| stats.get::<String>(name).unwrap_or_default();
    Ok(Encoding {
        frames,
        latent_frames: count(&stats, "latent-frames"),
        segments: count(&stats, "segments"),
        file_bytes: std::fs::metadata(file)?.len(),
        shape: text("shape"),
        provider: text("provider"),
        model: text("model"),
        speed: Speed::new(&stats, source.fps(), frames, elapsed),
        end,
    })
}

/// The stream time at which the last frame ends that the element has taken.
fn watch_end(element: &gst::Element) -> Result<Arc<Mutex<Option<gst::ClockTime>>>> {
    let end = Arc::new(Mutex::new(None));
    let pad = element.static_pad("sink").ok_or("an element without a pad")?;
    let latest = end.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let of = |buffer: &gst::Buffer| {
            let event = pad.sticky_event::<gst::event::Segment>(0)?;
            let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
            Some(segment.to_stream_time(buffer.pts())? + buffer.duration().unwrap_or_default())
        };
        if let Some(time) = info.buffer().and_then(of)
            && let Ok(mut end) = latest.lock()
        {
            *end = Some(time);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(end)
}

/// Decodes the tokens, writes the video to a file, and compares it with the original.
pub fn decode(
    source: &Source,
    encoding: &Encoding,
    tokens: &Path,
    format: &Format,
    file: &Path,
    model: Option<&str>,
) -> Result<Comparison> {
    let original = source.showing("appsink name=frames sync=false max-buffers=4")?;
    let end = encoding.end.filter(|_| source.is_cut());
    let (has_sound, sound) = format.sound_of(source, end);
    // The file's sink is async=false: its first frame comes only after the comparison has taken some frames.
    let restored = pipeline::launch(&format!(
        "filesrc name=tokens ! vidtokparse ! video/x-vidtok,stream-format=raw ! tee name=raw \
         raw. ! queue ! vidtokdec name=decoder ! tee name=pictures \
         raw. ! queue ! appsink name=latent async=false sync=false \
         pictures. ! queue ! appsink name=frames sync=false max-buffers=4 \
         pictures. ! {}",
        format.elements(source, has_sound)
    ))?;
    element(&restored, "tokens")?.set_property("location", tokens);
    element(&restored, "file")?.set_property("location", file);
    align_pictures(&restored, source.start)?;
    if has_sound {
        read_sound(&restored, &source.path, end)?;
    }
    let decoder = element(&restored, "decoder")?;
    decoder.set_property("model", model);

    let originals = Frames::start(&original)?;
    let reconstructions = Frames::start(&restored)?;
    let frames = encoding.frames;
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
    let elapsed = progress.finish(compared);
    let latent = pipeline::sink(&restored, "latent")?;
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
        speed: Speed::new(&stats(&decoder), source.fps(), compared, elapsed),
        columns,
        sound,
    })
}

fn stats(element: &gst::Element) -> gst::Structure {
    element.property("stats")
}

fn count(stats: &gst::StructureRef, name: &str) -> u64 {
    stats.get(name).unwrap_or(0)
}

/// A progress line that is updated on a terminal; otherwise only its last state is printed.
struct Progress {
    what: &'static str,
    total: Option<u64>,
    started: Instant,
}

impl Progress {
    fn new(what: &'static str, total: Option<u64>) -> Self {
        Self {
            what,
            total,
            started: Instant::now(),
        }
    }

    fn show(&mut self, frames: u64) {
        if std::io::stderr().is_terminal() {
            let so_far = match self.total {
                Some(total) => format!("{frames} of {}", frames_text(total)),
                None => frames_text(frames),
            };
            eprint!("\r{} {so_far}", self.what);
            let _ = std::io::stderr().flush();
        }
    }

    /// Prints the elapsed time and returns it.
    fn finish(&self, frames: u64) -> Duration {
        let elapsed = self.started.elapsed();
        let start = if std::io::stderr().is_terminal() { "\r" } else { "" };
        eprintln!(
            "{start}{} {} took {:.1} s      ",
            self.what,
            frames_text(frames),
            elapsed.as_secs_f64()
        );
        elapsed
    }
}

fn frames_text(count: u64) -> String {
    format!("{count} frame{}", if count == 1 { "" } else { "s" })
}
