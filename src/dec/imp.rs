//! # vidtokdec
//!
//! Turns VidTok tokens back into RGB video with an ONNX graph that ONNX Runtime runs.
//!
//! ```text
//! gst-launch-1.0 filesrc location=out.vidtok ! decodebin ! videoconvert ! autovideosink
//! ```
//!
//! Takes `framed` and `raw` tokens (`docs/raw.md`). Unless `model` is set, the tokenizer is the one whose digest the
//! caps carry: the embedded one, or a folder on the search path. Every real frame comes out once, at the time it went
//! in; padding at the end of a segment does not. After a flush, and in the middle of a segment, the decoder waits for a
//! segment start.
//!
//! Where packets are missing, damaged, doubled or of another stream, it warns once, counts a gap (`gaps` in `stats`),
//! and does what the property `on-loss` says: `wait` shows nothing up to the next segment start; `continue` decodes on,
//! and its pictures have the flag CORRUPTED up to there (`uncertain-frames`).
//!
//! A decoder that is too slow heeds its sink's QoS events (property `qos`, on unless told otherwise): once it is more
//! than a segment late, it leaves out what comes before the next segment start that is due, counts it (`dropped` in
//! `stats`), and posts QoS messages. From then on it decodes only segments whose pictures all come in time. For that it
//! decodes ahead, so a slow decoder needs a queue behind it that holds a segment's pictures: without one, little more
//! than the first of them is shown. Where segments are not short (`key-interval` of `vidtokenc`), or the stream is one
//! segment, no start is to be expected, and it decodes on, late.
//!
//! A flush and going to READY end the step under way at its next operator. On two busy cores, of the built-in
//! tokenizer, that took at most 3 ms at 256×256 pixels, 30 ms at 640×640, 150 ms at 1280×1280 and 600 ms at 2048×2048,
//! of the encoder no longer. Making a network for new caps is not ended: that took 0.05, 0.1, 0.2 and 1 s.
//!
//! `max-pixels` bounds the picture, and so the memory, that a stream may ask for. Steps that no picture needs are not
//! made, and tokens are unpacked step by step, so that what a packet takes is bounded by its size.
//!
//! Latency in frames: delay + step, where the delay is the decoder's look-ahead (0, or f - 1 for time factor f), and a
//! step (f; non-causal: the window) is allowed for the network's own time. A causal tokenizer with f = 4 and look-ahead
//! has 7 frames, 233 ms at 30 frames a second; the built-in one, which looks ahead at nothing, 4. With `batch-streams`,
//! a step may wait for those of other streams: `batch-timeout` is added.

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;

use super::decoder::{Decoder, StepError, frame_duration};
use super::input::{InputError, InputReader, Item};
use super::loss::{LossCounts, Verdict};
use super::pair::{Found, Pair};
use super::picture::clip;
use super::qos::Lateness;
use super::settings::Settings;
use crate::caps::{DEFAULT_FRAMERATE, input_template};
use crate::element::negotiation::{tokens_of, video_of, video_template};
use crate::element::{BusReport, NetworkSettings, Stats, error_message, pad_templates};
use crate::format::Fraction;
use crate::runtime::{self, Cancel, RuntimeError};
use crate::tokenizer::{Graph, Role};

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokdec", gst::DebugColorFlags::empty(), Some("VidTok decoder")));

/// What the streaming thread works on.
#[derive(Default)]
enum State {
    /// No caps yet.
    #[default]
    Closed,
    Open(Box<Open>),
    /// The caps' tokens cannot be decoded: said when the first buffer comes. A bin that plugs elements would take an
    /// error while it hands over the caps for one of choosing, and tell its user of a missing plugin.
    Failed(RuntimeError),
}

struct Open {
    reader: InputReader,
    decoder: Decoder,
}

/// Locks are taken in the order of the fields. Only `state` is held while the network runs or a buffer is pushed:
/// nothing but the streaming thread takes it.
#[derive(Default)]
pub struct VidtokDec {
    state: Mutex<State>,
    pub(super) settings: Mutex<Settings>,
    /// The graph that the property `model` names, if it names one, and the settings that it was found by. Set in READY
    /// and above.
    graph: Mutex<Option<(NetworkSettings, Option<Graph>)>>,
    /// The graph that was looked up for the stream under way.
    found: Mutex<Found>,
    pub(super) stats: Mutex<Stats>,
    pub(super) loss: Mutex<LossCounts>,
    /// 0 until it is known.
    pub(super) latency: Mutex<gst::ClockTime>,
    pub(super) lateness: Mutex<Lateness>,
    /// Ends the step under way.
    cancel: Cancel,
}

