//! The example of a program with the elements inside.

mod common;
#[allow(dead_code)] // Its `main`.
#[path = "../examples/embed.rs"]
mod embed;

use embed::{SIZE, decode, encode, picture};

/// One picture, then three groups of four.
const FRAMES: usize = 13;

/// In dB.
fn psnr(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let squares = one
        .iter()
        .zip(other)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    10.0 * (255.0f64.powi(2) / (squares.sum::<f64>() / one.len() as f64)).log10()
}

#[test]
fn pictures_become_numbers_and_pictures_again() {
    common::init();
    let mut tokens = Vec::new();
    let caps = encode((0..FRAMES).map(picture), |numbers, shape| {
        // The built-in tokenizer's cells have 8×8 pixels, its codebook 32,768 entries.
        assert_eq!(shape, [1, SIZE[1] / 8, SIZE[0] / 8]);
        assert_eq!(numbers.len(), shape.iter().product::<usize>());
        assert!(numbers.iter().all(|token| *token < 32_768));
        tokens.push(numbers.to_vec());
    })
    .unwrap();
    assert_eq!(tokens.len(), 1 + FRAMES / 4);

    let mut back = Vec::new();
    decode(&caps, tokens, |rgb| back.push(rgb.to_vec())).unwrap();
    assert_eq!(back.len(), FRAMES);
    for (number, rgb) in back.iter().enumerate() {
        let (own, other) = (psnr(rgb, &picture(number)), psnr(rgb, &picture(number + 20)));
        // Waves this long are easy. Pictures of another time would be far off.
        assert!(
            own > 26.0 && own > other + 6.0,
            "picture {number}: {own:.1} dB, another one: {other:.1} dB"
        );
    }
}

#[test]
fn the_user_reads_what_the_element_says() {
    common::init();
    let caps = "video/x-vidtok,stream-format=raw,model=nobody,width=256,height=192,framerate=30/1";
    let error = decode(&caps.parse().unwrap(), [vec![0u16; 32 * 24]], |_| {
        panic!("a picture of nothing")
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("nobody"), "{error}");
}
