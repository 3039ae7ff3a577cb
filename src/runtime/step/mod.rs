//! The tensors that a graph runs on: what callers give and take, and the state, which stays on the device.

mod hold;
mod one_node;

use std::fmt;
use std::sync::Arc;

use ort::value::{DynTensor, TensorElementType};

use hold::Keep;

use super::RuntimeError;
use super::cancel::{Cancel, Run};
use super::session::{Memory, SharedSession};

/// What a graph's inputs and outputs are for, by their place in the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// Inputs that callers give.
    pub given: Vec<usize>,
    /// Outputs that callers take, and their shapes.
    pub taken: Vec<(usize, Vec<i64>)>,
    /// Each state's input, and the output that gives it for the next step.
    pub states: Vec<(usize, usize)>,
}

impl Wiring {
    /// The places of the outputs that callers take.
    pub fn taken_places(&self) -> impl Iterator<Item = usize> {
        self.taken.iter().map(|(place, _)| *place)
    }
}

/// What a graph reads and writes in a run of `streams` streams, which are the first axis of every tensor.
pub struct Tensors {
    given: Vec<HostTensor>,
    taken: Vec<HostTensor>,
    states: Vec<State>,
    wiring: Wiring,
    keep: Keep,
    // The last one: it is gone after the tensors that it has allocated.
    session: Arc<SharedSession>,
}

/// One of a graph's states before and after a step; a step swaps them.
struct State {
    before: DynTensor,
    after: DynTensor,
}

impl Tensors {
    /// Allocates everything for the inputs and outputs of `wiring`, which fit the graph. Says what is wrong as ONNX
    /// Runtime says it.
    pub fn new(session: Arc<SharedSession>, wiring: Wiring) -> ort::Result<Self> {
        let memory = session.memory()?;
        let given = given(&session, &wiring, &memory)?;
        let taken = wiring
            .taken
            .iter()
            .map(|(index, shape)| HostTensor::new(&memory, session.outputs[*index].element, shape));
        let taken = taken.collect::<ort::Result<Vec<_>>>()?;
        let state = |(input, _): &(usize, usize)| {
            let port = &session.inputs[*input];
            let tensor = || memory.device_tensor(port.element, &port.shape);
            Ok(State {
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
            keep: Keep::default(),
            session,
        })
    }

    pub fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    pub fn streams(&self) -> usize {
        self.session.streams
    }

    /// Another set of tensors for the inputs that callers give: one is filled while the graph runs on the other.
    pub fn spare_given(&self) -> ort::Result<Vec<HostTensor>> {
        given(&self.session, &self.wiring, &self.session.memory()?)
    }

    /// The inputs that callers give, in the wiring's order.
    pub fn given_mut(&mut self) -> &mut Vec<HostTensor> {
        &mut self.given
    }

    /// Gives the bytes of each of the wiring's inputs for the stream in `slot`.
    pub fn give(&mut self, slot: usize, bytes: &[&[u8]]) -> Result<(), RuntimeError> {
        let streams = self.streams();
        let mut inputs = self.given.iter_mut().zip(bytes);
        inputs.try_for_each(|(tensor, bytes)| tensor.set(slot, streams, bytes))
    }

    /// Copies what the stream in `slot` gave for the latest run to `given`, tensors like these.
    pub fn copy_given(&self, slot: usize, given: &mut [HostTensor]) -> Result<(), RuntimeError> {
        let streams = self.streams();
        let mut tensors = self.given.iter().zip(given);
        tensors.try_for_each(|(from, to)| to.set(slot, streams, from.slot(slot, streams)))
    }

    /// What the latest run gave for the stream in `slot`, in the order of the wiring's outputs.
    pub fn taken(&self, slot: usize) -> Vec<&[u8]> {
        let streams = self.streams();
        self.taken.iter().map(|tensor| tensor.slot(slot, streams)).collect()
    }

    /// Runs a step, unless one of `cancels` ends it. The streams that `holds` names are left where they were: their
    /// results are noise.
    ///
    /// # Errors
    /// [`Failure::Run`] and [`Failure::Cancelled`] leave the state of every stream as it was; after [`Failure::State`] it is
    /// lost.
    pub fn run(&mut self, holds: &[bool], cancels: &[Cancel]) -> Result<(), Failure> {
        let this_run = Run::new().map_err(Failure::Run)?;
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
        let taken = self.taken.iter_mut().map(|tensor| &mut tensor.tensor);
        feeds.extend(self.wiring.given.iter().copied().zip(given));
        fetches.extend(self.wiring.taken_places().zip(taken));
        let run = self.session.run_cancellable(&this_run, &feeds, &mut fetches);
        run.map_err(|error| {
            if this_run.is_ended() {
                Failure::Cancelled
            } else {
                Failure::Run(error)
            }
        })?;
        for state in &mut self.states {
            if holds.contains(&true) {
                self.keep
                    .choose(&self.session, holds, &mut state.before, &mut state.after)
                    .map_err(Failure::State)?;
            }
            std::mem::swap(&mut state.before, &mut state.after);
        }
        Ok(())
    }
}

/// Why a step failed.
#[derive(Debug)]
pub enum Failure {
    Run(ort::Error),
    State(ort::Error),
    Cancelled,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) | Self::State(error) => write!(f, "ONNX Runtime: {}", error.message()),
            Self::Cancelled => RuntimeError::Cancelled.fmt(f),
        }
    }
}

