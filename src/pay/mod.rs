//! `rtpvidtokpay`, which sends tokens as RTP packets.
//!
//! [`imp`] is the element; [`units`] reads token buffers, [`numbers`] numbers their latent frames. The payloads are made in
//! `crate::rtp`.

use gst::glib;
use gst::prelude::*;

mod imp;
mod numbers;
mod units;

glib::wrapper! {
    pub struct RtpVidtokPay(ObjectSubclass<imp::RtpVidtokPay>)
        @extends gst_rtp::RTPBasePayload, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "rtpvidtokpay",
        gst::Rank::SECONDARY,
        RtpVidtokPay::static_type(),
    )
}
