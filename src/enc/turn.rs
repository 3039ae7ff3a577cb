//! Turns pictures as a tag asks players to. Free of GStreamer.

/// How a picture is turned before it is shown: a mirror image or not, then clockwise by quarters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    mirrored: bool,
    quarters: u8,
}

impl Turn {
    /// Reads GStreamer's tag `image-orientation`; `None`: an unknown one.
    pub fn of_tag(orientation: &str) -> Option<Self> {
        let (mirrored, angle) = match orientation.strip_prefix("flip-rotate-") {
            Some(angle) => (true, angle),
            None => (false, orientation.strip_prefix("rotate-")?),
        };
        let quarters = ["0", "90", "180", "270"].iter().position(|known| *known == angle)? as u8;
        Some(Self { mirrored, quarters })
    }

    /// Nothing is turned.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Width and height change places.
    pub fn swaps_sides(self) -> bool {
        self.quarters % 2 == 1
    }

    /// The tag's text.
    pub fn as_text(self) -> String {
        let flip = if self.mirrored { "flip-" } else { "" };
        format!("{flip}rotate-{}", u32::from(self.quarters) * 90)
    }

    /// The size of a picture of `width` × `height` when it is turned.
    pub fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.swaps_sides() {
            (height, width)
        } else {
            (width, height)
        }
    }

    /// Writes row `y` of the turned picture. `picture`: the RGB bytes of `width` × `height` pixels without padding.
    pub fn row(self, picture: &[u8], (width, height): (usize, usize), y: usize, row: &mut [u8]) {
        // In the picture: where the row begins, and how far apart its pixels are.
        let (right, down) = (width as isize - 1, height as isize - 1);
        let (y, w) = (y as isize, width as isize);
        let ([x, y], [step_x, step_y]) = match self.quarters {
            0 => ([0, y], [1, 0]),
            1 => ([y, down], [0, -1]),
            2 => ([right, down - y], [-1, 0]),
            _ => ([right - y, 0], [0, 1]),
        };
        let (x, step_x) = if self.mirrored {
            (right - x, -step_x)
        } else {
            (x, step_x)
        };
        let mut at = y * w + x;
        for pixel in row.as_chunks_mut::<3>().0 {
            pixel.copy_from_slice(&picture[at as usize * 3..][..3]);
            at += step_y * w + step_x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: [&str; 8] = [
        "rotate-0",
        "rotate-90",
        "rotate-180",
        "rotate-270",
        "flip-rotate-0",
        "flip-rotate-90",
        "flip-rotate-180",
        "flip-rotate-270",
    ];

    /// The rows of the picture `abc` over `def` turned as `tag` says, a letter a pixel.
    fn turned(tag: &str) -> Vec<String> {
        let turn = Turn::of_tag(tag).unwrap();
        let picture: Vec<u8> = b"abcdef".iter().flat_map(|letter| [*letter; 3]).collect();
        let (width, height) = turn.size((3, 2));
        let row = |y| {
            let mut row = vec![0; width as usize * 3];
            turn.row(&picture, (3, 2), y as usize, &mut row);
            row.chunks(3).map(|pixel| pixel[0] as char).collect()
        };
        (0..height).map(row).collect()
    }

    #[test]
    fn pictures_are_mirrored_and_then_turned_clockwise() {
        for (tag, rows) in [
            ("rotate-0", ["abc", "def"].as_slice()),
            ("rotate-90", &["da", "eb", "fc"]),
            ("rotate-180", &["fed", "cba"]),
            ("rotate-270", &["cf", "be", "ad"]),
            ("flip-rotate-0", &["cba", "fed"]),
            ("flip-rotate-90", &["fc", "eb", "da"]),
            ("flip-rotate-180", &["def", "abc"]),
            ("flip-rotate-270", &["ad", "be", "cf"]),
        ] {
            assert_eq!(turned(tag), rows, "{tag}");
        }
    }

    #[test]
    fn tags_are_read_and_written() {
        for tag in TAGS {
            assert_eq!(Turn::of_tag(tag).unwrap().as_text(), tag);
        }
        for unknown in ["", "rotate-45", "rotate--90", "flip", "90"] {
            assert_eq!(Turn::of_tag(unknown), None, "{unknown}");
        }
        assert!(Turn::of_tag("rotate-0").unwrap().is_none() && !Turn::of_tag("flip-rotate-0").unwrap().is_none());
    }
}
