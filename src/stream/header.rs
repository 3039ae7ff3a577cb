//! The stream header: magic, major version, and a JSON object that says how to read the packets behind it.

use bytes::{Buf, BufMut};
use serde::{Deserialize, Serialize};

use super::end::End;
use super::limits::{MAX_JSON_BYTES, MAX_PAYLOAD_BYTES, MAX_STREAM_ID};
use super::{Fault, StreamError, unique};
use crate::format::{Coding, Fraction, Regularizer, TokenFormat, TokenType};

/// First bytes of a stream header; a byte with the major version follows.
pub const MAGIC: [u8; 7] = *b"\x89VIDTOK";
/// The major version written, and the only one read.
pub(super) const VERSION: u8 = 1;

/// Length of magic, version, and the JSON's length.
const START_BYTES: usize = MAGIC.len() + size_of::<u8>() + size_of::<u32>();
const CRC_BYTES: usize = size_of::<u32>();

/// A stream header that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    pub format: TokenFormat,
    /// Tells streams apart. `None` in streams of version 1.0.
    pub stream_id: Option<String>,
    /// Makes this an end mark: another stream header or nothing follows it.
    pub end: Option<End>,
    /// CRC-32 of the header's bytes: its packets name it by this.
    pub checksum: u32,
}

impl StreamHeader {
    /// The header's bytes for `format`; with `end` those of an end mark. The last four are its
    /// [checksum](Self::checksum).
    ///
    /// # Errors
    /// No reader would take the header.
    pub fn encode(format: &TokenFormat, stream_id: Option<&str>, end: Option<&End>) -> Result<Vec<u8>, StreamError> {
        check(format, stream_id, end)?;
        let fields = Fields {
            stream_id: stream_id.map(String::from),
            end: end.copied(),
            ..Fields::from(format)
        };
        let json = serde_json::to_vec(&fields).map_err(|e| StreamError::Header(e.to_string()))?;
        if json.len() > MAX_JSON_BYTES {
            let reason = format!(
                "{} bytes of JSON, allowed are {MAX_JSON_BYTES}; shorten the model's name",
                json.len()
            );
            return Err(StreamError::Header(reason));
        }
        let mut bytes = Vec::with_capacity(START_BYTES + json.len() + CRC_BYTES);
        bytes.put_slice(&MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u32_le(json.len() as u32);
        bytes.put_slice(&json);
        bytes.put_u32_le(crc32fast::hash(&bytes));
        Ok(bytes)
    }

    /// The [checksum](Self::checksum) in a header's bytes.
    pub(crate) fn checksum_of(header: &[u8]) -> u32 {
        (&header[header.len() - CRC_BYTES..]).get_u32_le()
    }

    /// Reads the header that `data` starts with. Returns it and its length in bytes.
    pub fn decode(data: &[u8]) -> Result<(Self, usize), Fault> {
        if data.len() < START_BYTES {
            let known = data.len().min(MAGIC.len());
            return Err(if data[..known] == MAGIC[..known] {
                Fault::Short(START_BYTES)
            } else {
                DAMAGED
            });
        }
        let mut fields = &data[MAGIC.len()..];
        let version = fields.get_u8();
        let json_bytes = fields.get_u32_le() as usize;
        if !data.starts_with(&MAGIC) || version < VERSION || json_bytes > MAX_JSON_BYTES {
            return Err(DAMAGED);
        }
        let body = START_BYTES + json_bytes;
        let length = body + CRC_BYTES;
        if data.len() < length {
            return Err(Fault::Short(length));
        }
        let json = &fields[..json_bytes];
        fields.advance(json_bytes);
        let checksum = fields.get_u32_le();
        if checksum != crc32fast::hash(&data[..body]) {
            return Err(Fault::Damaged { checked: length });
        }
        if version > VERSION {
            return Err(StreamError::NewerVersion(version).into());
        }
        let mut fields = Fields::read(json).map_err(|e| StreamError::Header(e.to_string()))?;
        let (stream_id, end) = (fields.stream_id.take(), fields.end.take());
        let format = TokenFormat::try_from(fields)?;
        check(&format, stream_id.as_deref(), end.as_ref())?;
        let header = Self {
            format,
            stream_id,
            end,
            checksum,
        };
        Ok((header, length))
    }

    /// The major version of the header that `data` starts with, if this reader does not know it. Checks no checksum: use it
    /// at the start of a stream only, where nothing else can stand.
    pub(super) fn newer_version(data: &[u8]) -> Option<u8> {
        let version = *data.strip_prefix(&MAGIC)?.first()?;
        (version > VERSION).then_some(version)
    }
}

const DAMAGED: Fault = Fault::Damaged { checked: 0 };

/// A stream id that no other stream has: 32 hexadecimal digits.
pub fn random_stream_id() -> Result<String, StreamError> {
    let random = || getrandom::u64().map_err(|e| StreamError::Header(format!("no random stream-id: {e}")));
    Ok(format!("{:016x}{:016x}", random()?, random()?))
}

/// Checks that `id` can be a stream's id: visible ASCII characters, at most [`MAX_STREAM_ID`].
pub fn check_stream_id(id: &str) -> Result<(), StreamError> {
    if (1..=MAX_STREAM_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    // Not the id itself: it may be long, and hold anything.
    let reason = format!("a stream-id has 1 to {MAX_STREAM_ID} visible ASCII characters, without spaces");
    Err(StreamError::Header(reason))
}

fn check(format: &TokenFormat, stream_id: Option<&str>, end: Option<&End>) -> Result<(), StreamError> {
    format.check()?;
    stream_id.map_or(Ok(()), check_stream_id)?;
    end.map_or(Ok(()), End::check)?;
    let bytes = format.payload_length(1).max();
    if bytes > MAX_PAYLOAD_BYTES as u64 {
        let reason = format!("a latent frame takes {bytes} bytes, allowed are {MAX_PAYLOAD_BYTES}");
        return Err(StreamError::Header(reason));
    }
    Ok(())
}

/// The JSON object. Keys that are not here are ignored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Fields {
    model: String,
    tokenizer: String,
    regularizer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codebook_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u32>,
    token_type: Option<TokenType>,
    coding: String,
    grid_width: u32,
    grid_height: u32,
    time_factor: u32,
    space_factor: u32,
    causal: bool,
    width: u32,
    height: u32,
    framerate: Fraction,
    pixel_aspect_ratio: Fraction,
    #[serde(skip_serializing_if = "Option::is_none")]
    colorimetry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pixels: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "unique::object_or_null",
        skip_serializing_if = "Option::is_none"
    )]
    end: Option<End>,
}

