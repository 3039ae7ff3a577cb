//! What the element does with each packet: it gives it to the decoder, or leaves it out and says so.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::decoder::Decoder;
use super::imp::{CAT, VidtokDec};
use super::input::Input;
use super::lateness::Due;
use super::loss::{self, Verdict};
use super::segments::Skipped;
use super::settings::Overload;
use crate::element::qos::Late;
use crate::element::{ElementLatency, NetworkElement};
use crate::stream::Hole;
use crate::system::lock::lock;

impl VidtokDec {
    /// Gives a packet to the decoder, or leaves it out and says so.
    pub(super) fn take(&self, decoder: &mut Decoder, input: Input) -> Result<(), gst::FlowError> {
        let time = input.time().map(gst::ClockTime::from_nseconds);
        let on_loss = self.settings().on_loss;
        let verdict = on_loss.judge(input.link, decoder.segments.has_started());
        self.report_hole(input.hole.as_ref(), input.hole_is_known, verdict);
        if self.is_too_late(decoder, &input, time) {
            decoder.segments.leave();
            return Ok(());
        }
        if matches!(verdict, Verdict::LeaveOut | Verdict::LeaveOutRepeated) {
            lock(&self.network().stats).dropped += input.real_frames;
            gst::debug!(CAT, imp = self, "Leaving out a packet at {time:?}: {:?}", input.link);
            if verdict == Verdict::LeaveOut {
                decoder.segments.leave();
                self.drain(decoder);
            }
            return Ok(());
        }
        if input.segment_start {
            self.drain(decoder);
        }
        self.measure_frame(input.frame_distance());
        let (segment_start, latent_frames, real_frames) = (input.segment_start, input.latent_frames, input.real_frames);
        let error = match decoder.segments.push(input, verdict == Verdict::DecodeAsUncertain) {
            Ok(()) => {
                let mut stats = lock(&self.network().stats);
                stats.latent_frames += u64::from(latent_frames);
                stats.segments += u64::from(segment_start);
                return Ok(());
            }
            Err(Skipped::NoSegmentStart) => {
                lock(&self.network().stats).dropped += real_frames;
                gst::info!(
                    CAT,
                    imp = self,
                    "Waiting for a segment start: leaving out a packet at {time:?}"
                );
                return Ok(());
            }
            Err(Skipped::NoTime) => {
                "Tokens have neither timestamps nor a framerate: frames cannot be given a time".to_string()
            }
            Err(Skipped::PartOfWindow { window }) => format!(
                "A buffer of {latent_frames} latent frames: those of \"{}\" come in windows of {window}, and a buffer holds \
                 whole windows",
                decoder.format().model
            ),
        };
        gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
        Err(gst::FlowError::Error)
    }

    /// Counts a hole and warns of what is missing. If an element upstream has reported it, only the log says so.
    pub(super) fn report_hole(&self, hole: Option<&Hole>, is_known: bool, verdict: Verdict) {
        let Some(hole) = hole else { return };
        let left_out_on_purpose = self
            .obj()
            .segment()
            .flags()
            .contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS);
        if left_out_on_purpose && is_known {
            return;
        }
        lock(&self.loss).gaps += 1;
        let text = loss::text(hole, verdict);
        if is_known {
            gst::warning!(CAT, imp = self, "{text}");
        } else {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
        }
    }

    /// Whether a packet is left out because the sink is too late; it is then counted and reported.
    fn is_too_late(&self, decoder: &Decoder, input: &Input, time: Option<gst::ClockTime>) -> bool {
        if !self.may_skip() {
            // It may be allowed again, when other packets come and other pictures are late.
            lock(&self.lateness).reset();
            return false;
        }
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let running_time = segment.and_then(|segment| segment.to_running_time(time?));
        let step = lock(&self.network().stats).recent_step().as_nanos() as u64;
        let now = self.running_time().map(gst::ClockTime::nseconds);
        let late = {
            let mut lateness = lock(&self.lateness);
            let packet = Due {
                segment_start: input.segment_start,
                time: running_time.map(|time| time.nseconds()),
                steps: decoder.segments.steps(input),
            };
            lateness.leave_out(packet, step, now)
        };
        let Some(late) = late else { return false };
        let (processed, dropped) = {
            let mut stats = lock(&self.network().stats);
            stats.dropped += input.real_frames;
            (stats.frames, stats.dropped)
        };
        let late = Late {
            running_time,
            stream_time: segment.and_then(|segment| segment.to_stream_time(time?)),
            pts: time,
            duration: input.duration().map(gst::ClockTime::from_nseconds),
            lateness: gst::ClockTime::from_nseconds(late),
            proportion: 1.0,
        };
        late.report(self.obj().upcast_ref(), processed, dropped);
        true
    }

    /// Whether packets may be left out where the sink is too late. The base class has the property `qos`, but an element
    /// that queues input must heed it in its own code.
    pub(super) fn may_skip(&self) -> bool {
        self.settings().overload == Overload::SkipToKey && self.obj().property("qos")
    }
}
