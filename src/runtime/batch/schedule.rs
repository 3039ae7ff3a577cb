//! Which streams go into the next batch, and when it starts. Knows no network: the rules alone.

use std::time::Instant;

/// What the streams of one batch are doing. A batch has a fixed number of slots, one for each of its streams.
///
/// A batch starts once everybody who is expected has come, or when the first of those who wait has waited long enough.
/// Expected are those who were in the batch before. So a stream that is paused or slow makes the others wait once;
/// nobody waits for it again until it has come back, which it may at any time.
#[derive(Debug)]
pub struct Schedule {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Vacant,
    /// Between two steps. `expected`: the others wait for it.
    Idle {
        expected: bool,
    },
    /// Wants a step, and waits for the others no longer than until then.
    Waiting {
        until: Instant,
    },
    /// In the batch that runs.
    Running,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// These slots start now, in one batch: they are marked as running.
    Start(Vec<usize>),
    /// Nothing before this time, unless something changes.
    WaitUntil(Instant),
    /// Nothing until something changes.
    Wait,
}

impl Schedule {
    pub fn new(slots: usize) -> Self {
        Self {
            slots: vec![Slot::Vacant; slots],
        }
    }

    /// Takes a slot for a new stream; `None`: there is none left.
    pub fn join(&mut self) -> Option<usize> {
        let slot = self.slots.iter().position(|slot| *slot == Slot::Vacant)?;
        self.slots[slot] = Slot::Idle { expected: false };
        Some(slot)
    }

    /// Gives up the slot of a stream that has ended, between two of its steps.
    pub fn leave(&mut self, slot: usize) {
        self.slots[slot] = Slot::Vacant;
    }

    /// The stream in `slot` wants a step, and waits for the others until then.
    pub fn submit(&mut self, slot: usize, until: Instant) {
        self.slots[slot] = Slot::Waiting { until };
    }

    pub fn is_running(&self, slot: usize) -> bool {
        self.slots[slot] == Slot::Running
    }

    /// The stream in `slot` does not want the step any more that it waits for.
    pub fn withdraw(&mut self, slot: usize) {
        if matches!(self.slots[slot], Slot::Waiting { .. }) {
            self.slots[slot] = Slot::Idle { expected: false };
        }
    }

    /// The batch with `slot` was ended: its stream wants the step still, at once.
    pub fn resume(&mut self, slot: usize, now: Instant) {
        self.slots[slot] = Slot::Waiting { until: now };
    }

