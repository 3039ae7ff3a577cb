//! # vidtokenc
//!
//! Turns RGB video into VidTok tokens with an ONNX graph that ONNX Runtime runs.
//!
//! ```text
//! gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! vidtokenc ! filesink location=out.vidtok
//! ```
//!
//! Output is `framed` (packets of the `.vidtok` byte stream) unless downstream asks for `stream-format=raw` (bare
//! numbers). Any picture size, framerate and pixel aspect ratio; interlaced video is refused. Every video frame is
//! in exactly one token buffer.
//!
//! ## Latency
//!
//! With a causal tokenizer of time factor f, 2f - 1 frames (built in: 7): f - 1 for a group to fill, and f for the
//! network, as a machine that needs longer than a group lasts does not keep up anyway. With a non-causal one, 2w - 1
//! frames for a window of w. Without a framerate, the distance of two frames is measured. With `batch-streams`, a step
//! may wait for those of other streams: `batch-timeout` is added.
//!
//! `max-lateness` drops frames that come later than that behind the pipeline's latency, as a sink does.
//!
//! ## Segments
//!
//! A segment of tokens decodes by itself. One ends where other pictures begin: at a buffer with DISCONT, where another
//! stream or playback segment begins, where caps change in what the tokens say, and where time goes back, which is also
//! a warning. Where the encoder finds that by itself, the next buffer has DISCONT. `key-interval` and force-key-unit
//! events end one with the group under way. Nothing else does: the same pictures have the same tokens, whatever
//! container they come from. A GAP within a group stops here, as the group's tokens stand for its time; live, one that
//! lasts longer than the latency ends the segment, so that a decoder gives the frames that it owes.
//!
//! Frames without PTS are counted from the framerate, from the last PTS that there was or from the start of the
//! playback segment.
//!
//! In the byte stream, a packet says that it is its segment's last, and where that was not known yet, an end mark says
//! it: a buffer of its own with HEADER and DELTA_UNIT. One stands at the end of every stream. `stream-id` names the
//! stream; it is random by default, and another one after an end of stream.

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;

use super::clock::FrameClock;
use super::encoder::{Encoded, Encoder, Finished};
use super::key_requests::{KeyRequest, KeyRequests};
use super::live::Latency;
use super::orientation::Orientation;
use super::picture;
use super::playback;
use super::settings::Settings;
use crate::caps::packet_template;
use crate::element::negotiation::{tokens_of, video_of, video_template};
use crate::element::{NetworkSettings, Stats, error_message, pad_templates};
use crate::runtime::{self, Cancel, RuntimeError};
use crate::stream::check_stream_id;
use crate::tokenizer::{self, Graph, Role};

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokenc", gst::DebugColorFlags::empty(), Some("VidTok encoder")));

/// What the streaming thread works on.
#[derive(Default)]
pub(super) struct State {
    /// Set when caps are known.
    pub(super) encoder: Option<(gst_video::VideoInfo, Encoder)>,
    /// Encoded and not yet pushed: the base class asks for it.
    pub(super) output: Option<gst::Buffer>,
    /// The next buffer follows a discontinuity.
    pub(super) discont: bool,
    pub(super) clock: FrameClock,
    /// The playback segment under way differs from the one before by running time alone: the next frame tells whether
    /// it begins anew, then at this time.
    pub(super) may_begin_at: Option<u64>,
    /// Another stream has begun, and no playback segment of it yet.
    pub(super) is_new_stream: bool,
}

/// What other threads ask for while a step runs.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) stats: Stats,
    pub(super) latency: Latency,
    key_requests: KeyRequests,
    pub(super) orientation: Orientation,
}

