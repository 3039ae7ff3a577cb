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

use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::clock::Clock;
use super::framer::{Framer, FramerError, Step};
use super::index::{Index, Start};
use super::losses::Losses;
use super::raw;
use super::remote::Remote;
use super::timeline::Timeline;
use crate::caps::{StreamFormat, packet_template};
use crate::element::pad_templates;
use crate::format::TokenFormat;
use crate::stream::{Continuity, Link, MAX_JSON_BYTES, PacketHeader};

/// Anything that has come is looked at: it tells that a packet has begun.
const MIN_FRAME_BYTES: u32 = 1;
/// Shorter than any stream header or packet. The base class pulls so many bytes at a time.
const MIN_PULLED_BYTES: u32 = 12;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokparse", gst::DebugColorFlags::empty(), Some("VidTok parser")));

#[derive(Default)]
pub(super) struct State {
    pub framer: Framer,
    pub raw: raw::Mode,
    /// Set in pull mode, before the first frame.
    pub index: Option<Arc<Index>>,
    /// Of the file, where there is an index.
    size: u64,
    /// What is known of an upstream that pushes.
    pub remote: Remote,
    /// Of the packets' own times. Begins anew with every segment event, and at a seek as the index says.
    pub timeline: Timeline,
    pub clock: Clock,
    /// Upstream's segment is in time: its times are one timeline already.
    pub upstream_in_time: bool,
    /// What was asked for in the seek before, where bytes are pushed.
    pub key_units: bool,
    /// What the caps on the source pad say. Set when they are known.
    pub output: Option<(TokenFormat, StreamFormat)>,
    /// PTS and duration of the frame that is being finished, and the PTS that its packet says.
    pub times: (Option<gst::ClockTime>, Option<gst::ClockTime>),
    own_pts: Option<Option<u64>>,
    /// The next buffer follows on something that is missing.
    pub discont: bool,
    /// Compares packets since the last seek or the like; `in_order` once there was one.
    pub continuity: Continuity,
    in_order: bool,
    /// The packet that came last says where in its stream it belongs: then that one says where it ends, too.
    pub numbered: bool,
    /// Streaming ended before the stream did, as at a segment's stop or by an error.
    pub stopped: bool,
    /// Part of a packet is there.
    in_packet: bool,
    pub losses: Losses,
}

impl State {
    /// What comes next does not follow on what came before.
    fn forget_order(&mut self) {
        self.continuity.reset();
        (self.in_order, self.numbered, self.stopped) = (false, false, false);
    }

