//! Whether a picture fits into memory: known, and said, before its state is allocated; and the same where it turns out
//! only when ONNX Runtime is refused some.

use super::RuntimeError;
use super::session::{Port, SharedSession};
use crate::system::memory::{self, Free};
use crate::tokenizer::{Description, Graph};

/// A step's memory as a multiple of the state, in tenths: the state before and after it, and what the layers hold in
/// between. Measured with VidTok networks of 16 and 32 channels at 128×128 to 512×512 pixels: 3.3 to 3.6.
const TENTHS_OF_STATES: u128 = 36;
/// A step's memory without state, as a multiple of all its frames in the first layer's channels. Measured: 1.9 and 2.9.
const LAYERS_IN_A_STEP: u128 = 3;
/// Of a frame's pixel: three bytes, and three floats.
const PIXEL_BYTES: u128 = 3 + 3 * 4;
/// In what ONNX Runtime says where it is refused memory.
const REFUSED: [&str; 4] = [
    "bad_alloc",
    "bad allocation",
    "Failed to allocate memory",
    "Cannot allocate memory",
];

/// What a network needs for pictures of one size.
pub struct Demand {
    needs: Needs,
    size: (u32, u32),
    graph: Graph,
}

impl Demand {
    /// Of a step on pictures of `size` pixels (padded).
    pub fn of(session: &SharedSession, size: (u32, u32)) -> Self {
        let graph = &session.graph;
        let pixels = u128::from(size.0) * u128::from(size.1);
        let frames = pixels * (session.streams * graph.description.grouping().step_frames()) as u128;
        let state = state_bytes(&session.inputs);
        let layers = if state == 0 {
            LAYERS_IN_A_STEP * u128::from(graph.channels) * 4
        } else {
            0
        };
        Self {
            needs: Needs {
                state,
                layers: frames * (layers + PIXEL_BYTES),
                attention: attention_bytes(size, graph.description.space_factor, graph.attention_parts),
            },
            size,
            graph: graph.clone(),
        }
    }

    /// Refuses a picture where a step cannot fit into the memory that is free.
    pub fn check(&self) -> Result<(), RuntimeError> {
        match memory::free() {
            Some(free) if self.needs.total() > u128::from(free.bytes) => Err(self.error(free)),
            _ => Ok(()),
        }
    }

    /// `error`, in the words of [`check`](Self::check) where it says that there was no memory.
    pub fn explain(&self, error: RuntimeError) -> RuntimeError {
        match (&error, memory::free()) {
            (RuntimeError::Run(text), Some(free)) if was_refused(text) => self.error(free),
            _ => error,
        }
    }

    fn error(&self, free: Free) -> RuntimeError {
        let text = explain(&self.needs, free, self.size, &self.graph.description);
        RuntimeError::Memory(format!("The {} {text}", self.graph.role.as_str()))
    }
}

/// Whether `message`, of ONNX Runtime, says that there was no memory.
pub fn was_refused(message: &str) -> bool {
    REFUSED.iter().any(|text| message.contains(text))
}

/// The error where there was no memory for the network itself.
pub fn no_room_for(graph: &Graph, message: &str) -> RuntimeError {
    let free = memory::free().map_or(String::new(), |free| {
        format!(", {} MB are free{}", megabytes(free.bytes.into()), free.bound)
    });
    RuntimeError::Memory(format!(
        "The {} \"{}\" does not fit into memory{free}: use a narrower model. ONNX Runtime says: {message}",
        graph.role.as_str(),
        graph.description.name
    ))
}

/// What a step needs, in bytes.
struct Needs {
    state: u128,
    layers: u128,
    attention: u128,
}

impl Needs {
    fn total(&self) -> u128 {
        self.by_area().saturating_add(self.attention)
    }

    /// What grows with the picture's area.
    fn by_area(&self) -> u128 {
        (self.state.saturating_mul(TENTHS_OF_STATES) / 10).saturating_add(self.layers)
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

/// What is needed where `free` is not enough, and what would fit.
fn explain(needs: &Needs, free: Free, (width, height): (u32, u32), tokenizer: &Description) -> String {
    // Attention grows with the square of the area: what fits solves a·s² + b·s⁴ = available.
    let (a, b) = (needs.by_area() as f64, needs.attention as f64);
    let available = free.bytes as f64;
    let area = 2.0 * available / (a + (a * a + 4.0 * b * available).sqrt());
    // Of what was free while the memory was refused, some had been taken already.
    let scale = area.sqrt().min(0.9);
    let fits = |pixels: u32| {
        let cells = (f64::from(pixels) * scale) as u32 / tokenizer.space_factor;
        cells * tokenizer.space_factor
    };
    let way_out = match (fits(width), fits(height)) {
        (0, _) | (_, 0) => "it does not fit at any size: use a narrower model".to_string(),
        (width, height) => format!("scale the video down, about {width}×{height} fits, or use a narrower model"),
    };
    format!(
        "\"{}\" needs about {} MB for {width}×{height} pixels (state {} MB, attention {} MB), {} MB are free{}: {way_out}",
        tokenizer.name,
        megabytes(needs.total()),
        megabytes(needs.state),
        megabytes(needs.attention),
        megabytes(free.bytes.into()),
        free.bound
    )
}

fn megabytes(bytes: u128) -> u128 {
    bytes.div_ceil(1_000_000)
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
        let explain = |state, layers, attention, bytes| {
            let needs = Needs {
                state,
                layers,
                attention,
            };
            let bound = Bound::ControlGroup;
            explain(&needs, Free { bytes, bound }, (1280, 720), &tokenizer)
        };
        let text = explain(1_000_000_000, 400_000_000, 0, 1_000_000_000);
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
        assert!(explain(u128::MAX, u128::MAX, 0, 1).contains("narrower model"));
        // There is enough by now, and there was not.
        assert!(explain(1_000_000_000, 0, 0, 9_000_000_000).contains("about 1152×648 fits"));
        // A sixteenth of the memory, for attention alone: half the width and height, too.
        let text = explain(0, 0, 16_000_000_000, 1_000_000_000);
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

    #[test]
    fn what_onnx_runtime_says_of_refused_memory() {
        // What 1.17 to 1.32 say, with the limit of address space set low.
        for said in [
            "Non-zero status code returned while running Conv node. Name:'c' Status Message: std::bad_alloc",
            "/onnxruntime_src/core/framework/bfc_arena.cc:359 Failed to allocate memory for requested buffer of size 4294967296",
            "mmap failed: Cannot allocate memory",
        ] {
            assert!(was_refused(said), "{said}");
        }
        assert!(!was_refused("Got invalid dimensions for input: frames"));
    }
}
