//! `vidtokenc` as GStreamer calls it: properties, states, caps, events, buffers.

use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::Instant;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;

use super::encoder::Encoder;
use super::intake::Intake;
use super::key_requests::{KeyRequest, KeyRequests};
use super::orientation::Orientation;
use super::picture;
use super::plan::formats;
use super::settings::Settings;
use super::timing::{Arrival, Fate, Incoming, Timing};
use crate::caps::packet_template;
use crate::element::negotiation::{filtered, tokens_of, video_of, video_template};
use crate::element::{self, ElementLatency, NetworkElement, NetworkState, error_message, metadata, pad_templates};
use crate::runtime::RuntimeError;
use crate::system::lock::lock;
use crate::timeline::FramePick;
use crate::tokenizer::Role;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokenc", gst::DebugColorFlags::empty(), Some("VidTok encoder")));

/// What the streaming thread works on.
#[derive(Default)]
pub(super) struct State {
    pub(super) timing: Timing,
    /// Set when caps are known.
    pub(super) encoder: Option<Encoder>,
    /// Makes pictures of frames. Set when caps are known.
    pub(super) intake: Option<Intake>,
    pub(super) pick: FramePick,
    /// A frame that was not kept has the flag DISCONT.
    skipped_discont: bool,
    /// An encoded buffer that the base class has not asked for yet.
    pub(super) output: Option<gst::Buffer>,
    /// Why caps were refused, and the caps: the base class tries them again and again.
    refusal: Option<(gst::Caps, String)>,
}

/// What other threads ask for while a step runs.
#[derive(Default)]
pub(super) struct Shared {
    /// The latency that the pipeline has set for all of its elements.
    pub(super) configured_latency: Option<gst::ClockTime>,
    pub(super) key_requests: KeyRequests,
    pub(super) orientation: Orientation,
}

/// Locks are taken in the order of the fields; `network` has locks of its own. Only `state` is held while the network
/// runs or a buffer is pushed: only the streaming thread takes it.
#[derive(Default)]
pub struct VidtokEnc {
    pub(super) state: Mutex<State>,
    pub(super) settings: Mutex<Settings>,
    network: NetworkState,
    pub(super) shared: Mutex<Shared>,
}

#[glib::object_subclass]
impl ObjectSubclass for VidtokEnc {
    const NAME: &'static str = "GstVidtokEnc";
    type Type = super::VidtokEnc;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for VidtokEnc {
    fn properties() -> &'static [glib::ParamSpec] {
        Settings::properties()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.set_network_property(value, pspec);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.network_property(pspec)
    }
}

impl GstObjectImpl for VidtokEnc {}

impl ElementImpl for VidtokEnc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            let description = "Turns video into VidTok tokens";
            metadata("VidTok encoder", "Codec/Encoder/Video", description)
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
            LazyLock::new(|| pad_templates(&video_template(&formats()), &packet_template()));
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        self.change_network_state(transition, || self.prepare())
    }
}

impl NetworkElement for VidtokEnc {
    type Settings = Settings;
    const ROLE: Role = Role::Encoder;

    fn category() -> gst::DebugCategory {
        *CAT
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    fn network(&self) -> &NetworkState {
        &self.network
    }

    fn stats(&self) -> gst::Structure {
        self.common_stats("application/x-vidtokenc-stats")
    }
}

impl BaseTransformImpl for VidtokEnc {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::default();
        *lock(&self.network.latency) = element::Latency::default();
        *lock(&self.shared) = Shared::default();
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let other = match direction {
            gst::PadDirection::Sink => {
                let token_type = self.settings().token_type.token_type();
                let graph = self.network.graph();
                let tokenizer = graph.as_ref().map(|graph| (&*graph.description, token_type));
                tokens_of(caps, self.shared_fields(), tokenizer)
            }
            _ => video_of(caps, self.shared_fields(), &formats()),
        };
        Some(filtered(other, filter))
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, othercaps: gst::Caps) -> gst::Caps {
        if direction != gst::PadDirection::Sink || self.network.graph().is_none() {
            return self.parent_fixate_caps(direction, caps, othercaps);
        }
        // The whole token format. What the video's caps leave out has its default.
        let format = self.plan(caps).and_then(|plan| self.token_format(&plan, &othercaps));
        match format {
            Ok((format, stream_format)) => format.to_caps(stream_format),
            Err(error) => {
                gst::warning!(CAT, imp = self, "No token caps for {caps}: {error}");
                self.parent_fixate_caps(direction, caps, othercaps)
            }
        }
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let mut state = lock(&self.state);
        let Err(error) = self.take_caps(&mut state, incaps, outcaps) else {
            state.refusal = None;
            return Ok(());
        };
        let refusal = (incaps.clone(), error.to_string());
        if state.refusal.as_ref() != Some(&refusal) {
            self.post_error_message(error_message(&error));
            state.refusal = Some(refusal);
        }
        Err(gst::loggable_error!(CAT, "{error}"))
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        self.answer(direction, query)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        self.push_held_before(&event);
        match event.view() {
            EventView::Eos(_) => self.drain(&mut lock(&self.state), true),
            EventView::StreamStart(start) => self.start_stream(start.stream_id()),
            EventView::Segment(segment) => self.start_playback_segment(segment.segment()),
            EventView::Gap(gap) if self.covers_gap(gap) => return true,
            EventView::Caps(caps) => {
                let caps = caps.caps_owned();
                self.end_before(&caps);
                let is_taken = self.parent_sink_event(event);
                if !is_taken {
                    self.explain_refusal(&caps);
                }
                return is_taken;
            }
            EventView::Tag(tags) => self.orient(tags.tag()),
            EventView::FlushStart(_) => self.network.cancel.cancel(),
            EventView::FlushStop(_) => self.flush(),
            EventView::CustomDownstream(_) => {
                if let Some(request) = KeyRequest::from_upstream(&event) {
                    // It is passed on in front of the segment start that it asks for.
                    self.request_key(request);
                    return true;
                }
            }
            _ => (),
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let Some(request) = KeyRequest::from_downstream(&event) {
            self.request_key(request);
            return true;
        }
        if let gst::EventView::Latency(latency) = event.view() {
            lock(&self.shared).configured_latency = Some(latency.latency());
        }
        !self.refuses(&event) && self.parent_src_event(event)
    }

    fn submit_input_buffer(&self, is_discont: bool, inbuf: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.obj().sink_pad().current_caps().is_none() {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("There are no caps, so this is not raw video yet: put decodebin in front")
            );
            return Err(gst::FlowError::NotNegotiated);
        }
        self.encode(&mut lock(&self.state), &inbuf, is_discont)
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        Ok(element::output(lock(&self.state).output.take()))
    }
}

