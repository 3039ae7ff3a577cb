//! Requests for a segment start: force-key-unit events that wait for their frame.

use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::imp::{CAT, VidtokEnc};
use crate::system::lock::lock;

/// When a segment start is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyTime {
    /// As soon as possible.
    AtOnce,
    /// With the first frame at or after this running time.
    At(ClockTime),
}

impl KeyTime {
    fn new(running_time: Option<ClockTime>) -> Self {
        running_time.map_or(Self::AtOnce, Self::At)
    }

    /// Whether a frame at `running_time` is the wanted one, or a later one.
    pub fn is_met_at(self, running_time: Option<ClockTime>) -> bool {
        match self {
            Self::AtOnce => true,
            Self::At(wanted) => running_time.is_some_and(|now| now >= wanted),
        }
    }
}

/// A force-key-unit event.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    time: KeyTime,
    all_headers: bool,
    count: u32,
    seqnum: gst::Seqnum,
}

impl KeyRequest {
    /// Reads an event from upstream.
    pub fn from_upstream(event: &gst::Event) -> Option<Self> {
        let key_unit = gst_video::DownstreamForceKeyUnitEvent::parse(event).ok()?;
        Some(Self {
            time: KeyTime::new(key_unit.running_time),
            all_headers: key_unit.all_headers,
            count: key_unit.count,
            seqnum: event.seqnum(),
        })
    }

    /// Reads an event from downstream.
    pub fn from_downstream(event: &gst::Event) -> Option<Self> {
        let key_unit = gst_video::UpstreamForceKeyUnitEvent::parse(event).ok()?;
        Some(Self {
            time: KeyTime::new(key_unit.running_time),
            all_headers: key_unit.all_headers,
            count: key_unit.count,
            seqnum: event.seqnum(),
        })
    }

    /// The event that goes downstream in front of the segment start at `pts` of `segment`.
    fn answer(&self, segment: &gst::Segment, pts: Option<ClockTime>) -> gst::Event {
        let segment = segment.downcast_ref::<ClockTime>();
        gst_video::DownstreamForceKeyUnitEvent::builder()
            .timestamp(pts)
            .stream_time(segment.and_then(|segment| segment.to_stream_time(pts)))
            .running_time(segment.and_then(|segment| segment.to_running_time(pts)))
            .all_headers(self.all_headers)
            .count(self.count)
            .seqnum(self.seqnum)
            .build()
    }
}

/// Requests that no segment start has met yet.
#[derive(Debug, Default)]
pub struct KeyRequests(Vec<KeyRequest>);

impl KeyRequests {
    fn push(&mut self, request: KeyRequest) {
        self.0.push(request);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// When the first segment start is wanted.
    pub fn earliest(&self) -> Option<KeyTime> {
        self.0.iter().map(|request| request.time).min()
    }

    /// Takes those that a segment start at `running_time` meets.
    fn take_met_at(&mut self, running_time: Option<ClockTime>) -> Vec<KeyRequest> {
        let (met, open) = self
            .0
            .drain(..)
            .partition(|request| request.time.is_met_at(running_time));
        self.0 = open;
        met
    }
}

impl VidtokEnc {
    pub(super) fn request_key(&self, request: KeyRequest) {
        gst::debug!(CAT, imp = self, "A segment start is requested: {:?}", request.time);
        lock(&self.shared).key_requests.push(request);
    }

    /// Says downstream that the segment start it asked for comes next, at `pts`.
    pub(super) fn answer_key_requests(&self, pts: Option<ClockTime>) {
        let segment = self.obj().segment();
        let running_time = segment
            .downcast_ref::<ClockTime>()
            .and_then(|segment| segment.to_running_time(pts));
        let answered = lock(&self.shared).key_requests.take_met_at(running_time);
        for request in answered {
            self.obj().src_pad().push_event(request.answer(&segment, pts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_for_its_time() {
        gst::init().unwrap();
        let second = |n| Some(ClockTime::from_seconds(n));
        let at = |n| KeyTime::At(ClockTime::from_seconds(n));
        let mut requests = KeyRequests::default();
        for running_time in [second(5), second(2), None] {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder()
                .running_time(running_time)
                .build();
            assert!(KeyRequest::from_upstream(&event).is_none());
            requests.push(KeyRequest::from_downstream(&event).unwrap());
        }
        let taken = |requests: &mut KeyRequests, running_time| -> Vec<_> {
            let met = requests.take_met_at(running_time);
            met.iter().map(|request| request.time).collect()
        };
        assert_eq!(requests.earliest(), Some(KeyTime::AtOnce));
        assert_eq!(taken(&mut requests, second(3)), [at(2), KeyTime::AtOnce]);
        assert_eq!(requests.earliest(), Some(at(5)));
        assert_eq!(taken(&mut requests, second(4)), []);
        assert_eq!(taken(&mut requests, second(9)), [at(5)]);
        assert_eq!(requests.earliest(), None);
    }

    #[test]
    fn a_frame_meets_a_request_at_its_time_or_later() {
        let second = ClockTime::from_seconds;
        assert!(KeyTime::AtOnce.is_met_at(None));
        let wanted = KeyTime::At(second(5));
        assert!(!wanted.is_met_at(None) && !wanted.is_met_at(Some(second(4))));
        assert!(wanted.is_met_at(Some(second(5))) && wanted.is_met_at(Some(second(6))));
    }
}
