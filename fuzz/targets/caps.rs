//! Token caps with any fields. What is taken must be written as caps that say the same.

use arbitrary::{Result, Unstructured};
use gstvidtok::caps::{MEDIA_TYPE, StreamFormat};
use gstvidtok::format::{Fraction, Regularizer, TokenFormat, TokenType};

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
    let Ok(caps) = caps(&mut input) else { return };
    let (format, stream_format) = match TokenFormat::from_caps(&caps) {
        Ok(read) => read,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let again = format.to_caps(stream_format);
    assert_eq!(
        TokenFormat::from_caps(&again).as_ref(),
        Ok(&(format, stream_format)),
        "{caps}"
    );
}

/// Good caps with some fields changed.
fn caps(input: &mut Unstructured) -> Result<gst::Caps> {
    let regularizer = match input.arbitrary()? {
        true => Regularizer::Fsq { levels: vec![8; 5] },
        false => Regularizer::Kl { channels: 4 },
    };
    let format = TokenFormat {
        model: "toy".into(),
        tokenizer: "0123456789abcdef".repeat(4),
        token_type: TokenType::default_for(&regularizer),
        regularizer,
        grid_width: 8,
        grid_height: 8,
        time_factor: 4,
        space_factor: 8,
        causal: true,
        width: 64,
        height: 64,
        framerate: Fraction::new(25, 1),
        pixel_aspect_ratio: Fraction::new(1, 1),
        colorimetry: None,
    };
    let mut caps = format.to_caps(*input.choose(&[StreamFormat::Framed, StreamFormat::Raw])?);
    let fields = caps.make_mut().structure_mut(0).expect("the one that was made");
    assert_eq!(fields.name(), MEDIA_TYPE);
    for _ in 0..input.int_in_range(0..=6)? {
        set(fields, input.choose(&FIELDS)?, input)?;
    }
    Ok(caps)
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
