//! What the tests of the providers' options share.

use std::collections::HashSet;
use std::path::Path;

use super::{ProviderOptions, Setup};
use crate::tokenizer::{Precision, Target};

pub fn setup() -> Setup<'static> {
    Setup {
        device: 0,
        threads: 1,
        target: Target::Gpu,
        precision: Precision::Fp32,
        engines: None,
    }
}

/// The value of `key`, which is there once or not at all.
pub fn get<'a>(options: &'a ProviderOptions, key: &str) -> Option<&'a str> {
    let mut values = options.iter().filter(|(k, _)| *k == key).map(|(_, value)| &value[..]);
    let value = values.next();
    assert_eq!(values.next(), None, "{key} is there twice");
    value
}

/// Checks that each key is among the texts of a provider's library, in the folder that `variable` names. A provider
/// refuses an option that it does not know.
pub fn assert_in_library(variable: &str, library: &str, options: &ProviderOptions) {
    if std::env::var_os("VIDTOK_WITHOUT_PROVIDERS").is_some() {
        eprintln!("left out: VIDTOK_WITHOUT_PROVIDERS is set");
        return;
    }
    let folder = std::env::var_os(variable).unwrap_or_else(|| panic!("tests/run.sh sets {variable}"));
    let bytes = std::fs::read(Path::new(&folder).join(library)).unwrap();
    let texts: HashSet<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    for (key, _) in options {
        assert!(texts.contains(key.as_bytes()), "{library} does not know {key}");
    }
    assert!(!texts.contains(&b"no_such_option"[..]));
}
