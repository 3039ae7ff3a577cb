//! An element's encoder or decoder: bytes in, tokens out, and back. It runs step by step and keeps its state between
//! steps.

use std::sync::Arc;

use ort::value::TensorElementType;

use crate::runtime::batch::Member;
use crate::runtime::budget::Demand;
use crate::runtime::cancel::Cancel;
use crate::runtime::error::RuntimeError;
use crate::runtime::options::Options;
use crate::runtime::report::Report;
use crate::runtime::session::Running;
use crate::runtime::sharing::{self, SharedSession};
use crate::runtime::step::{Given, Tensors, run_error, token_type};
use crate::stream::Tokens;
use crate::tokenizer::{Description, FrameType, Graph, Role};

/// Turns frames into tokens, one step at a time.
///
/// A step takes a fixed number of frames T of the size H × W that pictures are padded to, and gives t latent frames of
/// h × w cells.
///
/// ```no_run
/// use gstvidtok::runtime::{EncoderNetwork, Options, Silent};
/// use gstvidtok::tokenizer::{self, Role};
///
/// let graph = tokenizer::embedded(Role::Encoder)?;
/// let (width, height) = (320, 240);
/// let mut network = EncoderNetwork::open(&graph, Options::default(), width, height, &Silent)?;
/// let frames = graph.description.grouping().step_frames();
/// let [width, height] = [width, height].map(|size| graph.description.padded(size) as usize);
/// let grey = vec![128; frames * height * width * 3];
/// let mut buffer = Vec::new();
/// let tokens = network.encode(network.input().bytes_of(&grey, &mut buffer))?;
/// println!("{} tokens on {}", tokens.len(), network.running().provider.name());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EncoderNetwork(Network);

impl EncoderNetwork {
    /// Makes the encoder `graph` ready for pictures of `width` × `height` pixels, before padding. Networks with the
    /// same graph, options and size share a session. Tells `report` what takes long.
    ///
    /// # Errors
    /// ONNX Runtime was not found, the provider or the graph cannot be used, or there is too little memory.
    pub fn open(
        graph: &Graph,
        options: Options,
        width: u32,
        height: u32,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        Network::open(graph, Role::Encoder, options, (width, height), report).map(Self)
    }

    /// Makes the next step start a segment.
    pub fn restart(&mut self) {
        self.0.first = true;
    }

    /// Sets what may end this network's steps from another thread.
    pub fn set_cancel(&mut self, cancel: Cancel) {
        self.0.cancel = cancel;
    }

    /// The type of the numbers that [`encode`](Self::encode) takes. With `auto` the graph may be another variant than the
    /// one that was opened, so only the network knows.
    pub fn input(&self) -> FrameType {
        self.0.shared.session.graph.input
    }

    /// Runs a step on the bytes of `[T, H, W, 3]` RGB numbers of the padded size, of the type [`input`](Self::input) in
    /// the machine's byte order; gives `[t, h, w]` indices or `[t, h, w, C]` means.
    ///
    /// # Errors
    /// [`RuntimeError::Cancelled`]; [`RuntimeError::Run`] or [`RuntimeError::Memory`] where the step fails, the former
    /// also for a wrong number of bytes.
    pub fn encode(&mut self, frames: &[u8]) -> Result<Tokens, RuntimeError> {
        let element = self.0.token_type;
        self.0.step(frames, false, |outputs| tokens(element, outputs[0]))
    }

    /// Runs a step of a continuous tokenizer; gives means and log-variances of the posterior, `[t, h, w, C]` each.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode) and [`expect_posterior`](Self::expect_posterior).
    pub fn encode_posterior(&mut self, frames: &[u8]) -> Result<(Tokens, Vec<f32>), RuntimeError> {
        self.expect_posterior()?;
        let element = self.0.token_type;
        self.0.step(frames, false, |outputs| {
            (tokens(element, outputs[0]), floats(outputs[1]))
        })
    }

