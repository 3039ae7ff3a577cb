//! The segment starts of a file and its duration. Only packet headers are read where the file is undamaged. Free of
//! GStreamer.

use super::timeline::Timeline;
use super::walk::Walker;
use crate::stream::{Found, PacketHeader};

/// Bytes read for a packet header; often enough for a stream header.
const HEADER_READ: usize = 1024;
/// Bytes read at once to search for a header.
const SEARCH_READ: usize = 1 << 16;

/// A segment start: where to read, and the state of parsing there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Where reading begins: at the stream header in front of the packet, or else at the packet.
    pub offset: u64,
    /// Offset of the current stream header.
    pub header_at: u64,
    /// PTS on the timeline, in nanoseconds.
    pub time: u64,
    /// The timeline before this packet.
    pub timeline: Timeline,
}

/// Which segment start to take for a time between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snap {
    Before,
    After,
    Nearest,
}

// A segment takes at least 61 bytes of the file, so the index is at most about twice as large.
const _: () = assert!(size_of::<Start>() <= 128);

/// The index of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Ordered by offset and by time.
    starts: Vec<Start>,
    /// PTS of the first packet that has one, in nanoseconds.
    begin: Option<u64>,
    /// Where the last packet ends, in nanoseconds; `None` if no packet has a PTS.
    end: Option<u64>,
}

impl Index {
    /// Indexes a file of `size` bytes. `read(offset, n)` returns `n` bytes, fewer only at the end of the file.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn build<B: AsRef<[u8]>, E>(size: u64, read: impl FnMut(u64, usize) -> Result<B, E>) -> Result<Self, E> {
        let (mut index, mut timeline) = (Self::default(), Timeline::default());
        let mut walker = Walker::default();
        let mut window = Window {
            read,
            size,
            offset: 0,
            bytes: None,
        };
        let (mut offset, mut needed, mut read_ahead) = (0, HEADER_READ, HEADER_READ);
        // Where the current stream header begins and ends.
        let (mut header_at, mut header_end) = (0, 0);
        while offset < size {
            let data = window.get(offset, needed, read_ahead)?;
            let missing = data.len() < needed;
            // Playback ends with an error here, too.
            let Ok(found) = walker.look(data) else { break };
            let passed = match found {
                Found::Short(bytes) if !missing => {
                    needed = bytes;
                    continue;
                }
                // The end cuts it off, or its length is wrong: whole packets may follow.
                Found::Short(_) => walker.give_up(data),
                Found::Header { bytes } => {
                    (header_at, header_end) = (offset, offset + bytes as u64);
                    walker.pass(bytes);
                    bytes
                }
                Found::End { bytes, mark } => {
                    timeline.end_mark(&mark);
                    walker.pass(bytes);
                    bytes
                }
                Found::Garbage(bytes) => {
                    read_ahead = SEARCH_READ;
                    bytes
                }
                Found::Packet(packet) if window.has_packet(&walker, offset, &packet)? => {
                    let at = if header_end == offset { header_at } else { offset };
                    if let Some(stream) = walker.header() {
                        let before = timeline.clone();
                        let time = timeline.place(stream, &packet);
                        index.add(&packet, time, (at, header_at), before);
                    }
                    read_ahead = HEADER_READ;
                    walker.pass(packet.packet_bytes());
                    packet.packet_bytes()
                }
                Found::Packet(packet) => {
                    read_ahead = SEARCH_READ;
                    let cuts = offset + packet.packet_bytes() as u64 > size;
                    walker.deny(window.get(offset, HEADER_READ, read_ahead)?, &packet, cuts)
                }
            };
            offset += passed as u64;
            needed = HEADER_READ;
        }
        index.end = timeline.end();
        Ok(index)
    }

    fn add(&mut self, packet: &PacketHeader, time: Option<u64>, at: (u64, u64), timeline: Timeline) {
        let Some(time) = time else { return };
        self.begin.get_or_insert(time);
        if !packet.segment_start {
            return;
        }
        self.starts.push(Start {
            offset: at.0,
            header_at: at.1,
            // PTS may step back inside a stream, but the binary search needs ascending times.
            time: self.starts.last().map_or(time, |last| last.time.max(time)),
            timeline,
        });
    }

    #[cfg(test)]
    pub fn starts(&self) -> &[Start] {
        &self.starts
    }

    /// PTS of the first packet, in nanoseconds.
    pub fn begin(&self) -> Option<u64> {
        self.begin
    }

    /// Where the last packet ends, in nanoseconds.
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// Whether there is only one segment start.
    pub fn has_one_start(&self) -> bool {
        self.starts.len() == 1
    }

    /// The segment start for `time`, in nanoseconds. If there is none on the side of `snap`, the nearest on the other.
    pub fn start(&self, time: u64, snap: Snap) -> Option<&Start> {
        let after = self.starts.partition_point(|start| start.time <= time);
        let before = after.checked_sub(1).and_then(|at| self.starts.get(at));
        let after = match before {
            Some(before) if before.time == time => Some(before),
            _ => self.starts.get(after),
        };
        let (before, after) = (before.or(after)?, after.or(before)?);
        let take_after = match snap {
            Snap::Before => false,
            Snap::After => true,
            Snap::Nearest => after.time.abs_diff(time) < before.time.abs_diff(time),
        };
        Some(if take_after { after } else { before })
    }

    /// The segment start where reading begins at `offset`.
    pub fn start_at(&self, offset: u64) -> Option<&Start> {
        let at = self.starts.binary_search_by_key(&offset, |start| start.offset);
        at.ok().map(|at| &self.starts[at])
    }
}

