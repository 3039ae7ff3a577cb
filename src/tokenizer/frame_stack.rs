//! The frames of one encoder step in memory: RGB, padded right and below with copies of the picture's edge.

use std::ops::Range;

use multiversion::multiversion;

use super::FrameType;
use crate::resize::to_bytes;

const CHANNELS: usize = 3;

/// `[T, H, W, 3]` numbers from 0 to 255 in the type that the network takes, filled frame by frame.
pub struct FrameStack {
    width: usize,
    height: usize,
    padded_width: usize,
    padded_height: usize,
    frame_type: FrameType,
    data: Vec<u8>,
    /// A row of bytes, for a network that takes floats.
    row: Vec<u8>,
}

impl FrameStack {
    /// For pictures of `width` × `height` pixels that the network takes with the padded ones. Frames are black at first.
    pub fn new(
        frame_type: FrameType,
        frames: usize,
        (width, height): (u32, u32),
        (padded_width, padded_height): (u32, u32),
    ) -> Self {
        let [width, height, padded_width, padded_height] =
            [width, height, padded_width, padded_height].map(|size| size as usize);
        Self {
            width,
            height,
            padded_width,
            padded_height,
            frame_type,
            data: vec![0; frames * padded_width * padded_height * CHANNELS * frame_type.size()],
            row: vec![0; width * CHANNELS],
        }
    }

    /// Fills frame `index` with bytes: `row` writes those of each row, from the top down.
    pub fn set(&mut self, index: usize, mut row: impl FnMut(usize, &mut [u8])) {
        for y in 0..self.height {
            match self.frame_type {
                FrameType::Uint8 => row(y, self.picture_row(index, y)),
                FrameType::Float32 => {
                    let mut bytes = std::mem::take(&mut self.row);
                    row(y, &mut bytes);
                    widen(&bytes, self.picture_row(index, y));
                    self.row = bytes;
                }
            }
        }
        self.pad(index);
    }

    /// Fills frame `index` with floats: `rows` hands over each row's number and its `width · 3` floats. A network that takes
    /// bytes gets the nearest ones.
    pub fn set_floats(&mut self, index: usize, rows: impl FnOnce(&mut dyn FnMut(usize, &[f32]))) {
        let frame_type = self.frame_type;
        rows(&mut |y, floats| {
            let row = self.picture_row(index, y);
            match frame_type {
                FrameType::Uint8 => to_bytes(floats, row),
                FrameType::Float32 => {
                    for (bytes, float) in row.as_chunks_mut().0.iter_mut().zip(floats) {
                        *bytes = float.to_ne_bytes();
                    }
                }
            }
        });
        self.pad(index);
    }

    /// Copies frame `from` to all of `to`.
    pub fn repeat(&mut self, from: usize, to: Range<usize>) {
        let bytes = self.frame_bytes();
        for index in to {
            self.data.copy_within(from * bytes..(from + 1) * bytes, index * bytes);
        }
    }

    /// What the network takes.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn pixel_bytes(&self) -> usize {
        CHANNELS * self.frame_type.size()
    }

    fn row_bytes(&self) -> usize {
        self.padded_width * self.pixel_bytes()
    }

    fn frame_bytes(&self) -> usize {
        self.row_bytes() * self.padded_height
    }

    /// Row `y` of frame `index` without padding.
    fn picture_row(&mut self, index: usize, y: usize) -> &mut [u8] {
        let start = index * self.frame_bytes() + y * self.row_bytes();
        let length = self.width * self.pixel_bytes();
        &mut self.data[start..][..length]
    }

    fn pad(&mut self, index: usize) {
        let (row_bytes, pixel_bytes, frame_bytes) = (self.row_bytes(), self.pixel_bytes(), self.frame_bytes());
        let (width, height) = (self.width, self.height);
        let frame = &mut self.data[index * frame_bytes..][..frame_bytes];
        for row in frame.chunks_exact_mut(row_bytes).take(height) {
            let (inside, padding) = row.split_at_mut(width * pixel_bytes);
            let last = &inside[inside.len() - pixel_bytes..];
            for pixel in padding.chunks_exact_mut(pixel_bytes) {
                pixel.copy_from_slice(last);
            }
        }
        let last = (height - 1) * row_bytes;
        for y in height..self.padded_height {
            frame.copy_within(last..last + row_bytes, y * row_bytes);
        }
    }
}

/// Bytes to floats, in vectors.
#[multiversion(targets("x86_64+avx2"))]
fn widen(bytes: &[u8], floats: &mut [u8]) {
    for (float, byte) in floats.as_chunks_mut().0.iter_mut().zip(bytes) {
        *float = f32::from(*byte).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: [u8; 12] = [1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6];

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_ne_bytes(b.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn the_edge_is_repeated_right_and_below() {
        let mut stack = FrameStack::new(FrameType::Uint8, 2, (2, 1), (4, 2));
        stack.set(0, |_, row| row.copy_from_slice(&[1, 2, 3, 4, 5, 6]));
        assert_eq!(stack.bytes()[..24], [ROW, ROW].concat());
        assert!(stack.bytes()[24..].iter().all(|b| *b == 0));
        stack.repeat(0, 1..2);
        assert_eq!(stack.bytes()[24..], [ROW, ROW].concat());
    }

    #[test]
    fn floats_are_bytes_or_what_lies_between_them() {
        let mut stack = FrameStack::new(FrameType::Float32, 2, (2, 1), (4, 2));
        stack.set(0, |_, row| row.copy_from_slice(&[1, 2, 3, 4, 5, 6]));
        assert_eq!(
            floats(stack.bytes())[..24],
            [ROW, ROW].concat().into_iter().map(f32::from).collect::<Vec<_>>()
        );
        stack.set_floats(1, |row| row(0, &[0.25, 2.5, -1.0, 4.0, 5.0, 255.5]));
        assert_eq!(floats(stack.bytes())[24..30], [0.25, 2.5, -1.0, 4.0, 5.0, 255.5]);
        assert_eq!(floats(stack.bytes())[45..], [4.0, 5.0, 255.5]);
    }

    #[test]
    fn a_network_of_bytes_gets_the_nearest() {
        let mut stack = FrameStack::new(FrameType::Uint8, 1, (2, 1), (2, 1));
        stack.set_floats(0, |row| row(0, &[0.25, 2.5, -1.0, 3.5, 254.6, 300.0]));
        assert_eq!(stack.bytes(), [0, 2, 0, 4, 255, 255]);
    }
}
