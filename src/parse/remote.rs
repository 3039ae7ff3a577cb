//! Duration and seeks in bytes that are pushed, as over HTTP or behind a queue, if upstream can seek by bytes.
//!
//! During a [search](super::search), a probe on the sink pad takes all data, so that neither the base class nor
//! downstream sees it. Afterwards the base class does one seek by bytes, or gets the stream from its start.
//!
//! During playback, a search sends its seeks from another thread: the streaming thread must be free for the flush that
//! they cause.

mod job;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
pub use job::Remote;
use job::{Awaited, Job, Reaction};

use super::imp::{CAT, VidtokParse};
use super::index::Snap;
use super::search::{EndsSearch, Next, SeekPoint, StartSearch};
use crate::system::lock::lock;

impl VidtokParse {
    /// Takes data and events that belong to a search; the base class does not see them.
    pub fn watch_sink(&self, info: &mut gst::PadProbeInfo) -> gst::PadProbeReturn {
        let is_data = matches!(
            info.data,
            Some(gst::PadProbeData::Buffer(_) | gst::PadProbeData::BufferList(_))
        );
        if is_data && std::mem::take(&mut self.state().remote.fresh) {
            self.find_ends();
        }
        let reaction = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => match buffer.map_readable() {
                Ok(map) => self.state().remote.feed(&map, Some(buffer)),
                Err(_) => Reaction::Pass,
            },
            Some(gst::PadProbeData::BufferList(list)) => {
                if self.state().remote.job.is_none() {
                    return gst::PadProbeReturn::Ok;
                }
                // Each buffer passes this probe again.
                return self.replay(list.iter_owned().collect(), info);
            }
            Some(gst::PadProbeData::Event(event)) => self.watch_event(event),
            _ => Reaction::Pass,
        };
        match reaction {
            Reaction::Pass => gst::PadProbeReturn::Ok,
            Reaction::Drop => gst::PadProbeReturn::Handled,
            Reaction::Replay(held) => self.replay(held, info),
            Reaction::Read(from) => {
                self.announce_ends();
                self.read_first(from, info)
            }
            Reaction::Later(next, generation) => {
                self.obj()
                    .call_async(move |parse| parse.imp().continue_search(next, generation));
                gst::PadProbeReturn::Handled
            }
        }
    }

    fn watch_event(&self, event: &gst::Event) -> Reaction {
        match event.view() {
            gst::EventView::FlushStart(_) => {
                let remote = &mut self.state().remote;
                if matches!(remote.job, Some(Job::Leave)) {
                    remote.job = None;
                }
                remote.job.as_ref().map_or(Reaction::Pass, |_| Reaction::Drop)
            }
            gst::EventView::FlushStop(_) => self
                .state()
                .remote
                .job
                .as_ref()
                .map_or(Reaction::Pass, |_| Reaction::Drop),
            gst::EventView::StreamStart(_) => {
                let remote = &mut self.state().remote;
                if remote.job.is_none() {
                    (remote.ends, remote.is_refused) = (None, false);
                }
                Reaction::Pass
            }
            gst::EventView::Segment(view) => {
                let segment = view.segment().downcast_ref::<gst::format::Bytes>();
                let from = segment.and_then(|segment| segment.start()).map(|start| *start);
                if self.state().remote.takes_segment(from) {
                    // The flush has removed the pad's segment event, and the pad takes no data without one.
                    let _ = self.obj().sink_pad().store_sticky_event(event);
                    return Reaction::Drop;
                }
                let remote = &mut self.state().remote;
                remote.fresh = from == Some(0) && remote.ends.is_none() && !remote.is_refused;
                Reaction::Pass
            }
            gst::EventView::Eos(_) => self.state().remote.feed(&[], None),
            _ => Reaction::Pass,
        }
    }

    /// Begins the search for the stream's ends, if upstream can seek.
    fn find_ends(&self) {
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
        remote.job = Some(Job::FindEnds {
            search: Box::new(EndsSearch::new(size)),
            held: Vec::new(),
        });
    }

    fn announce_ends(&self) {
        {
            let mut state = self.state();
            let Some(ends) = state.remote.ends else { return };
            state.clock.origin = Some(ends.first.pts);
        }
        self.announce_duration();
    }

    /// Seeks upstream in the search for the stream's ends, or back to the start after it.
    fn read_first(&self, from: u64, info: &mut gst::PadProbeInfo) -> gst::PadProbeReturn {
        if self.read_from(from) {
            // The held bytes will come again.
            if let Some(Job::FindEnds { held, .. }) = &mut self.state().remote.job {
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
            // Upstream has not moved yet.
            Some(Job::FindEnds { search, held }) if search.is_first_read() => self.replay(held, info),
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

    /// Gives the base class the held buffers.
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

    /// Seeks upstream to a byte. Returns whether upstream does so.
    fn read_from(&self, offset: u64) -> bool {
        // The stop is set, too: otherwise upstream keeps the stop of an earlier seek.
        let set = gst::SeekType::Set;
        let (from, to) = (gst::format::Bytes::from_u64(offset), gst::format::Bytes::NONE);
        let seek = gst::event::Seek::builder(1.0, gst::SeekFlags::FLUSH, set, from, set, to);
        self.obj().sink_pad().push_event(seek.build())
    }

    /// Seeks by time in pushed bytes. Returns whether that is possible.
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
                "Pushed bytes can be sought in only with a flush, and play to their end"
            );
            return false;
        }
        // One seek at a time; a later one replaces the search.
        let _seeking = lock(&self.seeking);
        let snap = if target.to_key() { target.snap() } else { Snap::Before };
        let stop = target.stop.map(gst::ClockTime::nseconds);
        let (search, next) = StartSearch::new(ends, target.time.nseconds(), snap, stop);
        {
            let remote = &mut self.state().remote;
            remote.generation += 1;
            remote.awaited = Awaited::Nothing;
            remote.job = Some(Job::FindStart(Box::new(search), target));
        }
        // First flush downstream: the streaming thread may be blocked there, and cannot be flushed from upstream then.
        let src = self.obj().src_pad().clone();
        src.push_event(gst::event::FlushStart::builder().seqnum(seek.seqnum()).build());
        let reads = matches!(next, Next::Read(_));
        let done = self.perform(next);
        if reads || !done {
            // Downstream is flushed, as after any seek. The search takes all data from here on, until the base class
            // does its seek, which waits for this one to end and flushes again.
            src.push_event(gst::event::FlushStop::builder(true).seqnum(seek.seqnum()).build());
        }
        if !done {
            self.state().remote.job = None;
        }
        done
    }

    /// Continues a search, unless it was replaced.
    fn continue_search(&self, next: Next<SeekPoint>, generation: u64) {
        let _seeking = lock(&self.seeking);
        let remote_generation = self.state().remote.generation;
        if generation == remote_generation && !self.perform(next) {
            gst::element_imp_error!(self, gst::ResourceError::Seek, ("Upstream does not seek any more"));
        }
    }

    /// Seeks to where the search wants to read or, at its end, to what it found. Returns whether upstream and base
    /// class did so.
    fn perform(&self, next: Next<SeekPoint>) -> bool {
        let found = match next {
            Next::Read(from) => {
                self.state().remote.awaited = Awaited::From(from);
                return self.read_from(from);
            }
            Next::Done(found) => Some(found),
            // PTS are not in order: only playback from the start of the stream finds the right times.
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
            // If there may be only one segment, key-unit seeks would always lead to its start.
            let first = remote.ends.filter(|ends| ends.one_segment).map(|ends| ends.first.pts);
            match remote.job.replace(Job::Leave) {
                Some(Job::FindStart(_, target)) => (target, first, found),
                // The element was stopped meanwhile.
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

/// Whether bytes come from a server that does not announce ranges. A source that asks such a server for a range may get
/// the whole file instead, and ends with an error.
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
