//! What an H.264 stream itself says of its range of luma, where an MP4 file's box says something else: GStreamer believes the
//! box, and qtdemux loses that it says "full" (1.22 to 1.26); FFmpeg and PyTorch's readers believe the stream.

use gst::prelude::*;
use h264_reader::avcc::AvcDecoderConfigurationRecord;

use super::upstream::elements_before;

/// Whether the stream behind the decoder upstream of `sink` says that its luma is of full range; `None`: it does not say, or
/// cannot be looked at.
pub fn is_full(sink: &gst::Pad) -> Option<bool> {
    let decoder = elements_before(sink).find(is_video_decoder)?;
    let caps = decoder.static_pad("sink")?.current_caps()?;
    let s = caps.structure(0).filter(|s| s.name() == "video/x-h264")?;
    let data = s.get::<gst::Buffer>("codec_data").ok()?;
    let data = data.map_readable().ok()?;
    range_in(&data)
}

fn is_video_decoder(element: &gst::Element) -> bool {
    let class = element.factory().and_then(|factory| {
        let class = factory.metadata(gst::ELEMENT_METADATA_KLASS)?;
        Some(class.split('/').all(|part| part != "Parser") && class.contains("Decoder") && class.contains("Video"))
    });
    class.unwrap_or(false)
}

/// Reads a decoder configuration record (ISO/IEC 14496-15), which may hold anything.
fn range_in(record: &[u8]) -> Option<bool> {
    let record = AvcDecoderConfigurationRecord::try_from(record).ok()?;
    let context = record.create_context().ok()?;
    let says = |sps: &h264_reader::nal::sps::SeqParameterSet| {
        Some(
            sps.vui_parameters
                .as_ref()?
                .video_signal_type
                .as_ref()?
                .video_full_range_flag,
        )
    };
    context.sps().find_map(says)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records that x264 has written (GStreamer shows them as `codec_data`): full range, limited range, and nothing said.
    const FULL: &str = "0164000affe1001a6764000aacd9447b016e020202800000030080000019078912cb01000668ebe3cb22c0fdf8f800";
    const LIMITED: &str =
        "0164000dffe1001c6764000dacd9410086c05a808080a0000003002000000641e28532c001000668ebe3cb22c0fdf8f800";
    const UNSAID: &str = "0164000dffe100196764000dacd9410086c044000003000400000300c83c50a65801000668ebe3cb22c0fdf8f800";

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn the_range_is_read_where_it_is_said() {
        assert_eq!(range_in(&bytes(FULL)), Some(true));
        assert_eq!(range_in(&bytes(LIMITED)), Some(false));
        assert_eq!(range_in(&bytes(UNSAID)), None);
        for nothing in [&[][..], &[1], &[0; 64], &[255; 64]] {
            assert_eq!(range_in(nothing), None);
        }
    }

    proptest! {
        #[test]
        fn damage_is_survived(damage in prop::collection::vec((0usize..64, any::<u8>()), 0..8), length in 0usize..64) {
            let mut record = bytes(FULL);
            for (at, byte) in damage {
                if let Some(old) = record.get_mut(at) {
                    *old = byte;
                }
            }
            record.truncate(length);
            range_in(&record);
        }
    }
}