    /// Checks that the graph gives the posterior's log-variances.
    ///
    /// # Errors
    /// [`RuntimeError::Graph`]: it does not.
    pub fn expect_posterior(&self) -> Result<(), RuntimeError> {
        if self.0.shared.wiring.taken.len() > 1 {
            return Ok(());
        }
        let text = format!(
            "latent=sample needs the output \"logvar\", which the graph of \"{}\" does not have",
            self.0.description.name
        );
        Err(RuntimeError::Graph(text.into()))
    }

    /// What runs the graph: the provider, and what it leaves to others.
    pub fn running(&self) -> &Running {
        &self.0.shared.session.running
    }

    /// How many networks, this one among them, took part in the latest step's batch; 1 without batches. The elements'
    /// statistics call them streams.
    pub fn streams(&self) -> usize {
        self.0.members
    }
}

/// Turns tokens into frames, one step at a time.
///
/// A step takes a fixed number of latent frames t and gives T frames of the padded size, as for the
/// [encoder](EncoderNetwork).
///
/// ```no_run
/// use gstvidtok::runtime::{DecoderNetwork, Options, Silent};
/// use gstvidtok::stream::Tokens;
/// use gstvidtok::tokenizer::{self, Role};
///
/// let graph = tokenizer::embedded(Role::Decoder)?;
/// let (width, height) = (320, 240);
/// let mut network = DecoderNetwork::open(&graph, Options::default(), width, height, &Silent)?;
/// let [columns, rows] =
///     [width, height].map(|size| (graph.description.padded(size) / graph.description.space_factor) as usize);
/// let tokens = Tokens::Indices(vec![0; network.latent_frames() * rows * columns]);
/// let frames = network.decode(&tokens, false, |frames| frames.to_vec())?;
/// println!("{} bytes of RGB", frames.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DecoderNetwork(Network);

impl DecoderNetwork {
    /// Makes the decoder `graph` ready, as [`EncoderNetwork::open`] does an encoder.
    ///
    /// # Errors
    /// ONNX Runtime was not found, the provider or the graph cannot be used, or there is too little memory.
    pub fn open(
        graph: &Graph,
        options: Options,
        width: u32,
        height: u32,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        Network::open(graph, Role::Decoder, options, (width, height), report).map(Self)
    }

    /// Makes the next step start a segment.
    pub fn restart(&mut self) {
        self.0.first = true;
    }

    /// Sets what may end this network's steps from another thread.
    pub fn set_cancel(&mut self, cancel: Cancel) {
        self.0.cancel = cancel;
    }

