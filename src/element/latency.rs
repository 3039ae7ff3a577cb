//! The latency that an element which runs a network declares, and how late its buffers leave.

use std::time::Duration;

use gst::ClockTime;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::allowance::Allowance;
use super::{NetworkElement, Settings};
use crate::runtime::RuntimeError;
use crate::system::lock::lock;

/// The property that sets what a step may take. `GstBaseSink` has one of this name for what it renders.
pub const DEADLINE_PROPERTY: &str = "processing-deadline";

pub fn deadline_property() -> glib::ParamSpec {
    glib::ParamSpecInt64::builder(DEADLINE_PROPERTY)
        .nick("Processing deadline")
        .blurb("Time for a step of the network in the latency that is declared, in ns (-1: what steps were measured to take)")
        .minimum(-1)
        .default_value(-1)
        .mutable_playing()
        .build()
}

/// What an element's latency follows from.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// Frames that a frame waits for before it can be processed, or shown.
    pub awaited_frames: u64,
    /// Frames that a step of the network takes or gives.
    pub step_frames: u64,
    /// How long a frame lasts: from the framerate, or measured.
    pub frame: Option<ClockTime>,
    /// How long a step may wait for other streams.
    pub batch: ClockTime,
    allowance: Allowance,
}

impl Latency {
    /// The latency that the element adds: frames to wait for, other streams, and a step of the network. `deadline`: what
    /// a step may take; `None`: as measured. Without a frame's duration, only the wait for other streams is known.
    pub fn own(&self, deadline: Option<ClockTime>) -> ClockTime {
        let Some(frame) = self.frame else { return self.batch };
        let processing = deadline.or_else(|| self.allowance.get(self.limit()).map(ClockTime::from_nseconds));
        frame
            .saturating_mul(self.awaited_frames)
            .saturating_add(self.batch)
            .saturating_add(processing.unwrap_or_default())
    }

    /// The longest latency that [`own`](Self::own) measures, whatever steps take.
    pub fn longest(&self) -> ClockTime {
        let frames = self.awaited_frames + self.step_frames;
        self.frame
            .unwrap_or_default()
            .saturating_mul(frames)
            .saturating_add(self.batch)
    }

    /// How long the frames of a step last, in nanoseconds.
    fn limit(&self) -> Option<u64> {
        Some(self.frame?.saturating_mul(self.step_frames).nseconds())
    }

