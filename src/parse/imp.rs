//! # vidtokparse
//!
//! Cuts the `.vidtok` byte stream into packets, and makes files of it seekable.
//!
//! ```text
//! gst-launch-1.0 filesrc location=in.vidtok ! vidtokparse ! vidtokdec ! videoconvert ! autovideosink
//! ```
//!
//! Output is `framed` (a packet a buffer, a segment's first behind its stream header) unless downstream takes `raw`
//! only. Every buffer has its packet's own PTS and duration; where files were joined and the PTS begins anew, the later
//! part follows on the earlier one.
//!
//! Bare tokens (`stream-format=raw`), as in a file of numbers, are cut into latent frames. Their caps come from a
//! filter in front, and need no more than the tokenizer's name and the video's size:
//!
//! ```text
//! gst-launch-1.0 filesrc location=tokens.u16 ! \
//!     video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width=384,height=288,framerate=30/1 ! \
//!     vidtokparse ! vidtokdec ! videoconvert ! autovideosink
//! ```
//!
//! They are one segment from 0 on, and cannot be sought in.
//!
//! Where upstream is in time and its buffers have PTS, those count instead. Otherwise a stream is played from its
//! first PTS on: the PTS stay, and stream time is 0 there.
//!
//! Damaged bytes are skipped, packets that came twice are left out, and where packets are missing the next buffer has
//! DISCONT. A warning message says so the first time; another sums up at the end, and one says that the stream ends
//! without its end mark. The property `stats` counts.
//!
//! A file is indexed by its packet headers when it is opened. Seeks then begin at the last segment's start at or before
//! the target. A key-unit seek makes that the position, unless the file has no other start than its first: then it is
//! taken as an accurate seek, so that seeking is of use. With TRICKMODE_KEY_UNITS only the packets pass that start a
//! segment. Negative rates are refused.
//!
//! What is pushed (from a server, or out of a queue) has a duration and is sought in where upstream can seek by bytes:
//! the stream's end is read first, and a seek reads here and there until it has found its segment. Such seeks have to
//! flush. It is no use where streams with different headers were joined. What comes through a pipe cannot be sought
//! in.

use std::sync::{LazyLock, Mutex, MutexGuard};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::packets::MIN_FRAME_BYTES;
use super::raw;
use super::state::State;
use crate::caps::packet_template;
use crate::element::pad_templates;
use crate::system::lock::lock;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokparse", gst::DebugColorFlags::empty(), Some("VidTok parser")));

/// The state is not locked while something is pushed or pulled; `seeking` is, and comes first.
#[derive(Default)]
pub struct VidtokParse {
    state: Mutex<State>,
    pub(super) seeking: Mutex<()>,
}

#[glib::object_subclass]
impl ObjectSubclass for VidtokParse {
    const NAME: &'static str = "GstVidtokParse";
    type Type = super::VidtokParse;
    type ParentType = gst_base::BaseParse;
}

impl ObjectImpl for VidtokParse {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| vec![VidtokParse::stats_property()]);
        &PROPERTIES
    }

    fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
        self.stats().to_value()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let parse = self.obj();
        let of = |pad: &gst::Pad| pad.parent().and_downcast::<super::VidtokParse>();
        let pushed = gst::PadProbeType::PUSH | gst::PadProbeType::DATA_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
        parse.sink_pad().add_probe(pushed, move |pad, info| match of(pad) {
            Some(parse) => parse.imp().watch_sink(info),
            None => gst::PadProbeReturn::Ok,
        });
        // The base class would begin every stream at 0.
        parse
            .src_pad()
            .add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
                if let Some(parse) = of(pad) {
                    parse.imp().watch_src(info);
                }
                gst::PadProbeReturn::Ok
            });
    }
}

impl GstObjectImpl for VidtokParse {}

impl ElementImpl for VidtokParse {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "VidTok parser",
                "Codec/Parser/Video",
                "Cuts a VidTok byte stream into packets",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
            LazyLock::new(|| pad_templates(&super::input_caps(), &packet_template()));
        &TEMPLATES
    }
}

impl BaseParseImpl for VidtokParse {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.reset();
        let parse = self.obj();
        parse.set_min_frame_size(MIN_FRAME_BYTES);
        // Every packet says its time; nothing is guessed.
        parse.set_infer_ts(false);
        parse.set_pts_interpolation(false);
        parse.set_duration(gst::ClockTime::NONE, 0);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.reset();
        Ok(())
    }

    fn handle_frame(&self, frame: gst_base::BaseParseFrame) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        let flow = self.take_frame(frame);
        if flow.is_err() {
            self.state().stopped = true;
        }
        flow
    }

    fn set_sink_caps(&self, _caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        self.state().raw = raw::Mode::Unknown;
        Ok(())
    }

    fn pre_push_frame(&self, frame: &mut gst_base::BaseParseFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        // What the base class has put where it had no times is an estimate; but it knows upstream's.
        let (pts, duration) = {
            let mut state = self.state();
            let upstream = frame.buffer().and_then(|buffer| buffer.pts());
            if let (true, Some(own)) = (state.upstream_in_time, state.own_pts.take()) {
                let pts = state.clock.upstream(upstream.map(gst::ClockTime::nseconds), own);
                state.times.0 = pts.map(gst::ClockTime::from_nseconds);
            }
            state.times
        };
        if let Some(buffer) = frame.buffer_mut() {
            buffer.set_pts(pts);
            buffer.set_dts(gst::ClockTime::NONE);
            buffer.set_duration(duration);
        }
        frame.set_flags(gst_base::BaseParseFrameFlags::CLIP);
        Ok(gst::FlowSuccess::Ok)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Segment(segment) => {
                let in_time = segment.segment().format() == gst::Format::Time;
                // What is left of the old segment is parsed with the new timeline otherwise.
                self.obj().drain();
                self.begin_segment(in_time);
            }
            gst::EventView::StreamStart(_) => {
                self.obj().drain();
                self.state().clock.origin = None;
            }
            gst::EventView::FlushStop(_) => {
                let mut state = self.state();
                state.discont = false;
                state.forget_order();
            }
            // The base class would make up caps for it, or take a packet that is not all there yet for cut off.
            gst::EventView::Gap(_) => {
                let state = self.state();
                if state.output.is_none() || state.in_packet {
                    return true;
                }
            }
            _ => (),
        }
        self.parent_sink_event(event)
    }

    fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::AcceptCaps(accept) if raw::accepts(accept.caps()) => {
                accept.set_result(true);
                true
            }
            _ => self.parent_sink_query(query),
        }
    }

    fn src_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Seek(seek) if self.is_pulling() => self.seek_in_file(seek),
            // An upstream that can seek by time knows best.
            gst::EventView::Seek(seek) => {
                (seek.get().0 > 0.0 && self.obj().sink_pad().push_event(event.clone())) || self.seek_remotely(seek)
            }
            _ => self.parent_src_event(event),
        }
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        self.answer(query)
    }
}

impl VidtokParse {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn reset(&self) {
        let mut state = self.state();
        *state = State {
            remote: state.remote.renewed(),
            ..State::default()
        };
    }

    pub(super) fn is_pulling(&self) -> bool {
        self.obj().sink_pad().mode() == gst::PadMode::Pull
    }
}
