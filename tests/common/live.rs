//! Elements in a harness, whose upstream says that it is live.

use gst::prelude::*;
use gst_check::Harness;

use super::*;

pub const SIZE: (u32, u32) = (16, 16);
pub const SECOND: u64 = 1_000_000_000;
pub const MS: u64 = 1_000_000;
/// Frames are 1/30 s apart.
pub const FRAME: u64 = SECOND / 30;

/// `properties` are the encoder's. Its tokens are `raw`.
pub fn encoder(model: &str, properties: &str) -> Harness {
    init();
    let raw = "capsfilter caps=video/x-vidtok,stream-format=raw";
    Harness::new_parse(&format!("vidtokenc model={} {properties} ! {raw}", tokenizer(model)))
}

pub fn decoder(properties: &str) -> Harness {
    Harness::new_parse(&format!("vidtokdec model={} {properties}", tokenizer(TINY)))
}

/// Plays frames of `fps` through the harness.
pub fn play_at(h: &mut Harness, fps: i32) {
    h.set_src_caps(video_caps(SIZE.0, SIZE.1, (fps, 1)));
    h.play();
}

/// Makes upstream say that it is not live.
pub fn is_not_live(h: &Harness) {
    let pad = h.srcpad().unwrap();
    pad.add_probe(gst::PadProbeType::QUERY_UPSTREAM, |_, info| {
        if let Some(gst::QueryViewMut::Latency(query)) = info.query_mut().map(|query| query.view_mut()) {
            query.set(false, gst::ClockTime::ZERO, gst::ClockTime::NONE);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

pub fn stats(h: &mut Harness, element: &str) -> gst::Structure {
    h.find_element(element).unwrap().property("stats")
}

pub fn milliseconds(h: &mut Harness, element: &str, field: &str) -> f64 {
    stats(h, element).get(field).unwrap()
}

pub fn at(frame: &Frame, pts: u64) -> gst::Buffer {
    let mut buffer = buffer(frame, SIZE.0);
    buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(pts));
    buffer
}

/// Caps and packets of frames of `fps`.
pub fn packets(frames: u64, fps: i32) -> (gst::Caps, Vec<gst::Buffer>) {
    let line = Line::new(
        &format!("vidtokenc model={}", tokenizer(TINY)),
        &video_caps(SIZE.0, SIZE.1, (fps, 1)),
    );
    line.play();
    video(frames, SIZE.0, SIZE.1)
        .iter()
        .for_each(|f| line.push(buffer(f, SIZE.0)));
    let buffers = line.finish();
    (line.sink.static_pad("sink").unwrap().current_caps().unwrap(), buffers)
}

pub fn bus(h: &mut Harness, element: &str) -> gst::Bus {
    let bus = gst::Bus::new();
    h.find_element(element).unwrap().set_bus(Some(&bus));
    bus
}

pub fn count(bus: &gst::Bus, kind: gst::MessageType) -> u64 {
    std::iter::from_fn(|| bus.pop_filtered(&[kind])).count() as u64
}
