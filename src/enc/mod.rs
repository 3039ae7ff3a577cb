//! `vidtokenc`: video to tokens.

use gst::glib;
use gst::prelude::*;

mod clock;
mod encoder;
mod events;
mod imp;
mod key_requests;
mod live;
mod orientation;
mod packets;
mod picture;
mod pixels;
mod playback;
mod posterior;
mod settings;
mod setup;

glib::wrapper! {
    pub struct VidtokEnc(ObjectSubclass<imp::VidtokEnc>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "vidtokenc", gst::Rank::NONE, VidtokEnc::static_type())
}
