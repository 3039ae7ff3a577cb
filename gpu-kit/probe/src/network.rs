//! The plugin's networks, as the probe uses them. All that depends on how they are opened and stepped is here.

use std::time::Instant;

use gstvidtok::format::Regularizer;
use gstvidtok::runtime::{self, DecoderNetwork, EncoderNetwork, Options, Running, Silent};
use gstvidtok::stream::Tokens;
use gstvidtok::tokenizer::{self, Description, Graph, Role};
use serde_json::{Value, json};

use crate::{Result, clip};

pub fn init() -> Result<()> {
    gst::init()?;
    runtime::load()?;
    Ok(())
}

/// The graph that `options` ask for.
pub fn graph(model: Option<&str>, role: Role, options: &Options) -> Result<Graph> {
    Ok(match model {
        Some(model) => tokenizer::open(model, role, options.variant())?,
        None => tokenizer::embedded(role)?,
    })
}

/// One stream's encoder or decoder.
pub enum Network {
    Encoder(EncoderNetwork),
    Decoder(DecoderNetwork),
}

/// What a step takes or gives.
#[derive(Clone, Debug)]
pub enum Data {
    /// `[T, H, W, 3]`.
    Pictures(Vec<u8>),
    Tokens(Tokens),
}

impl Network {
    pub fn open(graph: &Graph, options: Options, size: u32) -> Result<Self> {
        Ok(match graph.role {
            Role::Encoder => Self::Encoder(EncoderNetwork::open(graph, options, size, size, &Silent)?),
            Role::Decoder => Self::Decoder(DecoderNetwork::open(graph, options, size, size, &Silent)?),
        })
    }

    /// Runs a step; `second`: it is a segment's second.
    pub fn step(&mut self, data: &Data, second: bool) -> Result<Data> {
        Ok(match (self, data) {
            (Self::Encoder(network), Data::Pictures(frames)) => {
                let mut buffer = Vec::new();
                Data::Tokens(network.encode(network.input().bytes_of(frames, &mut buffer))?)
            }
            (Self::Decoder(network), Data::Tokens(tokens)) => {
                Data::Pictures(network.decode(tokens, second, <[u8]>::to_vec)?)
            }
            _ => return Err("pictures are for encoders, tokens for decoders".into()),
        })
    }

    /// The next step starts a segment.
    pub fn restart(&mut self) {
        match self {
            Self::Encoder(network) => network.restart(),
            Self::Decoder(network) => network.restart(),
        }
    }

    /// How many streams made the latest step together.
    pub fn streams(&self) -> usize {
        match self {
            Self::Encoder(network) => network.streams(),
            Self::Decoder(network) => network.streams(),
        }
    }

    fn running(&self) -> &Running {
        match self {
            Self::Encoder(network) => network.running(),
            Self::Decoder(network) => network.running(),
        }
    }

    /// What runs it, and what of it runs elsewhere.
    pub fn describe(&self) -> Value {
        let running = self.running();
        json!({
            "provider": running.provider.name(), "nodes": running.nodes(), "elsewhere": running.elsewhere(),
            "warnings": running.warnings().collect::<Vec<_>>(),
        })
    }
}

/// Opens a network and says how many seconds it took.
pub fn open_timed(graph: &Graph, options: Options, size: u32) -> Result<(Network, f64)> {
    let started = Instant::now();
    let network = Network::open(graph, options, size)?;
    Ok((network, started.elapsed().as_secs_f64()))
}

/// The pictures of a stream's step.
pub fn pictures(description: &Description, stream: usize, step: usize, size: u32) -> Data {
    let side = description.padded(size) as usize;
    let count = description.grouping().step_frames();
    Data::Pictures(clip::frames(stream, step, count, side, side))
}

/// Levels of an FSQ tokenizer's channels.
pub fn levels(description: &Description) -> Option<&[u32]> {
    match &description.regularizer {
        Regularizer::Fsq { levels } => Some(levels),
        Regularizer::Kl { .. } => None,
    }
}