#[glib::object_subclass]
impl ObjectSubclass for VidtokDec {
    const NAME: &'static str = "GstVidtokDec";
    type Type = super::VidtokDec;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for VidtokDec {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::properties);
        &PROPERTIES
    }

    fn constructed(&self) {
        self.parent_constructed();
        // As other decoders have it; the base class's property is off.
        self.obj().set_property("qos", true);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.settings.lock().unwrap().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                let mut stats = self.stats.lock().unwrap().to_structure("application/x-vidtokdec-stats");
                self.loss.lock().unwrap().add_to(&mut stats);
                stats.to_value()
            }
            name => self
                .settings
                .lock()
                .unwrap()
                .get(name)
                .unwrap_or_else(|| pspec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for VidtokDec {}

impl ElementImpl for VidtokDec {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "VidTok decoder",
                "Codec/Decoder/Video",
                "Turns VidTok tokens into video",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
            LazyLock::new(|| pad_templates(&input_template(), &video_template()));
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        use gst::StateChange::{NullToReady, PausedToReady, ReadyToPaused};
        if matches!(transition, NullToReady | ReadyToPaused)
            && let Err(error) = self.prepare()
        {
            // Before anything flows: a wrong model or a missing library is said at once; to the user of a bin that
            // plugs elements later, see `State::Failed`.
            if !self.is_autoplugged() {
                self.post_error_message(error_message(&error));
                return Err(gst::StateChangeError);
            }
        }
        match transition {
            ReadyToPaused => self.cancel.start(),
            // The base class then waits for the streaming thread.
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

impl BaseTransformImpl for VidtokDec {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().unwrap() = State::Closed;
        *self.found.lock().unwrap() = Found::default();
        *self.latency.lock().unwrap() = gst::ClockTime::ZERO;
        self.lateness.lock().unwrap().reset();
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let other = match direction {
            gst::PadDirection::Sink => video_of(caps),
            _ => tokens_of(caps, None),
        };
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
            None => other,
        })
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, mut othercaps: gst::Caps) -> gst::Caps {
        if direction == gst::PadDirection::Sink && !has_framerate(caps) {
            othercaps.truncate();
            let Fraction { num, den } = DEFAULT_FRAMERATE;
            if let Some(video) = othercaps.make_mut().structure_mut(0) {
                video.fixate_field_nearest_fraction("framerate", gst::Fraction::new(num as i32, den as i32));
            }
        }
        self.parent_fixate_caps(direction, caps, othercaps)
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        self.drain_if_open();
        let mut state = self.state.lock().unwrap();
        let (reader, decoder) = match std::mem::take(&mut *state) {
            State::Open(open) => (Some(open.reader), Some(open.decoder)),
            _ => (None, None),
        };
        let video = gst_video::VideoInfo::from_caps(outcaps)?;
        *state = match self.open(incaps, video, decoder) {
            Ok(mut open) => {
                if let Some(reader) = reader {
                    open.reader.follow(reader);
                }
                self.announce(&open.decoder);
                State::Open(Box::new(open))
            }
            Err(error) => State::Failed(error),
        };
        Ok(())
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if let (gst::PadDirection::Src, gst::QueryViewMut::Latency(query)) = (direction, query.view_mut()) {
            let (live, min, max) = query.result();
            let batch = self.settings.lock().unwrap().network.batch_latency();
            let own = self.latency.lock().unwrap().saturating_add(batch);
            query.set(live, min.saturating_add(own), max.map(|max| max.saturating_add(own)));
        }
        true
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        match event.view() {
            EventView::Eos(_) | EventView::Segment(_) | EventView::StreamStart(_) => self.drain_if_open(),
            EventView::FlushStart(_) => self.cancel.cancel(),
            EventView::FlushStop(_) => {
                if let State::Open(open) = &mut *self.state.lock().unwrap() {
                    open.reader.reset();
                    open.decoder.reset();
                }
                self.cancel.reset();
            }
            _ => (),
        }
        if matches!(event.view(), EventView::Segment(_) | EventView::FlushStop(_)) {
            self.lateness.lock().unwrap().reset();
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Seek(seek) if seek.get().0 < 0.0 => {
                gst::warning!(
                    CAT,
                    imp = self,
                    "Tokens cannot be played backwards: refusing a seek with a negative rate"
                );
                return false;
            }
            gst::EventView::Qos(qos) if self.heeds_qos() => {
                let (_, _, jitter, time) = qos.get();
                if let Some(time) = time {
                    let now = self.running_time();
                    self.lateness.lock().unwrap().report(time.nseconds(), jitter, now);
                }
            }
            _ => (),
        }
        self.parent_src_event(event)
    }

    fn submit_input_buffer(&self, _is_discont: bool, inbuf: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut state = self.state.lock().unwrap();
        let Open { reader, decoder } = match &mut *state {
            State::Open(open) => &mut **open,
            State::Failed(error) => {
                self.post_error_message(error_message(error));
                return Err(gst::FlowError::NotNegotiated);
            }
            State::Closed => {
                self.tell_of_missing_caps();
                return Err(gst::FlowError::NotNegotiated);
            }
        };
        let read = reader.read(&inbuf);
        if let Some(text) = read.warning {
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
        }
        self.stats.lock().unwrap().bytes += inbuf.size() as u64;
        for item in read.items {
            match item {
                Item::Packet(input) => self.take(decoder, input)?,
                Item::End(hole) => {
                    self.tell_of(hole.as_ref(), false, Verdict::Decode);
                    decoder.end_segment();
                }
            }
        }
        match read.error {
            None => Ok(gst::FlowSuccess::Ok),
            Some(InputError::Damaged { text, was_told }) => {
                self.stats.lock().unwrap().dropped += 1;
                if was_told {
                    gst::debug!(CAT, imp = self, "{text}: it is left out, too");
                } else {
                    self.loss.lock().unwrap().gaps += 1;
                    gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}: it is left out"));
                }
                Ok(gst::FlowSuccess::Ok)
            }
            Some(InputError::Refused(error)) => {
                gst::element_imp_error!(self, gst::StreamError::Decode, ("{error}"));
                Err(gst::FlowError::Error)
            }
        }
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let mut state = self.state.lock().unwrap();
        let State::Open(open) = &mut *state else {
            return Ok(GenerateOutputSuccess::NoOutput);
        };
        let picture = self.next_picture(&mut open.decoder);
        let picture = picture.map_err(|error| self.fail(&error))?;
        // Never `Dropped`: that would mark the next output as a discontinuity.
        Ok(picture.map_or(GenerateOutputSuccess::NoOutput, GenerateOutputSuccess::Buffer))
    }
}

