//! What to tell the user of a provider that cannot be used: what is wrong, and what to install or set.

use super::ExecutionProvider;
use crate::runtime::error::ProviderFault;

/// What is wrong and what to do about it. `message`: ONNX Runtime's own words. `otherwise`: what to say where those
/// words have no known meaning.
pub fn explain(provider: ExecutionProvider, fault: &ProviderFault, message: &str, otherwise: Option<&str>) -> String {
    let cause = cause(provider, fault).unwrap_or_else(|| otherwise.map_or_else(|| needs(provider), Into::into));
    let said = message.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "the execution provider \"{}\" cannot be used: {cause}. ONNX Runtime says: {}",
        provider.name(),
        said.trim_end_matches([' ', '.'])
    )
}

fn cause(provider: ExecutionProvider, fault: &ProviderFault) -> Option<String> {
    let text = match fault {
        ProviderFault::MissingLibrary(library) => {
            return Some(match package(library) {
                Some(package) => format!(
                    "the library {library} was not found. Install {package}, and have the loader find it (LD_LIBRARY_PATH, \
                     or ldconfig)"
                ),
                None => format!("the library {library} was not found. {}", needs(provider)),
            });
        }
        ProviderFault::NotBuiltIn => {
            return Some(format!(
                "this ONNX Runtime was built without it. Install one that has it (PyPI: {}), and set ORT_DYLIB_PATH to \
                 its folder onnxruntime/capi",
                wheel(provider)
            ));
        }
        ProviderFault::NoDevice => "no NVIDIA GPU is visible. In a container, pass it through (--gpus all)",
        ProviderFault::DriverTooOld => {
            "the NVIDIA driver is missing, or too old for this ONNX Runtime's CUDA. Install a newer one"
        }
        ProviderFault::NoSuchDevice => {
            "this GPU does not exist. Set device-id to one that does (nvidia-smi -L lists them)"
        }
        ProviderFault::OutOfMemory => {
            "memory is full, the device's or this machine's. Scale the video down, or use a narrower model"
        }
        ProviderFault::EngineUnreadable => "it cannot read an engine that it has built itself",
        ProviderFault::RunsNothing | ProviderFault::Other => return None,
    };
    Some(text.into())
}

/// The package that a library comes with.
fn package(library: &str) -> Option<String> {
    let name = library.rsplit('/').next().unwrap_or(library);
    let (stem, version) = name.split_once(".so").unwrap_or((name, ""));
    let version = version.trim_start_matches('.').split('.').next().unwrap_or("");
    // The names of these libraries carry CUDA's version; those of other parts of CUDA have a version of their own.
    let cuda = |pypi: &str| match version {
        "12" => format!("CUDA 12 (PyPI: {pypi}-cu12, or NVIDIA's CUDA toolkit)"),
        _ => format!("CUDA {version} (PyPI: {pypi}, or NVIDIA's CUDA toolkit)"),
    };
    let part_of_cuda = |pypi: &str| {
        format!(
            "the CUDA that this ONNX Runtime was built for (PyPI: {pypi}, for CUDA 12 {pypi}-cu12; or NVIDIA's CUDA toolkit)"
        )
    };
    Some(match stem {
        "libcuda" => "the NVIDIA driver (in a container, pass the GPU through: --gpus all)".into(),
        "libcublas" | "libcublasLt" => cuda("nvidia-cublas"),
        "libcudart" => cuda("nvidia-cuda-runtime"),
        "libnvrtc" => cuda("nvidia-cuda-nvrtc"),
        "libcufft" => part_of_cuda("nvidia-cufft"),
        "libcurand" => part_of_cuda("nvidia-curand"),
        "libnvJitLink" => part_of_cuda("nvidia-nvjitlink"),
        _ if stem.starts_with("libcudnn") => {
            let version = if version.is_empty() { "9" } else { version };
            format!("cuDNN {version} (PyPI: nvidia-cudnn-cu13, for CUDA 12 nvidia-cudnn-cu12)")
        }
        _ if stem.starts_with("libnvinfer") || stem.starts_with("libnvonnxparser") => {
            // PyPI's "tensorrt" is the newest, and each major version has a library name of its own.
            let next = version.parse::<u32>().map_or_else(|_| String::new(), |major| format!("<{}", major + 1));
            format!("TensorRT {version} (PyPI: \"tensorrt-cu13{next}\", for CUDA 12 \"tensorrt-cu12{next}\")")
        }
        _ if stem.starts_with("libonnxruntime_providers") => {
            "all of ONNX Runtime: it belongs beside libonnxruntime.so, as in the wheel's folder onnxruntime/capi".into()
        }
        _ if stem.starts_with("libopenvino") || stem.starts_with("libtbb") => {
            "all of onnxruntime-openvino: it belongs beside libonnxruntime.so, as in the wheel's folder onnxruntime/capi".into()
        }
        _ => return None,
    })
}

