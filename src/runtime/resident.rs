//! Tensors that stay where they are on the device, as a captured CUDA graph wants them.
//!
//! Capturing records the kernels of a run and the addresses that they work on; from then on a run replays them, and
//! ONNX Runtime looks at what it is given no more. So what callers give is copied to a fixed place on the device first,
//! and what they take from one afterwards. The states swap places with every step: that makes two recordings, told
//! apart by a number (`gpu_graph_id`).
//!
//! All of it but the capturing itself works on any provider, and is tested on the CPU's.

use ort::session::RunOptions;
use ort::value::{DynTensor, TensorElementType};

use super::one_node;
use super::session::{Mode, SharedSession};
use super::tensors::Wiring;

/// The run's option that says which recording it makes, or replays.
const GRAPH_ID: &str = "gpu_graph_id";

pub struct Resident {
    given: Vec<DynTensor>,
    taken: Vec<DynTensor>,
    /// Copy a tensor, one for each type.
    movers: Vec<(TensorElementType, SharedSession)>,
    /// Of even and of odd steps.
    recordings: [Recording; 2],
    odd: bool,
}

struct Recording {
    options: RunOptions,
    /// Where the tensors were that it is of.
    places: Places,
}

/// Addresses of tensors that must not change.
#[derive(Default)]
struct Places(Option<Vec<usize>>);

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    First,
    Again,
    Moved,
}

impl Places {
    /// Whether these are the addresses of the first call.
    fn see(&mut self, addresses: Vec<usize>) -> Seen {
        match &self.0 {
            None => {
                self.0 = Some(addresses);
                Seen::First
            }
            Some(first) if *first == addresses => Seen::Again,
            Some(_) => Seen::Moved,
        }
    }
}

impl Resident {
    /// Places for tensors like these.
    pub fn new<'a>(
        session: &SharedSession,
        given: impl Iterator<Item = &'a DynTensor>,
        taken: impl Iterator<Item = &'a DynTensor>,
    ) -> ort::Result<Self> {
        let memory = session.memory()?;
        let like = |tensor: &DynTensor| memory.device_tensor(*tensor.data_type(), tensor.shape());
        let given: Vec<DynTensor> = given.map(like).collect::<ort::Result<_>>()?;
        let taken: Vec<DynTensor> = taken.map(like).collect::<ort::Result<_>>()?;
        let mut movers = Vec::<(TensorElementType, SharedSession)>::new();
        for tensor in given.iter().chain(&taken) {
            let element = *tensor.data_type();
            if movers.iter().all(|(of, _)| *of != element) {
                let model = one_node::model("Identity", &[element], element);
                movers.push((element, session.companion(&model)?));
            }
        }
        let recording = || -> ort::Result<Recording> {
            let mut options = RunOptions::new()?;
            options.set(GRAPH_ID, session.next_recording().to_string())?;
            let places = Places::default();
            Ok(Recording { options, places })
        };
        Ok(Self {
            given,
            taken,
            movers,
            recordings: [recording()?, recording()?],
            odd: false,
        })
    }

    /// Runs a step: `given` is copied in, `taken` is written. Both come with the inputs and outputs that are where the
    /// graph works on them, the states.
    pub fn run<'a>(
        &mut self,
        session: &SharedSession,
        wiring: &Wiring,
        (given, states): (impl Iterator<Item = &'a DynTensor>, Vec<(usize, &'a DynTensor)>),
        (taken, next_states): (impl Iterator<Item = &'a mut DynTensor>, Vec<(usize, &'a mut DynTensor)>),
    ) -> ort::Result<()> {
        for (from, to) in given.zip(&mut self.given) {
            copy(&self.movers, from, to)?;
        }
        let mut feeds: Vec<(usize, &DynTensor)> = states;
        let mut fetches: Vec<(usize, &mut DynTensor)> = next_states;
        feeds.extend(wiring.given.iter().copied().zip(&self.given));
        fetches.extend(wiring.taken_places().zip(&mut self.taken));
        let read = feeds.iter().map(|(_, tensor)| tensor.data_ptr() as usize);
        let written = fetches.iter().map(|(_, tensor)| tensor.data_ptr() as usize);
        let recording = &mut self.recordings[usize::from(self.odd)];
        let mode = match recording.places.see(read.chain(written).collect()) {
            Seen::First => Mode::Capture(&recording.options),
            Seen::Again => Mode::Replay(&recording.options),
            // A replay would work on the old places, and give old results.
            Seen::Moved => return Err(ort::Error::new("tensors have moved since the CUDA graph was captured")),
        };
        session.run_as(mode, &feeds, &mut fetches)?;
        for (from, to) in self.taken.iter().zip(taken) {
            copy(&self.movers, from, to)?;
        }
        Ok(())
    }

    /// The states have swapped places.
    pub fn swap(&mut self) {
        self.odd = !self.odd;
    }
}

fn copy(movers: &[(TensorElementType, SharedSession)], from: &DynTensor, to: &mut DynTensor) -> ort::Result<()> {
    let mover = movers.iter().find(|(element, _)| element == from.data_type());
    let (_, mover) = mover.ok_or_else(|| ort::Error::new("a tensor has changed its type"))?;
    mover.run(&[(0, from)], &mut [(0, to)])
}

#[cfg(test)]
mod tests {
    use super::{Places, Seen};

    #[test]
    fn a_tensor_that_moves_is_noticed() {
        let mut places = Places::default();
        assert_eq!(places.see(vec![1, 2, 3]), Seen::First);
        assert_eq!(places.see(vec![1, 2, 3]), Seen::Again);
        assert_eq!(places.see(vec![1, 3, 2]), Seen::Moved);
        // And stays so: what was captured is still there.
        assert_eq!(places.see(vec![1, 3, 2]), Seen::Moved);
        assert_eq!(places.see(vec![1, 2, 3]), Seen::Again);
    }
}