/// The bytes read last, so that a search does not read them again for each byte that it advances.
struct Window<R, B> {
    read: R,
    /// Bytes of the file.
    size: u64,
    offset: u64,
    bytes: Option<B>,
}

impl<R, B, E> Window<R, B>
where
    R: FnMut(u64, usize) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    /// The bytes from `offset`, at least `needed` unless the file ends. Reads at least `read_ahead` bytes at once.
    fn get(&mut self, offset: u64, needed: usize, read_ahead: usize) -> Result<&[u8], E> {
        let held = self.bytes.as_ref().map_or(0, |bytes| bytes.as_ref().len() as u64);
        let end = self.size.min(offset + needed as u64);
        if !(self.offset..=self.offset + held).contains(&offset) || end > self.offset + held {
            self.bytes = Some((self.read)(offset, needed.max(read_ahead))?);
            self.offset = offset;
        }
        let bytes = self.bytes.as_ref().map_or(&[][..], |bytes| bytes.as_ref());
        Ok(&bytes[(offset - self.offset) as usize..])
    }

    /// Whether the bytes at `offset` that look like the header of `packet` are one: see [`walk`](super::walk).
    fn has_packet(&mut self, walker: &Walker, offset: u64, packet: &PacketHeader) -> Result<bool, E> {
        let end = offset + packet.packet_bytes() as u64;
        if end >= self.size {
            return Ok(end == self.size);
        }
        let mut needed = HEADER_READ;
        loop {
            let next = self.get(end, needed, HEADER_READ)?;
            match walker.follows(next) {
                Ok(true) => return Ok(true),
                Err(bytes) if next.len() >= needed => needed = bytes,
                _ => break,
            }
        }
        let body = self.get(offset, packet.packet_bytes(), SEARCH_READ)?;
        Ok(packet.check_body(body).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{file, format, packets};
    use crate::stream::{Packet, StreamHeader};

    /// A [`file`] as version 1.0 of the format has it.
    fn old_file(segments: u64, first_pts: u64) -> Vec<u8> {
        let format = format(200);
        let header = StreamHeader::encode(&format, None, None).unwrap();
        let stream = StreamHeader::decode(&header).unwrap().0.checksum;
        let packets = packets(segments, first_pts);
        let piece = |packet: Packet| {
            let packet_bytes = packet.encode(&format, stream, None).unwrap();
            let header = if packet.segment_start { &header[..] } else { &[] };
            [header, &packet_bytes].concat()
        };
        packets.flat_map(piece).collect()
    }

    fn build(bytes: &[u8]) -> (Index, usize) {
        let mut bytes_read = 0;
        let index = Index::build(bytes.len() as u64, |offset, length| {
            let rest = &bytes[offset as usize..];
            bytes_read += length.min(rest.len());
            Ok::<_, ()>(rest[..length.min(rest.len())].to_vec())
        });
        (index.unwrap(), bytes_read)
    }

    fn times(index: &Index) -> Vec<u64> {
        index.starts.iter().map(|start| start.time).collect()
    }

    #[test]
    fn starts_and_end_are_found_by_the_headers_alone() {
        let bytes = file(4, 50);
        let (index, bytes_read) = build(&bytes);
        assert_eq!((times(&index), index.end()), (vec![50, 350, 650, 950], Some(1250)));
        for start in &index.starts {
            assert!(bytes[start.offset as usize..].starts_with(b"\x89VIDTOK"));
        }
        assert!(bytes_read < bytes.len() / 20, "{bytes_read} of {} bytes", bytes.len());
    }

    #[test]
    fn joined_files_follow_directly_on_each_other() {
        let bytes = [file(2, 0), file(1, 0), file(1, 5000), file(1, 5000)].concat();
        let (index, _) = build(&bytes);
        assert_eq!(
            (times(&index), index.begin(), index.end()),
            (vec![0, 300, 600, 900, 1200], Some(0), Some(1500))
        );
    }

    #[test]
    fn joined_files_without_stream_ids_are_recognised_by_their_times() {
        // The second starts over, the third starts after a gap, the fourth where the third started.
        let bytes = [old_file(2, 0), old_file(1, 0), old_file(1, 5000), old_file(1, 5000)].concat();
        let (index, _) = build(&bytes);
        assert_eq!(
            (times(&index), index.end()),
            (vec![0, 300, 600, 5600, 5900], Some(6200))
        );
    }

    #[test]
    fn damage_and_a_cut_tail_cost_what_they_hit() {
        let whole = file(3, 0);
        let starts = build(&whole).0.starts;
        let mut bytes = whole.clone();
        let at = starts[1].offset as usize + 20;
        bytes[at] ^= 1;
        // The damaged stream header equals the one before it, so its packets are still found.
        let (index, _) = build(&bytes);
        assert_eq!((times(&index), index.end()), (vec![0, 300, 600], Some(900)));
        assert_eq!(
            (index.starts[1].header_at, index.starts[2].header_at),
            (0, starts[2].offset)
        );
        assert!(index.starts[1].offset > starts[1].offset);
        // Five bytes of a payload are lost; so are the end mark and the last byte in front of it.
        bytes.drain(at + 2000..at + 2005);
        let end = bytes.windows(7).rposition(|bytes| bytes == b"\x89VIDTOK").unwrap();
        bytes.truncate(end - 1);
        let (index, _) = build(&bytes);
        assert_eq!((times(&index), index.end()), (vec![0, 600], Some(800)));
        assert_eq!(build(&[]).0, Index::default());
        assert_eq!(build(&[0x89; 300_000]).0, Index::default());
    }

    #[test]
    fn a_time_is_snapped_to_a_start() {
        let (index, _) = build(&file(3, 100));
        let time = |time, snap| index.start(time, snap).map(|start| start.time);
        for (at, before, after, nearest) in [
            (0, 100, 100, 100),
            (100, 100, 100, 100),
            (200, 100, 400, 100),
            (399, 100, 400, 400),
            (9000, 700, 700, 700),
        ] {
            assert_eq!(time(at, Snap::Before), Some(before), "before {at}");
            assert_eq!(time(at, Snap::After), Some(after), "after {at}");
            assert_eq!(time(at, Snap::Nearest), Some(nearest), "nearest to {at}");
        }
        assert_eq!(Index::default().start(0, Snap::Nearest), None);
    }
}
