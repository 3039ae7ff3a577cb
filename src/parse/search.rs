//! Searches a stream that can be read forward from any byte: for its first and last packet ([`EndsSearch`]), and for
//! the segment start to play a PTS from ([`StartSearch`]). Free of GStreamer.
//!
//! A search says where to [read](Next::Read) and is then fed the bytes from there. It trusts packet headers wherever it
//! finds them, as they have their own checksums. Playback then checks every byte.

mod ends;
mod packet_finder;
mod start;

pub use ends::{Ends, EndsSearch};
pub use start::StartSearch;

use crate::stream::{MAX_HEADER_BYTES, MAX_JSON_BYTES};

/// Bytes of the first window that is read backwards or at the end; each further window is twice as large.
const WINDOW: u64 = 1 << 16;
/// Bytes that a window shares with the window behind it, so that no stream header and packet header are cut in two.
const OVERLAP: u64 = (MAX_JSON_BYTES + 64 + MAX_HEADER_BYTES) as u64;

/// What a search needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The following bytes.
    More,
    /// Bytes from that offset.
    Read(u64),
    Done(T),
    /// The search has failed.
    Failed,
}

/// Where to read, and the PTS of the packet there in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeekPoint {
    pub offset: u64,
    pub pts: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::index::Index;
    use crate::parse::index::Snap;
    use crate::parse::testing::{file, restarted_file, stream};
    use crate::stream::SYNC;

    /// Feeds a search in pieces of `piece` bytes. Returns its result and how many bytes it read.
    fn run<T>(
        bytes: &[u8],
        piece: usize,
        mut next: Next<T>,
        mut feed: impl FnMut(&[u8]) -> Next<T>,
    ) -> (Option<T>, usize) {
        let (mut at, mut read) = (0, 0);
        loop {
            next = match next {
                Next::Done(found) => return (Some(found), read),
                Next::Failed => return (None, read),
                Next::Read(from) => {
                    at = from as usize;
                    Next::More
                }
                Next::More => {
                    let end = bytes.len().min(at + piece);
                    let part = &bytes[at..end];
                    (at, read) = (end, read + part.len());
                    feed(part)
                }
            }
        }
    }

    fn open(bytes: &[u8], piece: usize) -> Option<Ends> {
        let mut opening = EndsSearch::new(bytes.len() as u64);
        run(bytes, piece, Next::More, |part| opening.feed(part)).0
    }

    #[test]
    fn every_start_that_an_index_has_is_found_with_little_reading() {
        let bytes = file(40, 7_000);
        let read = |offset: u64, length: usize| {
            let rest = &bytes[offset as usize..];
            Ok::<_, ()>(&rest[..length.min(rest.len())])
        };
        let index = Index::build(bytes.len() as u64, read).unwrap();
        let ends = open(&bytes, 4096).unwrap();
        assert_eq!((Some(ends.first.pts), Some(ends.end)), (index.begin(), index.end()));
        for target in (6_900..19_200).step_by(150) {
            for snap in [Snap::Before, Snap::After, Snap::Nearest] {
                let (mut search, next) = StartSearch::new(ends, target, snap, None);
                let (found, read) = run(&bytes, 4096, next, |part| search.feed(part));
                let expected = index.start(target, snap).unwrap();
                let found = found.map(|found| (found.offset, found.pts));
                assert_eq!(found, Some((expected.offset, expected.time)), "{snap:?} {target}");
                assert!(read < bytes.len() / 4, "{read} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn one_long_segment_is_gone_back_through_to_its_start() {
        let whole = file(40, 0);
        // Only the first stream header is left.
        let header = whole.windows(4).position(|bytes| bytes == SYNC).unwrap();
        let mut bytes = whole[..header].to_vec();
        let mut at = 0;
        while at < whole.len() {
            let is_header = whole[at..].starts_with(&whole[..header]);
            let next = whole[at + 1..].windows(4).position(|w| w == &whole[..4] || w == SYNC);
            let next = next.map_or(whole.len(), |next| at + 1 + next);
            if !is_header {
                bytes.extend(&whole[at..next]);
            }
            at = next;
        }
        let ends = open(&bytes, 10_000).unwrap();
        assert_eq!((ends.first.pts, ends.end), (0, 12_000));
        let (mut search, next) = StartSearch::new(ends, 11_950, Snap::Before, None);
        let (found, read) = run(&bytes, 10_000, next, |part| search.feed(part));
        assert_eq!(found, Some(SeekPoint { offset: 0, pts: 0 }));
        assert!(read < 3 * bytes.len());
    }

    #[test]
    fn what_has_no_packets_or_several_streams_is_not_sought_in() {
        assert_eq!(open(&[], 10), None);
        assert_eq!(open(&[0x89; 3 << 20], 100_000), None);
        let joined = |second| [stream(10, 7, 0), stream(second, 7, 700)].concat();
        // The first stream again, and another stream.
        assert_eq!(open(&joined(10), 5000), None);
        assert_eq!(open(&joined(11), 5000), None);
    }

    #[test]
    fn times_that_start_over_are_not_sought_in() {
        // So long that the windows at the end do not show it.
        let twice = file(20, 0).repeat(2);
        let ends = open(&twice, 4096).unwrap();
        let (mut refused, mut found) = (0, 0);
        for target in (50..6_000).step_by(50) {
            let (mut search, next) = StartSearch::new(ends, target, Snap::Before, None);
            match run(&twice, 4096, next, |part| search.feed(part)).0 {
                None => refused += 1,
                Some(start) => {
                    assert_eq!(start.pts, target / 300 * 300, "{target}");
                    found += 1;
                }
            }
        }
        assert!(refused > 0, "{found} of them found");
        // One writer whose PTS start over: within the last bytes, before the first PTS, and where only a seek sees it.
        let whole = restarted_file((20, 0), (1, 0));
        assert_eq!(open(&whole[..whole.len() - 110_000], 4096), None);
        assert_eq!(open(&restarted_file((20, 3_000), (10, 0)), 4096), None);
        let bytes = restarted_file((20, 0), (10, 500));
        let ends = open(&bytes, 4096).unwrap();
        let (mut search, next) = StartSearch::new(ends, 2_000, Snap::Before, None);
        assert_eq!(run(&bytes, 4096, next, |part| search.feed(part)).0, None);
    }
}
