//! The property `precision`: which of a tokenizer's graphs runs.

mod common;

use std::path::Path;

use common::*;
use gst::prelude::*;
use gstvidtok::tokenizer::{self, Precision, Role, Target, VariantChoice};

/// The error of an element with this description on its way to READY.
fn error(description: &str) -> Option<String> {
    init();
    let bin = gst::parse::bin_from_description(description, false).unwrap();
    let bus = gst::Bus::new();
    bin.set_bus(Some(&bus));
    let ready = bin.set_state(gst::State::Ready);
    let message = bus.pop_filtered(&[gst::MessageType::Error]);
    bin.set_state(gst::State::Null).unwrap();
    assert_eq!(ready.is_err(), message.is_some());
    message.map(|message| match message.view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        _ => unreachable!("filtered"),
    })
}

#[test]
fn a_precision_that_is_not_there_is_an_error_that_says_how_to_make_it() {
    let said = error(&format!("vidtokenc model={} precision=fp16", tokenizer(TINY))).expect("no such graph");
    assert!(said.contains("--precision fp16"), "{said}");
    let file = format!("{}/encoder.onnx", tokenizer(TINY));
    let said = error(&format!("vidtokenc model={file} precision=fp16")).expect("a graph in fp32");
    assert!(said.contains("is in fp32") && said.contains(&file), "{said}");
    let said = error("vidtokenc precision=fp16").expect("the embedded tokenizer is in fp32");
    assert!(said.contains("is in fp32"), "{said}");
    assert_eq!(error("vidtokenc precision=fp32"), None);
    assert_eq!(
        error(&format!("vidtokenc model={} precision=fp32", tokenizer(TINY))),
        None
    );
}

/// A tokenizer folder that lists graphs in half precision, too. The graphs' own metadata say `says`.
fn with_a_second_precision(says: &str) -> tempfile::TempDir {
    let (from, folder) = (tokenizer(TINY), tempfile::tempdir().unwrap());
    for role in ["encoder", "decoder"] {
        let mut bytes = std::fs::read(Path::new(&from).join(format!("{role}.onnx"))).unwrap();
        std::fs::write(folder.path().join(format!("{role}.onnx")), &bytes).unwrap();
        // Key and value of a metadata entry; the length stays, so it is still an ONNX file.
        let entry = b"vidtok.precision\x12\x04fp32";
        let at = bytes.windows(entry.len()).position(|part| part == entry).unwrap();
        bytes[at + entry.len() - 4..][..4].copy_from_slice(says.as_bytes());
        std::fs::write(folder.path().join(format!("{role}.fp16.onnx")), &bytes).unwrap();
    }
    let description = std::fs::read(Path::new(&from).join("tokenizer.json")).unwrap();
    let mut description: serde_json::Value = serde_json::from_slice(&description).unwrap();
    let half = serde_json::json!(
        {"target": "cpu", "precision": "fp16", "encoder": "encoder.fp16.onnx", "decoder": "decoder.fp16.onnx"}
    );
    description["variants"].as_array_mut().unwrap().push(half);
    std::fs::write(folder.path().join("tokenizer.json"), description.to_string()).unwrap();
    folder
}

#[test]
fn the_precision_that_is_named_is_taken_and_single_precision_unless_one_is() {
    init();
    let folder = with_a_second_precision("fp16");
    let open = |precision| {
        let choice = VariantChoice {
            target: Target::Cpu,
            precision,
        };
        let graph = tokenizer::open(folder.path().to_str().unwrap(), Role::Decoder, choice).unwrap();
        (graph.precision, graph.location())
    };
    let half = folder.path().join("decoder.fp16.onnx");
    assert_eq!(open(None).0, Precision::Fp32);
    assert_eq!(open(Some(Precision::Fp32)).0, Precision::Fp32);
    assert_eq!(
        open(Some(Precision::Fp16)),
        (Precision::Fp16, half.to_str().unwrap().into())
    );
}

#[test]
fn a_graph_that_is_not_what_its_folder_calls_it_is_refused() {
    let folder = with_a_second_precision("fp32");
    let path = folder.path().display();
    let said = error(&format!("vidtokenc model={path} precision=fp16")).expect("it is in fp32");
    assert!(
        said.contains("vidtok.precision") && said.contains("do not belong together"),
        "{said}"
    );
    assert_eq!(error(&format!("vidtokenc model={path}")), None);
}
