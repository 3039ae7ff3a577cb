//! Whether a picture fits into memory: known, and said, before its state is allocated.

use super::RuntimeError;
use super::session::Port;
use crate::system::memory::{self, Free};
use crate::tokenizer::{Description, Graph};

/// A step's memory as a multiple of the state: the state before and after it, and what the layers hold in between.
/// Measured with VidTok networks at 256×256 and 512×512 pixels: 4.0 to 4.6.
const STATES_IN_A_STEP: u128 = 4;

/// Refuses a picture of `size` pixels (padded) where a step of `graph` cannot fit into the memory that is free.
pub fn check(inputs: &[Port], size: (u32, u32), graph: &Graph) -> Result<(), RuntimeError> {
    let Some(free) = memory::free() else { return Ok(()) };
    let needs = Needs {
        state: state_bytes(inputs),
        attention: attention_bytes(size, graph.description.space_factor, graph.attention_parts),
    };
    match explain(&needs, free, size, &graph.description) {
        Some(text) => Err(RuntimeError::Memory(format!("The {} {text}", graph.role.as_str()))),
        None => Ok(()),
    }
}

/// What a step needs, in bytes.
struct Needs {
    state: u128,
    attention: u128,
}

impl Needs {
    fn total(&self) -> u128 {
        self.state
            .saturating_mul(STATES_IN_A_STEP)
            .saturating_add(self.attention)
    }
}

/// Bytes of attention's scores: two of the parts that queries are taken in, float32, are alive at a time.
fn attention_bytes((width, height): (u32, u32), cell: u32, parts: u32) -> u128 {
    let positions = u128::from(width / cell) * u128::from(height / cell);
    let scores = positions.saturating_mul(positions).saturating_mul(4 * 2);
    scores.checked_div(parts.into()).unwrap_or(0)
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

/// What is wrong with needing that much where only `free` is there, and what would fit; `None`: nothing.
fn explain(needs: &Needs, free: Free, (width, height): (u32, u32), tokenizer: &Description) -> Option<String> {
    let (needed, available) = (needs.total(), u128::from(free.bytes));
    if needed <= available {
        return None;
    }
    // State grows with the area, attention with its square: what fits solves a·s² + b·s⁴ = available.
    let (a, b) = (needs.state as f64 * STATES_IN_A_STEP as f64, needs.attention as f64);
    let available_bytes = available as f64;
    let area = 2.0 * available_bytes / (a + (a * a + 4.0 * b * available_bytes).sqrt());
    let scale = area.sqrt();
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
        "\"{}\" needs about {} MB for {width}×{height} pixels (state {} MB, attention {} MB), {} MB are free{}: {way_out}",
        tokenizer.name,
        megabytes(needed),
        megabytes(needs.state),
        megabytes(needs.attention),
        megabytes(available),
        free.bound
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Regularizer;
    use crate::system::memory::Bound;

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
        let explain = |state, attention, bytes| {
            let bound = Bound::ControlGroup;
            explain(
                &Needs { state, attention },
                Free { bytes, bound },
                (1280, 720),
                &tokenizer,
            )
        };
        assert_eq!(explain(1_000_000_000, 0, 4_000_000_000), None);
        let text = explain(1_000_000_000, 0, 1_000_000_000).unwrap();
        // A quarter of the memory: half the width and height.
        for part in [
            "toy",
            "about 4000 MB",
            "1280×720",
            "1000 MB are free in this control group",
            "about 640×360 fits",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(explain(u128::MAX, 0, 1).unwrap().contains("narrower model"));
        // A sixteenth of the memory, for attention alone: half the width and height, too.
        let text = explain(0, 16_000_000_000, 1_000_000_000).unwrap();
        assert!(
            text.contains("attention 16000 MB") && text.contains("about 640×360 fits"),
            "{text}"
        );
    }

    #[test]
    fn attention_needs_scores_of_all_positions() {
        // 160 × 90 cells, 16 parts: 14,400² · 4 / 16 bytes, twice.
        assert_eq!(attention_bytes((1280, 720), 8, 16), 103_680_000);
        assert_eq!(attention_bytes((1280, 720), 8, 0), 0);
    }
}
