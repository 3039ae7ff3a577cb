//! The picture of the results: rows of originals, reconstructions and token maps, with a column per moment.

use std::path::Path;

use crate::Result;
use crate::canvas::{Canvas, Text};
use crate::pipeline::stream_time;
use crate::source::Source;

/// White space between tiles and around text, in pixels.
const GAP: usize = 8;
/// Narrower pictures are enlarged to make room for text.
const NARROWEST_TILE: usize = 160;
const ENCODE_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// A moment of the video.
pub struct Column {
    time: gst::ClockTime,
    original: Vec<u8>,
    reconstruction: Vec<u8>,
    map: Option<TokenMap>,
}

/// A latent frame in colours.
struct TokenMap {
    width: usize,
    height: usize,
    space_factor: usize,
    time_factor: usize,
    colours: Vec<[u8; 3]>,
}

impl Column {
    pub fn new(time: gst::ClockTime, original: Vec<u8>, reconstruction: Vec<u8>) -> Self {
        Self {
            time,
            original,
            reconstruction,
            map: None,
        }
    }

    /// Takes the latent frame of this moment from a buffer of raw tokens, if the buffer contains it.
    pub fn look_at(&mut self, sample: &gst::Sample) -> Result<()> {
        let (Some(buffer), Some(caps)) = (sample.buffer(), sample.caps()) else {
            return Ok(());
        };
        let Some((start, duration)) = stream_time(sample).zip(buffer.duration()) else {
            return Ok(());
        };
        if self.time < start || self.time >= start + duration.max(gst::ClockTime::from_nseconds(1)) {
            return Ok(());
        }
        let tokens = buffer.map_readable()?;
        let share = (self.time - start).nseconds() as f64 / duration.nseconds().max(1) as f64;
        self.map = Some(TokenMap::new(caps.structure(0).ok_or("empty caps")?, &tokens, share)?);
        Ok(())
    }
}

impl TokenMap {
    /// Colours of the latent frame at the relative position `share` in `tokens`.
    fn new(caps: &gst::StructureRef, tokens: &[u8], share: f64) -> Result<Self> {
        let size = |name| caps.get::<i32>(name).map(|value| value as usize);
        let (width, height) = (size("grid-width")?, size("grid-height")?);
        let levels: Vec<u32> = match caps.get::<gst::Array>("levels") {
            Ok(levels) => levels
                .iter()
                .filter_map(|level| Some(level.get::<i32>().ok()? as u32))
                .collect(),
            Err(_) => Vec::new(),
        };
        let values = values(&caps.get::<String>("token-type")?, tokens)?;
        let of_cell = if levels.is_empty() { size("channels")? } else { 1 };
        let of_latent_frame = (width * height * of_cell).max(1);
        let latent_frames = values.len() / of_latent_frame;
        let index = ((share * latent_frames as f64) as usize).min(latent_frames.saturating_sub(1));
        let cells = values
            .chunks_exact(of_latent_frame)
            .nth(index)
            .ok_or("a token buffer without tokens")?;
        let colour = |cell: &[f32]| match &levels[..] {
            [] => colour(cell.iter().map(|value| value / 6.0 + 0.5)),
            levels => colour(digits(cell[0] as u32, levels)),
        };
        let colours = cells.chunks_exact(of_cell).map(colour).collect();
        Ok(Self {
            width,
            height,
            space_factor: size("space-factor")?,
            time_factor: size("time-factor")?,
            colours,
        })
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let cell = |at: usize, cells: usize| (at / self.space_factor).min(cells - 1);
        self.colours[cell(y, self.height) * self.width + cell(x, self.width)]
    }
}

fn values(token_type: &str, bytes: &[u8]) -> Result<Vec<f32>> {
    Ok(match token_type {
        "uint16" => bytes
            .chunks_exact(2)
            .map(|b| f32::from(u16::from_le_bytes([b[0], b[1]])))
            .collect(),
        // Exact, as indices have at most 24 bits.
        "uint32" => bytes
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32)
            .collect(),
        "float16" => bytes
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        "float32" => bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        other => return Err(format!("tokens of the unknown type {other}").into()),
    })
}

