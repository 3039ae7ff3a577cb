//! Execution providers: what ONNX Runtime runs a graph on.

mod advice;
mod cuda;
pub mod fault;
mod openvino;
pub mod tensorrt;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use gst::glib;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProviderDispatch};
use ort::session::builder::SessionBuilder;

use crate::details::Details;
use crate::runtime::error::RuntimeError;
use crate::tokenizer::{Precision, Target};

/// What runs the network. A provider that is asked for by name is used, or the error says why not: another one never
/// takes its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, glib::Enum)]
#[enum_type(name = "GstVidtokExecutionProvider")]
#[repr(u32)]
pub enum ExecutionProvider {
    /// CUDA where it works, else the CPU; `stats` says which.
    #[default]
    #[enum_value(name = "CUDA if it works, else the CPU", nick = "auto")]
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

/// Keys and values as ONNX Runtime's provider reads them.
type ProviderOptions = Vec<(&'static str, String)>;

/// What a provider's options depend on.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    pub device: i32,
    /// Threads within an operator.
    pub threads: usize,
    /// Target and precision of the graph's variant.
    pub target: Target,
    pub precision: Precision,
    /// Where TensorRT keeps the engines that it builds; `None`: it does not keep them.
    pub engines: Option<&'a tensorrt::Engines>,
}

impl ExecutionProvider {
    /// The name that users know it by, as in the property `execution-provider`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// ONNX Runtime's name for it.
    pub(super) fn ort_name(self) -> &'static str {
        match self {
            Self::Auto | Self::Cpu => "CPUExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::TensorRt => "TensorrtExecutionProvider",
            Self::OpenVino => "OpenVINOExecutionProvider",
        }
    }

    /// The providers to try, in order. TensorRT is not part of `auto`: building an engine can take minutes.
    pub(super) fn candidates(self) -> &'static [Self] {
        match self {
            Self::Auto => &[Self::Cuda, Self::Cpu],
            Self::Cpu => &[Self::Cpu],
            Self::Cuda => &[Self::Cuda],
            Self::TensorRt => &[Self::TensorRt],
            Self::OpenVino => &[Self::OpenVino],
        }
    }

    /// The target of the variants that suit it.
    pub(super) fn target(self) -> Target {
        match self {
            Self::Cuda | Self::TensorRt => Target::Gpu,
            Self::Auto | Self::Cpu | Self::OpenVino => Target::Cpu,
        }
    }

    /// Whether it runs on CUDA: its tensors are then in the GPU's memory, not in the CPU's.
    pub(super) fn uses_cuda(self) -> bool {
        match self {
            Self::Cuda | Self::TensorRt => true,
            Self::Auto | Self::Cpu | Self::OpenVino => false,
        }
    }

    /// Adds this provider to a session.
    ///
    /// # Errors
    /// [`RuntimeError::Provider`]: it cannot be used. By default ONNX Runtime would silently continue without it.
    pub(super) fn add_to(self, builder: SessionBuilder, setup: &Setup) -> Result<SessionBuilder, RuntimeError> {
        let providers = match self {
            // Every session has it, after the other providers.
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
            .map_err(|error| self.error(Arc::new(error.into()), None))
    }

    /// The error for what ONNX Runtime says where the provider was loaded and fails with a network.
    pub(super) fn failed(self, error: Arc<ort::Error>) -> RuntimeError {
        let otherwise = "it works, but does not run this network at this picture size";
        self.error(error, Some(otherwise))
    }

    fn error(self, error: Arc<ort::Error>, otherwise: Option<&str>) -> RuntimeError {
        let fault = fault::read(error.message());
        let text = advice::explain(self, &fault, error.message(), otherwise);
        RuntimeError::Provider(fault, Details::with_cause(text, error))
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

    #[test]
    fn auto_tries_no_provider_that_takes_minutes_and_ends_with_the_cpu() {
        let candidates = ExecutionProvider::Auto.candidates();
        assert_eq!(candidates.last(), Some(&ExecutionProvider::Cpu));
        assert!(!candidates.contains(&ExecutionProvider::TensorRt));
    }

    #[test]
    fn a_provider_that_is_named_is_the_only_one_tried() {
        use ExecutionProvider::{Cpu, Cuda, OpenVino, TensorRt};
        for provider in [Cpu, Cuda, TensorRt, OpenVino] {
            assert_eq!(provider.candidates(), [provider]);
        }
    }
}