/// Locks are taken in the order of the fields. Only `state` is held while the network runs or a buffer is pushed:
/// nothing but the streaming thread takes it.
#[derive(Default)]
pub struct VidtokEnc {
    pub(super) state: Mutex<State>,
    pub(super) settings: Mutex<Settings>,
    /// The encoder graph, and the settings that it was found by. Set in READY and above.
    pub(super) graph: Mutex<Option<(NetworkSettings, Graph)>>,
    pub(super) shared: Mutex<Shared>,
    /// Ends the network's steps where nobody waits for their tokens any more: no lock.
    pub(super) cancel: Cancel,
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
        self.settings.lock().unwrap().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self
                .shared
                .lock()
                .unwrap()
                .stats
                .to_structure("application/x-vidtokenc-stats")
                .to_value(),
            name => self
                .settings
                .lock()
                .unwrap()
                .get(name)
                .unwrap_or_else(|| pspec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for VidtokEnc {}

impl ElementImpl for VidtokEnc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "VidTok encoder",
                "Codec/Encoder/Video",
                "Turns video into VidTok tokens",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
            LazyLock::new(|| pad_templates(&video_template(), &packet_template()));
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        use gst::StateChange::{NullToReady, PausedToReady, ReadyToPaused};
        if matches!(transition, NullToReady | ReadyToPaused) {
            // Before anything flows: a wrong model or a missing library is said at once.
            self.prepare().map_err(|error| {
                self.post_error_message(error_message(&error));
                gst::StateChangeError
            })?;
        }
        match transition {
            ReadyToPaused => self.cancel.start(),
            // The pads wait for the step under way.
            PausedToReady => self.cancel.stop(),
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::ReadyToNull {
            *self.graph.lock().unwrap() = None;
        }
        Ok(success)
    }
}

impl BaseTransformImpl for VidtokEnc {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().unwrap() = State::default();
        let mut shared = self.shared.lock().unwrap();
        shared.key_requests.clear();
        shared.latency = Latency::default();
        shared.orientation = Orientation::default();
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let token_type = self.settings.lock().unwrap().token_type.token_type();
        let graph = self.graph.lock().unwrap();
        let other = match direction {
            gst::PadDirection::Sink => {
                tokens_of(caps, graph.as_ref().map(|(_, graph)| (&*graph.description, token_type)))
            }
            _ => video_of(caps),
        };
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
            None => other,
        })
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, othercaps: gst::Caps) -> gst::Caps {
        let graph = self.graph.lock().unwrap().clone();
        let (gst::PadDirection::Sink, Some((_, graph))) = (direction, graph) else {
            return self.parent_fixate_caps(direction, caps, othercaps);
        };
        // Everything that the tokens will say, also what the video's caps leave to be assumed.
        match self.token_format(&graph, caps, &othercaps) {
            Ok((format, stream_format)) => format.to_caps(stream_format),
            Err(error) => {
                gst::warning!(CAT, imp = self, "No token caps for {caps}: {error}");
                self.parent_fixate_caps(direction, caps, othercaps)
            }
        }
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let mut state = self.state.lock().unwrap();
        let video = self.video_info(incaps)?;
        let fail = |error: RuntimeError| {
            self.post_error_message(error_message(&error));
            gst::loggable_error!(CAT, "{error}")
        };
        let (format, stream_format) = self.wanted_format(incaps, outcaps).map_err(fail)?;
        state.clock.set_framerate(format.framerate);
        if let Some((before, encoder)) = &mut state.encoder
            && encoder.makes(&format, stream_format)
        {
            *before = video;
            return Ok(());
        }
        // Downstream may ask for another format in mid-stream: the old segment ends in the old one.
        self.drain(&mut state, false);
        let encoder = match state.encoder.take() {
            Some((_, mut encoder)) if encoder.is_of_size(&format) => {
                encoder.set_format(format, stream_format).map_err(fail)?;
                encoder
            }
            before => {
                // Before the next network takes memory, the last one gives its own back.
                let going_on = before.map(|(_, encoder)| encoder.go_on());
                self.open(format, stream_format, going_on).map_err(fail)?
            }
        };
        self.announce(&encoder, outcaps);
        state.encoder = Some((video, encoder));
        Ok(())
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if let (gst::PadDirection::Src, gst::QueryViewMut::Latency(query)) = (direction, query.view_mut()) {
            let (live, min, max) = query.result();
            let own = self.shared.lock().unwrap().latency.own();
            query.set(live, min.saturating_add(own), max.map(|max| max.saturating_add(own)));
        }
        true
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        match event.view() {
            EventView::Eos(_) => self.drain(&mut self.state.lock().unwrap(), true),
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
            EventView::Tag(tags) => self.warn_of_orientation(tags.tag()),
            EventView::FlushStart(_) => self.cancel.cancel(),
            EventView::FlushStop(_) => self.reset(),
            EventView::CustomDownstream(_) => {
                if let Some(request) = KeyRequest::from_upstream(&event) {
                    // Goes on in front of the segment start that it asks for.
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
            self.shared.lock().unwrap().latency.configured = Some(latency.latency());
        }
        if let gst::EventView::Seek(seek) = event.view()
            && seek.get().0 < 0.0
        {
            gst::warning!(
                CAT,
                imp = self,
                "Tokens cannot be made backwards: refusing a seek with a negative rate"
            );
            return false;
        }
        self.parent_src_event(event)
    }

    fn submit_input_buffer(&self, _is_discont: bool, inbuf: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.obj().sink_pad().current_caps().is_none() {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("There are no caps, so this is no raw video yet: put decodebin ! videoconvert in front")
            );
            return Err(gst::FlowError::NotNegotiated);
        }
        let mut state = self.state.lock().unwrap();
        // The base class's `is_discont` stays set until something is pushed: the buffer's own flag counts.
        if inbuf.flags().contains(gst::BufferFlags::DISCONT) {
            self.drain(&mut state, false);
            // Also where this very frame is dropped: the next buffer then follows the gap.
            state.discont = true;
        }
        self.encode(&mut state, &inbuf)
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let output = self.state.lock().unwrap().output.take();
        // Never `Dropped`: that would mark the next output as a discontinuity.
        Ok(output.map_or(GenerateOutputSuccess::NoOutput, GenerateOutputSuccess::Buffer))
    }
}

