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
//! Bare tokens (`stream-format=raw`), as in a file of numbers, are cut into latent frames. Their caps come from a filter in
//! front, and need no more than the tokenizer's name and the video's size:
//!
//! ```text
//! gst-launch-1.0 filesrc location=tokens.u16 ! video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width=384,height=288,framerate=30/1 ! vidtokparse ! vidtokdec ! videoconvert ! autovideosink
//! ```
//!
//! They are one segment from 0 on, and cannot be sought in.
//!
//! Damaged bytes are skipped: a warning message says how many, and the next buffer has DISCONT.
//!
//! A file is indexed by its packet headers when it is opened. Seeks then begin at the last segment's start at or before
//! the target. A key-unit seek makes that the position, unless the file has no other start than its first: then it is
//! taken as an accurate seek, so that seeking is of use. Negative rates are refused. What comes through a pipe can be
//! sought in only if something upstream can seek by time.

use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::framer::{Damage, Frame, Framer, FramerError, Step};
use super::index::{Index, Snap};
use super::joined::Timeline;
use super::raw;
use crate::caps::{StreamFormat, packet_template};
use crate::element::pad_templates;
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::stream::{Packet, PacketHeader, StreamError, Tokens};

/// Shorter than any stream header or packet.
const MIN_FRAME_BYTES: u32 = 12;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("vidtokparse", gst::DebugColorFlags::empty(), Some("VidTok parser")));

#[derive(Default)]
pub(super) struct State {
    framer: Framer,
    pub raw: raw::Mode,
    /// Set in pull mode, before the first frame.
    index: Option<Arc<Index>>,
    /// Of the file, where there is an index.
    size: u64,
    /// For bytes that are pushed; begins anew with every segment event.
    timeline: Timeline,
    /// Upstream's segment is in time: its times are one timeline already.
    upstream_in_time: bool,
    /// What the caps on the source pad say. Set when they are known.
    output: Option<(TokenFormat, StreamFormat)>,
    /// PTS and duration of the frame that is being finished.
    pub times: (Option<gst::ClockTime>, Option<gst::ClockTime>),
    /// The next buffer follows on something that was skipped.
    discont: bool,
}

