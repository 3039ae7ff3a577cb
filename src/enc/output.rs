//! What the encoder gives to downstream: token buffers and end marks.

use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::encoder::{Encoded, Finished};
use super::imp::{State, VidtokEnc};
use crate::element::NetworkElement;
use crate::system::lock::lock;

impl VidtokEnc {
    /// Ends the segment: pushes the current group, even though it is not full, and the end mark.
    pub(super) fn drain(&self, state: &mut State, end_of_stream: bool) {
        let Some(encoder) = &mut state.encoder else { return };
        let Finished { mut tail, mark } = match encoder.finish(end_of_stream) {
            Ok(finished) => finished,
            Err(error) => {
                let _ = self.step_failed(&error);
                return;
            }
        };
        let before = tail.as_mut().and_then(|tail| tail.mark.take());
        let tail = tail.map(|tail| self.count_and_finish(tail));
        let within = |mark| self.within_segment(mark);
        for buffer in before.map(within).into_iter().chain(tail).chain(mark.map(within)) {
            if self.push_owed(buffer).is_err() {
                return;
            }
        }
    }

    /// The end mark `mark`, without a time where the playback segment stops: a sink would leave it out there.
    pub(super) fn within_segment(&self, mut mark: gst::Buffer) -> gst::Buffer {
        let segment = self.obj().segment();
        let stop = segment
            .downcast_ref::<gst::ClockTime>()
            .and_then(|segment| segment.stop());
        if stop.is_some_and(|stop| mark.pts() >= Some(stop)) {
            mark.make_mut().set_pts(gst::ClockTime::NONE);
        }
        mark
    }

    /// Counts what was encoded, and answers requests for a segment start. Returns the buffer to push.
    pub(super) fn count_and_finish(&self, encoded: Encoded) -> gst::Buffer {
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
        encoded.buffer
    }
}
