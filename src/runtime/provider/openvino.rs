//! OpenVINO: options of ONNX Runtime's provider, and why each is set.

use super::{ProviderOptions, Setup};

pub fn options(setup: &Setup) -> ProviderOptions {
    vec![
        ("device_type", "CPU".into()),
        // By default OpenVINO calculates in bfloat16 on a CPU that has it, and tokens would differ.
        ("precision", "FP32".into()),
        ("num_of_threads", setup.threads.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::provider::testing::{assert_in_library, get, setup};

    #[test]
    fn it_has_the_threads_that_it_is_told_to_and_keeps_float32() {
        let options = options(&Setup { threads: 5, ..setup() });
        assert_eq!(get(&options, "num_of_threads"), Some("5"));
        assert_eq!(get(&options, "precision"), Some("FP32"));
        assert_eq!(get(&options, "device_type"), Some("CPU"));
    }

    #[test]
    fn the_provider_knows_every_option() {
        let library = "libonnxruntime_providers_openvino.so";
        assert_in_library("VIDTOK_OPENVINO_RUNTIME", library, &options(&setup()));
    }
}
