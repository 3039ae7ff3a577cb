//! The encoder's properties.

use std::sync::{Arc, LazyLock};

use gst::glib;
use gst::prelude::*;

use super::lateness::Overload;
use super::posterior::{Latent, Sampler};
use super::preparation::Preparation;
use crate::details::Details;
use crate::element::{self, DEADLINE_PROPERTY, NetworkSettings, Stats, deadline_property};
use crate::format::TokenType;
use crate::runtime::RuntimeError;
use crate::stream::{StreamError, check_stream_id};
use crate::tokenizer::{Graph, Role};

const DEFAULT_KEY_INTERVAL: u32 = 0;
const DEFAULT_MAX_LATENESS: i64 = 500_000_000;

#[derive(Clone, Debug)]
pub struct Settings {
    pub network: NetworkSettings,
    /// Frames from one segment start to the next; 0: one segment.
    pub key_interval: u32,
    pub overload: Overload,
    /// Nanoseconds; negative: nothing is dropped.
    pub max_lateness: i64,
    /// Nanoseconds; negative: measured.
    pub processing_deadline: i64,
    pub token_type: TokenTypeChoice,
    pub latent: Latent,
    pub seed: u64,
    /// Tells the stream from others; `None`: a random id.
    pub stream_id: Option<String>,
    /// What is done to pictures in front of the network.
    pub preparation: Preparation,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            network: NetworkSettings::default(),
            key_interval: DEFAULT_KEY_INTERVAL,
            overload: Overload::default(),
            max_lateness: DEFAULT_MAX_LATENESS,
            processing_deadline: -1,
            token_type: TokenTypeChoice::default(),
            latent: Latent::default(),
            seed: 0,
            stream_id: None,
            preparation: Preparation::default(),
        }
    }
}

/// The type of token values. Downstream caps override it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokTokenType")]
#[repr(u32)]
pub enum TokenTypeChoice {
    #[default]
    #[enum_value(name = "The smallest integer that fits, or float32", nick = "auto")]
    Auto,
    #[enum_value(name = "16 bits, for FSQ of up to 65,536 codes", nick = "uint16")]
    Uint16,
    #[enum_value(name = "32 bits, for FSQ", nick = "uint32")]
    Uint32,
    #[enum_value(name = "Half precision, for KL", nick = "float16")]
    Float16,
    #[enum_value(name = "Single precision, for KL", nick = "float32")]
    Float32,
}

impl TokenTypeChoice {
    pub fn token_type(self) -> Option<TokenType> {
        match self {
            Self::Auto => None,
            Self::Uint16 => Some(TokenType::Uint16),
            Self::Uint32 => Some(TokenType::Uint32),
            Self::Float16 => Some(TokenType::Float16),
            Self::Float32 => Some(TokenType::Float32),
        }
    }
}

impl Settings {
    pub fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut properties = NetworkSettings::properties(Role::Encoder);
            properties.extend_from_slice(Preparation::properties());
            properties.extend([
                glib::ParamSpecUInt::builder("key-interval")
                    .nick("Key interval")
                    .blurb("Frames from one segment start to the next, rounded up to whole groups (0: one segment)")
                    .default_value(DEFAULT_KEY_INTERVAL)
                    .mutable_playing()
                    .build(),
                deadline_property(),
                glib::ParamSpecEnum::builder::<Overload>("overload")
                    .nick("Overload")
                    .blurb("What to do with live video that comes faster than it can be encoded")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecInt64::builder("max-lateness")
                    .nick("Maximum lateness")
                    .blurb("For overload=drop-groups: how many ns later than the pipeline's latency a group may begin (-1: drop nothing)")
                    .minimum(-1)
                    .default_value(DEFAULT_MAX_LATENESS)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder::<TokenTypeChoice>("token-type")
                    .nick("Token type")
                    .blurb("Type of token values; downstream caps may choose among those that fit the tokenizer")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<Latent>("latent")
                    .nick("Latent")
                    .blurb("KL tokenizers: the posterior's mean, or a sample from it")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("seed")
                    .nick("Seed")
                    .blurb("For latent=sample: the same seed draws the same tokens")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("stream-id")
                    .nick("Stream id")
                    .blurb("Tells the stream's packets from other streams': 1 to 64 visible ASCII characters (unset: random)")
                    .mutable_ready()
                    .build(),
                Stats::property(),
            ]);
            properties
        });
        &PROPERTIES
    }

    /// Draws the tokens of a continuous tokenizer; `None`: they are means.
    pub fn sampler(&self, graph: &Graph) -> Result<Option<Sampler>, RuntimeError> {
        match self.latent {
            Latent::Mean => Ok(None),
            Latent::Sample if graph.description.regularizer.codebook_size().is_some() => {
                let name = &graph.description.name;
                let text = format!(
                    "latent=sample is for KL tokenizers: \"{name}\" has an FSQ codebook, whose tokens are not drawn from a \
                     distribution"
                );
                Err(RuntimeError::Settings(text.into()))
            }
            Latent::Sample => Ok(Some(Sampler::new(self.seed))),
        }
    }
}

impl element::Settings for Settings {
    fn network(&self) -> &NetworkSettings {
        &self.network
    }

    fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "key-interval" => self.key_interval = value.get().expect("checked by GObject"),
            "max-lateness" => self.max_lateness = value.get().expect("checked by GObject"),
            "overload" => self.overload = value.get().expect("checked by GObject"),
            DEADLINE_PROPERTY => self.processing_deadline = value.get().expect("checked by GObject"),
            "token-type" => self.token_type = value.get().expect("checked by GObject"),
            "latent" => self.latent = value.get().expect("checked by GObject"),
            "seed" => self.seed = value.get().expect("checked by GObject"),
            "stream-id" => {
                let id = value.get::<Option<String>>().expect("checked by GObject");
                self.stream_id = id.filter(|id| !id.is_empty());
            }
            name if self.preparation.set(name, value) => {}
            name => self.network.set(name, value),
        }
    }

    fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "key-interval" => self.key_interval.to_value(),
            "max-lateness" => self.max_lateness.to_value(),
            "overload" => self.overload.to_value(),
            DEADLINE_PROPERTY => self.processing_deadline.to_value(),
            "token-type" => self.token_type.to_value(),
            "latent" => self.latent.to_value(),
            "seed" => self.seed.to_value(),
            "stream-id" => self.stream_id.to_value(),
            name => return self.preparation.get(name).or_else(|| self.network.get(name)),
        })
    }

    fn processing_deadline(&self) -> Option<gst::ClockTime> {
        u64::try_from(self.processing_deadline)
            .ok()
            .map(gst::ClockTime::from_nseconds)
    }

    fn check(&self) -> Result<(), RuntimeError> {
        self.preparation.check()?;
        let Some(id) = &self.stream_id else { return Ok(()) };
        check_stream_id(id).map_err(|error| {
            let text = match &error {
                StreamError::Header(reason) => format!("the property stream-id cannot be used: {reason}"),
                other => other.to_string(),
            };
            RuntimeError::Settings(Details::with_cause(text, Arc::new(error)))
        })
    }
}
