//! The frames of one encoder step in memory: RGB, padded right and below with copies of the picture's edge.

use crate::tokenizer::FrameType;

/// `[T, H, W, 3]` bytes, filled frame by frame.
pub struct FrameStack {
    width: usize,
    height: usize,
    padded_width: usize,
    padded_height: usize,
    data: Vec<u8>,
    /// What the network takes.
    input: FrameType,
    /// `data` in that type, where it is another.
    converted: Vec<u8>,
}

impl FrameStack {
    pub fn new(
        frames: usize,
        (width, height): (u32, u32),
        (padded_width, padded_height): (u32, u32),
        input: FrameType,
    ) -> Self {
        let [width, height, padded_width, padded_height] =
            [width, height, padded_width, padded_height].map(|size| size as usize);
        Self {
            width,
            height,
            padded_width,
            padded_height,
            data: vec![0; frames * padded_width * padded_height * 3],
            input,
            converted: Vec::new(),
        }
    }

    /// Copies a picture to frame `index`. Its rows begin `stride` bytes apart, and have `width · 3` bytes at least.
    pub fn set(&mut self, index: usize, picture: &[u8], stride: usize) {
        let row_bytes = self.padded_width * 3;
        let frame_bytes = row_bytes * self.padded_height;
        let frame = &mut self.data[index * frame_bytes..][..frame_bytes];
        for (y, row) in frame.chunks_exact_mut(row_bytes).enumerate() {
            let source = &picture[y.min(self.height - 1) * stride..][..self.width * 3];
            let (inside, padding) = row.split_at_mut(self.width * 3);
            inside.copy_from_slice(source);
            for pixel in padding.chunks_exact_mut(3) {
                pixel.copy_from_slice(&source[source.len() - 3..]);
            }
        }
    }

    /// Copies frame `from` to all of `to`.
    pub fn repeat(&mut self, from: usize, to: std::ops::Range<usize>) {
        let bytes = self.padded_width * self.padded_height * 3;
        for index in to {
            self.data.copy_within(from * bytes..(from + 1) * bytes, index * bytes);
        }
    }

    /// The bytes of `[T, H, W, 3]` numbers of the type that the network takes.
    pub fn bytes(&mut self) -> &[u8] {
        self.input.bytes_of(&self.data, &mut self.converted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_is_repeated_right_and_below() {
        let mut stack = FrameStack::new(2, (2, 1), (4, 2), FrameType::Uint8);
        // Two pixels, then two bytes of row padding, which must not be copied.
        stack.set(0, &[1, 2, 3, 4, 5, 6, 99, 99], 8);
        let row = [1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6];
        assert_eq!(stack.bytes()[..24], [row, row].concat());
        assert!(stack.bytes()[24..].iter().all(|b| *b == 0));
        stack.repeat(0, 1..2);
        assert_eq!(stack.bytes()[24..], [row, row].concat());
    }

    #[test]
    fn a_network_of_floats_gets_floats() {
        let mut stack = FrameStack::new(1, (2, 1), (2, 2), FrameType::Float32);
        for picture in [[0, 1, 255, 4, 5, 6], [7, 8, 9, 10, 128, 12]] {
            stack.set(0, &picture, 6);
            let expected: Vec<u8> = [picture, picture]
                .concat()
                .iter()
                .flat_map(|n| f32::from(*n).to_ne_bytes())
                .collect();
            assert_eq!(stack.bytes(), expected);
        }
    }
}
