//! Whether a picture fits into memory. This is checked before its state is allocated; where ONNX Runtime is refused
//! memory nevertheless, the error is the same.

use crate::details::Details;
use crate::runtime::error::RuntimeError;
use crate::runtime::session::{Port, Session};
use crate::system::memory::{self, Free};
use crate::tokenizer::{Description, Graph, Role, Target};

/// A step has its state twice in memory: before and after it.
const STATES: u128 = 2;
/// Memory of layers besides the state, in hundredths of the state with its channels rounded up to whole blocks: ONNX
/// Runtime computes convolutions in blocks of up to 16 channels.
const HUNDREDTHS_OF_BLOCKS: u128 = 125;
const BLOCK: u128 = 16;
/// Memory of layers in graphs without a state, in hundredths of the step's frames in as many channels as the first
/// layer has.
const HUNDREDTHS_OF_FRAMES: ByRole = ByRole {
    encoder: 140,
    decoder: 220,
};
/// How many copies of its frames a step has in memory, in the type that goes in or out and as floats.
const PIXEL_COPIES: ByRole = ByRole { encoder: 2, decoder: 3 };
/// Numbers of a pixel.
const CHANNELS: u128 = 3;

/// A number for encoders, and one for decoders.
struct ByRole {
    encoder: u128,
    decoder: u128,
}

impl ByRole {
    fn of(&self, role: Role) -> u128 {
        match role {
            Role::Encoder => self.encoder,
            Role::Decoder => self.decoder,
        }
    }
}

/// The memory that a network needs for pictures of one size.
pub struct Demand {
    needs: Needs,
    /// The memory that was free before a step was run; `None`: not known, or the network is in a GPU's memory. While a
    /// step is refused memory, ONNX Runtime's arena keeps what it has got so far, so the memory that is free then does
    /// not tell what would fit.
    free: Option<Free>,
    size: (u32, u32),
    graph: Graph,
}

impl Demand {
    /// The demand of a step on pictures of `size` pixels (padded), before the first step.
    pub fn of(session: &Session, size: (u32, u32)) -> Self {
        let graph = &session.graph;
        let pixels = u128::from(size.0) * u128::from(size.1);
        let pixel_bytes = CHANNELS * (graph.input.size() + size_of::<f32>()) as u128;
        let frames = pixels * (session.members * graph.description.grouping().step_frames()) as u128;
        let states = || session.inputs.iter().filter(|port| port.name.starts_with("state."));
        let state = states().map(bytes).fold(0, u128::saturating_add);
        let layers = if state == 0 {
            frames * u128::from(graph.channels) * 4 * HUNDREDTHS_OF_FRAMES.of(graph.role)
        } else {
            let blocks = states().map(|port| bytes_in_blocks(port, graph.target));
            blocks
                .fold(0, u128::saturating_add)
                .saturating_mul(HUNDREDTHS_OF_BLOCKS)
        };
        Self {
            needs: Needs {
                state,
                layers: layers / 100 + frames * pixel_bytes * PIXEL_COPIES.of(graph.role),
                attention: attention_bytes(size, graph.description.space_factor, graph.attention_parts),
            },
            // A GPU whose memory is too small fails when the session is tried out.
            free: if session.running.provider.uses_cuda() {
                None
            } else {
                memory::free()
            },
            size,
            graph: graph.clone(),
        }
    }

    /// Refuses a picture where a step needs more memory than is free.
    pub fn check(&self) -> Result<(), RuntimeError> {
        match self.free {
            Some(free) if self.needs.total() > u128::from(free.bytes) => {
                Err(RuntimeError::Memory(self.text(free).into()))
            }
            _ => Ok(()),
        }
    }

    /// `error`, or the error of [`check`](Self::check) with `error` as its cause where ONNX Runtime was refused memory.
    pub fn explain(&self, error: RuntimeError) -> RuntimeError {
        match (error, self.free) {
            (RuntimeError::Memory(details), Some(free)) => RuntimeError::Memory(details.with_text(self.text(free))),
            (error, _) => error,
        }
    }

