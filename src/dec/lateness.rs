//! What a decoder that is too slow leaves out: packets from the middle of a segment to a later segment start.
//!
//! Times and lengths are in nanoseconds of running time.

/// A packet that may be left out.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    pub segment_start: bool,
    /// When its first picture is due.
    pub time: Option<u64>,
    /// Steps of the network that it takes.
    pub steps: u64,
}

/// Tells which packets to leave out, by what sinks report.
///
/// Once the sink is more than a segment late, packets are left out up to a segment start that is due. Decoding cannot
/// begin inside a segment, so where no start is expected soon nothing is left out: late pictures are better than none.
///
/// A segment that takes longer to decode than to play would be late from its second step on, even if begun just in
/// time. Once a machine was too late, and while it stays that slow, it therefore decodes only segments whose last
/// picture comes in time, too.
///
/// Where packets come late already, leaving them out makes none come in time. Once the start behind a segment that was
/// left out comes no earlier before its time than that one's, it is decoded, so that some pictures are shown.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    /// What was due at the time of the latest report, and when that report came, if known.
    reported: Option<(u64, Option<u64>)>,
    /// Start of the latest segment.
    start: Option<u64>,
    /// Steps of the latest segment so far.
    steps: u64,
    /// The segment before the latest one.
    segment: Option<SegmentSize>,
    skipping: bool,
    /// The time of the latest segment start, and the earliest time that was not too late then, if it was left out.
    left_out: Option<(u64, u64)>,
    /// A packet was left out since the network was last fast enough for a segment.
    slow: bool,
}

/// A segment. The next one is expected to be like it.
#[derive(Clone, Copy, Debug)]
struct SegmentSize {
    /// From its start to the next one's.
    length: u64,
    steps: u64,
}

impl SegmentSize {
    /// How much longer than it lasts it takes to decode, where a step takes `step`.
    fn excess(self, step: u64) -> u64 {
        self.steps.saturating_mul(step).saturating_sub(self.length)
    }

    /// How long before its start the network has to begin, so that all of its pictures come in time.
    fn lead(self, step: u64) -> u64 {
        // All pictures of a single step come at once.
        let excess = if self.steps > 1 { self.excess(step) } else { 0 };
        step.saturating_add(excess)
    }
}

impl Lateness {
    /// Takes the sink's report at `now` that the picture at `time` came `jitter` late. Negative: it came early, and the
    /// sink has waited for its time.
    pub fn report(&mut self, time: u64, jitter: i64, now: Option<u64>) {
        self.reported = Some((time.saturating_add_signed(jitter.max(0)), now));
    }

    /// The earliest time that is not too late: what is due before it is. Without pictures a sink reports nothing, so
    /// the time since its latest report is added.
    fn earliest(&self, now: Option<u64>) -> u64 {
        let Some((due, at)) = self.reported else { return 0 };
        let since = now.zip(at).map_or(0, |(now, at)| now.saturating_sub(at));
        due.saturating_add(since)
    }

    /// Forgets what was reported: after a flush, in a new playback segment, and where nothing may be left out.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// How late a packet is, if it has to be left out. `step`: how long the network takes for a step; a picture that is
    /// due before the step ends would be too late again.
    pub fn leave_out(&mut self, packet: Due, step: u64, now: Option<u64>) -> Option<u64> {
        // A packet without a time is never late.
        let Some(time) = packet.time else {
            self.skipping &= !packet.segment_start;
            return self.skipping.then_some(0);
        };
        if packet.segment_start {
            if let Some(length) = self.start.and_then(|start| time.checked_sub(start)) {
                let steps = self.steps;
                self.segment = Some(SegmentSize { length, steps });
            }
            self.start = Some(time);
            self.steps = 0;
        }
        self.steps += packet.steps;
        let earliest = self.earliest(now);
        let late = earliest.saturating_sub(time);
        let is_slow = self.segment.is_some_and(|segment| segment.excess(step) > 0);
        if packet.segment_start && (self.skipping || self.slow && is_slow) {
            let lead = self.segment.map_or(step, |segment| segment.lead(step));
            self.skipping = earliest.saturating_add(lead) > time && self.gains_time(time, earliest);
            self.slow &= is_slow;
        } else if !self.skipping {
            self.skipping = self.segment.is_some_and(|segment| late > segment.length) && self.expects_a_start(time);
        }
        if packet.segment_start {
            self.left_out = self.skipping.then_some((time, earliest));
        }
        self.slow |= self.skipping;
        self.skipping.then_some(late)
    }

    /// Whether the start at `time` comes earlier before its time than the start before it, where that was left out.
    fn gains_time(&self, time: u64, earliest: u64) -> bool {
        self.left_out.is_none_or(|(time_before, earliest_before)| {
            time.saturating_sub(time_before) > earliest.saturating_sub(earliest_before)
        })
    }