    /// Something was lost in front of what comes next where that is `damaged`. At a `discont` it may have been, but
    /// the first has one, too.
    pub fn note_loss(&mut self, damaged: bool, discont: bool) {
        if damaged || (discont && self.in_order) {
            self.continuity.lost();
        }
    }
}

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
    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
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

    /// Takes what comes next: passes it on, passes over it, or waits for more.
    fn take_frame(&self, frame: gst_base::BaseParseFrame) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        let Some(mut frame) = self.handle_raw(frame)? else {
            return Ok((gst::FlowSuccess::Ok, 0));
        };
        self.make_index()?;
        let parse = self.obj();
        let buffer = frame.buffer().ok_or(gst::FlowError::Error)?;
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        let (offset, at_end) = (frame.offset(), parse.is_draining());
        self.enter(offset)?;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;

        let step = self.state().framer.next(&map, offset, at_end);
        self.state().in_packet = matches!(step, Ok(Step::Wait(_)));
        let passed = match step.map_err(|error| self.fail(&error))? {
            Step::Wait(bytes) => {
                parse.set_min_frame_size(bytes as u32);
                return Ok((gst::FlowSuccess::Ok, 0));
            }
            Step::Drop(bytes) => {
                gst::debug!(CAT, imp = self, "Dropping {bytes} bytes at {offset}");
                bytes
            }
            Step::Lost(packet) => {
                gst::debug!(CAT, imp = self, "Dropping a damaged packet at {offset}");
                self.place(&packet);
                packet.packet_bytes()
            }
            Step::Frame(found) => {
                let damaged = self.tell_of_damage(offset);
                self.negotiate()?;
                self.place(&found.packet);
                if self.passes(&found.packet, offset, damaged, discont) {
                    let mut output = self.output_buffer(buffer, &map, &found)?;
                    self.decorate(output.make_mut(), &found.packet, discont);
                    if self.state().upstream_in_time {
                        // Upstream's time is that of the packet, not of a stream header in front of it. A place between
                        // two buffers counts as the end of the first.
                        parse.set_ts_at_offset(found.packet_at + 1);
                    }
                    drop(map);
                    return self.finish(frame, output, found.bytes);
                }
                found.bytes
            }
            Step::End { bytes, mark } => {
                let damaged = self.tell_of_damage(offset);
                self.negotiate()?;
                if let Some(output) = self.end_mark(buffer, &mark, bytes, offset, (damaged, discont))? {
                    drop(map);
                    return self.finish(frame, output, bytes);
                }
                bytes
            }
        };
        let (end, size) = (offset + passed as u64, {
            let mut state = self.state();
            state.discont |= discont;
            state.size
        });
        if self.is_pulling() && end >= size && self.state().framer.header().is_none() {
            return Err(self.fail(&FramerError::NotVidTok(end)));
        }
        drop(map);
        // Not by the base class's skipping, which gives up after 2 MiB.
        frame.set_flags(gst_base::BaseParseFrameFlags::DROP);
        self.await_next();
        parse.finish_frame(frame, passed as u32)?;
        Ok((gst::FlowSuccess::Ok, 0))
    }

    /// Goes through the file's packet headers, before its first frame.
    fn make_index(&self) -> Result<(), gst::FlowError> {
        if !self.is_pulling() || self.state().index.is_some() {
            return Ok(());
        }
        let sink = self.obj().sink_pad().clone();
        let size = sink.peer_query_duration::<gst::format::Bytes>().map_or(0, |size| *size);
        let read = |offset, bytes| {
            let buffer = sink.pull_range(offset, bytes as u32)?;
            buffer.into_mapped_buffer_readable().map_err(|_| gst::FlowError::Error)
        };
        let index = match Index::build(size, read) {
            // The file became shorter.
            Err(gst::FlowError::Eos) => Index::default(),
            index => index?,
        };
        gst::debug!(CAT, imp = self, "Indexed {size} bytes: {index:?}");
        {
            let mut state = self.state();
            state.clock.origin = index.begin();
            (state.index, state.size) = (Some(Arc::new(index)), size);
        }
        self.announce_duration();
        Ok(())
    }

    /// Tells the base class how long the stream is, where that is known.
    pub(super) fn announce_duration(&self) {
        let (_, end) = self.seek_range();
        self.obj().set_duration(end, 0);
    }

    /// Takes up the state that the index has for `offset`, where a seek has led there.
    fn enter(&self, offset: u64) -> Result<(), gst::FlowError> {
        let (start, header_at) = {
            let mut state = self.state();
            if state.framer.offset() == offset {
                return Ok(());
            }
            let start = state.index.as_ref().and_then(|index| index.start_at(offset)).cloned();
            let Some(Start {
                timeline, header_at, ..
            }) = start
            else {
                return Ok(());
            };
            state.timeline = timeline;
            state.forget_order();
            (offset, header_at)
        };
        if header_at != start {
            let longest = (MAX_JSON_BYTES + 16) as u32;
            let header = self.obj().sink_pad().pull_range(header_at, longest)?;
            let header = header.map_readable().map_err(|_| gst::FlowError::Error)?;
            let taken = self.state().framer.set_header(&header);
            taken.map_err(|error| self.fail(&FramerError::Stream(error)))?;
        }
        Ok(())
    }

    fn begin_segment(&self, in_time: bool) {
        let mut state = self.state();
        let state = &mut *state;
        state.timeline = Timeline::default();
        state.forget_order();
        state.upstream_in_time = in_time;
        state.clock.new_segment();
        if in_time || state.remote.ends().is_none() {
            state.clock.origin = None;
        }
    }

    /// Whether only packets pass that start a segment.
    pub(super) fn plays_key_units(&self) -> bool {
        let flags = self.obj().segment().flags();
        flags.contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS) || (self.state().key_units && !self.is_pulling())
    }

    /// Changes segment events as the clock says, and sums up at the end.
    fn watch_src(&self, info: &mut gst::PadProbeInfo) {
        let Some(gst::PadProbeData::Event(event)) = &info.data else {
            return;
        };
        match event.view() {
            gst::EventView::Segment(segment) => {
                let changed = {
                    let mut state = self.state();
                    let first = state.times.0.map(gst::ClockTime::nseconds);
                    let base = segment.segment().downcast_ref::<gst::ClockTime>();
                    let Some(base) = base.filter(|_| !state.upstream_in_time) else {
                        return;
                    };
                    let mut changed = state.clock.segment(base, first);
                    if state.key_units {
                        let trick = gst::SegmentFlags::TRICKMODE | gst::SegmentFlags::TRICKMODE_KEY_UNITS;
                        changed.set_flags(changed.flags() | trick);
                    }
                    changed
                };
                let event = gst::event::Segment::builder(&changed).seqnum(event.seqnum()).build();
                info.data = Some(gst::PadProbeData::Event(event));
            }
            gst::EventView::Eos(_) => self.tell_of_end(),
            _ => (),
        }
    }

    /// Gives a packet its time, so far as its stream says it.
    fn place(&self, packet: &PacketHeader) {
        let mut guard = self.state();
        let state = &mut *guard;
        let pts = match state.framer.header() {
            Some((stream, _)) if !state.upstream_in_time => state.timeline.place(stream, packet),
            _ => packet.pts,
        };
        if !state.upstream_in_time && state.clock.origin.is_none() {
            state.clock.origin = pts;
        }
        state.own_pts = Some(packet.pts);
        state.times = (
            pts.map(gst::ClockTime::from_nseconds),
            packet.duration.map(gst::ClockTime::from_nseconds),
        );
        // Its end's time is another then than the last packet says, and so are those of all that follows.
        let was_wrong = state.timeline.is_joined() && state.remote.refuse();
        drop(guard);
        if was_wrong {
            self.announce_duration();
        }
    }

    /// Sees whether the packet at `offset` follows on the one before, and whether it is to go downstream. Something
    /// was lost in front of it where that is `damaged`, and may have been at a `discont`.
    fn passes(&self, packet: &PacketHeader, offset: u64, damaged: bool, discont: bool) -> bool {
        let key_units = self.plays_key_units();
        let mut guard = self.state();
        let state = &mut *guard;
        if key_units {
            state.forget_order();
            state.discont = true;
            return packet.segment_start;
        }
        if let Some((stream, _)) = state.framer.header() {
            state.continuity.header(stream);
        }
        state.note_loss(damaged, discont);
        (state.in_order, state.numbered) = (true, packet.position.is_some());
        let place = state.continuity.packet(packet);
        let repeated = place.link == Link::Repeated;
        state.losses.repeated += u64::from(repeated);
        drop(guard);
        self.tell_of_hole(place.hole, offset, damaged);
        !repeated
    }

    fn finish(
        &self,
        mut frame: gst_base::BaseParseFrame,
        output: gst::Buffer,
        bytes: usize,
    ) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        let parse = self.obj();
        frame.set_output_buffer(output);
        self.await_next();
        parse.finish_frame(frame, bytes as u32)?;
        Ok((gst::FlowSuccess::Ok, 0))
    }

    fn await_next(&self) {
        let bytes = if self.is_pulling() {
            MIN_PULLED_BYTES
        } else {
            MIN_FRAME_BYTES
        };
        self.obj().set_min_frame_size(bytes);
    }
}
