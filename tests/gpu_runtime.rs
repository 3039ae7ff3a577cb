//! The ONNX Runtime for NVIDIA GPUs on a machine without one: a provider that is asked for by name gives an error that
//! says what is missing, and `auto` works.
//!
//! A file of its own, because a process loads one ONNX Runtime.

mod common;

use std::ffi::CString;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};

use common::*;

/// Which libraries are missing is a state of the whole process.
static LIBRARIES: Mutex<()> = Mutex::new(());

/// `None`: these tests are left out, on request or because the machine has an NVIDIA driver.
fn init_gpu() -> Option<MutexGuard<'static, ()>> {
    let guard = LIBRARIES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if Path::new("/proc/driver/nvidia").exists() {
        eprintln!("left out: this machine has an NVIDIA driver");
        return None;
    }
    init_with_runtime("VIDTOK_GPU_RUNTIME").then_some(guard)
}

/// The error of an encoder on `provider`.
fn error(provider: &str) -> String {
    let line = format!("vidtokenc model={} execution-provider={provider}", tokenizer(TINY));
    let line = Line::new(&line, &video_caps(16, 16, (30, 1)));
    line.play();
    line.push(buffer(&video(1, 16, 16)[0], 16));
    line.error(LIMIT).expect("an error")
}

fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "\"{part}\" is missing in: {error}");
    }
}

/// Loads an empty library of that name. The loader then takes it for the real one.
fn pretend(folder: &Path, name: &str) {
    let (c, so) = (folder.join("empty.c"), folder.join(name));
    std::fs::write(&c, "").unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", &format!("-Wl,-soname,{name}"), "-o"])
        .args([&so, &c]);
    assert!(compiler.status().unwrap().success());
    let path = CString::new(so.to_str().unwrap()).unwrap();
    // SAFETY: loading an empty library runs no code.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    assert!(!handle.is_null());
}

/// One test, because a loaded library stays loaded. Each time, one library more is there.
#[test]
fn a_provider_that_is_named_says_which_library_is_missing_and_what_has_it() {
    let Some(_alone) = init_gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (provider, library, package) in [
        ("cuda", "libcublasLt.so.13", "nvidia-cublas"),
        ("tensorrt", "libcublas.so.13", "nvidia-cublas"),
        ("cuda", "libcublas.so.13", "nvidia-cublas"),
        ("cuda", "libcurand.so.10", "nvidia-curand"),
        ("tensorrt", "libnvinfer.so.10", "tensorrt-cu13<11"),
        ("tensorrt", "libnvonnxparser.so.10", "tensorrt-cu13<11"),
        ("cuda", "libcudart.so.13", "nvidia-cuda-runtime"),
        ("cuda", "libcuda.so.1", "the NVIDIA driver"),
        ("tensorrt", "libcudnn.so.9", "nvidia-cudnn-cu13"),
    ] {
        let said = error(provider);
        let cause = format!("the library {library} was not found");
        let parts = [
            &format!("\"{provider}\" cannot be used")[..],
            &cause,
            package,
            "LD_LIBRARY_PATH",
        ];
        assert_says(&said, &parts);
        let still_wanted_by_another = (provider, library) == ("tensorrt", "libcublas.so.13");
        if !still_wanted_by_another {
            pretend(folder.path(), library);
        }
    }
    // Every library is there by its name, and empty.
    for provider in ["cuda", "tensorrt"] {
        assert_says(&error(provider), &["cannot be used", "undefined symbol"]);
    }
}

#[test]
fn a_provider_that_this_build_lacks_names_the_build_that_has_it() {
    let Some(_alone) = init_gpu() else { return };
    assert_says(
        &error("openvino"),
        &["built without it", "onnxruntime-openvino", "ORT_DYLIB_PATH"],
    );
}

#[test]
fn auto_takes_the_cpu_where_cuda_does_not_work() {
    let Some(_alone) = init_gpu() else { return };
    let (frames, raw) = (video(9, 48, 32), "video/x-vidtok,stream-format=raw");
    let tokens = |provider: &str| {
        let line = format!(
            "vidtokenc name=e model={} execution-provider={provider} ! {raw}",
            tokenizer(TINY)
        );
        let line = Line::new(&line, &video_caps(48, 32, (30, 1)));
        line.play();
        frames.iter().for_each(|frame| line.push(buffer(frame, 48)));
        let out = bytes(&line.finish());
        let stats = line.stats("e");
        assert_eq!(stats.get::<&str>("provider"), Ok("cpu"), "{stats}");
        assert_eq!(stats.get::<&str>("nodes-elsewhere"), Ok("none"), "{stats}");
        assert_eq!(line.warnings(), [""; 0]);
        out
    };
    assert_eq!(tokens("auto"), tokens("cpu"));
}
