//! Token caps with changed, missing or additional fields. A format that was read from caps must be written as equal
//! caps.

use arbitrary::{Result, Unstructured};
use gstvidtok::caps::{self, MEDIA_TYPE, StreamFormat};
use gstvidtok::format::{Regularizer, TokenFormat};
use gstvidtok::tokenizer::Description;

const FIELDS: [&str; 19] = [
    "stream-format",
    "alignment",
    "model",
    "tokenizer",
    "regularizer",
    "levels",
    "codebook-size",
    "channels",
    "token-type",
    "coding",
    "grid-width",
    "grid-height",
    "time-factor",
    "space-factor",
    "causal",
    "width",
    "height",
    "framerate",
    "pixel-aspect-ratio",
];
const TEXTS: [&str; 12] = [
    "", "framed", "raw", "packed", "fsq", "kl", "uint16", "uint32", "float16", "float32", "packet", "a\nb",
];

pub fn run(input: &[u8]) {
    gst::init().expect("GStreamer");
    let mut input = Unstructured::new(input);
    let Ok((caps, tokenizer)) = caps(&mut input) else {
        return;
    };
    // Caps that are accepted must also name their tokenizer.
    let named = caps::named_tokenizer(&caps);
    match TokenFormat::from_caps(&caps) {
        Ok((format, stream_format)) => {
            assert!(named.is_ok(), "{caps}");
            let again = format.to_caps(stream_format);
            assert_eq!(TokenFormat::from_caps(&again), Ok((format, stream_format)), "{caps}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match TokenFormat::from_raw_caps(&caps, &tokenizer) {
        Ok(format) => check_raw(&caps, &tokenizer, format),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Checks that the tokenizer completes caps of bare tokens without changing their fields.
fn check_raw(caps: &gst::CapsRef, tokenizer: &Description, format: TokenFormat) {
    let fields = caps.structure(0).expect("the one that was made");
    for (name, size) in [("width", format.width), ("height", format.height)] {
        assert_eq!(fields.get::<i32>(name), Ok(size as i32), "{caps}");
    }
    assert_eq!(format.digest, tokenizer.digest, "{caps}");
    assert!(
        format.grid_width * format.space_factor >= format.width
            && format.grid_height * format.space_factor >= format.height,
        "{caps}"
    );
    let whole = format.to_caps(StreamFormat::Raw);
    let read = TokenFormat::from_raw_caps(&whole, tokenizer);
    assert_eq!(read.as_ref(), Ok(&format), "{caps}");
    assert_eq!(
        TokenFormat::from_caps(&whole),
        Ok((format, StreamFormat::Raw)),
        "{caps}"
    );
}

/// Valid caps with some fields changed, and the tokenizer that they name.
fn caps(input: &mut Unstructured) -> Result<(gst::Caps, Description)> {
    let regularizer = match input.arbitrary()? {
        true => Regularizer::Fsq { levels: vec![8; 5] },
        false => Regularizer::Kl { channels: 4 },
    };
    let tokenizer = Description {
        name: "toy".into(),
        digest: "0123456789abcdef".repeat(4),
        family: "toy".into(),
        regularizer,
        time_factor: 4,
        space_factor: 8,
        causal: true,
        window: 0,
        decoder_delay: 0,
        licence: "MIT".into(),
    };
    let format = TokenFormat::of(&tokenizer, 64, 64);
    let stream_format = input.choose(&[Some(StreamFormat::Framed), Some(StreamFormat::Raw), None])?;
    let mut caps = match stream_format {
        Some(stream_format) => format.to_caps(*stream_format),
        None => short(&format),
    };
    let fields = caps.make_mut().structure_mut(0).expect("the one that was made");
    assert_eq!(fields.name(), MEDIA_TYPE);
    for _ in 0..input.int_in_range(0..=6)? {
        set(fields, input.choose(&FIELDS)?, input)?;
    }
    Ok((caps, tokenizer))
}

/// The fields that raw caps must have.
fn short(format: &TokenFormat) -> gst::Caps {
    gst::Caps::builder(MEDIA_TYPE)
        .field("stream-format", StreamFormat::Raw.as_str())
        .field("model", &format.model)
        .field("width", format.width as i32)
        .field("height", format.height as i32)
        .build()
}

fn set(fields: &mut gst::StructureRef, name: &str, input: &mut Unstructured) -> Result<()> {
    match input.int_in_range(0..=9)? {
        0 => fields.remove_field(name),
        1 => fields.set(name, i32::from(input.arbitrary::<u8>()?)),
        2 => fields.set(name, input.arbitrary::<i32>()?),
        3 => fields.set(name, input.arbitrary::<u32>()?),
        4 => fields.set(name, *input.choose(&TEXTS)?),
        5 => fields.set(name, input.arbitrary::<&str>()?.replace('\0', "")),
        6 => fields.set(name, input.arbitrary::<bool>()?),
        7 => fields.set(
            name,
            gst::Fraction::new(
                input.arbitrary::<i16>()?.into(),
                input.arbitrary::<u16>()?.max(1).into(),
            ),
        ),
        8 => {
            let levels = input
                .arbitrary_iter::<u16>()?
                .take(10)
                .map(|level| level.map(i32::from));
            fields.set(name, gst::Array::new(levels.collect::<Result<Vec<i32>>>()?));
        }
        _ => fields.set(name, gst::IntRange::new(1, i32::MAX)),
    }
    Ok(())
}