    /// Takes the time of a step.
    fn observe(&mut self, step: Duration) {
        // Waiting for other streams is declared already.
        let step = nanoseconds(step).saturating_sub(self.batch.nseconds());
        self.allowance.observe(step, self.limit());
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What encoder and decoder do alike about latency.
pub trait ElementLatency: NetworkElement {
    /// What the element declares: how long it holds a frame at most.
    fn latency(&self) -> ClockTime {
        let deadline = self.settings().processing_deadline();
        lock(&self.network().latency).own(deadline)
    }

    /// Sets what follows from the tokenizer and the framerate, and says so.
    fn set_latency(&self, awaited_frames: usize, step_frames: usize, frame: Option<ClockTime>) {
        let batch = self.settings().network().batch_latency();
        {
            let latency = &mut *lock(&self.network().latency);
            (latency.awaited_frames, latency.step_frames) = (awaited_frames as u64, step_frames as u64);
            (latency.frame, latency.batch) = (frame, batch);
        }
        self.post_latency();
    }

    /// Without a framerate, takes `frame` nanoseconds as a frame's duration, once.
    fn measure_frame(&self, frame: Option<u64>) {
        let Some(frame) = frame.map(ClockTime::from_nseconds) else {
            return;
        };
        let was_unknown = {
            let known = &mut lock(&self.network().latency).frame;
            let was_unknown = known.is_none();
            known.get_or_insert(frame);
            was_unknown
        };
        if was_unknown {
            self.post_latency();
        }
    }

    /// Forgets what the network took that was there before. If video is live, runs `trial` on the new one, which gives
    /// the time of a step: the latency is then known before the first frame, and the first step is no slower than others.
    fn try_network(&self, trial: impl FnOnce() -> Result<Duration, RuntimeError>) {
        let (is_measured, is_alone) = {
            let settings = self.settings();
            let is_alone = settings.network().options.batch_streams <= 1;
            (settings.processing_deadline().is_none(), is_alone)
        };
        // In a batch, a trial would be a step of the other streams, too.
        let step = (is_measured && is_alone && self.is_live()).then(trial);
        let allowance = match step {
            Some(Ok(step)) => {
                gst::info!(Self::category(), imp = self, "A step on nothing took {step:?}");
                Allowance::of_trial(nanoseconds(step))
            }
            Some(Err(error)) => {
                // It is cancelled, or shows again at the first frame.
                gst::debug!(Self::category(), imp = self, "The network's trial ended: {error}");
                Allowance::default()
            }
            None => Allowance::default(),
        };
        lock(&self.network().latency).allowance = allowance;
    }

    /// Takes the time of a step, and says so where the latency changes with it.
    fn observe_step(&self, step: Duration) {
        if self.settings().processing_deadline().is_some() {
            return;
        }
        let is_changed = {
            let latency = &mut *lock(&self.network().latency);
            let before = latency.own(None);
            latency.observe(step);
            latency.own(None) != before
        };
        if is_changed {
            gst::info!(
                Self::category(),
                imp = self,
                "A step took {step:?}: the latency is {} now",
                self.latency()
            );
            self.post_latency();
        }
    }

    /// Notes that a buffer leaves whose first frame has the PTS `pts`.
    fn note_leaving(&self, pts: Option<ClockTime>) {
        let element = self.obj();
        let segment = element.segment();
        let due = segment
            .downcast_ref::<ClockTime>()
            .and_then(|segment| segment.to_running_time(pts?));
        if let Some((now, due)) = self.running_time().zip(due) {
            let lateness = i128::from(now.nseconds()) - i128::from(due.nseconds());
            lock(&self.network().stats).lateness = i64::try_from(lateness).ok();
        }
    }

    /// Running time of the pipeline's clock; `None` where that does not run. In PAUSED, the clock goes on, and the time
    /// that it has to be compared with is set on the way back to PLAYING.
    fn running_time(&self) -> Option<ClockTime> {
        let element = self.obj();
        let is_running = element.current_state() == gst::State::Playing;
        element.current_running_time().filter(|_| is_running)
    }

    /// The latency of what is upstream; `None` where that does not say that it is live.
    fn upstream_latency(&self) -> Option<ClockTime> {
        let mut query = gst::query::Latency::new();
        let is_known = self.obj().sink_pad().peer_query(&mut query);
        let (is_live, least, _) = query.result();
        (is_known && is_live).then_some(least)
    }

    /// Whether upstream is live, as it says.
    fn is_live(&self) -> bool {
        self.upstream_latency().is_some()
    }

    /// Says that the element's latency has changed.
    fn post_latency(&self) {
        let message = gst::message::Latency::builder().src(&*self.obj()).build();
        // Fails only where there is no bus.
        let _ = self.obj().post_message(message);
    }
}

impl<T: NetworkElement> ElementLatency for T {}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> ClockTime = ClockTime::from_mseconds;

    /// An encoder of groups of four frames of 40 ms.
    fn latency() -> Latency {
        Latency {
            awaited_frames: 3,
            step_frames: 4,
            frame: Some(MS(40)),
            ..Latency::default()
        }
    }

    #[test]
    fn it_is_the_frames_the_batch_and_a_step() {
        let with = |allowance| Latency { allowance, ..latency() };
        // Until a step is measured, its frames' duration.
        assert_eq!(latency().own(None), MS(3 * 40 + 160));
        assert_eq!(with(Allowance::of_trial(20_000_000)).own(None), MS(3 * 40 + 25));
        assert_eq!(with(Allowance::of_trial(9_000_000_000)).own(None), MS(3 * 40 + 160));
        assert_eq!(with(Allowance::of_trial(20_000_000)).longest(), MS(3 * 40 + 160));
        let batch = Latency {
            batch: MS(10),
            ..with(Allowance::of_trial(20_000_000))
        };
        assert_eq!(batch.own(None), MS(3 * 40 + 10 + 25));
        assert_eq!(batch.longest(), MS(3 * 40 + 10 + 160));
    }

    #[test]
    fn a_deadline_that_is_set_counts_as_it_is() {
        assert_eq!(latency().own(Some(MS(0))), MS(3 * 40));
        assert_eq!(latency().own(Some(MS(900))), MS(3 * 40 + 900));
    }

    #[test]
    fn without_a_frames_duration_only_the_batch_is_known() {
        let unknown = Latency {
            frame: None,
            batch: MS(5),
            ..latency()
        };
        assert_eq!((unknown.own(None), unknown.own(Some(MS(7)))), (MS(5), MS(5)));
    }

    #[test]
    fn a_wait_for_other_streams_is_not_counted_twice() {
        let mut latency = Latency {
            batch: MS(10),
            allowance: Allowance::of_trial(8_000_000),
            ..latency()
        };
        // 10 ms of waiting, and 10 ms that are allowed.
        latency.observe(Duration::from_millis(20));
        assert_eq!(latency.own(None), MS(3 * 40 + 10 + 10));
        latency.observe(Duration::from_millis(50));
        assert_eq!(latency.own(None), MS(3 * 40 + 10 + 50));
    }
}
