//! Where a file's segments start, and how long it is: found by its packet headers alone. No GStreamer in here.

use super::joined::{Timeline, shifted};
use crate::stream::{Found, Scanner};

/// Bytes read for a packet header, and often enough for a stream header.
const HEADER_READ: usize = 1024;
/// Bytes read at once where headers have to be searched for.
const SEARCH_READ: usize = 1 << 16;

/// A segment's start: where to read and what time it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Of the stream header, in bytes.
    pub offset: u64,
    pub time: u64,
    /// What is added to the PTS of packets from here on.
    pub shift: u64,
}

/// What to do about a time that is not a segment's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snap {
    Before,
    After,
    Nearest,
}

/// The index of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// In the order of both offset and time.
    starts: Vec<Start>,
    /// Where the last packet ends; `None` where no packet has a PTS.
    end: Option<u64>,
}

impl Index {
    /// Goes through a file of `size` bytes. `read` gives that many bytes from an offset on, fewer only at the end.
    pub fn build<B: AsRef<[u8]>, E>(size: u64, read: impl FnMut(u64, usize) -> Result<B, E>) -> Result<Self, E> {
        let (mut index, mut timeline) = (Self::default(), Timeline::default());
        let mut scanner = Scanner::headers_only();
        let mut window = Window {
            read,
            size,
            offset: 0,
            bytes: None,
        };
        let (mut offset, mut wanted, mut read_ahead) = (0, HEADER_READ, HEADER_READ);
        // The stream header that no packet followed yet.
        let mut header = None;
        while offset < size {
            let data = window.get(offset, wanted, read_ahead)?;
            let missing = data.len() < wanted;
            // What a stream header or packet refuses ends the stream when it is played, too.
            let Ok(found) = scanner.scan(data) else { break };
            let passed = match found {
                Found::Short(bytes) if !missing => {
                    wanted = bytes;
                    continue;
                }
                Found::Header { bytes } => {
                    header = Some(offset);
                    bytes
                }
                Found::End { bytes, .. } => bytes,
                Found::Packet(packet) if offset + packet.packet_bytes() as u64 <= size => {
                    let time = timeline.place(&packet);
                    if let (true, Some(offset), Some(time)) = (packet.segment_start, header.take(), time) {
                        index.starts.push(Start {
                            offset,
                            time,
                            shift: timeline.shift(),
                        });
                    }
                    read_ahead = HEADER_READ;
                    packet.packet_bytes()
                }
                Found::Garbage(bytes) => {
                    read_ahead = SEARCH_READ;
                    bytes
                }
                // Cut off, or its length is wrong: whole packets may follow.
                Found::Short(_) | Found::Packet(_) => scanner.give_up(data),
            };
            offset += passed as u64;
            wanted = HEADER_READ;
        }
        index.end = timeline.end();
        Ok(index)
    }

    /// Where the last packet ends.
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// Whether there is but one place to start from.
    pub fn has_one_start(&self) -> bool {
        self.starts.len() == 1
    }

    /// The segment's start for `time`; where there is none on the side asked for, the next on the other.
    pub fn start(&self, time: u64, snap: Snap) -> Option<Start> {
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
        Some(if take_after { *after } else { *before })
    }

    /// The time of a packet at `offset` whose own PTS is `pts`.
    pub fn place(&self, offset: u64, pts: u64) -> u64 {
        let after = self.starts.partition_point(|start| start.offset <= offset);
        let shift = after.checked_sub(1).map_or(0, |at| self.starts[at].shift);
        shifted(pts, shift)
    }
}

/// The bytes read last, so that a search does not read them again for every step.
struct Window<R, B> {
    read: R,
    /// Of the file.
    size: u64,
    offset: u64,
    bytes: Option<B>,
}

impl<R, B, E> Window<R, B>
where
    R: FnMut(u64, usize) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    /// The bytes from `offset` on, at least `wanted` but at the file's end. If reading, reads at least `read_ahead`.
    fn get(&mut self, offset: u64, wanted: usize, read_ahead: usize) -> Result<&[u8], E> {
        let held = self.bytes.as_ref().map_or(0, |bytes| bytes.as_ref().len() as u64);
        let end = self.size.min(offset + wanted as u64);
        if !(self.offset..=self.offset + held).contains(&offset) || end > self.offset + held {
            self.bytes = Some((self.read)(offset, wanted.max(read_ahead))?);
            self.offset = offset;
        }
        let bytes = self.bytes.as_ref().map_or(&[][..], |bytes| bytes.as_ref());
        Ok(&bytes[(offset - self.offset) as usize..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Fraction, Regularizer, TokenFormat, TokenType};
    use crate::stream::{Packet, Writer};

    /// Bytes of the payload of a packet here: much more than is read of it.
    const PAYLOAD: usize = 40_000;

    fn writer() -> Writer {
        let format = TokenFormat {
            model: "toy".into(),
            tokenizer: "0".repeat(64),
            regularizer: Regularizer::Fsq { levels: vec![16, 16] },
            token_type: TokenType::Uint16,
            grid_width: 200,
            grid_height: 200,
            time_factor: 4,
            space_factor: 8,
            causal: true,
            width: 1600,
            height: 1600,
            framerate: Fraction::new(30, 1),
            pixel_aspect_ratio: Fraction::new(1, 1),
            colorimetry: None,
        };
        Writer::new(format, "toy").unwrap()
    }

    /// Segments of three packets of 100 ns each.
    fn file(segments: u64, first_pts: u64) -> Vec<u8> {
        let packets = (0..3 * segments).map(|i| Packet {
            segment_start: i % 3 == 0,
            latent_frames: 1,
            real_frames: 1,
            pts: Some(first_pts + i * 100),
            duration: Some(100),
            payload: vec![0; PAYLOAD],
            ..Packet::default()
        });
        let mut writer = writer();
        packets.flat_map(|packet| writer.write(&packet).unwrap()).collect()
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
    fn joined_files_have_one_timeline() {
        // The second begins anew, the third after a gap, the fourth where the third began.
        let bytes = [file(2, 0), file(1, 0), file(1, 5000), file(1, 5000)].concat();
        let (index, _) = build(&bytes);
        assert_eq!(
            (times(&index), index.end()),
            (vec![0, 300, 600, 5600, 5900], Some(6200))
        );
        let last = *index.starts.last().unwrap();
        assert_eq!(index.place(last.offset, 5000), 5900);
        assert_eq!(index.place(last.offset + 45_000, 5100), 6000);
        assert_eq!(index.place(last.offset - 1, 5200), 5800);
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
        assert_eq!((times(&index), index.end()), (vec![0, 600], Some(900)));
        // Lost: five bytes of a payload; and the last byte.
        bytes.drain(at + 2000..at + 2005);
        bytes.pop();
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
