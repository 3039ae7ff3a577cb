//! # vidtokparse
//!
//! Cuts the `.vidtok` byte stream into packets, and makes files of it seekable.
//!
//! ```text
//! gst-launch-1.0 filesrc location=in.vidtok ! vidtokparse ! vidtokdec ! videoconvert ! autovideosink
//! ```
//!
//! Output is `framed` unless downstream accepts only `raw`: one packet per buffer, with the stream header in front of
//! the first packet of a segment. Every buffer has the PTS and duration of its packet. If files were joined and PTS
//! start over, the later part follows directly on the earlier one.
//!
//! Bare tokens (`stream-format=raw`), as in a file of numbers, are cut into latent frames. Their caps come from a
//! caps filter in front, and need only the tokenizer's name and the video's size:
//!
//! ```text
//! gst-launch-1.0 filesrc location=tokens.u16 ! \
//!     video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width=384,height=288,framerate=30/1 ! \
//!     vidtokparse ! vidtokdec ! videoconvert ! autovideosink
//! ```
//!
//! They are one segment that starts at 0, and cannot be sought in.
//!
//! If upstream's segment is in time and its buffers have PTS, those PTS are used instead. Otherwise the stream is
//! played from its first PTS: the PTS stay, and stream time is 0 there.
//!
//! Damaged bytes are skipped, and packets that came twice are left out. The first buffer after missing packets has
//! DISCONT. The first loss posts a warning message. At the end, one more warning sums up the others, and one tells if
//! the end mark is missing. The property `stats` has counters.
//!
//! A file is indexed by its packet headers when it is opened. Playback after a seek begins at the last segment start at
//! or before the target. A key-unit seek moves the position there, unless the file has only one segment: then the seek
//! is accurate, as it would otherwise always lead to the beginning. With TRICKMODE_KEY_UNITS, only packets that start a
//! segment are output. Negative rates are refused.
//!
//! Pushed bytes, as from a server or behind a queue, have a duration and can be sought in if upstream can seek by
//! bytes: the parser reads the end of the stream first, and for each seek searches the stream for the segment. Such
//! seeks must have the FLUSH flag. They do not work for streams with different headers that were joined, nor through a
//! pipe.

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

/// `state` is not locked during pushes and pulls. `seeking` is held through a seek; lock it before `state`.
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
        // The base class starts every stream's segment at 0.
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
        // Packets have their own times, so the base class must not estimate any.
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
        // The base class has filled missing times with estimates. If upstream has times, they are in the buffer.
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
                // First finish the old segment: its bytes belong to the old timeline.
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
            // For a gap, the base class would make up caps, or cut off an incomplete packet.
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
            // If upstream can seek by time, it does so.
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
