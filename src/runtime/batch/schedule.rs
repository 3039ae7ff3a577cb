//! Which members take part in the next run, and when it starts. The rules alone: no network, no lock.

use std::time::Instant;

/// What the members of a batch are doing. A batch has a fixed number of slots, one for each member.
///
/// A run starts once every expected member has requested a step, or when the first request has waited long enough.
/// Members that took part in the previous run are expected. So a member that is paused or slow makes the others wait
/// once; they do not wait for it again until it has come back, which it may do at any time.
#[derive(Debug)]
pub struct Schedule {
    slots: Vec<SlotState>,
}

/// What the member in a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    Vacant,
    /// Between two steps. `expected`: the other members wait for it.
    Idle {
        expected: bool,
    },
    /// Has requested a step, and waits for other members until then at most.
    Waiting {
        until: Instant,
    },
    /// Takes part in the current run.
    Running,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a run of these slots, which are marked as running.
    Start(Vec<usize>),
    /// Wait until this time, or until something changes.
    WaitUntil(Instant),
    /// Wait until something changes.
    Wait,
}

impl Schedule {
    pub fn new(slots: usize) -> Self {
        Self {
            slots: vec![SlotState::Vacant; slots],
        }
    }

    /// Takes a slot for a new member; `None`: all are taken.
    pub fn join(&mut self) -> Option<usize> {
        let slot = self.slots.iter().position(|slot| *slot == SlotState::Vacant)?;
        self.slots[slot] = SlotState::Idle { expected: false };
        Some(slot)
    }

    /// Frees the slot of a member, between two of its steps.
    pub fn leave(&mut self, slot: usize) {
        self.slots[slot] = SlotState::Vacant;
    }

    /// Requests a step of the member in `slot`, which waits for other members until then at most.
    pub fn submit(&mut self, slot: usize, until: Instant) {
        self.slots[slot] = SlotState::Waiting { until };
    }

    pub fn is_running(&self, slot: usize) -> bool {
        self.slots[slot] == SlotState::Running
    }

    /// Takes back the request of the member in `slot`. A step that runs already is not affected.
    pub fn withdraw(&mut self, slot: usize) {
        if matches!(self.slots[slot], SlotState::Waiting { .. }) {
            self.slots[slot] = SlotState::Idle { expected: false };
        }
    }

    /// Requests the step of the member in `slot` again, at once, because its run was ended for another member.
    pub fn resume(&mut self, slot: usize, now: Instant) {
        self.slots[slot] = SlotState::Waiting { until: now };
    }

