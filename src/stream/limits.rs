//! Limits of the byte stream, in the words of the table in docs/stream.md. `format` has those of a token format.
//!
//! They bound what a reader allocates and how long it works, whatever a stream claims.

use crate::format::MAX_GRID_CELLS;

/// Bytes of JSON in a stream header.
pub const MAX_JSON_BYTES: usize = 1 << 16;
/// Characters of a stream's id.
pub const MAX_STREAM_ID: usize = 64;
/// Bytes of a packet header, extensions of later minor versions included.
pub const MAX_HEADER_BYTES: usize = 1024;
/// Latent frames of a packet.
pub const MAX_LATENT_FRAMES: u32 = 4096;
/// Bytes of a packet's payload.
pub const MAX_PAYLOAD_BYTES: u32 = 1 << 26;
/// FSQ indices of a packet: a reader makes four bytes of each, and it may take a single bit. The payload bounds KL values.
pub const MAX_INDICES: u64 = 1 << 24;
/// A packet's PTS, its duration, and each of its frame offsets, in nanoseconds. Sums of them do not overflow.
pub const MAX_TIME: u64 = 1 << 61;
/// The number of a latent frame in its segment, and the latent frames that an end mark counts. Sums do not overflow.
pub const MAX_LATENT_NUMBER: u64 = 1 << 48;

/// Bytes that a reader spends on checksums that do not hold, whatever the stream's length.
pub const SPARE_CHECKED: u64 = 1 << 27;
/// Further such bytes for each byte of the stream.
pub const CHECKED_PER_BYTE: u64 = 16;

// A packet has room for at least one latent frame of any format.
const _: () = assert!(MAX_GRID_CELLS <= MAX_INDICES);
