//! A buffer as a picture, or why it is not one.

use gst_video::VideoFrameRef;

/// Maps `buffer` as a picture with the layout `video`.
///
/// # Errors
/// A text for the user that says what the buffer is and what it should be.
pub fn map<'a>(
    buffer: &'a gst::BufferRef,
    video: &gst_video::VideoInfo,
) -> Result<VideoFrameRef<&'a gst::BufferRef>, String> {
    let (format, width, height) = (video.format(), video.width(), video.height());
    if let Some(meta) = buffer.meta::<gst_video::VideoMeta>() {
        if (meta.format(), meta.width(), meta.height()) != (format, width, height) {
            return Err(format!(
                "A frame's GstVideoMeta says {} of {}×{}, and the caps {format} of {width}×{height}",
                meta.format(),
                meta.width(),
                meta.height(),
            ));
        }
    } else if buffer.size() != video.size() {
        let rows = match video.n_planes() {
            1 => format!(", {height} rows of {}, padded to 4 bytes", video.stride()[0]),
            _ => String::new(),
        };
        return Err(format!(
            "A frame of {} bytes is not a picture of the size that the caps say: {format} of {width}×{height} is {} bytes{rows}",
            buffer.size(),
            video.size(),
        ));
    }
    VideoFrameRef::from_buffer_ref_readable(buffer, video)
        .ok()
        .filter(|frame| frame.plane_data(0).is_ok())
        .ok_or_else(|| format!("A frame of {} bytes cannot be read as {width}×{height}", buffer.size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(width: u32) -> gst_video::VideoInfo {
        let video = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, 4);
        video.build().unwrap()
    }

    fn refusal(buffer: &gst::BufferRef, width: u32) -> String {
        map(buffer, &video(width)).map(drop).expect_err("no picture")
    }

    #[test]
    fn a_picture_is_as_large_as_its_padded_rows() {
        gst::init().unwrap();
        assert!(map(&gst::Buffer::from_slice([0u8; 4 * 32]), &video(10)).is_ok());
        for bytes in [0, 4 * 30, 4 * 32 + 1, 4 * 40] {
            let said = refusal(&gst::Buffer::from_mut_slice(vec![0u8; bytes]), 10);
            for part in [
                &*format!("{bytes} bytes"),
                "128 bytes",
                "rows of 32",
                "padded to 4 bytes",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }

    #[test]
    fn a_picture_may_lie_in_several_memories() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        for rows in [1, 3] {
            let memory = gst::Memory::from_mut_slice(vec![rows as u8; rows * 32]);
            buffer.make_mut().append_memory(memory);
        }
        let video = video(10);
        let frame = map(&buffer, &video).unwrap();
        assert_eq!(frame.plane_data(0).unwrap()[..33], [[1; 32].as_slice(), &[3]].concat());
    }

    #[test]
    fn a_meta_of_another_picture_is_refused() {
        gst::init().unwrap();
        let with_meta = |width, height, stride: i32| {
            let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; 1024]);
            let flags = gst_video::VideoFrameFlags::empty();
            let format = gst_video::VideoFormat::Rgb;
            gst_video::VideoMeta::add_full(buffer.make_mut(), flags, format, width, height, &[0], &[stride]).unwrap();
            buffer
        };
        assert!(map(&with_meta(10, 4, 64), &video(10)).is_ok());
        for (width, height, stride) in [(8, 4, 64), (10, 2, 64)] {
            let said = refusal(&with_meta(width, height, stride), 10);
            assert!(said.contains(&format!("{width}×{height}")), "{said}");
        }
    }
}
