//! The video: its size, rate and length, and the pipeline that decodes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use gst::prelude::*;

use crate::Result;
use crate::passes::bus_error;

/// Decoded, upright, whole pictures.
const DECODE: &str = "filesrc name=video ! decodebin ! deinterlace ! videoconvert ! videoflip video-direction=auto";
const PREROLL_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(30);

pub struct Source {
    pub path: PathBuf,
    /// Size after scaling: what is tokenized.
    pub width: u32,
    pub height: u32,
    video: gst_video::VideoInfo,
    duration: Option<gst::ClockTime>,
    max_frames: Option<u32>,
}

impl Source {
    /// Looks at a video. `size` is the most that its shorter side may have.
    pub fn open(path: &Path, size: u32, max_frames: Option<u32>) -> Result<Self> {
        std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let pipeline = launch(&format!("{DECODE} ! video/x-raw,format=RGB ! fakesink name=sink"), path)?;
        pipeline.set_state(gst::State::Paused)?;
        let (reached, ..) = pipeline.state(PREROLL_TIMEOUT);
        let caps = pipeline
            .by_name("sink")
            .and_then(|sink| sink.static_pad("sink")?.current_caps());
        let duration = pipeline.query_duration::<gst::ClockTime>();
        let problem = bus_error(&pipeline);
        pipeline.set_state(gst::State::Null)?;
        let caps = caps.filter(|_| reached.is_ok()).ok_or_else(|| {
            let why = problem.map_or("no video was found in it".into(), |error| error.to_string());
            format!("{}: {why}", path.display())
        })?;

        let video = gst_video::VideoInfo::from_caps(&caps)?;
        let (width, height) = fit(video.width(), video.height(), size);
        Ok(Self {
            path: path.to_path_buf(),
            width,
            height,
            video,
            duration,
            max_frames,
        })
    }

    /// A pipeline of the frames to be tokenized and what takes them.
    pub fn pipeline(&self, then: &str) -> Result<gst::Pipeline> {
        let Self { width, height, .. } = self;
        let par = self.video.par();
        let (num, den) = (par.numer(), par.denom());
        let pipeline = launch(
            &format!(
                "{DECODE} ! videoscale name=scaled add-borders=false ! \
                 video/x-raw,format=RGB,width={width},height={height},pixel-aspect-ratio={num}/{den} ! {then}"
            ),
            &self.path,
        )?;
        if let Some(most) = self.max_frames {
            end_after(&pipeline, most)?;
        }
        Ok(pipeline)
    }

    /// How many frames are to be expected, as far as the file says.
    pub fn expected_frames(&self) -> Option<u64> {
        let fps = self.fps()?;
        let frames = (self.duration?.seconds_f64() * fps).round() as u64;
        Some(self.max_frames.map_or(frames, |most| frames.min(most.into())))
    }

    pub fn fps(&self) -> Option<f64> {
        let fps = self.video.fps();
        (fps.numer() > 0).then(|| f64::from(fps.numer()) / f64::from(fps.denom()))
    }

    /// Whether only the first frames are taken.
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
        if (width, height) == (self.width, self.height) {
            write!(f, ", tokenized at this size")
        } else {
            write!(f, ", scaled to {}×{} (--size changes that)", self.width, self.height)
        }
    }
}

/// Lets the stream end after `most` frames.
fn end_after(pipeline: &gst::Pipeline, most: u32) -> Result<()> {
    let pad = pipeline.by_name("scaled").and_then(|scaled| scaled.static_pad("src"));
    let seen = AtomicU32::new(0);
    pad.ok_or("no pad to count frames at")?
        .add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if seen.fetch_add(1, Ordering::Relaxed) < most {
                return gst::PadProbeReturn::Ok;
            }
            // Whoever sends frames hears that no more are wanted, and ends the stream.
            info.flow_res = Err(gst::FlowError::Eos);
            gst::PadProbeReturn::Handled
        });
    Ok(())
}

fn launch(description: &str, path: &Path) -> Result<gst::Pipeline> {
    let pipeline = gst::parse::launch(description)?.downcast::<gst::Pipeline>();
    let pipeline = pipeline.map_err(|_| "not a pipeline")?;
    pipeline
        .by_name("video")
        .ok_or("no file source")?
        .set_property("location", path);
    Ok(pipeline)
}

/// Scales a picture down, if need be, so that its shorter side is at most `size`.
fn fit(width: u32, height: u32, size: u32) -> (u32, u32) {
    let short = width.min(height).max(1);
    if short <= size {
        return (width, height);
    }
    let scale = |side: u32| (f64::from(side) * f64::from(size) / f64::from(short)).round() as u32;
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
    }
}
