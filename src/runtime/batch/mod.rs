//! Streams that run together: one run of the graph is a step of each of them.
//!
//! There is no thread for it. The stream that finds that a batch is to start runs it for all streams in it, on the
//! thread that asked for the stream's own step. Where one of them is cancelled, the run is ended, and the others' steps
//! run again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

mod schedule;

use schedule::{Next, Schedule};

use super::RuntimeError;
use super::cancel::{Cancel, POLL};
use super::step::{Failure, HostTensor, Tensors, Wiring};
use crate::system::lock::{lock, wait_timeout};

/// What a step gives a stream.
pub struct Outputs {
    /// The bytes of each output, in the wiring's order.
    pub bytes: Vec<Vec<u8>>,
    /// How many streams made the step together.
    pub streams: usize,
}

/// The batches of one session: where there are more streams than one has room for, there is another.
#[derive(Default)]
pub struct Batches(Mutex<Vec<Weak<Batch>>>);

struct Batch {
    wiring: Wiring,
    streams: usize,
    state: Mutex<State>,
    /// A step was asked for or is done, or a stream has left.
    changed: Condvar,
}

struct State {
    schedule: Schedule,
    /// Absent while they run.
    tensors: Option<Tensors>,
    /// What the streams that wait give to the next run.
    given: Vec<HostTensor>,
    slots: Vec<Slot>,
    /// Why no step can follow.
    broken: Option<String>,
}

impl State {
    fn check(&self) -> Result<(), RuntimeError> {
        match &self.broken {
            Some(text) => Err(RuntimeError::Run(text.clone())),
            None => Ok(()),
        }
    }

    fn leave(&mut self, slot: usize) {
        self.schedule.leave(slot);
        self.slots[slot] = Slot::default();
    }
}

#[derive(Default)]
struct Slot {
    /// What the stream's step gave, until it is fetched.
    result: Option<Result<Outputs, RuntimeError>>,
    /// The stream has a state, which the steps of others must not change.
    has_state: bool,
    /// Of the step that the stream waits for.
    cancel: Cancel,
    /// The step is under way, and its stream does not wait for it any more.
    abandoned: bool,
    /// The same, and the stream is gone.
    left: bool,
}

/// A stream's place in a batch.
pub struct Member {
    batch: Arc<Batch>,
    slot: usize,
    timeout: Duration,
}

impl Batches {
    /// A place in a batch of this wiring; `allocate` makes the tensors of another one where there is none. A step of
    /// this stream waits for those of others no longer than `timeout`.
    pub fn join(
        &self,
        wiring: &Wiring,
        timeout: Duration,
        allocate: impl FnOnce() -> Result<Tensors, RuntimeError>,
    ) -> Result<Member, RuntimeError> {
        // Held while a batch is allocated: of two streams that start together, the second finds the first one's.
        let mut batches = lock(&self.0);
        batches.retain(|batch| batch.strong_count() > 0);
        for batch in batches.iter().filter_map(Weak::upgrade) {
            if batch.wiring == *wiring
                && let Some(slot) = batch.join()
            {
                return Ok(Member { batch, slot, timeout });
            }
        }
        let batch = Arc::new(Batch::new(allocate()?)?);
        batches.push(Arc::downgrade(&batch));
        let slot = batch
            .join()
            .ok_or_else(|| RuntimeError::Run("a new batch has no room".into()))?;
        Ok(Member { batch, slot, timeout })
    }
}

impl Member {
    /// Runs a step on the bytes `given` for each of the wiring's inputs, unless `cancel` ends it.
    pub fn step(&mut self, given: &[&[u8]], cancel: &Cancel) -> Result<Outputs, RuntimeError> {
        let Self { batch, slot, timeout } = self;
        let mut state = batch.lock();
        // A step that was abandoned still has this stream's place.
        while state.slots[*slot].abandoned {
            if cancel.is_cancelled() {
                return Err(RuntimeError::Cancelled);
            }
            state = batch.wait(state, POLL);
        }
        state.check()?;
        for (tensor, bytes) in state.given.iter_mut().zip(given) {
            tensor.set(*slot, batch.streams, bytes)?;
        }
        let now = Instant::now();
        state.slots[*slot].cancel = cancel.clone();
        state.schedule.submit(*slot, now.checked_add(*timeout).unwrap_or(now));
        loop {
            if let Some(result) = state.slots[*slot].result.take() {
                return result;
            }
            // It may have broken while this stream waited for its turn.
            state.check()?;
            if cancel.is_cancelled() {
                state.slots[*slot].abandoned = state.schedule.is_running(*slot);
                state.schedule.withdraw(*slot);
                batch.changed.notify_all();
                return Err(RuntimeError::Cancelled);
            }
            let now = Instant::now();
            state = match state.schedule.next(now) {
                Next::Start(slots) => batch.run(state, slots),
                Next::WaitUntil(until) => batch.wait(state, (until - now).min(POLL)),
                Next::Wait => batch.wait(state, POLL),
            };
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.batch.lock();
        if state.slots[self.slot].abandoned {
            state.slots[self.slot].left = true;
            return;
        }
        state.leave(self.slot);
        // Others may have waited for this stream.
        self.batch.changed.notify_all();
    }
}

impl Batch {
    fn new(tensors: Tensors) -> Result<Self, RuntimeError> {
        let streams = tensors.streams();
        Ok(Self {
            wiring: tensors.wiring().clone(),
            streams,
            state: Mutex::new(State {
                schedule: Schedule::new(streams),
                given: tensors.spare_given().map_err(Failure::Run)?,
                tensors: Some(tensors),
                slots: (0..streams).map(|_| Slot::default()).collect(),
                broken: None,
            }),
            changed: Condvar::new(),
        })
    }

