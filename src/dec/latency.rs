//! How long a frame may be in the decoder.

use super::decoder::Decoder;
use super::imp::VidtokDec;
use super::input::Input;
use crate::element::{NetworkElement, frame_duration};
use crate::system::lock::lock;

impl VidtokDec {
    /// Sets the latency that follows from the framerate; without one it is unknown.
    pub(super) fn reset_latency(&self, decoder: &Decoder) {
        *lock(&self.latency) = gst::ClockTime::ZERO;
        if let Some(frame) = frame_duration(decoder.format().framerate) {
            self.set_latency(decoder, frame);
        }
    }

    /// Takes the mean distance of a packet's frames for a frame's duration, where there is no framerate.
    pub(super) fn measure_latency(&self, decoder: &Decoder, input: &Input) {
        if lock(&self.latency).is_zero()
            && let Some(frame) = input.frame_distance()
        {
            self.set_latency(decoder, gst::ClockTime::from_nseconds(frame));
        }
    }

    /// The frames that the decoder looks ahead, and those of a step for the network, where a frame lasts `frame`.
    fn set_latency(&self, decoder: &Decoder, frame: gst::ClockTime) {
        let (step, delay) = decoder.segments.step_and_delay();
        *lock(&self.latency) = frame.saturating_mul((step + delay) as u64);
        self.post_latency();
    }
}
