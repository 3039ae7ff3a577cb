//! Whether tokens come in the order of their times. Then their pictures must, too.

use gstvidtok::caps::StreamFormat;
use gstvidtok::format::TokenFormat;
use gstvidtok::meta;
use gstvidtok::stream::{MAGIC, Packet, StreamHeader};

/// Nanoseconds that a packet of unknown time may be longer by rounding.
const SLACK: u64 = 100_000_000;

/// Follows the buffers of a playback segment. If their order is not certain, it counts as lost.
#[derive(Default)]
pub struct Order {
    is_lost: bool,
    /// The latest end of this playback segment's buffers in nanoseconds.
    end: u64,
    /// The latest end of all buffers, where a packet without a time may begin.
    reached: u64,
}

impl Order {
    pub fn is_kept(&self) -> bool {
        !self.is_lost
    }

    pub fn begin_segment(&mut self) {
        self.is_lost = false;
        self.end = 0;
    }

    pub fn add(&mut self, buffer: &gst::Buffer, stream_format: StreamFormat, format: &TokenFormat) {
        match stream_format {
            StreamFormat::Framed => self.add_framed(buffer, format),
            StreamFormat::Raw => self.add_raw(buffer, format),
        }
    }

    fn add_raw(&mut self, buffer: &gst::Buffer, format: &TokenFormat) {
        let latent_frames = buffer.size() / format.raw_latent_frame_bytes();
        let duration = buffer.duration().map_or(0, |duration| duration.nseconds());
        let meta = meta::get(buffer);
        let length = match &meta {
            // The duration says how many frames are real.
            None if duration > 0 => duration,
            _ => duration.max(frames(latent_frames as u64 * u64::from(format.time_factor))),
        };
        self.is_lost |= meta.is_some_and(|meta| meta.offsets.is_some());
        self.place(buffer.pts().map(|pts| pts.nseconds()), length);
    }

    fn add_framed(&mut self, buffer: &gst::Buffer, format: &TokenFormat) {
        let map = buffer.map_readable().expect("bytes of its own");
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let (mut data, mut shift) = (&map[..], None);
        while !data.is_empty() {
            if data.starts_with(&MAGIC) {
                let Ok((_, bytes)) = StreamHeader::decode(data) else {
                    return;
                };
                data = &data[bytes..];
                continue;
            }
            let Ok((packet, bytes)) = Packet::decode(data, format) else {
                return;
            };
            data = &data[bytes..];
            let own = packet.pts.or(pts.filter(|_| shift.is_none()));
            let shift = *shift.get_or_insert(match (pts, own) {
                (Some(buffer), Some(own)) => i128::from(buffer) - i128::from(own),
                _ => 0,
            });
            let shifted = own.map(|own| u64::try_from(i128::from(own) + shift));
            self.is_lost |= packet.offsets.is_some() || matches!(shifted, Some(Err(_)));
            let length = packet.duration.unwrap_or(0).max(frames(packet.real_frames.into()));
            self.place(shifted.and_then(|pts| pts.ok()), length);
        }
    }

    /// Places a packet that lasts `length` nanoseconds at most.
    fn place(&mut self, pts: Option<u64>, length: u64) {
        let (start, length) = match pts {
            Some(pts) => (pts, length),
            None => (self.reached.max(self.end), length.saturating_add(SLACK)),
        };
        self.is_lost |= start < self.end;
        self.end = start.saturating_add(length);
        self.reached = self.reached.max(self.end);
    }
}

/// How long frames last at 25 frames per second, in nanoseconds.
fn frames(count: u64) -> u64 {
    count.saturating_mul(40_000_000)
}
