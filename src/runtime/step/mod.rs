//! A step: one run of a graph on tensors of its own, whose state it carries to the next step.
//!
//! `wiring` says what the graph's inputs and outputs are for. Callers write and read `host` tensors; the state stays on
//! the device. `hold` restores the state of members that a batch ran without.

mod hold;
mod host;
mod one_node;
mod wiring;

use std::sync::Arc;

use ort::value::DynTensor;

pub use host::HostTensor;
pub use wiring::{Given, Wiring, token_type};

use hold::Holder;

use crate::runtime::cancel::{Cancel, Run};
use crate::runtime::error::RuntimeError;
use crate::runtime::provider::fault;
use crate::runtime::session::{Allocators, Session};

/// What a graph reads and writes in a run. The first axis of every tensor is the members of a batch.
pub struct Tensors {
    given: Vec<HostTensor>,
    taken: Vec<HostTensor>,
    states: Vec<StatePair>,
    wiring: Wiring,
    holder: Holder,
    // The last field, so that it is dropped after the tensors that it has allocated.
    session: Arc<Session>,
}

/// A state before and after a step. Each step swaps the two.
struct StatePair {
    before: DynTensor,
    after: DynTensor,
}

impl Tensors {
    /// Allocates tensors for the inputs and outputs of `wiring`, which is the session's.
    ///
    /// # Errors
    /// ONNX Runtime's, such as where memory is refused.
    pub fn new(session: Arc<Session>, wiring: Wiring) -> ort::Result<Self> {
        let allocators = session.allocators();
        let given = given(&session, &wiring, &allocators)?;
        let taken = wiring
            .taken
            .iter()
            .map(|(place, shape)| HostTensor::new(&allocators, session.outputs[*place].element, shape));
        let taken = taken.collect::<ort::Result<Vec<_>>>()?;
        let state = |(input, _): &(usize, usize)| {
            let port = &session.inputs[*input];
            let tensor = || allocators.device_tensor(port.element, &port.shape);
            Ok(StatePair {
                before: tensor()?,
                after: tensor()?,
            })
        };
        let states = wiring.states.iter().map(state).collect::<ort::Result<_>>()?;
        Ok(Self {
            given,
            taken,
            states,
            wiring,
            holder: Holder::default(),
            session,
        })
    }

    /// Members of a batch, 1 without batches.
    pub fn members(&self) -> usize {
        self.session.members
    }

    /// Another set of tensors for the inputs that callers give, to be filled while the graph runs on the first set.
    pub fn spare_given(&self) -> ort::Result<Vec<HostTensor>> {
        given(&self.session, &self.wiring, &self.session.allocators())
    }

    /// The inputs that callers give, in the wiring's order.
    pub fn given_mut(&mut self) -> &mut Vec<HostTensor> {
        &mut self.given
    }

    /// Gives the bytes of each of the wiring's inputs for the member in `slot`.
    pub fn give(&mut self, slot: usize, bytes: &[&[u8]]) -> Result<(), RuntimeError> {
        let members = self.members();
        let mut inputs = self.given.iter_mut().zip(bytes);
        inputs.try_for_each(|(tensor, bytes)| tensor.set(slot, members, bytes))
    }

    /// Copies what the member in `slot` gave for the latest run to `given`, tensors like these.
    pub fn copy_given(&self, slot: usize, given: &mut [HostTensor]) -> Result<(), RuntimeError> {
        let members = self.members();
        let mut tensors = self.given.iter().zip(given);
        tensors.try_for_each(|(from, to)| to.set(slot, members, from.slot(slot, members)))
    }

    /// The outputs of the latest run for the member in `slot`, in the wiring's order.
    pub fn taken(&self, slot: usize) -> Vec<&[u8]> {
        let members = self.members();
        self.taken.iter().map(|tensor| tensor.slot(slot, members)).collect()
    }

    /// Runs a step, unless one of `cancels` ends it. Members set in `holds` keep the state that they had; their outputs
    /// are undefined.
    ///
    /// # Errors
    /// [`Failure::Run`] and [`Failure::Cancelled`] leave the state of every member as it was; after [`Failure::State`]
    /// it is lost.
    pub fn run(&mut self, holds: &[bool], cancels: &[Cancel]) -> Result<(), Failure> {
        let this_run = Run::new().map_err(|error| Failure::Run(Arc::new(error)))?;
        let _watches: Vec<_> = cancels.iter().map(|cancel| cancel.watch(&this_run)).collect();
        if this_run.is_ended() {
            return Err(Failure::Cancelled);
        }
        let mut feeds: Vec<(usize, &DynTensor)> = Vec::new();
        let mut fetches: Vec<(usize, &mut DynTensor)> = Vec::new();
        for ((input, output), state) in self.wiring.states.iter().zip(&mut self.states) {
            feeds.push((*input, &state.before));
            fetches.push((*output, &mut state.after));
        }
        let given = self.given.iter().map(HostTensor::tensor);
        let taken = self.taken.iter_mut().map(HostTensor::tensor_mut);
        feeds.extend(self.wiring.given.iter().map(|(place, _)| *place).zip(given));
        fetches.extend(self.wiring.taken_places().zip(taken));
        self.session.run(&this_run, &feeds, &mut fetches).map_err(|error| {
            if this_run.is_ended() {
                Failure::Cancelled
            } else {
                Failure::Run(Arc::new(error))
            }
        })?;
        for state in &mut self.states {
            if holds.contains(&true) {
                self.holder
                    .restore(&self.session, holds, &mut state.before, &mut state.after)
                    .map_err(|error| Failure::State(Arc::new(error)))?;
            }
            std::mem::swap(&mut state.before, &mut state.after);
        }
        Ok(())
    }
}

fn given(session: &Session, wiring: &Wiring, allocators: &Allocators) -> ort::Result<Vec<HostTensor>> {
    let ports = wiring.given.iter().map(|(place, _)| &session.inputs[*place]);
    ports
        .map(|port| HostTensor::new(allocators, port.element, &port.shape))
        .collect()
}

/// Why a step failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The graph did not run to its end. The state is as it was.
    Run(Arc<ort::Error>),
    /// The graph ran, but the state of members that were held could not be restored: every state is lost.
    State(Arc<ort::Error>),
    /// The step was cancelled. The state is as it was.
    Cancelled,
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Run(error) | Failure::State(error) => run_error(error),
            Failure::Cancelled => Self::Cancelled,
        }
    }
}

/// The error for what ONNX Runtime says of a step or its tensors: [`RuntimeError::Memory`] or [`RuntimeError::Run`].
pub fn run_error(error: Arc<ort::Error>) -> RuntimeError {
    fault::graph_error("ONNX Runtime", error, RuntimeError::Run)
}
