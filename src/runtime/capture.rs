//! Who may call CUDA while a thread captures a CUDA graph: nobody. ONNX Runtime captures in CUDA's global mode, in
//! which an allocation or a copy from another thread of the process fails, and spoils the capture.
//!
//! Each guard is held around one call of ONNX Runtime, with nothing waited for in it, so that none waits for another.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use ort::session::Session;

use super::ExecutionProvider;

static CALLS: RwLock<()> = RwLock::new(());

/// For a call that may reach CUDA: any number at a time, and none while something is captured.
pub fn call(provider: ExecutionProvider) -> Option<RwLockReadGuard<'static, ()>> {
    provider
        .has_memory()
        .then(|| CALLS.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// For a run that captures.
pub fn capture() -> RwLockWriteGuard<'static, ()> {
    CALLS.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A session that is taken down while nothing is captured.
pub struct GuardedSession {
    session: ManuallyDrop<Session>,
    provider: ExecutionProvider,
}

impl GuardedSession {
    pub fn new(session: Session, provider: ExecutionProvider) -> Self {
        let session = ManuallyDrop::new(session);
        Self { session, provider }
    }
}

impl Deref for GuardedSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for GuardedSession {
    fn drop(&mut self) {
        let _call = call(self.provider);
        // SAFETY: here alone, and nothing can use the session afterwards.
        unsafe { ManuallyDrop::drop(&mut self.session) };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn calls_go_on_together_and_wait_for_a_capture() {
        let other = call(ExecutionProvider::Cuda);
        assert!(other.is_some() && call(ExecutionProvider::TensorRt).is_some());
        drop(other);
        std::thread::scope(|scope| {
            let capturing = capture();
            // What is not CUDA's business.
            assert!(call(ExecutionProvider::Cpu).is_none() && call(ExecutionProvider::OpenVino).is_none());
            let waiting = scope.spawn(|| drop(call(ExecutionProvider::Cuda)));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished());
            drop(capturing);
            waiting.join().unwrap();
        });
    }
}
