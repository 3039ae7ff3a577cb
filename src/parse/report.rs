//! The parser's reports to applications: warnings, errors, statistics.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::framer::FramerError;
use super::imp::{CAT, VidtokParse};
use crate::stream::{Hole, Loss, StreamError};

impl VidtokParse {
    pub fn stats_property() -> glib::ParamSpec {
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "Places and bytes that were damaged, holes between packets, latent frames known to be missing, packets \
                 left out as they came twice; whether what came last is the end of a stream",
            )
            .read_only()
            .build()
    }

    pub fn stats(&self) -> gst::Structure {
        let (losses, ended) = {
            let state = self.state();
            (state.losses, state.continuity.has_ended())
        };
        gst::Structure::builder("application/x-vidtokparse-stats")
            .field("damaged-places", losses.places)
            .field("damaged-bytes", losses.bytes)
            .field("holes", losses.holes)
            .field("missing-latent-frames", losses.latent_frames)
            .field("repeated-packets", losses.repeated)
            .field("ended", ended)
            .build()
    }

    /// Reports bytes in front of `offset` that were skipped. Returns whether there are any.
    pub fn report_damage(&self, offset: u64) -> bool {
        let text = {
            let mut state = self.state();
            let Some(damage) = state.framer.take_damage(offset) else {
                return false;
            };
            state.discont = true;
            state.losses.add_damage(damage)
        };
        self.warn(text);
        true
    }

    /// Reports a `hole` in front of `offset`. A hole that `damaged` bytes have made is reported with the damage.
    pub fn report_hole(&self, hole: Option<Hole>, offset: u64, damaged: bool) {
        let Some(hole) = hole else { return };
        let text = {
            let mut state = self.state();
            state.discont |= hole.loss != Loss::Repeated;
            state.losses.add_hole(hole, offset, damaged)
        };
        self.warn(text);
    }

    /// Reports at the end of the stream: damage, a sum of what was not reported, a missing end mark.
    pub fn report_end(&self) {
        // A segment in time may end at upstream's own stop position.
        let has_stop = self
            .obj()
            .segment()
            .downcast::<gst::ClockTime>()
            .is_ok_and(|s| s.stop().is_some());
        let (damage, sum, no_end) = {
            let mut state = self.state();
            let end = state.framer.offset();
            let damage = state.framer.take_damage(end);
            let cut = damage.filter(|_| state.framer.is_cut());
            if let Some(damage) = cut {
                gst::info!(CAT, imp = self, "Stream is cut off, {} bytes left over", damage.bytes);
            }
            let damage = damage.filter(|_| cut.is_none());
            // Damage at the end is reported itself.
            let no_end = damage.is_none()
                && state.numbered
                && !state.continuity.has_ended()
                && !state.stopped
                && !(state.upstream_in_time && has_stop);
            let no_end = no_end.then(|| match cut {
                Some(damage) => format!(
                    "The stream is cut off: it ends without its end mark, {} bytes into a packet",
                    damage.bytes
                ),
                None => format!("The stream is cut off: it ends at byte {end} without its end mark"),
            });
            let text = damage.and_then(|damage| state.losses.add_damage(damage));
            (text, state.losses.sum_up(), no_end)
        };
        self.warn(damage);
        self.warn(sum);
        self.warn(no_end);
    }

    fn warn(&self, text: Option<String>) {
        if let Some(text) = text {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
        }
    }

    /// Posts `error`; the result ends streaming.
    pub fn fail(&self, error: &FramerError) -> gst::FlowError {
        match error {
            FramerError::Stream(error @ StreamError::NewerVersion(_)) => {
                gst::element_imp_error!(self, gst::StreamError::WrongType, ("{error}"));
            }
            FramerError::Stream(error) => gst::element_imp_error!(self, gst::StreamError::Decode, ("{error}")),
            FramerError::NotVidTok(bytes) => gst::element_imp_error!(
                self,
                gst::StreamError::WrongType,
                ("There is no whole VidTok stream header in the first {bytes} bytes: this is not a .vidtok stream, or it is cut off")
            ),
        }
        gst::FlowError::Error
    }
}
