//! Pictures as buffers.

use super::colour::meaning;
use crate::timeline::FrameTime;
use crate::yuv::{Chroma, Converter, Plane};

/// Makes buffers of the network's frames.
pub struct PictureMaker {
    video: gst_video::VideoInfo,
    /// `None` for RGB.
    converter: Option<Converter>,
}

impl PictureMaker {
    /// `None` if such pictures are not made here.
    pub fn new(video: gst_video::VideoInfo) -> Option<Self> {
        let converter = match video.format() {
            gst_video::VideoFormat::Rgb => None,
            gst_video::VideoFormat::I420 | gst_video::VideoFormat::Nv12 => {
                Some(Converter::new(video.width() as usize, meaning(&video)?))
            }
            _ => return None,
        };
        Some(Self { video, converter })
    }

    /// The layout of the pictures.
    pub fn video(&self) -> &gst_video::VideoInfo {
        &self.video
    }

    /// Frame `index` of `frames`, which are RGB of the padded size, cropped to the video's size. What of the buffer is
    /// no pixel is zero, as fresh memory may hold data of other parts of the process.
    pub fn picture(
        &mut self,
        frames: &[u8],
        (padded_width, padded_height): (u32, u32),
        index: usize,
        time: FrameTime,
    ) -> Result<gst::Buffer, gst::glib::BoolError> {
        let mut buffer = gst::Buffer::with_size(self.video.size())?;
        let buffer_mut = buffer.make_mut();
        let row = padded_width as usize * 3;
        let frame = &frames[index * row * padded_height as usize..];
        self.write(frame, row, &mut buffer_mut.map_writable()?);
        buffer_mut.set_pts(gst::ClockTime::from_nseconds(time.pts));
        buffer_mut.set_duration(time.duration.map(gst::ClockTime::from_nseconds));
        Ok(buffer)
    }

    /// Writes the upper left part of `frame`, whose rows have `row` bytes.
    fn write(&mut self, frame: &[u8], row: usize, out: &mut [u8]) {
        let (width, height) = (self.video.width() as usize, self.video.height() as usize);
        let half = (width.div_ceil(2), height.div_ceil(2));
        let planar = self.video.n_planes() == 3;
        let mut planes = planes(&self.video, out);
        let mut next = |bytes: usize, rows: usize| {
            let mut plane = planes.next().expect("the format has this plane");
            clear_padding(&mut plane, bytes, rows);
            plane
        };
        let Some(converter) = &mut self.converter else {
            let Plane { bytes, stride } = next(width * 3, height);
            for (to, from) in bytes.chunks_mut(stride).zip(frame.chunks_exact(row)).take(height) {
                to[..width * 3].copy_from_slice(&from[..width * 3]);
            }
            return;
        };
        let luma = next(width, height);
        let chroma = if planar {
            Chroma::Planar(next(half.0, half.1), next(half.0, half.1))
        } else {
            Chroma::Interleaved(next(half.0 * 2, half.1))
        };
        converter.run(frame, row, 0..height, luma, chroma);
    }
}

/// The planes of a picture, one behind the other in `out`.
fn planes<'a>(video: &gst_video::VideoInfo, out: &'a mut [u8]) -> impl Iterator<Item = Plane<'a>> {
    let strides = video.stride().iter().map(|stride| *stride as usize);
    let ends: Vec<usize> = video.offset()[1..].iter().copied().chain([out.len()]).collect();
    let mut rest = out;
    let mut at = 0;
    strides.zip(ends).map(move |(stride, end)| {
        let (bytes, behind) = std::mem::take(&mut rest).split_at_mut(end - at);
        (rest, at) = (behind, end);
        Plane { bytes, stride }
    })
}

/// Makes all bytes zero but the first `bytes` of the first `rows` rows.
fn clear_padding(plane: &mut Plane, bytes: usize, rows: usize) {
    for (index, row) in plane.bytes.chunks_mut(plane.stride).enumerate() {
        row[if index < rows { bytes } else { 0 }..].fill(0);
    }
}

/// Cuts a picture's time to the playback segment; `None` where it lies outside.
pub fn clip(mut picture: gst::Buffer, segment: &gst::FormattedSegment<gst::ClockTime>) -> Option<gst::Buffer> {
    let Some(pts) = picture.pts() else { return Some(picture) };
    let end = picture.duration().and_then(|duration| pts.checked_add(duration));
    let (start, stop) = segment.clip(pts, end)?;
    let picture_mut = picture.make_mut();
    picture_mut.set_pts(start);
    if let (Some(start), Some(stop), Some(_)) = (start, stop, end) {
        picture_mut.set_duration(stop.checked_sub(start));
    }
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cropped_and_their_padding_is_zero() {
        gst::init().unwrap();
        let video = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 3, 2);
        let video = video.build().unwrap();
        assert_eq!(video.stride()[0], 12);
        // Two frames of 4 × 3 pixels.
        let frames: Vec<u8> = (0..2 * 4 * 3 * 3).collect();
        let time = FrameTime {
            pts: 7,
            duration: Some(5),
        };
        let mut maker = PictureMaker::new(video).unwrap();
        let picture = maker.picture(&frames, (4, 3), 1, time).unwrap();
        let map = picture.map_readable().unwrap();
        let rows: Vec<u8> = (36..45).chain([0; 3]).chain(48..57).chain([0; 3]).collect();
        assert_eq!(&map[..], rows);
        assert_eq!(
            (picture.pts(), picture.duration()),
            (
                Some(gst::ClockTime::from_nseconds(7)),
                Some(gst::ClockTime::from_nseconds(5))
            )
        );
    }
}
