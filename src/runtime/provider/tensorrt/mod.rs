//! TensorRT: options of ONNX Runtime's provider, and why each is set. CUDA is behind it for the nodes that it does not
//! take.

mod build;
mod machine;

pub use build::Building;

use super::{ProviderOptions, Setup};
use crate::tokenizer::Precision;

/// NVIDIA's libraries read it. ONNX Runtime's TensorRT provider has no option for TF32, which TensorRT uses by default.
pub const TF32_VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";

pub fn options(setup: &Setup) -> ProviderOptions {
    let mut options = vec![
        ("device_id", setup.device.to_string()),
        // TensorRT may then take half precision for any layer; so only where the graph is in it anyway.
        ("trt_fp16_enable", flag(setup.precision == Precision::Fp16)),
        // But not for the statistics of normalization.
        ("trt_layer_norm_fp32_fallback", flag(setup.precision == Precision::Fp16)),
    ];
    if let Some(engines) = setup.engines {
        options.extend([
            ("trt_engine_cache_enable", flag(true)),
            ("trt_engine_cache_path", engines.folder.clone()),
            ("trt_engine_cache_prefix", engines.prefix.into()),
            // What was measured of kernels for one engine shortens the building of the next.
            ("trt_timing_cache_enable", flag(true)),
            ("trt_timing_cache_path", engines.timings.clone()),
        ]);
    }
    options
}

/// What engines depend on of the options, in words.
pub fn engine_settings(setup: &Setup) -> String {
    let options = options(&Setup {
        engines: None,
        ..*setup
    });
    let settings: Vec<String> = options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    settings.join(" ")
}

/// What the user has set it to.
pub fn tf32_setting() -> Option<String> {
    std::env::var(TF32_VARIABLE).ok()
}

/// Why tokens may differ from those of other providers, where they may.
pub fn inexact(precision: Precision, tf32: Option<&str>) -> Option<String> {
    (precision == Precision::Fp32 && tf32 != Some("0")).then(|| {
        format!(
            "TensorRT may round float32 to TF32, so that tokens differ now and then from other providers': set \
             {TF32_VARIABLE}=0 in the environment to have them exact"
        )
    })
}

fn flag(on: bool) -> String {
    u8::from(on).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::Engines;
    use super::super::tests::{assert_in_library, get, setup};
    use super::*;

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
        // Without a path, engines would land in the current folder.
        assert_eq!(get(&options(&setup()), "trt_engine_cache_enable"), None);
    }

    #[test]
    fn rounding_to_tf32_is_said_where_it_may_happen() {
        assert!(inexact(Precision::Fp32, None).unwrap().contains(TF32_VARIABLE));
        assert!(inexact(Precision::Fp32, Some("1")).is_some());
        assert_eq!(inexact(Precision::Fp32, Some("0")), None);
        // Half precision promises nothing.
        assert_eq!(inexact(Precision::Fp16, None), None);
    }

    /// An option that the provider does not know makes it unusable.
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
