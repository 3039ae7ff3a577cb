//! The tokenizer inside the plugin, so that nothing need be downloaded. Its card: `models/vidtok-small-488-32768`.

pub const DESCRIPTION: &str = include_str!("../../models/vidtok-small-488-32768/tokenizer.json");
pub const ENCODER: &[u8] = include_bytes!("../../models/vidtok-small-488-32768/encoder.onnx");
pub const DECODER: &[u8] = include_bytes!("../../models/vidtok-small-488-32768/decoder.onnx");
