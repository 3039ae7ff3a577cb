//! Puts a byte stream together.

use super::{Packet, StreamError, StreamHeader};
use crate::format::TokenFormat;

/// Writes the packets of one token format, with a stream header in front of every segment.
#[derive(Clone, Debug)]
pub struct Writer {
    format: TokenFormat,
    header: Vec<u8>,
    checksum: u32,
}

impl Writer {
    pub fn new(format: TokenFormat) -> Result<Self, StreamError> {
        let header = StreamHeader::encode(&format)?;
        let checksum = u32::from_le_bytes(super::array(&header, header.len() - 4));
        Ok(Self {
            format,
            header,
            checksum,
        })
    }

    pub fn format(&self) -> &TokenFormat {
        &self.format
    }

    /// The bytes of `packet`, behind those of the stream header where a segment starts.
    pub fn write(&self, packet: &Packet) -> Result<Vec<u8>, StreamError> {
        let packet_bytes = packet.encode(&self.format, self.checksum)?;
        Ok(if packet.segment_start {
            [&self.header[..], &packet_bytes].concat()
        } else {
            packet_bytes
        })
    }
}
