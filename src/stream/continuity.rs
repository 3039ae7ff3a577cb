//! Whether a packet follows the one before it, or something between them is missing.

use std::fmt;

use super::{PacketHeader, StreamHeader, Totals};

/// How a packet is linked to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It follows the packet before it, as far as the stream says.
    Follows,
    /// It starts a segment.
    Starts,
    /// It starts a segment where another stream, or another copy of the same stream, was joined.
    Joins,
    /// Something before it in its segment is missing: it decodes to something wrong. This holds up to the next segment
    /// start.
    Uncertain,
    /// It came before, or comes too late. It must be left out; nothing is missing then.
    Repeated,
}

/// What a reader does with packets that are uncertain, as something before them in their segment is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// It leaves them out and waits for the next segment start.
    #[default]
    Wait,
    /// It gives them.
    Continue,
}

/// A place where the sequence of packets is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    pub loss: Loss,
    /// How many latent frames are missing; `None` where that is not known.
    pub latent_frames: Option<u64>,
}

/// What showed a [`Hole`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The numbers of packets or segments leave some out.
    Missing,
    /// A packet came twice, or too late.
    Repeated,
    /// The packet belongs to another stream than the one before it, and does not start a segment.
    OtherStream,
    /// A segment starts though the one before it has not ended.
    NoEnd,
    /// Something was damaged or lost, and no number says what.
    Damage,
    /// An end mark has other totals than what was read.
    Totals,
}

/// What [`Continuity`] says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub link: Link,
    /// The hole in front of the packet. Each hole is told once.
    pub hole: Option<Hole>,
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.loss {
            Loss::Missing => f.write_str("packets are missing")?,
            Loss::Repeated => f.write_str("a packet came twice or out of order")?,
            Loss::OtherStream => f.write_str("a packet of another stream came in between")?,
            Loss::NoEnd => f.write_str("the end of a segment is missing")?,
            Loss::Damage => f.write_str("something was damaged or lost")?,
            Loss::Totals => f.write_str("the stream's end mark counts other totals than were read")?,
        }
        match self.latent_frames {
            Some(count) => write!(f, " ({count} latent frames)"),
            None => Ok(()),
        }
    }
}

impl Loss {
    fn hole(self, latent_frames: Option<u64>) -> Option<Hole> {
        Some(Hole {
            loss: self,
            latent_frames,
        })
    }
}

/// Compares the parts of a stream, or of several that were joined, with what should come.
///
/// The caller passes in everything in its order: [stream headers](Self::header), [packets](Self::packet), [end
/// marks](Self::end), and where [something was lost](Self::lost). Streams of version 1.0 do not number their packets:
/// only what the caller reports as lost is a hole in them.
#[derive(Clone, Debug, Default)]
pub struct Continuity {
    header: StreamIdentity,
    segment: Option<Segment>,
    /// Totals of the stream so far; `None` unless all of it was read.
    stream: Option<Totals>,
    /// Bytes or packets in front of what comes next were lost, or may have been.
    lost: bool,
    /// The latest packet was left out as repeated.
    repeating: bool,
    /// What came last is the end of a stream.
    ended: bool,
}

/// What tells streams apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StreamIdentity {
    id: Option<String>,
    checksum: u32,
}

impl StreamIdentity {
    fn is_stream_of(&self, other: &Self) -> bool {
        match (&self.id, &other.id) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.checksum == other.checksum,
            _ => false,
        }
    }
}

/// The current segment, or the one that has ended last.
#[derive(Clone, Debug)]
struct Segment {
    stream: StreamIdentity,
    latest: PacketHeader,
    /// Totals of what was read or is known to be missing. `latent_frames` is the number of the next latent frame.
    totals: Totals,
    /// Nothing of the segment is missing so far.
    whole: bool,
    ended: bool,
}

impl Segment {
    fn of(stream: StreamIdentity, packet: &PacketHeader) -> Self {
        let mut segment = Self {
            stream,
            latest: packet.clone(),
            totals: Totals::default(),
            whole: packet.segment_start,
            ended: false,
        };
        segment.take(packet);
        segment
    }

