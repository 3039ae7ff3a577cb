//! Video to VidTok tokens and back, as GStreamer elements.

pub mod format;
pub mod runtime;
pub mod stream;
pub mod timeline;
pub mod tokenizer;

mod dec;
mod element;
mod enc;
mod parse;
mod system;

pub use element::{caps, meta};
use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    enc::register(plugin)?;
    dec::register(plugin)?;
    parse::register(plugin)
}

gst::plugin_define!(
    vidtok,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "gst-vidtok",
    env!("BUILD_REL_DATE")
);