    fn text(&self, free: Free) -> String {
        let text = explain(&self.needs, free, self.size, &self.graph.description);
        format!("The {} {text}", self.graph.role.as_str())
    }
}

/// The error where memory was refused for the network itself. `details`: what ONNX Runtime said.
pub fn no_room_for(graph: &Graph, details: &Details) -> RuntimeError {
    let free = memory::free().map_or(String::new(), |free| {
        format!(", {} MB are free{}", megabytes(free.bytes.into()), free.bound)
    });
    let text = format!(
        "The {} \"{}\" does not fit into memory{free}: use a narrower model. ONNX Runtime says of {details}",
        graph.role.as_str(),
        graph.description.name
    );
    RuntimeError::Memory(details.with_text(text))
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

    /// The part that grows with the picture's area.
    fn by_area(&self) -> u128 {
        self.state.saturating_mul(STATES).saturating_add(self.layers)
    }
}

/// Bytes of attention's scores, float32. Queries are computed in parts, and the scores of two parts are in memory at a
/// time.
fn attention_bytes((width, height): (u32, u32), cell: u32, parts: u32) -> u128 {
    let positions = u128::from(width / cell) * u128::from(height / cell);
    let scores = positions.saturating_mul(positions).saturating_mul(4 * 2);
    scores.checked_div(parts.into()).unwrap_or(0)
}

/// Bytes of a state.
fn bytes(port: &Port) -> u128 {
    let element = port.element.byte_size(1).unwrap_or(4) as u128;
    let sizes = port.shape.iter().map(|size| (*size).max(1) as u128);
    sizes.fold(element, u128::saturating_mul)
}

/// Bytes of a state with its channels rounded up to whole blocks, where the shape is `[N, C, H, W]`.
fn bytes_in_blocks(port: &Port, target: Target) -> u128 {
    match port.shape[..] {
        [_, channels, _, _] if channels > 0 && target == Target::Cpu => {
            let channels = channels as u128;
            (bytes(port) / channels).saturating_mul(channels.next_multiple_of(BLOCK))
        }
        _ => bytes(port),
    }
}

