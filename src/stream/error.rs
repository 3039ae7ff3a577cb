//! What can be wrong with a stream, in words for users.

use std::fmt;

use crate::format::FormatError;

/// Why a stream, a packet or its tokens cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The stream header has a major version that this reader does not know.
    NewerVersion(u8),
    /// The stream header is intact, but cannot be used.
    Header(String),
    /// A packet is intact, but sets must-understand flags that this reader does not know.
    UnknownFlags(u16),
    /// A packet is intact, but contradicts itself or the stream header.
    Packet(String),
    /// The tokens do not fit the token format.
    Tokens(String),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewerVersion(version) => write!(
                f,
                "the stream is of version {version} of the VidTok byte stream; this reader knows version {}: use a newer one",
                super::header::VERSION
            ),
            Self::Header(reason) => write!(f, "cannot use the stream header: {reason}"),
            Self::UnknownFlags(flags) => write!(
                f,
                "a packet needs a feature that this reader does not have (flags {flags:#06x}): use a newer one"
            ),
            Self::Packet(reason) => write!(f, "impossible packet: {reason}"),
            Self::Tokens(reason) => write!(f, "tokens do not fit their format: {reason}"),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<FormatError> for StreamError {
    fn from(error: FormatError) -> Self {
        Self::Header(error.to_string())
    }
}

/// Why bytes could not be decoded as a stream header or a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes end too early. Decode again with at least that many.
    Short(usize),
    /// Damaged, or not a stream header or packet. `checked`: bytes that a checksum was spent on.
    Damaged { checked: usize },
    /// Intact, but impossible or too new.
    Refused(StreamError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(bytes) => write!(f, "cut off: {bytes} bytes or more are needed"),
            Self::Damaged { .. } => f.write_str("damaged, or not VidTok data"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        Self::Refused(error)
    }
}
