//! Ending the runs of a network from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ort::AsPointer;
use ort::session::RunOptions;

use crate::runtime::library::CAT;
use crate::system::lock::lock;

/// How often a thread that waits for other networks checks whether its own was cancelled.
pub const POLL: Duration = Duration::from_millis(20);

/// Ends the runs of one network, from any thread: the current run at its next operator, later runs before they begin.
///
/// There are two switches. [`cancel`](Self::cancel) lasts until [`reset`](Self::reset), as for a flush;
/// [`stop`](Self::stop) lasts until [`start`](Self::start), as for an element that leaves PAUSED. A cancelled step
/// gives [`RuntimeError::Cancelled`](super::RuntimeError::Cancelled), and the next one starts a segment. Other networks
/// with the same session are not disturbed.
///
/// Clones share their state.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<Switches>>);

#[derive(Default)]
struct Switches {
    cancelled: bool,
    /// Kept apart from `cancelled`, because the end of a flush must not undo it.
    stopped: bool,
    /// The current runs.
    runs: Vec<Arc<Run>>,
}

impl Switches {
    fn is_cancelled(&self) -> bool {
        self.cancelled || self.stopped
    }

    fn end_runs(&self) {
        self.runs.iter().for_each(|run| run.end());
    }
}

impl Cancel {
    /// Ends the current run and every later one, until [`Self::reset`]. Does not wait for the run's end.
    pub fn cancel(&self) {
        let mut state = self.lock();
        state.cancelled = true;
        state.end_runs();
    }

    /// Allows runs again, unless the network is stopped. Call it when no step is running: a step that was cancelled may
    /// otherwise not notice.
    pub fn reset(&self) {
        self.lock().cancelled = false;
    }

    /// Ends the current run and every later one, until [`Self::start`], whatever [`Self::reset`] does meanwhile.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.end_runs();
    }

    /// Allows runs again, after [`Self::cancel`] and [`Self::stop`].
    pub fn start(&self) {
        let mut state = self.lock();
        (state.cancelled, state.stopped) = (false, false);
    }

    /// Whether a step would be cancelled now.
    pub fn is_cancelled(&self) -> bool {
        self.lock().is_cancelled()
    }

    /// Ends `run` when the network is cancelled, now or later, until the watch is dropped.
    pub fn watch(&self, run: &Arc<Run>) -> Watch {
        let mut state = self.lock();
        if state.is_cancelled() {
            run.end();
        }
        state.runs.push(run.clone());
        Watch(self.clone(), run.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Switches> {
        lock(&self.0)
    }
}

/// Connects a run with a [`Cancel`] that may end it.
pub struct Watch(Cancel, Arc<Run>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.lock().runs.retain(|run| !Arc::ptr_eq(run, &self.1));
    }
}

/// One run of a graph, which may be ended from another thread.
pub struct Run {
    options: RunOptions,
    ended: AtomicBool,
}

impl Run {
    pub fn new() -> ort::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            options: RunOptions::new()?,
            ended: AtomicBool::new(false),
        }))
    }

    /// ONNX Runtime checks the options before every operator.
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        if let Err(error) = self.options.terminate() {
            gst::warning!(CAT, "A run cannot be ended: {}", error.message());
        }
    }

    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub fn ptr(&self) -> *const ort::sys::OrtRunOptions {
        self.options.ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_ended_by_its_own_networks_only() {
        crate::runtime::library::load().unwrap();
        let (first, second) = (Cancel::default(), Cancel::default());
        let (own, shared, other) = (Run::new().unwrap(), Run::new().unwrap(), Run::new().unwrap());
        let _watches = [
            first.watch(&own),
            first.watch(&shared),
            second.watch(&shared),
            second.watch(&other),
        ];
        first.clone().cancel();
        assert!(own.is_ended() && shared.is_ended() && !other.is_ended());
        assert!(first.is_cancelled() && !second.is_cancelled());
    }

    #[test]
    fn a_network_stays_cancelled_until_it_is_reset() {
        crate::runtime::library::load().unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        let run = Run::new().unwrap();
        drop(cancel.watch(&run));
        assert!(run.is_ended());
        cancel.reset();
        let run = Run::new().unwrap();
        drop(cancel.watch(&run));
        // The run is over and not watched any more.
        cancel.cancel();
        assert!(!run.is_ended());
    }

    #[test]
    fn the_end_of_a_flush_does_not_start_a_stopped_network() {
        let cancel = Cancel::default();
        cancel.cancel();
        cancel.stop();
        cancel.reset();
        assert!(cancel.is_cancelled());
        cancel.start();
        assert!(!cancel.is_cancelled());
    }
}
