//! # vidtokdec
//!
//! Turns VidTok tokens back into RGB video with an ONNX graph that ONNX Runtime runs.
//!
//! ```text
//! gst-launch-1.0 filesrc location=out.vidtok ! decodebin ! videoconvert ! autovideosink
//! ```
//!
//! Takes `framed` and `raw` tokens. Unless `model` is set, the tokenizer is the one whose digest the caps carry: the
//! embedded one, or a folder on the search path. Every real frame comes out once, at the time it went in; padding
//! at the end of a segment does not. After a flush, and after damage, the decoder waits for a segment start.
//!
//! Live, a decoder that looks ahead adds its delay (up to f - 1 frames), and for the network's own time as many
//! frames as a step gives. With `batch-streams`, a step may wait for those of other streams: `batch-timeout` is added.

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;

use super::input::{Input, InputError, InputReader};
use super::stream::{Skipped, Stream, frame_duration};
use crate::caps::packet_template;
use crate::element::{BusReport, NetworkSettings, Stats, error_message, pad_templates};
use crate::format::TokenFormat;
use crate::negotiation::{tokens_of, video_of, video_template};
use crate::runtime::{self, RuntimeError};
use crate::tokenizer::{self, Graph, Role, TokenizerError};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokdec", gst::DebugColorFlags::empty(), Some("VidTok decoder")));

/// What the streaming thread works on. Set when caps are known.
struct State {
    reader: InputReader,
    stream: Stream,
}

/// Locks are taken in the order of the fields. Only `state` is held while the network runs or a buffer is pushed:
/// nothing but the streaming thread takes it.
#[derive(Default)]
pub struct VidtokDec {
    state: Mutex<Option<State>>,
    settings: Mutex<NetworkSettings>,
    /// The graph that the property `model` names, if it names one, and the settings that it was found by. Set in READY
    /// and above.
    graph: Mutex<Option<(NetworkSettings, Option<Graph>)>>,
    stats: Mutex<Stats>,
    /// 0 until it is known.
    latency: Mutex<gst::ClockTime>,
}

