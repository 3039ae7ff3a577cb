//! Plays files through the parser.

use super::*;

/// A pipeline that parses a file into an appsink.
pub struct Player {
    pub pipeline: gst::Pipeline,
    pub sink: gst_app::AppSink,
    /// Buffers at the sink's pad since the last seek, also those outside the segment, which the sink drops.
    pub buffers: Arc<Mutex<Vec<gst::Buffer>>>,
    _file: Option<tempfile::NamedTempFile>,
}

impl Player {
    /// `middle`: the elements between `filesrc` and `appsink`.
    pub fn new(bytes: &[u8], middle: &str) -> Self {
        let file = file(bytes);
        let source = format!("filesrc location={} ! {middle}", file.path().display());
        Self::with_source(&source, Some(file))
    }

    /// `source`: all elements in front of `appsink`.
    pub fn with_source(source: &str, file: Option<tempfile::NamedTempFile>) -> Self {
        init();
        let line = format!("{source} ! appsink name=sink sync=false");
        let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink: gst_app::AppSink = pipeline.by_name("sink").unwrap().downcast().unwrap();
        let buffers = Arc::new(Mutex::new(Vec::new()));
        let seen = buffers.clone();
        let record = move |_: &gst::Pad, info: &mut gst::PadProbeInfo| {
            seen.lock().unwrap().extend(info.buffer().cloned());
            gst::PadProbeReturn::Ok
        };
        let pad = sink.static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, record);
        Self {
            pipeline,
            sink,
            buffers,
            _file: file,
        }
    }

    pub fn play(bytes: &[u8], middle: &str) -> Self {
        let player = Self::new(bytes, middle);
        player.pipeline.set_state(gst::State::Playing).unwrap();
        player
    }

    pub fn pause(bytes: &[u8], middle: &str) -> Self {
        let player = Self::new(bytes, middle);
        player.pipeline.set_state(gst::State::Paused).unwrap();
        player.wait_for_state();
        player
    }

    pub fn wait_for_state(&self) {
        assert_eq!(self.pipeline.state(TIMEOUT).0, Ok(gst::StateChangeSuccess::Success));
    }

    pub fn sample(&self) -> Option<gst::Sample> {
        self.sink.try_pull_sample(TIMEOUT)
    }

    /// All samples until the end.
    pub fn samples(&self) -> Vec<gst::Sample> {
        let samples = std::iter::from_fn(|| self.sample()).collect();
        assert!(self.sink.is_eos(), "no end within the time allowed");
        samples
    }

    pub fn parser(&self) -> gst::Element {
        let mut elements = self.pipeline.iterate_recurse().into_iter().flatten();
        let is_parser = |element: &gst::Element| element.factory().is_some_and(|f| f.name() == "vidtokparse");
        elements.find(is_parser).expect("a parser")
    }

    pub fn message(&self, of: &[gst::MessageType]) -> Option<gst::Message> {
        self.pipeline.bus().unwrap().timed_pop_filtered(TIMEOUT, of)
    }

    /// The texts of all warnings until the end.
    pub fn warnings(&self) -> Vec<String> {
        let types = [
            gst::MessageType::Warning,
            gst::MessageType::Error,
            gst::MessageType::Eos,
        ];
        let mut warnings = Vec::new();
        loop {
            match self.message(&types).expect("the end comes in time").view() {
                gst::MessageView::Warning(warning) => warnings.push(warning.error().to_string()),
                gst::MessageView::Error(error) => panic!("{}", error.error()),
                _ => return warnings,
            }
        }
    }

    pub fn error(&self) -> gst::glib::Error {
        let message = self.message(&[gst::MessageType::Error]).expect("an error");
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!()
        };
        error.error()
    }

    /// Seeks in PAUSED. Returns the first buffer after it and the start of the playback segment in nanoseconds.
    pub fn seek(&self, flags: gst::SeekFlags, to: u64) -> (gst::Buffer, u64) {
        self.buffers.lock().unwrap().clear();
        let (flags, to) = (gst::SeekFlags::FLUSH | flags, ClockTime::from_nseconds(to));
        self.pipeline.seek_simple(flags, to).expect("the seek is done");
        let shown = self.sink.try_pull_preroll(TIMEOUT).expect("a sample after the seek");
        let segment = shown.segment().unwrap().downcast_ref::<ClockTime>().unwrap();
        let first = self.buffers.lock().unwrap()[0].clone();
        (first, segment.start().unwrap().nseconds())
    }
}

impl Player {
    /// Seeks to a segment start while playing and checks the packets from there to the end.
    pub fn assert_plays_from(&self, segment: u64, packets: &[Packet], pieces: &[Vec<u8>]) {
        let to = ClockTime::from_nseconds(segment * SEGMENT);
        self.pipeline.seek_simple(gst::SeekFlags::FLUSH, to).unwrap();
        self.samples();
        let buffers = self.buffers.lock().unwrap();
        let at = (segment * PACKETS_PER_SEGMENT) as usize;
        let (packets, pieces) = (&packets[at..], &pieces[at..]);
        // Buffers from before the seek may come first.
        assert_framed(&buffers[buffers.len() - pieces.len()..], packets, pieces);
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}
