//! Handles each frame of the base class: outputs a packet or an end mark, skips bytes, or waits for more.

use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::framer::{Action, FramerError};
use super::imp::{CAT, VidtokParse};
use crate::stream::{Link, PacketHeader};

/// Every byte is looked at as it arrives, so that the parser knows whether a packet has begun.
pub const MIN_FRAME_BYTES: u32 = 1;
/// Shorter than any stream header or packet. The base class pulls this many bytes at first.
const MIN_PULLED_BYTES: u32 = 12;

impl VidtokParse {
    /// Outputs or skips what the frame starts with, or asks for more bytes.
    pub fn take_frame(&self, frame: gst_base::BaseParseFrame) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        let Some(mut frame) = self.handle_raw(frame)? else {
            return Ok((gst::FlowSuccess::Ok, 0));
        };
        self.make_index()?;
        let parse = self.obj();
        let buffer = frame.buffer().ok_or(gst::FlowError::Error)?;
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        let (offset, at_end) = (frame.offset(), parse.is_draining());
        self.restore_state_at(offset)?;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;

        let action = self.state().framer.next(&map, offset, at_end);
        self.state().in_packet = matches!(action, Ok(Action::Wait(_)));
        let skipped = match action.map_err(|error| self.fail(&error))? {
            Action::Wait(bytes) => {
                parse.set_min_frame_size(bytes as u32);
                return Ok((gst::FlowSuccess::Ok, 0));
            }
            Action::Skip(bytes) => {
                gst::debug!(CAT, imp = self, "Skipping {bytes} bytes at {offset}");
                bytes
            }
            Action::SkipDamaged(packet) => {
                gst::debug!(CAT, imp = self, "Skipping a damaged packet at {offset}");
                self.place(&packet);
                packet.packet_bytes()
            }
            Action::Packet(span) => {
                let damaged = self.report_damage(offset);
                self.negotiate()?;
                self.place(&span.packet);
                if self.should_output(&span.packet, offset, damaged, discont) {
                    let mut output = self.output_buffer(buffer, &map, &span)?;
                    self.set_times_and_flags(output.make_mut(), &span.packet, discont);
                    if self.state().upstream_in_time {
                        // The packet's timestamp counts, not that of a buffer with only the stream header. The base
                        // class takes an offset between two buffers for the end of the first one, hence + 1.
                        parse.set_ts_at_offset(span.packet_at + 1);
                    }
                    drop(map);
                    return self.finish(frame, output, span.bytes);
                }
                span.bytes
            }
            Action::EndMark { bytes, mark } => {
                let damaged = self.report_damage(offset);
                self.negotiate()?;
                if let Some(output) = self.end_mark(buffer, &mark, bytes, offset, (damaged, discont))? {
                    drop(map);
                    return self.finish(frame, output, bytes);
                }
                bytes
            }
        };
        let (end, size) = (offset + skipped as u64, {
            let mut state = self.state();
            state.discont |= discont;
            state.size
        });
        if self.is_pulling() && end >= size && self.state().framer.header().is_none() {
            return Err(self.fail(&FramerError::NotVidTok(end)));
        }
        drop(map);
        // Dropped as a frame: the base class ends a stream after it has skipped 2 MiB.
        frame.set_flags(gst_base::BaseParseFrameFlags::DROP);
        self.await_next();
        parse.finish_frame(frame, skipped as u32)?;
        Ok((gst::FlowSuccess::Ok, 0))
    }

    /// Sets the current frame's times from its packet.
    fn place(&self, packet: &PacketHeader) {
        let mut guard = self.state();
        let state = &mut *guard;
        let pts = match state.framer.header() {
            Some((stream, _)) if !state.upstream_in_time => state.timeline.place(stream, packet),
            _ => packet.pts,
        };
        if !state.upstream_in_time && state.clock.origin.is_none() {
            state.clock.origin = pts;
        }
        state.own_pts = Some(packet.pts);
        state.times = (
            pts.map(gst::ClockTime::from_nseconds),
            packet.duration.map(gst::ClockTime::from_nseconds),
        );
        // In joined streams, the end and the PTS of later packets are not what the packets near the end say.
        let was_wrong = state.timeline.is_joined() && state.remote.refuse();
        drop(guard);
        if was_wrong {
            self.announce_duration();
        }
    }

    /// Checks whether the packet at `offset` follows on the packet before, and reports a hole. Returns whether to
    /// output it: not if it is a repetition, nor inside a segment in key-unit trick mode. `damaged` and `discont`: see
    /// [`State::note_loss`](super::state::State::note_loss).
    fn should_output(&self, packet: &PacketHeader, offset: u64, damaged: bool, discont: bool) -> bool {
        let key_units = self.plays_key_units();
        let mut guard = self.state();
        let state = &mut *guard;
        if key_units {
            state.forget_order();
            state.discont = true;
            return packet.segment_start;
        }
        if let Some((stream, _)) = state.framer.header() {
            state.continuity.header(stream);
        }
        state.note_loss(damaged, discont);
        (state.has_packet, state.numbered) = (true, packet.position.is_some());
        let place = state.continuity.packet(packet);
        let repeated = place.link == Link::Repeated;
        state.losses.repeated += u64::from(repeated);
        drop(guard);
        self.report_hole(place.hole, offset, damaged);
        !repeated
    }

    fn finish(
        &self,
        mut frame: gst_base::BaseParseFrame,
        output: gst::Buffer,
        bytes: usize,
    ) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        let parse = self.obj();
        frame.set_output_buffer(output);
        self.await_next();
        parse.finish_frame(frame, bytes as u32)?;
        Ok((gst::FlowSuccess::Ok, 0))
    }

    fn await_next(&self) {
        let bytes = if self.is_pulling() {
            MIN_PULLED_BYTES
        } else {
            MIN_FRAME_BYTES
        };
        self.obj().set_min_frame_size(bytes);
    }
}
