//! `vidtokparse`: bytes of a `.vidtok` file or pipe to packets; and what recognizes such bytes.

use gst::glib;
use gst::prelude::*;

use crate::caps::{MEDIA_TYPE, StreamFormat};
use crate::stream::MAGIC;

mod clock;
mod cutter;
mod file;
mod framer;
mod imp;
mod index;
mod losses;
mod output;
mod packets;
mod raw;
mod remote;
mod report;
mod search;
mod seek;
mod segment;
mod state;
#[cfg(test)]
mod testing;
mod timeline;
mod walk;

glib::wrapper! {
    pub struct VidtokParse(ObjectSubclass<imp::VidtokParse>) @extends gst_base::BaseParse, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "vidtokparse",
        gst::Rank::PRIMARY,
        VidtokParse::static_type(),
    )?;
    let caps = byte_stream_caps();
    gst::TypeFind::register(
        Some(plugin),
        MEDIA_TYPE,
        gst::Rank::PRIMARY,
        Some("vidtok"),
        Some(&caps),
        |typefind| {
            // Of any version: the parser says which it cannot read.
            if typefind.peek(0, MAGIC.len() as u32) == Some(&MAGIC[..]) {
                typefind.suggest(gst::TypeFindProbability::Maximum, &byte_stream_caps());
            }
        },
    )
}

/// The byte stream, not known to come in whole packets: what only the parser takes.
fn byte_stream_caps() -> gst::Caps {
    gst::Caps::builder(MEDIA_TYPE)
        .field("stream-format", StreamFormat::Framed.as_str())
        .build()
}

/// What the parser takes: the byte stream, and bare tokens.
fn input_caps() -> gst::Caps {
    let mut caps = byte_stream_caps();
    caps.get_mut()
        .expect("not shared")
        .append_structure(raw::caps_template());
    caps
}