    /// Whether, at `time`, the current segment is not longer than the one before it.
    fn expects_a_start(&self, time: u64) -> bool {
        let (Some(start), Some(segment)) = (self.start, self.segment) else {
            return false;
        };
        time < start.saturating_add(segment.length)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::element::Stats;

    fn due(segment_start: bool, time: Option<u64>) -> Due {
        Due {
            segment_start,
            time,
            steps: 1,
        }
    }

    /// Which of the packets at 0, 10, 20, … are left out, where every `segment`th starts a segment.
    fn left_out(lateness: &mut Lateness, packets: std::ops::Range<u64>, segment: u64) -> Vec<u64> {
        let late = |packet: &u64| {
            lateness
                .leave_out(due(packet.is_multiple_of(segment), Some(packet * 10)), 0, None)
                .is_some()
        };
        packets.filter(late).collect()
    }

    #[test]
    fn nothing_is_left_out_on_time_or_up_to_a_segment_late() {
        let mut lateness = Lateness::default();
        assert_eq!(left_out(&mut lateness, 0..8, 3), [0; 0]);
        lateness.report(50, -40, None);
        assert_eq!(left_out(&mut lateness, 8..12, 3), [0; 0]);
        // The packet at 120 is 30 late, which is a segment.
        lateness.report(100, 50, None);
        assert_eq!(left_out(&mut lateness, 12..20, 3), [0; 0]);
    }

    #[test]
    fn a_segment_late_it_continues_at_the_next_start_that_is_due() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 3);
        lateness.report(40, 51, None);
        assert_eq!(left_out(&mut lateness, 5..20, 3), [5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn what_a_step_would_make_late_again_is_left_out_too() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 3);
        lateness.report(40, 51, None);
        let late = |packet: &u64| {
            lateness
                .leave_out(due(packet.is_multiple_of(3), Some(packet * 10)), 40, None)
                .is_some()
        };
        // Three steps take 90 longer than the segment lasts: the next segment begins 130 before it is due.
        assert_eq!((5..30).filter(late).last(), Some(23));
    }

