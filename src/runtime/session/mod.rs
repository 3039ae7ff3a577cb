//! A session: a graph made ready for one picture size on one provider, and runs of it.
//!
//! `make` makes one and `placement` reads what ONNX Runtime logs meanwhile. A run waits for its turn (`turns`) and is
//! one call of ONNX Runtime (`runner`) on tensors of the session's `allocators`.

mod allocators;
mod helper;
mod make;
mod placement;
mod runner;
mod running;
mod turns;

use ort::value::{DynTensor, Outlet, TensorElementType, ValueType};

pub use allocators::Allocators;
pub use helper::HelperSession;
pub use make::{make, session_builder};
pub use running::Running;

use runner::Runner;
use turns::Turns;

use crate::runtime::cancel::Run;
use crate::runtime::options::{Options, cores};
use crate::runtime::provider::ExecutionProvider;
use crate::system::memory::GiveBack;
use crate::tokenizer::Graph;

/// A graph ready to run, for any number of networks. The weights are in memory once.
pub struct Session {
    runner: Runner,
    turns: Turns,
    options: Options,
    /// The graph that runs. With `auto` it may be another variant than the one that was asked for.
    pub graph: Graph,
    pub running: Running,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// Members of a batch, 1 without batches: the first axis of every tensor.
    pub members: usize,
    /// The last field, so that what the others free is given back.
    _memory: GiveBack,
}

impl Session {
    fn new(session: ort::session::Session, graph: &Graph, running: Running, options: Options) -> ort::Result<Self> {
        let ports = |outlets: &[Outlet]| outlets.iter().map(Port::new).collect::<ort::Result<Vec<_>>>();
        let (inputs, outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        let at_once = match running.provider {
            // With more runs than cores, runs take memory and caches from each other, and gain nothing.
            ExecutionProvider::Cpu => cores(),
            _ => 1,
        };
        Ok(Self {
            runner: Runner::new(session)?,
            turns: Turns::new(at_once),
            options,
            graph: graph.clone(),
            running,
            inputs,
            outputs,
            members: options.members(),
            _memory: GiveBack,
        })
    }

    /// Runs the graph on `feeds`, which are all its inputs, and writes to `fetches`, any of its outputs, by their
    /// places in `inputs` and `outputs`. Waits for a turn: on the CPU, as many runs as there are cores have a turn at
    /// the same time, else one.
    ///
    /// # Errors
    /// ONNX Runtime's. A `run` that is ended, waiting or running, fails as well. Outputs are then undefined.
    pub fn run(
        &self,
        run: &Run,
        feeds: &[(usize, &DynTensor)],
        fetches: &mut [(usize, &mut DynTensor)],
    ) -> ort::Result<()> {
        let _turn = self
            .turns
            .enter(|| run.is_ended())
            .ok_or_else(|| ort::Error::new("the run was ended before it began"))?;
        self.runner.run(Some(run), feeds, fetches)
    }

    /// What allocates this session's tensors.
    pub fn allocators(&self) -> Allocators {
        if self.running.provider.uses_cuda() {
            Allocators::cuda(self.runner.session(), self.options.device)
        } else {
            Allocators::cpu()
        }
    }
}

/// An input or output of a graph.
#[derive(Clone, Debug)]
pub struct Port {
    pub name: String,
    pub element: TensorElementType,
    /// A size that ONNX Runtime could not work out beforehand is negative.
    pub shape: Vec<i64>,
}

impl Port {
    fn new(outlet: &Outlet) -> ort::Result<Self> {
        let name = outlet.name().to_string();
        match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => Ok(Self {
                name,
                element: *ty,
                shape: shape.to_vec(),
            }),
            other => Err(ort::Error::new(format!("\"{name}\" is not a tensor but {other}"))),
        }
    }
}
