use super::*;

const MS: u64 = 1_000_000;

fn limits(latency: u64, max_lateness: u64) -> Limits {
    Limits {
        latency: ClockTime::from_mseconds(latency),
        max_lateness: ClockTime::from_mseconds(max_lateness),
        group: 4,
    }
}

/// Which of the groups' frames, each as late as listed, are dropped.
fn dropped(dropping: &mut Dropping, lateness: &[u64]) -> Vec<bool> {
    let late = |ms: &u64| dropping.drops(Some(limits(200, 300)), Some(ClockTime::from_mseconds(*ms)));
    lateness.iter().map(late).collect()
}

#[test]
fn dropping_begins_behind_latency_and_allowance() {
    let mut dropping = Dropping::default();
    assert_eq!(dropped(&mut dropping, &[0, 200, 500]), [false; 3]);
    assert_eq!(dropped(&mut dropping, &[501]), [true]);
    assert!(dropping.is_on());
}

#[test]
fn whole_groups_are_dropped_until_one_begins_within_the_latency() {
    let mut dropping = Dropping::default();
    assert_eq!(dropped(&mut dropping, &[501, 0, 0, 0]), [true; 4]);
    assert_eq!(dropped(&mut dropping, &[201, 0, 0, 0]), [true; 4]);
    assert_eq!(dropped(&mut dropping, &[200]), [false]);
    assert!(!dropping.is_on());
    // And begins again where it began before.
    assert_eq!(dropped(&mut dropping, &[500, 501]), [false, true]);
}

#[test]
fn dropping_ends_where_it_makes_frames_no_earlier() {
    let mut dropping = Dropping::default();
    assert_eq!(dropped(&mut dropping, &[900, 0, 0, 0]), [true; 4]);
    assert_eq!(dropped(&mut dropping, &[800, 0, 0, 0]), [true; 4]);
    assert_eq!(dropped(&mut dropping, &[800]), [false]);
    // It begins where it began before, whatever was dropped then.
    assert_eq!(dropped(&mut dropping, &[900, 0, 0, 0]), [true; 4]);
    assert_eq!(dropped(&mut dropping, &[400, 0, 0, 0]), [true; 4]);
    assert_eq!(dropped(&mut dropping, &[401]), [false]);
}

#[test]
fn without_limits_or_a_time_nothing_is_dropped() {
    let mut dropping = Dropping::default();
    let years = Some(ClockTime::from_seconds(1 << 30));
    assert!(!dropping.drops(None, years));
    assert!(!dropping.drops(Some(limits(200, 300)), None));
    // The limits go away in the middle of a group: its other three frames are dropped, too.
    assert!(dropping.drops(Some(limits(200, 300)), years));
    assert_eq!([(); 4].map(|()| dropping.drops(None, years)), [true, true, true, false]);
    assert!(!dropping.is_on());
    let most = Limits {
        max_lateness: ClockTime::MAX,
        ..limits(200, 0)
    };
    assert!(!dropping.drops(Some(most), years));
}

const FRAME: u64 = 1_000_000_000 / 30;
const GROUP: u64 = 4;

/// Live video of 30 frames per second, which waits in a queue while the encoder is busy. Time is simulated.
struct Machine {
    dropping: Dropping,
    limits: Limits,
    now: u64,
    /// The number of the next frame.
    next: u64,
    /// How long after its time each frame comes, although upstream declares no latency.
    delay: u64,
    in_segment: bool,
    encoded: u64,
    dropped: u64,
    /// How much later than its first frame's time the latest packet of all left.
    latest: u64,
}

impl Machine {
    /// With the latency that an encoder declares whose step takes longer than its frames: three frames to wait for, and
    /// those of a step.
    fn new(max_lateness: u64) -> Self {
        Self {
            dropping: Dropping::default(),
            limits: limits(7 * FRAME / MS, max_lateness),
            now: 0,
            next: 0,
            delay: 0,
            in_segment: false,
            encoded: 0,
            dropped: 0,
            latest: 0,
        }
    }

    /// Waits for the next frame.
    fn take_frame(&mut self) {
        self.now = self.now.max(self.next * FRAME + self.delay);
        self.next += 1;
    }

    /// Runs until `frames` frames have come, with a network that takes `step` per step.
    fn run(&mut self, frames: u64, step: u64) {
        while self.next < frames {
            let first = self.next * FRAME;
            self.take_frame();
            let late = ClockTime::from_nseconds(self.now - first);
            if self.dropping.drops(Some(self.limits), Some(late)) {
                self.dropped += 1;
                self.in_segment = false;
                continue;
            }
            let group = if self.in_segment { GROUP } else { 1 };
            (1..group).for_each(|_| self.take_frame());
            self.in_segment = true;
            self.now += step;
            self.encoded += group;
            self.latest = self.latest.max(self.now - first);
        }
    }
}

