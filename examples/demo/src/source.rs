//! The video: its size, frame rate, duration and sound, and the pipeline that decodes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::Result;
use crate::pipeline::{self, element, error_text, missing_decoder};

/// Elements for progressive pictures. videoconvert only passes on the formats that vidtokenc takes itself.
const PROGRESSIVE: &str = "deinterlace name=pictures ! videoconvert";
/// Elements for upright pictures as a player shows them.
const SHOWN: &str = "deinterlace name=pictures ! videoconvert ! videoflip video-direction=auto";
const PREROLL_TIMEOUT: Duration = Duration::from_secs(30);
/// The minimum width and height: muxers refuse smaller pictures, and their SSIM is meaningless.
pub const SMALLEST: u32 = 16;
/// Name of the message that all streams of the file are known.
const ALL_STREAMS: &str = "all-streams";

pub struct Source {
    pub path: PathBuf,
    /// Width after scaling, in pixels, as `height`.
    pub width: u32,
    pub height: u32,
    /// The stream time at which the file starts to play.
    pub start: gst::ClockTime,
    pub sound: Sound,
    video: gst_video::VideoInfo,
    duration: Option<gst::ClockTime>,
    max_frames: Option<u32>,
}

/// Whether the file has sound that can be decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum Sound {
    None,
    Decoded,
    /// Holds GStreamer's description of the missing decoder.
    WithoutDecoder(String),
}

/// Kinds of streams in a file.
#[derive(Default)]
struct Streams {
    video: bool,
    audio: bool,
}

impl Source {
    /// Opens a video. `size`: maximum of its shorter side in pixels. `max_frames`: take only the first frames.
    pub fn open(path: &Path, size: u32, max_frames: Option<u32>) -> Result<Self> {
        let of_this = |why: String| format!("{}: {why}", path.display());
        let kind = std::fs::metadata(path).map_err(|error| of_this(error.to_string()))?;
        if kind.is_dir() {
            return Err(of_this("this is a folder; name a video in it".into()).into());
        }
        if !kind.is_file() {
            return Err(of_this("this is not a regular file; it is read several times".into()).into());
        }
        std::fs::File::open(path).map_err(|error| of_this(error.to_string()))?;

        let pipeline = launch(&format!("{SHOWN} ! video/x-raw,format=RGB ! fakesink name=sink"), path)?;
        let bus = pipeline.bus().ok_or("a pipeline without a bus")?;
        let streams = element(&pipeline, "streams")?;
        let all = bus.downgrade();
        streams.connect_no_more_pads(move |_| {
            if let Some(bus) = all.upgrade() {
                let message = gst::message::Application::new(gst::Structure::new_empty(ALL_STREAMS));
                let _ = bus.post(message);
            }
        });
        let running = pipeline::Running::pause(&pipeline).map_err(|error| of_this(error.to_string()))?;
        let missing = preroll(&bus, &streams).map_err(&of_this)?;
        let pad = element(&pipeline, "sink")?
            .static_pad("sink")
            .ok_or("a sink without a pad")?;
        let caps = pad
            .current_caps()
            .ok_or_else(|| of_this("no frame of it can be decoded".into()))?;
        let video = gst_video::VideoInfo::from_caps(&caps)?;
        if video.width().min(video.height()) < SMALLEST {
            return Err(of_this(format!(
                "its pictures are {}×{}, and the demo takes none below {SMALLEST}×{SMALLEST}, as the file of the \
                 reconstruction cannot have them: enlarge it first, or use vidtokenc itself, which takes any size",
                video.width(),
                video.height()
            ))
            .into());
        }
        let (width, height) = fit(video.width(), video.height(), size);
        let duration = pipeline.query_duration::<gst::ClockTime>();
        let sound = match missing {
            _ if found(&streams).audio => Sound::Decoded,
            Some(decoder) => Sound::WithoutDecoder(decoder),
            None => Sound::None,
        };
        let start = playback_start(&pad);
        drop(running);
        Ok(Self {
            path: path.to_path_buf(),
            width,
            height,
            start,
            sound,
            video,
            duration,
            max_frames,
        })
    }

