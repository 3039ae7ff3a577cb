//! `vidtokdec` as GStreamer calls it: properties, states, caps, events, buffers.

use std::sync::{LazyLock, Mutex, MutexGuard};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;

use super::colour::{self, FORMATS, SHARED};
use super::decoder::{Decoder, StepError, StepTime};
use super::graph::FoundGraph;
use super::input::{InputError, InputReader, Item};
use super::lateness::Lateness;
use super::loss::{LossCounts, Verdict};
use super::negotiation::has_framerate;
use super::picture::{PictureMaker, clip};
use super::settings::Settings;
use crate::caps::{DEFAULT_FRAMERATE, input_template};
use crate::element::negotiation::{filtered, tokens_of, video_template};
use crate::element::{self, ElementLatency, NetworkElement, NetworkState, error_message, metadata, pad_templates};
use crate::format::Fraction;
use crate::runtime::RuntimeError;
use crate::system::lock::lock;
use crate::tokenizer::Role;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokdec", gst::DebugColorFlags::empty(), Some("VidTok decoder")));

/// What the streaming thread works on.
#[derive(Default)]
enum State {
    /// No caps yet.
    #[default]
    Closed,
    Open(Box<Open>),
    /// The tokens of the current caps cannot be decoded. The error is posted with the first buffer: a bin that plugs
    /// elements would take an error while it sets caps as a reason to try another element, and would report a missing
    /// plugin.
    Failed(RuntimeError),
}

/// What decodes the tokens of the current caps.
pub(super) struct Open {
    pub(super) reader: InputReader,
    pub(super) decoder: Decoder,
}

/// Locks are taken in the order of the fields; `network` has locks of its own. Only `state` is held while the network
/// runs or a buffer is pushed: only the streaming thread takes it.
#[derive(Default)]
pub struct VidtokDec {
    state: Mutex<State>,
    settings: Mutex<Settings>,
    network: NetworkState,
    /// The graph that was looked up for the current caps.
    pub(super) found: Mutex<FoundGraph>,
    pub(super) loss: Mutex<LossCounts>,
    pub(super) lateness: Mutex<Lateness>,
}

#[glib::object_subclass]
impl ObjectSubclass for VidtokDec {
    const NAME: &'static str = "GstVidtokDec";
    type Type = super::VidtokDec;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for VidtokDec {
    fn properties() -> &'static [glib::ParamSpec] {
        Settings::properties()
    }

    fn constructed(&self) {
        self.parent_constructed();
        // On by default, as in other decoders; the base class has it off.
        self.obj().set_property("qos", true);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.set_network_property(value, pspec);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.network_property(pspec)
    }
}

impl GstObjectImpl for VidtokDec {}

impl ElementImpl for VidtokDec {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            let description = "Turns VidTok tokens into video";
            metadata("VidTok decoder", "Codec/Decoder/Video", description)
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
            LazyLock::new(|| pad_templates(&input_template(), &video_template(&FORMATS)));
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        self.change_network_state(transition, || match self.prepare() {
            // The error is posted with the first buffer: see `State::Failed`.
            Err(_) if self.is_autoplugged() => Ok(()),
            result => result,
        })
    }
}

impl NetworkElement for VidtokDec {
    type Settings = Settings;
    const ROLE: Role = Role::Decoder;

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
        let mut stats = self.common_stats("application/x-vidtokdec-stats");
        lock(&self.loss).add_to(&mut stats);
        stats
    }
}