/// The time of a step at `percent` of the speed that would be enough.
fn step_at(percent: u64) -> u64 {
    GROUP * FRAME * 100 / percent
}

/// The share of frames that are encoded at least, of 1. Between two times of dropping, the network runs a step for the
/// first frame of a segment, and a step for each group that begins within `max_lateness`; the fewest where the segment
/// begins at the end of the latency.
fn least_share(percent: u64, max_lateness: u64) -> f64 {
    let step = step_at(percent);
    let (mut late, mut groups) = (step - FRAME, 0);
    while late <= max_lateness * MS {
        late += step - GROUP * FRAME;
        groups += 1;
    }
    ((1 + groups * GROUP) * FRAME) as f64 / ((1 + groups) * step) as f64
}

#[test]
fn a_machine_that_is_too_slow_stays_within_its_latency_and_encodes_what_it_can() {
    const FRAMES: u64 = 30 * 60 * 10;
    for max_lateness in [0, 500, 2_000] {
        for percent in [20, 47, 70, 90, 97] {
            let mut machine = Machine::new(max_lateness);
            machine.run(FRAMES, step_at(percent));
            let what = format!("{percent} %, {max_lateness} ms");
            assert_eq!(machine.encoded + machine.dropped, machine.next, "{what}");
            let most = 7 * FRAME + max_lateness * MS + step_at(percent);
            assert!(machine.latest <= most, "{what}: {} of {most}", machine.latest);
            let share = machine.encoded as f64 / machine.next as f64;
            // No more than its speed allows, but for what is still late at the end.
            assert!(share <= percent as f64 / 100.0 + 0.01, "{what}: {share}");
            let least = least_share(percent, max_lateness);
            assert!(share >= least * 0.99, "{what}: {share} of {least}");
        }
    }
}

#[test]
fn time_to_be_late_pays_for_the_first_steps_of_segments() {
    let share = |percent, max_lateness| {
        let mut machine = Machine::new(max_lateness);
        machine.run(30 * 60 * 10, step_at(percent));
        machine.encoded as f64 / machine.next as f64
    };
    // The default, from half the speed on, and two seconds at a fifth.
    for (percent, max_lateness) in [(47, 500), (70, 500), (90, 500), (97, 500), (20, 2_000)] {
        let share = share(percent, max_lateness);
        assert!(share >= percent as f64 / 100.0 * 0.6, "{percent} %: {share}");
    }
    // Without it, a machine of half the speed encodes the first frames of segments, and little more.
    assert!(share(47, 0) < 0.2);
}

#[test]
fn nothing_is_dropped_once_the_machine_is_fast_again() {
    for percent in [20, 47, 97] {
        let mut machine = Machine::new(500);
        machine.run(3_000, step_at(percent));
        assert!(machine.dropped > 0, "{percent} %");
        // Two seconds later.
        machine.run(3_060, step_at(200));
        let dropped = machine.dropped;
        machine.latest = 0;
        machine.run(10_000, step_at(200));
        assert_eq!(machine.dropped, dropped, "{percent} %");
        // Three frames to wait for, and a step.
        assert!(
            machine.latest <= 3 * FRAME + step_at(200),
            "{percent} %: {}",
            machine.latest
        );
    }
}

#[test]
fn frames_that_always_come_late_are_not_all_dropped_behind_a_stall() {
    let mut machine = Machine::new(500);
    // Later than the latency, which is seven frames, and not than `max_lateness` allows.
    machine.delay = 10 * FRAME;
    machine.run(300, step_at(200));
    assert_eq!(machine.dropped, 0);
    // Two seconds in which nothing runs, and two more.
    machine.now += 2_000 * MS;
    machine.run(420, step_at(200));
    let dropped = machine.dropped;
    assert!(dropped > 0);
    machine.run(10_000, step_at(200));
    assert_eq!(machine.dropped, dropped);

    // Later than any that are allowed: a segment's first frame behind each two groups that are dropped, as what waited
    // during its step is gone then.
    let mut machine = Machine::new(500);
    machine.delay = 60_000 * MS;
    machine.run(10_000, step_at(200));
    assert_eq!(machine.encoded, 10_000 / (1 + 2 * GROUP));
}

#[test]
fn a_machine_that_is_fast_enough_drops_nothing() {
    let mut machine = Machine::new(0);
    machine.run(10_000, step_at(100));
    assert_eq!(machine.dropped, 0);
}
