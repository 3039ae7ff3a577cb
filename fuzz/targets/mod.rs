//! What is fuzzed: functions of any bytes that must neither panic nor take long, and that check what they can. One source for
//! `tests/fuzz`, which runs them on stable Rust, and for `cargo fuzz`.

mod caps;
mod checksums;
mod decoder;
mod description;
mod graph;
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

/// Those of pure logic.
pub const READER: Target = Target {
    name: "reader",
    run: reader::run,
};
pub const TIMELINE: Target = Target {
    name: "timeline",
    run: timeline::run,
};
pub const CAPS: Target = Target {
    name: "caps",
    run: caps::run,
};
pub const DESCRIPTION: Target = Target {
    name: "description",
    run: description::run,
};
pub const GRAPH: Target = Target {
    name: "graph",
    run: graph::run,
};
/// Those that need GStreamer, and the decoder ONNX Runtime.
pub const PARSER: Target = Target {
    name: "parser",
    run: parser::run,
};
pub const DECODER: Target = Target {
    name: "decoder",
    run: decoder::run,
};
