//! What the parser keeps between frames.

use std::sync::Arc;

use super::clock::Clock;
use super::framer::Framer;
use super::index::Index;
use super::losses::Losses;
use super::raw;
use super::remote::Remote;
use super::timeline::Timeline;
use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::stream::{Coder, Continuity};

/// What the parser's object keeps behind its mutex.
#[derive(Default)]
pub struct State {
    pub framer: Framer,
    pub raw: raw::Mode,
    /// Built in pull mode, before the first frame.
    pub index: Option<Arc<Index>>,
    /// Bytes of the indexed file.
    pub size: u64,
    pub remote: Remote,
    /// Places the packets' own PTS. Starts over with every segment event; a seek in a file sets it from the index.
    pub timeline: Timeline,
    pub clock: Clock,
    /// Upstream's segment is in time, so its timestamps are one timeline already.
    pub upstream_in_time: bool,
    /// The last seek in pushed bytes asked for key units only.
    pub key_units: bool,
    /// Set once the source pad has caps: what they say.
    pub output: Option<(TokenFormat, StreamFormat)>,
    /// Reads the tokens of packets, for output of bare tokens.
    pub coder: Option<Coder>,
    /// PTS and duration of the frame that the base class hands over: a packet, an end mark or other bytes.
    pub times: (Option<gst::ClockTime>, Option<gst::ClockTime>),
    /// The PTS in that frame's packet. `None` once it was used, and for frames that are not packets.
    pub own_pts: Option<Option<u64>>,
    /// Data is missing in front of the next buffer.
    pub discont: bool,
    /// Compares each packet with the packets since the last seek, flush or segment.
    pub continuity: Continuity,
    /// `continuity` has seen a packet.
    pub has_packet: bool,
    /// The last packet is numbered, so its stream ends with an end mark.
    pub numbered: bool,
    /// Playback ended before the stream did, as at a segment's stop or with an error.
    pub stopped: bool,
    /// The bytes that wait are part of a packet.
    pub in_packet: bool,
    pub losses: Losses,
}

impl State {
    /// The next packet need not follow on the packet before.
    pub fn forget_order(&mut self) {
        self.continuity.reset();
        (self.has_packet, self.numbered, self.stopped) = (false, false, false);
    }

    /// Records that data may be missing in front of the next packet: after damaged bytes, or at a `discont`. The first
    /// buffer of a stream has that flag, too, and does not count.
    pub fn note_loss(&mut self, damaged: bool, discont: bool) {
        if damaged || (discont && self.has_packet) {
            self.continuity.lost();
        }
    }
}
