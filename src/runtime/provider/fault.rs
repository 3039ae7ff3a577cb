//! What ONNX Runtime's messages mean. It has one error code for nearly all of them, so the text decides: here, once,
//! and nowhere else.

use std::sync::Arc;

use crate::details::Details;
use crate::runtime::error::{ProviderFault, RuntimeError};
use crate::runtime::library;

const NOT_BUILT_IN: [&str; 2] = ["is not enabled in this build", "is not supported in this build"];
const NO_DEVICE: [&str; 2] = ["no CUDA-capable device", "CUDA failure 100"];
const DRIVER_TOO_OLD: [&str; 2] = ["driver version is insufficient", "CUDA failure 35"];
const NO_SUCH_DEVICE: [&str; 2] = ["invalid device ordinal", "CUDA failure 101"];
const OUT_OF_MEMORY: [&str; 5] = [
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "Failed to allocate memory",
    "Cannot allocate memory",
];
const ENGINE_UNREADABLE: &str = "deserialize engine";
/// What cuDNN 9 and 8 say when they do not find a library of their own.
const CUDNN_NOT_FOUND: [&str; 2] = ["Unable to load any of", "Could not load library"];

/// The fault that ONNX Runtime's `message` reports.
pub fn read(message: &str) -> ProviderFault {
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if let Some(library) = missing_library(message) {
        return ProviderFault::MissingLibrary(library.into());
    }
    match () {
        () if says(&NOT_BUILT_IN) => ProviderFault::NotBuiltIn,
        () if says(&[ENGINE_UNREADABLE]) => ProviderFault::EngineUnreadable,
        () if says(&NO_DEVICE) => ProviderFault::NoDevice,
        () if says(&DRIVER_TOO_OLD) => ProviderFault::DriverTooOld,
        () if says(&NO_SUCH_DEVICE) => ProviderFault::NoSuchDevice,
        () if says(&OUT_OF_MEMORY) => ProviderFault::OutOfMemory,
        () => ProviderFault::Other,
    }
}

/// The error for a graph that ONNX Runtime could not load or run, where the fault is not the provider's:
/// [`RuntimeError::Memory`] if ONNX Runtime was refused memory, else `other`. The text is ONNX Runtime's message after
/// `before`.
pub fn graph_error(before: &str, error: Arc<ort::Error>, other: fn(Details) -> RuntimeError) -> RuntimeError {
    let kind = match read(error.message()) {
        ProviderFault::OutOfMemory => RuntimeError::Memory,
        _ => other,
    };
    let text = format!("{before}: {}", error.message());
    kind(Details::with_cause(text, error))
}

fn missing_library(message: &str) -> Option<&str> {
    if let Some(library) = library::not_found(message) {
        return Some(library);
    }
    let failed = CUDNN_NOT_FOUND.iter().any(|text| message.contains(text)) && !message.contains("symbol");
    let edge = |c: char| c.is_whitespace() || "{}()'\",;:".contains(c);
    let mut words = message.split(edge).filter(|_| failed);
    words.find(|word| word.starts_with("libcudnn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(library: &str) -> ProviderFault {
        ProviderFault::MissingLibrary(library.into())
    }

    #[test]
    fn the_library_that_the_loader_did_not_find_is_named() {
        // What the wheel onnxruntime-gpu 1.31.1 says on a machine without CUDA.
        let said = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
                    onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library \
                    /opt/ort/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object \
                    file: No such file or directory\n";
        assert_eq!(read(said), missing("libcublasLt.so.13"));
    }

    #[test]
    fn a_part_of_cudnn_that_cudnn_does_not_find_is_named() {
        let said = "Unable to load any of {libcudnn_graph.so.9.1.0, libcudnn_graph.so.9}";
        assert_eq!(read(said), missing("libcudnn_graph.so.9.1.0"));
        // Its name alone does not mean that it is missing.
        for said in [
            "CUDNN failure 3000: CUDNN_STATUS_NOT_SUPPORTED in libcudnn.so.9",
            "Could not load symbol cudnnGetLibConfig. Error: libcudnn_graph.so.9: undefined symbol: cudnnGetLibConfig",
        ] {
            assert_eq!(read(said), ProviderFault::Other, "{said}");
        }
    }

    #[test]
    fn what_providers_say_has_a_kind() {
        for (said, fault) in [
            (
                "CUDA execution provider is not enabled in this build. ",
                ProviderFault::NotBuiltIn,
            ),
            (
                "OpenVINO execution provider is not supported in this build. ",
                ProviderFault::NotBuiltIn,
            ),
            (
                "CUDA failure 100: no CUDA-capable device is detected",
                ProviderFault::NoDevice,
            ),
            (
                "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
                ProviderFault::DriverTooOld,
            ),
            ("CUDA failure 101: invalid device ordinal", ProviderFault::NoSuchDevice),
            ("CUDA failure 2: out of memory", ProviderFault::OutOfMemory),
            (
                "TensorRT EP could not deserialize engine from cache: encoder_1.engine",
                ProviderFault::EngineUnreadable,
            ),
            ("something else", ProviderFault::Other),
        ] {
            assert_eq!(read(said), fault, "{said}");
        }
    }

    #[test]
    fn refused_memory_is_told_from_other_faults_of_a_run() {
        // What ONNX Runtime 1.17 to 1.32 say, with the limit of address space set low.
        for said in [
            "Non-zero status code returned while running Conv node. Name:'c' Status Message: std::bad_alloc",
            "/onnxruntime_src/core/framework/bfc_arena.cc:359 Failed to allocate memory for requested buffer of size 4294967296",
            "mmap failed: Cannot allocate memory",
        ] {
            assert_eq!(read(said), ProviderFault::OutOfMemory, "{said}");
        }
        assert_eq!(read("Got invalid dimensions for input: frames"), ProviderFault::Other);
    }

    #[test]
    fn an_error_of_a_graph_keeps_what_onnx_runtime_said() {
        use std::error::Error;
        library::load().unwrap();
        let error = |said: &str| graph_error("ONNX Runtime", Arc::new(ort::Error::new(said)), RuntimeError::Run);
        let refused = error("std::bad_alloc");
        assert!(matches!(refused, RuntimeError::Memory(_)));
        assert_eq!(refused.to_string(), "ONNX Runtime: std::bad_alloc");
        let other = error("Got invalid dimensions");
        assert!(matches!(other, RuntimeError::Run(_)));
        assert!(other.source().is_some_and(|source| source.is::<ort::Error>()));
    }
}
