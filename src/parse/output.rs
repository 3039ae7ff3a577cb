//! The parser's output: caps, and a buffer per packet or end mark.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::framer::{FramerError, PacketSpan};
use super::imp::{CAT, VidtokParse};
use crate::caps::StreamFormat;
use crate::element::concealed;
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::stream::{Coder, Packet, PacketHeader, StreamError, StreamHeader};

impl VidtokParse {
    /// Sets the source pad's caps if the stream header has changed, or what downstream accepts.
    pub fn negotiate(&self) -> Result<(), gst::FlowError> {
        let src = self.obj().src_pad().clone();
        let (format, output) = {
            let state = self.state();
            let (header, _) = state.framer.header().ok_or(gst::FlowError::Error)?;
            (header.format.clone(), state.output.clone())
        };
        let reconfigure = src.check_reconfigure();
        if !reconfigure && output.as_ref().is_some_and(|(current, _)| *current == format) {
            return Ok(());
        }
        // Framed is preferred. If downstream takes neither, it refuses these caps, and the error shows them.
        let allowed = src.allowed_caps();
        let takes = |stream_format| {
            allowed
                .as_ref()
                .is_none_or(|allowed| allowed.can_intersect(&format.to_caps(stream_format)))
        };
        let stream_format = [StreamFormat::Framed, StreamFormat::Raw]
            .into_iter()
            .find(|stream_format| takes(*stream_format));
        let new_output = (format, stream_format.unwrap_or(StreamFormat::Framed));
        if output.as_ref() == Some(&new_output) {
            return Ok(());
        }
        let caps = new_output.0.to_caps(new_output.1);
        gst::debug!(CAT, imp = self, "Output is {caps}");
        let mut tags = gst::TagList::new();
        tags.make_mut()
            .add::<gst::tags::VideoCodec>(&"VidTok", gst::TagMergeMode::Replace);
        self.obj().merge_tags(Some(&tags), gst::TagMergeMode::Replace);
        self.push_caps(&caps)?;
        let mut state = self.state();
        state.coder = Some(Coder::new(new_output.0.clone()));
        state.output = Some(new_output);
        Ok(())
    }

    /// Sends caps downstream.
    pub fn push_caps(&self, caps: &gst::Caps) -> Result<(), gst::FlowError> {
        let src = self.obj().src_pad().clone();
        if src.push_event(gst::event::Caps::new(caps)) {
            Ok(())
        } else if src.pad_flags().contains(gst::PadFlags::FLUSHING) {
            Err(gst::FlowError::Flushing)
        } else {
            Err(gst::FlowError::NotNegotiated)
        }
    }

    /// A buffer with the packet in the stream format that downstream takes. `data` are the bytes of `buffer`.
    pub fn output_buffer(
        &self,
        buffer: &gst::BufferRef,
        data: &[u8],
        span: &PacketSpan,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let (format, stream_format) = self.state().output.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let output = match stream_format {
            StreamFormat::Raw => {
                let raw = {
                    let mut state = self.state();
                    let coder = state.coder.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
                    raw_buffer(&data[span.packet_at..], &span.packet, &format, coder)
                };
                raw.map_err(|error| self.fail(&FramerError::Stream(error)))
            }
            StreamFormat::Framed if span.packet.segment_start && span.packet_at == 0 => {
                // Its stream header is missing or not in front of it: add the current one.
                let header = self
                    .state()
                    .framer
                    .header()
                    .map_or(Vec::new(), |(_, bytes)| bytes.to_vec());
                Ok(gst::Buffer::from_mut_slice([&header, &data[..span.bytes]].concat()))
            }
            StreamFormat::Framed => {
                let region = buffer.copy_region(gst::BufferCopyFlags::MEMORY, ..span.bytes);
                region.map_err(|_| gst::FlowError::Error)
            }
        };
        let mut output = output?;
        concealed::copy(buffer, output.make_mut());
        Ok(output)
    }

    /// A buffer with the end mark at `offset`, which `buffer` starts with. `None` if downstream takes raw tokens, and
    /// in key-unit trick mode. `damaged` and `discont`: see [`State::note_loss`](super::state::State::note_loss).
    pub fn end_mark(
        &self,
        buffer: &gst::BufferRef,
        mark: &StreamHeader,
        bytes: usize,
        offset: u64,
        (damaged, discont): (bool, bool),
    ) -> Result<Option<gst::Buffer>, gst::FlowError> {
        if self.plays_key_units() {
            return Ok(None);
        }
        let hole = {
            let mut state = self.state();
            state.note_loss(damaged, discont);
            state.continuity.end(mark)
        };
        self.report_hole(hole, offset, damaged);
        let mut state = self.state();
        state.timeline.end_mark(mark);
        // No picture belongs to it, so its PTS is the end of the packet before.
        let end = state
            .times
            .0
            .map(|pts| pts.saturating_add(state.times.1.unwrap_or_default()));
        state.times = (end, Some(gst::ClockTime::ZERO));
        if !matches!(state.output, Some((_, StreamFormat::Framed))) {
            return Ok(None);
        }
        let region = buffer.copy_region(gst::BufferCopyFlags::MEMORY, ..bytes);
        let mut output = region.map_err(|_| gst::FlowError::Error)?;
        let output_mut = output.make_mut();
        output_mut.set_pts(gst::ClockTime::NONE);
        output_mut.set_flags(gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT);
        if std::mem::take(&mut state.discont) || discont {
            output_mut.set_flags(gst::BufferFlags::DISCONT);
        }
        Ok(Some(output))
    }

    /// Sets flags and duration of a packet's buffer.
    pub fn set_times_and_flags(&self, buffer: &mut gst::BufferRef, packet: &PacketHeader, discont: bool) {
        let mut state = self.state();
        // No PTS yet: with one, the base class would add the packet to its index, and a seek could go to a packet that
        // does not start a segment.
        buffer.set_pts(gst::ClockTime::NONE);
        buffer.set_duration(state.times.1);
        if !packet.segment_start {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        } else if matches!(state.output, Some((_, StreamFormat::Framed))) {
            buffer.set_flags(gst::BufferFlags::HEADER);
        }
        if std::mem::take(&mut state.discont) || discont {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        }
    }
}

/// The tokens of the packet that `data` starts with; the other fields of the packet are in a meta.
fn raw_buffer(
    data: &[u8],
    header: &PacketHeader,
    format: &TokenFormat,
    coder: &mut Coder,
) -> Result<gst::Buffer, StreamError> {
    let packet = Packet::from_checked(data, header)?;
    if packet.segment_start {
        coder.start_segment();
    }
    let tokens = coder.decode(&packet.payload, packet.latent_frames)?;
    let mut buffer = gst::Buffer::from_mut_slice(tokens.to_raw(format)?);
    let meta = TokenMeta {
        segment_start: packet.segment_start,
        segment_end: packet.segment_end,
        end_of_stream: packet.end_of_stream,
        real_frames: packet.real_frames,
        offsets: packet.offsets,
    };
    meta::add(buffer.make_mut(), &meta);
    Ok(buffer)
}
