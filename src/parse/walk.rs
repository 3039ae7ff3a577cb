//! Walks through a stream from packet to packet, in the same way for playback and for the index. Free of GStreamer.
//!
//! Bytes with an undamaged packet header are a packet if the body is undamaged **or** something undamaged follows:
//! another packet, a stream header, the end of the stream. So the index reads a body only if nothing follows it, as
//! where a file was cut and another one appended: there the packet's length leads past the next stream header. And
//! playback needs no bytes behind a packet whose body is undamaged. Both find the same packets.

use std::sync::Arc;

use crate::stream::{Fault, Found, MAGIC, PacketHeader, Scanner, StreamError, StreamHeader};

/// The state of a walk. Looks at headers only; the caller has the bytes and checks bodies.
#[derive(Clone, Debug)]
pub struct Walker {
    scanner: Scanner,
}

impl Default for Walker {
    fn default() -> Self {
        Self {
            scanner: Scanner::headers_only(),
        }
    }
}

impl Walker {
    /// The current stream header.
    pub fn header(&self) -> Option<&Arc<StreamHeader>> {
        self.scanner.header()
    }

    /// What `data` starts with. Of a packet, only the header is checked.
    pub fn look(&mut self, data: &[u8]) -> Result<Found, StreamError> {
        if data.is_empty() {
            return Ok(Found::Short(1));
        }
        self.scanner.scan(data)
    }

    /// Whether `data`, which stands behind a packet, starts with an undamaged packet or stream header. `Err(n)`: the
    /// answer needs `n` bytes of it.
    pub fn follows(&self, data: &[u8]) -> Result<bool, usize> {
        // Magic and sync word differ in their third byte.
        let found = match data.get(..3) {
            None => return Err(3),
            Some(start) if MAGIC.starts_with(start) => StreamHeader::decode(data).map(|_| true),
            Some(_) => PacketHeader::decode(data).map(|packet| self.is_readable(&packet)),
        };
        match found {
            Ok(follows) => Ok(follows),
            Err(Fault::Short(bytes)) => Err(bytes),
            // Undamaged, but unreadable: the stream ends there with an error.
            Err(Fault::Refused(_)) => Ok(true),
            Err(Fault::Damaged { .. }) => Ok(false),
        }
    }

    /// Moves past a stream header, an end mark or a packet of that many bytes. Looking alone does not move.
    pub fn pass(&mut self, bytes: usize) {
        self.scanner.pass(bytes);
    }

    /// Moves past the start of `data`, where [`look`](Self::look) found `packet`, but its body is damaged or, with
    /// `cuts`, cut off by the end of the stream. Returns how many bytes to skip.
    pub fn deny(&mut self, data: &[u8], packet: &PacketHeader, cuts: bool) -> usize {
        let checked = if cuts { 0 } else { packet.packet_bytes() };
        self.scanner.deny(data, checked)
    }

    /// Moves past the start of `data`, which the end of the stream cuts off. Returns how many bytes to skip.
    pub fn give_up(&mut self, data: &[u8]) -> usize {
        self.scanner.give_up(data)
    }

    #[cfg(test)]
    pub fn checked_in_vain(&self) -> u64 {
        self.scanner.checked_in_vain()
    }

