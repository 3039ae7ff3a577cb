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
//! Live, a causal tokenizer with time factor f adds (f - 1) frames of latency for a group to fill, a non-causal one
//! (window - 1), and for the network's own time as many frames as a step takes: a machine that needs longer does not
//! keep up anyway. `max-lateness` says what happens then. With `batch-streams`, a step may wait for those of other
//! streams: `batch-timeout` is added.

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;

use super::posterior::{Latent, Sampler};
use super::settings::Settings;
use super::stream::{Encoded, Stream};
use crate::caps::{StreamFormat, packet_template};
use crate::element::{BusReport, NetworkSettings, Stats, error_message, pad_templates, shape};
use crate::format::{TokenFormat, TokenType};
use crate::negotiation::{token_format, tokens_of, video_of, video_template};
use crate::runtime::{self, RuntimeError};
use crate::timeline::frames_to_time;
use crate::tokenizer::{self, Graph, Role};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokenc", gst::DebugColorFlags::empty(), Some("VidTok encoder")));

/// What the streaming thread works on.
#[derive(Default)]
struct State {
    /// Set when caps are known.
    stream: Option<(gst_video::VideoInfo, Stream)>,
    /// Encoded and not yet pushed: the base class asks for it.
    output: Option<gst::Buffer>,
    /// The next buffer follows a gap.
    discont: bool,
    last_pts: Option<gst::ClockTime>,
}

/// What other threads ask for while a step runs.
#[derive(Default)]
struct Shared {
    stats: Stats,
    latency: Latency,
    /// Requests for a segment start that no frame has met yet.
    key_requests: Vec<KeyRequest>,
}

/// Frames that a step waits for, and how far apart they are.
#[derive(Clone, Copy, Debug, Default)]
struct Latency {
    step_frames: u64,
    /// From the framerate; measured where there is none.
    frame: Option<gst::ClockTime>,
}

impl Latency {
    /// Filling a group, and as long again for the network.
    fn time(self) -> Option<gst::ClockTime> {
        self.frame.map(|frame| frame * (2 * self.step_frames).saturating_sub(1))
    }
}

/// A force-key-unit event.
struct KeyRequest {
    running_time: Option<gst::ClockTime>,
    all_headers: bool,
    count: u32,
    seqnum: gst::Seqnum,
}

