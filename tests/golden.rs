//! Tokens and pictures of a whole pipeline against what the VidTok reference implementation computed.

mod common;

use common::*;

struct Golden {
    frames: Vec<Frame>,
    width: u32,
    height: u32,
    indices: Vec<i32>,
    /// In [-1, 1], before clamping.
    recon: Vec<f32>,
}

fn golden() -> Golden {
    let folder = format!("{}/golden", tokenizer(GOLDEN));
    let read = |file: &str| std::fs::read(format!("{folder}/{file}")).unwrap();
    let shapes: serde_json::Value = serde_json::from_slice(&read("shape.json")).unwrap();
    let size = |axis: usize| shapes["frames"][axis].as_u64().unwrap() as u32;
    let (height, width) = (size(1), size(2));
    let pictures = read("frames.u8");
    let pictures = pictures.chunks_exact((width * height * 3) as usize).enumerate();
    Golden {
        frames: pictures
            .map(|(i, rgb)| Frame {
                pts: i as u64 * 1_000_000_000 / 30,
                rgb: rgb.to_vec(),
            })
            .collect(),
        width,
        height,
        indices: read("indices.i32")
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap()))
            .collect(),
        recon: read("recon.f32")
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect(),
    }
}

#[test]
fn the_encoder_gives_the_references_tokens() {
    init();
    let golden = golden();
    let line = format!(
        "vidtokenc model={} ! video/x-vidtok,stream-format=raw",
        tokenizer(GOLDEN)
    );
    let out = run(&line, &golden.frames, golden.width, golden.height, (30, 1));
    let tokens: Vec<i32> = bytes(&out)
        .concat()
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes(b.try_into().unwrap()).into())
        .collect();
    assert_eq!(tokens, golden.indices);
}

#[test]
fn the_decoder_gives_the_references_pictures() {
    init();
    let golden = golden();
    let model = tokenizer(GOLDEN);
    for format in ["framed", "raw"] {
        let line = format!("vidtokenc model={model} ! video/x-vidtok,stream-format={format} ! vidtokdec model={model}");
        let out = run(&line, &golden.frames, golden.width, golden.height, (30, 1));
        let pictures: Vec<u8> = out.iter().flat_map(|b| frame(b, golden.width).rgb).collect();
        assert_eq!(pictures.len(), golden.recon.len());
        let expected = golden.recon.iter().map(|v| (v.clamp(-1.0, 1.0) + 1.0) * 127.5);
        let off: Vec<f32> = pictures
            .iter()
            .zip(expected)
            .map(|(p, e)| (f32::from(*p) - e).abs())
            .collect();
        // Half a grey level is rounding; the reference itself is met within 1e-4 of [-1, 1].
        let worst = off.iter().copied().fold(0.0, f32::max);
        assert!(worst <= 0.5 + 127.5e-4, "{format}: {worst} grey levels off");
    }
}