    /// What to do at the time `now`.
    pub fn next(&mut self, now: Instant) -> Action {
        if self.slots.contains(&SlotState::Running) {
            return Action::Wait;
        }
        let until = |slot: &SlotState| match slot {
            SlotState::Waiting { until } => Some(*until),
            _ => None,
        };
        let Some(until) = self.slots.iter().filter_map(until).min() else {
            return Action::Wait;
        };
        if self.slots.contains(&SlotState::Idle { expected: true }) && now < until {
            return Action::WaitUntil(until);
        }
        let mut started = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match slot {
                SlotState::Waiting { .. } => {
                    *slot = SlotState::Running;
                    started.push(index);
                }
                SlotState::Idle { expected } => *expected = false,
                SlotState::Vacant | SlotState::Running => (),
            }
        }
        Action::Start(started)
    }

    /// Ends the current run. The next one waits for the members that took part.
    pub fn finish(&mut self) {
        for slot in &mut self.slots {
            if *slot == SlotState::Running {
                *slot = SlotState::Idle { expected: true };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A schedule of `slots`, whose first `members` took part in the run that has just ended.
    fn after_a_run(slots: usize, members: usize, now: Instant) -> Schedule {
        let mut schedule = Schedule::new(slots);
        for slot in 0..members {
            assert_eq!(schedule.join(), Some(slot));
            schedule.submit(slot, now);
        }
        assert_eq!(schedule.next(now), Action::Start((0..members).collect()));
        schedule.finish();
        schedule
    }

    const WAIT: Duration = Duration::from_millis(10);

    #[test]
    fn a_member_alone_does_not_wait() {
        let now = Instant::now();
        let mut schedule = Schedule::new(4);
        assert_eq!(schedule.next(now), Action::Wait);
        let slot = schedule.join().unwrap();
        assert_eq!(schedule.next(now), Action::Wait);
        for _ in 0..3 {
            schedule.submit(slot, now + WAIT);
            assert_eq!(schedule.next(now), Action::Start(vec![slot]));
            schedule.finish();
        }
    }

    #[test]
    fn a_run_starts_once_all_members_of_the_last_one_are_back() {
        let now = Instant::now();
        let mut schedule = after_a_run(4, 3, now);
        schedule.submit(2, now + WAIT);
        schedule.submit(0, now + 2 * WAIT);
        assert_eq!(schedule.next(now), Action::WaitUntil(now + WAIT));
        schedule.submit(1, now + 3 * WAIT);
        assert_eq!(schedule.next(now), Action::Start(vec![0, 1, 2]));
    }

    #[test]
    fn a_member_that_does_not_come_is_waited_for_once() {
        let now = Instant::now();
        let mut schedule = after_a_run(2, 2, now);
        schedule.submit(0, now + WAIT);
        assert_eq!(schedule.next(now + WAIT / 2), Action::WaitUntil(now + WAIT));
        assert_eq!(schedule.next(now + WAIT), Action::Start(vec![0]));
        schedule.finish();
        // The other member is paused: no waiting any more.
        schedule.submit(0, now + 3 * WAIT);
        assert_eq!(schedule.next(now + 2 * WAIT), Action::Start(vec![0]));
        schedule.finish();
        // It comes back, and its first step waits for the member of the last run.
        schedule.submit(1, now + 4 * WAIT);
        assert_eq!(schedule.next(now + 3 * WAIT), Action::WaitUntil(now + 4 * WAIT));
        schedule.submit(0, now + 5 * WAIT);
        assert_eq!(schedule.next(now + 3 * WAIT), Action::Start(vec![0, 1]));
    }

    #[test]
    fn a_member_that_comes_during_a_run_is_in_the_next_one() {
        let now = Instant::now();
        let mut schedule = after_a_run(3, 1, now);
        let late = schedule.join().unwrap();
        schedule.submit(0, now);
        assert_eq!(schedule.next(now), Action::Start(vec![0]));
        schedule.submit(late, now + WAIT);
        assert_eq!(schedule.next(now + 2 * WAIT), Action::Wait);
        schedule.finish();
        // Its time is over: it does not wait for the member that has just run.
        assert_eq!(schedule.next(now + 2 * WAIT), Action::Start(vec![late]));
    }

    #[test]
    fn no_member_waits_for_one_that_has_left_or_not_begun() {
        let now = Instant::now();
        let mut schedule = after_a_run(3, 2, now);
        let new = schedule.join().unwrap();
        schedule.submit(0, now + WAIT);
        assert_eq!(schedule.next(now), Action::WaitUntil(now + WAIT));
        schedule.leave(1);
        assert_eq!(schedule.next(now), Action::Start(vec![0]));
        schedule.finish();
        // The slot is free for another member.
        assert_eq!(schedule.join(), Some(1));
        assert_eq!(schedule.join(), None);
        schedule.submit(new, now + WAIT);
        schedule.submit(0, now + WAIT);
        assert_eq!(schedule.next(now), Action::Start(vec![0, new]));
    }

    #[test]
    fn without_a_timeout_no_member_waits() {
        let now = Instant::now();
        let mut schedule = after_a_run(2, 2, now);
        schedule.submit(1, now);
        assert_eq!(schedule.next(now), Action::Start(vec![1]));
    }

    #[test]
    fn a_withdrawn_step_is_not_run_and_not_waited_for() {
        let now = Instant::now();
        let mut schedule = after_a_run(2, 2, now);
        schedule.submit(0, now + WAIT);
        schedule.withdraw(0);
        assert_eq!(schedule.next(now), Action::Wait);
        schedule.submit(1, now + WAIT);
        assert_eq!(schedule.next(now), Action::Start(vec![1]));
        // A step that runs already is not withdrawn: it ends.
        schedule.withdraw(1);
        assert_eq!(schedule.next(now), Action::Wait);
        schedule.finish();
        schedule.resume(1, now);
        assert_eq!(schedule.next(now), Action::Start(vec![1]));
    }
}
