//! Execution providers: what ONNX Runtime runs a graph on.

use gst::glib;
use ort::ep;
use ort::session::builder::SessionBuilder;

use super::RuntimeError;
use crate::tokenizer::Target;

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

    /// Adds this provider to a session. ONNX Runtime's own silent fall-back at this place is switched off.
    pub(super) fn add_to(self, builder: SessionBuilder, device: i32) -> Result<SessionBuilder, RuntimeError> {
        let provider = match self {
            // Always there, behind any other.
            Self::Auto | Self::Cpu => return Ok(builder),
            // An exhaustive search costs once a shape; the default falls back to slow algorithms. TF32 would
            // make tokens differ from the CPU's.
            Self::Cuda => ep::CUDA::default()
                .with_device_id(device)
                .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Exhaustive)
                .with_tf32(false)
                .build(),
            Self::TensorRt => ep::TensorRT::default().with_device_id(device).build(),
            Self::OpenVino => ep::OpenVINO::default().with_device_type("CPU").build(),
        };
        builder
            .with_execution_providers([provider.error_on_failure()])
            .map_err(|error| {
                RuntimeError::Provider(format!(
                    "the execution provider \"{}\" cannot be used: {}. {}",
                    self.name(),
                    error.message().trim_end_matches('.'),
                    self.needs()
                ))
            })
    }

    fn needs(self) -> &'static str {
        match self {
            Self::Cuda => {
                "It needs an NVIDIA GPU, CUDA and cuDNN, and an ONNX Runtime that is built for them (PyPI: onnxruntime-gpu)"
            }
            Self::TensorRt => {
                "It needs an NVIDIA GPU, CUDA, cuDNN and TensorRT, and an ONNX Runtime that is built for them (PyPI: \
                 onnxruntime-gpu)"
            }
            Self::OpenVino => "It needs an ONNX Runtime that is built for it (PyPI: onnxruntime-openvino)",
            Self::Auto | Self::Cpu => "",
        }
    }
}
