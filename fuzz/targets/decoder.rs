//! Any buffers into `vidtokdec`, framed or raw, with any times, flags and metas: pictures in order or an error.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use gst::prelude::*;
use gst_check::Harness;
use gstvidtok::caps::StreamFormat;
use gstvidtok::format::{Fraction, TokenFormat, TokenType};
use gstvidtok::meta::{self, TokenMeta};
use gstvidtok::tokenizer::{self, Role, Target};

use super::{checksums, pads};

/// Of the picture, in pixels: cells of eight.
const SIZE: u32 = 16;

/// The toy tokenizer, which `tests/python/make_fixtures.py` makes.
static MODEL: LazyLock<String> = LazyLock::new(|| {
    let folder = std::env::var("VIDTOK_FIXTURES").expect("tests/run.sh sets VIDTOK_FIXTURES");
    format!("{folder}/toy")
});
/// Keeps the session that all runs share.
static KEPT: LazyLock<Harness> = LazyLock::new(|| {
    let mut harness = decoder(StreamFormat::Raw);
    let _ = harness.push(gst::Buffer::from_mut_slice([0; 8]));
    harness
});

pub fn run(input: &[u8]) {
    pads::init();
    LazyLock::force(&KEPT);
    // Never an error: bytes that run out are zeros.
    let _ = buffers(&mut Unstructured::new(input));
}

fn format() -> TokenFormat {
    static FORMAT: LazyLock<TokenFormat> = LazyLock::new(|| {
        let graph = tokenizer::open(&MODEL, Role::Decoder, Target::Cpu).expect("the toy tokenizer");
        let toy = &graph.description;
        TokenFormat {
            model: toy.name.clone(),
            tokenizer: toy.digest.clone(),
            regularizer: toy.regularizer.clone(),
            token_type: TokenType::default_for(&toy.regularizer),
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
        }
    });
    FORMAT.clone()
}

fn decoder(stream_format: StreamFormat) -> Harness {
    let mut harness = Harness::new("vidtokdec");
    let element = harness.element().expect("the decoder");
    element.set_property("model", &*MODEL);
    element.set_bus(Some(&gst::Bus::new()));
    harness.set_src_caps(format().to_caps(stream_format));
    harness.play();
    harness
}

fn buffers(input: &mut Unstructured) -> Result<()> {
    let stream_format = *input.choose(&[StreamFormat::Framed, StreamFormat::Raw])?;
    let mut harness = decoder(stream_format);
    let bus = harness
        .element()
        .and_then(|element| element.bus())
        .expect("the bus that was set");
    let mut wanted = 0;
    for _ in 0..8 {
        if input.is_empty() {
            break;
        }
        let operation: u8 = input.arbitrary()?;
        let flows = match operation {
            0..=9 => harness.push_event(gst::event::Eos::new()),
            10..=19 => {
                harness.push_event(gst::event::FlushStart::new())
                    && harness.push_event(gst::event::FlushStop::new(true))
            }
            20..=29 => {
                harness.push_event(gst::event::Gap::builder(gst::ClockTime::from_mseconds(operation.into())).build())
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
                ))
            }
            _ => match buffer(stream_format, input) {
                Ok(buffer) => harness.push(buffer).is_ok(),
                Err(_) => false,
            },
        };
        wanted += usize::from(flows);
    }
    harness.push_event(gst::event::Eos::new());
    let bytes = (SIZE * SIZE * 3) as usize;
    while let Some(picture) = harness.try_pull() {
        assert_eq!(picture.size(), bytes, "after {wanted} buffers and events");
    }
    pads::check(&bus);
    // Messages that are left hold the element, which holds the bus.
    bus.set_flushing(true);
    Ok(())
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
        // Often whole latent frames.
        StreamFormat::Raw => usize::from(input.arbitrary::<u8>()? % 4) * 8 + usize::from(times & 0x70 == 0x70),
    };
    let mut bytes = input.bytes(usize::min(length, input.len()))?.to_vec();
    if stream_format == StreamFormat::Framed {
        checksums::repair(&mut bytes);
    } else if times & 0x40 == 0 {
        // Indices that the codebook has.
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
