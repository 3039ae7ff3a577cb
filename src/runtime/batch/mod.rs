//! Batches: networks that run together, so that one run of the graph is a step of each member.
//!
//! No extra thread: the caller whose request completes the batch runs the graph for all members (`schedule` decides
//! when that is). Where a member is cancelled, the run is ended, and the other members' steps run again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

mod schedule;

use schedule::{Action, Schedule};

use crate::runtime::cancel::{Cancel, POLL};
use crate::runtime::error::RuntimeError;
use crate::runtime::step::{Failure, HostTensor, Tensors, run_error};
use crate::system::lock::{lock, wait_timeout};

/// The result of a step for a member.
pub struct Outputs {
    /// The bytes of each output, in the wiring's order.
    pub bytes: Vec<Vec<u8>>,
    /// How many members took part in the run.
    pub members: usize,
}

/// The batches of one session. A network for which no batch has room starts another one.
#[derive(Default)]
pub struct Batches(Mutex<Vec<Weak<Batch>>>);

/// A batch, which its members share.
struct Batch {
    /// How many members it has room for.
    size: usize,
    state: Mutex<BatchState>,
    /// Notified when a step was requested or is done, and when a member has left.
    changed: Condvar,
}

/// What a batch's members change, behind its mutex.
struct BatchState {
    schedule: Schedule,
    /// `None` while the graph runs on them.
    tensors: Option<Tensors>,
    /// The inputs of the next run.
    given: Vec<HostTensor>,
    slots: Vec<Slot>,
    /// Why no step can follow.
    broken: Option<String>,
}

impl BatchState {
    fn check(&self) -> Result<(), RuntimeError> {
        match &self.broken {
            Some(text) => Err(RuntimeError::Run(text.clone().into())),
            None => Ok(()),
        }
    }

    fn leave(&mut self, slot: usize) {
        self.schedule.leave(slot);
        self.slots[slot] = Slot::default();
    }
}

/// A member's place.
#[derive(Default)]
struct Slot {
    /// The result of the member's step, until the member takes it.
    result: Option<Result<Outputs, RuntimeError>>,
    /// The member has run a step: runs without it must restore its state.
    has_state: bool,
    /// Cancels the step that the member waits for.
    cancel: Cancel,
    /// The member was cancelled while its step runs, and does not wait for the result.
    abandoned: bool,
    /// The member was dropped while its step runs.
    left: bool,
}

/// A network's membership of a batch. On drop, it ends.
pub struct Member {
    batch: Arc<Batch>,
    slot: usize,
    timeout: Duration,
}