/// The digits of an FSQ index, lowest first, scaled to 0 to 1.
fn digits(index: u32, levels: &[u32]) -> impl Iterator<Item = f32> {
    levels.iter().scan(index, |rest, level| {
        let digit = *rest % level;
        *rest /= level;
        Some(digit as f32 / (level - 1).max(1) as f32)
    })
}

/// A colour whose red, green and blue are the means of every third value, from values between 0 and 1.
fn colour(values: impl Iterator<Item = f32>) -> [u8; 3] {
    let (mut sums, mut counts) = ([0.0; 3], [0.0f32; 3]);
    for (index, value) in values.enumerate() {
        sums[index % 3] += value.clamp(0.0, 1.0);
        counts[index % 3] += 1.0;
    }
    std::array::from_fn(|i| (sums[i] / counts[i].max(1.0) * 255.0).round() as u8)
}

/// Writes the picture as PNG.
pub fn write(file: &Path, source: &Source, columns: &[Column]) -> Result<()> {
    let canvas = compose((source.width as usize, source.height as usize), columns);
    let format = gst_video::VideoFormat::Rgb;
    let video = gst_video::VideoInfo::builder(format, canvas.width as u32, canvas.height as u32).build()?;
    let mut buffer = gst::Buffer::from_mut_slice(vec![255u8; video.size()]);
    {
        let mut pixels = buffer.make_mut().map_writable()?;
        let padded = pixels.chunks_exact_mut(video.stride()[0] as usize);
        for (padded, row) in padded.zip(canvas.pixels.chunks_exact(canvas.width * 3)) {
            padded[..row.len()].copy_from_slice(row);
        }
    }
    let sample = gst::Sample::builder().buffer(&buffer).caps(&video.to_caps()?).build();
    let png = gst_video::convert_sample(&sample, &gst::Caps::new_empty_simple("image/png"), Some(ENCODE_TIMEOUT))?;
    let png = png.buffer().ok_or("no PNG was made")?.map_readable()?;
    Ok(std::fs::write(file, &png)?)
}

/// Draws the time of each column, then a heading and a row of pictures for originals, reconstructions and tokens.
/// `size`: width and height of the pictures in pixels.
fn compose(size: (usize, usize), columns: &[Column]) -> Canvas {
    let scale = NARROWEST_TILE.div_ceil(size.0.max(1));
    let tile = (size.0 * scale, size.1 * scale);
    let text = Text::within(tile.1 / 12);
    let line = text.height() + GAP;
    let width = columns.len() * (tile.0 + GAP) + GAP;
    let row_height = line + tile.1 + GAP;
    let mut canvas = Canvas::new(width, GAP + line + 3 * row_height);
    let left = |column: usize| GAP + column * (tile.0 + GAP);
    for (index, column) in columns.iter().enumerate() {
        canvas.write(left(index), GAP, text, &time_label(column.time));
    }
    for (row, headings) in headings(columns).iter().enumerate() {
        let top = GAP + line + row * row_height;
        let room = width - 2 * GAP;
        let heading = headings
            .iter()
            .find(|heading| text.width(heading) <= room)
            .unwrap_or(&headings[headings.len() - 1]);
        canvas.write(GAP, top, text, heading);
        for (index, column) in columns.iter().enumerate() {
            canvas.fill(left(index), top + line, tile, |x, y| {
                column.pixel(row, size.0, x / scale, y / scale)
            });
        }
    }
    canvas
}

impl Column {
    /// A pixel of the picture in `row`; pictures have `width` columns.
    fn pixel(&self, row: usize, width: usize, x: usize, y: usize) -> [u8; 3] {
        let at = (y * width + x) * 3;
        let of = |picture: &[u8]| [picture[at], picture[at + 1], picture[at + 2]];
        match row {
            0 => of(&self.original),
            1 => of(&self.reconstruction),
            _ => self.map.as_ref().map_or([255; 3], |map| map.at(x, y)),
        }
    }
}

