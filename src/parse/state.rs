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
use crate::stream::Continuity;

#[derive(Default)]
pub struct State {
    pub framer: Framer,
    pub raw: raw::Mode,
    /// Set in pull mode, before the first frame.
    pub index: Option<Arc<Index>>,
    /// Of the file, where there is an index.
    pub size: u64,
    /// What is known of an upstream that pushes.
    pub remote: Remote,
    /// Of the packets' own times. Begins anew with every segment event, and at a seek as the index says.
    pub timeline: Timeline,
    pub clock: Clock,
    /// Upstream's segment is in time: its times are one timeline already.
    pub upstream_in_time: bool,
    /// What was asked for in the seek before, where bytes are pushed.
    pub key_units: bool,
    /// What the caps on the source pad say. Set when they are known.
    pub output: Option<(TokenFormat, StreamFormat)>,
    /// PTS and duration of the frame that is being finished, and the PTS that its packet says.
    pub times: (Option<gst::ClockTime>, Option<gst::ClockTime>),
    pub own_pts: Option<Option<u64>>,
    /// The next buffer follows on something that is missing.
    pub discont: bool,
    /// Compares packets since the last seek or the like; `in_order` once there was one.
    pub continuity: Continuity,
    pub in_order: bool,
    /// The packet that came last says where in its stream it belongs: then that one says where it ends, too.
    pub numbered: bool,
    /// Streaming ended before the stream did, as at a segment's stop or by an error.
    pub stopped: bool,
    /// Part of a packet is there.
    pub in_packet: bool,
    pub losses: Losses,
}

impl State {
    /// What comes next does not follow on what came before.
    pub fn forget_order(&mut self) {
        self.continuity.reset();
        (self.in_order, self.numbered, self.stopped) = (false, false, false);
    }

    /// Something was lost in front of what comes next where that is `damaged`. At a `discont` it may have been, but
    /// the first has one, too.
    pub fn note_loss(&mut self, damaged: bool, discont: bool) {
        if damaged || (discont && self.in_order) {
            self.continuity.lost();
        }
    }
}
