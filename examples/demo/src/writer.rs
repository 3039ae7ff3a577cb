//! Writes the reconstruction as a video, with the sound of the original.

use std::path::Path;

use gst::prelude::*;

use crate::Result;
use crate::pipeline::{self, Running, TICK, element, ignore, leave_undecoded, sink};
use crate::source::{Sound, Source, kind};

/// Formats for the reconstruction, best first.
const FORMATS: [Format; 3] = [
    Format {
        extension: "mp4",
        video: "x264enc pass=qual quantizer=16 speed-preset=fast ! h264parse",
        sound: &["avenc_aac", "voaacenc", "fdkaacenc"],
        muxer: "mp4mux",
    },
    Format {
        extension: "webm",
        video: "vp8enc deadline=1 cpu-used=4 target-bitrate=8000000",
        sound: &["opusenc", "vorbisenc"],
        muxer: "webmmux",
    },
    Format {
        extension: "avi",
        video: "jpegenc quality=95",
        sound: &["lamemp3enc ! mpegaudioparse"],
        muxer: "avimux",
    },
];

pub struct Format {
    pub extension: &'static str,
    video: &'static str,
    /// Sound encoders; the first available one is used.
    sound: &'static [&'static str],
    muxer: &'static str,
}

impl Format {
    /// The best format whose elements are available.
    pub fn best() -> Result<&'static Self> {
        let usable = |format: &&Self| is_there(format.video) && is_there(format.muxer);
        let none = "no video encoder: install gstreamer1.0-plugins-ugly or gstreamer1.0-plugins-good";
        Ok(FORMATS.iter().find(usable).ok_or(none)?)
    }

    fn sound_encoder(&self) -> Option<&'static str> {
        self.sound.iter().copied().find(|encoder| is_there(encoder))
    }

    /// Whether the sound up to the stream time `end` is kept, and the same in words.
    pub fn sound_of(&self, source: &Source, end: Option<gst::ClockTime>) -> (bool, String) {
        match (&source.sound, self.sound_encoder()) {
            (Sound::None, _) => (false, "the video has none".into()),
            (Sound::WithoutDecoder(decoder), _) => (false, format!("not kept: GStreamer has no {decoder} here")),
            (Sound::Decoded, None) => (false, format!("not kept: there is no {} here", self.sound.join(" or "))),
            // A file with an empty stream would not play.
            (Sound::Decoded, Some(_)) if !is_heard(source, end).unwrap_or(false) => {
                (false, "not kept: there is none beside these frames".into())
            }
            (Sound::Decoded, Some(encoder)) => (true, format!("kept, encoded by {encoder}")),
        }
    }

    /// Describes the file of the reconstruction to the user.
    pub fn describe(&self, source: &Source) -> &'static str {
        if self.extension == "mp4" && !source.has_even_sides() {
            "the reconstruction, in 4:4:4 as its size is odd: not every player shows that"
        } else {
            "the reconstruction"
        }
    }

    /// Elements that write the pictures from the queue "shown" and, with `sound`, the first sound stream of the file
    /// that the element "original" reads.
    pub fn elements(&self, source: &Source, sound: bool) -> String {
        let Self { video, muxer, .. } = self;
        // By default, RGB becomes 4:4:4, which few players support. 4:2:0 needs even sizes, and pictures are neither
        // cropped nor padded, so pictures of odd size stay 4:4:4.
        let sampling = if source.has_even_sides() {
            "video/x-raw,format=I420 ! "
        } else {
            ""
        };
        let pictures = format!(
            "queue name=shown ! videoconvert ! {sampling}{video} ! mux.  {muxer} name=mux ! \
             filesink name=file async=false"
        );
        match self.sound_encoder().filter(|_| sound) {
            None => pictures,
            Some(encoder) => format!(
                "{pictures}  filesrc name=original ! decodebin name=streams  \
                 queue name=heard ! audioconvert ! audioresample ! {encoder} ! queue ! mux."
            ),
        }
    }
}

/// Whether the first element of a description is available.
fn is_there(description: &str) -> bool {
    let name = description.split(' ').next().unwrap_or_default();
    gst::ElementFactory::find(name).is_some()
}

