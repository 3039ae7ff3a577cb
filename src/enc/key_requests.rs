//! Requests for a segment start: force-key-unit events that wait for their frame.

/// A force-key-unit event.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    running_time: Option<gst::ClockTime>,
    all_headers: bool,
    count: u32,
    seqnum: gst::Seqnum,
}

impl KeyRequest {
    /// Reads an event from upstream.
    pub fn from_upstream(event: &gst::Event) -> Option<Self> {
        let key_unit = gst_video::DownstreamForceKeyUnitEvent::parse(event).ok()?;
        Some(Self {
            running_time: key_unit.running_time,
            all_headers: key_unit.all_headers,
            count: key_unit.count,
            seqnum: event.seqnum(),
        })
    }

    /// Reads an event from downstream.
    pub fn from_downstream(event: &gst::Event) -> Option<Self> {
        let key_unit = gst_video::UpstreamForceKeyUnitEvent::parse(event).ok()?;
        Some(Self {
            running_time: key_unit.running_time,
            all_headers: key_unit.all_headers,
            count: key_unit.count,
            seqnum: event.seqnum(),
        })
    }

    pub fn running_time(&self) -> Option<gst::ClockTime> {
        self.running_time
    }

    fn is_met_at(&self, running_time: Option<gst::ClockTime>) -> bool {
        self.running_time
            .is_none_or(|wanted| running_time.is_some_and(|now| now >= wanted))
    }

    /// The event that goes downstream in front of the segment start at `pts` of `segment`.
    pub fn answer(&self, segment: &gst::Segment, pts: Option<gst::ClockTime>) -> gst::Event {
        let segment = segment.downcast_ref::<gst::ClockTime>();
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
    pub fn push(&mut self, request: KeyRequest) {
        self.0.push(request);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a frame at `running_time` meets one.
    pub fn any_met_at(&self, running_time: Option<gst::ClockTime>) -> bool {
        self.0.iter().any(|request| request.is_met_at(running_time))
    }

    /// Takes those that a segment start at `running_time` meets.
    pub fn take_met_at(&mut self, running_time: Option<gst::ClockTime>) -> Vec<KeyRequest> {
        let (met, open) = self.0.drain(..).partition(|request| request.is_met_at(running_time));
        self.0 = open;
        met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_for_its_time() {
        gst::init().unwrap();
        let second = |n| Some(gst::ClockTime::from_seconds(n));
        let mut requests = KeyRequests::default();
        for running_time in [second(2), second(5), None] {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder()
                .running_time(running_time)
                .build();
            assert!(KeyRequest::from_upstream(&event).is_none());
            requests.push(KeyRequest::from_downstream(&event).unwrap());
        }
        let taken = |requests: &mut KeyRequests, at| -> Vec<_> {
            requests.take_met_at(at).iter().map(KeyRequest::running_time).collect()
        };
        assert!(requests.any_met_at(None));
        assert_eq!(taken(&mut requests, second(3)), [second(2), None]);
        assert!(!requests.any_met_at(second(4)) && requests.any_met_at(second(5)));
        assert_eq!(taken(&mut requests, second(9)), [second(5)]);
    }
}
