//! Any bytes through `vidtokparse`, pulled from a file or pushed. Playback and seeks must end.

use std::io::Write;

use gst::prelude::*;

use super::{checksums, pads};

/// Bits of the first byte.
const REPAIR: u8 = 1;
const PULL: u8 = 2;
const SEEK: u8 = 4;
const RAW: u8 = 8;
/// The bytes are bare tokens with short caps, which the last byte selects.
const BARE: u8 = 16;

/// The first byte selects the pipeline, the second the target of a seek, the third its flags.
pub fn run(input: &[u8]) {
    let [how, place, flags, bytes @ ..] = input else { return };
    pads::init();
    let mut bytes = bytes.to_vec();
    if how & REPAIR != 0 {
        checksums::repair(&mut bytes);
    }
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&bytes).expect("room in the temporary folder");
    let source = format!(
        "filesrc location={} blocksize={}",
        file.path().display(),
        1 + usize::from(*place) * 7
    );
    let caps = match (how & BARE, bytes.last()) {
        (0, _) | (_, None) => String::new(),
        (_, Some(size)) => format!("! {}", bare_caps(*size)),
    };
    let push = if how & PULL == 0 { "! identity" } else { "" };
    let stream_format = if how & RAW == 0 { "framed" } else { "raw" };
    let line = format!(
        "{source} {caps} {push} ! vidtokparse ! video/x-vidtok,stream-format={stream_format} ! fakesink sync=false"
    );
    let pipeline = gst::parse::launch(&line)
        .expect("the elements")
        .downcast::<gst::Pipeline>()
        .expect("a pipeline");
    let bus = pipeline.bus().expect("a pipeline's bus");
    if how & SEEK != 0 && prerolled(&pipeline) {
        seek(&pipeline, *place, *flags);
    }
    if pipeline.set_state(gst::State::Playing).is_ok() {
        use gst::MessageType as Type;
        pads::wait(&bus, &[Type::Eos, Type::SegmentDone, Type::Error]);
    }
    pipeline.set_state(gst::State::Null).expect("a pipeline stops");
    pads::check(&bus);
}

/// Caps of the embedded tokenizer, which needs no folder. Bits of `what` are the size and a further field.
fn bare_caps(what: u8) -> String {
    let (width, height) = (8 * u32::from(what & 3), 1 + u32::from(what >> 2 & 15));
    let framerate = ["", ",framerate=25/1", ",framerate=0/1", ",token-type=uint16"][usize::from(what >> 6)];
    format!("video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width={width},height={height}{framerate}")
}

fn prerolled(pipeline: &gst::Pipeline) -> bool {
    if pipeline.set_state(gst::State::Paused).is_err() {
        return false;
    }
    let bus = pipeline.bus().expect("a pipeline's bus");
    use gst::MessageType as Type;
    let message = pads::wait(&bus, &[Type::AsyncDone, Type::Error, Type::Eos]);
    matches!(message.view(), gst::MessageView::AsyncDone(_))
}

fn seek(pipeline: &gst::Pipeline, place: u8, flags: u8) {
    let duration = pipeline
        .query_duration::<gst::ClockTime>()
        .unwrap_or(gst::ClockTime::SECOND);
    let at = |part: u8| {
        duration
            .mul_div_floor(u64::from(part), 200)
            .unwrap_or(gst::ClockTime::ZERO)
    };
    let all = gst::SeekFlags::FLUSH | gst::SeekFlags::from_bits_truncate(u32::from(flags) << 1);
    // The parser may refuse a seek.
    let _ = match flags % 3 {
        0 => pipeline.seek_simple(all, at(place)),
        1 => {
            // GStreamer does not allow a stop before the start.
            let (start, stop) = (at(place.min(flags)), at(place.max(flags)));
            pipeline.seek(1.0, all, gst::SeekType::Set, start, gst::SeekType::Set, stop)
        }
        _ => pipeline.seek(
            0.5,
            all,
            gst::SeekType::None,
            gst::ClockTime::NONE,
            gst::SeekType::Set,
            at(place),
        ),
    };
}
