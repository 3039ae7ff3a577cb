//! The tokens of a buffer, read a few latent frames at a time: a small packet unpacked at once could take gigabytes.

use std::ops::Deref;

use crate::format::TokenFormat;
use crate::stream::{Coder, StreamError, Tokens};

/// Tokens that are not read yet.
pub struct UnreadTokens {
    bytes: Bytes,
    latent_frames: u32,
    /// Latent frames that were read so far.
    read: u32,
}

/// Where tokens are read from.
enum Bytes {
    /// Packed, as in a packet.
    Payload(Vec<u8>),
    /// As in a `raw` buffer.
    Raw(gst::MappedBuffer<gst::buffer::Readable>),
}

impl UnreadTokens {
    /// The tokens of a packet's payload, which has the number of bytes that `latent_frames` latent frames take.
    pub fn of_payload(payload: Vec<u8>, latent_frames: u32) -> Self {
        Self::new(Bytes::Payload(payload), latent_frames)
    }

    /// The tokens of a `raw` buffer, which holds `latent_frames` whole latent frames.
    pub fn of_raw(buffer: gst::MappedBuffer<gst::buffer::Readable>, latent_frames: u32) -> Self {
        Self::new(Bytes::Raw(buffer), latent_frames)
    }

    fn new(bytes: Bytes, latent_frames: u32) -> Self {
        Self {
            bytes,
            latent_frames,
            read: 0,
        }
    }

    /// Reads the next `count` latent frames; `None` where fewer are left. `coder` is the segment's.
    pub fn read(&mut self, count: u32, format: &TokenFormat, coder: &mut Coder) -> Option<Result<Tokens, StreamError>> {
        if self.latent_frames - self.read < count {
            return None;
        }
        let first = self.read;
        self.read += count;
        Some(match &self.bytes {
            Bytes::Payload(payload) => coder.decode_part(payload, first, count),
            Bytes::Raw(buffer) => {
                let latent_frame = format.raw_latent_frame_bytes();
                let part = buffer
                    .deref()
                    .get(first as usize * latent_frame..self.read as usize * latent_frame);
                Tokens::from_raw(part.unwrap_or_default(), format)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dec::testing::{format, indices};

    #[test]
    fn parts_are_what_the_whole_is() {
        gst::init().unwrap();
        // 35 cells of 15 bits: latent frames do not begin at whole bytes.
        let (format, all) = (format(), indices(0..5 * 35));
        let mut coder = Coder::new(format.clone());
        let raw = gst::Buffer::from_mut_slice(all.to_raw(&format).unwrap());
        for mut tokens in [
            UnreadTokens::of_payload(all.to_payload(&format).unwrap(), 5),
            UnreadTokens::of_raw(raw.into_mapped_buffer_readable().unwrap(), 5),
        ] {
            for part in [0..35, 35..105, 105..140] {
                let read = tokens.read(part.len() as u32 / 35, &format, &mut coder);
                assert_eq!(read.unwrap().unwrap(), indices(part));
            }
            assert!(tokens.read(2, &format, &mut coder).is_none());
            assert_eq!(tokens.read(1, &format, &mut coder).unwrap().unwrap(), indices(140..175));
            assert!(tokens.read(1, &format, &mut coder).is_none());
        }
    }
}
