//! CUDA: options of ONNX Runtime's provider, and why each is set.

use super::{ProviderOptions, Setup};
use crate::tokenizer::Target;

pub fn options(setup: &Setup) -> ProviderOptions {
    vec![
        ("device_id", setup.device.to_string()),
        // Tries every algorithm once a shape, and shapes are fixed. DEFAULT falls back to slow ones.
        ("cudnn_conv_algo_search", "EXHAUSTIVE".into()),
        // Else only those that need 32 MB at most are tried.
        ("cudnn_conv_use_max_workspace", "1".into()),
        // It would round float32 to 10 bits of mantissa: other tokens than a CPU's.
        ("use_tf32", "0".into()),
        // The form for GPUs has its channels last, and its transpositions then cancel; the form for CPUs would get
        // some.
        ("prefer_nhwc", u8::from(setup.target == Target::Gpu).to_string()),
        // Every run takes the same: doubling the arena at each growth could take twice of it.
        ("arena_extend_strategy", "kSameAsRequested".into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_in_library, get, setup};
    use super::*;

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

    /// An option that the provider does not know makes it unusable.
    #[test]
    fn the_provider_knows_every_option() {
        let library = "libonnxruntime_providers_cuda.so";
        assert_in_library("VIDTOK_GPU_RUNTIME", library, &options(&setup()));
    }
}