impl VidtokEnc {
    /// Loads ONNX Runtime and finds the graph.
    fn prepare(&self) -> Result<(), RuntimeError> {
        let settings = self.settings.lock().unwrap().network.clone();
        if let Some(id) = &self.settings.lock().unwrap().stream_id {
            check_stream_id(id).map_err(|error| RuntimeError::Settings(error.to_string().into()))?;
        }
        let mut found = self.graph.lock().unwrap();
        if found.as_ref().is_some_and(|(by, _)| *by == settings) {
            return Ok(());
        }
        let graph = settings
            .graph(Role::Encoder)
            .unwrap_or_else(|| tokenizer::embedded_if(Role::Encoder, settings.options.variant()))?;
        runtime::load()?;
        gst::info!(
            CAT,
            imp = self,
            "Tokenizer \"{}\", {}",
            graph.description.name,
            graph.location()
        );
        *found = Some((settings, graph));
        self.shared.lock().unwrap().stats = Stats::default();
        Ok(())
    }

    fn reset(&self) {
        let mut state = self.state.lock().unwrap();
        state.output = None;
        state.clock.restart(0);
        state.may_begin_at = None;
        if let Some((_, encoder)) = &mut state.encoder
            && let Err(error) = encoder.reset()
        {
            self.post_error_message(error_message(&error));
        }
        self.shared.lock().unwrap().key_requests.clear();
        self.cancel.reset();
    }

    fn request_key(&self, request: KeyRequest) {
        gst::debug!(
            CAT,
            imp = self,
            "Key unit requested at running time {:?}",
            request.running_time()
        );
        self.shared.lock().unwrap().key_requests.push(request);
    }

    /// Says downstream that the segment start it asked for comes next.
    fn answer_key_requests(&self, pts: Option<gst::ClockTime>) {
        let segment = self.obj().segment();
        let running_time = segment
            .downcast_ref::<gst::ClockTime>()
            .and_then(|segment| segment.to_running_time(pts));
        let answered = self.shared.lock().unwrap().key_requests.take_met_at(running_time);
        for request in answered {
            self.obj().src_pad().push_event(request.answer(&segment, pts));
        }
    }

