//! Threads: as many as the property says, and none left behind. One test, because it counts the threads of the process.

mod common;

use common::{TINY, buffer, init, tokenizer, video, video_caps};
use gst::prelude::*;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn elements_have_the_threads_that_they_are_told_to_and_leave_none() {
    init();
    let video = video(5, 48, 32);
    let cores = std::thread::available_parallelism().unwrap().get();
    // Threads that are made once per process are made now.
    use_encoder(1, &video);
    let before = threads();
    for (property, most) in [(1, 0), (2, 1), (5, 4), (0, cores - 1)] {
        let own = use_encoder(property, &video) - before;
        // Hardware threads of one core count once, so 0 may mean fewer.
        let right = if property == 0 { own <= most } else { own == most };
        assert!(right, "threads={property} has {own} threads besides the streaming one");
        assert_eq!(threads(), before, "threads={property} left threads behind");
    }
    // A second element runs on the threads of the first one.
    let (first, second) = (Encoder::new(5), Encoder::new(5));
    first.push(&video);
    let one = threads();
    second.push(&video);
    assert_eq!(threads(), one);
    drop(first);
    assert_eq!(threads(), one);
    drop(second);
    assert_eq!(threads(), before);
}

/// Encodes in the test's thread; gives how many threads the process had meanwhile.
fn use_encoder(threads_property: u32, video: &[common::Frame]) -> usize {
    let encoder = Encoder::new(threads_property);
    encoder.push(video);
    threads()
}

/// An element without a pipeline, so that no other thread is counted. Set to NULL on drop.
struct Encoder {
    element: gst::Element,
    pad: gst::Pad,
    sink: gst::Pad,
}

impl Encoder {
    fn new(threads: u32) -> Self {
        let element = gst::ElementFactory::make("vidtokenc")
            .property("model", tokenizer(TINY))
            .property_from_str("execution-provider", "cpu")
            .property("threads", threads)
            .build()
            .unwrap();
        let pad = gst::Pad::builder(gst::PadDirection::Src).build();
        let sink = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
            .event_function(|_, _, _| true)
            .build();
        pad.link(&element.static_pad("sink").unwrap()).unwrap();
        element.static_pad("src").unwrap().link(&sink).unwrap();
        for pad in [&pad, &sink] {
            pad.set_active(true).unwrap();
        }
        element.set_state(gst::State::Playing).unwrap();
        Self { element, pad, sink }
    }

    fn push(&self, video: &[common::Frame]) {
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let events = [
            gst::event::StreamStart::new("test"),
            gst::event::Caps::new(&video_caps(48, 32, (30, 1))),
            gst::event::Segment::new(&segment),
        ];
        for event in events {
            assert!(self.pad.push_event(event));
        }
        for frame in video {
            self.pad.push(buffer(frame, 48)).unwrap();
        }
        let stats: gst::Structure = self.element.property("stats");
        assert_eq!(stats.get::<u64>("latent-frames"), Ok(2));
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.element.set_state(gst::State::Null).unwrap();
        for pad in [&self.pad, &self.sink] {
            pad.set_active(false).unwrap();
        }
    }
}
