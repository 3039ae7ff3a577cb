//! `rtpvidtokdepay`, which receives tokens as RTP packets.
//!
//! [`imp`] is the element; [`output`] makes token buffers, [`settings`] and [`stats`] are its properties. Packets become
//! units in `crate::rtp`.

use gst::glib;
use gst::prelude::*;

mod imp;
mod output;
mod settings;
mod state;
mod stats;

glib::wrapper! {
    pub struct RtpVidtokDepay(ObjectSubclass<imp::RtpVidtokDepay>)
        @extends gst_rtp::RTPBaseDepayload, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "rtpvidtokdepay",
        gst::Rank::SECONDARY,
        RtpVidtokDepay::static_type(),
    )
}
