//! Locks that a panic of another thread does not spoil.
//!
//! One policy holds for the whole plugin: the data behind a poisoned mutex is taken as it is. A mutex is poisoned when
//! a thread panics while it holds the guard. Every place that locks one leaves the data consistent before anything that
//! can panic (a run of a graph, a callback), or marks it as broken, so there is nothing to protect from. And a panic in
//! one pipeline must not end the other pipelines of an application, as a second panic on their next lock would.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locks `mutex`, also where another thread panicked while it held the guard.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unlocks `guard` until `condvar` is notified or `time` has passed, and locks again. It may also wake for no reason.
pub fn wait_timeout<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
    let waited = condvar.wait_timeout(guard, time);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_another_thread_leaves_the_data_to_the_others() {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        std::thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let mut value = lock(&mutex);
                *value = 2;
                panic!("with the lock held, on purpose");
            });
            assert!(panics.join().is_err());
        });
        assert!(mutex.is_poisoned());
        assert_eq!(*lock(&mutex), 2);
        let guard = wait_timeout(&condvar, lock(&mutex), Duration::from_millis(1));
        assert_eq!(*guard, 2);
    }

    #[test]
    fn a_wait_ends_with_its_time() {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let (begin, time) = (std::time::Instant::now(), Duration::from_millis(20));
        while begin.elapsed() < time {
            drop(wait_timeout(&condvar, lock(&mutex), time));
        }
    }
}
