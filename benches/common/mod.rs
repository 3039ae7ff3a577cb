//! Shared by the benchmarks: moving pictures, pipelines that play to their end, medians, memory.
#![allow(dead_code)] // Each benchmark uses its own part.

use std::error::Error;

use gst::prelude::*;
use gstvidtok::runtime::ExecutionProvider;
use gstvidtok::tokenizer::{self, Graph, Role, Target};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub const FPS: i32 = 30;
/// A pipeline that takes longer hangs.
const TIME_LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(1_800);

/// The graph for `role` of a tokenizer: of the embedded one without a `model`.
pub fn graph(model: Option<&str>, role: Role, target: Target) -> Result<Graph> {
    Ok(match model {
        Some(model) => tokenizer::open(model, role, target)?,
        None => tokenizer::embedded(role)?,
    })
}

/// The property `model`, if it is set, to append to an element's name in a launch line.
pub fn model_property(model: Option<&str>) -> String {
    model.map(|model| format!(" model=\"{model}\"")).unwrap_or_default()
}

/// The role that is the value of an option.
pub fn role(text: &str) -> Result<Role> {
    let role = [Role::Encoder, Role::Decoder]
        .into_iter()
        .find(|role| role.as_str() == text);
    role.ok_or_else(|| format!("--role is encoder or decoder, not {text}").into())
}

/// An execution provider by its name.
pub fn provider(name: &str) -> Result<ExecutionProvider> {
    use ExecutionProvider::{Auto, Cpu, Cuda, OpenVino, TensorRt};
    let provider = [Auto, Cpu, Cuda, OpenVino, TensorRt]
        .into_iter()
        .find(|provider| provider.name() == name);
    provider.ok_or_else(|| format!("there is no execution provider {name}").into())
}

/// A pipeline of a launch line.
pub fn pipeline(line: &str) -> Result<gst::Pipeline> {
    let pipeline = gst::parse::launch(line)?.downcast();
    Ok(pipeline.map_err(|_| "not a pipeline")?)
}

/// A pipeline from the appsrc "source" through `elements` to the fakesink "sink".
pub fn pipeline_through(elements: &str) -> Result<gst::Pipeline> {
    pipeline(&format!(
        "appsrc name=source format=time max-bytes=0 ! {elements} ! fakesink name=sink sync=false"
    ))
}

/// Calls `on_buffer` for each buffer that passes a pad.
pub fn watch(
    pipeline: &gst::Pipeline,
    element: &str,
    pad: &str,
    on_buffer: impl Fn(&gst::Pad, &gst::Buffer) + Send + Sync + 'static,
) -> Result<()> {
    let element = pipeline.by_name(element).ok_or("an element is missing")?;
    let pad = element.static_pad(pad).ok_or("a pad is missing")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer() {
            on_buffer(pad, buffer);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Fills the appsrc "source" with all buffers, so that the elements behind it never wait for input.
pub fn feed(pipeline: &gst::Pipeline, caps: &gst::Caps, buffers: impl IntoIterator<Item = gst::Buffer>) -> Result<()> {
    let source = pipeline.by_name("source").ok_or("no source")?;
    let source = source.downcast::<gst_app::AppSrc>().map_err(|_| "no appsrc")?;
    source.set_caps(Some(caps));
    for buffer in buffers {
        source.push_buffer(buffer)?;
    }
    source.end_of_stream()?;
    Ok(())
}

/// Plays a pipeline until its end.
pub fn play_to_end(pipeline: &gst::Pipeline) -> Result<()> {
    let bus = pipeline.bus().ok_or("no bus")?;
    pipeline.set_state(gst::State::Playing)?;
    let end = bus.timed_pop_filtered(TIME_LIMIT, &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null)?;
    match end.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string().into()),
        _ => Err("a pipeline did not end".into()),
    }
}

/// RGB bytes of moving waves, so that pixels and tokens change with every picture.
pub fn picture(index: usize, size: usize) -> Vec<u8> {
    let wave = |x: usize, y: usize, colour: usize| {
        let phase = (x + 3 * index) as f32 / 9.0 + (y * (colour + 1)) as f32 / 23.0;
        (127.5 + 100.0 * phase.sin()) as u8
    };
    (0..size * size)
        .flat_map(|i| [0, 1, 2].map(|colour| wave(i % size, i / size, colour)))
        .collect()
}

/// Caps of square RGB pictures.
pub fn video_caps(size: u32) -> Result<gst::Caps> {
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, size, size).fps(FPS);
    Ok(info.build()?.to_caps()?)
}

/// A buffer with picture number `index`. Rows have no padding, so the width must be a multiple of 4.
pub fn buffer(picture: &[u8], index: usize) -> gst::Buffer {
    timed(gst::Buffer::from_slice(picture.to_vec()), index)
}

/// `buffer` with the times of picture number `index`.
pub fn timed(mut buffer: gst::Buffer, index: usize) -> gst::Buffer {
    let frame = gst::ClockTime::SECOND / FPS as u64;
    let buffer_mut = buffer.make_mut();
    buffer_mut.set_pts(frame * index as u64);
    buffer_mut.set_duration(frame);
    buffer
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value of a line in /proc/self/status in kB; 0 if the system has no such file.
pub fn memory_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
