//! Ending the runs of a stream from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ort::AsPointer;
use ort::session::RunOptions;

use crate::system::lock::lock;

/// How often a thread that waits for other streams looks whether its own was cancelled.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// Ends the runs of one stream: one under way at its next operator, later ones before they begin, until
/// [`Self::reset`], or, where the stream has stopped, until [`Self::start`]. A step that was cancelled gives
/// [`RuntimeError::Cancelled`](super::RuntimeError::Cancelled), and its stream starts a segment next. Other streams of
/// the same network are not disturbed.
///
/// Clones are one and the same.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    /// The end of a flush does not undo it.
    stopped: bool,
    /// Under way.
    runs: Vec<Arc<Run>>,
}

impl State {
    fn is_cancelled(&self) -> bool {
        self.cancelled || self.stopped
    }

    fn end_runs(&self) {
        self.runs.iter().for_each(|run| run.end());
    }
}

impl Cancel {
    /// Ends the run under way, and every later one. Returns at once.
    pub fn cancel(&self) {
        let mut state = self.lock();
        state.cancelled = true;
        state.end_runs();
    }

    /// Lets runs go on again, unless the stream has stopped. To be called once no step is under way.
    pub fn reset(&self) {
        self.lock().cancelled = false;
    }

    /// The same as [`Self::cancel`], up to the next [`Self::start`]: a flush may end meanwhile in another thread.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.end_runs();
    }

    /// Lets runs go on again, whatever was said before.
    pub fn start(&self) {
        let mut state = self.lock();
        (state.cancelled, state.stopped) = (false, false);
    }

    pub fn is_cancelled(&self) -> bool {
        self.lock().is_cancelled()
    }

    /// Ends `run` when the stream is cancelled, at once where it was already.
    pub(super) fn watch(&self, run: &Arc<Run>) -> Watch {
        let mut state = self.lock();
        if state.is_cancelled() {
            run.end();
        }
        state.runs.push(run.clone());
        Watch(self.clone(), run.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// A run's place with a [`Cancel`] that may end it.
pub(super) struct Watch(Cancel, Arc<Run>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.lock().runs.retain(|run| !Arc::ptr_eq(run, &self.1));
    }
}

/// A run that may be ended.
pub(super) struct Run {
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

    /// ONNX Runtime looks at the options before every operator.
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        if let Err(error) = self.options.terminate() {
            gst::warning!(super::library::CAT, "A run cannot be ended: {}", error.message());
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
    fn a_run_is_ended_by_its_own_streams_only() {
        crate::runtime::load().unwrap();
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
    fn what_is_cancelled_stays_so_until_it_is_reset() {
        crate::runtime::load().unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        let run = Run::new().unwrap();
        drop(cancel.watch(&run));
        assert!(run.is_ended());
        cancel.reset();
        let run = Run::new().unwrap();
        drop(cancel.watch(&run));
        // It is over, and no longer the stream's business.
        cancel.cancel();
        assert!(!run.is_ended());
    }

    #[test]
    fn the_end_of_a_flush_starts_nothing_that_has_stopped() {
        let cancel = Cancel::default();
        cancel.cancel();
        cancel.stop();
        cancel.reset();
        assert!(cancel.is_cancelled());
        cancel.start();
        assert!(!cancel.is_cancelled());
    }
}
