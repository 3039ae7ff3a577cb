//! The `.vidtok` byte stream: stream headers, packets and the tokens in them. No GStreamer in here.
//!
//! `docs/stream.md` says field by field what the bytes are. A [`Writer`] makes them, a [`Reader`] takes them apart
//! again and finds its place after damage; [`Tokens`] are what a packet carries.

mod bits;
mod error;
mod header;
mod packet;
mod payload;
mod reader;
mod scanner;
mod writer;

pub use error::{Fault, StreamError};
pub use header::{MAGIC, MAX_JSON_BYTES, StreamHeader, VERSION};
pub use packet::{MAX_HEADER_BYTES, MAX_LATENT_FRAMES, MAX_PAYLOAD_BYTES, MAX_TIME, Packet, PacketHeader, SYNC};
pub use payload::{Tokens, payload_bytes};
pub use reader::{Event, Reader};
pub use scanner::{Found, Scanner};
pub use writer::Writer;

/// The bytes at `at`, as an array to make a number of. The caller has checked that they are there.
fn array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| data[at + i])
}