/// What is needed, what is free, and what would fit.
fn explain(needs: &Needs, free: Free, (width, height): (u32, u32), tokenizer: &Description) -> String {
    // Attention grows with the square of the area: what fits solves a·s² + b·s⁴ = available.
    let (a, b) = (needs.by_area() as f64, needs.attention as f64);
    let available = free.bytes as f64;
    let area = 2.0 * available / (a + (a * a + 4.0 * b * available).sqrt());
    // Where a step was refused memory that should have been enough, ONNX Runtime cannot get all that is free.
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
    use std::sync::Arc;

    use super::*;
    use crate::runtime::library;
    use crate::runtime::options::Options;
    use crate::runtime::provider::ExecutionProvider;
    use crate::runtime::report::Silent;
    use crate::runtime::session::make;
    use crate::system::memory::Bound;
    use crate::tokenizer;

    #[test]
    fn the_error_names_what_is_needed_and_what_would_fit() {
        let tokenizer = Description::toy();
        let explain = |state, layers, attention, bytes| {
            let needs = Needs {
                state,
                layers,
                attention,
            };
            let bound = Bound::ControlGroup;
            explain(&needs, Free { bytes, bound }, (1280, 720), &tokenizer)
        };
        let text = explain(1_000_000_000, 2_000_000_000, 0, 1_000_000_000);
        // A quarter of the memory is there for half the width and height.
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
        // The memory should have been enough, but was not.
        assert!(explain(1_000_000_000, 0, 0, 9_000_000_000).contains("about 1152×648 fits"));
        // A sixteenth of the memory, for attention alone, is there for half the width and height, too.
        let text = explain(0, 0, 16_000_000_000, 1_000_000_000);
        assert!(
            text.contains("attention 16000 MB") && text.contains("about 640×360 fits"),
            "{text}"
        );
    }

    /// Memory of these networks at their peak less that for the smallest picture, in MB: VmHWM of `gst-launch-1.0` with
    /// ONNX Runtime 1.32, on two cores with AVX-512.
    #[test]
    fn the_estimate_is_between_the_measurement_and_115_percent_of_it() {
        let fixtures = std::env::var("VIDTOK_FIXTURES").expect("tests/run.sh sets VIDTOK_FIXTURES");
        let open = |name: &str, role| match name {
            "" => tokenizer::embedded(role).unwrap(),
            name => tokenizer::open(&format!("{fixtures}/{name}"), role, Target::Cpu).unwrap(),
        };
        for (name, size, encoder, decoder) in [
            ("", (1280, 720), 338, 446),
            ("", (1920, 1088), 771, 995),
            ("golden_fsq_v1_1", (256, 256), 222, 449),
            ("golden_fsq_v1_1", (512, 512), 888, 1845),
            ("golden_kl_v1_0", (256, 256), 210, 353),
            ("tiny_v1_1", (256, 256), 143, 245),
            ("tiny_v1_1", (512, 512), 574, 990),
            ("golden_fsq_noncausal", (256, 256), 134, 184),
        ] {
            for (role, measured) in [(Role::Encoder, encoder), (Role::Decoder, decoder)] {
                let options = Options {
                    provider: ExecutionProvider::Cpu,
                    ..Options::default()
                };
                let environment = library::load().unwrap();
                let session = make(&environment, &open(name, role), options, size, Vec::new(), &Silent).unwrap();
                let needs = megabytes(Demand::of(&session, size).needs.total());
                eprintln!("{name} {role:?} {size:?}: {needs} MB, measured {measured}");
                assert!(
                    (measured..=measured * 115 / 100).contains(&needs),
                    "{name} {role:?} {size:?}: {needs} MB, measured {measured}"
                );
            }
        }
    }

    /// While a step is refused memory, what it already has is not free any more.
    #[test]
    fn the_error_names_what_was_free_before_the_step() {
        let graph = tokenizer::embedded(Role::Decoder).unwrap();
        let bound = Bound::AddressSpace;
        let demand = Demand {
            needs: Needs {
                state: 200_000_000,
                layers: 500_000_000,
                attention: 0,
            },
            free: Some(Free {
                bytes: 800_000_000,
                bound,
            }),
            size: (1280, 720),
            graph,
        };
        let error = demand
            .explain(RuntimeError::Memory("std::bad_alloc".into()))
            .to_string();
        assert!(error.contains("900 MB") && error.contains("800 MB are free"), "{error}");
        assert!(error.contains("about 1152×648 fits"), "{error}");
        // Other errors stay as they are.
        let other = demand.explain(RuntimeError::Run("no such node".into()));
        assert_eq!(other.to_string(), "no such node");
    }

    #[test]
    fn a_network_that_does_not_fit_at_all_is_named_with_what_was_said() {
        use std::error::Error;
        let graph = tokenizer::embedded(Role::Encoder).unwrap();
        let refused = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let details = Details::with_cause("/model/encoder.onnx: std::bad_alloc", Arc::new(refused));
        let error = no_room_for(&graph, &details);
        let text = error.to_string();
        for part in [
            &format!("The encoder \"{}\" does not fit into memory", graph.description.name)[..],
            "use a narrower model",
            "/model/encoder.onnx: std::bad_alloc",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(error.source().is_some_and(|cause| cause.is::<std::io::Error>()));
    }

    #[test]
    fn attention_needs_scores_of_all_positions() {
        // 160 × 90 cells, 16 parts: 14,400² · 4 / 16 bytes, twice.
        assert_eq!(attention_bytes((1280, 720), 8, 16), 103_680_000);
        assert_eq!(attention_bytes((1280, 720), 8, 0), 0);
    }
}
