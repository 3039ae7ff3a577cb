//! Files that are pulled: the index, and seeks by it.

use std::sync::Arc;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::framer::FramerError;
use super::imp::{CAT, VidtokParse};
use super::index::{Index, Snap, Start};
use super::seek::Target;
use crate::stream::MAX_JSON_BYTES;

impl VidtokParse {
    /// Indexes the file by its packet headers, before the first frame.
    pub fn make_index(&self) -> Result<(), gst::FlowError> {
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
            // The file was shortened meanwhile.
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

    /// Tells the base class the stream's duration, if it is known.
    pub fn announce_duration(&self) {
        let (_, end) = self.seek_range();
        self.obj().set_duration(end, 0);
    }

    /// After a seek to `offset`, restores the state that the index has for it.
    pub fn restore_state_at(&self, offset: u64) -> Result<(), gst::FlowError> {
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

    /// Seeks by the index. Returns whether that was possible.
    pub fn seek_in_file(&self, seek: &gst::event::Seek) -> bool {
        let (target, index) = (self.target(seek), self.state().index.clone());
        let (Some(target), Some(index)) = (target, index) else {
            return false;
        };
        let to_key = target.to_key() && !index.has_one_start();
        match start_for(&index, &target, to_key) {
            Some((offset, time)) => self.go_to(&target, offset, time, to_key && !target.is_behind_stop(time)),
            None => false,
        }
    }
}

/// Byte offset and PTS in nanoseconds of the segment start to play from.
fn start_for(index: &Index, target: &Target, to_key: bool) -> Option<(u64, u64)> {
    let find = |snap| index.start(target.time.nseconds(), snap);
    let mut start = find(if to_key { target.snap() } else { Snap::Before })?;
    if target.is_behind_stop(start.time) {
        start = find(Snap::Before)?;
    }
    Some((start.offset, start.time))
}
