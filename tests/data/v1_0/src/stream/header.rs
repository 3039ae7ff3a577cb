//! The stream header: magic, major version, and a JSON object that says what the packets after it hold.

use serde::{Deserialize, Serialize};

use super::{Fault, MAX_PAYLOAD_BYTES, StreamError, array, payload_bytes};
use crate::format::{Fraction, Regularizer, TokenFormat, TokenType};

/// First bytes of a stream header; a byte with the major version follows.
pub const MAGIC: [u8; 7] = *b"\x89VIDTOK";
/// The major version written, and the only one read.
pub const VERSION: u8 = 1;
/// Most bytes of JSON in a stream header.
pub const MAX_JSON_BYTES: usize = 1 << 16;

/// Magic, version, length of the JSON.
const START_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// The one coding of payloads that version 1 has.
const CODING: &str = "packed";

/// A stream header that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    pub format: TokenFormat,
    /// CRC-32 of the header's bytes: its packets name it by this.
    pub checksum: u32,
}

impl StreamHeader {
    /// The header's bytes for `format`. The last four of them are its [checksum](Self::checksum).
    pub fn encode(format: &TokenFormat) -> Result<Vec<u8>, StreamError> {
        check(format)?;
        let json = serde_json::to_vec(&Fields::from(format)).map_err(|e| StreamError::Header(e.to_string()))?;
        if json.len() > MAX_JSON_BYTES {
            let reason = format!(
                "{} bytes of JSON, allowed are {MAX_JSON_BYTES}; shorten the model's name",
                json.len()
            );
            return Err(StreamError::Header(reason));
        }
        let mut bytes = Vec::with_capacity(START_BYTES + json.len() + CRC_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&json);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
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
        let version = data[MAGIC.len()];
        let json_bytes = u32::from_le_bytes(array(data, MAGIC.len() + 1)) as usize;
        if !data.starts_with(&MAGIC) || version < VERSION || json_bytes > MAX_JSON_BYTES {
            return Err(DAMAGED);
        }
        let body = START_BYTES + json_bytes;
        let length = body + CRC_BYTES;
        if data.len() < length {
            return Err(Fault::Short(length));
        }
        let checksum = crc32fast::hash(&data[..body]);
        if checksum != u32::from_le_bytes(array(data, body)) {
            return Err(Fault::Damaged { checked: length });
        }
        if version > VERSION {
            return Err(StreamError::NewerVersion(version).into());
        }
        let format = read_json(&data[START_BYTES..body])?;
        Ok((Self { format, checksum }, length))
    }

    /// The version of the header that `data` seems to start with, where it is one that cannot be read.
    /// Asks for no checksum: good for the very start of a stream, where nothing else can be there.
    pub fn newer_version(data: &[u8]) -> Option<u8> {
        let version = *data.strip_prefix(&MAGIC)?.first()?;
        (version > VERSION).then_some(version)
    }
}

const DAMAGED: Fault = Fault::Damaged { checked: 0 };

fn check(format: &TokenFormat) -> Result<(), StreamError> {
    format.check()?;
    let bytes = payload_bytes(format, 1);
    if bytes > MAX_PAYLOAD_BYTES as u64 {
        let reason = format!("a latent frame takes {bytes} bytes, allowed are {MAX_PAYLOAD_BYTES}");
        return Err(StreamError::Header(reason));
    }
    Ok(())
}

fn read_json(json: &[u8]) -> Result<TokenFormat, StreamError> {
    let fields: Fields = serde_json::from_slice(json).map_err(|e| StreamError::Header(e.to_string()))?;
    let format = TokenFormat::try_from(fields)?;
    check(&format)?;
    Ok(format)
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
}

impl From<&TokenFormat> for Fields {
    fn from(format: &TokenFormat) -> Self {
        let (regularizer, levels, channels) = match &format.regularizer {
            Regularizer::Fsq { levels } => ("fsq", Some(levels.clone()), None),
            Regularizer::Kl { channels } => ("kl", None, Some(*channels)),
        };
        Self {
            model: format.model.clone(),
            tokenizer: format.tokenizer.clone(),
            regularizer: regularizer.into(),
            levels,
            codebook_size: format.regularizer.codebook_size(),
            channels,
            token_type: Some(format.token_type),
            coding: CODING.into(),
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
        }
    }
}

impl TryFrom<Fields> for TokenFormat {
    type Error = StreamError;

    fn try_from(fields: Fields) -> Result<Self, StreamError> {
        let fail = |reason: String| Err(StreamError::Header(reason));
        if fields.coding != CODING {
            return fail(format!("unknown coding \"{}\", known is \"{CODING}\"", fields.coding));
        }
        let regularizer = match (fields.regularizer.as_str(), fields.levels, fields.channels) {
            ("fsq", Some(levels), None) => Regularizer::Fsq { levels },
            ("kl", None, Some(channels)) => Regularizer::Kl { channels },
            ("fsq", ..) => return fail("an fsq stream has \"levels\" and no \"channels\"".into()),
            ("kl", ..) => return fail("a kl stream has \"channels\" and no \"levels\"".into()),
            (other, ..) => return fail(format!("unknown regularizer \"{other}\", known are \"fsq\" and \"kl\"")),
        };
        // Before the codebook's size is computed: hostile levels would overflow it.
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
            tokenizer: fields.tokenizer,
            regularizer,
            token_type,
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
        })
    }
}
