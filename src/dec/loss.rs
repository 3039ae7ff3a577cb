//! What the decoder does with packets when others are missing: one policy for every kind of loss.

use gst::glib;

use crate::stream::{Hole, Link};

/// The property `on-loss`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokOnLoss")]
#[repr(u32)]
pub enum LossPolicy {
    #[default]
    #[enum_value(name = "Show nothing until the next segment start", nick = "wait")]
    Wait,
    #[enum_value(
        name = "Keep decoding, and mark pictures as corrupted until the next segment start",
        nick = "continue"
    )]
    Continue,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Decode,
    /// Its pictures are wrong in some way.
    DecodeAsUncertain,
    LeaveOut,
    /// It came before. Nothing is missing.
    LeaveOutRepeated,
}

impl LossPolicy {
    /// `has_started`: a packet was decoded since the beginning or the last flush, so that decoding can continue.
    pub fn judge(self, link: Link, has_started: bool) -> Verdict {
        match (link, self) {
            (Link::Follows | Link::Starts | Link::Joins, _) => Verdict::Decode,
            (Link::Repeated, _) => Verdict::LeaveOutRepeated,
            (Link::Uncertain, Self::Continue) if has_started => Verdict::DecodeAsUncertain,
            (Link::Uncertain, _) => Verdict::LeaveOut,
        }
    }
}

/// The text of a warning about `hole`, which also says what is done with the packet behind it.
pub fn text(hole: &Hole, verdict: Verdict) -> String {
    let then = match verdict {
        Verdict::Decode => "decoding continues",
        Verdict::DecodeAsUncertain => "pictures are uncertain up to the next segment start",
        Verdict::LeaveOut => "waiting for the next segment start",
        Verdict::LeaveOutRepeated => "it is left out",
    };
    format!("{hole}: {then}")
}

/// Counters of one element from READY on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounts {
    /// Holes in the sequence of packets, of any kind.
    pub gaps: u64,
    /// Pictures that were shown though something before them was missing.
    pub uncertain_frames: u64,
}

impl LossCounts {
    pub fn add_to(self, stats: &mut gst::StructureRef) {
        stats.set("gaps", self.gaps);
        stats.set("uncertain-frames", self.uncertain_frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Loss;

    #[test]
    fn only_uncertain_packets_are_subject_to_the_policy() {
        for policy in [LossPolicy::Wait, LossPolicy::Continue] {
            for link in [Link::Follows, Link::Starts, Link::Joins] {
                assert_eq!(policy.judge(link, true), Verdict::Decode);
            }
            assert_eq!(policy.judge(Link::Repeated, true), Verdict::LeaveOutRepeated);
            // There is nothing to continue from.
            assert_eq!(policy.judge(Link::Uncertain, false), Verdict::LeaveOut);
        }
        assert_eq!(LossPolicy::Wait.judge(Link::Uncertain, true), Verdict::LeaveOut);
        assert_eq!(
            LossPolicy::Continue.judge(Link::Uncertain, true),
            Verdict::DecodeAsUncertain
        );
    }

    #[test]
    fn a_warning_names_the_hole_and_what_is_done_about_it() {
        let hole = Hole {
            loss: Loss::Missing,
            latent_frames: Some(3),
        };
        let text = text(&hole, Verdict::LeaveOut);
        assert!(
            text.contains("3 latent frames") && text.contains("next segment start"),
            "{text}"
        );
        let text = super::text(&hole, Verdict::Decode);
        assert!(text.ends_with(": decoding continues"), "{text}");
    }
}
