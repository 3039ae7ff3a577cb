//! Whether a picture fits into memory: known, and said, before its state is allocated.

use super::RuntimeError;
use super::session::Port;
use crate::tokenizer::{Description, Graph};

/// A step's memory as a multiple of the state: the state before and after it, and what the layers hold in between.
/// Measured with VidTok networks at 256×256 and 512×512 pixels: 4.0 to 4.6.
const STATES_IN_A_STEP: u128 = 4;

/// Refuses a picture of `size` pixels (padded) where a step of `graph` cannot fit into the memory that is free.
pub fn check(inputs: &[Port], size: (u32, u32), graph: &Graph) -> Result<(), RuntimeError> {
    match available() {
        Some(available) => explain(state_bytes(inputs), available.into(), size, &graph.description)
            .map_or(Ok(()), |text| {
                Err(RuntimeError::Memory(format!("The {} {text}", graph.role.as_str())))
            }),
        None => Ok(()),
    }
}

/// Bytes of a graph's state.
fn state_bytes(inputs: &[Port]) -> u128 {
    let bytes = |port: &Port| {
        let element = port.element.byte_size(1).unwrap_or(4) as u128;
        let sizes = port.shape.iter().map(|size| (*size).max(1) as u128);
        sizes.fold(element, u128::saturating_mul)
    };
    let states = inputs.iter().filter(|port| port.name.starts_with("state."));
    states.map(bytes).fold(0, u128::saturating_add)
}

/// What is wrong with a state of that many bytes where `available` are free, and what would fit; `None`: nothing.
fn explain(state: u128, available: u128, (width, height): (u32, u32), tokenizer: &Description) -> Option<String> {
    let needed = state.saturating_mul(STATES_IN_A_STEP);
    if needed <= available {
        return None;
    }
    // State grows with the area.
    let scale = (available as f64 / needed as f64).sqrt();
    let fits = |pixels: u32| {
        let cells = (f64::from(pixels) * scale) as u32 / tokenizer.space_factor;
        cells * tokenizer.space_factor
    };
    let way_out = match (fits(width), fits(height)) {
        (0, _) | (_, 0) => "it does not fit at any size: use a narrower model".to_string(),
        (width, height) => format!("scale the video down, about {width}×{height} fits, or use a narrower model"),
    };
    let megabytes = |bytes: u128| bytes.div_ceil(1_000_000);
    Some(format!(
        "\"{}\" needs about {} MB for {width}×{height} pixels ({} MB of them state), {} MB are free: {way_out}",
        tokenizer.name,
        megabytes(needed),
        megabytes(state),
        megabytes(available)
    ))
}

/// Bytes that can be allocated without swapping; `None` where the system does not say.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Regularizer;

    #[test]
    fn the_error_names_what_is_needed_and_what_would_fit() {
        let tokenizer = Description {
            name: "toy".into(),
            digest: "ab".repeat(32),
            family: "toy".into(),
            regularizer: Regularizer::Fsq { levels: vec![8; 5] },
            time_factor: 4,
            space_factor: 8,
            causal: true,
            window: 0,
            decoder_delay: 0,
            licence: "MIT".into(),
        };
        let explain = |state, available| explain(state, available, (1280, 720), &tokenizer);
        assert_eq!(explain(1_000_000_000, 4_000_000_000), None);
        let text = explain(1_000_000_000, 1_000_000_000).unwrap();
        // A quarter of the memory: half the width and height.
        for part in [
            "toy",
            "about 4000 MB",
            "1280×720",
            "1000 MB are free",
            "about 640×360 fits",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(explain(u128::MAX, 1).unwrap().contains("narrower model"));
    }
}