    /// A pipeline that decodes the frames for the element "encoder", with which `then` begins. It converts, turns and
    /// scales them.
    pub fn encoding(&self, then: &str) -> Result<gst::Pipeline> {
        let pipeline = self.decoding(&format!("{PROGRESSIVE} ! {then}"), "encoder", "sink")?;
        if self.is_scaled() {
            let encoder = element(&pipeline, "encoder")?;
            encoder.set_property("size", format!("{}x{}", self.width, self.height));
            encoder.set_property_from_str("fit", "stretch");
        }
        Ok(pipeline)
    }

    /// A pipeline that decodes the frames for the elements `then`, in RGB as a player shows them, of the same size.
    pub fn showing(&self, then: &str) -> Result<gst::Pipeline> {
        let Self { width, height, .. } = self;
        let par = self.video.par();
        let (num, den) = (par.numer(), par.denom());
        let elements = format!(
            "{SHOWN} ! videoscale name=scaled method=bilinear2 add-borders=false ! \
             video/x-raw,format=RGB,width={width},height={height},pixel-aspect-ratio={num}/{den} ! {then}"
        );
        self.decoding(&elements, "scaled", "src")
    }

    /// A pipeline of the video without its sound. Where it is cut, its frames are counted at a pad of an element.
    fn decoding(&self, elements: &str, counted: &str, pad: &str) -> Result<gst::Pipeline> {
        let pipeline = launch(elements, &self.path)?;
        pipeline::leave_undecoded(&element(&pipeline, "streams")?, "audio");
        if let Some(max) = self.max_frames {
            let pad = element(&pipeline, counted)?.static_pad(pad);
            end_after(&pad.ok_or("no pad to count frames at")?, max);
        }
        Ok(pipeline)
    }

    fn is_scaled(&self) -> bool {
        (self.video.width(), self.video.height()) != (self.width, self.height)
    }

    /// The expected number of frames, if the file has a frame rate and a duration.
    pub fn expected_frames(&self) -> Option<u64> {
        let fps = self.fps()?;
        let frames = (self.duration?.seconds_f64() * fps).round() as u64;
        Some(self.max_frames.map_or(frames, |max| frames.min(max.into())))
    }

    pub fn fps(&self) -> Option<f64> {
        let fps = self.video.fps();
        (fps.numer() > 0).then(|| f64::from(fps.numer()) / f64::from(fps.denom()))
    }

    pub fn has_even_sides(&self) -> bool {
        self.width.is_multiple_of(2) && self.height.is_multiple_of(2)
    }

    /// Whether only the first frames are used.
    pub fn is_cut(&self) -> bool {
        self.max_frames.is_some()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = (self.video.width(), self.video.height());
        write!(f, "{}: {width}×{height}", self.path.display())?;
        match self.fps() {
            Some(fps) => write!(f, ", {} frames/s", (fps * 1e3).round() / 1e3)?,
            None => write!(f, ", no fixed frame rate")?,
        }
        if self.is_scaled() {
            write!(f, ", scaled to {}×{} (--size changes that)", self.width, self.height)
        } else {
            write!(f, ", tokenized at this size")
        }
    }
}

/// Waits until all streams are known and the first frame is decoded. Returns a decoder that is missing for a stream.
fn preroll(bus: &gst::Bus, streams: &gst::Element) -> std::result::Result<Option<String>, String> {
    let (mut known, mut shown, mut missing) = (false, false, None::<String>);
    let end = Instant::now() + PREROLL_TIMEOUT;
    while !(known && shown) {
        let left = end.saturating_duration_since(Instant::now());
        let left = gst::ClockTime::try_from(left).unwrap_or_default();
        let Some(message) = bus.timed_pop(left) else {
            return Err("its first frame does not come".into());
        };
        match message.view() {
            gst::MessageView::Error(_) => {
                return Err(match missing {
                    Some(decoder) => lacks_decoder(&decoder),
                    None => error_text(&message),
                });
            }
            gst::MessageView::AsyncDone(_) => shown = true,
            gst::MessageView::Element(_) => missing = missing_decoder(&message).or(missing),
            gst::MessageView::Application(sent) if sent.structure().is_some_and(|s| s.name() == ALL_STREAMS) => {
                known = true;
                let found = found(streams);
                if !found.video {
                    return Err(match missing {
                        Some(decoder) => lacks_decoder(&decoder),
                        None if found.audio => "this is sound only, and no video".into(),
                        None => "no video was found in it".into(),
                    });
                }
            }
            _ => {}
        }
    }
    Ok(missing)
}

