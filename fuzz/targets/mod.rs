//! The fuzz targets: functions that take any bytes, must neither panic nor take long, and check their results.
//! `tests/fuzz` runs them on stable Rust, `fuzz_targets` with `cargo fuzz`.

mod caps;
mod checksums;
mod decoder;
mod description;
mod graph;
mod order;
mod pads;
mod parser;
mod reader;
mod rtp;
mod timeline;

/// Code that untrusted bytes reach.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of its folder in `fuzz/corpus`.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident = $module:ident;)*) => {$(
        $(#[$doc])*
        pub const $name: Target = Target { name: stringify!($module), run: $module::run };
    )*};
}

targets! {
    READER = reader;
    TIMELINE = timeline;
    CAPS = caps;
    DESCRIPTION = description;
    GRAPH = graph;
    RTP = rtp;
    /// Needs GStreamer.
    PARSER = parser;
    /// Needs GStreamer and ONNX Runtime.
    DECODER = decoder;
}
