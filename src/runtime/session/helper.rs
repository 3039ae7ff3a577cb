//! A small model on the device of a session, for the session's tensors.

use ort::value::DynTensor;

use super::Session;
use super::runner::Runner;
use crate::runtime::library;
use crate::runtime::provider::{ExecutionProvider, Setup};
use crate::tokenizer::{Precision, Target};

/// A session for a small model. It has one thread and one user.
pub struct HelperSession(Runner);

impl HelperSession {
    /// Makes one from the bytes of an ONNX `model`, on the device where the tensors of `session` are.
    pub fn new(session: &Session, model: &[u8]) -> ort::Result<Self> {
        let provider = match session.running.provider {
            // TensorRT would build an engine, which takes long. Its tensors are CUDA's.
            ExecutionProvider::TensorRt => ExecutionProvider::Cuda,
            other => other,
        };
        let environment = library::load().map_err(ort::Error::wrap)?;
        let builder = ort::session::Session::builder(&environment)?
            .with_intra_op_spinning(false)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?;
        let setup = Setup {
            threads: 1,
            ..session.options.setup(Target::Cpu, Precision::Fp32)
        };
        let mut builder = provider.add_to(builder, &setup).map_err(ort::Error::wrap)?;
        Runner::new(builder.commit_from_memory(model)?).map(Self)
    }

    /// Runs the model on `inputs`, all in its order, and writes to its only output.
    pub fn run(&mut self, inputs: &[&DynTensor], output: &mut DynTensor) -> ort::Result<()> {
        let feeds: Vec<_> = inputs.iter().copied().enumerate().collect();
        self.0.run(None, &feeds, &mut [(0, output)])
    }
}
