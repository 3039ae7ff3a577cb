//! How much time a step of the network is allowed, by what steps have taken. Independent of elements.
//!
//! Times are in nanoseconds.

use std::collections::VecDeque;

/// The slowest of so many latest steps counts.
const RECENT: usize = 32;
/// So many steps in a row need less than half of the allowance before it is lowered.
const CALM: u32 = 256;

/// What a step may take. An allowance is part of a pipeline's latency, and every change of that is a jump in what sinks
/// show: it is raised at once where a step takes longer, and lowered only where steps have long needed much less.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    /// The times of the latest steps.
    recent: VecDeque<u64>,
    /// `None`: nothing is known yet.
    measured: Option<u64>,
    /// Steps in a row that needed less than half of the allowance.
    calm: u32,
}

impl Allowance {
    /// The allowance after a trial whose step took `step`.
    pub fn of_trial(step: u64) -> Self {
        Self {
            measured: Some(with_margin(step)),
            ..Self::default()
        }
    }

    /// What a step may take; `None`: nothing is known, and there is no limit. `limit`: how long the frames of a step
    /// last, as a network that needs longer cannot keep up anyway.
    pub fn get(&self, limit: Option<u64>) -> Option<u64> {
        match (self.measured, limit) {
            (Some(measured), Some(limit)) => Some(measured.min(limit)),
            (measured, limit) => measured.or(limit),
        }
    }

    /// Takes the time of a step.
    pub fn observe(&mut self, step: u64, limit: Option<u64>) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(step);
        let Some(allowed) = self.get(limit) else {
            self.settle();
            return;
        };
        self.calm = if step < allowed / 2 { self.calm + 1 } else { 0 };
        if step > allowed || self.calm == CALM {
            self.settle();
        }
    }

    /// Allows what the slowest of the latest steps took, and a margin.
    fn settle(&mut self) {
        self.measured = self.recent.iter().max().map(|slowest| with_margin(*slowest));
        self.calm = 0;
    }
}

/// A quarter more than `step`.
fn with_margin(step: u64) -> u64 {
    step.saturating_add(step / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The allowance after each of the steps, in front of which `before` stands; none is listed twice.
    fn changes(allowance: &mut Allowance, steps: &[u64], limit: Option<u64>) -> Vec<Option<u64>> {
        let mut seen = vec![allowance.get(limit)];
        for step in steps {
            allowance.observe(*step, limit);
            seen.push(allowance.get(limit));
        }
        seen.dedup();
        seen
    }

    #[test]
    fn a_trial_is_allowed_a_quarter_more() {
        let mut allowance = Allowance::of_trial(100);
        assert_eq!(changes(&mut allowance, &[100, 125, 90], Some(400)), [Some(125)]);
    }

    #[test]
    fn a_step_that_takes_longer_raises_it_at_once_and_once() {
        let mut allowance = Allowance::of_trial(100);
        let steps = [126, 150, 157, 158];
        // A quarter more than 126 is 157, and than 158 is 197.
        assert_eq!(
            changes(&mut allowance, &steps, Some(400)),
            [Some(125), Some(157), Some(197)]
        );
    }

    #[test]
    fn it_is_never_more_than_the_limit() {
        let mut allowance = Allowance::of_trial(100);
        assert_eq!(
            changes(&mut allowance, &[350, 500, 9_000], Some(400)),
            [Some(125), Some(400)]
        );
        // Frames last longer from now on.
        assert_eq!(allowance.get(Some(1_000)), Some(1_000));
        assert_eq!(allowance.get(None), Some(11_250));
    }

    #[test]
    fn only_many_calm_steps_in_a_row_lower_it() {
        let mut allowance = Allowance::of_trial(160);
        let calm = |steps: usize| vec![40; steps];
        assert_eq!(changes(&mut allowance, &calm(255), Some(400)), [Some(200)]);
        // Half of it is not less than half of it.
        assert_eq!(changes(&mut allowance, &[100], Some(400)), [Some(200)]);
        assert_eq!(changes(&mut allowance, &calm(255), Some(400)), [Some(200)]);
        assert_eq!(changes(&mut allowance, &[40], Some(400)), [Some(200), Some(50)]);
        // 30 is more than half of that.
        assert_eq!(changes(&mut allowance, &vec![30; 1_000], Some(400)), [Some(50)]);
    }

    #[test]
    fn the_slowest_of_the_latest_32_steps_counts() {
        let mut allowance = Allowance::of_trial(800);
        let mut steps = vec![40; 256];
        steps[256 - 32] = 60;
        assert_eq!(
            changes(&mut allowance, &steps, None),
            [Some(1_000), Some(75)],
            "60 is one of the latest 32"
        );
        let mut allowance = Allowance::of_trial(800);
        steps[256 - 32] = 40;
        steps[256 - 33] = 60;
        assert_eq!(changes(&mut allowance, &steps, None), [Some(1_000), Some(50)]);
    }

    #[test]
    fn without_a_trial_it_is_the_limit_at_first() {
        let mut allowance = Allowance::default();
        assert_eq!(changes(&mut allowance, &[40; 256], Some(400)), [Some(400), Some(50)]);
        let mut allowance = Allowance::default();
        assert_eq!(changes(&mut allowance, &[40, 45], None), [None, Some(50)]);
    }

    #[test]
    fn the_longest_times_do_not_overflow() {
        let mut allowance = Allowance::of_trial(u64::MAX);
        allowance.observe(u64::MAX, None);
        assert_eq!(allowance.get(None), Some(u64::MAX));
    }
}
