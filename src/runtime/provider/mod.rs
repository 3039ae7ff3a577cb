//! Execution providers: what ONNX Runtime runs a graph on.

mod advice;
mod cuda;
mod openvino;
pub(super) mod tensorrt;

use gst::glib;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProviderDispatch};
use ort::session::builder::SessionBuilder;

pub use tensorrt::{inexact, tf32_setting};

use super::RuntimeError;
use crate::tokenizer::{Precision, Target};

/// What runs the network. One that is named is used or is an error; it is never swapped for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, glib::Enum)]
#[enum_type(name = "GstVidtokExecutionProvider")]
#[repr(u32)]
pub enum ExecutionProvider {
    /// CUDA where it works, else the CPU; `stats` says which.
    #[default]
    #[enum_value(name = "Auto: the best that works", nick = "auto")]
    Auto,
    #[enum_value(name = "CPU", nick = "cpu")]
    Cpu,
    #[enum_value(name = "NVIDIA CUDA", nick = "cuda")]
    Cuda,
    #[enum_value(name = "NVIDIA TensorRT", nick = "tensorrt")]
    TensorRt,
    #[enum_value(name = "Intel OpenVINO", nick = "openvino")]
    OpenVino,
}

/// Keys and values, as ONNX Runtime knows them.
type ProviderOptions = Vec<(&'static str, String)>;

/// What a provider's options depend on.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    pub device: i32,
    /// Threads within an operator.
    pub threads: usize,
    /// The form of the graph, and what it calculates with.
    pub target: Target,
    pub precision: Precision,
    /// Where TensorRT keeps what it builds; `None`: nowhere.
    pub engines: Option<&'a Engines>,
}

/// Where TensorRT keeps what it builds.
#[derive(Debug, PartialEq, Eq)]
pub struct Engines {
    /// Of the engines of one graph.
    pub folder: String,
    /// Of what was measured of kernels, for all engines.
    pub timings: String,
    /// What the names of engines begin with.
    pub prefix: &'static str,
}

impl ExecutionProvider {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// What ONNX Runtime calls it.
    pub(super) fn ort_name(self) -> &'static str {
        match self {
            Self::Auto | Self::Cpu => "CPUExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::TensorRt => "TensorrtExecutionProvider",
            Self::OpenVino => "OpenVINOExecutionProvider",
        }
    }

    /// What is tried, in order. TensorRT is not part of `auto`: building an engine can take minutes.
    pub(super) fn candidates(self) -> &'static [Self] {
        match self {
            Self::Auto => &[Self::Cuda, Self::Cpu],
            Self::Cpu => &[Self::Cpu],
            Self::Cuda => &[Self::Cuda],
            Self::TensorRt => &[Self::TensorRt],
            Self::OpenVino => &[Self::OpenVino],
        }
    }

    /// The form of graph that suits what is asked for.
    pub fn target(self) -> Target {
        match self {
            Self::Cuda | Self::TensorRt => Target::Gpu,
            Self::Auto | Self::Cpu | Self::OpenVino => Target::Cpu,
        }
    }

    /// Whether it works in memory of its own, not in the CPU's.
    pub(super) fn has_memory(self) -> bool {
        matches!(self, Self::Cuda | Self::TensorRt)
    }

    /// Adds this provider to a session. ONNX Runtime's own silent fall-back at this place is switched off.
    pub(super) fn add_to(self, builder: SessionBuilder, setup: &Setup) -> Result<SessionBuilder, RuntimeError> {
        let providers = match self {
            // Always there, behind any other.
            Self::Auto | Self::Cpu => return Ok(builder),
            Self::Cuda => vec![strict(with(ep::CUDA::default(), cuda::options(setup)))],
            // CUDA takes the nodes that TensorRT does not.
            Self::TensorRt => vec![
                strict(with(ep::TensorRT::default(), tensorrt::options(setup))),
                strict(with(ep::CUDA::default(), cuda::options(setup))),
            ],
            Self::OpenVino => vec![strict(with(ep::OpenVINO::default(), openvino::options(setup)))],
        };
        builder
            .with_execution_providers(providers)
            .map_err(|error| RuntimeError::Provider(advice::explain(self, error.message(), None)))
    }

    /// The error for what ONNX Runtime says where this provider is there, and fails with a network.
    pub(super) fn failed(self, message: &str) -> RuntimeError {
        let otherwise = "it is there, and does not run this network at this picture size";
        RuntimeError::Provider(advice::explain(self, message, Some(otherwise)))
    }

    /// Whether an error says no more than that ONNX Runtime was built without this provider.
    pub(super) fn is_not_built_in(error: &RuntimeError) -> bool {
        matches!(error, RuntimeError::Provider(text) if advice::not_built_in(text))
    }
}

fn with<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, options: ProviderOptions) -> P {
    options.into_iter().fold(provider, |provider, (key, value)| {
        provider.with_arbitrary_config(key, value)
    })
}

fn strict(provider: impl Into<ExecutionProviderDispatch>) -> ExecutionProviderDispatch {
    provider.into().error_on_failure()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn setup() -> Setup<'static> {
        Setup {
            device: 0,
            threads: 1,
            target: Target::Gpu,
            precision: Precision::Fp32,
            engines: None,
        }
    }

    pub fn get<'a>(options: &'a ProviderOptions, key: &str) -> Option<&'a str> {
        let mut values = options.iter().filter(|(k, _)| *k == key).map(|(_, value)| &value[..]);
        let value = values.next();
        assert_eq!(values.next(), None, "{key} is there twice");
        value
    }

    /// Checks that each key is among the texts of a provider's library, in the folder that `variable` names.
    pub fn assert_in_library(variable: &str, library: &str, options: &ProviderOptions) {
        if std::env::var_os("VIDTOK_WITHOUT_PROVIDERS").is_some() {
            eprintln!("left out: VIDTOK_WITHOUT_PROVIDERS is set");
            return;
        }
        let folder = std::env::var_os(variable).unwrap_or_else(|| panic!("tests/run.sh sets {variable}"));
        let bytes = std::fs::read(std::path::Path::new(&folder).join(library)).unwrap();
        let texts: std::collections::HashSet<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        for (key, _) in options {
            assert!(texts.contains(key.as_bytes()), "{library} does not know {key}");
        }
        assert!(!texts.contains(&b"no_such_option"[..]));
    }

    #[test]
    fn auto_tries_no_provider_that_takes_minutes_and_ends_with_the_cpu() {
        let candidates = ExecutionProvider::Auto.candidates();
        assert_eq!(candidates.last(), Some(&ExecutionProvider::Cpu));
        assert!(!candidates.contains(&ExecutionProvider::TensorRt));
    }

    #[test]
    fn one_that_is_named_is_the_only_one_tried() {
        use ExecutionProvider::{Cpu, Cuda, OpenVino, TensorRt};
        for provider in [Cpu, Cuda, TensorRt, OpenVino] {
            assert_eq!(provider.candidates(), [provider]);
        }
    }
}
