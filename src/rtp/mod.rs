//! Tokens as the payload of RTP packets: a run of cells in each, which decodes without its neighbours. Free of GStreamer.
//!
//! `docs/rtp.md` specifies payload and caps field by field. A [`Splitter`] makes payloads of a [`Unit`], a [`Joiner`] makes
//! units of payloads and conceals the cells that did not come. [`fields`] has the format as strings of caps and of SDP.

pub mod fields;
mod header;
mod join;
mod split;
mod unit;

pub use header::{Fault, Header, Payload};
pub use join::{Counts, Joined, Joiner, OnLostStart, Settings};
pub use split::{RTP_HEADER_BYTES, SplitError, Splitter, configuration};
pub use unit::Unit;

/// Ticks of an RTP timestamp per second, and of the offsets in a payload.
pub const CLOCK_RATE: u32 = 90_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The ticks of a time from a unit's first frame on, rounded; `None` where they are more than a packet can say.
pub fn ticks(nanos: u64) -> Option<u32> {
    let (rate, second) = (u128::from(CLOCK_RATE), u128::from(NANOS_PER_SECOND));
    u32::try_from((u128::from(nanos) * rate + second / 2) / second).ok()
}

/// The nanoseconds of an offset.
fn nanos(ticks: u32) -> u64 {
    u64::from(ticks) * NANOS_PER_SECOND / u64::from(CLOCK_RATE)
}
