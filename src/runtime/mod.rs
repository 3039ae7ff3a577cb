//! ONNX Runtime: finding the library, execution providers, sessions that networks share, and a step with state.
//!
//! ```text
//! network            an element's encoder or decoder: bytes in, tokens out, and back
//!   sharing          one session and its batches for all networks that want the same
//!     choose         which provider, and which variant of the graph: tries each until one works
//!     batch          members that run together, and when they run
//!       step         one run, on tensors that carry a state to the next one
//!         session    a graph on one provider, and runs of it
//! ```
//!
//! These parts stand below or between them:
//!
//! - `budget`: whether a picture fits into memory,
//! - `operators`: kernels for the graphs' own operators,
//! - `options`: how a graph is run,
//! - `provider`: what CUDA, TensorRT and OpenVINO need, and what their faults mean,
//! - `cancel`, `library`, `report`, `error`.
//!
//! A part imports only parts below it: `tests/layers.rs` lists the order, and checks it.

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
pub use error::{ProviderFault, RuntimeError};

pub use crate::details::Details;
pub use library::load;
pub use network::{DecoderNetwork, EncoderNetwork};
pub use operators::Convolutions;
pub use options::Options;
pub use provider::ExecutionProvider;
pub use report::{Progress, Report, Silent};
pub use session::{Running, session_builder};
