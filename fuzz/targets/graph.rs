//! Any bytes as an ONNX file: reading the metadata and the names of other files, and putting weights in.

use std::collections::HashMap;

use gstvidtok::tokenizer::{Description, read_onnx, with_weights};

/// Far more bytes than an input has.
const MAX_BYTES: u64 = 1 << 20;

pub fn run(input: &[u8]) {
    let Ok(model) = read_onnx(input) else { return };
    let _ = Description::read(|key| model.metadata.get(&format!("vidtok.{key}")).cloned());
    for file in &model.files {
        assert!(
            !file.is_empty() && !file.contains(['/', '\0']) && file != "." && file != "..",
            "{file:?}"
        );
    }
    // The input also serves as the weights.
    let files: HashMap<String, Vec<u8>> = model.files.iter().map(|name| (name.clone(), input.to_vec())).collect();
    let Ok(whole) = with_weights(input, &files, MAX_BYTES) else {
        return;
    };
    let again = read_onnx(&whole).expect("a graph that was read, with its weights");
    assert!(again.files.is_empty());
    assert_eq!(again.metadata, model.metadata);
}
