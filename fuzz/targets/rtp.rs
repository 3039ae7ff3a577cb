//! RTP payloads from strangers, and strings of RTP caps. Units must come in order and be whole, whatever the packets are.

use gstvidtok::format::{Fraction, Regularizer, TokenFormat};
use gstvidtok::rtp::{Fault, Joiner, OnLostStart, Payload, Settings, fields};
use gstvidtok::tokenizer::Description;

/// The first byte of an input says what the rest is: strings, or packets with these flags.
const STRINGS: u8 = 1 << 7;
const CONTINUOUS: u8 = 1 << 0;
const CONCEALS: u8 = 1 << 1;
const WINDOWS: u8 = 1 << 2;
/// Packets get the digest of the format, without which they are only counted.
const OWN_DIGEST: u8 = 1 << 3;
const NO_FRAMERATE: u8 = 1 << 4;
const PACKETS_MISSING: u8 = 1 << 5;
/// Where a payload has the digest.
const DIGEST: std::ops::Range<usize> = 4..8;
const MAX_CONCEALED: u32 = 5;

pub fn run(input: &[u8]) {
    match input.split_first() {
        Some((flags, rest)) if flags & STRINGS != 0 => strings(rest),
        Some((flags, rest)) => packets(*flags, rest),
        None => (),
    }
}

/// Lines of `name=value`. A format that was read must be written as the same fields.
fn strings(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let value = |name: &str| {
        let values = text.lines().filter_map(|line| line.split_once('='));
        values
            .filter(|(n, _)| *n == name)
            .map(|(_, value)| value.to_owned())
            .next()
    };
    match fields::read(value) {
        Ok(format) => {
            let written = fields::of(&format);
            let value = |name: &str| written.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
            assert_eq!(fields::read(value), Ok(format));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn format(flags: u8) -> TokenFormat {
    let regularizer = match flags & CONTINUOUS {
        0 => Regularizer::Fsq { levels: vec![8; 5] },
        _ => Regularizer::Kl { channels: 2 },
    };
    let tokenizer = Description {
        name: "toy".into(),
        digest: "0123456789abcdef".repeat(4),
        family: "toy".into(),
        regularizer,
        time_factor: 4,
        space_factor: 8,
        causal: flags & WINDOWS == 0,
        window: 0,
        decoder_delay: 0,
        licence: "MIT".into(),
    };
    TokenFormat {
        framerate: Fraction::new(if flags & NO_FRAMERATE == 0 { 30 } else { 0 }, 1),
        ..TokenFormat::of(&tokenizer, 24, 16)
    }
}

/// Packets: a byte with the length, one with the time since the one before, the payload.
fn packets(flags: u8, mut input: &[u8]) {
    let format = format(flags);
    let on_lost_start = match flags & CONCEALS {
        0 => OnLostStart::Hold,
        _ => OnLostStart::Conceal,
    };
    let settings = Settings {
        on_lost_start,
        max_concealed: MAX_CONCEALED,
    };
    let mut joiner = Joiner::new(format.clone(), settings);
    let digest = fields::short_digest(&format).to_be_bytes();
    let (mut pts, mut units) = (0, Vec::new());
    while let [length, step, rest @ ..] = input {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        input = rest;
        let mut payload = payload.to_vec();
        if let (true, Some(place)) = (flags & OWN_DIGEST != 0, payload.get_mut(DIGEST)) {
            place.copy_from_slice(&digest);
        }
        pts += u64::from(*step) * 10_000_000;
        match Payload::decode(&payload) {
            Ok(Payload::Cells { header, offsets, data }) => {
                if flags & PACKETS_MISSING != 0 {
                    joiner.note_missing();
                }
                let pushed = joiner.push(&header, offsets, data, Some(pts));
                // What came, and what may be concealed in front of it, in its segment and at the end of the one before.
                assert!(pushed.units.len() <= 2 * MAX_CONCEALED as usize + 2);
                units.extend(pushed.before_restart.into_iter().flatten());
                units.extend(pushed.units);
            }
            Ok(Payload::Configuration(_)) => (),
            Err(fault) => assert!(Fault::ALL.contains(&fault)),
        }
    }
    units.extend(joiner.finish());
    for unit in &units {
        let values = format.values_per_latent_frame() * unit.latent_frames as usize;
        assert_eq!(unit.tokens.len(), values);
        let cells = values / if flags & CONTINUOUS == 0 { 1 } else { 2 };
        assert!(
            unit.concealed
                .iter()
                .all(|run| run.start < run.end && run.end as usize <= cells)
        );
        assert!(unit.real_frames > 0);
        let frames = format.frames_of(unit.latent_frames, unit.latent_frame == 0);
        assert!(u64::from(unit.real_frames) <= frames);
        // Tokens that are given out are tokens.
        assert!(unit.tokens.to_payload(&format).is_ok());
    }
}
