//! How far two results are apart.

use serde_json::{Value, json};

/// How tokens differ: indices of a codebook with `levels` levels a channel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OfIndices {
    pub count: usize,
    pub differing: usize,
    /// Of the differing ones, those that are one level apart in one channel, as where a value is near a border of rounding.
    pub by_one_level: usize,
}

impl OfIndices {
    pub fn add(&mut self, expected: &[i32], found: &[i32], levels: &[u32]) {
        assert_eq!(expected.len(), found.len(), "as many tokens");
        self.count += expected.len();
        for (expected, found) in expected.iter().zip(found).filter(|(a, b)| a != b) {
            self.differing += 1;
            let distance: u32 = digits(*expected, levels)
                .zip(digits(*found, levels))
                .map(|(a, b)| a.abs_diff(b))
                .sum();
            self.by_one_level += usize::from(distance == 1);
        }
    }

    pub fn json(&self) -> Value {
        json!({"tokens": self.count, "differing": self.differing, "by-one-level": self.by_one_level})
    }
}

/// The level of each channel; the first channel is the least significant digit.
fn digits(index: i32, levels: &[u32]) -> impl Iterator<Item = u32> {
    let mut rest = index as u32;
    levels.iter().map(move |level| {
        let digit = rest % level;
        rest /= level;
        digit
    })
}

/// How numbers differ: continuous tokens.
#[derive(Debug, Default)]
pub struct OfFloats {
    pub count: usize,
    pub largest: f64,
    squares: f64,
    expected_squares: f64,
}

impl OfFloats {
    pub fn add(&mut self, expected: &[f32], found: &[f32]) {
        assert_eq!(expected.len(), found.len(), "as many numbers");
        self.count += expected.len();
        for (expected, found) in expected.iter().zip(found) {
            let distance = f64::from(expected - found).abs();
            // What is not a number is as far away as can be.
            let distance = if distance.is_nan() { f64::INFINITY } else { distance };
            self.largest = self.largest.max(distance);
            self.squares += distance * distance;
            self.expected_squares += f64::from(*expected).powi(2);
        }
    }

    /// ‖found - expected‖ / ‖expected‖.
    pub fn relative(&self) -> f64 {
        (self.squares / self.expected_squares).sqrt()
    }

    pub fn json(&self) -> Value {
        // JSON has no infinity.
        let text = |value: f64| {
            if value.is_finite() {
                json!(value)
            } else {
                json!(value.to_string())
            }
        };
        json!({"numbers": self.count, "largest-difference": text(self.largest), "relative-error": text(self.relative())})
    }
}

/// How pictures differ, in grey levels.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OfPictures {
    pub count: usize,
    pub differing: usize,
    pub by_more_than_one: usize,
    pub largest: u8,
    squares: u64,
}

impl OfPictures {
    pub fn add(&mut self, expected: &[u8], found: &[u8]) {
        assert_eq!(expected.len(), found.len(), "as many values");
        self.count += expected.len();
        for distance in expected.iter().zip(found).map(|(a, b)| a.abs_diff(*b)) {
            self.differing += usize::from(distance > 0);
            self.by_more_than_one += usize::from(distance > 1);
            self.largest = self.largest.max(distance);
            self.squares += u64::from(distance).pow(2);
        }
    }

    /// In decibels; `None` where nothing differs.
    pub fn psnr(&self) -> Option<f64> {
        let mean = self.squares as f64 / self.count as f64;
        (self.squares > 0).then(|| 10.0 * (255.0f64.powi(2) / mean).log10())
    }

    pub fn json(&self) -> Value {
        json!({
            "values": self.count, "differing": self.differing, "by-more-than-one": self.by_more_than_one,
            "largest-difference": self.largest, "psnr": self.psnr(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_level_in_one_channel_is_told_from_more() {
        let levels = [8, 8, 4];
        let mut difference = OfIndices::default();
        // 11 = 3 + 8 · 1 + 64 · 0.
        let expected = [11, 11, 11, 11, 11];
        let found = [11, 12, 11 + 64, 13, 11 + 1 + 8];
        difference.add(&expected, &found, &levels);
        let wanted = OfIndices {
            count: 5,
            differing: 4,
            by_one_level: 2,
        };
        assert_eq!(difference, wanted);
    }

    #[test]
    fn a_carry_is_not_one_level() {
        // 7 and 8 are neighbours as numbers, and not as levels: (7, 0) and (0, 1).
        let mut difference = OfIndices::default();
        difference.add(&[7], &[8], &[8, 8]);
        assert_eq!((difference.differing, difference.by_one_level), (1, 0));
    }

    #[test]
    fn numbers_have_a_relative_error() {
        let mut difference = OfFloats::default();
        difference.add(&[3.0, 4.0], &[3.0, 4.5]);
        assert_eq!(difference.largest, 0.5);
        assert_eq!(difference.relative(), 0.1);
        difference.add(&[1.0], &[f32::NAN]);
        assert_eq!(difference.largest, f64::INFINITY);
        assert_eq!(difference.json()["largest-difference"], "inf");
    }

    #[test]
    fn pictures_have_a_signal_to_noise_ratio() {
        let mut same = OfPictures::default();
        same.add(&[1, 2], &[1, 2]);
        assert_eq!(same.psnr(), None);
        let mut difference = OfPictures::default();
        difference.add(&[0, 0, 10, 10], &[0, 1, 10, 7]);
        assert_eq!(
            (difference.differing, difference.by_more_than_one, difference.largest),
            (2, 1, 3)
        );
        // A mean square of 10 / 4.
        let expected = 10.0 * (65025.0f64 / 2.5).log10();
        assert!((difference.psnr().unwrap() - expected).abs() < 1e-12);
    }
}
