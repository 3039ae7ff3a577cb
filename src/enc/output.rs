//! What the encoder gives to downstream: token buffers and end marks.

use std::time::Duration;

use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::encoder::{Encoded, Finished};
use super::imp::{State, VidtokEnc};
use crate::element::{ElementLatency, NetworkElement};
use crate::system::lock::lock;

impl VidtokEnc {
    /// Runs the network on the group that is held, if one is. Returns the buffer to push.
    pub(super) fn release(&self, state: &mut State) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let Some(encoder) = &mut state.encoder else {
            return Ok(None);
        };
        let released = encoder.release().map_err(|error| self.step_failed(&error))?;
        released.map(|encoded| self.complete_step(encoded)).transpose()
    }

    /// Pushes the group that is held, if one is, in front of something that takes its place in the stream.
    pub(super) fn push_held(&self, state: &mut State) {
        // Errors are posted already, and show again at the next frame.
        if let Ok(Some(buffer)) = self.release(state) {
            let _ = self.push_owed(buffer);
        }
    }

    /// Leaves `buffer` to the base class, which counts and pushes it. `base_discont`: the base class will say that
    /// something is missing in front of it.
    pub(super) fn leave(
        &self,
        state: &mut State,
        buffer: gst::Buffer,
        base_discont: bool,
    ) -> Result<(), gst::FlowError> {
        // The buffer that said so was pushed past the base class.
        if base_discont && !buffer.flags().contains(gst::BufferFlags::DISCONT) {
            return self.push_owed(buffer).map(drop);
        }
        state.output = Some(buffer);
        Ok(())
    }

    /// Ends the segment: pushes the current group, even though it is not full, and the end mark.
    pub(super) fn drain(&self, state: &mut State, end_of_stream: bool) {
        self.push_held(state);
        let Some(encoder) = &mut state.encoder else { return };
        let Finished { tail, mark } = match encoder.finish(end_of_stream) {
            Ok(finished) => finished,
            Err(error) => {
                let _ = self.step_failed(&error);
                return;
            }
        };
        let Ok(tail) = tail.map(|tail| self.complete_step(tail)).transpose() else {
            return;
        };
        for buffer in tail.into_iter().chain(mark.map(|mark| self.within_segment(mark))) {
            if self.push_owed(buffer).is_err() {
                return;
            }
        }
    }

    /// The end mark `mark`, without a time where the playback segment stops: a sink would leave it out there.
    fn within_segment(&self, mut mark: gst::Buffer) -> gst::Buffer {
        let segment = self.obj().segment();
        let stop = segment
            .downcast_ref::<gst::ClockTime>()
            .and_then(|segment| segment.stop());
        if stop.is_some_and(|stop| mark.pts() >= Some(stop)) {
            mark.make_mut().set_pts(gst::ClockTime::NONE);
        }
        mark
    }

    /// [Completes](Self::complete) what only a step of the network had to be run for.
    fn complete_step(&self, encoded: Encoded) -> Result<gst::Buffer, gst::FlowError> {
        let spent = encoded.elapsed;
        self.complete(encoded, spent)
    }

    /// Counts what was encoded, pushes what goes in front of it, and answers requests for a segment start. Returns the
    /// buffer to push.
    ///
    /// `spent`: how long it took, from where everything was there.
    pub(super) fn complete(&self, mut encoded: Encoded, spent: Duration) -> Result<gst::Buffer, gst::FlowError> {
        if let Some(mark) = encoded.mark.take() {
            self.push_owed(self.within_segment(mark))?;
        }
        {
            let mut stats = lock(&self.network().stats);
            stats.frames += encoded.frames as u64;
            stats.latent_frames += encoded.latent_frames as u64;
            stats.bytes += encoded.buffer.size() as u64;
            stats.segments += u64::from(encoded.segment_start);
            stats.step(encoded.elapsed, encoded.members);
        }
        if encoded.segment_start {
            self.answer_key_requests(encoded.buffer.pts());
        }
        self.observe_step(spent);
        self.note_leaving(encoded.buffer.pts());
        Ok(encoded.buffer)
    }
}
