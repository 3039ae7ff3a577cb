//! Tokens as payloads and as raw buffers.

use super::*;

#[test]
fn tokens_outside_their_format_are_refused() {
    // 5 codes take 3 bits, which have room for 5, 6 and 7, too.
    let format = TokenFormat {
        regularizer: Regularizer::Fsq { levels: vec![5] },
        ..example_format()
    };
    assert_eq!(
        Tokens::from_payload(&[0b100_001], &format, 1),
        Ok(Tokens::Indices(vec![1, 4]))
    );
    for payload in [0b101_000, 0b000_111] {
        assert!(
            Tokens::from_payload(&[payload], &format, 1)
                .unwrap_err()
                .to_string()
                .contains("0 to 4")
        );
    }
    assert!(Tokens::from_raw(&[4, 0, 5, 0], &format).is_err());
    assert!(Tokens::from_raw(&[4, 0, 4], &format).is_err());
    assert!(Tokens::from_raw(&[], &format).is_err());
    for indices in [vec![0, 5], vec![-1, 0], vec![0], vec![]] {
        assert!(Tokens::Indices(indices).to_payload(&format).is_err());
    }
    assert!(Tokens::Floats(vec![0.0; 2]).to_payload(&format).is_err());

    let format = kl_format(TokenType::Float32);
    assert!(Tokens::Indices(vec![0; 8]).to_payload(&format).is_err());
    for value in [f32::NAN, f32::INFINITY] {
        assert!(Tokens::Floats(vec![value; 8]).to_payload(&format).is_err());
        assert!(Tokens::from_payload(&value.to_le_bytes().repeat(8), &format, 1).is_err());
    }
}

#[test]
fn floats_keep_their_value_or_the_nearest_of_16_bits() {
    let values = vec![0.0, -0.5, 1.0 / 3.0, 1e-3, 1e6, -7.25, 0.1, 2.0];
    let tokens = Tokens::Floats(values.clone());
    for (token_type, bytes) in [(TokenType::Float32, 32), (TokenType::Float16, 16)] {
        let format = kl_format(token_type);
        let payload = tokens.to_payload(&format).unwrap();
        assert_eq!((payload.len(), &payload), (bytes, &tokens.to_raw(&format).unwrap()));
        let Tokens::Floats(read) = Tokens::from_payload(&payload, &format, 1).unwrap() else {
            panic!("not floats")
        };
        for (read, value) in read.iter().zip(&values) {
            // float16 has 11 significant bits and ends at 65,504.
            let tolerance = if token_type == TokenType::Float32 {
                0.0
            } else {
                value.abs() / 2048.0
            };
            assert!(
                (read - value.clamp(-65504.0, 65504.0)).abs() <= tolerance || *value == *read,
                "{value}: {read}"
            );
        }
    }
}

proptest! {
    #[test]
    fn indices_survive_payload_and_raw_buffer(
        levels in proptest::collection::vec(2u32..9, 1..7),
        latent_frames in 1u32..5,
        seed in any::<u32>(),
    ) {
        let regularizer = Regularizer::Fsq { levels };
        let size = regularizer.codebook_size().unwrap();
        let token_type = TokenType::default_for(&regularizer);
        let format = TokenFormat { regularizer, token_type, width: 21, grid_width: 3, ..example_format() };
        let mixed = |i: u32| seed.wrapping_add(i).wrapping_mul(2_654_435_761) % size;
        let tokens = Tokens::Indices((0..3 * latent_frames).map(|i| mixed(i) as i32).collect());
        let payload = tokens.to_payload(&format).unwrap();
        prop_assert_eq!(&Tokens::from_payload(&payload, &format, latent_frames).unwrap(), &tokens);
        let raw = tokens.to_raw(&format).unwrap();
        prop_assert_eq!(raw.len(), format.raw_latent_frame_bytes() * latent_frames as usize);
        prop_assert_eq!(&Tokens::from_raw(&raw, &format).unwrap(), &tokens);
    }
}
