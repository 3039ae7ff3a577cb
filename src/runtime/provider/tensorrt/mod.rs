//! TensorRT: options of ONNX Runtime's provider, and why each is set. CUDA runs the nodes that TensorRT does not take.
//!
//! `build` finds or builds the engines of a session, `cache` is the folder that keeps them, `machine` is what they
//! depend on besides the graph.

mod build;
mod cache;
mod machine;

pub use build::with_engines;
pub use cache::Engines;

use super::{ProviderOptions, Setup};
use crate::tokenizer::Precision;

/// An environment variable that NVIDIA's libraries read. TensorRT uses TF32 by default, and ONNX Runtime's provider has
/// no option for it.
const TF32_VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";

pub fn options(setup: &Setup) -> ProviderOptions {
    let mut options = vec![
        ("device_id", setup.device.to_string()),
        // With it, TensorRT may take half precision for any layer, so it is on only for graphs in half precision.
        ("trt_fp16_enable", flag(setup.precision == Precision::Fp16)),
        // The statistics of normalization stay in single precision.
        ("trt_layer_norm_fp32_fallback", flag(setup.precision == Precision::Fp16)),
    ];
    if let Some(engines) = setup.engines {
        options.extend([
            ("trt_engine_cache_enable", flag(true)),
            ("trt_engine_cache_path", engines.folder.clone()),
            ("trt_engine_cache_prefix", engines.prefix.into()),
            // Timings of kernels that were measured for one engine make the next one's build shorter.
            ("trt_timing_cache_enable", flag(true)),
            ("trt_timing_cache_path", engines.timings.clone()),
        ]);
    }
    options
}

/// The options that engines depend on, in words.
fn engine_settings(setup: &Setup) -> String {
    let options = options(&Setup {
        engines: None,
        ..*setup
    });
    let settings: Vec<String> = options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    settings.join(" ")
}

/// The user's setting of TF32.
fn tf32_setting() -> Option<String> {
    std::env::var(TF32_VARIABLE).ok()
}

/// A warning where TF32 may make tokens differ from other providers' tokens.
pub fn tf32_warning(precision: Precision) -> Option<String> {
    tf32_warning_for(precision, tf32_setting().as_deref())
}

fn tf32_warning_for(precision: Precision, tf32: Option<&str>) -> Option<String> {
    (precision == Precision::Fp32 && tf32 != Some("0")).then(|| {
        format!(
            "TensorRT may round float32 to TF32, so that a few tokens differ from other providers'. For exact tokens, \
             set {TF32_VARIABLE}=0 in the environment"
        )
    })
}

fn flag(on: bool) -> String {
    u8::from(on).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::provider::testing::{assert_in_library, get, setup};

    fn engines() -> Engines {
        Engines {
            folder: "/cache/engine".into(),
            timings: "/cache".into(),
            prefix: "encoder",
        }
    }

    #[test]
    fn half_precision_is_for_graphs_in_half_precision() {
        let fp16 = |precision| get(&options(&Setup { precision, ..setup() }), "trt_fp16_enable").map(str::to_string);
        assert_eq!(fp16(Precision::Fp32).as_deref(), Some("0"));
        assert_eq!(fp16(Precision::Fp16).as_deref(), Some("1"));
    }

    #[test]
    fn engines_and_timings_are_kept_where_there_is_a_place_for_them() {
        let engines = engines();
        let kept = options(&Setup {
            engines: Some(&engines),
            ..setup()
        });
        assert_eq!(get(&kept, "trt_engine_cache_enable"), Some("1"));
        assert_eq!(get(&kept, "trt_engine_cache_path"), Some("/cache/engine"));
        assert_eq!(get(&kept, "trt_engine_cache_prefix"), Some("encoder"));
        assert_eq!(get(&kept, "trt_timing_cache_enable"), Some("1"));
        assert_eq!(get(&kept, "trt_timing_cache_path"), Some("/cache"));
        // Without a path, TensorRT would write engines to the current folder.
        assert_eq!(get(&options(&setup()), "trt_engine_cache_enable"), None);
    }

    #[test]
    fn rounding_to_tf32_is_said_where_it_may_happen() {
        assert!(tf32_warning_for(Precision::Fp32, None).unwrap().contains(TF32_VARIABLE));
        assert!(tf32_warning_for(Precision::Fp32, Some("1")).is_some());
        assert_eq!(tf32_warning_for(Precision::Fp32, Some("0")), None);
        // Half precision promises nothing.
        assert_eq!(tf32_warning_for(Precision::Fp16, None), None);
    }

    #[test]
    fn the_provider_knows_every_option() {
        let engines = engines();
        let options = options(&Setup {
            engines: Some(&engines),
            ..setup()
        });
        assert_in_library("VIDTOK_GPU_RUNTIME", "libonnxruntime_providers_tensorrt.so", &options);
    }
}
