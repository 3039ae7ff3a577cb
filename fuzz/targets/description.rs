//! Any text as `tokenizer.json`.

use gstvidtok::tokenizer::{Description, read_description};

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match read_description(text) {
        Ok(description) => check(&description),
        Err(error) => assert!(!error.is_empty()),
    }
}

/// Checks what other code relies on.
fn check(description: &Description) {
    assert_eq!(description.short_digest().len(), 12);
    assert_eq!(description.difference(description), None);
    let grouping = description.grouping();
    assert!((1..=256).contains(&grouping.step_frames()));
    assert!((1..=256).contains(&grouping.step_latent_frames()));
    for pixels in [1, 7, 64, 32_768] {
        let padded = description.padded(pixels);
        assert!(padded >= pixels && padded.is_multiple_of(description.space_factor));
    }
}
