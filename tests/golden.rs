//! Tokens and pictures of a pipeline are those of the VidTok reference implementation, and those of the bare graphs.
//! One tokenizer of each family, with each kind of token.

mod common;

use common::*;
use gstvidtok::runtime::{DecoderNetwork, EncoderNetwork, Options, Silent};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{self, Role, Target};

const TOKENIZERS: [&str; 4] = [GOLDEN, "golden_fsq_v1_1_888", "golden_kl_v1_0", "golden_fsq_noncausal"];

/// A clip, and what the reference gives for it.
struct Golden {
    frames: Vec<Frame>,
    width: u32,
    height: u32,
    /// Indices, or the posterior's means.
    tokens: Tokens,
    /// In [-1, 1], before clamping.
    recon: Vec<f32>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let folder = format!("{}/golden", tokenizer(name));
        let read = |file: &str| std::fs::read(format!("{folder}/{file}")).unwrap();
        let floats = |file: &str| {
            read(file)
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect()
        };
        let shapes: serde_json::Value = serde_json::from_slice(&read("shape.json")).unwrap();
        let size = |axis: usize| shapes["frames"][axis].as_u64().unwrap() as u32;
        let (height, width) = (size(1), size(2));
        let pictures = read("frames.u8");
        let pictures = pictures.chunks_exact((width * height * 3) as usize).enumerate();
        let tokens = if shapes.get("mean").is_some() {
            Tokens::Floats(floats("mean.f32"))
        } else {
            let indices = read("indices.i32");
            Tokens::Indices(
                indices
                    .chunks_exact(4)
                    .map(|b| i32::from_le_bytes(b.try_into().unwrap()))
                    .collect(),
            )
        };
        Self {
            frames: pictures
                .map(|(i, rgb)| Frame {
                    pts: i as u64 * 1_000_000_000 / 30,
                    rgb: rgb.to_vec(),
                })
                .collect(),
            width,
            height,
            tokens,
            recon: floats("recon.f32"),
        }
    }

    /// The raw tokens that an encoder gives for the clip.
    fn encode(&self, name: &str) -> Tokens {
        let line = format!("vidtokenc model={} ! video/x-vidtok,stream-format=raw", tokenizer(name));
        let line = Line::new(&line, &video_caps(self.width, self.height, (30, 1)));
        line.play();
        self.frames.iter().for_each(|f| line.push(buffer(f, self.width)));
        let bytes = bytes(&line.finish()).concat();
        let format = line.sink_format();
        Tokens::from_raw(&bytes, &format).unwrap()
    }

    /// The pictures that come out of encoder and decoder.
    fn round_trip(&self, name: &str, format: &str) -> Vec<u8> {
        let model = tokenizer(name);
        let line = format!("vidtokenc model={model} ! video/x-vidtok,stream-format={format} ! vidtokdec model={model}");
        let out = run(&line, &self.frames, self.width, self.height, (30, 1));
        out.iter().flat_map(|b| frame(b, self.width).rgb).collect()
    }
}

#[test]
fn the_encoder_gives_the_references_tokens() {
    init();
    for name in TOKENIZERS {
        let golden = Golden::read(name);
        match (golden.encode(name), &golden.tokens) {
            (Tokens::Floats(means), Tokens::Floats(expected)) => {
                assert_eq!(means.len(), expected.len());
                let off = means
                    .iter()
                    .zip(expected)
                    .map(|(m, e)| (m - e).abs())
                    .fold(0.0, f32::max);
                assert!(off <= 1e-4, "{name}: {off} off");
            }
            (indices, expected) => assert_eq!(&indices, expected, "{name}"),
        }
    }
}

#[test]
fn the_decoder_gives_the_references_pictures() {
    init();
    for name in TOKENIZERS {
        let golden = Golden::read(name);
        for format in ["framed", "raw"] {
            let pictures = golden.round_trip(name, format);
            assert_eq!(pictures.len(), golden.recon.len());
            let expected = golden.recon.iter().map(|v| (v.clamp(-1.0, 1.0) + 1.0) * 127.5);
            let off = pictures.iter().zip(expected).map(|(p, e)| (f32::from(*p) - e).abs());
            // Half a grey level for rounding, and 1e-4 in [-1, 1] for the graph's arithmetic.
            let worst = off.fold(0.0, f32::max);
            assert!(worst <= 0.5 + 127.5e-4, "{name}, {format}: {worst} grey levels off");
        }
    }
}

#[test]
fn a_pipeline_gives_the_graphs_own_bytes() {
    init();
    for name in TOKENIZERS {
        let golden = Golden::read(name);
        let (tokens, pictures) = by_hand(name, &golden);
        assert_eq!(golden.encode(name), tokens, "{name}");
        assert_eq!(golden.round_trip(name, "framed"), pictures, "{name}");
    }
}

