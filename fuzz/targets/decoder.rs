//! Any buffers and events into `vidtokdec`, framed or raw, with any times, flags, metas and settings. The results must
//! be pictures inside the playback segment, in order if the tokens are, or an error.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use gst::prelude::*;
use gst_check::Harness;
use gstvidtok::caps::{MEDIA_TYPE, StreamFormat};
use gstvidtok::format::{Coding, Fraction, TokenFormat, TokenType};
use gstvidtok::meta::{self, TokenMeta};
use gstvidtok::tokenizer::{self, Role, Target};

use super::order::Order;
use super::{checksums, pads};

/// Width and height of the picture in pixels; a cell has eight.
const SIZE: u32 = 16;
const PICTURE_BYTES: usize = (SIZE * SIZE * 3) as usize;
/// Bits of the byte that selects settings and caps.
const CONTINUE: u8 = 1;
const TOO_MANY_PIXELS: u8 = 2;
const SHORT_CAPS: u8 = 4;

/// The toy tokenizer, which `tests/python/make_fixtures.py` makes.
static MODEL: LazyLock<String> = LazyLock::new(|| {
    let folder = std::env::var("VIDTOK_FIXTURES").expect("tests/run.sh sets VIDTOK_FIXTURES");
    format!("{folder}/toy")
});
/// A decoder that stays, so that all runs share its session.
static KEPT: LazyLock<Harness> = LazyLock::new(|| {
    let mut harness = decoder(StreamFormat::Raw, 0);
    let _ = harness.push(gst::Buffer::from_mut_slice([0; 8]));
    harness
});

pub fn run(input: &[u8]) {
    pads::init();
    LazyLock::force(&KEPT);
    // Never an error: missing bytes are zeros.
    let _ = buffers(&mut Unstructured::new(input));
}

fn format() -> TokenFormat {
    static FORMAT: LazyLock<TokenFormat> = LazyLock::new(|| {
        let graph = tokenizer::open(&MODEL, Role::Decoder, Target::Cpu).expect("the toy tokenizer");
        let toy = &graph.description;
        TokenFormat {
            model: toy.name.clone(),
            digest: toy.digest.clone(),
            regularizer: toy.regularizer.clone(),
            token_type: TokenType::default_for(&toy.regularizer),
            coding: Coding::default(),
            grid_width: SIZE / toy.space_factor,
            grid_height: SIZE / toy.space_factor,
            time_factor: toy.time_factor,
            space_factor: toy.space_factor,
            causal: toy.causal,
            width: SIZE,
            height: SIZE,
            framerate: Fraction::new(25, 1),
            pixel_aspect_ratio: Fraction::new(1, 1),
            colorimetry: None,
            pixels: None,
        }
    });
    FORMAT.clone()
}

fn decoder(stream_format: StreamFormat, how: u8) -> Harness {
    let mut harness = Harness::new("vidtokdec");
    let element = harness.element().expect("the decoder");
    element.set_property("model", &*MODEL);
    if how & CONTINUE != 0 {
        element.set_property_from_str("on-loss", "continue");
    }
    if how & TOO_MANY_PIXELS != 0 {
        element.set_property("max-pixels", SIZE * SIZE - 1);
    }
    element.set_bus(Some(&gst::Bus::new()));
    harness.set_src_caps(match stream_format {
        // The fields that raw caps must have if the property model names the tokenizer.
        StreamFormat::Raw if how & SHORT_CAPS != 0 => gst::Caps::builder(MEDIA_TYPE)
            .field("stream-format", stream_format.as_str())
            .field("width", SIZE as i32)
            .field("height", SIZE as i32)
            .build(),
        _ => format().to_caps(stream_format),
    });
    harness.play();
    harness
}

fn buffers(input: &mut Unstructured) -> Result<()> {
    let stream_format = *input.choose(&[StreamFormat::Framed, StreamFormat::Raw])?;
    let how: u8 = input.arbitrary()?;
    let mut harness = decoder(stream_format, how);
    let bus = harness
        .element()
        .and_then(|element| element.bus())
        .expect("the bus that was set");
    let mut playback = Playback::default();
    for _ in 0..8 {
        if input.is_empty() {
            break;
        }
        let operation: u8 = input.arbitrary()?;
        match operation {
            0..=9 => drop(harness.push_event(gst::event::Eos::new())),
            10..=19 => {
                harness.push_event(gst::event::FlushStart::new());
                harness.push_event(gst::event::FlushStop::new(true));
                playback = Playback::default();
            }
            20..=29 => {
                let at = gst::ClockTime::from_mseconds(operation.into());
                harness.push_event(gst::event::Gap::builder(at).build());
            }
            30..=34 => {
                let late: i32 = input.arbitrary()?;
                let at = gst::ClockTime::from_mseconds(input.arbitrary::<u16>()?.into());
                let at = at + gst::ClockTime::from_nseconds(late.unsigned_abs().into());
                let proportion = f64::from(operation);
                harness.push_upstream_event(gst::event::Qos::new(
                    gst::QOSType::Underflow,
                    proportion,
                    late.into(),
                    at,
                ));
            }
            35..=44 => {
                let next = segment(input)?;
                harness.push_event(gst::event::Segment::new(&next));
                // The decoder has output the rest of the segment before.
                playback.check(&mut harness);
                playback.begin(next);
            }
            _ => {
                let buffer = buffer(stream_format, input)?;
                playback.order.add(&buffer, stream_format, &format());
                let _ = harness.push(buffer);
            }
        }
        assert!(playback.check(&mut harness) == 0 || how & TOO_MANY_PIXELS == 0);
    }
    harness.push_event(gst::event::Eos::new());
    assert!(playback.check(&mut harness) == 0 || how & TOO_MANY_PIXELS == 0);
    pads::check(&bus);
    // Messages hold the element, which holds the bus: break the cycle.
    bus.set_flushing(true);
    Ok(())
}

