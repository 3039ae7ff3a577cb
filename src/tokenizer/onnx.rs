//! The metadata of an ONNX file, read without ONNX Runtime: role and description are checked before anything is run.

use std::collections::HashMap;

use prost::Message;

/// The few fields of ONNX's `ModelProto` (onnx.proto) that are read here.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    /// The graph, as bytes: only its presence matters.
    #[prost(bytes = "bytes", optional, tag = "7")]
    graph: Option<prost::bytes::Bytes>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The metadata entries of an ONNX model; `None` where `bytes` is not an ONNX model.
pub fn metadata(bytes: prost::bytes::Bytes) -> Option<HashMap<String, String>> {
    let model = Model::decode(bytes).ok()?;
    if model.ir_version == 0 || model.graph.is_none() {
        return None;
    }
    Some(
        model
            .metadata_props
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_and_other_files_are_told_apart() {
        let entry = |k: &str, v: &str| Entry {
            key: k.into(),
            value: v.into(),
        };
        let model = Model {
            ir_version: 8,
            graph: Some(prost::bytes::Bytes::from_static(b"graph")),
            metadata_props: vec![entry("vidtok.role", "encoder")],
        };
        let bytes = model.encode_to_vec();
        assert_eq!(metadata(bytes.clone().into()).unwrap()["vidtok.role"], "encoder");
        assert_eq!(metadata(bytes[..bytes.len() - 3].to_vec().into()), None);
        assert_eq!(metadata("not an ONNX file".into()), None);
        assert_eq!(metadata(Vec::new().into()), None);
    }
}