/// Headings of the rows, the longer first, which is used if it fits.
fn headings(columns: &[Column]) -> [Vec<String>; 3] {
    let both = |long: &str, short: &str| vec![long.to_string(), short.to_string()];
    let tokens = columns.iter().find_map(|column| column.map.as_ref()).map(|map| {
        let (space, frames) = (map.space_factor, map.time_factor);
        format!("Tokens, in colours: one for {space}×{space} pixels of {frames} frames")
    });
    [
        both("Original", "Original"),
        both("Reconstruction, from the tokens alone", "Reconstruction"),
        both(&tokens.unwrap_or_default(), "Tokens"),
    ]
}

/// `0.30 s`; from one minute on `1:00.30`.
fn time_label(time: gst::ClockTime) -> String {
    let hundredths = (time.mseconds() + 5) / 10;
    let (seconds, hundredths) = (hundredths / 100, hundredths % 100);
    match seconds {
        0..60 => format!("{seconds}.{hundredths:02} s"),
        60..3600 => format!("{}:{:02}.{hundredths:02}", seconds / 60, seconds % 60),
        _ => format!(
            "{}:{:02}:{:02}.{hundredths:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_make_colours() {
        // Levels 8, 8, 8, 8, 8; the digits 7, 0, 7, 0, 7 from the lowest up.
        let index = 7 + 7 * 64 + 7 * 4096;
        assert_eq!(digits(index, &[8; 5]).collect::<Vec<_>>(), [1.0, 0.0, 1.0, 0.0, 1.0]);
        // Red: digits 0 and 3; green: 1 and 4; blue: 2.
        assert_eq!(colour(digits(index, &[8; 5])), [128, 128, 255]);
    }

    #[test]
    fn times_are_easy_to_read() {
        let label = |milliseconds| time_label(gst::ClockTime::from_mseconds(milliseconds));
        assert_eq!(
            [0, 304, 59_994, 59_995].map(label),
            ["0.00 s", "0.30 s", "59.99 s", "1:00.00"]
        );
        assert_eq!([83_400, 3_725_250].map(label), ["1:23.40", "1:02:05.25"]);
    }

    #[test]
    fn pictures_stand_below_headings_and_small_ones_are_enlarged() {
        let moment = |time| {
            Column::new(
                gst::ClockTime::from_seconds(time),
                vec![200; 64 * 48 * 3],
                vec![100; 64 * 48 * 3],
            )
        };
        let canvas = compose((64, 48), &[moment(0), moment(1)]);
        // Enlarged three times, with text of 16 pixels.
        assert_eq!(
            (canvas.width, canvas.height),
            (2 * (192 + 8) + 8, 8 + 24 + 3 * (24 + 144 + 8))
        );
        let at = |x: usize, y: usize| canvas.pixels[(y * canvas.width + x) * 3];
        assert_eq!([at(8, 56), at(199, 199), at(208, 56)], [200; 3]);
        assert_eq!([at(8, 56 + 176), at(399, 199 + 176)], [100; 2]);
        // Dark pixels in the line of times and in two headings.
        for top in [8, 32, 32 + 176] {
            let dark = |y: usize| (8..canvas.width).any(|x| at(x, y) < 64);
            assert!((top..top + 16).any(dark), "{top}");
        }
    }

    #[test]
    fn a_map_shows_the_latent_frame_of_the_moment() {
        gst::init().unwrap();
        let caps = gst::Structure::builder("video/x-vidtok")
            .field("grid-width", 2i32)
            .field("grid-height", 1i32)
            .field("space-factor", 8i32)
            .field("time-factor", 4i32)
            .field("levels", gst::Array::new([2i32, 2, 2]))
            .field("token-type", "uint16")
            .build();
        // Two latent frames of two cells.
        let tokens: Vec<u8> = [0u16, 1, 2, 7].iter().flat_map(|index| index.to_le_bytes()).collect();
        let map = TokenMap::new(&caps, &tokens, 0.75).unwrap();
        assert_eq!((map.at(7, 3), map.at(8, 3)), ([0, 255, 0], [255; 3]));
        // Positions outside the grid, as after a wrong header, have the colour of the nearest cell.
        assert_eq!(map.at(30, 9), [255; 3]);
    }
}
