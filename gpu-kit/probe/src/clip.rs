//! Moving pictures, and tokens, to run networks on.

/// Waves with some noise, RGB, such that each stream and each frame is another one.
pub fn picture(stream: usize, index: usize, width: usize, height: usize) -> Vec<u8> {
    let mut noise = Noise::new(((stream as u64) << 32) | index as u64);
    let shift = 3 * index + 17 * stream;
    let wave = |x: usize, y: usize, colour: usize| {
        let phase = (x + shift) as f32 / 9.0 + (y * (colour + 1)) as f32 / 23.0;
        127.5 + 100.0 * phase.sin()
    };
    let mut bytes = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            bytes.extend([0, 1, 2].map(|colour| (wave(x, y, colour) + noise.below(16) as f32) as u8));
        }
    }
    bytes
}

/// The frames of a step, one after the other: `[T, H, W, 3]`.
pub fn frames(stream: usize, step: usize, count: usize, width: usize, height: usize) -> Vec<u8> {
    let frames = step * count..(step + 1) * count;
    frames.flat_map(|index| picture(stream, index, width, height)).collect()
}

/// Numbers that are the same on every machine (xorshift64*).
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        // Of zero it would make nothing but zeros.
        Self(seed.wrapping_add(1).max(1))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_frames_differ_and_come_again_the_same() {
        let first = picture(0, 0, 16, 8);
        assert_eq!(first.len(), 16 * 8 * 3);
        assert_eq!(first, picture(0, 0, 16, 8));
        assert_ne!(first, picture(0, 1, 16, 8));
        assert_ne!(first, picture(1, 0, 16, 8));
    }

    #[test]
    fn a_step_has_the_frames_that_follow_the_last_step_s() {
        let step = frames(2, 1, 4, 8, 8);
        let each: Vec<u8> = (4..8).flat_map(|index| picture(2, index, 8, 8)).collect();
        assert_eq!(step, each);
    }
}
