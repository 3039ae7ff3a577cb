//! Continuous tokens drawn from the encoder's posterior, as the reference does in training.

use gst::glib;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::stream::Tokens;

/// Which value of the posterior a continuous token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokLatent")]
#[repr(u32)]
pub enum Latent {
    #[default]
    #[enum_value(name = "The posterior's mean", nick = "mean")]
    Mean,
    #[enum_value(name = "A sample from the posterior", nick = "sample")]
    Sample,
}

/// Draws tokens with noise that depends on the seed and the number of the segment only: not on times, which each
/// container rounds in its own way, and not on the segments before.
pub struct Sampler {
    seed: u64,
    /// Number of the segment that starts next.
    segment: u64,
    generator: ChaCha8Rng,
}

impl Sampler {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            segment: 0,
            generator: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub fn start_segment(&mut self) {
        self.generator = ChaCha8Rng::seed_from_u64(self.seed);
        self.generator.set_stream(self.segment);
        self.segment += 1;
    }

    /// mean + exp(½ · logvar) · ε, with ε from the standard normal distribution.
    pub fn draw(&mut self, means: Tokens, log_variances: &[f32]) -> Tokens {
        let Tokens::Floats(mut values) = means else {
            return means;
        };
        for (value, log_variance) in values.iter_mut().zip(log_variances) {
            let noise: f32 = StandardNormal.sample(&mut self.generator);
            *value += (0.5 * log_variance).exp() * noise;
        }
        Tokens::Floats(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(sampler: &mut Sampler, mean: f32, log_variance: f32, count: usize) -> Vec<f32> {
        match sampler.draw(Tokens::Floats(vec![mean; count]), &vec![log_variance; count]) {
            Tokens::Floats(values) => values,
            Tokens::Indices(_) => unreachable!("floats stay floats"),
        }
    }

    #[test]
    fn samples_have_the_posteriors_mean_and_variance() {
        let values = draw(&mut Sampler::new(1), 3.0, 4.0f32.ln(), 40_000);
        let mean = values.iter().sum::<f32>() / 40_000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 40_000.0;
        // Standard deviation 2: the mean of 40,000 is within 0.05 (5 σ), the variance within 0.15 (5 σ).
        assert!(
            (mean - 3.0).abs() < 0.05 && (variance - 4.0).abs() < 0.15,
            "{mean} {variance}"
        );
    }

    #[test]
    fn a_segment_draws_by_its_number_and_the_seed() {
        let segments = |seed, drawn: usize| {
            let mut sampler = Sampler::new(seed);
            sampler.start_segment();
            let first = draw(&mut sampler, 0.0, 0.0, drawn);
            sampler.start_segment();
            (first, draw(&mut sampler, 0.0, 0.0, 5))
        };
        let (first, second) = segments(7, 5);
        assert_ne!(first, second);
        // However much the segment before has drawn.
        assert_eq!(segments(7, 9).1, second);
        assert_eq!(segments(7, 5).0, first);
        assert_ne!(segments(8, 5), (first, second));
    }
}
