//! The `.vidtok` byte stream: stream headers, packets and the tokens in them. No GStreamer in here.
//!
//! `docs/stream.md` says field by field what the bytes are. A [`Writer`] makes them, a [`Reader`] takes them apart
//! again and finds its place after damage; [`Continuity`] sees whether packets are missing; [`Tokens`] are what a
//! packet carries.

mod coding;
mod continuity;
mod end;
mod error;
mod header;
mod packet;
mod reader;
mod scanner;
mod tokens;
mod unique;
mod writer;

pub use coding::{Coder, PayloadLength};
pub use continuity::{Continuity, Hole, Link, Loss, OnLoss, Place};
pub use end::{End, Totals};
pub use error::{Fault, StreamError};
pub use header::{MAGIC, MAX_JSON_BYTES, MAX_STREAM_ID, StreamHeader, VERSION, check_stream_id, random_stream_id};
pub use packet::{
    MAX_HEADER_BYTES, MAX_INDICES, MAX_LATENT_FRAMES, MAX_LATENT_NUMBER, MAX_PAYLOAD_BYTES, MAX_TIME, Packet,
    PacketHeader, Position, SYNC,
};

pub use reader::{Event, Reader};
pub(crate) use scanner::Budget;
pub use scanner::{Found, Scanner};
pub use tokens::Tokens;
pub use writer::Writer;

/// The bytes at `at`, as an array to make a number of. The caller has checked that they are there.
fn array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| data[at + i])
}
