//! Finds the next stream header or packet in bytes that may be damaged. Holds no bytes.

use std::sync::Arc;

use super::limits::{CHECKED_PER_BYTE, SPARE_CHECKED};
use super::{Fault, MAGIC, PacketHeader, SYNC, StreamError, StreamHeader};

/// Magic and sync word start with the same byte.
const MARK: u8 = SYNC[0];
const _: () = assert!(MAGIC[0] == MARK);

/// What is at the start of the bytes given to [`Scanner::scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A stream header of that many bytes; [`Scanner::header`] gives it.
    Header { bytes: usize },
    /// An end mark of that many bytes. The stream header before it stays: the next one may be damaged and equal.
    End { bytes: usize, mark: Arc<StreamHeader> },
    /// A complete, undamaged packet of the stream header seen last; its length is [`PacketHeader::packet_bytes`].
    Packet(PacketHeader),
    /// The scanner needs at least that many bytes.
    Short(usize),
    /// That many bytes must be skipped.
    Garbage(usize),
}

/// How many bytes may be spent on checksums that do not hold.
///
/// It bounds a reader's time by the stream's length, even if the stream is made of headers that claim much and fail
/// their checksums. Once the budget is used up, the reader skips the whole of what fails a checksum, and does not
/// search it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    passed: u64,
    checked_in_vain: u64,
}

impl Budget {
    /// Notes that the reader went past so many bytes of the stream. Each byte counts once.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.passed += bytes as u64;
    }

    #[cfg(test)]
    pub(crate) fn checked_in_vain(&self) -> u64 {
        self.checked_in_vain
    }

    /// Notes that so many bytes were checked in vain. Returns whether the budget is used up.
    pub(crate) fn is_exceeded_by(&mut self, checked: usize) -> bool {
        self.checked_in_vain += checked as u64;
        checked > 0 && self.checked_in_vain > SPARE_CHECKED + CHECKED_PER_BYTE * self.passed
    }
}

/// Tells what the next bytes of a stream are, by the stream header seen last. A [`Budget`] bounds its time.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    header: Option<Arc<StreamHeader>>,
    headers_only: bool,
    /// Something was found, garbage included.
    begun: bool,
    budget: Budget,
}

impl Scanner {
    /// A scanner that looks at packet headers and not at their bodies, for making an index. It may be shown the same
    /// bytes again; the caller calls [`pass`](Self::pass) when it moves on.
    pub fn headers_only() -> Self {
        Self {
            headers_only: true,
            ..Self::default()
        }
    }

    /// The stream header seen last; an end mark if there was none.
    pub fn header(&self) -> Option<&Arc<StreamHeader>> {
        self.header.as_ref()
    }

    /// Looks at the start of `data`. The caller continues behind what was found, so that each byte is found once.
    ///
    /// # Errors
    /// The stream is of a newer version or impossible. The scanner cannot continue.
    pub fn scan(&mut self, data: &[u8]) -> Result<Found, StreamError> {
        // Further on this may be damage, which only the header's checksum shows.
        if !self.begun
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
        self.begun |= !matches!(found, Found::Short(_));
        match &found {
            Found::Header { bytes } | Found::End { bytes, .. } if !self.headers_only => self.budget.passed(*bytes),
            Found::Packet(packet) if !self.headers_only => self.budget.passed(packet.packet_bytes()),
            // Garbage is counted with the rest of it.
            _ => (),
        }
        Ok(found)
    }

    /// With [headers only](Self::headers_only): call once for each stream header, end mark and packet, with its length.
    pub fn pass(&mut self, bytes: usize) {
        self.budget.passed(bytes);
    }

    /// Call if `data` is all there is and the scanner needs more: returns how many bytes to skip.
    pub fn give_up(&mut self, data: &[u8]) -> usize {
        self.begun = true;
        self.garbage(data, 0)
    }

    /// With [headers only](Self::headers_only): call if a packet's body is damaged, as a checksum over `checked` bytes
    /// has shown. Returns how many bytes of `data` to skip, as a scanner would that looks at bodies.
    pub fn deny(&mut self, data: &[u8], checked: usize) -> usize {
        self.garbage(data, checked)
    }

    #[cfg(test)]
    pub fn checked_in_vain(&self) -> u64 {
        self.budget.checked_in_vain
    }

    fn try_scan(&mut self, data: &[u8]) -> Result<Found, Fault> {
        if data.len() < 3 && MAGIC.starts_with(&data[..data.len().min(2)]) {
            return Err(Fault::Short(3));
        }
        // The third byte tells the two apart.
        if data.starts_with(&MAGIC[..3]) {
            let (header, bytes) = StreamHeader::decode(data)?;
            if header.end.is_some() {
                let mark = Arc::new(header);
                // Without a stream header before it, the mark alone says what the stream is.
                self.header.get_or_insert_with(|| mark.clone());
                return Ok(Found::End { bytes, mark });
            }
            if self.header.as_ref().is_none_or(|h| **h != header) {
                self.header = Some(Arc::new(header));
            }
            return Ok(Found::Header { bytes });
        }
        let packet = PacketHeader::decode(data)?;
        match &self.header {
            Some(header) if header.checksum == packet.stream_header_crc && header.end.is_none() => {
                packet.check(&header.format)?;
            }
            // Without its stream header, the packet cannot be read.
            _ => return Err(Fault::Damaged { checked: 0 }),
        }
        if !self.headers_only {
            packet.check_body(data)?;
        }
        Ok(Found::Packet(packet))
    }

    /// How many bytes of `data` to skip, after `checked` of them failed a checksum.
    fn garbage(&mut self, data: &[u8], checked: usize) -> usize {
        let garbage = if self.budget.is_exceeded_by(checked) {
            checked
        } else {
            let next = data.iter().skip(1).position(|b| *b == MARK);
            next.map_or(data.len(), |at| at + 1)
        };
        self.budget.passed(garbage);
        garbage
    }
}
