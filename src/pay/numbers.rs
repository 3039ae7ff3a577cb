//! Numbers of segments and latent frames, as RTP packets have them. Free of GStreamer.

use crate::stream::Position;

/// The number of a segment and of a latent frame in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Modulo 256.
    pub segment: u8,
    pub latent_frame: u32,
}

/// Numbers packet after packet. Where packets are numbered themselves, what is missing between them stays visible.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// The segment's number, and what comes next in it.
    latest: Option<Number>,
    /// The segment's number in the stream that is read.
    theirs: Option<u32>,
    /// What follows is not numbered on from what came before: another stream, or another place of this one.
    joined: bool,
}

impl Numbers {
    /// Notes that another stream, or another part of the stream, follows.
    pub fn join(&mut self) {
        self.joined = true;
    }

    /// The number of a packet of `latent_frames` latent frames; `None` where it is too large for RTP.
    pub fn next(&mut self, position: Option<Position>, segment_start: bool, latent_frames: u32) -> Option<Number> {
        let theirs = position.and_then(|position| position.segment);
        let segment = match self.latest {
            None => 0,
            Some(latest) => latest.segment.wrapping_add(self.step(theirs, segment_start)),
        };
        let counted = match self.latest {
            Some(latest) if !segment_start && latest.segment == segment => latest.latent_frame,
            // Behind the start of a segment that did not come.
            _ => u32::from(!segment_start),
        };
        let latent_frame = match position {
            Some(position) => u32::try_from(position.latent_frame).ok()?,
            None => counted,
        };
        self.joined = false;
        self.theirs = theirs;
        self.latest = Some(Number {
            segment,
            latent_frame: latent_frame.checked_add(latent_frames)?,
        });
        Some(Number { segment, latent_frame })
    }

    /// How many segments behind the latest one a packet is.
    fn step(&self, theirs: Option<u32>, segment_start: bool) -> u8 {
        match (theirs, self.theirs) {
            _ if self.joined => 1,
            (Some(now), Some(before)) => match now.wrapping_sub(before) as i32 {
                // A repeated packet, which receivers leave out, also goes back.
                ahead @ -127..=127 => ahead as u8,
                _ => 1,
            },
            _ => u8::from(segment_start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u32, latent_frame: u64) -> Option<Position> {
        Some(Position {
            segment: Some(segment),
            latent_frame,
        })
    }

    fn number(segment: u8, latent_frame: u32) -> Option<Number> {
        Some(Number { segment, latent_frame })
    }

    #[test]
    fn packets_without_numbers_are_counted() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.next(None, true, 1), number(0, 0));
        assert_eq!(numbers.next(None, false, 2), number(0, 1));
        assert_eq!(numbers.next(None, false, 1), number(0, 3));
        assert_eq!(numbers.next(None, true, 1), number(1, 0));
    }

    #[test]
    fn what_is_missing_stays_missing() {
        let mut numbers = Numbers::default();
        // The stream is read from its fifth segment on.
        assert_eq!(numbers.next(at(5, 0), true, 1), number(0, 0));
        assert_eq!(numbers.next(at(5, 3), false, 1), number(0, 3));
        assert_eq!(numbers.next(at(7, 2), false, 1), number(2, 2));
        assert_eq!(numbers.next(at(8, 0), true, 1), number(3, 0));
    }

    #[test]
    fn numbers_go_on_where_another_stream_follows() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.next(at(40, 0), true, 1), number(0, 0));
        numbers.join();
        assert_eq!(numbers.next(at(0, 0), true, 1), number(1, 0));
        assert_eq!(numbers.next(at(0, 1), false, 1), number(1, 1));
        // Far from the numbers before, as in a stream that was joined unnoticed.
        assert_eq!(numbers.next(at(5_000, 0), true, 1), number(2, 0));
    }

    #[test]
    fn segment_numbers_wrap() {
        let mut numbers = Numbers::default();
        numbers.next(at(u32::MAX - 254, 0), true, 1);
        numbers.next(at(u32::MAX - 150, 0), true, 1);
        assert_eq!(numbers.next(at(u32::MAX - 50, 0), true, 1), number(204, 0));
        assert_eq!(numbers.next(at(1, 0), true, 1), number(0, 0));
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.next(at(0, 1 << 32), false, 1), None);
    }
}