fn lacks_decoder(decoder: &str) -> String {
    format!("GStreamer has no {decoder} here: install the plugins that have it (on Debian gstreamer1.0-libav has most)")
}

/// The kinds of streams that are decoded.
fn found(streams: &gst::Element) -> Streams {
    let mut found = Streams::default();
    for pad in streams.src_pads() {
        match kind(&pad).as_deref() {
            Some("video") => found.video = true,
            Some("audio") => found.audio = true,
            _ => {}
        }
    }
    found
}

/// The kind of stream on a pad: `video`, `audio`, `text`, …
pub fn kind(pad: &gst::Pad) -> Option<String> {
    pipeline::kind_of(&pad.current_caps().unwrap_or_else(|| pad.query_caps(None)))
}

/// The stream time at which running time is 0.
fn playback_start(pad: &gst::Pad) -> gst::ClockTime {
    let segment = pad.sticky_event::<gst::event::Segment>(0).and_then(|event| {
        let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
        segment.time()?.checked_sub(segment.base()?)
    });
    segment.unwrap_or_default()
}

/// Ends the stream after `max` frames at a pad.
fn end_after(pad: &gst::Pad, max: u32) {
    let seen = AtomicU32::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if seen.fetch_add(1, Ordering::Relaxed) < max {
            return gst::PadProbeReturn::Ok;
        }
        // On this result, the source of the frames ends the stream.
        info.flow_res = Err(gst::FlowError::Eos);
        gst::PadProbeReturn::Handled
    });
}

/// A pipeline that decodes a file. The first video stream goes to the elements `then`, which begin with "pictures".
fn launch(then: &str, path: &Path) -> Result<gst::Pipeline> {
    let description = format!("filesrc name=video ! decodebin name=streams  {then}");
    let pipeline = pipeline::launch(&description)?;
    element(&pipeline, "video")?.set_property("location", path);
    let pictures = element(&pipeline, "pictures")?
        .static_pad("sink")
        .ok_or("no pad for pictures")?;
    let within = pipeline.downgrade();
    element(&pipeline, "streams")?.connect_pad_added(move |_, pad| {
        let Some(pipeline) = within.upgrade() else { return };
        let wanted = kind(pad).as_deref() == Some("video") && !pictures.is_linked();
        if !(wanted && pad.link(&pictures).is_ok()) {
            let _ = pipeline::ignore(&pipeline, pad);
        }
    });
    Ok(pipeline)
}

/// The size of a picture after scaling down, so that its shorter side has at most `size` pixels. The other side is even
/// then: see `Format::elements`.
fn fit(width: u32, height: u32, size: u32) -> (u32, u32) {
    let short = width.min(height).max(1);
    if short <= size {
        return (width, height);
    }
    let scale = |side: u32| {
        if side == short {
            return size;
        }
        2 * (f64::from(side) * f64::from(size) / f64::from(short) / 2.0).round() as u32
    };
    (scale(width), scale(height))
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn large_pictures_are_scaled_down_and_others_left_alone() {
        assert_eq!(fit(1920, 1080, 360), (640, 360));
        assert_eq!(fit(1080, 1920, 360), (360, 640));
        assert_eq!(fit(321, 241, 360), (321, 241));
        // The longer side would be 640.5, 640.5 and 241.5 pixels. Only the shorter side may be odd, as asked for.
        assert_eq!(fit(854, 480, 360), (640, 360));
        assert_eq!(fit(480, 854, 360), (360, 640));
        assert_eq!(fit(485, 484, 241), (242, 241));
        assert_eq!(fit(500, 500, 241), (241, 241));
    }
}
