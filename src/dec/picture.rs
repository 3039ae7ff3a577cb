//! Pictures as buffers.

use crate::timeline::FrameTime;

/// Frame `index` of `frames`, which are RGB of the padded size, cropped to the video's size. The padding of the
/// buffer's rows is zero, as fresh memory may hold data of other parts of the process.
pub fn picture(
    video: &gst_video::VideoInfo,
    frames: &[u8],
    (padded_width, padded_height): (u32, u32),
    index: usize,
    time: FrameTime,
) -> Result<gst::Buffer, gst::glib::BoolError> {
    let mut buffer = gst::Buffer::with_size(video.size())?;
    let buffer_mut = buffer.make_mut();
    let row = padded_width as usize * 3;
    let frame = &frames[index * row * padded_height as usize..];
    let stride = video.stride()[0] as usize;
    let bytes = video.width() as usize * 3;
    {
        let mut map = buffer_mut.map_writable()?;
        let rows = map
            .chunks_mut(stride)
            .zip(frame.chunks_exact(row))
            .take(video.height() as usize);
        for (to, from) in rows {
            let (pixels, padding) = to.split_at_mut(bytes);
            pixels.copy_from_slice(&from[..bytes]);
            padding.fill(0);
        }
    }
    buffer_mut.set_pts(gst::ClockTime::from_nseconds(time.pts));
    buffer_mut.set_duration(time.duration.map(gst::ClockTime::from_nseconds));
    Ok(buffer)
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
        let picture = picture(&video, &frames, (4, 3), 1, time).unwrap();
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
