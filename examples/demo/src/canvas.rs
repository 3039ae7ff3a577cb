//! A picture on which other pictures and text are drawn.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const WEIGHT: FontWeight = FontWeight::Regular;

/// An RGB picture without padding between rows; white at first.
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// Sizes of text.
#[derive(Clone, Copy)]
pub struct Text(RasterHeight);

impl Text {
    /// The largest size up to `height` pixels, or the smallest size of the font.
    pub fn within(height: usize) -> Self {
        Self(match height {
            32.. => RasterHeight::Size32,
            24.. => RasterHeight::Size24,
            20.. => RasterHeight::Size20,
            _ => RasterHeight::Size16,
        })
    }

    pub fn height(self) -> usize {
        self.0.val()
    }

    pub fn width(self, text: &str) -> usize {
        text.chars().count() * get_raster_width(WEIGHT, self.0)
    }
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![255; width * height * 3],
        }
    }

    /// Fills a rectangle with the colours that `pixel` returns for each position in it.
    pub fn fill(&mut self, left: usize, top: usize, size: (usize, usize), pixel: impl Fn(usize, usize) -> [u8; 3]) {
        for y in 0..size.1 {
            for x in 0..size.0 {
                self.set(left + x, top + y, pixel(x, y));
            }
        }
    }

    /// Writes black text. Letters that the font lacks become question marks; text that does not fit is cut.
    pub fn write(&mut self, left: usize, top: usize, size: Text, text: &str) {
        let mut at = left;
        for letter in text.chars() {
            let Some(raster) = get_raster(letter, WEIGHT, size.0).or_else(|| get_raster('?', WEIGHT, size.0)) else {
                continue;
            };
            for (y, row) in raster.rows().enumerate() {
                for (x, ink) in row.iter().enumerate() {
                    self.set(at + x, top + y, [255 - ink; 3]);
                }
            }
            at += raster.width();
        }
    }

    fn set(&mut self, x: usize, y: usize, pixel: [u8; 3]) {
        if x < self.width && y < self.height {
            self.pixels[(y * self.width + x) * 3..][..3].copy_from_slice(&pixel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the columns from `left` up to, but not including, `right` have dark pixels.
    fn has_ink(canvas: &Canvas, left: usize, right: usize) -> bool {
        let row = |row: &[u8]| row[left * 3..right * 3].iter().any(|value| *value < 64);
        canvas.pixels.chunks_exact(canvas.width * 3).any(row)
    }

    #[test]
    fn text_is_where_it_was_put_and_as_wide_as_it_says() {
        let size = Text::within(30);
        assert_eq!(size.height(), 24);
        let mut canvas = Canvas::new(200, 30);
        canvas.write(50, 3, size, "8×8");
        let end = 50 + size.width("8×8");
        assert!(!has_ink(&canvas, 0, 50) && !has_ink(&canvas, end, 200));
        let letter = size.width("8");
        assert!((0..3).all(|i| has_ink(&canvas, 50 + i * letter, 50 + (i + 1) * letter)));
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let mut canvas = Canvas::new(20, 10);
        canvas.write(5, 5, Text::within(16), "much too long");
        canvas.fill(15, 8, (10, 10), |_, _| [0; 3]);
        assert_eq!(canvas.pixels[canvas.pixels.len() - 3..], [0; 3]);
    }
}
