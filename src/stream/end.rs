//! End marks: the totals of a segment and of a stream, written behind them.

use serde::{Deserialize, Serialize};

use super::limits::MAX_LATENT_NUMBER;
use super::{StreamError, unique};
use crate::format::MAX_TIME_FACTOR;

/// What an end mark says. It shows a reader whether packets are missing at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// [Number](super::Position::segment) of the segment that ends here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_number: Option<u32>,
    /// Totals of the segment that ends here.
    #[serde(deserialize_with = "unique::object")]
    pub segment: Totals,
    /// Totals of the whole stream; `None` where the stream continues.
    #[serde(
        default,
        deserialize_with = "unique::object_or_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub stream: Option<Totals>,
}

/// The number of latent frames and frames in a segment or a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    pub latent_frames: u64,
    /// Real video frames.
    pub frames: u64,
}

impl Totals {
    /// The totals with `latent_frames` and `frames` more.
    pub(super) fn plus(self, latent_frames: u32, frames: u32) -> Self {
        Self {
            latent_frames: self.latent_frames.saturating_add(latent_frames.into()),
            frames: self.frames.saturating_add(frames.into()),
        }
    }

    fn is_possible(self) -> bool {
        self.latent_frames <= MAX_LATENT_NUMBER && self.frames <= self.latent_frames * u64::from(MAX_TIME_FACTOR)
    }
}

impl End {
    /// Checks that a stream can have these totals; afterwards no sum of them overflows.
    pub(super) fn check(&self) -> Result<(), StreamError> {
        let Self { segment, stream, .. } = self;
        let whole = stream.unwrap_or(*segment);
        let fits = segment.latent_frames <= whole.latent_frames && segment.frames <= whole.frames;
        if segment.is_possible() && whole.is_possible() && fits {
            return Ok(());
        }
        let reason = format!(
            "an end mark of {} latent frames and {} video frames in a segment, of {} and {} in all",
            segment.latent_frames, segment.frames, whole.latent_frames, whole.frames
        );
        Err(StreamError::Header(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::limits::MAX_STREAM_ID;
    use crate::stream::{Fault, StreamHeader};

    /// A stream header with `more` keys, and the right checksum.
    fn decode(more: &str) -> Result<StreamHeader, Fault> {
        let json = format!(
            r#"{{"model":"toy","tokenizer":"{}","regularizer":"kl","channels":1,"token-type":"float32","coding":"packed",
            "grid-width":1,"grid-height":1,"time-factor":4,"space-factor":8,"causal":true,"width":8,"height":8,
            "framerate":"30/1","pixel-aspect-ratio":"1/1"{more}}}"#,
            "0".repeat(64)
        );
        let mut bytes = b"\x89VIDTOK\x01".to_vec();
        bytes.extend((json.len() as u32).to_le_bytes());
        bytes.extend(json.as_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        StreamHeader::decode(&bytes).map(|(header, _)| header)
    }

    #[test]
    fn what_may_be_missing_may_be_missing() {
        let plain = decode("").unwrap();
        assert_eq!((plain.stream_id, plain.end), (None, None));
        let null = decode(r#","stream-id":null,"end":null"#).unwrap();
        assert_eq!((null.stream_id, null.end), (None, None));
        let end = decode(r#","end":{"new":1,"segment":{"latent-frames":2,"frames":5}}"#)
            .unwrap()
            .end;
        let segment = Totals {
            latent_frames: 2,
            frames: 5,
        };
        let expected = End {
            segment,
            ..End::default()
        };
        assert_eq!(end, Some(expected));
    }

    #[test]
    fn impossible_ids_are_refused() {
        let longest = "~".repeat(MAX_STREAM_ID);
        for good in ["!", &longest] {
            let read = decode(&format!(r#","stream-id":"{good}""#)).unwrap();
            assert_eq!(read.stream_id.as_deref(), Some(good));
        }
        let too_long = "x".repeat(60_000);
        for bad in ["", &too_long, "two words", r"line\n", r"\u0007", r"\u007f", "für"] {
            match decode(&format!(r#","stream-id":"{bad}""#)) {
                Err(Fault::Refused(error @ StreamError::Header(_))) => {
                    let text = error.to_string();
                    assert!(text.contains("stream-id") && text.len() < 200, "{text}");
                }
                other => panic!("{bad:.20}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_key_that_comes_twice_is_refused() {
        let end = r#","end":{"segment":{"latent-frames":2,"frames":5}}"#;
        for (from, to) in [
            (end, r#","new":1,"new":1"#),
            (end, r#","model":"toy""#),
            (r#"{"segment""#, r#"{"new":1,"new":2,"segment""#),
            (r#"{"latent"#, r#"{"new":1,"new":2,"latent"#),
            ("}}", r#"},"stream":{"new":1,"new":2,"latent-frames":2,"frames":5}}"#),
        ] {
            match decode(&end.replacen(from, to, 1)) {
                Err(Fault::Refused(error @ StreamError::Header(_))) => {
                    assert!(error.to_string().contains("twice"), "{error}");
                }
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    #[test]
    fn impossible_totals_are_refused() {
        let largest = MAX_LATENT_NUMBER;
        let totals =
            |latent_frames: &str, frames: &str| format!(r#"{{"latent-frames":{latent_frames},"frames":{frames}}}"#);
        let number = |number: u64| number.to_string();
        let max = totals(&number(largest), &number(largest * 64));
        let read = decode(&format!(r#","end":{{"segment":{max},"stream":{max}}}"#)).unwrap();
        assert_eq!(read.end.unwrap().segment.latent_frames, largest);
        for bad in [
            "7".into(),
            "{}".into(),
            format!(r#"{{"segment":{}}}"#, totals("-1", "0")),
            format!(r#"{{"segment":{}}}"#, totals("1.5", "1")),
            format!(r#"{{"segment":{}}}"#, totals(&number(largest + 1), "0")),
            format!(r#"{{"segment":{}}}"#, totals(&number(u64::MAX), &number(u64::MAX))),
            format!(r#"{{"segment":{}}}"#, totals("18446744073709551616", "0")),
            format!(r#"{{"segment":{}}}"#, totals("1", "65")),
            format!(r#"{{"segment":{},"stream":{}}}"#, totals("2", "2"), totals("1", "2")),
            format!(r#"{{"segment":{},"stream":{}}}"#, totals("2", "2"), totals("2", "1")),
            format!(r#"{{"segment-number":4294967296,"segment":{}}}"#, totals("1", "1")),
        ] {
            match decode(&format!(r#","end":{bad}"#)) {
                Err(Fault::Refused(StreamError::Header(_))) => (),
                other => panic!("{bad}: {other:?}"),
            }
        }
    }
}
