//! What becomes of each packet: it is decoded, or left out, and that is said.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::decoder::{Decoder, Skipped};
use super::imp::{CAT, VidtokDec};
use super::input::Input;
use super::lateness::Due;
use super::loss::{self, Verdict};
use crate::stream::Hole;

impl VidtokDec {
    /// Adds a packet to what is to be decoded, or leaves it out and says so.
    pub(super) fn take(&self, decoder: &mut Decoder, input: Input) -> Result<(), gst::FlowError> {
        let time = input.time().map(gst::ClockTime::from_nseconds);
        let on_loss = self.settings.lock().unwrap().on_loss;
        let verdict = on_loss.judge(input.link, decoder.has_started());
        self.tell_of(input.hole.as_ref(), input.hole_is_known, verdict);
        if self.is_too_late(decoder, &input, time) {
            decoder.break_segment();
            return Ok(());
        }
        if matches!(verdict, Verdict::LeaveOut | Verdict::LeaveOutRepeated) {
            self.stats.lock().unwrap().dropped += input.real_frames;
            gst::debug!(CAT, imp = self, "Leaving out a packet at {time:?}: {:?}", input.link);
            if verdict == Verdict::LeaveOut {
                decoder.break_segment();
                self.drain(decoder);
            }
            return Ok(());
        }
        if input.segment_start {
            // By itself: the base class would mark what the last segment owes as what comes after it.
            self.drain(decoder);
        }
        self.measure_latency(decoder, &input);
        let (segment_start, latent_frames, real_frames) = (input.segment_start, input.latent_frames, input.real_frames);
        let error = match decoder.push(input, verdict == Verdict::DecodeAsUncertain) {
            Ok(()) => {
                let mut stats = self.stats.lock().unwrap();
                stats.latent_frames += u64::from(latent_frames);
                stats.segments += u64::from(segment_start);
                return Ok(());
            }
            Err(Skipped::NoSegmentStart) => {
                self.stats.lock().unwrap().dropped += real_frames;
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

    /// Says what is missing, unless somebody upstream knows it already, and counts it.
    pub(super) fn tell_of(&self, hole: Option<&Hole>, is_known: bool, verdict: Verdict) {
        let Some(hole) = hole else { return };
        let left_out_on_purpose = self
            .obj()
            .segment()
            .flags()
            .contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS);
        if left_out_on_purpose && is_known {
            return;
        }
        self.loss.lock().unwrap().gaps += 1;
        let text = loss::text(hole, verdict);
        if is_known {
            gst::warning!(CAT, imp = self, "{text}");
        } else {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
        }
    }

    /// Whether a packet is left out because the sink is too late; it is then counted and reported.
    fn is_too_late(&self, decoder: &Decoder, input: &Input, time: Option<gst::ClockTime>) -> bool {
        if !self.heeds_qos() {
            return false;
        }
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let running_time = segment.and_then(|segment| segment.to_running_time(time?));
        let step = self.stats.lock().unwrap().mean_step().as_nanos() as u64;
        let late = {
            let mut lateness = self.lateness.lock().unwrap();
            let packet = Due {
                segment_start: input.segment_start,
                time: running_time.map(|time| time.nseconds()),
                steps: decoder.steps(input),
            };
            lateness.leave_out(packet, step, self.running_time())
        };
        let Some(late) = late else { return false };
        let (processed, dropped) = {
            let mut stats = self.stats.lock().unwrap();
            stats.dropped += input.real_frames;
            (stats.frames, stats.dropped)
        };
        let count = |frames: u64| gst::format::Default::from_u64(frames);
        let message = gst::message::Qos::builder(true)
            .running_time(running_time)
            .stream_time(segment.and_then(|segment| segment.to_stream_time(time?)))
            .timestamp(time)
            .duration(input.duration().map(gst::ClockTime::from_nseconds))
            .values(i64::try_from(late).unwrap_or(i64::MAX), 1.0, 1_000_000)
            .stats(count(processed), count(dropped))
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
        true
    }

    /// Of the pipeline's clock; `None` where it does not run.
    pub(super) fn running_time(&self) -> Option<u64> {
        self.obj().current_running_time().map(|time| time.nseconds())
    }

    /// Without a framerate, the frames of a packet tell how far they are apart.
    fn measure_latency(&self, decoder: &Decoder, input: &Input) {
        if self.latency.lock().unwrap().is_zero()
            && let Some(frame) = input.frame_distance()
        {
            self.set_latency(decoder, gst::ClockTime::from_nseconds(frame));
        }
    }
}
