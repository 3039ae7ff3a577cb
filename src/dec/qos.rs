//! What a decoder that is too slow leaves out: whole segments, from one segment start to another.
//!
//! Times are nanoseconds of running time, and lengths of it.

/// Tells which packets to leave out, by what sinks report.
///
/// Once the sink is more than a segment late, nothing up to a segment start that is due is decoded. A decoder cannot begin in
/// the middle, so where no further start is to be expected it goes on: late pictures are better than none for ever.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    /// What was due before this is too late now.
    earliest: Option<u64>,
    /// Of the latest segment.
    start: Option<u64>,
    /// From the start of one segment to that of the next.
    segment: Option<u64>,
    skipping: bool,
}

impl Lateness {
    /// The sink says that the picture at `time` came `jitter` too late (too early where negative).
    pub fn report(&mut self, time: u64, jitter: i64) {
        self.earliest = Some(time.saturating_add_signed(jitter));
    }

    /// Forgets what was reported: after a flush, or in a new playback segment.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// How late the packet at `time` is, if it is to be left out. `step`: how long the network takes for a step; what is due
    /// before it is done would come too late again.
    pub fn leave_out(&mut self, segment_start: bool, time: Option<u64>, step: u64) -> Option<u64> {
        // What has no time is never late.
        let Some(time) = time else {
            self.skipping &= !segment_start;
            return self.skipping.then_some(0);
        };
        if segment_start {
            if let Some(length) = self.start.and_then(|start| time.checked_sub(start)) {
                self.segment = Some(length);
            }
            self.start = Some(time);
        }
        let late = self.earliest.unwrap_or(0).saturating_sub(time);
        if self.skipping {
            let in_time = self.earliest.unwrap_or(0).saturating_add(step) <= time;
            self.skipping = !(segment_start && in_time);
        } else {
            self.skipping = self.segment.is_some_and(|segment| late > segment) && self.expects_a_start(time);
        }
        self.skipping.then_some(late)
    }

    /// Whether the segment at `time` is still as short as the one before it.
    fn expects_a_start(&self, time: u64) -> bool {
        let (Some(start), Some(segment)) = (self.start, self.segment) else {
            return false;
        };
        time < start.saturating_add(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the packets at 0, 10, 20, … are left out, where every `segment`th starts a segment.
    fn left_out(lateness: &mut Lateness, packets: std::ops::Range<u64>, segment: u64) -> Vec<u64> {
        let late = |packet: &u64| {
            lateness
                .leave_out(packet.is_multiple_of(segment), Some(packet * 10), 0)
                .is_some()
        };
        packets.filter(late).collect()
    }

    #[test]
    fn nothing_is_left_out_on_time_or_up_to_a_segment_late() {
        let mut lateness = Lateness::default();
        assert_eq!(left_out(&mut lateness, 0..8, 3), [0; 0]);
        lateness.report(50, -40);
        assert_eq!(left_out(&mut lateness, 8..12, 3), [0; 0]);
        // The packet at 120 is 30 late, which is a segment.
        lateness.report(100, 50);
        assert_eq!(left_out(&mut lateness, 12..20, 3), [0; 0]);
    }

    #[test]
    fn more_than_a_segment_late_it_goes_on_at_the_next_start_that_is_due() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 3);
        lateness.report(40, 51);
        assert_eq!(left_out(&mut lateness, 5..20, 3), [5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn what_a_step_would_make_late_again_is_left_out_too() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 3);
        lateness.report(40, 51);
        let late = |packet: &u64| {
            lateness
                .leave_out(packet.is_multiple_of(3), Some(packet * 10), 40)
                .is_some()
        };
        assert_eq!((5..20).filter(late).last(), Some(14));
    }

    #[test]
    fn where_no_start_is_to_be_expected_it_goes_on() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 1000);
        lateness.report(0, 10_000);
        assert_eq!(left_out(&mut lateness, 5..20, 1000), [0; 0]);
        // Two short segments, and one that has grown longer.
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..7, 3);
        for packet in 7..10 {
            assert_eq!(lateness.leave_out(false, Some(packet * 10), 0), None);
        }
        lateness.report(90, 10_000);
        assert_eq!(lateness.leave_out(false, Some(100), 0), None);
    }

    #[test]
    fn a_flush_begins_anew() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..5, 3);
        lateness.report(40, 1000);
        assert_eq!(left_out(&mut lateness, 5..7, 3), [5, 6]);
        lateness.reset();
        assert_eq!(left_out(&mut lateness, 0..20, 3), [0; 0]);
    }

    #[test]
    fn packets_without_a_time_are_not_late() {
        let mut lateness = Lateness::default();
        left_out(&mut lateness, 0..4, 3);
        lateness.report(40, 1000);
        assert_eq!(lateness.leave_out(false, None, 0), None);
        assert_eq!(lateness.leave_out(false, Some(50), 0), Some(990));
        assert_eq!(lateness.leave_out(false, None, 0), Some(0));
        assert_eq!(lateness.leave_out(true, None, 0), None);
    }
}
