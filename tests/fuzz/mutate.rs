//! Changes inputs at random. The same seed gives the same changes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Numbers at the limits of types and checks.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 61,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

pub struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    chance: ChaCha8Rng,
}

impl<'a> Mutator<'a> {
    pub fn new(seeds: &'a [Vec<u8>], seed: u64) -> Self {
        Self {
            seeds,
            chance: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// One of the seeds, changed.
    pub fn next(&mut self) -> Vec<u8> {
        let mut input = self.seeds[self.below(self.seeds.len())].clone();
        let changes = [1, 1, 1, 2, 4, 16][self.below(6)];
        for _ in 0..changes {
            self.change(&mut input);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let length = [1, 1, 2, 4, 8, 64][self.below(6)];
        let end = (at + length).min(input.len());
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.below(256) as u8,
            2 => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                let length = [1, 2, 4, 8][self.below(4)].min(input.len() - at);
                input[at..at + length].copy_from_slice(&number[..length]);
            }
            3 => drop(input.drain(at..end)),
            4 => {
                let fresh: Vec<u8> = (0..length).map(|_| self.below(256) as u8).collect();
                input.splice(at..at, fresh);
            }
            5 => {
                // A piece of any seed, possibly the same.
                let other = &self.seeds[self.below(self.seeds.len())];
                let start = self.below(other.len() + 1);
                let piece = &other[start..(start + length).min(other.len())];
                input.splice(at..at, piece.iter().copied());
            }
            6 if self.below(4) == 0 => input.truncate(at),
            _ => (),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.chance.next_u64() % end as u64) as usize
    }
}