impl Failure {
    /// The same for each of a batch's streams.
    pub fn to_error(&self) -> RuntimeError {
        match self {
            Self::Cancelled => RuntimeError::Cancelled,
            failure => RuntimeError::Run(failure.to_string()),
        }
    }
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        failure.to_error()
    }
}

fn given(session: &SharedSession, wiring: &Wiring, memory: &Memory) -> ort::Result<Vec<HostTensor>> {
    let ports = wiring.given.iter().map(|index| &session.inputs[*index]);
    ports
        .map(|port| HostTensor::new(memory, port.element, &port.shape))
        .collect()
}

/// A tensor in memory that the CPU reaches: its own, or pinned, from where a GPU copies by itself.
pub struct HostTensor {
    tensor: DynTensor,
    len: usize,
}

impl HostTensor {
    /// A tensor of zeros.
    fn new(memory: &Memory, element: TensorElementType, shape: &[i64]) -> ort::Result<Self> {
        let mut tensor = memory.host_tensor(element, shape)?;
        let len = element.byte_size(shape.iter().product::<i64>() as usize).unwrap_or(0);
        if len > 0 {
            // SAFETY: the tensor was just made with that many bytes, where the CPU may write. ort zeroes only what it
            // knows to be the CPU's, and a slice must not show bytes that nobody has written.
            unsafe { tensor.data_ptr_mut().cast::<u8>().write_bytes(0, len) };
        }
        Ok(Self { tensor, len })
    }

    fn tensor(&self) -> &DynTensor {
        &self.tensor
    }

    /// Bytes of the stream in `slot` of `slots`.
    pub fn slot(&self, slot: usize, slots: usize) -> &[u8] {
        let size = self.len / slots;
        &self.bytes()[slot * size..][..size]
    }

    /// Writes the bytes of the stream in `slot` of `slots`.
    pub fn set(&mut self, slot: usize, slots: usize, bytes: &[u8]) -> Result<(), RuntimeError> {
        let size = self.len / slots;
        if bytes.len() != size {
            let text = format!("a step takes {size} bytes, and was given {}", bytes.len());
            return Err(RuntimeError::Run(text));
        }
        self.bytes_mut()[slot * size..][..size].copy_from_slice(bytes);
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `len` bytes, written when the tensor was made. A run that writes them borrows the tensor mutably.
        unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as in `bytes`, and through `&mut self` nobody else has them.
        unsafe { std::slice::from_raw_parts_mut(self.tensor.data_ptr_mut().cast(), self.len) }
    }
}