impl Fields {
    fn read(json: &[u8]) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let fields = unique::object(&mut deserializer)?;
        deserializer.end()?;
        Ok(fields)
    }
}

impl From<&TokenFormat> for Fields {
    fn from(format: &TokenFormat) -> Self {
        let (regularizer, levels, channels) = match &format.regularizer {
            Regularizer::Fsq { levels } => (Regularizer::FSQ, Some(levels.clone()), None),
            Regularizer::Kl { channels } => (Regularizer::KL, None, Some(*channels)),
        };
        Self {
            model: format.model.clone(),
            tokenizer: format.digest.clone(),
            regularizer: regularizer.into(),
            levels,
            codebook_size: format.regularizer.codebook_size(),
            channels,
            token_type: Some(format.token_type),
            coding: format.coding.as_str().into(),
            grid_width: format.grid_width,
            grid_height: format.grid_height,
            time_factor: format.time_factor,
            space_factor: format.space_factor,
            causal: format.causal,
            width: format.width,
            height: format.height,
            framerate: format.framerate,
            pixel_aspect_ratio: format.pixel_aspect_ratio,
            colorimetry: format.colorimetry.clone(),
            pixels: format.pixels.clone(),
            stream_id: None,
            end: None,
        }
    }
}

impl TryFrom<Fields> for TokenFormat {
    type Error = StreamError;

    fn try_from(fields: Fields) -> Result<Self, StreamError> {
        let fail = |reason: String| Err(StreamError::Header(reason));
        let coding = Coding::parse(&fields.coding)?;
        let regularizer = match (fields.regularizer.as_str(), fields.levels, fields.channels) {
            (Regularizer::FSQ, Some(levels), None) => Regularizer::Fsq { levels },
            (Regularizer::KL, None, Some(channels)) => Regularizer::Kl { channels },
            (Regularizer::FSQ, ..) => return fail("an fsq stream has \"levels\" and no \"channels\"".into()),
            (Regularizer::KL, ..) => return fail("a kl stream has \"channels\" and no \"levels\"".into()),
            (other, ..) => return fail(format!("unknown regularizer \"{other}\", known are \"fsq\" and \"kl\"")),
        };
        // First, as hostile levels would overflow the codebook's size.
        regularizer.check()?;
        if fields.codebook_size.is_some() && fields.codebook_size != regularizer.codebook_size() {
            return fail("\"codebook-size\" contradicts \"levels\"".into());
        }
        let token_type = match (fields.token_type, &regularizer) {
            (Some(token_type), _) => token_type,
            (None, Regularizer::Fsq { .. }) => TokenType::default_for(&regularizer),
            (None, Regularizer::Kl { .. }) => return fail("a kl stream needs a \"token-type\"".into()),
        };
        Ok(Self {
            model: fields.model,
            digest: fields.tokenizer,
            regularizer,
            token_type,
            coding,
            grid_width: fields.grid_width,
            grid_height: fields.grid_height,
            time_factor: fields.time_factor,
            space_factor: fields.space_factor,
            causal: fields.causal,
            width: fields.width,
            height: fields.height,
            framerate: fields.framerate,
            pixel_aspect_ratio: fields.pixel_aspect_ratio,
            colorimetry: fields.colorimetry,
            pixels: fields.pixels,
        })
    }
}