#[glib::object_subclass]
impl ObjectSubclass for VidtokDec {
    const NAME: &'static str = "GstVidtokDec";
    type Type = super::VidtokDec;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for VidtokDec {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut properties = NetworkSettings::properties(Role::Decoder);
            properties.push(Stats::property());
            properties
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.settings.lock().unwrap().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self
                .stats
                .lock()
                .unwrap()
                .to_structure("application/x-vidtokdec-stats")
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
            LazyLock::new(|| pad_templates(&packet_template(), &video_template()));
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

impl BaseTransformImpl for VidtokDec {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().unwrap() = None;
        *self.latency.lock().unwrap() = gst::ClockTime::ZERO;
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

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        self.drain();
        let mut state = self.state.lock().unwrap();
        *state = None;
        let video = gst_video::VideoInfo::from_caps(outcaps)?;
        let opened = self.open(incaps, video).map_err(|error| {
            self.post_error_message(error_message(&error));
            gst::loggable_error!(CAT, "{error}")
        })?;
        self.announce(&opened.stream);
        *state = Some(opened);
        Ok(())
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if let (gst::PadDirection::Src, gst::QueryViewMut::Latency(query)) = (direction, query.view_mut()) {
            let (live, min, max) = query.result();
            let batch = self.settings.lock().unwrap().batch_latency();
            let own = *self.latency.lock().unwrap() + batch;
            query.set(live, min + own, max.map(|max| max + own));
        }
        true
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        match event.view() {
            EventView::Eos(_) | EventView::Segment(_) | EventView::StreamStart(_) => self.drain(),
            EventView::FlushStop(_) => {
                if let Some(state) = &mut *self.state.lock().unwrap() {
                    state.stream.reset();
                }
            }
            _ => (),
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Seek(seek) = event.view()
            && seek.get().0 < 0.0
        {
            gst::warning!(
                CAT,
                imp = self,
                "Tokens cannot be played backwards: refusing a seek with a negative rate"
            );
            return false;
        }
        self.parent_src_event(event)
    }

    fn submit_input_buffer(&self, _is_discont: bool, inbuf: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        if inbuf.flags().contains(gst::BufferFlags::DISCONT) {
            self.drain();
        }
        let mut state = self.state.lock().unwrap();
        let State { reader, stream } = state.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        let input = match reader.read(&inbuf) {
            Ok(Some(input)) => input,
            Ok(None) => return Ok(gst::FlowSuccess::Ok),
            Err(InputError::Damaged(text)) => {
                self.stats.lock().unwrap().dropped += 1;
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Decode,
                    ("{text}: it is left out, up to the next segment start")
                );
                stream.end_segment();
                return Ok(gst::FlowSuccess::Ok);
            }
            Err(InputError::Refused(error)) => {
                gst::element_imp_error!(self, gst::StreamError::Decode, ("{error}"));
                return Err(gst::FlowError::Error);
            }
        };
        self.measure_latency(stream, &input);
        let (segment_start, latent_frames) = (input.segment_start, input.latent_frames);
        match stream.push(input) {
            Ok(()) => {
                let mut stats = self.stats.lock().unwrap();
                stats.latent_frames += latent_frames;
                stats.bytes += inbuf.size() as u64;
                stats.segments += u64::from(segment_start);
                Ok(gst::FlowSuccess::Ok)
            }
            Err(Skipped::NoSegmentStart) => {
                self.stats.lock().unwrap().dropped += 1;
                gst::info!(
                    CAT,
                    imp = self,
                    "Waiting for a segment start: leaving out a packet at {:?}",
                    inbuf.pts()
                );
                Ok(gst::FlowSuccess::Ok)
            }
            Err(Skipped::NoTime) => {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    ("Tokens have neither timestamps nor a framerate: frames cannot be given a time")
                );
                Err(gst::FlowError::Error)
            }
        }
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let picture = self.next_picture().map_err(|error| {
            self.post_error_message(error_message(&error));
            gst::FlowError::Error
        })?;
        // Never `Dropped`: that would mark the next output as a discontinuity.
        Ok(picture.map_or(GenerateOutputSuccess::NoOutput, GenerateOutputSuccess::Buffer))
    }
}

impl VidtokDec {
    /// Loads ONNX Runtime and finds the graph, if one is named.
    fn prepare(&self) -> Result<(), RuntimeError> {
        let settings = self.settings.lock().unwrap().clone();
        let mut found = self.graph.lock().unwrap();
        if found.as_ref().is_some_and(|(by, _)| *by == settings) {
            return Ok(());
        }
        let graph = settings.graph(Role::Decoder).transpose()?;
        runtime::load()?;
        *found = Some((settings, graph));
        *self.stats.lock().unwrap() = Stats::default();
        Ok(())
    }

    fn open(&self, incaps: &gst::Caps, video: gst_video::VideoInfo) -> Result<State, RuntimeError> {
        let (format, stream_format) = TokenFormat::from_caps(incaps)
            .map_err(|error| RuntimeError::Graph(format!("these tokens cannot be decoded: {error}")))?;
        let options = self.settings.lock().unwrap().options;
        let named = self.graph.lock().unwrap().clone().and_then(|(_, graph)| graph);
        let graph = match named {
            Some(graph) => graph,
            None => tokenizer::by_digest(&format.tokenizer, &format.model, Role::Decoder, options.wanted())?,
        };
        check_pair(&format, &graph)?;
        gst::info!(
            CAT,
            imp = self,
            "Tokenizer \"{}\", {}",
            graph.description.name,
            graph.location()
        );
        let reader = InputReader::new(format.clone(), stream_format);
        Ok(State {
            reader,
            stream: Stream::new(&graph, options, format, video, &BusReport(self.obj().upcast_ref()))?,
        })
    }

    /// Publishes what is known from the caps on: statistics and latency.
    fn announce(&self, stream: &Stream) {
        gst::info!(CAT, imp = self, "Running on {}", stream.running().provider.name());
        let warnings = self.stats.lock().unwrap().describe(stream.format(), stream.running());
        for text in warnings {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{text}"));
        }
        *self.latency.lock().unwrap() = gst::ClockTime::ZERO;
        if let Some(frame) = frame_duration(stream.format().framerate) {
            self.set_latency(stream, frame);
        }
    }