    fn join(&self) -> Option<usize> {
        let mut state = self.lock();
        if state.broken.is_some() {
            return None;
        }
        state.schedule.join()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Waits for a change, or so long.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        wait_timeout(&self.changed, state, time)
    }

    /// Runs a step of the streams in `slots`, unlocked.
    fn run<'a>(&'a self, mut state: MutexGuard<'a, State>, slots: Vec<usize>) -> MutexGuard<'a, State> {
        let mut running = Running {
            batch: self,
            holds: state.slots.iter().map(|slot| slot.has_state).collect(),
            cancels: slots.iter().map(|slot| state.slots[*slot].cancel.clone()).collect(),
            tensors: state.tensors.take(),
            done: None,
            slots,
        };
        for slot in &running.slots {
            running.holds[*slot] = false;
        }
        if let Some(tensors) = &mut running.tensors {
            std::mem::swap(tensors.given_mut(), &mut state.given);
        }
        drop(state);
        running.run();
        drop(running);
        self.lock()
    }
}

/// A run under way. Dropped, it tells each of its streams how it ended, also where that was a panic.
struct Running<'a> {
    batch: &'a Batch,
    slots: Vec<usize>,
    /// Of the streams in the batch.
    cancels: Vec<Cancel>,
    /// Streams that have a state and are not in this batch.
    holds: Vec<bool>,
    tensors: Option<Tensors>,
    done: Option<Result<(), Failure>>,
}

impl Running<'_> {
    fn run(&mut self) {
        if let Some(tensors) = &mut self.tensors {
            self.done = Some(tensors.run(&self.holds, &self.cancels));
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Copied before the lock is taken.
        let results: Vec<Result<Outputs, RuntimeError>> = match (&self.done, &self.tensors) {
            (Some(Ok(())), Some(tensors)) => {
                let outputs = |slot: &usize| {
                    Ok(Outputs {
                        bytes: tensors.taken(*slot).into_iter().map(<[u8]>::to_vec).collect(),
                        streams: self.slots.len(),
                    })
                };
                self.slots.iter().map(outputs).collect()
            }
            (Some(Err(failure)), _) => self.slots.iter().map(|_| Err(failure.to_error())).collect(),
            _ => {
                let panicked = || RuntimeError::Run("a batch ended in a panic".into());
                self.slots.iter().map(|_| Err(panicked())).collect()
            }
        };
        let mut state = self.batch.lock();
        if !matches!(self.done, Some(Ok(()) | Err(Failure::Run(_) | Failure::Cancelled))) {
            state.broken = Some("the streams of this batch have lost their state: start them anew".into());
        }
        state.schedule.finish();
        for (slot, result) in self.slots.iter().zip(results) {
            self.end(&mut state, *slot, result);
        }
        state.tensors = self.tensors.take();
        self.batch.changed.notify_all();
    }
}

impl Running<'_> {
    /// Tells the stream in `slot` how its step ended.
    fn end(&self, state: &mut State, slot: usize, result: Result<Outputs, RuntimeError>) {
        let own = &mut state.slots[slot];
        own.has_state |= result.is_ok();
        if own.left {
            return state.leave(slot);
        }
        if std::mem::take(&mut own.abandoned) {
            return;
        }
        if !matches!(result, Err(RuntimeError::Cancelled)) || own.cancel.is_cancelled() {
            own.result = Some(result);
            return;
        }
        // The batch was ended for another stream: this one's step runs again.
        let copied = match &self.tensors {
            Some(tensors) => tensors.copy_given(slot, &mut state.given),
            None => Err(RuntimeError::Run("a batch has lost its tensors".into())),
        };
        match copied {
            Ok(()) => state.schedule.resume(slot, Instant::now()),
            Err(error) => state.slots[slot].result = Some(Err(error)),
        }
    }
}