/// Checks the pictures of one playback segment.
#[derive(Default)]
struct Playback {
    /// `None` at the beginning and after a flush.
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    order: Order,
    latest: Option<gst::ClockTime>,
}

impl Playback {
    fn begin(&mut self, segment: gst::FormattedSegment<gst::ClockTime>) {
        self.segment = Some(segment);
        self.order.begin_segment();
        self.latest = None;
    }

    /// Checks the pictures that are there; returns how many.
    fn check(&mut self, harness: &mut Harness) -> usize {
        let pictures = std::iter::from_fn(|| harness.try_pull()).inspect(|picture| self.check_picture(picture));
        pictures.count()
    }

    fn check_picture(&mut self, picture: &gst::BufferRef) {
        assert_eq!(picture.size(), PICTURE_BYTES);
        let pts = picture.pts().expect("a picture's time");
        if let Some(segment) = &self.segment {
            assert!(
                segment.start().is_none_or(|start| start <= pts) && segment.stop().is_none_or(|stop| pts <= stop),
                "a picture at {pts} outside {segment:?}"
            );
        }
        let latest = self.latest.replace(pts);
        if self.order.is_kept() {
            assert!(latest <= Some(pts), "a picture at {pts} after one at {latest:?}");
        }
    }
}

fn segment(input: &mut Unstructured) -> Result<gst::FormattedSegment<gst::ClockTime>> {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    let flags: u8 = input.arbitrary()?;
    let start = gst::ClockTime::from_mseconds(input.arbitrary::<u16>()?.into());
    segment.set_start(start);
    segment.set_time(start);
    if flags & 1 != 0 {
        segment.set_stop(start + gst::ClockTime::from_mseconds(input.arbitrary::<u16>()?.into()));
    }
    if flags & 2 != 0 {
        segment.set_flags(gst::SegmentFlags::TRICKMODE_KEY_UNITS);
    }
    if flags & 4 != 0 {
        segment.set_rate(2.0);
    }
    Ok(segment)
}

fn buffer(stream_format: StreamFormat, input: &mut Unstructured) -> Result<gst::Buffer> {
    let (flags, times): (u32, u8) = (input.arbitrary()?, input.arbitrary()?);
    let meta = match input.int_in_range(0..=3)? {
        0 => Some(TokenMeta {
            segment_start: input.arbitrary()?,
            segment_end: times & 4 != 0,
            end_of_stream: input.arbitrary()?,
            real_frames: *input.choose(&[0, 1, 3, 4, 5, u32::MAX])?,
            offsets: if input.arbitrary()? {
                Some(input.arbitrary_iter()?.take(8).collect::<Result<_>>()?)
            } else {
                None
            },
        }),
        _ => None,
    };
    let time = |input: &mut Unstructured, known: u8| match times & known {
        0 => Ok(None),
        _ if times & 0x80 != 0 => input
            .arbitrary()
            .map(|time: u64| Some(gst::ClockTime::from_nseconds(time.min(u64::MAX - 1)))),
        _ => input
            .arbitrary()
            .map(|time: u16| Some(gst::ClockTime::from_mseconds(time.into()))),
    };
    let (pts, duration) = (time(input, 1)?, time(input, 2)?);
    let length = match stream_format {
        StreamFormat::Framed => input.arbitrary::<u16>()?.into(),
        // Mostly whole latent frames.
        StreamFormat::Raw => usize::from(input.arbitrary::<u8>()? % 4) * 8 + usize::from(times & 0x70 == 0x70),
    };
    let mut bytes = input.bytes(usize::min(length, input.len()))?.to_vec();
    if stream_format == StreamFormat::Framed {
        checksums::repair(&mut bytes);
    } else if times & 0x40 == 0 {
        // Indices within the codebook.
        bytes.iter_mut().skip(1).step_by(2).for_each(|byte| *byte &= 0x7f);
    }
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let made = buffer.make_mut();
    made.set_pts(pts);
    made.set_duration(duration);
    made.set_flags(
        gst::BufferFlags::from_bits_truncate(flags)
            & (gst::BufferFlags::DISCONT
                | gst::BufferFlags::DELTA_UNIT
                | gst::BufferFlags::HEADER
                | gst::BufferFlags::GAP
                | gst::BufferFlags::DROPPABLE),
    );
    if let Some(meta) = meta {
        meta::add(made, &meta);
    }
    Ok(buffer)
}
