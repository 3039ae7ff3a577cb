//! `GstVidtokMeta`: what the bytes of a `raw` token buffer cannot say.
//!
//! `docs/raw.md` says what PTS, duration and flags mean without this meta, and lists the fields for C and Python.
//!
//! | field | type |
//! | --- | --- |
//! | `segment-start`, `end-of-stream` | boolean |
//! | `segment-end` | boolean; may be missing |
//! | `real-frames` | guint, at least 1 |
//! | `offsets` | GstValueArray of guint64, in nanoseconds; may be missing |

use std::sync::LazyLock;

use gst::meta::CustomMeta;

const NAME: &str = "GstVidtokMeta";

const SEGMENT_START: &str = "segment-start";
const SEGMENT_END: &str = "segment-end";
const END_OF_STREAM: &str = "end-of-stream";
const REAL_FRAMES: &str = "real-frames";
const OFFSETS: &str = "offsets";

/// The fields of the meta.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenMeta {
    /// The buffer's first latent frame is a segment's first.
    pub segment_start: bool,
    /// The segment ends with the buffer; `false` also where that is not known.
    pub segment_end: bool,
    /// Nothing follows in this stream.
    pub end_of_stream: bool,
    /// Video frames that are shown. The buffer's latent frames may stand for more: padding behind these.
    pub real_frames: u32,
    /// Nanoseconds from the buffer's PTS to each real frame but the first; `None`: on the framerate's grid.
    pub offsets: Option<Vec<u64>>,
}

/// Registers the meta, which GStreamer allows once per process.
static REGISTERED: LazyLock<()> = LazyLock::new(|| {
    CustomMeta::register(NAME, &[]);
});

/// Attaches `meta` to `buffer`.
pub fn add(buffer: &mut gst::BufferRef, meta: &TokenMeta) {
    LazyLock::force(&REGISTERED);
    // Fails only for a name that is not registered.
    let mut custom = CustomMeta::add(buffer, NAME).expect("the meta is registered");
    let s = custom.mut_structure();
    s.set(SEGMENT_START, meta.segment_start);
    s.set(SEGMENT_END, meta.segment_end);
    s.set(END_OF_STREAM, meta.end_of_stream);
    s.set(REAL_FRAMES, meta.real_frames);
    if let Some(offsets) = &meta.offsets {
        s.set(OFFSETS, gst::Array::new(offsets));
    }
}

/// The buffer's meta; `None` where there is none, or a field is missing or of another type.
pub fn get(buffer: &gst::BufferRef) -> Option<TokenMeta> {
    LazyLock::force(&REGISTERED);
    let custom = CustomMeta::from_buffer(buffer, NAME).ok()?;
    let s = custom.structure();
    let offsets = s.get_optional::<gst::Array>(OFFSETS).ok()?;
    Some(TokenMeta {
        segment_start: s.get(SEGMENT_START).ok()?,
        segment_end: s.get_optional(SEGMENT_END).ok()?.unwrap_or_default(),
        end_of_stream: s.get(END_OF_STREAM).ok()?,
        real_frames: s.get(REAL_FRAMES).ok()?,
        offsets: match offsets {
            Some(offsets) => Some(offsets.iter().map(|o| o.get::<u64>().ok()).collect::<Option<_>>()?),
            None => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_carries_the_meta_and_so_does_its_copy() {
        gst::init().unwrap();
        let meta = TokenMeta {
            segment_start: true,
            segment_end: true,
            end_of_stream: false,
            real_frames: 3,
            offsets: Some(vec![5, u64::MAX]),
        };
        let mut buffer = gst::Buffer::new();
        assert_eq!(get(&buffer), None);
        add(buffer.make_mut(), &meta);
        assert_eq!(get(&buffer.copy()), Some(meta));
    }
}