/// Tokens and pictures of a clip, with the graphs stepped by hand. The clip's last group has to be full.
fn by_hand(name: &str, golden: &Golden) -> (Tokens, Vec<u8>) {
    let open = |role| tokenizer::open(&tokenizer(name), role, Target::Cpu).unwrap();
    let (encoder, decoder) = (open(Role::Encoder), open(Role::Decoder));
    let description = encoder.description.clone();
    let mut encode = EncoderNetwork::open(&encoder, Options::default(), golden.width, golden.height, &Silent).unwrap();
    let mut decode = DecoderNetwork::open(&decoder, Options::default(), golden.width, golden.height, &Silent).unwrap();
    let step = description.grouping().step_frames();

    let mut clip: Vec<&[u8]> = golden.frames.iter().map(|f| &f.rgb[..]).collect();
    if description.causal {
        // The first frame is a group of its own.
        clip.splice(0..0, vec![&golden.frames[0].rgb[..]; step - 1]);
    }
    assert_eq!(clip.len() % step, 0);
    let steps: Vec<Tokens> = clip
        .chunks(step)
        .map(|group| common::encode(&mut encode, &group.concat()).unwrap())
        .collect();

    let mut pictures = Vec::new();
    for (i, tokens) in steps.iter().enumerate() {
        if !description.causal {
            decode.restart();
        }
        decode
            .decode(tokens, i == 1, |frames| pictures.extend_from_slice(frames))
            .unwrap();
    }
    if description.decoder_delay > 0 {
        decode
            .decode(steps.last().unwrap(), true, |frames| pictures.extend_from_slice(frames))
            .unwrap();
    }
    let picture = golden.frames[0].rgb.len();
    let delay = description.decoder_delay as usize;
    // Shown are the last frame of the first step, and all later frames but the first `delay` of the second step.
    let shown = if description.causal {
        let rest = (step + delay) * picture;
        [&pictures[(step - 1) * picture..step * picture], &pictures[rest..]].concat()
    } else {
        pictures
    };
    (join(steps), shown[..golden.frames.len() * picture].to_vec())
}

fn join(steps: Vec<Tokens>) -> Tokens {
    let mut steps = steps.into_iter();
    let first = steps.next().unwrap();
    steps.fold(first, |all, step| match (all, step) {
        (Tokens::Indices(a), Tokens::Indices(b)) => Tokens::Indices([a, b].concat()),
        (Tokens::Floats(a), Tokens::Floats(b)) => Tokens::Floats([a, b].concat()),
        _ => unreachable!("one kind of tokens per tokenizer"),
    })
}

#[test]
fn samples_lie_around_the_mean_and_repeat_with_the_seed() {
    init();
    let name = "golden_kl_v1_0";
    let golden = Golden::read(name);
    let sample = |seed: u64| {
        let line = format!("vidtokenc model={} latent=sample seed={seed}", tokenizer(name));
        let line = format!("{line} ! video/x-vidtok,stream-format=raw");
        bytes(&run(&line, &golden.frames, golden.width, golden.height, (30, 1))).concat()
    };
    let samples = sample(3);
    assert_eq!(sample(3), samples);
    assert_ne!(sample(4), samples);
    // (sample - mean) / standard deviation has the standard normal distribution.
    let log_variances = std::fs::read(format!("{}/golden/logvar.f32", tokenizer(name))).unwrap();
    let float = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
    let Tokens::Floats(means) = &golden.tokens else {
        panic!("a KL tokenizer has means")
    };
    let deviations: Vec<f32> = samples
        .chunks_exact(4)
        .zip(log_variances.chunks_exact(4))
        .zip(means)
        .map(|((sample, log_variance), mean)| (float(sample) - mean) / (0.5 * float(log_variance)).exp())
        .collect();
    let count = deviations.len() as f32;
    let mean = deviations.iter().sum::<f32>() / count;
    let variance = deviations.iter().map(|d| (d - mean).powi(2)).sum::<f32>() / count;
    // Five standard errors of mean and variance.
    assert!(mean.abs() < 5.0 / count.sqrt(), "mean {mean} of {count}");
    assert!(
        (variance - 1.0).abs() < 5.0 * (2.0 / count).sqrt(),
        "variance {variance} of {count}"
    );
}

#[test]
fn half_precision_halves_the_bytes_and_rounds() {
    init();
    let name = "golden_kl_v1_0";
    let golden = Golden::read(name);
    let tokens = |properties: &str, caps: &str| {
        let line = format!(
            "vidtokenc model={} {properties} ! video/x-vidtok,{caps}",
            tokenizer(name)
        );
        bytes(&run(&line, &golden.frames, golden.width, golden.height, (30, 1))).concat()
    };
    let single = tokens("", "stream-format=raw");
    let half = tokens("token-type=float16", "stream-format=raw");
    assert_eq!(tokens("", "stream-format=raw,token-type=float16"), half);
    assert_eq!(half.len() * 2, single.len());
    for (h, s) in half.chunks_exact(2).zip(single.chunks_exact(4)) {
        let h = half::f16::from_le_bytes(h.try_into().unwrap()).to_f32();
        let s = f32::from_le_bytes(s.try_into().unwrap());
        assert!((h - s).abs() <= s.abs() * 2f32.powi(-11) + 1e-7, "{h} for {s}");
    }
    let framed = |properties: &str| tokens(properties, "stream-format=framed").len();
    assert!(framed("token-type=float16") < framed("token-type=float32"));
}
