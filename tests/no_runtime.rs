//! Without a usable ONNX Runtime, the elements register, and their errors say what is missing.
//!
//! One test in a process of its own, because a library is loaded for the whole process.

mod common;

use std::path::Path;
use std::process::Command;

use common::*;
use gst::prelude::*;

#[test]
fn elements_register_and_say_what_is_missing() {
    let good = std::env::var_os("ORT_DYLIB_PATH").expect("tests/run.sh sets ORT_DYLIB_PATH");
    init();
    let folder = tempfile::tempdir().unwrap();
    let error = |library: &Path| {
        // SAFETY: this process runs no other test, and no pipeline while the variable changes.
        unsafe { std::env::set_var("ORT_DYLIB_PATH", library) };
        let element = gst::ElementFactory::make("vidtokenc")
            .property("model", tokenizer(TINY))
            .build()
            .unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let ready = element.set_state(gst::State::Ready);
        let message = bus
            .pop_filtered(&[gst::MessageType::Error])
            .map(|message| match message.view() {
                gst::MessageView::Error(error) => error.error().to_string(),
                _ => unreachable!("filtered"),
            });
        element.set_state(gst::State::Null).unwrap();
        assert_eq!(ready.is_err(), message.is_some());
        message
    };

    let missing = folder.path().join("libonnxruntime.so");
    let said = error(&missing).expect("no library");
    for part in [missing.to_str().unwrap(), "ORT_DYLIB_PATH", "pip install onnxruntime"] {
        assert!(said.contains(part), "{part} in {said}");
    }

    let said = error(folder.path()).expect("a folder without a library");
    assert!(said.contains(folder.path().to_str().unwrap()), "{said}");

    let text = folder.path().join("text.so");
    std::fs::write(&text, "not a library").unwrap();
    assert!(error(&text).expect("not a library").contains("cannot be loaded"));

    let other = library(folder.path(), "other", "int something_else(void) { return 0; }");
    assert!(error(&other).expect("another library").contains("is not ONNX Runtime"));

    let old = "static const char *version(void) { return \"1.10.0\"; }
        static const void *api(unsigned v) { return 0; }
        static const struct { const void *(*a)(unsigned); const char *(*v)(void); } base = { api, version };
        const void *OrtGetApiBase(void) { return &base; }";
    let said = error(&library(folder.path(), "old", old)).expect("an old library");
    assert!(said.contains("1.10.0") && said.contains("or newer is needed"), "{said}");

    // After all these failures, the right library still loads.
    assert_eq!(error(Path::new(&good)), None);
}

/// Builds a shared library from C.
fn library(folder: &Path, name: &str, source: &str) -> std::path::PathBuf {
    let (c, so) = (folder.join(format!("{name}.c")), folder.join(format!("lib{name}.so")));
    std::fs::write(&c, source).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&so, &c])
        .status()
        .unwrap();
    assert!(status.success());
    so
}