impl Batches {
    /// Joins a batch. Where none has room, `allocate` makes the tensors of another one. A step of
    /// the member waits for the steps of others no longer than `timeout`.
    ///
    /// # Errors
    /// Those of `allocate`, and ONNX Runtime's for further tensors.
    pub fn join(
        &self,
        timeout: Duration,
        allocate: impl FnOnce() -> Result<Tensors, RuntimeError>,
    ) -> Result<Member, RuntimeError> {
        // The lock is held while a batch is allocated, so that two networks that start together share it.
        let mut batches = lock(&self.0);
        batches.retain(|batch| batch.strong_count() > 0);
        for batch in batches.iter().filter_map(Weak::upgrade) {
            if let Some(slot) = batch.join() {
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
    /// Runs a step on the bytes `given` for each of the wiring's inputs, unless `cancel` ends it. Waits for the other
    /// members.
    ///
    /// # Errors
    /// [`RuntimeError::Cancelled`]; [`RuntimeError::Run`] or [`RuntimeError::Memory`] where the step fails, or where an
    /// earlier one has lost the members' state.
    pub fn step(&mut self, given: &[&[u8]], cancel: &Cancel) -> Result<Outputs, RuntimeError> {
        let Self { batch, slot, timeout } = self;
        let mut state = batch.lock();
        // An abandoned step still runs on this slot.
        while state.slots[*slot].abandoned {
            if cancel.is_cancelled() {
                return Err(RuntimeError::Cancelled);
            }
            state = batch.wait(state, POLL);
        }
        state.check()?;
        for (tensor, bytes) in state.given.iter_mut().zip(given) {
            tensor.set(*slot, batch.size, bytes)?;
        }
        let now = Instant::now();
        state.slots[*slot].cancel = cancel.clone();
        state.schedule.submit(*slot, now.checked_add(*timeout).unwrap_or(now));
        loop {
            if let Some(result) = state.slots[*slot].result.take() {
                return result;
            }
            // The batch may have broken while this member waited.
            state.check()?;
            if cancel.is_cancelled() {
                state.slots[*slot].abandoned = state.schedule.is_running(*slot);
                state.schedule.withdraw(*slot);
                batch.changed.notify_all();
                return Err(RuntimeError::Cancelled);
            }
            let now = Instant::now();
            state = match state.schedule.next(now) {
                Action::Start(slots) => batch.run(state, slots),
                Action::WaitUntil(until) => batch.wait(state, (until - now).min(POLL)),
                Action::Wait => batch.wait(state, POLL),
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
        // Other members may wait for this one.
        self.batch.changed.notify_all();
    }
}

impl Batch {
    fn new(tensors: Tensors) -> Result<Self, RuntimeError> {
        let size = tensors.members();
        Ok(Self {
            size,
            state: Mutex::new(BatchState {
                schedule: Schedule::new(size),
                given: tensors.spare_given().map_err(|error| run_error(Arc::new(error)))?,
                tensors: Some(tensors),
                slots: (0..size).map(|_| Slot::default()).collect(),
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

    fn lock(&self) -> MutexGuard<'_, BatchState> {
        lock(&self.state)
    }

    /// Waits for a change, at most for `time`.
    fn wait<'a>(&self, state: MutexGuard<'a, BatchState>, time: Duration) -> MutexGuard<'a, BatchState> {
        wait_timeout(&self.changed, state, time)
    }

    /// Runs a step of the members in `slots`, with the lock released.
    fn run<'a>(&'a self, mut state: MutexGuard<'a, BatchState>, slots: Vec<usize>) -> MutexGuard<'a, BatchState> {
        let mut run = BatchRun {
            batch: self,
            holds: state.slots.iter().map(|slot| slot.has_state).collect(),
            cancels: slots.iter().map(|slot| state.slots[*slot].cancel.clone()).collect(),
            tensors: state.tensors.take(),
            done: None,
            slots,
        };
        for slot in &run.slots {
            run.holds[*slot] = false;
        }
        if let Some(tensors) = &mut run.tensors {
            std::mem::swap(tensors.given_mut(), &mut state.given);
        }
        drop(state);
        run.run();
        drop(run);
        self.lock()
    }
}

/// A run in progress. On drop, hands every member its result, even after a panic.
struct BatchRun<'a> {
    batch: &'a Batch,
    /// The members that take part.
    slots: Vec<usize>,
    /// What may cancel each of their steps.
    cancels: Vec<Cancel>,
    /// Set for members that have a state and do not take part.
    holds: Vec<bool>,
    tensors: Option<Tensors>,
    /// `None` until the run has ended; after a panic it stays so.
    done: Option<Result<(), Failure>>,
}

impl BatchRun<'_> {
    fn run(&mut self) {
        if let Some(tensors) = &mut self.tensors {
            self.done = Some(tensors.run(&self.holds, &self.cancels));
        }
    }
}

impl Drop for BatchRun<'_> {
    fn drop(&mut self) {
        // Results are copied before the lock is taken, so that other members need not wait for that.
        let results: Vec<Result<Outputs, RuntimeError>> = match (&self.done, &self.tensors) {
            (Some(Ok(())), Some(tensors)) => {
                let outputs = |slot: &usize| {
                    Ok(Outputs {
                        bytes: tensors.taken(*slot).into_iter().map(<[u8]>::to_vec).collect(),
                        members: self.slots.len(),
                    })
                };
                self.slots.iter().map(outputs).collect()
            }
            (Some(Err(failure)), _) => self.slots.iter().map(|_| Err(failure.clone().into())).collect(),
            _ => {
                let panicked = || RuntimeError::Run("a batch ended in a panic".into());
                self.slots.iter().map(|_| Err(panicked())).collect()
            }
        };
        let mut state = self.batch.lock();
        if !matches!(self.done, Some(Ok(()) | Err(Failure::Run(_) | Failure::Cancelled))) {
            state.broken = Some("the streams of this batch have lost their state: restart them".into());
        }
        state.schedule.finish();
        for (slot, result) in self.slots.iter().zip(results) {
            self.end(&mut state, *slot, result);
        }
        state.tensors = self.tensors.take();
        self.batch.changed.notify_all();
    }
}

impl BatchRun<'_> {
    /// Hands the member in `slot` its result.
    fn end(&self, state: &mut BatchState, slot: usize, result: Result<Outputs, RuntimeError>) {
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
        // The run was ended for another member: this member's step runs again.
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