    fn is_readable(&self, packet: &PacketHeader) -> bool {
        self.header()
            .is_some_and(|header| header.checksum == packet.stream_header_crc && header.end.is_none())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::framer::{Action, Framer};
    use super::super::index::Index;
    use super::super::testing::stream;
    use super::super::timeline::Timeline;
    use crate::stream::SYNC;

    /// What happens to a stream before it is joined to others.
    #[derive(Clone, Debug)]
    enum Fate {
        Whole,
        /// The end is missing.
        Cut(usize),
        /// The start is missing.
        Late(usize),
        Flip(usize),
        Remove(usize, usize),
        Insert(usize, usize),
    }

    fn fate() -> impl Strategy<Value = Fate> {
        let at = || any::<usize>();
        prop_oneof![
            Just(Fate::Whole),
            at().prop_map(Fate::Cut),
            at().prop_map(Fate::Late),
            at().prop_map(Fate::Flip),
            (at(), 1..4000usize).prop_map(|(at, bytes)| Fate::Remove(at, bytes)),
            (at(), 1..4000usize).prop_map(|(at, bytes)| Fate::Insert(at, bytes)),
        ]
    }

    fn suffer(mut bytes: Vec<u8>, fate: &Fate) -> Vec<u8> {
        let place = |at: usize| at % bytes.len();
        match *fate {
            Fate::Whole => (),
            Fate::Cut(at) => bytes.truncate(place(at)),
            Fate::Late(at) => drop(bytes.drain(..place(at))),
            Fate::Flip(at) => {
                let at = place(at);
                bytes[at] ^= 0x10;
            }
            Fate::Remove(at, count) => {
                let at = place(at);
                bytes.drain(at..bytes.len().min(at + count));
            }
            Fate::Insert(at, count) => {
                let at = place(at);
                bytes.splice(at..at, std::iter::repeat_n(0x89, count));
            }
        }
        bytes
    }

    /// Offsets and times of segment starts and the end of the last packet, from the index.
    fn indexed(bytes: &[u8]) -> (Vec<(u64, u64)>, Option<u64>) {
        let read = |offset: u64, length: usize| {
            let rest = &bytes[offset as usize..];
            Ok::<_, ()>(&rest[..length.min(rest.len())])
        };
        let index = Index::build(bytes.len() as u64, read).unwrap();
        let starts = index.starts().iter().map(|start| (start.offset, start.time));
        (starts.collect(), index.end())
    }

    /// Offsets and times of segment starts and the end of the last packet, from playback in pieces of at least `piece`
    /// bytes.
    fn played(bytes: &[u8], piece: usize) -> (Vec<(u64, u64)>, Option<u64>) {
        let (mut framer, mut timeline, mut starts) = (Framer::default(), Timeline::default(), Vec::<(u64, u64)>::new());
        let (mut at, mut needed, mut header) = (0, 1, None);
        while at < bytes.len() {
            let end = bytes.len().min(at + needed.max(piece));
            // Damage may make a stream header seem to be of a newer version, which ends playback.
            let Ok(action) = framer.next(&bytes[at..end], at as u64, end == bytes.len()) else {
                break;
            };
            let header_bytes = framer.header().map_or(0, |(_, header)| header.len());
            // Reading starts at the stream header if it stands directly in front of the packet.
            let (passed, from, packet) = match action {
                Action::Wait(more) => {
                    assert!(more > end - at, "no progress at {at}");
                    needed = more;
                    continue;
                }
                Action::Skip(count) => {
                    let is_header = framer
                        .header()
                        .is_some_and(|(_, header)| bytes[at..at + count] == *header);
                    header = is_header.then_some(at + count);
                    at += count;
                    needed = 1;
                    continue;
                }
                Action::Packet(frame) if frame.packet_at > 0 => (frame.bytes, at, frame.packet),
                Action::Packet(frame) if header == Some(at) => (frame.bytes, at - header_bytes, frame.packet),
                Action::SkipDamaged(packet) if header == Some(at) => (packet.packet_bytes(), at - header_bytes, packet),
                Action::Packet(frame) => (frame.bytes, at, frame.packet),
                Action::SkipDamaged(packet) => (packet.packet_bytes(), at, packet),
                Action::EndMark { bytes, mark } => {
                    timeline.end_mark(&mark);
                    at += bytes;
                    needed = 1;
                    continue;
                }
            };
            let time = timeline.place(framer.header().unwrap().0, &packet).unwrap();
            if packet.segment_start {
                let latest = starts.last().map_or(0, |(_, latest)| *latest);
                starts.push((from as u64, time.max(latest)));
            }
            at += passed;
            needed = 1;
        }
        (starts, timeline.end())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn index_and_playback_name_the_same_packets(
            parts in prop::collection::vec((2..40u32, 1..9u64, 0..2000u64, fate()), 1..5),
            whole in fate(),
            piece in 1..3000usize,
        ) {
            let parts = parts.iter().map(|(grid, packets, pts, fate)| suffer(stream(*grid, *packets, *pts), fate));
            let mut bytes = parts.collect::<Vec<_>>().concat();
            if !bytes.is_empty() {
                bytes = suffer(bytes, &whole);
            }
            prop_assert_eq!(indexed(&bytes), played(&bytes, piece));
        }
    }

    #[test]
    fn a_cut_file_does_not_swallow_the_one_behind_it() {
        let whole = stream(20, 6, 0);
        let header = whole.windows(4).position(|bytes| bytes == SYNC).unwrap();
        // Cut inside magic and version, the header could seem to be of a newer version.
        for cut in (8..whole.len()).step_by(7) {
            let bytes = [&whole[..cut], &whole[..]].concat();
            let (starts, _) = indexed(&bytes);
            // At the packet instead, if the cut packet's length leads right behind the next stream header.
            let found = |at: usize| starts.iter().any(|(offset, _)| *offset == at as u64);
            assert!(found(cut) || found(cut + header), "cut at {cut}");
            assert_eq!(starts, played(&bytes, 700).0, "cut at {cut}");
        }
    }
}