    fn take(&mut self, packet: &PacketHeader) {
        let before = Totals {
            latent_frames: packet.position.map_or(self.totals.latent_frames, |at| at.latent_frame),
            ..self.totals
        };
        self.totals = before.plus(packet.latent_frames, packet.real_frames);
        self.ended = packet.segment_end || packet.end_of_stream;
        self.latest = packet.clone();
    }

    /// Whether its packets are numbered. Then its writer marks its end, too.
    fn is_numbered(&self) -> bool {
        self.latest.position.is_some()
    }

    fn number(&self) -> Option<u32> {
        self.latest.position?.segment
    }
}

impl Continuity {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a stream header. End marks go to [`end`](Self::end).
    pub fn header(&mut self, header: &StreamHeader) {
        if self.header.checksum != header.checksum {
            self.header = StreamIdentity {
                id: header.stream_id.clone(),
                checksum: header.checksum,
            };
        }
    }

    /// Notes that bytes or packets in front of what comes next were lost, or may have been. That is a hole unless
    /// numbers show that nothing is missing.
    pub fn lost(&mut self) {
        self.lost = true;
    }

    /// Forgets what came before: the reader continues elsewhere.
    pub fn reset(&mut self) {
        let header = std::mem::take(&mut self.header);
        *self = Self {
            header,
            ..Self::default()
        };
    }

    /// Whether what came last is the end of a stream.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes a packet of the stream header that came last.
    pub fn packet(&mut self, packet: &PacketHeader) -> Place {
        let lost = std::mem::take(&mut self.lost);
        // The packet's stream header was not read: its checksum tells the stream apart.
        if self.header.checksum != packet.stream_header_crc {
            self.header = StreamIdentity {
                id: None,
                checksum: packet.stream_header_crc,
            };
        }
        let place = if packet.segment_start {
            self.start(packet, lost)
        } else {
            self.inner(packet, lost)
        };
        self.repeating = place.link == Link::Repeated;
        if place.link != Link::Repeated {
            self.ended = packet.end_of_stream;
        }
        place
    }

    fn start(&mut self, packet: &PacketHeader, lost: bool) -> Place {
        let number = packet.position.and_then(|at| at.segment);
        let mut link = Link::Starts;
        let hole = match &self.segment {
            None => lost.then_some(Loss::Damage),
            Some(last) => {
                let same = last.stream.is_stream_of(&self.header);
                let ahead = number
                    .zip(last.number().filter(|_| same))
                    .map(|(number, last)| number.wrapping_sub(last));
                let is_late_start = ahead == Some(0) && !last.whole;
                let is_behind = ahead.is_some_and(|ahead| ahead == 0 || ahead > u32::MAX / 2) && !is_late_start;
                // Where numbers begin anew, the stream was joined once more, unless the latest packet comes again.
                if is_behind && !self.ended && (number != Some(0) || *packet == last.latest) {
                    return self.repeated();
                }
                // What follows a stream's end, or numbers segments anew, was joined.
                if ahead != Some(1) && (!same || self.ended || (number == Some(0) && !is_late_start)) {
                    link = Link::Joins;
                }
                if is_late_start {
                    // A later packet of the segment has told of the hole.
                    None
                } else if !last.ended && last.is_numbered() {
                    Some(Loss::NoEnd)
                } else {
                    match ahead {
                        Some(1) => None,
                        _ if link == Link::Joins => lost.then_some(Loss::Damage),
                        Some(ahead) if ahead > 1 && ahead <= u32::MAX / 2 => Some(Loss::Missing),
                        Some(_) => Some(Loss::Repeated),
                        None => lost.then_some(Loss::Damage),
                    }
                }
            }
        };
        let hole = hole.and_then(|loss| loss.hole(None));
        // Counts from a stream's first segment on, while nothing is missing.
        self.stream = match number {
            Some(0) if link == Link::Joins || self.segment.is_none() => Some(Totals::default()),
            _ => self.stream.filter(|_| hole.is_none() && link == Link::Starts),
        };
        self.segment = Some(Segment::of(self.header.clone(), packet));
        self.count(packet);
        Place { link, hole }
    }

