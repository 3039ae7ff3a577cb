//! The numbers that an encoder graph takes its frames in.

/// The element type of an encoder's input `frames`, RGB from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// Whole numbers, a byte each.
    Uint8,
    /// Any numbers, also a little outside: those of a resized picture are not whole.
    Float32,
}

impl FrameType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Float32 => "float32",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let all = [Self::Uint8, Self::Float32];
        all.into_iter().find(|frame_type| frame_type.as_str() == name)
    }

    /// Bytes per number.
    pub fn size(self) -> usize {
        match self {
            Self::Uint8 => size_of::<u8>(),
            Self::Float32 => size_of::<f32>(),
        }
    }

    /// The whole numbers `rgb` in this type, as the bytes that a network takes. `buffer` holds them where they are not
    /// `rgb` itself; it is worth keeping for the next frames.
    pub fn bytes_of<'a>(self, rgb: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
        if self == Self::Uint8 {
            return rgb;
        }
        buffer.resize(rgb.len() * self.size(), 0);
        let (floats, _) = buffer.as_chunks_mut();
        for (float, number) in floats.iter_mut().zip(rgb) {
            *float = f32::from(*number).to_ne_bytes();
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_becomes_the_float_of_its_value() {
        let rgb: Vec<u8> = (0..=255).collect();
        // Longer than what it will hold, from frames before.
        let mut buffer = vec![9; 2000];
        let floats: Vec<f32> = FrameType::Float32
            .bytes_of(&rgb, &mut buffer)
            .chunks(4)
            .map(|float| f32::from_ne_bytes(float.try_into().unwrap()))
            .collect();
        assert_eq!(floats, (0..256).map(|value| value as f32).collect::<Vec<_>>());
        assert_eq!(FrameType::Uint8.bytes_of(&rgb, &mut buffer), rgb);
    }

    #[test]
    fn names_are_those_of_the_document() {
        let document = include_str!("../../docs/graphs.md");
        let row = document
            .lines()
            .find(|line| line.starts_with("| `vidtok.input` |"))
            .unwrap();
        for frame_type in [FrameType::Uint8, FrameType::Float32] {
            assert!(row.contains(&format!("`{}`", frame_type.as_str())), "{row}");
            assert_eq!(FrameType::parse(frame_type.as_str()), Some(frame_type));
        }
        assert_eq!(FrameType::parse("float64"), None);
    }
}
