//! ONNX Runtime: finding the library, execution providers, sessions that streams share, and a step with state.
//!
//! ```text
//! network      one stream's encoder or decoder: bytes in, tokens out
//!   sharing      one session and its batches for all streams that want the same
//!     choose       which provider and form of the graph: tries each until one works
//!   batch        members that run together, and when
//!     step         one run on tensors that carry a state: wiring, holding
//!       session      a graph on one provider: making it, turns, runs, placement
//! budget       whether a picture fits into memory
//! operators    kernels for the graphs' own operators
//! provider     CUDA, TensorRT, OpenVINO: options, faults, advice
//! options, cancel, library, report, error     the ground
//! ```
//!
//! Imports go down this list only; `tests/layers.rs` holds it.

mod batch;
mod budget;
mod cancel;
mod choose;
mod error;
mod library;
mod network;
mod operators;
mod options;
mod provider;
mod report;
mod session;
mod sharing;
mod step;

pub use cancel::Cancel;
pub use error::{Details, ProviderFault, RuntimeError};
pub use library::load;
pub use network::{DecoderNetwork, EncoderNetwork};
pub use options::Options;
pub use provider::ExecutionProvider;
pub use report::{Progress, Report, Silent};
pub use session::{Running, session_builder};