impl VidtokDec {
    /// Loads ONNX Runtime and finds the graph, if one is named.
    fn prepare(&self) -> Result<(), RuntimeError> {
        let settings = self.settings.lock().unwrap().network.clone();
        let mut found = self.graph.lock().unwrap();
        if found.as_ref().is_some_and(|(by, _)| *by == settings) {
            return Ok(());
        }
        let graph = settings.graph(Role::Decoder).transpose()?;
        runtime::load()?;
        *found = Some((settings, graph));
        *self.stats.lock().unwrap() = Stats::default();
        *self.loss.lock().unwrap() = LossCounts::default();
        Ok(())
    }

    /// Whether a bin that chooses among elements has made this one, and hides the errors of those that it does not
    /// take.
    fn is_autoplugged(&self) -> bool {
        let bin = self.obj().parent().and_downcast::<gst::Element>();
        let class = bin.and_then(|bin| bin.factory()?.metadata(gst::ELEMENT_METADATA_KLASS).map(str::to_string));
        class.is_some_and(|class| class.contains("Bin") && class.contains("Decoder"))
    }

    /// `before`: the stream before, whose network goes on where it can.
    fn open(
        &self,
        incaps: &gst::Caps,
        video: gst_video::VideoInfo,
        before: Option<Decoder>,
    ) -> Result<Open, RuntimeError> {
        self.prepare()?;
        let settings = self.settings.lock().unwrap().clone();
        let options = settings.network.options;
        let named = self.graph.lock().unwrap().clone().and_then(|(_, graph)| graph);
        let Pair {
            mut format,
            stream_format,
            graph,
        } = Pair::new(incaps, named, options.variant(), &mut self.found.lock().unwrap())?;
        settings
            .check_size(&format)
            .map_err(|text| RuntimeError::Settings(text.into()))?;
        let framerate_is_assumed = !has_framerate(incaps);
        if framerate_is_assumed {
            let fps = video.fps();
            format.framerate = Fraction::new(fps.numer().max(0) as u32, fps.denom().max(1) as u32);
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "The caps of the tokens have no framerate: {} is taken. Add framerate=N/D where it is another",
                    format.framerate
                )
            );
        }
        gst::info!(
            CAT,
            imp = self,
            "Tokenizer \"{}\", {}",
            graph.description.name,
            graph.location()
        );
        let reader = InputReader::new(format.clone(), stream_format, framerate_is_assumed);
        let decoder = match before {
            Some(mut decoder) if decoder.decodes(&graph, options, &format) => {
                decoder.set_format(format, video);
                decoder
            }
            before => {
                // The network is gone before the next one comes.
                drop(before);
                let element = self.obj();
                let report = BusReport(element.upcast_ref());
                Decoder::new(&graph, options, format, video, self.cancel.clone(), &report)?
            }
        };
        Ok(Open { reader, decoder })
    }

    /// The base class has the property, but does nothing about it where an element takes buffers by itself.
    pub(super) fn heeds_qos(&self) -> bool {
        self.obj().property("qos")
    }

    /// Without caps the base class says "internal data stream error".
    fn tell_of_missing_caps(&self) {
        if self.obj().sink_pad().current_caps().is_none() {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("Bytes came without caps: put vidtokparse (or decodebin) in front of vidtokdec")
            );
        }
    }

    /// Publishes what is known from the caps on: statistics and latency.
    fn announce(&self, decoder: &Decoder) {
        gst::info!(CAT, imp = self, "Running on {}", decoder.running().provider.name());
        let warnings = self.stats.lock().unwrap().describe(decoder.format(), decoder.running());
        for text in warnings {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{text}"));
        }
        *self.latency.lock().unwrap() = gst::ClockTime::ZERO;
        if let Some(frame) = frame_duration(decoder.format().framerate) {
            self.set_latency(decoder, frame);
        }
    }

    /// What the decoder looks ahead, and a step's frames for the network. `frame`: how long a frame lasts.
    pub(super) fn set_latency(&self, decoder: &Decoder, frame: gst::ClockTime) {
        let (step, delay) = decoder.step_and_delay();
        *self.latency.lock().unwrap() = frame.saturating_mul((step + delay) as u64);
        let message = gst::message::Latency::builder().src(&*self.obj()).build();
        let _ = self.obj().post_message(message);
    }

    /// The next picture that lies in the playback segment.
    fn next_picture(&self, decoder: &mut Decoder) -> Result<Option<gst::Buffer>, StepError> {
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let on_step = |elapsed, streams| self.stats.lock().unwrap().step(elapsed, streams);
        while let Some(picture) = decoder.next_picture(on_step)? {
            let clipped = match segment {
                Some(segment) => clip(picture, segment),
                None => Some(picture),
            };
            if let Some(picture) = clipped {
                let uncertain = picture.flags().contains(gst::BufferFlags::CORRUPTED);
                self.loss.lock().unwrap().uncertain_frames += u64::from(uncertain);
                self.stats.lock().unwrap().frames += 1;
                return Ok(Some(picture));
            }
        }
        Ok(None)
    }

    /// Says why there is no next picture, unless it was cancelled.
    fn fail(&self, error: &StepError) -> gst::FlowError {
        match error {
            StepError::Runtime(RuntimeError::Cancelled) => return gst::FlowError::Flushing,
            StepError::Runtime(error) => self.post_error_message(error_message(error)),
            StepError::Tokens(error) => gst::element_imp_error!(self, gst::StreamError::Decode, ("{error}")),
        }
        gst::FlowError::Error
    }

    /// Ends the segment and pushes every frame still owed. By itself, because no buffer will come to ask for them.
    pub(super) fn drain(&self, decoder: &mut Decoder) {
        decoder.end_segment();
        loop {
            match self.next_picture(decoder) {
                Ok(Some(picture)) => {
                    // An error downstream shows again at the next buffer, and was posted by whoever had it.
                    if let Err(error) = self.obj().src_pad().push(picture) {
                        gst::debug!(CAT, imp = self, "The last frames of a segment were not taken: {error}");
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let _ = self.fail(&error);
                    return;
                }
            }
        }
    }

    fn drain_if_open(&self) {
        if let State::Open(open) = &mut *self.state.lock().unwrap() {
            self.drain(&mut open.decoder);
        }
    }
}

fn has_framerate(caps: &gst::CapsRef) -> bool {
    caps.structure(0).is_some_and(|s| s.has_field("framerate"))
}
