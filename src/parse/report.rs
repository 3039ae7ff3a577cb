//! What the parser tells: warnings, errors, statistics.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::framer::FramerError;
use super::imp::{CAT, VidtokParse};
use crate::stream::{Hole, Loss, StreamError};

impl VidtokParse {
    pub fn stats_property() -> glib::ParamSpec {
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Places and bytes that were damaged, holes between packets, latent frames known to be missing, packets left out as they came twice")
            .read_only()
            .build()
    }

    pub fn stats(&self) -> gst::Structure {
        let losses = self.state().losses;
        gst::Structure::builder("application/x-vidtokparse-stats")
            .field("damaged-places", losses.places)
            .field("damaged-bytes", losses.bytes)
            .field("holes", losses.holes)
            .field("missing-latent-frames", losses.latent_frames)
            .field("repeated-packets", losses.repeated)
            .build()
    }

    /// Says what there is to say about bytes in front of `offset` that are no packet.
    /// Returns whether there are any.
    pub fn tell_of_damage(&self, offset: u64) -> bool {
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

    /// Says that there is a `hole` in front of `offset`, if there is one. One that `damaged` bytes have made was spoken of.
    pub fn tell_of_hole(&self, hole: Option<Hole>, offset: u64, damaged: bool) {
        let Some(hole) = hole else { return };
        let text = {
            let mut state = self.state();
            state.discont |= hole.loss != Loss::Repeated;
            state.losses.add_hole(hole, offset, damaged)
        };
        self.warn(text);
    }

    /// Says what there is to say at the stream's end.
    pub fn tell_of_end(&self) {
        let (damage, sum) = {
            let mut state = self.state();
            let end = state.framer.offset();
            let damage = state.framer.take_damage(end);
            let cut = damage.filter(|_| state.framer.is_cut());
            if let Some(damage) = cut {
                gst::info!(CAT, imp = self, "Stream is cut off, {} bytes left over", damage.bytes);
            }
            let damage = damage.filter(|_| cut.is_none());
            let text = damage.and_then(|damage| state.losses.add_damage(damage));
            (text, state.losses.sum_up())
        };
        self.warn(damage);
        self.warn(sum);
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
                ("There is no VidTok stream header in the first {bytes} bytes: this is no .vidtok stream")
            ),
        }
        gst::FlowError::Error
    }
}