/// The state is not locked while something is pushed or pulled.
#[derive(Default)]
pub struct VidtokParse {
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for VidtokParse {
    const NAME: &'static str = "GstVidtokParse";
    type Type = super::VidtokParse;
    type ParentType = gst_base::BaseParse;
}

impl ObjectImpl for VidtokParse {}

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
        *self.state() = State::default();
        let parse = self.obj();
        parse.set_min_frame_size(MIN_FRAME_BYTES);
        // Every packet says its time; nothing is guessed.
        parse.set_infer_ts(false);
        parse.set_pts_interpolation(false);
        parse.set_duration(gst::ClockTime::NONE, 0);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state() = State::default();
        Ok(())
    }

    fn handle_frame(&self, frame: gst_base::BaseParseFrame) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        let Some(mut frame) = self.handle_raw(frame)? else {
            return Ok((gst::FlowSuccess::Ok, 0));
        };
        self.make_index()?;
        let parse = self.obj();
        let buffer = frame.buffer().ok_or(gst::FlowError::Error)?;
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        let (offset, at_end) = (frame.offset(), parse.is_draining());
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;

        let step = self.state().framer.next(&map, offset, at_end);
        match step.map_err(|error| self.fail(&error))? {
            Step::Wait(bytes) => {
                parse.set_min_frame_size(bytes as u32);
                return Ok((gst::FlowSuccess::Ok, 0));
            }
            Step::Drop(bytes) => {
                gst::debug!(CAT, imp = self, "Dropping {bytes} bytes at {offset}");
                self.state().discont |= discont;
                let (end, size) = (offset + bytes as u64, self.state().size);
                if self.is_pulling() && end >= size {
                    self.tell_of_tail(end);
                    if self.state().framer.header().is_none() {
                        return Err(self.fail(&FramerError::NotVidTok(end)));
                    }
                }
                drop(map);
                // Not by the base class's skipping, which gives up after 2 MiB.
                frame.set_flags(gst_base::BaseParseFrameFlags::DROP);
                parse.set_min_frame_size(MIN_FRAME_BYTES);
                parse.finish_frame(frame, bytes as u32)?;
            }
            Step::Frame(found) => {
                self.tell_of_damage(offset);
                self.negotiate()?;
                let mut output = self.output_buffer(buffer, &map, &found)?;
                self.decorate(output.make_mut(), &found.packet, offset, discont);
                drop(map);
                frame.set_output_buffer(output);
                parse.set_min_frame_size(MIN_FRAME_BYTES);
                parse.finish_frame(frame, found.bytes as u32)?;
            }
            Step::End { bytes, .. } => {
                self.tell_of_damage(offset);
                let output = self.end_mark(buffer, bytes)?;
                drop(map);
                match output {
                    Some(output) => frame.set_output_buffer(output),
                    None => frame.set_flags(gst_base::BaseParseFrameFlags::DROP),
                }
                parse.set_min_frame_size(MIN_FRAME_BYTES);
                parse.finish_frame(frame, bytes as u32)?;
            }
        }
        Ok((gst::FlowSuccess::Ok, 0))
    }

    fn set_sink_caps(&self, _caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        self.state().raw = raw::Mode::Unknown;
        Ok(())
    }

    fn pre_push_frame(&self, frame: &mut gst_base::BaseParseFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        // What the base class has put where it had no times is an estimate.
        let (pts, duration) = self.state().times;
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
                let mut state = self.state();
                state.timeline = Timeline::default();
                state.upstream_in_time = in_time;
            }
            gst::EventView::FlushStop(_) => self.state().discont = false,
            gst::EventView::Eos(_) => {
                self.obj().drain();
                let end = self.state().framer.offset();
                self.tell_of_tail(end);
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
            gst::EventView::Seek(seek) => match self.prepare_seek(seek) {
                Some(event) if self.is_pulling() => self.parent_src_event(event),
                Some(event) => self.obj().sink_pad().push_event(event),
                None => false,
            },
            _ => self.parent_src_event(event),
        }
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Seeking(seeking) => {
                if self.is_pulling() {
                    let index = self.state().index.clone();
                    let end = index
                        .as_ref()
                        .and_then(|index| index.end())
                        .map(gst::ClockTime::from_nseconds);
                    let seekable = index.is_some_and(|index| index.start(0, Snap::Before).is_some());
                    match seeking.format() {
                        gst::Format::Time => seeking.set(seekable, gst::ClockTime::ZERO, end),
                        format => set_not_seekable(seeking, format),
                    }
                } else if !self.obj().sink_pad().peer_query(seeking) || seeking.format() != gst::Format::Time {
                    let format = seeking.format();
                    set_not_seekable(seeking, format);
                }
                true
            }
            _ => self.parent_src_query(query),
        }
    }
}

fn set_not_seekable(seeking: &mut gst::query::Seeking, format: gst::Format) {
    let unknown = gst::GenericFormattedValue::new(format, -1);
    seeking.set(false, unknown, unknown);
}

impl VidtokParse {
    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn is_pulling(&self) -> bool {
        self.obj().sink_pad().mode() == gst::PadMode::Pull
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
        self.obj()
            .set_duration(index.end().map(gst::ClockTime::from_nseconds), 0);
        let mut state = self.state();
        (state.index, state.size) = (Some(Arc::new(index)), size);
        Ok(())
    }

    /// Sets the source pad's caps where the stream header or downstream's wishes have changed.
    fn negotiate(&self) -> Result<(), gst::FlowError> {
        let src = self.obj().src_pad().clone();
        let (format, output) = {
            let state = self.state();
            let (header, _) = state.framer.header().ok_or(gst::FlowError::Error)?;
            (header.format.clone(), state.output.clone())
        };
        let reconfigure = src.check_reconfigure();
        if !reconfigure && output.as_ref().is_some_and(|(known, _)| *known == format) {
            return Ok(());
        }
        // Framed comes first; where downstream takes neither, it refuses these caps and the user reads them.
        let allowed = src.allowed_caps();
        let takes = |wanted| {
            allowed
                .as_ref()
                .is_none_or(|allowed| allowed.can_intersect(&format.to_caps(wanted)))
        };
        let stream_format = [StreamFormat::Framed, StreamFormat::Raw]
            .into_iter()
            .find(|wanted| takes(*wanted));
        let output_now = (format, stream_format.unwrap_or(StreamFormat::Framed));
        if output.as_ref() == Some(&output_now) {
            return Ok(());
        }
        let caps = output_now.0.to_caps(output_now.1);
        gst::debug!(CAT, imp = self, "Output is {caps}");
        let mut tags = gst::TagList::new();
        tags.make_mut()
            .add::<gst::tags::VideoCodec>(&"VidTok", gst::TagMergeMode::Replace);
        self.obj().merge_tags(Some(&tags), gst::TagMergeMode::Replace);
        if !src.push_event(gst::event::Caps::new(&caps)) {
            return Err(if src.pad_flags().contains(gst::PadFlags::FLUSHING) {
                gst::FlowError::Flushing
            } else {
                gst::FlowError::NotNegotiated
            });
        }
        self.state().output = Some(output_now);
        Ok(())
    }

