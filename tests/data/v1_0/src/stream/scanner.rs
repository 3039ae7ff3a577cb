//! Finds the next stream header or packet in bytes that may be damaged. Holds no bytes itself.

use std::sync::Arc;

use super::{Fault, MAGIC, PacketHeader, SYNC, StreamError, StreamHeader};

/// Magic and sync word start with the same byte.
const MARK: u8 = SYNC[0];
const _: () = assert!(MAGIC[0] == MARK);

/// Bytes of checksums in vain that are allowed anyway, and for each byte of the stream.
const SPARE_CHECKED: u64 = 1 << 27;
const CHECKED_PER_BYTE: u64 = 16;

/// What is at the start of the bytes given to [`Scanner::scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A stream header of that many bytes; [`Scanner::header`] is it from now on.
    Header { bytes: usize },
    /// A complete, undamaged packet of the stream header seen last; its length is [`PacketHeader::packet_bytes`].
    Packet(PacketHeader),
    /// Nothing can be said before there are that many bytes.
    Short(usize),
    /// That many bytes are of no use.
    Garbage(usize),
}

/// Where in the stream's grammar a reader is: which stream header holds.
///
/// Time is bounded by the stream's length, also for one that is made to waste it by headers that claim much and whose
/// checksums fail: once too many bytes were checked in vain, what failed is skipped whole and not searched.
#[derive(Debug, Default)]
pub struct Scanner {
    header: Option<Arc<StreamHeader>>,
    headers_only: bool,
    passed: u64,
    checked_in_vain: u64,
}

impl Scanner {
    pub fn new() -> Self {
        Self::default()
    }

    /// A scanner that takes a packet by its header, and does not look at its body: for making an index.
    pub fn headers_only() -> Self {
        Self {
            headers_only: true,
            ..Self::default()
        }
    }

    /// The stream header seen last.
    pub fn header(&self) -> Option<&Arc<StreamHeader>> {
        self.header.as_ref()
    }

    /// Looks at the start of `data`. The caller goes on after what was found: each byte is found once.
    /// After an error there is no going on.
    pub fn scan(&mut self, data: &[u8]) -> Result<Found, StreamError> {
        if self.header.is_none()
            && let Some(version) = StreamHeader::newer_version(data)
        {
            return Err(StreamError::NewerVersion(version));
        }
        let found = match self.try_scan(data) {
            Ok(found) => found,
            Err(Fault::Short(bytes)) => Found::Short(bytes),
            Err(Fault::Damaged { checked }) => Found::Garbage(self.garbage(data, checked)),
            Err(Fault::Refused(error)) => return Err(error),
        };
        self.passed += match &found {
            Found::Header { bytes } | Found::Garbage(bytes) => *bytes as u64,
            Found::Packet(packet) => packet.packet_bytes() as u64,
            Found::Short(_) => 0,
        };
        Ok(found)
    }

    /// Called where `data` is all there is and [`Found::Short`] was the answer: passes over the first of it.
    pub fn give_up(&mut self, data: &[u8]) -> usize {
        let garbage = self.garbage(data, 0);
        self.passed += garbage as u64;
        garbage
    }

    fn try_scan(&mut self, data: &[u8]) -> Result<Found, Fault> {
        if data.len() < 3 && MAGIC.starts_with(&data[..data.len().min(2)]) {
            return Err(Fault::Short(3));
        }
        // The third byte tells the two apart.
        if data.starts_with(&MAGIC[..3]) {
            let (header, bytes) = StreamHeader::decode(data)?;
            if self.header.as_ref().is_none_or(|h| **h != header) {
                self.header = Some(Arc::new(header));
            }
            return Ok(Found::Header { bytes });
        }
        let packet = PacketHeader::decode(data)?;
        match &self.header {
            Some(header) if header.checksum == packet.stream => packet.check(&header.format)?,
            // Its stream header was lost: nothing says how to read the packet.
            _ => return Err(Fault::Damaged { checked: 0 }),
        }
        if !self.headers_only {
            packet.check_body(data)?;
        }
        Ok(Found::Packet(packet))
    }

    /// How many of the first bytes of `data` to pass over, after a look at `checked` of them in vain.
    fn garbage(&mut self, data: &[u8], checked: usize) -> usize {
        self.checked_in_vain += checked as u64;
        if checked > 0 && self.checked_in_vain > SPARE_CHECKED + CHECKED_PER_BYTE * self.passed {
            return checked;
        }
        let next = data.iter().skip(1).position(|b| *b == MARK);
        next.map_or(data.len(), |at| at + 1)
    }
}
