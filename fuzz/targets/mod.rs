//! What is fuzzed: functions of any bytes that must neither panic nor take long, and that check what they can. One
//! source for
//! `tests/fuzz`, which runs them on stable Rust, and for `cargo fuzz`.

mod caps;
mod checksums;
mod decoder;
mod description;
mod graph;
mod order;
mod pads;
mod parser;
mod reader;
mod timeline;

/// A surface that a stranger's bytes reach.
#[derive(Clone, Copy)]
pub struct Target {
    /// Of its folder in `fuzz/corpus`.
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
    /// Needs GStreamer.
    PARSER = parser;
    /// Needs GStreamer and ONNX Runtime.
    DECODER = decoder;
}