    fn inner(&mut self, packet: &PacketHeader, lost: bool) -> Place {
        let position = packet.position;
        let missed = position.map(|at| at.latent_frame);
        let hole = match &self.segment {
            None => Loss::Missing.hole(missed),
            Some(last) if last.stream.checksum != self.header.checksum => Loss::OtherStream.hole(None),
            Some(last) => match (position, last.latest.position) {
                (Some(at), Some(_)) => {
                    let ahead = at.segment.zip(last.number()).map(|(at, last)| at.wrapping_sub(last));
                    let next = last.totals.latent_frames;
                    match ahead {
                        Some(ahead) if ahead > u32::MAX / 2 => return self.repeated(),
                        Some(ahead) if ahead > 0 => Loss::Missing.hole(None),
                        _ if at.latent_frame < next => return self.repeated(),
                        _ if at.latent_frame > next => Loss::Missing.hole(Some(at.latent_frame - next)),
                        // The segment continues behind the end that its writer marked.
                        _ if last.ended => Loss::Missing.hole(None),
                        _ => None,
                    }
                }
                _ if lost => Loss::Damage.hole(None),
                _ => None,
            },
        };
        match &mut self.segment {
            Some(segment) if hole.is_none() => segment.take(packet),
            _ => self.segment = Some(Segment::of(self.header.clone(), packet)),
        }
        self.stream = self.stream.filter(|_| hole.is_none());
        self.count(packet);
        let whole = self.segment.as_ref().is_some_and(|segment| segment.whole);
        let link = if whole { Link::Follows } else { Link::Uncertain };
        Place { link, hole }
    }

    /// Where packets come in the wrong order, the hole that the late one has left was told already.
    fn repeated(&self) -> Place {
        let whole = self.segment.as_ref().is_some_and(|segment| segment.whole);
        let hole = if whole && !self.repeating {
            Loss::Repeated.hole(None)
        } else {
            None
        };
        Place {
            link: Link::Repeated,
            hole,
        }
    }

    fn count(&mut self, packet: &PacketHeader) {
        self.stream = self.stream.map(|t| t.plus(packet.latent_frames, packet.real_frames));
    }

    /// Takes an end mark; returns the hole in front of it.
    pub fn end(&mut self, mark: &StreamHeader) -> Option<Hole> {
        let lost = std::mem::take(&mut self.lost);
        let end = mark.end?;
        let ended = end.stream.is_some();
        let Some(segment) = &mut self.segment else {
            // The packets before the mark were cut off, or there were none.
            self.ended = ended;
            return None;
        };
        // If the packets' stream header was not read, any mark may be theirs.
        if segment.stream.id.is_some() && segment.stream.id != mark.stream_id {
            return Loss::OtherStream.hole(None);
        }
        let ahead = end
            .segment_number
            .zip(segment.number())
            .map_or(0, |(end, last)| end.wrapping_sub(last));
        let (counted, read) = (end.segment, segment.totals);
        let hole = if !segment.is_numbered() {
            lost.then_some(Loss::Damage).and_then(|loss| loss.hole(None))
        } else if ahead > u32::MAX / 2 {
            return Loss::Repeated.hole(None);
        } else if ahead > 0 {
            Loss::Missing.hole(None)
        } else if counted.latent_frames > read.latent_frames {
            Loss::Missing.hole(Some(counted.latent_frames - read.latent_frames))
        } else if counted.latent_frames < read.latent_frames
            || (segment.whole && counted.frames != read.frames)
            || end
                .stream
                .zip(self.stream)
                .is_some_and(|(counted, read)| counted != read)
        {
            Loss::Totals.hole(None)
        } else {
            None
        };
        segment.ended = true;
        self.stream = self.stream.filter(|_| hole.is_none());
        self.ended = ended;
        hole
    }
}

#[cfg(test)]
mod tests;
