//! Video to VidTok tokens and back, as GStreamer elements.
//!
//! Five elements: `vidtokenc` turns raw video into tokens, `vidtokdec` turns tokens into raw video, `vidtokparse` finds
//! the packets in a `.vidtok` file or pipe, and `rtpvidtokpay` and `rtpvidtokdepay` carry tokens over RTP. `README.md`
//! shows how to use them, `ARCHITECTURE.md` how they are built.
//!
//! # Elements in an application
//!
//! An application can link the crate instead of loading the plugin from a file:
//!
//! ```toml
//! [dependencies]
//! gst = { package = "gstreamer", version = "0.25" }
//! gst-plugin-vidtok = { path = "gst-vidtok" }
//! ```
//!
//! It registers the elements once, after [`gst::init`]:
//!
//! ```
//! # use gst::prelude::*;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! gst::init()?;
//! gstvidtok::plugin_register_static()?;
//! let encoder = gst::ElementFactory::make("vidtokenc")
//!     .property("key-interval", 30u32)
//!     .build()?;
//! # assert_eq!(encoder.factory().map(|factory| factory.name()).as_deref(), Some("vidtokenc"));
//! # Ok(())
//! # }
//! ```
//!
//! # ONNX Runtime
//!
//! Nothing links ONNX Runtime, and the crate has no features. [`runtime::load`] opens the library when an element, or a
//! network, first needs it. It looks at the environment variable `ORT_DYLIB_PATH` (the library, or its folder), then in
//! folders beside the plugin, then among the system's libraries.
//!
//! # Modules
//!
//! They work without a pipeline. [`mod@format`], [`stream`], [`timeline`], [`resize`] and [`yuv`] use
//! neither GStreamer nor ONNX Runtime.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`format`](mod@format) | what a token stream is: tokenizer, grid, size, rate |
//! | [`stream`] | the `.vidtok` byte stream: writer, reader, packets |
//! | [`rtp`] | the payload of RTP packets: units to packets, packets to units, concealment |
//! | [`timeline`] | which video frames a latent frame stands for, and when they are shown |
//! | [`resize`] | pictures brought to another size, as PyTorch and Pillow do it |
//! | [`yuv`] | RGB to I420 and NV12 |
//! | [`tokenizer`] | tokenizer folders, and the tokenizer that is built in |
//! | [`runtime`] | an encoder's or decoder's network, run step by step |
//! | [`caps`], [`meta`] | the format as GStreamer caps, and what raw buffers carry beside their numbers |
//!
//! # Tokens to bytes and back
//!
//! One packet of two latent frames of the built-in tokenizer, for a picture of 16×8 pixels: 2×1 cells. Its first latent
//! frame starts a segment and stands for one video frame; the second stands for four.
//!
//! ```
//! use gstvidtok::format::{Fraction, TokenFormat};
//! use gstvidtok::stream::{Event, Packet, Reader, Tokens, Writer, random_stream_id};
//! use gstvidtok::tokenizer::{Role, embedded};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokenizer = embedded(Role::Encoder)?.description;
//! let format = TokenFormat {
//!     framerate: Fraction::new(25, 1),
//!     ..TokenFormat::of(&tokenizer, 16, 8)
//! };
//! let tokens = Tokens::Indices(vec![7, 32_767, 0, 1]);
//! let packet = Packet {
//!     segment_start: true,
//!     segment_end: true,
//!     end_of_stream: true,
//!     latent_frames: 2,
//!     real_frames: 5,
//!     pts: Some(0),
//!     duration: Some(200_000_000),
//!     payload: tokens.to_payload(&format)?,
//!     ..Packet::default()
//! };
//! let mut writer = Writer::new(format.clone(), random_stream_id()?)?;
//! let mut bytes = writer.write(&packet)?;
//! bytes.extend(writer.end()?);
//!
//! let mut reader = Reader::new();
//! reader.push(&bytes);
//! reader.finish();
//! let mut read = Vec::new();
//! while let Some(event) = reader.next_event()? {
//!     if let Event::Packet(packet) = event {
//!         read.push(Tokens::from_payload(&packet.payload, &format, packet.latent_frames)?);
//!     }
//! }
//! assert_eq!(read, [tokens]);
//! assert!(reader.has_ended());
//! # Ok(())
//! # }
//! ```

pub mod format;
pub mod pixels;
pub mod resize;
pub mod rtp;
pub mod runtime;
pub mod stream;
pub mod timeline;
pub mod tokenizer;
pub mod yuv;

mod dec;
mod depay;
mod details;
mod element;
mod enc;
mod parse;
mod pay;

mod system;

pub use element::{caps, meta};
use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    enc::register(plugin)?;
    dec::register(plugin)?;
    parse::register(plugin)?;
    pay::register(plugin)?;
    depay::register(plugin)
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
