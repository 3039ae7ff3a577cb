//! CUDA: options of ONNX Runtime's provider, and why each is set.

use super::{ProviderOptions, Setup};
use crate::tokenizer::Target;

pub fn options(setup: &Setup) -> ProviderOptions {
    vec![
        ("device_id", setup.device.to_string()),
        // Tries every algorithm once per shape, and shapes are fixed. DEFAULT falls back to slow algorithms.
        ("cudnn_conv_algo_search", "EXHAUSTIVE".into()),
        // Without it, only algorithms that need at most 32 MB are tried.
        ("cudnn_conv_use_max_workspace", "1".into()),
        // TF32 rounds float32 to 10 bits of mantissa, so tokens would differ from a CPU's.
        ("use_tf32", "0".into()),
        // Variants for GPUs have their channels last, so that transpositions cancel; in those for CPUs this would add
        // some.
        ("prefer_nhwc", u8::from(setup.target == Target::Gpu).to_string()),
        // Every run takes the same memory, so doubling the arena as it grows could waste as much again.
        ("arena_extend_strategy", "kSameAsRequested".into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::provider::testing::{assert_in_library, get, setup};

    #[test]
    fn convolutions_are_searched_for_and_float32_stays_float32() {
        let options = options(&Setup { device: 3, ..setup() });
        assert_eq!(get(&options, "device_id"), Some("3"));
        assert_eq!(get(&options, "cudnn_conv_algo_search"), Some("EXHAUSTIVE"));
        assert_eq!(get(&options, "use_tf32"), Some("0"));
    }

    #[test]
    fn channels_are_last_for_the_form_for_gpus_alone() {
        let nhwc = |target| get(&options(&Setup { target, ..setup() }), "prefer_nhwc").map(str::to_string);
        assert_eq!(nhwc(Target::Gpu).as_deref(), Some("1"));
        assert_eq!(nhwc(Target::Cpu).as_deref(), Some("0"));
    }

    #[test]
    fn the_provider_knows_every_option() {
        let library = "libonnxruntime_providers_cuda.so";
        assert_in_library("VIDTOK_GPU_RUNTIME", library, &options(&setup()));
    }
}
