//! Turns: a limited number of runs at a time, in the order of asking.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::runtime::cancel::POLL;
use crate::system::lock::{lock, wait_timeout};

/// Lets at max `limit` in at a time, first come, first served.
pub struct Turns {
    limit: u64,
    tickets: Mutex<Tickets>,
    changed: Condvar,
}

#[derive(Default)]
struct Tickets {
    /// Tickets given out so far.
    given: u64,
    /// The tickets of runs that wait, in the order of asking.
    waiting: VecDeque<u64>,
    /// Runs that have their turn.
    inside: u64,
}

/// A turn; it ends when this is dropped.
pub struct Turn<'a>(&'a Turns);

impl Turns {
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1) as u64,
            tickets: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for a turn; `None`: `give_up` became true while waiting.
    pub fn enter(&self, give_up: impl Fn() -> bool) -> Option<Turn<'_>> {
        let mut tickets = self.lock();
        let own = tickets.given;
        tickets.given += 1;
        tickets.waiting.push_back(own);
        while tickets.inside >= self.limit || tickets.waiting.front() != Some(&own) {
            if give_up() {
                tickets.waiting.retain(|ticket| *ticket != own);
                self.changed.notify_all();
                return None;
            }
            tickets = wait_timeout(&self.changed, tickets, POLL);
        }
        tickets.waiting.pop_front();
        tickets.inside += 1;
        // There may be room for the next ticket, too.
        self.changed.notify_all();
        Some(Turn(self))
    }

    fn lock(&self) -> MutexGuard<'_, Tickets> {
        lock(&self.tickets)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn as_many_as_the_limit_are_in_at_once() {
        let (turns, inside) = (Turns::new(2), Barrier::new(2));
        let (now, max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let _turn = turns.enter(|| false);
                    max.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // No thread passes alone: two are let in together, three times.
                    inside.wait();
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(max.into_inner(), 2);
    }

    #[test]
    fn turns_come_in_the_order_of_asking() {
        let turns = Turns::new(1);
        let (sender, order) = mpsc::channel();
        std::thread::scope(|scope| {
            let first = turns.enter(|| false);
            for number in 0..4 {
                let (sender, turns) = (sender.clone(), &turns);
                scope.spawn(move || {
                    let _turn = turns.enter(|| false);
                    sender.send(number).unwrap();
                });
                // The next one asks only after this one has.
                while turns.lock().given < number + 2 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            assert!(order.try_recv().is_err(), "a second turn began beside the first");
            drop(first);
        });
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_turn_that_is_given_up_is_waited_for_no_more() {
        let turns = Turns::new(1);
        let first = turns.enter(|| false);
        std::thread::scope(|scope| {
            let last = scope.spawn(|| {
                // The turn that is given up is asked for before this one.
                while turns.lock().given < 2 {
                    std::thread::yield_now();
                }
                drop(turns.enter(|| false));
            });
            let looks = std::cell::Cell::new(0);
            let give_up = || looks.replace(looks.get() + 1) > 3;
            assert!(turns.enter(give_up).is_none());
            drop(first);
            last.join().unwrap();
        });
        assert!(turns.lock().waiting.is_empty() && turns.lock().inside == 0);
    }
}