    /// Without a framerate, the frames of a packet tell how far they are apart.
    fn measure_latency(&self, stream: &Stream, input: &Input) {
        if self.latency.lock().unwrap().is_zero()
            && let Some(frame) = input.frame_distance()
        {
            self.set_latency(stream, gst::ClockTime::from_nseconds(frame));
        }
    }

    /// What the decoder looks ahead, and a step's frames for the network. `frame`: how long a frame lasts.
    fn set_latency(&self, stream: &Stream, frame: gst::ClockTime) {
        let (step, delay) = stream.step_and_delay();
        *self.latency.lock().unwrap() = frame * (step + delay) as u64;
        let message = gst::message::Latency::builder().src(&*self.obj()).build();
        let _ = self.obj().post_message(message);
    }

    /// The next picture that lies in the playback segment.
    fn next_picture(&self) -> Result<Option<gst::Buffer>, RuntimeError> {
        let mut state = self.state.lock().unwrap();
        let Some(State { stream, .. }) = &mut *state else {
            return Ok(None);
        };
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        while let Some(picture) =
            stream.next_picture(|elapsed, streams| self.stats.lock().unwrap().step(elapsed, streams))?
        {
            let clipped = match segment {
                Some(segment) => clip(picture, segment),
                None => Some(picture),
            };
            if let Some(picture) = clipped {
                self.stats.lock().unwrap().frames += 1;
                return Ok(Some(picture));
            }
        }
        Ok(None)
    }

    /// Ends the segment and pushes every frame still owed. By itself, because no buffer will come to ask for them.
    fn drain(&self) {
        if let Some(state) = &mut *self.state.lock().unwrap() {
            state.stream.end_segment();
        }
        loop {
            match self.next_picture() {
                Ok(Some(picture)) => {
                    // An error downstream shows again at the next buffer, and was posted by whoever had it.
                    if let Err(error) = self.obj().src_pad().push(picture) {
                        gst::debug!(CAT, imp = self, "The last frames of a segment were not taken: {error}");
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => return self.post_error_message(error_message(&error)),
            }
        }
    }
}

/// Refuses a decoder that was not made for the tokens: the picture would be noise.
fn check_pair(format: &TokenFormat, graph: &Graph) -> Result<(), RuntimeError> {
    let tokenizer = &graph.description;
    if tokenizer.digest != format.tokenizer {
        let made_by = format.tokenizer.get(..12).unwrap_or(&format.tokenizer);
        return Err(TokenizerError::Invalid(format!(
            "the tokens were made by tokenizer \"{}\" (digest {made_by}…), but {} is \"{}\" (digest {}…): set the property \
             \"model\" to the right one, or leave it unset",
            format.model,
            graph.location(),
            tokenizer.name,
            tokenizer.short_digest()
        ))
        .into());
    }
    let same = tokenizer.regularizer == format.regularizer
        && tokenizer.time_factor == format.time_factor
        && tokenizer.space_factor == format.space_factor
        && tokenizer.causal == format.causal;
    if same {
        Ok(())
    } else {
        let text = format!(
            "the stream contradicts the tokenizer \"{}\", whose digest it carries",
            tokenizer.name
        );
        Err(TokenizerError::Invalid(text).into())
    }
}

/// Cuts a picture's time to the playback segment; `None` where it lies outside.
fn clip(mut picture: gst::Buffer, segment: &gst::FormattedSegment<gst::ClockTime>) -> Option<gst::Buffer> {
    let Some(pts) = picture.pts() else { return Some(picture) };
    let end = picture.duration().map(|duration| pts + duration);
    let (start, stop) = segment.clip(pts, end)?;
    let picture_mut = picture.make_mut();
    picture_mut.set_pts(start);
    if let (Some(start), Some(stop), Some(_)) = (start, stop, end) {
        picture_mut.set_duration(stop.checked_sub(start));
    }
    Some(picture)
}
