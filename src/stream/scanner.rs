//! Finds the next stream header or packet in bytes that may be damaged. Holds no bytes itself.

use std::sync::Arc;

use super::limits::{CHECKED_PER_BYTE, SPARE_CHECKED};
use super::{Fault, MAGIC, PacketHeader, SYNC, StreamError, StreamHeader};

/// Magic and sync word start with the same byte.
const MARK: u8 = SYNC[0];
const _: () = assert!(MAGIC[0] == MARK);

/// What is at the start of the bytes given to [`Scanner::scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A stream header of that many bytes; [`Scanner::header`] is it from now on.
    Header { bytes: usize },
    /// An end mark of that many bytes. The stream header before it holds on, for what damage has left of the next one.
    End { bytes: usize, mark: Arc<StreamHeader> },
    /// A complete, undamaged packet of the stream header seen last; its length is [`PacketHeader::packet_bytes`].
    Packet(PacketHeader),
    /// Nothing can be said before there are that many bytes.
    Short(usize),
    /// That many bytes are of no use.
    Garbage(usize),
}

/// How much may be checked in vain.
///
/// Time is bounded by the stream's length, also for one that is made to waste it by headers that claim much and whose
/// checksums fail: once too many bytes were checked in vain, what failed is to be skipped whole and not searched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    passed: u64,
    checked_in_vain: u64,
}

impl Budget {
    /// Says that so many bytes of the stream were passed over. Each counts once.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.passed += bytes as u64;
    }

    #[cfg(test)]
    pub(crate) fn checked_in_vain(&self) -> u64 {
        self.checked_in_vain
    }

    /// Says that so many bytes were checked in vain. Returns whether it was too much.
    pub(crate) fn is_exceeded_by(&mut self, checked: usize) -> bool {
        self.checked_in_vain += checked as u64;
        checked > 0 && self.checked_in_vain > SPARE_CHECKED + CHECKED_PER_BYTE * self.passed
    }
}

/// Where in the stream's grammar a reader is: which stream header holds.
///
/// Time is bounded by the stream's length: see `Budget`.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    header: Option<Arc<StreamHeader>>,
    headers_only: bool,
    /// Something was found, be it garbage.
    begun: bool,
    budget: Budget,
}

impl Scanner {
    /// A scanner that takes a packet by its header, and does not look at its body: for making an index. What it finds
    /// may be looked at again; the caller says by [`pass`](Self::pass) that it goes on.
    pub fn headers_only() -> Self {
        Self {
            headers_only: true,
            ..Self::default()
        }
    }

    /// The stream header seen last; an end mark where no other was seen.
    pub fn header(&self) -> Option<&Arc<StreamHeader>> {
        self.header.as_ref()
    }

    /// Looks at the start of `data`. The caller goes on after what was found: each byte is found once.
    /// After an error there is no going on.
    pub fn scan(&mut self, data: &[u8]) -> Result<Found, StreamError> {
        // Further on it may be damage, which the header's checksum tells.
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

    /// Called where [headers only](Self::headers_only) are looked at, once for each stream header, end mark and
    /// packet, with its length.
    pub fn pass(&mut self, bytes: usize) {
        self.budget.passed(bytes);
    }

    /// Called where `data` is all there is and [`Found::Short`] was the answer: passes over the first of it.
    pub fn give_up(&mut self, data: &[u8]) -> usize {
        self.begun = true;
        self.garbage(data, 0)
    }

    /// Called where [headers only](Self::headers_only) were looked at, and a packet turned out to be none after a look
    /// at `checked` bytes of it: passes over the first of `data` as a scanner does that looks at bodies, too.
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
                // Where nothing came before, it is all that says what the stream is.
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
            // Its stream header was lost: nothing says how to read the packet.
            _ => return Err(Fault::Damaged { checked: 0 }),
        }
        if !self.headers_only {
            packet.check_body(data)?;
        }
        Ok(Found::Packet(packet))
    }

    /// Passes over the first bytes of `data`, after a look at `checked` of them in vain: how many.
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
