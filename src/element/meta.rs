//! What a `raw` token buffer cannot say by its bytes: carried as a `GstMeta` beside them.
//!
//! Without this meta, PTS, duration and flags say as much as they can: see `docs/raw.md`, which also has the fields for C and
//! Python.
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenMeta {
    /// The buffer's first latent frame is a segment's first.
    pub segment_start: bool,
    /// The segment ends with the buffer; `false` where that is not known.
    pub segment_end: bool,
    /// Nothing follows in this stream.
    pub end_of_stream: bool,
    /// How many video frames of the buffer's latent frames are real; the rest is padding behind them.
    pub real_frames: u32,
    /// Nanoseconds from the buffer's PTS to each real frame but the first; `None` where they are evenly spaced.
    pub offsets: Option<Vec<u64>>,
}

/// Registers the meta once. GStreamer keeps it for the process.
static REGISTERED: LazyLock<()> = LazyLock::new(|| {
    CustomMeta::register(NAME, &[]);
});

/// Attaches `meta` to `buffer`.
pub fn add(buffer: &mut gst::BufferRef, meta: &TokenMeta) {
    LazyLock::force(&REGISTERED);
    // Fails only for a name that is not registered.
    let mut custom = CustomMeta::add(buffer, NAME).expect("the meta is registered");
    let s = custom.mut_structure();
    s.set("segment-start", meta.segment_start);
    s.set("segment-end", meta.segment_end);
    s.set("end-of-stream", meta.end_of_stream);
    s.set("real-frames", meta.real_frames);
    if let Some(offsets) = &meta.offsets {
        s.set("offsets", gst::Array::new(offsets));
    }
}

/// The buffer's meta, `None` where it has none that can be read.
pub fn get(buffer: &gst::BufferRef) -> Option<TokenMeta> {
    LazyLock::force(&REGISTERED);
    let custom = CustomMeta::from_buffer(buffer, NAME).ok()?;
    let s = custom.structure();
    let offsets = s.get_optional::<gst::Array>("offsets").ok()?;
    Some(TokenMeta {
        segment_start: s.get("segment-start").ok()?,
        segment_end: s.get_optional("segment-end").ok()?.unwrap_or_default(),
        end_of_stream: s.get("end-of-stream").ok()?,
        real_frames: s.get("real-frames").ok()?,
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