impl BaseTransformImpl for VidtokDec {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::Closed;
        *lock(&self.found) = FoundGraph::default();
        *lock(&self.network.latency) = element::Latency::default();
        lock(&self.lateness).reset();
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        Some(match direction {
            gst::PadDirection::Sink => colour::only_possible(&filtered(colour::pictures_of(caps), filter), caps),
            _ => filtered(tokens_of(caps, &SHARED, None), filter),
        })
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, mut othercaps: gst::Caps) -> gst::Caps {
        if direction == gst::PadDirection::Sink {
            let possible = colour::only_possible(&othercaps, caps);
            if possible.is_empty() && !othercaps.is_empty() {
                self.report_colorimetry(&othercaps);
            }
            // RGB, wherever it is taken: an element downstream that converts may name another format first.
            let rgb = possible.intersect(&video_template(&[gst_video::VideoFormat::Rgb]));
            othercaps = if rgb.is_empty() { possible } else { rgb };
            othercaps.truncate();
            if let Some(video) = othercaps.make_mut().structure_mut(0) {
                if !has_framerate(caps) {
                    let Fraction { num, den } = DEFAULT_FRAMERATE;
                    video.fixate_field_nearest_fraction("framerate", gst::Fraction::new(num as i32, den as i32));
                }
                colour::choose(video, caps);
            }
        }
        self.parent_fixate_caps(direction, caps, othercaps)
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let maker = PictureMaker::new(gst_video::VideoInfo::from_caps(outcaps)?)
            .ok_or_else(|| gst::loggable_error!(CAT, "Pictures of these caps cannot be made: {outcaps}"))?;
        // The tokens stay, and downstream wants other pictures of them: the segment goes on.
        if self.obj().sink_pad().current_caps().as_ref() == Some(incaps)
            && let State::Open(open) = &mut *lock(&self.state)
        {
            open.decoder.set_maker(maker);
            return Ok(());
        }
        self.drain_if_open();
        let mut state = lock(&self.state);
        let (reader, decoder) = match std::mem::take(&mut *state) {
            State::Open(open) => (Some(open.reader), Some(open.decoder)),
            _ => (None, None),
        };
        *state = match self.open(incaps, maker, decoder) {
            Ok(mut open) => {
                if let Some(reader) = reader {
                    open.reader.follow(reader);
                }
                self.announce_network(open.decoder.format(), open.decoder.running());
                let (step, delay) = open.decoder.segments.step_and_delay();
                let framerate = open.decoder.format().framerate;
                self.set_latency(delay, step, element::frame_duration(framerate));
                State::Open(Box::new(open))
            }
            Err(error) => State::Failed(error),
        };
        Ok(())
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        self.answer(direction, query)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        match event.view() {
            EventView::Eos(_) | EventView::Segment(_) | EventView::StreamStart(_) => self.drain_if_open(),
            EventView::FlushStart(_) => self.network.cancel.cancel(),
            EventView::FlushStop(_) => {
                if let State::Open(open) = &mut *lock(&self.state) {
                    open.reader.reset();
                    open.decoder.reset();
                }
                self.network.cancel.reset();
            }
            _ => (),
        }
        if matches!(event.view(), EventView::Segment(_) | EventView::FlushStop(_)) {
            lock(&self.lateness).reset();
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view()
            && self.may_skip()
            && let (_, _, jitter, Some(time)) = qos.get()
        {
            let now = self.running_time().map(gst::ClockTime::nseconds);
            lock(&self.lateness).report(time.nseconds(), jitter, now);
        }
        !self.refuses(&event) && self.parent_src_event(event)
    }

    fn submit_input_buffer(&self, _is_discont: bool, inbuf: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.follow_downstream()?;
        let mut state = lock(&self.state);
        let Open { reader, decoder } = match &mut *state {
            State::Open(open) => &mut **open,
            State::Failed(error) => {
                self.post_error_message(error_message(error));
                return Err(gst::FlowError::NotNegotiated);
            }
            State::Closed => {
                self.report_missing_caps();
                return Err(gst::FlowError::NotNegotiated);
            }
        };
        let read = reader.read(&inbuf);
        if let Some(text) = read.warning {
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
        }
        lock(&self.network.stats).bytes += inbuf.size() as u64;
        for item in read.items {
            match item {
                Item::Packet(input) => self.take(decoder, input)?,
                Item::End(hole) => {
                    self.report_hole(hole.as_ref(), false, Verdict::Decode);
                    decoder.segments.end();
                }
            }
        }
        match read.error {
            None => Ok(gst::FlowSuccess::Ok),
            Some(InputError::Damaged { text, was_reported }) => {
                lock(&self.network.stats).dropped += 1;
                if was_reported {
                    gst::debug!(CAT, imp = self, "{text}: it is left out, too");
                } else {
                    lock(&self.loss).gaps += 1;
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
        let picture = match &mut *lock(&self.state) {
            State::Open(open) => self.next_picture(&mut open.decoder)?,
            _ => None,
        };
        Ok(element::output(picture))
    }
}

impl VidtokDec {
    /// Negotiates again where downstream has asked for it, as it may want pictures of another format now. The base class
    /// does this in what `submit_input_buffer` replaces.
    fn follow_downstream(&self) -> Result<(), gst::FlowError> {
        let element = self.obj();
        let (source, sink) = (element.src_pad(), element.sink_pad());
        if !source.check_reconfigure() {
            return Ok(());
        }
        let Some(caps) = sink.current_caps() else { return Ok(()) };
        if self.parent_sink_event(gst::event::Caps::new(&caps)) {
            return Ok(());
        }
        source.mark_reconfigure();
        Err(match source.pad_flags().contains(gst::PadFlags::FLUSHING) {
            true => gst::FlowError::Flushing,
            false => gst::FlowError::NotNegotiated,
        })
    }

    pub(super) fn prepare(&self) -> Result<(), RuntimeError> {
        if self.find_graph()? {
            *lock(&self.loss) = LossCounts::default();
        }
        Ok(())
    }

    /// The next picture that lies in the playback segment.
    fn next_picture(&self, decoder: &mut Decoder) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let on_step = |step: StepTime| {
            lock(&self.network.stats).step(step.network, step.members);
            self.observe_step(step.total);
        };
        while let Some(picture) = decoder.next_picture(on_step).map_err(|error| self.failed(&error))? {
            let clipped = match segment {
                Some(segment) => clip(picture, segment),
                None => Some(picture),
            };
            if let Some(picture) = clipped {
                let uncertain = picture.flags().contains(gst::BufferFlags::CORRUPTED);
                lock(&self.loss).uncertain_frames += u64::from(uncertain);
                lock(&self.network.stats).frames += 1;
                self.note_leaving(picture.pts());
                return Ok(Some(picture));
            }
        }
        Ok(None)
    }

    fn failed(&self, error: &StepError) -> gst::FlowError {
        match error {
            StepError::Runtime(error) => self.step_failed(error),
            StepError::Tokens(error) => {
                gst::element_imp_error!(self, gst::StreamError::Decode, ("{error}"));
                gst::FlowError::Error
            }
        }
    }

    /// Ends the segment, and pushes every frame that it still owes. Errors are posted, or come again with the next
    /// buffer.
    pub(super) fn drain(&self, decoder: &mut Decoder) {
        decoder.segments.end();
        while let Ok(Some(picture)) = self.next_picture(decoder) {
            if self.push_owed(picture).is_err() {
                return;
            }
        }
    }

    fn drain_if_open(&self) {
        if let State::Open(open) = &mut *lock(&self.state) {
            self.drain(&mut open.decoder);
        }
    }
}