    #[test]
    fn a_single_step_gives_all_of_its_pictures_at_once() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 1);
        lateness.report(40, 51, None);
        let late = |packet: &u64| lateness.leave_out(due(true, Some(packet * 10)), 40, None).is_some();
        assert_eq!((5..30).filter(late).last(), Some(13));
    }

    /// How many pictures of a stream were decoded, and rendered.
    #[derive(Debug, Default)]
    struct Played {
        decoded: u64,
        rendered: u64,
    }

    /// A sink that shows pictures when they are due and drops those that come more than 20 ms late, behind a queue.
    struct Sink {
        queue: std::collections::VecDeque<(u64, u64)>,
        free: u64,
        rendered: u64,
    }

    impl Sink {
        /// When it is done with the picture at the front of the queue.
        fn done(&self) -> Option<u64> {
            self.queue.front().map(|(due, came)| self.free.max(*came).max(*due))
        }

        fn run_until(&mut self, now: u64, lateness: &mut Lateness) {
            while let Some(done) = self.done().filter(|done| *done <= now) {
                let (due, came) = self.queue.pop_front().unwrap();
                let jitter = self.free.max(came) as i64 - due as i64;
                self.rendered += u64::from(jitter <= 20_000_000);
                lateness.report(due, jitter, Some(done));
                self.free = done;
            }
        }
    }

    /// Plays `segments` segments of 17 frames at 60 frames per second, each a packet of one frame and four packets of
    /// four frames, with a network that takes `step` per step, and a queue of `queue` pictures behind it. Time is
    /// simulated.
    fn play(segments: u64, step: u64, queue: usize) -> Played {
        const FRAME: u64 = 1_000_000_000 / 60;
        let mut lateness = Lateness::default();
        let mut sink = Sink {
            queue: Default::default(),
            free: 0,
            rendered: 0,
        };
        let (mut now, mut decoded) = (0, 0);
        for packet in 0..segments * 5 {
            let (segment, index) = (packet / 5, packet % 5);
            let (first, frames) = if index == 0 { (0, 1) } else { (index * 4 - 3, 4) };
            // The first picture is due when it is decoded.
            let time = |frame| step + (segment * 17 + frame) * FRAME;
            sink.run_until(now, &mut lateness);
            if lateness
                .leave_out(due(index == 0, Some(time(first))), step, Some(now))
                .is_some()
            {
                continue;
            }
            now += step;
            for frame in first..first + frames {
                sink.run_until(now, &mut lateness);
                while sink.queue.len() >= queue {
                    now = now.max(sink.done().unwrap());
                    sink.run_until(now, &mut lateness);
                }
                sink.queue.push_back((time(frame), now));
                decoded += 1;
            }
        }
        sink.run_until(u64::MAX, &mut lateness);
        Played {
            decoded,
            rendered: sink.rendered,
        }
    }

    #[test]
    fn what_a_slow_machine_decodes_is_shown() {
        const SEGMENTS: u64 = 100;
        let total = SEGMENTS * 17;
        let segment = 17 * 1_000_000_000 / 60;
        for percent in [20, 47, 70, 90, 97] {
            // `percent` of the speed that would be enough.
            let step = segment * 100 / (5 * percent);
            let played = play(SEGMENTS, step, 17);
            // Until the machine is known to be slow, everything is decoded, up to a segment late.
            let learning = 17 * (2 + percent / (100 - percent));
            assert!(played.rendered + learning >= played.decoded, "{percent} %: {played:?}");
            // Only whole segments are decoded, and the sink's reports on them come late.
            assert!(
                played.rendered * 100 >= total * percent * 6 / 10,
                "{percent} %: {played:?}"
            );
        }
    }

    #[test]
    fn some_of_what_always_comes_late_is_decoded() {
        let mut lateness = Lateness::default();
        // Segments of three packets, each of which comes 100 after its time; the sink says so of the first one.
        let late = |packet: u64| {
            let now = packet * 10 + 100;
            if packet == 1 {
                lateness.report(0, 100, Some(100));
            }
            lateness
                .leave_out(due(packet.is_multiple_of(3), Some(packet * 10)), 1, Some(now))
                .is_some()
        };
        let decoded: Vec<u64> = (0..24)
            .map(late)
            .zip(0..)
            .filter(|(left_out, _)| !left_out)
            .map(|(_, n)| n)
            .collect();
        // Until two starts have told how long a segment is, all. Then the first packet of each second segment.
        assert_eq!(decoded, [0, 1, 2, 6, 12, 18]);
    }

    #[test]
    fn a_machine_that_is_fast_enough_shows_everything() {
        for queue in [1, 17] {
            let played = play(20, 60_000_000 / 4, queue);
            assert_eq!((played.decoded, played.rendered), (340, 340));
        }
    }

    /// Live packets come 200 ms before their time, and a machine is busy with something else for a while. Whether each
    /// packet, ten a second, is decoded. A segment has three. Times in milliseconds.
    fn play_live(step: impl Fn(u64) -> u64) -> Vec<bool> {
        const MS: u64 = 1_000_000;
        let (mut lateness, mut stats) = (Lateness::default(), Stats::default());
        let mut now = 0;
        let mut take = |packet: u64| {
            let time = packet * 100 * MS;
            now = now.max(time.saturating_sub(200 * MS));
            let estimate = stats.recent_step().as_nanos() as u64;
            if lateness
                .leave_out(due(packet.is_multiple_of(3), Some(time)), estimate, Some(now))
                .is_some()
            {
                return false;
            }
            let took = step(packet * 100);
            stats.step(Duration::from_millis(took), 1);
            now += took * MS;
            lateness.report(time, now as i64 - time as i64, Some(now.max(time)));
            true
        };
        (0..600).map(&mut take).collect()
    }

    #[test]
    fn a_machine_that_was_slow_for_a_while_shows_everything_again() {
        for (slow, most) in [(150, 50), (400, 50), (1_300, 100)] {
            let decoded = play_live(|time| if (5_000..25_000).contains(&time) { slow } else { 30 });
            assert!(decoded[..50].iter().all(|decoded| *decoded), "{slow} ms");
            // While it is slow, a segment is tried again and again.
            assert!(
                decoded[100..250].chunks(75).all(|part| part.contains(&true)),
                "{slow} ms"
            );
            assert!(decoded[250 + most..].iter().all(|decoded| *decoded), "{slow} ms");
        }
    }

    #[test]
    fn where_no_start_is_expected_nothing_is_left_out() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 1000);
        lateness.report(0, 10_000, None);
        assert_eq!(left_out(&mut lateness, 5..20, 1000), [0; 0]);
        // Two short segments, and one that has grown longer.
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..7, 3);
        for packet in 7..10 {
            assert_eq!(lateness.leave_out(due(false, Some(packet * 10)), 0, None), None);
        }
        lateness.report(90, 10_000, None);
        assert_eq!(lateness.leave_out(due(false, Some(100)), 0, None), None);
    }

    #[test]
    fn a_flush_begins_anew() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 3);
        lateness.report(40, 1000, None);
        assert_eq!(left_out(&mut lateness, 5..7, 3), [5, 6]);
        lateness.reset();
        assert_eq!(left_out(&mut lateness, 0..20, 3), [0; 0]);
    }

    #[test]
    fn packets_without_a_time_are_not_late() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..4, 3);
        lateness.report(40, 1000, None);
        assert_eq!(lateness.leave_out(due(false, None), 0, None), None);
        assert_eq!(lateness.leave_out(due(false, Some(50)), 0, None), Some(990));
        assert_eq!(lateness.leave_out(due(false, None), 0, None), Some(0));
        assert_eq!(lateness.leave_out(due(true, None), 0, None), None);
    }
}
