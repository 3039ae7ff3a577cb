//! Makes, runs and ends pipelines, and reads their errors.

use gst::prelude::*;

use crate::Result;

/// Interval of progress and of checks for errors.
pub const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// A pipeline of a launch line.
pub fn launch(description: &str) -> Result<gst::Pipeline> {
    let pipeline = gst::parse::launch(description)?.downcast::<gst::Pipeline>();
    Ok(pipeline.map_err(|_| "not a pipeline")?)
}

pub fn element(pipeline: &gst::Pipeline, name: &str) -> Result<gst::Element> {
    Ok(pipeline
        .by_name(name)
        .ok_or_else(|| format!("the pipeline has no {name}"))?)
}

pub fn sink(pipeline: &gst::Pipeline, name: &str) -> Result<gst_app::AppSink> {
    let sink = element(pipeline, name)?.downcast::<gst_app::AppSink>();
    Ok(sink.map_err(|_| format!("{name} is not an appsink"))?)
}

/// Makes a decodebin leave streams of a kind, such as `audio`, undecoded.
pub fn leave_undecoded(decodebin: &gst::Element, kind: &'static str) {
    decodebin.connect("autoplug-continue", false, move |arguments| {
        let pad = arguments.get(1).and_then(|pad| pad.get::<gst::Pad>().ok());
        let caps = arguments.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
        // Caps that do not come from a demuxer may be those of a whole file, such as video/quicktime.
        let is_stream = pad
            .and_then(|pad| pad.parent_element())
            .is_some_and(|from| is_demuxer(&from));
        let is_meant = caps.and_then(|caps| kind_of(&caps)).as_deref() == Some(kind);
        Some((!(is_stream && is_meant)).to_value())
    });
}

fn is_demuxer(element: &gst::Element) -> bool {
    let class = element
        .factory()
        .and_then(|factory| factory.metadata("klass").map(str::to_string));
    class.is_some_and(|class| class.contains("Demux"))
}

/// The kind of stream with these caps: `video`, `audio`, `text`, …
pub fn kind_of(caps: &gst::CapsRef) -> Option<String> {
    let (kind, _) = caps.structure(0)?.name().split_once('/')?;
    Some(kind.to_string())
}

/// Discards the data of a pad in a running pipeline.
pub fn ignore(pipeline: &gst::Pipeline, pad: &gst::Pad) -> Result<()> {
    let sink = gst::ElementFactory::make("fakesink")
        .property("sync", false)
        .property("async", false)
        .build()?;
    pipeline.add(&sink)?;
    sink.sync_state_with_parent()?;
    pad.link(&sink.static_pad("sink").ok_or("a sink without a pad")?)?;
    Ok(())
}

/// A sample's stream time, which a file of tokens keeps.
pub fn stream_time(sample: &gst::Sample) -> Option<gst::ClockTime> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    segment.to_stream_time(sample.buffer()?.pts())
}

/// The text of the error that a pipeline has posted.
fn bus_error(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    Some(error_text(&message))
}

/// The text of an error message. The message may be general; then the reason is in the details, behind the source line.
pub fn error_text(message: &gst::Message) -> String {
    let gst::MessageView::Error(error) = message.view() else {
        return "unknown error".into();
    };
    let from = error.src().map(|source| source.name().to_string()).unwrap_or_default();
    let details = error.debug().unwrap_or_default();
    match details.split_once('\n') {
        Some((_, reason)) if !reason.trim().is_empty() => {
            format!("{from}: {} ({})", error.error(), reason.trim().replace('\n', ". "))
        }
        _ => format!("{from}: {}", error.error()),
    }
}

/// Decodebin's description of a missing decoder.
pub fn missing_decoder(message: &gst::Message) -> Option<String> {
    let structure = message
        .structure()
        .filter(|structure| structure.name() == "missing-plugin")?;
    structure.get::<String>("name").ok()
}

/// A running pipeline, which stops on drop.
pub struct Running<'a> {
    pipeline: &'a gst::Pipeline,
    bus: gst::Bus,
}

impl<'a> Running<'a> {
    pub fn start(pipeline: &'a gst::Pipeline) -> Result<Self> {
        Self::set(pipeline, gst::State::Playing)
    }

    /// Up to READY, where elements have loaded what they need.
    pub fn ready(pipeline: &'a gst::Pipeline) -> Result<Self> {
        Self::set(pipeline, gst::State::Ready)
    }

    /// Up to PAUSED, at the first frame.
    pub fn pause(pipeline: &'a gst::Pipeline) -> Result<Self> {
        Self::set(pipeline, gst::State::Paused)
    }

    fn set(pipeline: &'a gst::Pipeline, state: gst::State) -> Result<Self> {
        let bus = pipeline.bus().ok_or("a pipeline without a bus")?;
        let running = Self { pipeline, bus };
        if pipeline.set_state(state).is_err() {
            return Err(bus_error(pipeline)
                .unwrap_or("the pipeline does not start".into())
                .into());
        }
        Ok(running)
    }

    /// Waits up to `timeout` for the end or an error. Returns whether the pipeline has ended.
    pub fn is_over(&self, timeout: gst::ClockTime) -> Result<bool> {
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

/// The pictures at the appsink "frames" of a playing pipeline.
pub struct Frames<'a> {
    pub running: Running<'a>,
    sink: gst_app::AppSink,
}

/// An RGB picture without padding between rows.
pub struct Frame {
    pub time: Option<gst::ClockTime>,
    pub rgb: Vec<u8>,
}

impl<'a> Frames<'a> {
    pub fn start(pipeline: &'a gst::Pipeline) -> Result<Self> {
        let sink = sink(pipeline, "frames")?;
        Ok(Self {
            running: Running::start(pipeline)?,
            sink,
        })
    }

    /// The next picture; `None` at the end.
    pub fn next(&self) -> Result<Option<Frame>> {
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