    /// The frame as downstream wants it. `data` are the bytes of `buffer`.
    fn output_buffer(
        &self,
        buffer: &gst::BufferRef,
        data: &[u8],
        found: &Frame,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let (format, stream_format) = self.state().output.clone().ok_or(gst::FlowError::NotNegotiated)?;
        match stream_format {
            StreamFormat::Raw => {
                let raw = raw_buffer(&data[found.packet_at..], &found.packet, &format);
                raw.map_err(|error| self.fail(&FramerError::Stream(error)))
            }
            StreamFormat::Framed if found.packet.segment_start && found.packet_at == 0 => {
                // The stream header was somewhere else.
                let header = self
                    .state()
                    .framer
                    .header()
                    .map_or(Vec::new(), |(_, bytes)| bytes.to_vec());
                Ok(gst::Buffer::from_mut_slice([&header, &data[..found.bytes]].concat()))
            }
            StreamFormat::Framed => {
                let region = buffer.copy_region(gst::BufferCopyFlags::MEMORY, ..found.bytes);
                region.map_err(|_| gst::FlowError::Error)
            }
        }
    }

    /// A buffer of the end mark that `buffer` starts with; `None` where downstream takes raw tokens.
    fn end_mark(&self, buffer: &gst::BufferRef, bytes: usize) -> Result<Option<gst::Buffer>, gst::FlowError> {
        self.negotiate()?;
        let mut state = self.state();
        if !matches!(state.output, Some((_, StreamFormat::Framed))) {
            return Ok(None);
        }
        // Nothing is shown for it: its time is the end of what was shown last.
        let end = match state.times {
            (Some(pts), duration) => Some(pts + duration.unwrap_or_default()),
            _ => None,
        };
        state.times = (end, Some(gst::ClockTime::ZERO));
        let region = buffer.copy_region(gst::BufferCopyFlags::MEMORY, ..bytes);
        let mut mark = region.map_err(|_| gst::FlowError::Error)?;
        let mark_mut = mark.make_mut();
        mark_mut.set_pts(gst::ClockTime::NONE);
        mark_mut.set_flags(gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT);
        Ok(Some(mark))
    }

    /// Gives the buffer of the packet at `offset` its times and flags.
    fn decorate(&self, buffer: &mut gst::BufferRef, packet: &PacketHeader, offset: u64, discont: bool) {
        let mut state = self.state();
        let pts = match (&state.index, state.upstream_in_time) {
            (Some(index), _) => packet.pts.map(|pts| index.place(offset, pts)),
            (None, true) => packet.pts,
            (None, false) => state.timeline.place(packet),
        };
        state.times = (
            pts.map(gst::ClockTime::from_nseconds),
            packet.duration.map(gst::ClockTime::from_nseconds),
        );
        // No PTS yet: the base class would add the packet to its index, where a seek then finds it though it is no
        // segment start.
        buffer.set_pts(gst::ClockTime::NONE);
        buffer.set_duration(state.times.1);
        if !packet.segment_start {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        } else if matches!(state.output, Some((_, StreamFormat::Framed))) {
            buffer.set_flags(gst::BufferFlags::HEADER);
        }
        if std::mem::take(&mut state.discont) || discont {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        }
    }

