//! `cargo +nightly fuzz run rtp` in the repository's root.

#![no_main]

#[allow(dead_code)] // One of many.
#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| (targets::RTP.run)(input));