impl VidtokEnc {
    fn prepare(&self) -> Result<(), RuntimeError> {
        if self.find_graph()?
            && let Some(graph) = self.network.graph()
        {
            self.log_tokenizer(&graph);
        }
        Ok(())
    }

    fn flush(&self) {
        let mut state = lock(&self.state);
        state.output = None;
        state.timing.flush();
        state.pick.restart();
        if let Some(encoder) = &mut state.encoder
            && let Err(error) = encoder.reset()
        {
            self.post_error_message(error_message(&error));
        }
        lock(&self.shared).key_requests.clear();
        self.network.cancel.reset();
    }

    /// Takes a frame: encodes or drops it, and ends the segment in front of it where it has to.
    ///
    /// `base_discont`: the next buffer that the base class pushes gets DISCONT.
    fn encode(
        &self,
        state: &mut State,
        buffer: &gst::Buffer,
        base_discont: bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        if !state.pick.keeps_next() {
            state.skipped_discont |= discont;
            return Ok(gst::FlowSuccess::Ok);
        }
        let encoder = state.encoder.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
        let key_interval = self.settings().key_interval.into();
        let key_time = lock(&self.shared).key_requests.earliest();
        let segment = self.obj().segment();
        let discont = std::mem::take(&mut state.skipped_discont) || discont;
        let group_is_open = encoder.has_open_group();
        // What is upstream has to be asked for its latency.
        let limits = match state.timing.may_begin_group(discont, group_is_open) {
            true => self.dropping_limits(encoder.step_frames()),
            false => None,
        };
        let incoming = Incoming {
            pts: buffer.pts().map(gst::ClockTime::nseconds),
            duration: buffer.duration().map(gst::ClockTime::nseconds),
            is_picked: state.pick.interval() != 1,
            discont,
            segment: segment.downcast_ref(),
            now: self.running_time(),
            limits,
            key_time,
            group_is_open,
        };
        let verdict = state.timing.judge(&incoming);
        let verdict = verdict.map_err(|error| self.refuse_frame(&error.to_string()))?;
        if let Fate::Encode(Arrival {
            distance: Some(distance),
            ..
        }) = verdict.fate
            && let Some(encoder) = &mut state.encoder
        {
            encoder.set_held_duration(distance);
        }
        if verdict.ends_segment {
            self.drain(state, false);
        }
        let arrival = match verdict.fate {
            Fate::Encode(arrival) => arrival,
            Fate::Drop { due, lateness } => {
                self.report_late(buffer, due, lateness);
                return Ok(gst::FlowSuccess::Ok);
            }
        };
        self.warn_of_time(&arrival);

        let released = self.release(state)?;
        let added = self.add(state, buffer, &arrival, key_interval);
        let last = match (released, added) {
            (Some(released), Ok(None)) => Some(released),
            (released, added) => {
                // It is not lost where the frame behind it fails.
                released.map(|released| self.push_owed(released)).transpose()?;
                added?
            }
        };
        if let Some(buffer) = last {
            self.leave(state, buffer, base_discont)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// Adds a frame to the current group, and runs the network where that is full and not held. Returns the buffer to
    /// push.
    fn add(
        &self,
        state: &mut State,
        buffer: &gst::Buffer,
        arrival: &Arrival,
        key_interval: u64,
    ) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let State {
            timing,
            encoder,
            intake,
            ..
        } = state;
        let (encoder, intake) = encoder
            .as_mut()
            .zip(intake.as_mut())
            .ok_or(gst::FlowError::NotNegotiated)?;
        let refused = |error: String| self.refuse_frame(&error);
        let started = Instant::now();
        let frame = picture::map(buffer, &intake.plan().video).map_err(refused)?;
        let (stack, index) = encoder.next_picture();
        intake.fill(&frame, stack, index).map_err(refused)?;
        self.measure_frame(timing.accept(arrival));
        let holds = timing.durations_are_untrue() && !self.is_live();
        let encoded = encoder.push(arrival, key_interval, holds);
        let encoded = encoded.map_err(|error| self.step_failed(&error))?;
        encoded
            .map(|encoded| self.complete(encoded, started.elapsed()))
            .transpose()
    }

    fn refuse_frame(&self, why: &str) -> gst::FlowError {
        gst::element_imp_error!(self, gst::StreamError::Format, ("{why}"));
        gst::FlowError::Error
    }

    fn warn_of_time(&self, arrival: &Arrival) {
        let Some(from) = arrival.goes_back_from else { return };
        let [from, to] = [from, arrival.time.pts].map(gst::ClockTime::from_nseconds);
        gst::element_imp_warning!(
            self,
            gst::StreamError::Format,
            ("Time goes back from {from} to {to}: a new segment starts here")
        );
    }
}