    fn encode(&self, state: &mut State, inbuf: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let nanoseconds = |time: Option<gst::ClockTime>| time.map(|time| time.nseconds());
        if let Some(start) = state.may_begin_at.take()
            && nanoseconds(inbuf.pts()).is_none_or(|pts| state.clock.last().is_some_and(|last| pts <= last.pts))
        {
            self.begin_playback_segment(state, start);
        }
        let State { encoder, clock, .. } = state;
        let (_, encoder) = encoder.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        encoder.set_key_interval(self.settings.lock().unwrap().key_interval.into());
        let to_stream_time = |pts| playback::to_stream_time(segment, pts);
        let time = clock.next(nanoseconds(inbuf.pts()), nanoseconds(inbuf.duration()), to_stream_time);
        let time = time.map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
            gst::FlowError::Error
        })?;
        let pts = gst::ClockTime::from_nseconds(time.pts);
        let running_time = segment.and_then(|s| s.to_running_time(pts));
        if encoder.filled() == 0 && self.is_too_late(running_time, inbuf) {
            return Ok(gst::FlowSuccess::Ok);
        }
        if let Some(last) = clock.last().filter(|_| clock.goes_back(time.pts)) {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "Time goes back from {} to {pts}: a new segment starts here",
                    gst::ClockTime::from_nseconds(last.pts)
                )
            );
            self.drain(state, false);
            state.discont = true;
        } else if self.shared.lock().unwrap().key_requests.any_met_at(running_time) {
            if encoder.filled() == 0 {
                self.drain(state, false);
            } else {
                encoder.finish_after_group();
            }
        }
        let State {
            encoder,
            output,
            discont,
            clock,
            ..
        } = state;
        let (video, encoder) = encoder.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        let frame = picture::map(inbuf, video).map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
            gst::FlowError::Error
        })?;
        self.measure_latency(clock.tokenized(time));
        encoder.set_stream_time(i128::from(to_stream_time(time.pts)) - i128::from(time.pts));
        let encoded = encoder.push(&frame, time).map_err(|error| self.failed(&error))?;
        if let Some(mut encoded) = encoded {
            if let Some(mark) = encoded.mark.take() {
                self.push(self.within_segment(mark))?;
            }
            let mut buffer = self.account(encoded);
            if std::mem::take(discont) {
                buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
            }
            *output = Some(buffer);
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// Ends the segment: pushes the group under way, which then has fewer real frames than it could, and the mark of
    /// the end.
    ///
    /// Pushes by itself, because the base class would mark the tail as what comes after it.
    pub(super) fn drain(&self, state: &mut State, end_of_stream: bool) {
        let Some((_, encoder)) = &mut state.encoder else { return };
        let Finished { mut tail, mark } = match encoder.finish(end_of_stream) {
            Ok(finished) => finished,
            Err(error) => {
                let _ = self.failed(&error);
                return;
            }
        };
        let before = tail.as_mut().and_then(|tail| tail.mark.take());
        let tail = tail.map(|tail| self.account(tail));
        let within = |mark| self.within_segment(mark);
        for buffer in before.map(within).into_iter().chain(tail).chain(mark.map(within)) {
            // An error downstream shows again at the next buffer, and was posted where it happened.
            if self.push(buffer).is_err() {
                return;
            }
        }
    }

    /// An end mark that no sink leaves out: at the playback segment's stop it has no time.
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

    fn push(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.obj().src_pad().push(buffer).inspect_err(|error| {
            gst::debug!(CAT, imp = self, "A segment's end was not taken: {error}");
        })
    }

    /// Posts why a step failed, unless it was ended.
    fn failed(&self, error: &RuntimeError) -> gst::FlowError {
        if matches!(error, RuntimeError::Cancelled) {
            return gst::FlowError::Flushing;
        }
        self.post_error_message(error_message(error));
        gst::FlowError::Error
    }

    /// Without a framerate, the distance of two frames tells how long a group takes to fill.
    fn measure_latency(&self, distance: Option<u64>) {
        let Some(distance) = distance.map(gst::ClockTime::from_nseconds) else {
            return;
        };
        let latency = &mut self.shared.lock().unwrap().latency;
        if latency.frame.is_none() {
            latency.frame = Some(distance);
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            let _ = self.obj().post_message(message);
        }
    }

    /// Counts what was encoded, and answers requests for a segment start.
    fn account(&self, encoded: Encoded) -> gst::Buffer {
        {
            let stats = &mut self.shared.lock().unwrap().stats;
            stats.frames += encoded.frames as u64;
            stats.latent_frames += encoded.latent_frames as u64;
            stats.bytes += encoded.buffer.size() as u64;
            stats.segments += u64::from(encoded.segment_start);
            stats.step(encoded.elapsed, encoded.streams);
        }
        if encoded.segment_start {
            self.answer_key_requests(encoded.buffer.pts());
        }
        encoded.buffer
    }

    /// Whether a frame comes later than `max-lateness` allows; it is then dropped, counted and reported.
    fn is_too_late(&self, running_time: Option<gst::ClockTime>, buffer: &gst::Buffer) -> bool {
        let allowed = self.settings.lock().unwrap().max_lateness;
        let (Some(due), Some(now)) = (running_time, self.obj().current_running_time()) else {
            return false;
        };
        let latency = self.shared.lock().unwrap().latency;
        let Some(lateness) = latency.lateness(now, due, allowed) else {
            return false;
        };
        let (processed, dropped) = {
            let stats = &mut self.shared.lock().unwrap().stats;
            stats.dropped += 1;
            (stats.frames, stats.dropped)
        };
        let count = |frames: u64| gst::format::Default::from_u64(frames);
        let message = gst::message::Qos::builder(true)
            .running_time(due)
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .values(lateness.nseconds() as i64, 0.0, 1_000_000)
            .stats(count(processed), count(dropped))
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
        true
    }
}