    /// The seek that the base class, or else upstream, is to do; `None` where it cannot be done.
    fn prepare_seek(&self, seek: &gst::event::Seek) -> Option<gst::Event> {
        let (rate, flags, start_type, start, stop_type, stop) = seek.get();
        if rate <= 0.0 || flags.contains(gst::SeekFlags::INSTANT_RATE_CHANGE) {
            gst::info!(CAT, imp = self, "Cannot play at rate {rate}, nor change it instantly");
            return None;
        }
        if !self.is_pulling() {
            return Some(seek.to_owned().into());
        }
        let gst::GenericFormattedValue::Time(Some(target)) = start else {
            gst::info!(CAT, imp = self, "Cannot seek to {start:?}");
            return None;
        };
        let index = self.state().index.clone()?;
        let snap = match (
            flags.contains(gst::SeekFlags::SNAP_BEFORE),
            flags.contains(gst::SeekFlags::SNAP_AFTER),
        ) {
            (true, true) => Snap::Nearest,
            (false, true) => Snap::After,
            _ => Snap::Before,
        };
        let to_key = flags.contains(gst::SeekFlags::KEY_UNIT) && !index.has_one_start();
        let from = index.start(target.nseconds(), if to_key { snap } else { Snap::Before })?;
        let time = gst::ClockTime::from_nseconds(from.time);
        gst::debug!(CAT, imp = self, "Seeking to {target} from {from:?}");
        // The base class looks for the entry only in accurate seeks; others it would estimate.
        self.obj().add_index_entry(from.offset, time, true, true);
        let to_keys = gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_NEAREST;
        let flags = (flags - to_keys) | gst::SeekFlags::ACCURATE;
        let start = if to_key { time } else { target };
        let stop = match stop {
            gst::GenericFormattedValue::Time(stop) => stop,
            _ => None,
        };
        let event = gst::event::Seek::builder(rate, flags, start_type, start, stop_type, stop);
        Some(event.seqnum(seek.seqnum()).build())
    }

    /// Says what there is to say about bytes at the stream's end that are no packet.
    fn tell_of_tail(&self, end: u64) {
        let (cut, damage) = {
            let mut state = self.state();
            (state.framer.is_cut(), state.framer.take_damage(end))
        };
        match damage {
            Some(damage) if cut => gst::info!(CAT, imp = self, "Stream is cut off, {} bytes left over", damage.bytes),
            Some(damage) => self.warn_of(damage),
            None => (),
        }
    }

    /// Says what there is to say about bytes that were skipped in front of `offset`.
    fn tell_of_damage(&self, offset: u64) {
        let damage = self.state().framer.take_damage(offset);
        if let Some(damage) = damage {
            self.warn_of(damage);
            self.state().discont = true;
        }
    }

    fn warn_of(&self, Damage { bytes, offset }: Damage) {
        gst::element_imp_warning!(
            self,
            gst::StreamError::Decode,
            ("Skipped {bytes} bytes at byte {offset} of the stream: they are damaged, or belong to a segment whose \
                 start is missing")
        );
    }

    /// Posts `error`; the result ends streaming.
    fn fail(&self, error: &FramerError) -> gst::FlowError {
        match error {
            FramerError::Stream(error @ StreamError::NewerVersion(_)) => {
                gst::element_imp_error!(self, gst::StreamError::WrongType, ("{error}"));
            }
            FramerError::Stream(error) => gst::element_imp_error!(self, gst::StreamError::Decode, ("{error}")),
            FramerError::NotVidTok(bytes) => gst::element_imp_error!(
                self,
                gst::StreamError::WrongType,
                ("There is no VidTok stream header in the first {bytes} bytes: this is no .vidtok stream")
            ),
        }
        gst::FlowError::Error
    }
}

/// The tokens of the packet that `data` starts with, and in a meta what they cannot say.
fn raw_buffer(data: &[u8], header: &PacketHeader, format: &TokenFormat) -> Result<gst::Buffer, StreamError> {
    let packet = Packet::from_checked(data, header)?;
    let tokens = Tokens::from_payload(&packet.payload, format, packet.latent_frames)?;
    let mut buffer = gst::Buffer::from_mut_slice(tokens.to_raw(format)?);
    let meta = TokenMeta {
        segment_start: packet.segment_start,
        end_of_stream: packet.end_of_stream,
        real_frames: packet.real_frames,
        offsets: packet.offsets,
    };
    meta::add(buffer.make_mut(), &meta);
    Ok(buffer)
}
