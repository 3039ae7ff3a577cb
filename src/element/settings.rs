//! Properties of both elements: which network runs, and on what.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;

use crate::runtime::{Convolutions, ExecutionProvider, Options};
use crate::tokenizer::{self, Graph, Precision, Role, TokenizerError};

const MAX_BATCH_STREAMS: u32 = 64;
/// Nanoseconds. A minute: a live stream cannot wait longer.
const MAX_BATCH_TIMEOUT: u64 = 60_000_000_000;

/// Which of a tokenizer's graphs to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokPrecision")]
#[repr(u32)]
enum PrecisionChoice {
    #[default]
    #[enum_value(name = "Single precision if there is such a graph, else half", nick = "auto")]
    Auto,
    #[enum_value(name = "Single precision: exact tokens", nick = "fp32")]
    Fp32,
    #[enum_value(name = "Half precision: some tokens differ", nick = "fp16")]
    Fp16,
}

impl PrecisionChoice {
    fn precision(self) -> Option<Precision> {
        match self {
            Self::Auto => None,
            Self::Fp32 => Some(Precision::Fp32),
            Self::Fp16 => Some(Precision::Fp16),
        }
    }
}

impl From<Option<Precision>> for PrecisionChoice {
    fn from(precision: Option<Precision>) -> Self {
        match precision {
            None => Self::Auto,
            Some(Precision::Fp32) => Self::Fp32,
            Some(Precision::Fp16) => Self::Fp16,
        }
    }
}

/// The properties that encoder and decoder share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// A tokenizer folder, a graph file, or a name on the search path.
    pub model: Option<String>,
    pub options: Options,
}

impl NetworkSettings {
    pub fn properties(role: Role) -> Vec<glib::ParamSpec> {
        let embedded = tokenizer::embedded_names().unwrap_or_default();
        let unset = match role {
            Role::Encoder => embedded.first().map_or("", String::as_str),
            Role::Decoder => "the tokenizer whose digest the stream carries",
        };
        let embedded = embedded.join(", ");
        vec![
            glib::ParamSpecString::builder("model")
                .nick("Model")
                .blurb(&format!(
                    "Tokenizer folder, graph file, or a name looked for in the folders of {}, then in gst-vidtok in the data folders, or embedded in the plugin: {embedded} (unset: {unset})",
                    tokenizer::SEARCH_PATH_VARIABLE
                ))
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("execution-provider", ExecutionProvider::Auto)
                .nick("Execution provider")
                .blurb("What runs the network; a named one that cannot be used is an error")
                .mutable_ready()
                .build(),
            glib::ParamSpecInt::builder("device-id")
                .nick("Device")
                .blurb("Which of the execution provider's devices")
                .minimum(0)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder::<PrecisionChoice>("precision")
                .nick("Precision")
                .blurb("Which of a tokenizer's graphs to run; a named precision without a graph is an error")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("threads")
                .nick("Threads")
                .blurb("CPU threads of the network (0: one per core)")
                .maximum(1024)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder::<Convolutions>("convolutions")
                .nick("Convolutions")
                .blurb("How 3×3 convolutions run on a CPU; results differ by rounding")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("batch-streams")
                .nick("Streams in a batch")
                .blurb(
                    "Run up to this many streams of one model, size and provider in this process as one batch, for GPUs \
                     (0 and 1: no batches)",
                )
                .maximum(MAX_BATCH_STREAMS)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt64::builder("batch-timeout")
                .nick("Batch timeout")
                .blurb("How long a step waits for other streams to join its batch, in ns")
                .default_value(nanoseconds(Options::default().batch_timeout))
                .maximum(MAX_BATCH_TIMEOUT)
                .mutable_ready()
                .build(),
        ]
    }

    /// Sets one of [`Self::properties`], whose type GObject has checked.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "model" => {
                let model = value.get::<Option<String>>().expect("checked by GObject");
                self.model = model.filter(|model| !model.is_empty());
            }
            "execution-provider" => self.options.provider = value.get().expect("checked by GObject"),
            "device-id" => self.options.device = value.get().expect("checked by GObject"),
            "precision" => {
                let choice: PrecisionChoice = value.get().expect("checked by GObject");
                self.options.precision = choice.precision();
            }
            "threads" => self.options.threads = value.get().expect("checked by GObject"),
            "convolutions" => self.options.convolutions = value.get().expect("checked by GObject"),
            "batch-streams" => self.options.batch_streams = value.get().expect("checked by GObject"),
            "batch-timeout" => {
                self.options.batch_timeout = Duration::from_nanos(value.get().expect("checked by GObject"));
            }
            name => unreachable!("GObject knows no property {name}"),
        }
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "model" => self.model.to_value(),
            "execution-provider" => self.options.provider.to_value(),
            "device-id" => self.options.device.to_value(),
            "precision" => PrecisionChoice::from(self.options.precision).to_value(),
            "threads" => self.options.threads.to_value(),
            "convolutions" => self.options.convolutions.to_value(),
            "batch-streams" => self.options.batch_streams.to_value(),
            "batch-timeout" => nanoseconds(self.options.batch_timeout).to_value(),
            _ => return None,
        })
    }

    /// How long a step may wait for other streams.
    pub fn batch_latency(&self) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(nanoseconds(self.options.longest_wait()))
    }

    /// The graph that `model` names. Where it is unset, an encoder takes the embedded one, and a decoder `None`: the
    /// stream names its tokenizer.
    pub fn graph(&self, role: Role) -> Result<Option<Graph>, TokenizerError> {
        let choice = self.options.variant();
        match (&self.model, role) {
            (Some(model), _) => tokenizer::open(model, role, choice).map(Some),
            (None, Role::Encoder) => tokenizer::embedded_if(role, choice).map(Some),
            (None, Role::Decoder) => Ok(None),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