    /// Runs a step on `[t, h, w]` indices or `[t, h, w, C]` means, and hands `use_frames` its `[T, H, W, 3]` RGB bytes
    /// of the padded size.
    ///
    /// `at_edge`: clamp the look-ahead. True for a segment's second step and for the flush after its last.
    ///
    /// # Errors
    /// [`RuntimeError::Cancelled`]; [`RuntimeError::Run`] or [`RuntimeError::Memory`] where the step fails, the former
    /// also for a wrong number of tokens.
    pub fn decode<R>(
        &mut self,
        tokens: &Tokens,
        at_edge: bool,
        use_frames: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, RuntimeError> {
        let bytes: Vec<u8> = match tokens {
            Tokens::Indices(indices) => indices.iter().flat_map(|index| index.to_ne_bytes()).collect(),
            Tokens::Floats(floats) => floats.iter().flat_map(|value| value.to_ne_bytes()).collect(),
        };
        self.0.step(&bytes, at_edge, |outputs| use_frames(outputs[0]))
    }

    /// Latent frames t that a step takes.
    pub fn latent_frames(&self) -> usize {
        self.0.description.grouping().step_latent_frames()
    }

    /// What runs the graph: the provider, and what it leaves to others.
    pub fn running(&self) -> &Running {
        &self.0.shared.session.running
    }

    /// How many networks, this one among them, took part in the latest step's batch; 1 without batches. The elements'
    /// statistics call them streams.
    pub fn streams(&self) -> usize {
        self.0.members
    }
}

/// A graph with the state of one stream, which either network above wraps.
struct Network {
    seat: Seat,
    /// The memory that a step needs, for the error where it is refused.
    demand: Demand,
    description: Arc<Description>,
    token_type: TensorElementType,
    /// The next step starts a segment: the graph ignores its state.
    first: bool,
    /// Networks that took part in the latest step's run.
    members: usize,
    cancel: Cancel,
    // Dropped after the tensors in `seat`, which use the session: a second session could otherwise be created while the
    // first still exists.
    shared: Arc<SharedSession>,
}

/// Where the network's tensors are: its own, or a member's place in a batch's.
enum Seat {
    Alone(Box<Tensors>),
    Batched(Member),
}

/// How far linear up-sampling ×2 looks ahead where nothing clamps it, for graphs that take it as a number.
const LOOK_AHEAD: f32 = 0.25;

impl Network {
    fn open(
        graph: &Graph,
        role: Role,
        options: Options,
        (width, height): (u32, u32),
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        if graph.role != role {
            let [found, wanted] = [graph.role, role].map(Role::as_str);
            let text = format!(
                "{}: it is the graph of the {found}, but the {wanted}'s is needed",
                graph.location()
            );
            return Err(RuntimeError::Graph(text.into()));
        }
        let description = graph.description.clone();
        let size = (description.padded(width), description.padded(height));
        let shared = sharing::shared(graph, options, size, report)?;
        let demand = Demand::of(&shared.session, size);
        let allocate = || {
            demand.check()?;
            Tensors::new(shared.session.clone(), shared.wiring.clone())
                .map_err(|error| demand.explain(run_error(Arc::new(error))))
        };
        let seat = if shared.session.members > 1 {
            Seat::Batched(shared.batches.join(options.batch_timeout, allocate)?)
        } else {
            Seat::Alone(Box::new(allocate()?))
        };
        Ok(Self {
            seat,
            demand,
            token_type: token_type(&description),
            description,
            first: true,
            members: 1,
            cancel: Cancel::default(),
            shared,
        })
    }

    /// Runs the graph once on `data` and the state; `take` is handed the outputs in the wiring's order.
    fn step<R>(&mut self, data: &[u8], at_edge: bool, take: impl FnOnce(&[&[u8]]) -> R) -> Result<R, RuntimeError> {
        let first = [u8::from(self.first)];
        let edge = [u8::from(at_edge)];
        let look_ahead = if at_edge { 0.0 } else { LOOK_AHEAD }.to_ne_bytes();
        let bytes = |(_, given): &(usize, Given)| match given {
            Given::Data => data,
            Given::First => &first[..],
            Given::Edge => &edge[..],
            Given::LookAhead => &look_ahead[..],
        };
        let given: Vec<&[u8]> = self.shared.wiring.given.iter().map(bytes).collect();
        let result = self.run(&given, take).map_err(|error| self.demand.explain(error));
        self.first = match &result {
            Ok(_) => false,
            // Frames are missing between the state and the next step.
            Err(RuntimeError::Cancelled) => true,
            Err(_) => self.first,
        };
        result
    }

    fn run<R>(&mut self, given: &[&[u8]], take: impl FnOnce(&[&[u8]]) -> R) -> Result<R, RuntimeError> {
        match &mut self.seat {
            Seat::Alone(tensors) => {
                tensors.give(0, given)?;
                tensors.run(&[false], std::slice::from_ref(&self.cancel))?;
                Ok(take(&tensors.taken(0)))
            }
            Seat::Batched(member) => {
                let outputs = member.step(given, &self.cancel)?;
                self.members = outputs.members;
                Ok(take(&outputs.bytes.iter().map(|bytes| &bytes[..]).collect::<Vec<_>>()))
            }
        }
    }
}

fn tokens(element: TensorElementType, bytes: &[u8]) -> Tokens {
    match element {
        TensorElementType::Int32 => Tokens::Indices(values(bytes, i32::from_ne_bytes)),
        _ => Tokens::Floats(floats(bytes)),
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    values(bytes, f32::from_ne_bytes)
}

fn values<T>(bytes: &[u8], from_bytes: fn([u8; 4]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| from_bytes(*word)).collect()
}
