//! Raw token buffers: what their bytes cannot say.
//!
//! It is in the [meta], or else follows from flags, PTS and duration, as `docs/raw.md` says.

use super::meta;
use crate::format::{Fraction, TokenFormat};
use crate::stream::StreamError;
use crate::timeline::{PacketTimes, regular_offsets, time_to_frames};

/// Largest number of latent frames in a buffer, as each needs memory for the times of its frames.
const MAX_LATENT_FRAMES: usize = 1 << 20;

/// What a buffer says of its tokens.
#[derive(Debug)]
pub struct RawBuffer {
    pub latent_frames: u32,
    pub segment_start: bool,
    /// The segment, or the stream, ends with it; `false` also where that is not known.
    pub segment_end: bool,
    pub end_of_stream: bool,
    /// At least 1.
    pub real_frames: u64,
    /// `None` without a PTS.
    pub times: Option<PacketTimes>,
}

/// Reads the buffers of a stream, one after the other.
#[derive(Debug, Default)]
pub struct RawReader {
    starts: Starts,
}

impl RawReader {
    /// Reads a buffer. `framerate` is the one that durations go by: not a guess, but `0/1` where it is not known.
    ///
    /// # Errors
    /// The buffer does not hold whole latent frames, or too many of them, or no real frame.
    pub fn read(
        &mut self,
        buffer: &gst::BufferRef,
        format: &TokenFormat,
        framerate: Fraction,
    ) -> Result<RawBuffer, StreamError> {
        let latent_frames = latent_frames(buffer.size(), format)?;
        let meta = meta::get(buffer);
        let said = match &meta {
            Some(meta) => Some(meta.segment_start),
            // Each window is a segment.
            None => (!format.causal).then_some(true),
        };
        let segment_start = self.starts.starts(buffer.flags(), said);
        let segment_end = meta.as_ref().is_some_and(|meta| meta.segment_end || meta.end_of_stream);
        let end_of_stream = meta.as_ref().is_some_and(|meta| meta.end_of_stream);
        let pts = buffer.pts().map(|pts| pts.nseconds());
        let duration = buffer.duration().map(|duration| duration.nseconds());
        let capacity = format.frames_of(latent_frames, segment_start);
        let (real_frames, offsets) = match meta {
            Some(meta) if meta.real_frames == 0 => {
                let text = format!("no real frame in {latent_frames} latent frames");
                return Err(StreamError::Packet(text));
            }
            Some(meta) => (u64::from(meta.real_frames).min(capacity), meta.offsets),
            None if framerate.num == 0 => {
                let spread = |pts| regular_offsets(pts, Some(duration?), capacity as usize, framerate);
                (capacity, pts.and_then(spread))
            }
            None => {
                let said = duration.filter(|duration| *duration > 0);
                let said = said.and_then(|duration| time_to_frames(duration, framerate));
                (said.map_or(capacity, |frames| frames.clamp(1, capacity)), None)
            }
        };
        Ok(RawBuffer {
            latent_frames,
            segment_start,
            segment_end,
            end_of_stream,
            real_frames,
            times: pts.map(|pts| PacketTimes { pts, duration, offsets }),
        })
    }

    /// A warning for the user, given once.
    pub fn take_warning(&mut self) -> Option<&'static str> {
        self.starts.take_warning()
    }
}

/// How many latent frames a buffer of `bytes` bytes holds.
fn latent_frames(bytes: usize, format: &TokenFormat) -> Result<u32, StreamError> {
    let latent_frame = format.raw_latent_frame_bytes();
    if bytes == 0 || !bytes.is_multiple_of(latent_frame) {
        return Err(StreamError::Tokens(format!(
            "a buffer of {bytes} bytes, where a latent frame of {} takes {latent_frame}: buffers hold whole latent \
             frames (vidtokparse cuts bytes into such)",
            shape(format)
        )));
    }
    let latent_frames = bytes / latent_frame;
    if latent_frames > MAX_LATENT_FRAMES {
        return Err(StreamError::Tokens(format!(
            "a buffer of {latent_frames} latent frames, allowed are {MAX_LATENT_FRAMES}"
        )));
    }
    Ok(latent_frames as u32)
}

/// The shape and type of a latent frame in an error message.
fn shape(format: &TokenFormat) -> String {
    let mut shape = format!("{}×{}", format.grid_height, format.grid_width);
    if format.regularizer.values_per_cell() > 1 {
        shape += &format!("×{}", format.regularizer.values_per_cell());
    }
    format!("{shape} {} values", format.token_type.as_str())
}

/// Which buffers without a meta start a segment of a causal tokenizer.
///
/// Buffers that were made of bare numbers have no flags at all: each would be a segment's first. Buffers without
/// DELTA_UNIT are therefore starts only where some buffers have it.
#[derive(Debug, Default)]
struct Starts {
    first_came: bool,
    has_deltas: bool,
    /// A buffer without DELTA_UNIT was not taken as a start.
    was_overruled: bool,
    /// The first buffer has DELTA_UNIT: it starts no segment.
    waits: bool,
    warned: bool,
}

impl Starts {
    /// Whether a buffer with `flags` starts a segment. `said`: what something else than flags says, which counts.
    fn starts(&mut self, flags: gst::BufferFlags, said: Option<bool>) -> bool {
        let first = !std::mem::replace(&mut self.first_came, true);
        let is_delta = flags.contains(gst::BufferFlags::DELTA_UNIT);
        self.has_deltas |= is_delta;
        if let Some(start) = said {
            return start;
        }
        let start = !is_delta && (first || self.has_deltas || flags.contains(gst::BufferFlags::DISCONT));
        self.waits |= is_delta && first;
        self.was_overruled |= !is_delta && !start;
        start
    }

    /// A warning, given once.
    fn take_warning(&mut self) -> Option<&'static str> {
        if !(self.was_overruled || self.waits) || std::mem::replace(&mut self.warned, true) {
            return None;
        }
        Some(if self.waits {
            "The first buffer of raw tokens has the flag DELTA_UNIT, so that it starts no segment: nothing is shown up to a \
             buffer that does, one without DELTA_UNIT or with DISCONT"
        } else {
            "Every buffer of raw tokens lacks the flag DELTA_UNIT, as if each started a segment: they are taken as one \
             segment, and only a buffer with DISCONT starts another. Set DELTA_UNIT on buffers that start none"
        })
    }
}

#[cfg(test)]
mod tests;