fn wheel(provider: ExecutionProvider) -> &'static str {
    match provider {
        // With these extras, pip installs CUDA and cuDNN in the versions that it was built for.
        ExecutionProvider::Cuda | ExecutionProvider::TensorRt => "\"onnxruntime-gpu[cuda,cudnn]\"",
        // The last wheel of its kind: later ones are plugins for ONNX Runtime, which are not supported here.
        ExecutionProvider::OpenVino => "onnxruntime-openvino==1.24.1",
        ExecutionProvider::Auto | ExecutionProvider::Cpu => "onnxruntime",
    }
}

fn needs(provider: ExecutionProvider) -> String {
    let needed = match provider {
        ExecutionProvider::Cuda => "an NVIDIA GPU and its driver, CUDA and cuDNN, and ",
        ExecutionProvider::TensorRt => "an NVIDIA GPU and its driver, CUDA, cuDNN and TensorRT, and ",
        _ => "",
    };
    format!(
        "it needs {needed}an ONNX Runtime that is built for it (PyPI: {})",
        wheel(provider)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::provider::fault;

    /// What the user is told where ONNX Runtime says `said`.
    fn told(provider: ExecutionProvider, said: &str, otherwise: Option<&str>) -> String {
        explain(provider, &fault::read(said), said, otherwise)
    }

    /// What the wheel onnxruntime-gpu 1.31.1 says on a machine without CUDA.
    fn without(library: &str) -> String {
        format!(
            "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
             onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library \
             /opt/ort/libonnxruntime_providers_cuda.so with error: {library}: cannot open shared object file: No such file or \
             directory\n"
        )
    }

    fn assert_says(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "\"{part}\" is missing in: {text}");
        }
    }

    #[test]
    fn a_library_that_is_missing_is_named_with_its_package() {
        for (library, package) in [
            ("libcublasLt.so.13", "CUDA 13 (PyPI: nvidia-cublas,"),
            ("libcublas.so.12", "CUDA 12 (PyPI: nvidia-cublas-cu12,"),
            ("libcudart.so.13", "nvidia-cuda-runtime,"),
            ("libcufft.so.12", "nvidia-cufft"),
            ("libcurand.so.10", "nvidia-curand"),
            ("libcudnn.so.9", "cuDNN 9"),
            ("libcudnn_graph.so.9.1.0", "cuDNN 9"),
            ("libnvinfer.so.10", "TensorRT 10 (PyPI: \"tensorrt-cu13<11\""),
            ("libnvonnxparser.so.10", "tensorrt-cu12<11"),
            ("libnvinfer.so.11", "tensorrt-cu13<12"),
            ("libcuda.so.1", "NVIDIA driver"),
            ("/opt/ort/libonnxruntime_providers_cuda.so", "onnxruntime/capi"),
        ] {
            let text = told(ExecutionProvider::Cuda, &without(library), None);
            assert_says(&text, &["\"cuda\" cannot be used", library, "was not found", package]);
            assert!(!text.contains('\n'), "{text}");
        }
        // An unknown library is named, too.
        let text = told(ExecutionProvider::TensorRt, &without("libother.so.5"), None);
        assert_says(&text, &["libother.so.5 was not found", "TensorRT", "onnxruntime-gpu"]);
    }

    #[test]
    fn a_build_without_the_provider_names_the_one_with_it() {
        for (provider, said, wheel) in [
            (
                ExecutionProvider::Cuda,
                "CUDA execution provider is not enabled in this build. ",
                "\"onnxruntime-gpu[cuda,cudnn]\"",
            ),
            (
                ExecutionProvider::OpenVino,
                "OpenVINO execution provider is not supported in this build. ",
                "onnxruntime-openvino==1.24.1",
            ),
        ] {
            assert_says(
                &told(provider, said, None),
                &["built without it", wheel, "ORT_DYLIB_PATH"],
            );
        }
    }

    #[test]
    fn what_cuda_says_of_gpus_is_put_into_words() {
        for (said, meant) in [
            (
                "CUDA failure 100: no CUDA-capable device is detected",
                "no NVIDIA GPU is visible. In a container, pass it through",
            ),
            (
                "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
                "driver is missing, or too old",
            ),
            ("CUDA failure 101: invalid device ordinal", "device-id"),
            ("CUDA failure 2: out of memory", "memory is full"),
            (
                "could not deserialize engine from cache",
                "cannot read an engine that it has built",
            ),
            ("something else", "it needs an NVIDIA GPU"),
        ] {
            assert_says(&told(ExecutionProvider::Cuda, said, None), &[meant, said]);
        }
        // A provider that got as far as running a network has what it needs.
        let text = told(ExecutionProvider::Cuda, "something else", Some("it does not run this"));
        assert_says(
            &text,
            &["cannot be used: it does not run this. ONNX Runtime says: something else"],
        );
    }
}
