//! What `vidtokenc` and `vidtokdec` do alike, as both run a network: READY, properties, latency, statistics, errors.

use std::sync::{Mutex, MutexGuard};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;

use super::latency::{DEADLINE_PROPERTY, ElementLatency, Latency};
use super::{NetworkSettings, Stats, error_message};
use crate::format::{Fraction, TokenFormat};
use crate::runtime::{self, Cancel, Running, RuntimeError};
use crate::system::lock::lock;
use crate::timeline::frames_to_time;
use crate::tokenizer::{Graph, Role};

/// What `vidtokenc` and `vidtokdec` both keep.
#[derive(Default)]
pub struct NetworkState {
    /// What [`NetworkSettings::graph`] has found, and the settings that named it. Set in READY and above.
    found: Mutex<Option<(NetworkSettings, Option<Graph>)>>,
    pub stats: Mutex<Stats>,
    /// What the latency follows from. Forgotten in READY.
    pub latency: Mutex<Latency>,
    /// Ends the network's steps when their results are no longer needed.
    pub cancel: Cancel,
}

impl NetworkState {
    /// The graph for the element's settings; `None` below READY, and where the stream names its tokenizer.
    pub fn graph(&self) -> Option<Graph> {
        lock(&self.found).as_ref().and_then(|(_, graph)| graph.clone())
    }
}

/// The properties of an element that runs a network.
pub trait Settings {
    fn network(&self) -> &NetworkSettings;

    /// Sets the property `name`. GObject has checked that it exists and that the value fits it.
    fn set(&mut self, name: &str, value: &glib::Value);

    /// The value of the property `name`; `None` where the element has no such setting.
    fn get(&self, name: &str) -> Option<glib::Value>;

    /// What a step of the network may take; `None`: as measured.
    fn processing_deadline(&self) -> Option<gst::ClockTime>;

    /// Checks what GObject cannot check.
    fn check(&self) -> Result<(), RuntimeError> {
        Ok(())
    }
}

/// An element that runs a network. The provided methods are what `vidtokenc` and `vidtokdec` do alike.
pub trait NetworkElement: BaseTransformImpl {
    type Settings: Settings;
    const ROLE: Role;

    fn category() -> gst::DebugCategory;

    fn settings(&self) -> MutexGuard<'_, Self::Settings>;

    fn network(&self) -> &NetworkState;

    /// The value of the property `stats`.
    fn stats(&self) -> gst::Structure;

    /// What both elements have in `stats`, as a structure of this name.
    fn common_stats(&self, name: &str) -> gst::Structure {
        let latency = self.latency();
        lock(&self.network().stats).to_structure(name, latency)
    }

    /// Loads ONNX Runtime and finds the graph that the settings name. Statistics then begin at zero. Returns false, and
    /// does nothing, where the settings have not changed since the last time.
    fn find_graph(&self) -> Result<bool, RuntimeError> {
        self.settings().check()?;
        let settings = self.settings().network().clone();
        let state = self.network();
        let mut found = lock(&state.found);
        if found.as_ref().is_some_and(|(by, _)| *by == settings) {
            return Ok(false);
        }
        let graph = settings.graph(Self::ROLE)?;
        runtime::load()?;
        *found = Some((settings, graph));
        *lock(&state.stats) = Stats::default();
        Ok(true)
    }

    fn log_tokenizer(&self, graph: &Graph) {
        gst::info!(
            Self::category(),
            imp = self,
            "Tokenizer \"{}\", {}",
            graph.description.name,
            graph.location()
        );
    }

    /// Changes the state. `prepare` runs before any data flows, so that a wrong model or a missing library is an error
    /// at once.
    fn change_network_state(
        &self,
        transition: gst::StateChange,
        prepare: impl FnOnce() -> Result<(), RuntimeError>,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        use gst::StateChange::{NullToReady, PausedToReady, ReadyToNull, ReadyToPaused};
        if matches!(transition, NullToReady | ReadyToPaused) {
            prepare().map_err(|error| {
                self.post_error_message(error_message(&error));
                gst::StateChangeError
            })?;
        }
        match transition {
            ReadyToPaused => self.network().cancel.start(),
            // The base class waits for the streaming thread, and so for the current step.
            PausedToReady => self.network().cancel.stop(),
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        if transition == ReadyToNull {
            *lock(&self.network().found) = None;
        }
        Ok(success)
    }

    /// Sets the property of `pspec`.
    fn set_network_property(&self, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.settings().set(pspec.name(), value);
        if pspec.name() == DEADLINE_PROPERTY {
            self.post_latency();
        }
    }

    fn network_property(&self, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            Stats::PROPERTY => self.stats().to_value(),
            name => {
                let value = self.settings().get(name);
                value.unwrap_or_else(|| pspec.default_value().clone())
            }
        }
    }

    /// Answers a query as the base class does, and adds the element's own latency.
    fn answer(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if let (gst::PadDirection::Src, gst::QueryViewMut::Latency(query)) = (direction, query.view_mut()) {
            let (live, min, max) = query.result();
            let own = self.latency();
            query.set(live, min.saturating_add(own), max.map(|max| max.saturating_add(own)));
        }
        true
    }

    /// Whether an event asks to play backwards, which is refused: a network runs forwards only.
    fn refuses(&self, event: &gst::Event) -> bool {
        let gst::EventView::Seek(seek) = event.view() else {
            return false;
        };
        let is_reverse = seek.get().0 < 0.0;
        if is_reverse {
            gst::warning!(
                Self::category(),
                imp = self,
                "A network cannot run backwards: refusing a seek with a negative rate"
            );
        }
        is_reverse
    }

    /// Publishes what runs the network, once caps are known: in the log, in the statistics, and as warnings.
    fn announce_network(&self, format: &TokenFormat, running: &Running) {
        gst::info!(Self::category(), imp = self, "Running on {}", running.provider.name());
        let warnings = lock(&self.network().stats).describe(format, running);
        for text in warnings {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{text}"));
        }
    }

    /// Posts why a step failed, unless it was cancelled: then the pad is flushing.
    fn step_failed(&self, error: &RuntimeError) -> gst::FlowError {
        if matches!(error, RuntimeError::Cancelled) {
            return gst::FlowError::Flushing;
        }
        self.post_error_message(error_message(error));
        gst::FlowError::Error
    }

    /// Pushes what a segment still owes. Not through the base class: it asks for output only when a buffer comes, and
    /// sets DISCONT on the first output behind a discontinuity, while this buffer belongs in front of it.
    fn push_owed(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        // An error downstream was posted where it happened, and shows again at the next buffer.
        self.obj().src_pad().push(buffer).inspect_err(|error| {
            gst::debug!(
                Self::category(),
                imp = self,
                "The end of a segment was not taken: {error}"
            );
        })
    }
}

/// How long a frame of `framerate` lasts; `None` without a framerate.
pub fn frame_duration(framerate: Fraction) -> Option<gst::ClockTime> {
    frames_to_time(1, framerate).map(gst::ClockTime::from_nseconds)
}

/// `buffer` as the base class takes it from `generate_output`.
pub fn output(buffer: Option<gst::Buffer>) -> GenerateOutputSuccess {
    // Never `Dropped`: the base class would flag the next output as a discontinuity.
    buffer.map_or(GenerateOutputSuccess::NoOutput, GenerateOutputSuccess::Buffer)
}
