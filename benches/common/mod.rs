//! What the benchmarks share: moving pictures, a pipeline played to its end, medians, memory.

use std::error::Error;

use gst::prelude::*;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub const FPS: i32 = 30;
/// No pipeline takes longer, or something hangs.
const TIME_LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(1_800);

/// A causal segment's first step stands for one frame.
pub fn frames_of(steps: usize, description: &gstvidtok::tokenizer::Description) -> usize {
    let step_frames = description.grouping().step_frames();
    if description.causal {
        1 + (steps - 1) * step_frames
    } else {
        steps * step_frames
    }
}

/// The property `model`, if there is one, behind an element's name in a launch line.
pub fn model_property(model: Option<&str>) -> String {
    model.map(|model| format!(" model=\"{model}\"")).unwrap_or_default()
}

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

/// Waves that move, so that neither network nor tokens are at rest.
pub fn picture(index: usize, size: usize) -> Vec<u8> {
    let wave = |x: usize, y: usize, colour: usize| {
        let phase = (x + 3 * index) as f32 / 9.0 + (y * (colour + 1)) as f32 / 23.0;
        (127.5 + 100.0 * phase.sin()) as u8
    };
    (0..size * size)
        .flat_map(|i| [0, 1, 2].map(|colour| wave(i % size, i / size, colour)))
        .collect()
}

/// An RGB picture of a width that needs no padding, at its time.
pub fn buffer(picture: &[u8], index: usize) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(picture.to_vec());
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

/// Memory of this process in kB, by its name in /proc/self/status; 0 where the system does not say.
pub fn memory_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
