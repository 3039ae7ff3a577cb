//! Live video for which the machine is too slow: which frames are dropped.

use gst::ClockTime;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::VidtokEnc;
use crate::element::qos::Late;
use crate::element::{ElementLatency, NetworkElement};
use crate::system::lock::lock;

/// What the encoder does when live video comes faster than it can be encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokEncOverload")]
#[repr(u32)]
pub enum Overload {
    #[default]
    #[enum_value(name = "Encode every frame, however late", nick = "block")]
    Block,
    #[enum_value(
        name = "Drop whole groups once frames are later than max-lateness",
        nick = "drop-groups"
    )]
    DropGroups,
}

/// When groups are dropped.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What every frame may be late: the pipeline's latency, and no less than what is declared up to the element.
    pub latency: ClockTime,
    /// How much later than that a group may begin before groups are dropped.
    pub max_lateness: ClockTime,
    /// Frames of a group.
    pub group: u64,
}

/// Drops groups once one begins later than latency and `max_lateness`, until one begins within the latency, or no
/// earlier after its time than the one before it: what waits for the encoder is then gone, and frames come that late.
///
/// What follows is a new segment, and the first step of a causal one is for a single frame. If dropping ended as soon
/// as a group is just early enough, a machine of half the speed would drop again behind that frame, and encode only such
/// frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dropping {
    is_on: bool,
    /// Frames that are left of the group that is dropped.
    left: u64,
    /// How late the group began that was dropped last.
    begun: ClockTime,
}

impl Dropping {
    /// Whether a frame that no open group takes is dropped. `lateness`: how much later than its running time it comes;
    /// `None`: that is not known. `limits` count where a group [begins](Self::is_at_group): without them it is not dropped.
    pub fn drops(&mut self, limits: Option<Limits>, lateness: Option<ClockTime>) -> bool {
        if self.is_at_group() {
            let Some(limits) = limits else {
                *self = Self::default();
                return false;
            };
            let more = if self.is_on {
                ClockTime::ZERO
            } else {
                limits.max_lateness
            };
            let limit = limits.latency.saturating_add(more);
            let lateness = lateness.unwrap_or_default();
            let is_of_use = !self.is_on || lateness < self.begun;
            self.is_on = lateness > limit && is_of_use;
            self.left = if self.is_on { limits.group } else { 0 };
            self.begun = lateness;
        }
        self.left = self.left.saturating_sub(1);
        self.is_on
    }

    /// Whether the next frame that no open group takes is the first one of a group.
    pub fn is_at_group(self) -> bool {
        self.left == 0
    }

    /// Whether the frame before was dropped.
    pub fn is_on(self) -> bool {
        self.is_on
    }
}

impl VidtokEnc {
    /// When groups of so many frames are dropped; `None`: never.
    pub(super) fn dropping_limits(&self, group: usize) -> Option<Limits> {
        let (overload, max_lateness) = {
            let settings = self.settings();
            (settings.overload, settings.max_lateness)
        };
        let max_lateness = ClockTime::from_nseconds(u64::try_from(max_lateness).ok()?);
        if overload != Overload::DropGroups {
            return None;
        }
        Some(Limits {
            latency: self.allowed_latency(self.upstream_latency()?),
            max_lateness,
            group: group as u64,
        })
    }

    /// Counts and reports a frame that is dropped.
    pub(super) fn report_late(&self, buffer: &gst::BufferRef, due: Option<ClockTime>, lateness: ClockTime) {
        let (processed, dropped) = {
            let mut stats = lock(&self.network().stats);
            stats.dropped += 1;
            (stats.frames, stats.dropped)
        };
        let late = Late {
            running_time: due,
            stream_time: None,
            pts: buffer.pts(),
            duration: buffer.duration(),
            lateness,
            proportion: 0.0,
        };
        late.report(self.obj().upcast_ref(), processed, dropped);
    }
}

#[cfg(test)]
mod tests;