    /// What is to be done at the time `now`.
    pub fn next(&mut self, now: Instant) -> Next {
        if self.slots.contains(&Slot::Running) {
            return Next::Wait;
        }
        let until = |slot: &Slot| match slot {
            Slot::Waiting { until } => Some(*until),
            _ => None,
        };
        let Some(until) = self.slots.iter().filter_map(until).min() else {
            return Next::Wait;
        };
        if self.slots.contains(&Slot::Idle { expected: true }) && now < until {
            return Next::WaitUntil(until);
        }
        let mut started = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match slot {
                Slot::Waiting { .. } => {
                    *slot = Slot::Running;
                    started.push(index);
                }
                Slot::Idle { expected } => *expected = false,
                Slot::Vacant | Slot::Running => (),
            }
        }
        Next::Start(started)
    }

    /// The batch that ran is done; the next one waits for those who were in it.
    pub fn finish(&mut self) {
        for slot in &mut self.slots {
            if *slot == Slot::Running {
                *slot = Slot::Idle { expected: true };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A schedule of `slots` whose first `streams` were in the batch that has just ended.
    fn after_a_batch(slots: usize, streams: usize, now: Instant) -> Schedule {
        let mut schedule = Schedule::new(slots);
        for slot in 0..streams {
            assert_eq!(schedule.join(), Some(slot));
            schedule.submit(slot, now);
        }
        assert_eq!(schedule.next(now), Next::Start((0..streams).collect()));
        schedule.finish();
        schedule
    }

    const WAIT: Duration = Duration::from_millis(10);

    #[test]
    fn a_stream_alone_does_not_wait() {
        let now = Instant::now();
        let mut schedule = Schedule::new(4);
        assert_eq!(schedule.next(now), Next::Wait);
        let slot = schedule.join().unwrap();
        assert_eq!(schedule.next(now), Next::Wait);
        for _ in 0..3 {
            schedule.submit(slot, now + WAIT);
            assert_eq!(schedule.next(now), Next::Start(vec![slot]));
            schedule.finish();
        }
    }

    #[test]
    fn a_batch_starts_once_all_of_the_last_one_are_back() {
        let now = Instant::now();
        let mut schedule = after_a_batch(4, 3, now);
        schedule.submit(2, now + WAIT);
        schedule.submit(0, now + 2 * WAIT);
        assert_eq!(schedule.next(now), Next::WaitUntil(now + WAIT));
        schedule.submit(1, now + 3 * WAIT);
        assert_eq!(schedule.next(now), Next::Start(vec![0, 1, 2]));
    }

    #[test]
    fn a_stream_that_does_not_come_is_waited_for_once() {
        let now = Instant::now();
        let mut schedule = after_a_batch(2, 2, now);
        schedule.submit(0, now + WAIT);
        assert_eq!(schedule.next(now + WAIT / 2), Next::WaitUntil(now + WAIT));
        assert_eq!(schedule.next(now + WAIT), Next::Start(vec![0]));
        schedule.finish();
        // The other one is paused: no waiting any more.
        schedule.submit(0, now + 3 * WAIT);
        assert_eq!(schedule.next(now + 2 * WAIT), Next::Start(vec![0]));
        schedule.finish();
        // It comes back, and its first step waits for the one that was in the last batch.
        schedule.submit(1, now + 4 * WAIT);
        assert_eq!(schedule.next(now + 3 * WAIT), Next::WaitUntil(now + 4 * WAIT));
        schedule.submit(0, now + 5 * WAIT);
        assert_eq!(schedule.next(now + 3 * WAIT), Next::Start(vec![0, 1]));
    }

    #[test]
    fn a_stream_that_comes_while_a_batch_runs_is_in_the_next_one() {
        let now = Instant::now();
        let mut schedule = after_a_batch(3, 1, now);
        let late = schedule.join().unwrap();
        schedule.submit(0, now);
        assert_eq!(schedule.next(now), Next::Start(vec![0]));
        schedule.submit(late, now + WAIT);
        assert_eq!(schedule.next(now + 2 * WAIT), Next::Wait);
        schedule.finish();
        // Its time is over: it does not wait for the one that has just run.
        assert_eq!(schedule.next(now + 2 * WAIT), Next::Start(vec![late]));
    }

    #[test]
    fn no_stream_waits_for_one_that_has_ended_or_not_begun() {
        let now = Instant::now();
        let mut schedule = after_a_batch(3, 2, now);
        let new = schedule.join().unwrap();
        schedule.submit(0, now + WAIT);
        assert_eq!(schedule.next(now), Next::WaitUntil(now + WAIT));
        schedule.leave(1);
        assert_eq!(schedule.next(now), Next::Start(vec![0]));
        schedule.finish();
        // The slot is free for another one.
        assert_eq!(schedule.join(), Some(1));
        assert_eq!(schedule.join(), None);
        schedule.submit(new, now + WAIT);
        schedule.submit(0, now + WAIT);
        assert_eq!(schedule.next(now), Next::Start(vec![0, new]));
    }

    #[test]
    fn without_patience_no_stream_waits() {
        let now = Instant::now();
        let mut schedule = after_a_batch(2, 2, now);
        schedule.submit(1, now);
        assert_eq!(schedule.next(now), Next::Start(vec![1]));
    }

    #[test]
    fn a_step_that_is_withdrawn_is_not_run_and_not_waited_for() {
        let now = Instant::now();
        let mut schedule = after_a_batch(2, 2, now);
        schedule.submit(0, now + WAIT);
        schedule.withdraw(0);
        assert_eq!(schedule.next(now), Next::Wait);
        schedule.submit(1, now + WAIT);
        assert_eq!(schedule.next(now), Next::Start(vec![1]));
        // A step under way is not withdrawn: it ends.
        schedule.withdraw(1);
        assert_eq!(schedule.next(now), Next::Wait);
        schedule.finish();
        schedule.resume(1, now);
        assert_eq!(schedule.next(now), Next::Start(vec![1]));
    }
}