/// Makes pictures play at the times of the original, whose file starts to play at the stream time `start`.
pub fn align_pictures(pipeline: &gst::Pipeline, start: gst::ClockTime) -> Result<()> {
    let pad = element(pipeline, "shown")?
        .static_pad("sink")
        .ok_or("a queue without a pad")?;
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Segment(segment) = event.view()
            && let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>()
        {
            let aligned = gst::event::Segment::builder(&starting_at(segment, start))
                .seqnum(event.seqnum())
                .build();
            info.data = Some(gst::PadProbeData::Event(aligned));
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// The segment with the same stream times, whose running time is 0 at `start`.
fn starting_at(
    segment: &gst::FormattedSegment<gst::ClockTime>,
    start: gst::ClockTime,
) -> gst::FormattedSegment<gst::ClockTime> {
    let mut aligned = segment.clone();
    let time = segment.time().unwrap_or_default();
    match time.checked_sub(start) {
        Some(later) => aligned.set_base(later),
        None => {
            aligned.set_start(segment.start().map(|begin| begin + (start - time)));
            aligned.set_time(start);
            aligned.set_base(gst::ClockTime::ZERO);
        }
    }
    aligned
}

/// Whether the file has any sound up to the stream time `end`.
fn is_heard(source: &Source, end: Option<gst::ClockTime>) -> Result<bool> {
    let description =
        "filesrc name=original ! decodebin name=streams  queue name=heard ! appsink name=sound sync=false";
    let pipeline = pipeline::launch(description)?;
    read_sound(&pipeline, &source.path, end)?;
    let running = Running::start(&pipeline)?;
    let sink = sink(&pipeline, "sound")?;
    loop {
        if sink.try_pull_sample(TICK).is_some() {
            return Ok(true);
        }
        if sink.is_eos() || running.is_over(gst::ClockTime::ZERO)? {
            return Ok(false);
        }
    }
}

/// Reads the sound of a file, up to the stream time `end` if it is set.
pub fn read_sound(pipeline: &gst::Pipeline, path: &Path, end: Option<gst::ClockTime>) -> Result<()> {
    element(pipeline, "original")?.set_property("location", path);
    let heard = element(pipeline, "heard")?
        .static_pad("sink")
        .ok_or("a queue without a pad")?;
    if let Some(end) = end {
        heard.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let time = info.buffer().and_then(|buffer| {
                let segment = pad.sticky_event::<gst::event::Segment>(0)?;
                segment
                    .segment()
                    .downcast_ref::<gst::ClockTime>()?
                    .to_stream_time(buffer.pts())
            });
            if time.is_none_or(|time| time < end) {
                return gst::PadProbeReturn::Ok;
            }
            // The other streams continue, so upstream does not send the end of this one.
            let _ = pad.send_event(gst::event::Eos::new());
            info.flow_res = Err(gst::FlowError::Eos);
            gst::PadProbeReturn::Handled
        });
    }
    let within = pipeline.downgrade();
    let streams = element(pipeline, "streams")?;
    leave_undecoded(&streams, "video");
    streams.connect_pad_added(move |_, pad| {
        let Some(pipeline) = within.upgrade() else { return };
        let wanted = kind(pad).as_deref() == Some("audio") && !heard.is_linked();
        if !(wanted && pad.link(&heard).is_ok()) {
            let _ = ignore(&pipeline, pad);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> gst::ClockTime {
        gst::ClockTime::from_seconds(n)
    }

    fn segment(start: u64, time: u64) -> gst::FormattedSegment<gst::ClockTime> {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(seconds(start));
        segment.set_time(seconds(time));
        segment
    }

    #[test]
    fn pictures_keep_their_stream_time_and_play_when_the_original_does() {
        gst::init().unwrap();
        // Segment of the tokens, start of the original, a picture's PTS, its stream time, and its running time.
        for (mut tokens, start, pts, time, plays) in [
            (segment(0, 0), 0, 3, 3, 3),
            (segment(8, 8), 8, 9, 9, 1),
            (segment(0, 0), 8, 9, 9, 1),
            (segment(5, 0), 0, 6, 1, 1),
            (segment(8, 8), 7, 8, 8, 1),
        ] {
            for offset in [0, 100] {
                tokens.set_base(seconds(offset));
                let aligned = starting_at(&tokens, seconds(start));
                assert_eq!(aligned.to_stream_time(seconds(pts)), Some(seconds(time)), "{aligned:?}");
                assert_eq!(
                    aligned.to_running_time(seconds(pts)),
                    Some(seconds(plays)),
                    "{aligned:?}"
                );
            }
        }
    }
}
