//! The tokenizer inside the plugin, which works without a download. `models/vidtok-small-488-32768` describes it.

pub const DESCRIPTION: &str = include_str!("../../models/vidtok-small-488-32768/tokenizer.json");
pub const ENCODER: &[u8] = include_bytes!("../../models/vidtok-small-488-32768/encoder.onnx");
pub const DECODER: &[u8] = include_bytes!("../../models/vidtok-small-488-32768/decoder.onnx");
