//! QoS messages: frames that were dropped because they came too late.

use gst::prelude::*;

/// What an element dropped.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    pub running_time: Option<gst::ClockTime>,
    pub stream_time: Option<gst::ClockTime>,
    pub pts: Option<gst::ClockTime>,
    pub duration: Option<gst::ClockTime>,
    /// How much later it came than it was due.
    pub lateness: gst::ClockTime,
    /// Long-term speed that the element would need, relative to its own; 0 where it is not known.
    pub proportion: f64,
}

impl Late {
    /// Posts a QoS message for `element`, which has let `processed` frames through and dropped `dropped`.
    pub fn report(self, element: &gst::Element, processed: u64, dropped: u64) {
        let count = |frames: u64| gst::format::Default::from_u64(frames);
        let jitter = i64::try_from(self.lateness.nseconds()).unwrap_or(i64::MAX);
        let message = gst::message::Qos::builder(true)
            .running_time(self.running_time)
            .stream_time(self.stream_time)
            .timestamp(self.pts)
            .duration(self.duration)
            .values(jitter, self.proportion, 1_000_000)
            .stats(count(processed), count(dropped))
            .src(element)
            .build();
        // Fails only where there is no bus.
        let _ = element.post_message(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_was_dropped_and_how_late() {
        gst::init().unwrap();
        let (element, bus) = (gst::Bin::new(), gst::Bus::new());
        element.set_bus(Some(&bus));
        let ms = gst::ClockTime::from_mseconds;
        let late = Late {
            running_time: Some(ms(3)),
            stream_time: None,
            pts: Some(ms(4)),
            duration: Some(ms(5)),
            lateness: ms(6),
            proportion: 1.0,
        };
        late.report(element.upcast_ref(), 7, 8);
        let message = bus.pop().unwrap();
        let gst::MessageView::Qos(qos) = message.view() else {
            panic!("{message:?}");
        };
        let (live, running_time, stream_time, pts, duration) = qos.get();
        assert!(live);
        assert_eq!(
            (running_time, stream_time, pts, duration),
            (Some(ms(3)), None, Some(ms(4)), Some(ms(5)))
        );
        assert_eq!(qos.values(), (6_000_000, 1.0, 1_000_000));
        let count = |frames: u64| gst::GenericFormattedValue::from(Some(gst::format::Default::from_u64(frames)));
        assert_eq!(qos.stats(), (count(7), count(8)));
    }
}
