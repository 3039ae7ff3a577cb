//! `vidtokenc`: video to tokens.

use gst::glib;
use gst::prelude::*;

mod encoder;
mod events;
mod frame_clock;
mod imp;
mod key_requests;
mod latency;
mod negotiation;
mod orientation;
mod packets;
mod picture;
mod pixels;
mod playback_segment;
mod posterior;
mod settings;

glib::wrapper! {
    pub struct VidtokEnc(ObjectSubclass<imp::VidtokEnc>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "vidtokenc", gst::Rank::NONE, VidtokEnc::static_type())
}
