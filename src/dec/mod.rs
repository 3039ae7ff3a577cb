//! `vidtokdec`: tokens to video.

use gst::glib;
use gst::prelude::*;

mod decoder;
mod graph;
mod imp;
mod input;
mod lateness;
mod loss;
mod packets;
mod picture;
mod settings;
#[cfg(test)]
mod testing;
mod tokens;

glib::wrapper! {
    pub struct VidtokDec(ObjectSubclass<imp::VidtokDec>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "vidtokdec", gst::Rank::PRIMARY, VidtokDec::static_type())
}
