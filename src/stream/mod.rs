//! The `.vidtok` byte stream: stream headers, packets and the tokens in them. Free of GStreamer.
//!
//! `docs/stream.md` specifies the bytes field by field. A [`Writer`] makes them. A [`Reader`] reads them, continues
//! behind damage, and tells where packets are missing. A packet carries [`Tokens`], which a [`Coder`] turns into its
//! payload.

mod coding;
mod continuity;
mod end;
mod error;
mod header;
mod limits;
mod packet;
mod reader;
mod scanner;
mod tokens;
mod unique;
mod writer;

pub use coding::{Coder, PayloadLength};
pub(crate) use coding::{bits_of_cells, decode_cells, encode_cells};
pub(crate) use continuity::{Continuity, Link};
pub use continuity::{Hole, Loss, OnLoss};
pub use end::{End, Totals};
pub use error::{Fault, StreamError};
pub(crate) use header::check_stream_id;
pub use header::{MAGIC, StreamHeader, random_stream_id};
pub use limits::MAX_TIME;
pub(crate) use limits::{MAX_HEADER_BYTES, MAX_JSON_BYTES, MAX_PAYLOAD_BYTES};
pub(crate) use packet::PacketHeader;
pub use packet::{Packet, Position, SYNC};
pub use reader::{Event, Reader};
pub(crate) use scanner::{Budget, Found, Scanner};
pub use tokens::Tokens;
pub use writer::Writer;