/// Locks are taken in the order of the fields. Only `state` is held while the network runs or a buffer is pushed:
/// nothing but the streaming thread takes it.
#[derive(Default)]
pub struct VidtokEnc {
    state: Mutex<State>,
    settings: Mutex<Settings>,
    /// The encoder graph, and the settings that it was found by. Set in READY and above.
    graph: Mutex<Option<(NetworkSettings, Graph)>>,
    shared: Mutex<Shared>,
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
        use gst::StateChange::{NullToReady, ReadyToPaused};
        if matches!(transition, NullToReady | ReadyToPaused) {
            // Before anything flows: a wrong model or a missing library is said at once.
            self.prepare().map_err(|error| {
                self.post_error_message(error_message(&error));
                gst::StateChangeError
            })?;
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
        // Downstream may ask for another format in mid-stream: the old segment ends in the old one.
        self.drain(&mut state, false);
        state.stream = None;
        let video = gst_video::VideoInfo::from_caps(incaps)?;
        if video.is_interlaced() {
            self.post_error_message(gst::error_msg!(
                gst::StreamError::Format,
                ("Interlaced video cannot be tokenized: put a deinterlace element in front")
            ));
            return Err(gst::loggable_error!(CAT, "interlaced"));
        }
        let stream = self.open(incaps, outcaps).map_err(|error| {
            self.post_error_message(error_message(&error));
            gst::loggable_error!(CAT, "{error}")
        })?;
        self.announce(&stream, outcaps);
        state.stream = Some((video, stream));
        Ok(())
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if let (gst::PadDirection::Src, gst::QueryViewMut::Latency(query)) = (direction, query.view_mut()) {
            let (live, min, max) = query.result();
            let batch = self.settings.lock().unwrap().network.batch_latency();
            let own = self.shared.lock().unwrap().latency.time().unwrap_or_default() + batch;
            query.set(live, min + own, max.map(|max| max + own));
        }
        true
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        match event.view() {
            EventView::Eos(_) => self.drain(&mut self.state.lock().unwrap(), true),
            EventView::Segment(_) | EventView::StreamStart(_) | EventView::Gap(_) => {
                self.drain(&mut self.state.lock().unwrap(), false);
            }
            EventView::Caps(caps) => {
                let current = self.obj().sink_pad().current_caps();
                if current.as_ref().map(|caps| caps.as_ref()) != Some(caps.caps()) {
                    self.drain(&mut self.state.lock().unwrap(), false);
                }
            }
            EventView::FlushStop(_) => self.reset(),
            EventView::CustomDownstream(_) => {
                if let Ok(key_unit) = gst_video::DownstreamForceKeyUnitEvent::parse(&event) {
                    // Goes on in front of the segment start that it asks for.
                    self.request_key(
                        key_unit.running_time,
                        key_unit.all_headers,
                        key_unit.count,
                        event.seqnum(),
                    );
                    return true;
                }
            }
            _ => (),
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let Ok(key_unit) = gst_video::UpstreamForceKeyUnitEvent::parse(&event) {
            self.request_key(
                key_unit.running_time,
                key_unit.all_headers,
                key_unit.count,
                event.seqnum(),
            );
            return true;
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
        let mut found = self.graph.lock().unwrap();
        if found.as_ref().is_some_and(|(by, _)| *by == settings) {
            return Ok(());
        }
        let graph = settings
            .graph(Role::Encoder)
            .unwrap_or_else(|| tokenizer::embedded_if(Role::Encoder, settings.options.wanted()))?;
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

    /// The format for tokens of `incaps`, with what `outcaps` leave open at its default.
    fn token_format(
        &self,
        graph: &Graph,
        incaps: &gst::CapsRef,
        outcaps: &gst::CapsRef,
    ) -> Result<(TokenFormat, StreamFormat), RuntimeError> {
        let fail = |error: &dyn std::fmt::Display| RuntimeError::Graph(error.to_string());
        let chosen = |field| outcaps.structure(0).and_then(|s| first_text(s, field));
        let raw = chosen("stream-format").as_deref() == Some(StreamFormat::Raw.as_str());
        let token_type = chosen("token-type").and_then(|name| TokenType::parse(&name));
        let set = self.settings.lock().unwrap().token_type.token_type();
        let token_type = token_type
            .or(set)
            .unwrap_or_else(|| TokenType::default_for(&graph.description.regularizer));
        let caps = incaps.to_owned();
        let video = gst_video::VideoInfo::from_caps(&caps).map_err(|e| fail(&e))?;
        let format = token_format(&video, incaps, &graph.description, token_type);
        format.check().map_err(|e| fail(&e))?;
        Ok((format, if raw { StreamFormat::Raw } else { StreamFormat::Framed }))
    }

    fn open(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<Stream, RuntimeError> {
        let settings = self.settings.lock().unwrap().clone();
        let graph = self.graph.lock().unwrap().clone().map(|(_, graph)| graph);
        let graph = graph.ok_or_else(|| RuntimeError::Graph("the element is not in READY".into()))?;
        let (format, stream_format) = self.token_format(&graph, incaps, outcaps)?;
        let sampler = match settings.latent {
            Latent::Mean => None,
            Latent::Sample if graph.description.regularizer.codebook_size().is_some() => {
                return Err(RuntimeError::Graph(format!(
                    "latent=sample is for KL tokenizers: \"{}\" has an FSQ codebook, whose tokens are no distribution",
                    graph.description.name
                )));
            }
            Latent::Sample => Some(Sampler::new(settings.seed)),
        };
        let key_interval = settings.key_interval.into();
        Stream::new(
            &graph,
            settings.network.options,
            format,
            stream_format,
            key_interval,
            sampler,
            &BusReport(self.obj().upcast_ref()),
        )
    }

    /// Publishes what is known from the caps on: statistics, latency, and the shape of raw tokens.
    fn announce(&self, stream: &Stream, outcaps: &gst::Caps) {
        let format = stream.format();
        let step_frames = stream.step_frames() as u64;
        let frame = frames_to_time(1, format.framerate).map(gst::ClockTime::from_nseconds);
        let warnings = {
            let mut shared = self.shared.lock().unwrap();
            shared.latency = Latency { step_frames, frame };
            shared.stats.describe(format, stream.running())
        };
        for text in warnings {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{text}"));
        }
        let _ = self
            .obj()
            .post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        let provider = stream.running().provider.name();
        gst::info!(CAT, imp = self, "Running on {provider}, giving {outcaps}");
        if outcaps
            .structure(0)
            .is_some_and(|s| s.get::<&str>("stream-format") == Ok("raw"))
        {
            gst::element_imp_info!(
                self,
                gst::StreamError::Format,
                (
                    "Raw tokens of \"{}\", little endian, shape {}",
                    format.model,
                    shape(format)
                )
            );
        }
    }

    fn reset(&self) {
        let start = self.segment_start();
        let mut state = self.state.lock().unwrap();
        state.output = None;
        state.last_pts = None;
        if let Some((_, stream)) = &mut state.stream {
            stream.reset(start);
        }
        self.shared.lock().unwrap().key_requests.clear();
    }

    /// Where PTS are counted from that no buffer carries.
    fn segment_start(&self) -> u64 {
        let segment = self.obj().segment();
        segment
            .downcast_ref::<gst::ClockTime>()
            .and_then(|s| s.start())
            .map_or(0, |start| start.nseconds())
    }

    fn request_key(&self, running_time: Option<gst::ClockTime>, all_headers: bool, count: u32, seqnum: gst::Seqnum) {
        gst::debug!(CAT, imp = self, "Key unit requested at running time {running_time:?}");
        self.shared.lock().unwrap().key_requests.push(KeyRequest {
            running_time,
            all_headers,
            count,
            seqnum,
        });
    }

    /// Whether a frame at `running_time` meets a request for a segment start.
    fn key_requested_at(&self, running_time: Option<gst::ClockTime>) -> bool {
        let shared = self.shared.lock().unwrap();
        shared
            .key_requests
            .iter()
            .any(|request| request.is_met_at(running_time))
    }

    /// Says downstream that the segment start it asked for comes next.
    fn answer_key_requests(&self, pts: Option<gst::ClockTime>) {
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let running_time = segment.and_then(|segment| segment.to_running_time(pts));
        let stream_time = segment.and_then(|segment| segment.to_stream_time(pts));
        let answered: Vec<KeyRequest> = {
            let requests = &mut self.shared.lock().unwrap().key_requests;
            let (met, open) = requests.drain(..).partition(|request| request.is_met_at(running_time));
            *requests = open;
            met
        };
        for request in answered {
            let event = gst_video::DownstreamForceKeyUnitEvent::builder()
                .timestamp(pts)
                .stream_time(stream_time)
                .running_time(running_time)
                .all_headers(request.all_headers)
                .count(request.count)
                .seqnum(request.seqnum)
                .build();
            self.obj().src_pad().push_event(event);
        }
    }

    fn encode(&self, state: &mut State, inbuf: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let State { stream, .. } = state;
        let (_, stream) = stream.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        stream.set_key_interval(self.settings.lock().unwrap().key_interval.into());
        let nanoseconds = |time: Option<gst::ClockTime>| time.map(|time| time.nseconds());
        let time = stream.frame_time(nanoseconds(inbuf.pts()), nanoseconds(inbuf.duration()));
        let Some(time) = time else {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                ("A frame has no timestamp, and there is no framerate to count one from: set one with videorate or caps")
            );
            return Err(gst::FlowError::Error);
        };
        let pts = gst::ClockTime::from_nseconds(time.pts);
        let segment = self.obj().segment();
        let running_time = segment
            .downcast_ref::<gst::ClockTime>()
            .and_then(|s| s.to_running_time(pts));
        if stream.filled() == 0 && self.is_too_late(running_time, inbuf) {
            return Ok(gst::FlowSuccess::Ok);
        }
        // Constant in a playback segment, whose end drains the group under way.
        let stream_time = segment
            .downcast_ref::<gst::ClockTime>()
            .and_then(|s| s.to_stream_time(pts));
        if let Some(stream_time) = stream_time {
            stream.set_stream_time(stream_time.nseconds() as i64 - pts.nseconds() as i64);
        }
        if stream.goes_back(time.pts) {
            gst::warning!(CAT, imp = self, "Time goes back to {pts}: starting a new segment");
            self.drain(state, false);
        } else if self.key_requested_at(running_time) {
            stream.finish_after_group();
        }
        let State {
            stream,
            output,
            discont,
            last_pts,
        } = state;
        let (video, stream) = stream.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(inbuf, video).map_err(|_| {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                (
                    "A frame of {} bytes is not a picture of the size that the caps say",
                    inbuf.size()
                )
            );
            gst::FlowError::Error
        })?;
        self.measure_latency(last_pts.replace(pts), pts);
        let encoded = stream.push(&frame, time).map_err(|error| {
            self.post_error_message(error_message(&error));
            gst::FlowError::Error
        })?;
        if let Some(encoded) = encoded {
            let mut buffer = self.account(encoded);
            if std::mem::take(discont) {
                buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
            }
            *output = Some(buffer);
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// Ends the segment: pushes the group under way, which then has fewer real frames than it could.
    ///
    /// Pushes by itself, because the base class would mark the tail as what comes after it.
    fn drain(&self, state: &mut State, end_of_stream: bool) {
        let Some((_, stream)) = &mut state.stream else { return };
        let buffer = match stream.finish(end_of_stream) {
            Ok(Some(encoded)) => self.account(encoded),
            Ok(None) => return,
            Err(error) => return self.post_error_message(error_message(&error)),
        };
        // An error downstream shows again at the next buffer, and was posted by whoever had it.
        if let Err(error) = self.obj().src_pad().push(buffer) {
            gst::debug!(CAT, imp = self, "The last group of a segment was not taken: {error}");
        }
    }

    /// Without a framerate, the distance of two frames tells how long a group takes to fill.
    fn measure_latency(&self, last: Option<gst::ClockTime>, pts: gst::ClockTime) {
        let Some(distance) = last.and_then(|last| pts.checked_sub(last)).filter(|d| !d.is_zero()) else {
            return;
        };
        let latency = &mut self.shared.lock().unwrap().latency;
        if latency.frame.is_none() {
            latency.frame = Some(distance);
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            let _ = self.obj().post_message(message);
        }
    }

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
        let (Ok(allowed), Some(due), Some(now)) =
            (u64::try_from(allowed), running_time, self.obj().current_running_time())
        else {
            return false;
        };
        if now <= due + gst::ClockTime::from_nseconds(allowed) {
            return false;
        }
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
            .values((now - due).nseconds() as i64, 0.0, 1_000_000)
            .stats(count(processed), count(dropped))
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
        true
    }
}

impl KeyRequest {
    fn is_met_at(&self, running_time: Option<gst::ClockTime>) -> bool {
        self.running_time
            .is_none_or(|wanted| running_time.is_some_and(|now| now >= wanted))
    }
}

/// A text field of caps, or the first of those that it may be.
fn first_text(s: &gst::StructureRef, field: &str) -> Option<String> {
    let list = || s.get::<gst::List>(field).ok()?.first()?.get().ok();
    s.get(field).ok().or_else(list)
}
