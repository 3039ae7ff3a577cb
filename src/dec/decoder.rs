//! The decoder's worker: packets in, pictures out. Independent of elements and pads.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::picture::PictureMaker;
use super::segments::Segments;
use crate::details::Details;
use crate::format::TokenFormat;
use crate::runtime::{Cancel, DecoderNetwork, Options, Report, Running, RuntimeError};
use crate::stream::{StreamError, Tokens};
use crate::tokenizer::{Graph, Source};

/// Decodes the packets of one stream, picture by picture.
pub struct Decoder {
    pub segments: Segments,
    network: DecoderNetwork,
    /// The graph and the options that the network was made from.
    made_from: (Source, Options),
    maker: PictureMaker,
    /// Width and height of the network's output.
    padded: (u32, u32),
    /// Pictures of the latest step that were not taken yet.
    pictures: VecDeque<gst::Buffer>,
}

/// How long a step took.
#[derive(Clone, Copy, Debug)]
pub struct StepTime {
    pub network: Duration,
    /// With reading the tokens and making pictures.
    pub total: Duration,
    /// Streams in the step's batch, this one included.
    pub members: usize,
}

/// Why there is no next picture.
#[derive(Debug)]
pub enum StepError {
    Runtime(RuntimeError),
    /// A packet holds numbers that are not tokens.
    Tokens(StreamError),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => error.fmt(f),
            Self::Tokens(error) => error.fmt(f),
        }
    }
}

impl From<RuntimeError> for StepError {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(error)
    }
}

impl From<StreamError> for StepError {
    fn from(error: StreamError) -> Self {
        Self::Tokens(error)
    }
}

impl Decoder {
    /// A decoder for tokens of `format` that makes pictures by `maker`. `cancel` ends its steps from other threads;
    /// [reset](Self::reset) it afterwards.
    pub fn new(
        graph: &Graph,
        options: Options,
        format: TokenFormat,
        maker: PictureMaker,
        cancel: Cancel,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        let tokenizer = &graph.description;
        let mut network = DecoderNetwork::open(graph, options, format.width, format.height, report)?;
        network.set_cancel(cancel);
        Ok(Self {
            padded: (tokenizer.padded(format.width), tokenizer.padded(format.height)),
            segments: Segments::new(tokenizer, format),
            network,
            made_from: (graph.source.clone(), options),
            maker,
            pictures: VecDeque::new(),
        })
    }

    /// Whether this network decodes tokens of `format`. Framerate, pixel aspect ratio and colorimetry may be any.
    pub fn decodes(&self, graph: &Graph, options: Options, format: &TokenFormat) -> bool {
        self.made_from == (graph.source.clone(), options) && format.decodes_like(self.format())
    }

    /// Continues with other tokens that the network [decodes](Self::decodes), from a segment start.
    pub fn set_format(&mut self, format: TokenFormat, maker: PictureMaker) {
        self.pictures.clear();
        self.segments.set_format(format);
        self.maker = maker;
    }

    /// Makes other pictures of the same tokens from now on. Those that could not be pushed are lost.
    pub fn set_maker(&mut self, maker: PictureMaker) {
        self.pictures.clear();
        self.maker = maker;
    }

    /// Runs two steps on tokens of 0, and returns how long the second one took: the first may be slower. The next step
    /// starts a segment, as if there had been none.
    pub fn run_trial(&mut self) -> Result<Duration, RuntimeError> {
        let format = self.segments.format();
        let cells = self.network.latent_frames() * format.grid_width as usize * format.grid_height as usize;
        let tokens = match format.regularizer.codebook_size() {
            Some(_) => Tokens::Indices(vec![0; cells]),
            None => Tokens::Floats(vec![0.0; cells * format.regularizer.values_per_cell()]),
        };
        let first = self.network.decode(&tokens, false, |_| ());
        let started = Instant::now();
        let second = first.and_then(|()| self.network.decode(&tokens, false, |_| ()));
        let elapsed = started.elapsed();
        self.network.restart();
        second.map(|()| elapsed)
    }

    pub fn format(&self) -> &TokenFormat {
        self.segments.format()
    }

    pub fn running(&self) -> &Running {
        self.network.running()
    }

    /// Forgets everything, and waits for a segment start.
    pub fn reset(&mut self) {
        self.pictures.clear();
        self.segments.reset();
    }

    /// The next picture; `None` until more packets come. Calls `on_step` for each step.
    pub fn next_picture(&mut self, mut on_step: impl FnMut(StepTime)) -> Result<Option<gst::Buffer>, StepError> {
        while self.pictures.is_empty() {
            let begun = Instant::now();
            let Some(next) = self.segments.next_step()? else {
                return Ok(None);
            };
            if next.step.first {
                self.network.restart();
            }
            let (maker, padded, shown) = (&mut self.maker, self.padded, next.step.shown);
            let started = Instant::now();
            let mut elapsed = Duration::ZERO;
            let pictures = self.network.decode(next.tokens, next.step.edge, |frames| {
                elapsed = started.elapsed();
                let picture = |(index, time)| maker.picture(frames, padded, index, time);
                shown.into_iter().map(picture).collect::<Result<Vec<_>, _>>()
            })?;
            on_step(StepTime {
                network: elapsed,
                total: begun.elapsed(),
                members: self.network.streams(),
            });
            let mut pictures = pictures.map_err(|error| RuntimeError::Run(Details::of(error)))?;
            if next.uncertain {
                set_flag(&mut pictures, gst::BufferFlags::CORRUPTED);
            }
            if next.discont {
                set_flag(&mut pictures[..1], gst::BufferFlags::DISCONT);
            }
            self.pictures.extend(pictures);
        }
        Ok(self.pictures.pop_front())
    }
}

fn set_flag(pictures: &mut [gst::Buffer], flag: gst::BufferFlags) {
    for picture in pictures {
        picture.make_mut().set_flags(flag);
    }
}

#[cfg(test)]
mod tests;
