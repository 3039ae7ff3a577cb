//! `vidtokparse`, which cuts a byte stream into packets, and the typefinder that recognizes such streams.
//!
//! [`imp`] is the element; [`packets`], [`output`], [`raw`], [`file`](mod@file), [`remote`], [`seek`], [`segment`] and
//! [`report`] are its parts by topic. The logic below them is free of GStreamer: [`framer`] and [`walk`] cut the
//! stream, [`index`] and [`search`] find segment starts, [`timeline`] places PTS, [`losses`] counts what is missing,
//! [`cutter`] cuts bare tokens.

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
            // Every version matches; the parser says if it cannot read the version.
            if typefind.peek(0, MAGIC.len() as u32) == Some(&MAGIC[..]) {
                typefind.suggest(gst::TypeFindProbability::Maximum, &byte_stream_caps());
            }
        },
    )
}

/// Caps of a byte stream in buffers that may end anywhere, which only the parser takes.
fn byte_stream_caps() -> gst::Caps {
    gst::Caps::builder(MEDIA_TYPE)
        .field("stream-format", StreamFormat::Framed.as_str())
        .build()
}

/// Caps of the parser's input: a byte stream, or bare tokens.
fn input_caps() -> gst::Caps {
    let mut caps = byte_stream_caps();
    caps.get_mut()
        .expect("not shared")
        .append_structure(raw::caps_template());
    caps
}
