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

    /// Without a framerate, takes the mean distance of a packet's frames as a frame's duration.
    pub(super) fn measure_latency(&self, decoder: &Decoder, input: &Input) {
        if lock(&self.latency).is_zero()
            && let Some(frame) = input.frame_distance()
        {
            self.set_latency(decoder, gst::ClockTime::from_nseconds(frame));
        }
    }

    /// Sets the latency: the frames of look-ahead, and one step's frames for the network. A frame lasts `frame`.
    fn set_latency(&self, decoder: &Decoder, frame: gst::ClockTime) {
        let (step, delay) = decoder.segments.step_and_delay();
        *lock(&self.latency) = frame.saturating_mul((step + delay) as u64);
        self.post_latency();
    }
}
