//! Duration and seeks where bytes are pushed, as over HTTP or behind a queue, by an upstream that seeks by bytes.
//!
//! While a [search](super::search) reads here and there, what comes is kept from the base class and from downstream: a
//! probe on the sink pad takes it. In the end the base class sees a seek by bytes of its own, or the stream from its
//! start on.
//!
//! Seeks of a search, once playing, are sent from a thread of their own: the streaming thread has to be free for the
//! flush that they cause.

mod job;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
pub use job::Remote;
use job::{Act, Awaited, Job};

use super::imp::{CAT, VidtokParse};
use super::index::Snap;
use super::search::{EndsSearch, Next, SeekPoint, StartSearch};
use crate::system::lock::lock;

impl VidtokParse {
    /// Keeps from the base class what comes for a search.
    pub fn watch_sink(&self, info: &mut gst::PadProbeInfo) -> gst::PadProbeReturn {
        let is_data = matches!(
            info.data,
            Some(gst::PadProbeData::Buffer(_) | gst::PadProbeData::BufferList(_))
        );
        if is_data && std::mem::take(&mut self.state().remote.fresh) {
            self.open();
        }
        let act = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => match buffer.map_readable() {
                Ok(map) => self.state().remote.feed(&map, Some(buffer)),
                Err(_) => Act::Pass,
            },
            Some(gst::PadProbeData::BufferList(list)) => {
                if self.state().remote.job.is_none() {
                    return gst::PadProbeReturn::Ok;
                }
                // One by one they come here again.
                return self.replay(list.iter_owned().collect(), info);
            }
            Some(gst::PadProbeData::Event(event)) => self.watch_event(event),
            _ => Act::Pass,
        };
        match act {
            Act::Pass => gst::PadProbeReturn::Ok,
            Act::Drop => gst::PadProbeReturn::Handled,
            Act::Replay(held) => self.replay(held, info),
            Act::Read(from) => {
                self.announce_ends();
                self.read_first(from, info)
            }
            Act::Later(next, generation) => {
                self.obj()
                    .call_async(move |parse| parse.imp().continue_search(next, generation));
                gst::PadProbeReturn::Handled
            }
        }
    }

    fn watch_event(&self, event: &gst::Event) -> Act {
        match event.view() {
            gst::EventView::FlushStart(_) => {
                let remote = &mut self.state().remote;
                if matches!(remote.job, Some(Job::Leave)) {
                    remote.job = None;
                }
                remote.job.as_ref().map_or(Act::Pass, |_| Act::Drop)
            }
            gst::EventView::FlushStop(_) => self.state().remote.job.as_ref().map_or(Act::Pass, |_| Act::Drop),
            gst::EventView::StreamStart(_) => {
                let remote = &mut self.state().remote;
                if remote.job.is_none() {
                    (remote.ends, remote.is_refused) = (None, false);
                }
                Act::Pass
            }
            gst::EventView::Segment(view) => {
                let segment = view.segment().downcast_ref::<gst::format::Bytes>();
                let from = segment.and_then(|segment| segment.start()).map(|start| *start);
                if self.state().remote.takes_segment(from) {
                    // Bytes may come only behind a segment event; the flush has removed the one before.
                    let _ = self.obj().sink_pad().store_sticky_event(event);
                    return Act::Drop;
                }
                let remote = &mut self.state().remote;
                remote.fresh = from == Some(0) && remote.ends.is_none() && !remote.is_refused;
                Act::Pass
            }
            gst::EventView::Eos(_) => self.state().remote.feed(&[], None),
            _ => Act::Pass,
        }
    }

    /// Begins to look for the stream's ends, where upstream can be sought in.
    fn open(&self) {
        let pad = self.obj().sink_pad().clone();
        if refuses_ranges(&pad) {
            gst::info!(CAT, imp = self, "The server does not say that it serves ranges");
            return;
        }
        let mut query = gst::query::Seeking::new(gst::Format::Bytes);
        if !pad.peer_query(&mut query) || !query.result().0 {
            return;
        }
        let size = match query.result() {
            (_, _, gst::GenericFormattedValue::Bytes(Some(end))) => Some(*end),
            _ => pad.peer_query_duration::<gst::format::Bytes>().map(|size| *size),
        };
        let Some(size) = size.filter(|size| *size > 0) else {
            return;
        };
        gst::debug!(CAT, imp = self, "Upstream has {size} bytes and can be sought in");
        let remote = &mut self.state().remote;
        remote.awaited = Awaited::Following;
        remote.job = Some(Job::Open(Box::new(EndsSearch::new(size)), Vec::new()));
    }

    fn announce_ends(&self) {
        {
            let mut state = self.state();
            let Some(ends) = state.remote.ends else { return };
            state.clock.origin = Some(ends.first.pts);
        }
        self.announce_duration();
    }

    /// Reads elsewhere for the first time, or returns to the start.
    fn read_first(&self, from: u64, info: &mut gst::PadProbeInfo) -> gst::PadProbeReturn {
        if self.read_from(from) {
            // They come again.
            if let Some(Job::Open(_, held)) = &mut self.state().remote.job {
                held.clear();
            }
            return gst::PadProbeReturn::Handled;
        }
        gst::info!(
            CAT,
            imp = self,
            "Upstream does not seek to byte {from}, though it says that it can"
        );
        let job = self.state().remote.job.take();
        match job {
            // Nothing has changed upstream.
            Some(Job::Open(opening, held)) if opening.is_first_read() => self.replay(held, info),
            _ => {
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Seek,
                    ("Cannot return to the start of the stream: upstream does not seek")
                );
                info.flow_res = Err(gst::FlowError::Error);
                gst::PadProbeReturn::Handled
            }
        }
    }

    /// Gives the base class what was taken.
    fn replay(&self, held: Vec<gst::Buffer>, info: &mut gst::PadProbeInfo) -> gst::PadProbeReturn {
        let pad = self.obj().sink_pad().clone();
        let is_event = matches!(info.data, Some(gst::PadProbeData::Event(_)));
        let flow = held
            .into_iter()
            .try_fold(gst::FlowSuccess::Ok, |_, buffer| pad.chain(buffer));
        if is_event {
            return gst::PadProbeReturn::Ok;
        }
        info.flow_res = flow;
        gst::PadProbeReturn::Handled
    }

    fn read_from(&self, offset: u64) -> bool {
        // The end is set, too: upstream would keep the one of an earlier seek.
        let set = gst::SeekType::Set;
        let (from, to) = (gst::format::Bytes::from_u64(offset), gst::format::Bytes::NONE);
        let seek = gst::event::Seek::builder(1.0, gst::SeekFlags::FLUSH, set, from, set, to);
        self.obj().sink_pad().push_event(seek.build())
    }

    /// Seeks by time in what is pushed.
    pub fn seek_remotely(&self, seek: &gst::event::Seek) -> bool {
        let Some(ends) = self.state().remote.ends else {
            return false;
        };
        let Some(target) = self.target(seek) else {
            return false;
        };
        let flags = target.flags;
        if !flags.contains(gst::SeekFlags::FLUSH) || flags.contains(gst::SeekFlags::SEGMENT) {
            gst::info!(
                CAT,
                imp = self,
                "What is pushed can be sought in only with a flush, and plays to its end"
            );
            return false;
        }
        // One at a time; the newest counts.
        let _seeking = lock(&self.seeking);
        let snap = if target.to_key() { target.snap() } else { Snap::Before };
        let stop = target.stop.map(gst::ClockTime::nseconds);
        let (search, next) = StartSearch::new(ends, target.time.nseconds(), snap, stop);
        {
            let remote = &mut self.state().remote;
            remote.generation += 1;
            remote.awaited = Awaited::Nothing;
            remote.job = Some(Job::Locate(Box::new(search), target));
        }
        // What downstream holds would keep the streaming thread from being flushed.
        let src = self.obj().src_pad().clone();
        src.push_event(gst::event::FlushStart::builder().seqnum(seek.seqnum()).build());
        let reads = matches!(next, Next::Read(_));
        let done = self.follow(next);
        if reads || !done {
            // As after any seek, what was before it is gone now. The streaming thread was flushed out of downstream;
            // what follows is the search's, until the base class seeks, which has to wait for this one, and flushes
            // once more.
            src.push_event(gst::event::FlushStop::builder(true).seqnum(seek.seqnum()).build());
        }
        if !done {
            self.state().remote.job = None;
        }
        done
    }

    /// Does what a search wants, unless another has replaced it.
    fn continue_search(&self, next: Next<SeekPoint>, generation: u64) {
        let _seeking = lock(&self.seeking);
        let remote_generation = self.state().remote.generation;
        if generation == remote_generation && !self.follow(next) {
            gst::element_imp_error!(self, gst::ResourceError::Seek, ("Upstream does not seek any more"));
        }
    }

    fn follow(&self, next: Next<SeekPoint>) -> bool {
        let found = match next {
            Next::Read(from) => {
                self.state().remote.awaited = Awaited::From(from);
                return self.read_from(from);
            }
            Next::Done(found) => Some(found),
            // Times are in no order. Only what is played from its start on has the right ones.
            Next::Failed => None,
            Next::More => return false,
        };
        let (target, first, found) = {
            let remote = &mut self.state().remote;
            let Some(ends) = &mut remote.ends else {
                remote.job = None;
                return false;
            };
            if found.is_none() {
                (ends.in_order, ends.one_segment) = (false, true);
            }
            let found = found.unwrap_or(ends.first.seek_point());
            // Where the first start may be the only one, key-unit seeks would lead nowhere else.
            let first = remote.ends.filter(|ends| ends.one_segment).map(|ends| ends.first.pts);
            match remote.job.replace(Job::Leave) {
                Some(Job::Locate(_, target)) => (target, first, found),
                // The element was stopped.
                _ => {
                    remote.job = None;
                    return true;
                }
            }
        };
        let to_key = target.to_key() && first != Some(found.pts) && !target.is_behind_stop(found.pts);
        let done = self.go_to(&target, found.offset, found.pts, to_key);
        if !done {
            self.state().remote.job = None;
        }
        done
    }
}

/// Whether bytes come from a server that may ignore where they are to begin. The source would take that for possible
/// until it is too late: then it ends with an error.
fn refuses_ranges(pad: &gst::Pad) -> bool {
    let mut refuses = false;
    pad.sticky_events_foreach(|event| {
        let headers = event.structure().filter(|headers| headers.name() == "http-headers");
        if let Some(answer) = headers.and_then(|headers| headers.get::<gst::Structure>("response-headers").ok()) {
            let mut fields = answer
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case("accept-ranges"));
            refuses = !fields.any(|(_, value)| value.get::<String>().is_ok_and(|value| value.contains("bytes")));
        }
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    refuses
}
