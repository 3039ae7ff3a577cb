//! An encoder or decoder graph that runs step by step, keeping its state between steps.

use std::sync::Arc;

use ort::value::TensorElementType;

use super::batch::Member;
use super::budget::Demand;
use super::session::{Port, SharedSession};
use super::step::{Failure, Tensors, Wiring};
use super::{Cancel, ExecutionProvider, Options, Report, Running, RuntimeError, Silent, sharing};
use crate::format::Regularizer;
use crate::stream::Tokens;
use crate::tokenizer::{Description, Graph, Role};

/// Turns frames into tokens, one step at a time.
pub struct EncoderNetwork(Network);

impl EncoderNetwork {
    /// Makes `graph` ready for pictures of `width` × `height` pixels, before padding.
    pub fn open(graph: &Graph, options: Options, width: u32, height: u32) -> Result<Self, RuntimeError> {
        Self::open_reporting(graph, options, width, height, &Silent)
    }

    /// The same, telling `report` of what takes long, and of what works less well than it could.
    pub fn open_reporting(
        graph: &Graph,
        options: Options,
        width: u32,
        height: u32,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        Network::open(graph, Role::Encoder, options, (width, height), report).map(Self)
    }

    /// The next step starts a segment.
    pub fn restart(&mut self) {
        self.0.first = true;
    }

    /// `cancel` ends this network's steps from now on.
    pub fn set_cancel(&mut self, cancel: Cancel) {
        self.0.cancel = cancel;
    }

    /// Runs a step on `[T, H, W, 3]` RGB bytes of the padded size; gives `[t, h, w]` indices or `[t, h, w, C]` means.
    pub fn encode(&mut self, frames: &[u8]) -> Result<Tokens, RuntimeError> {
        let element = self.0.token_type;
        self.0.step(frames, false, |outputs| tokens(element, outputs[0]))
    }

    /// Runs a step of a continuous tokenizer; gives means and log-variances of the posterior, `[t, h, w, C]` each.
    pub fn encode_posterior(&mut self, frames: &[u8]) -> Result<(Tokens, Vec<f32>), RuntimeError> {
        self.expect_posterior()?;
        let element = self.0.token_type;
        self.0.step(frames, false, |outputs| {
            (tokens(element, outputs[0]), floats(outputs[1]))
        })
    }

    /// Checks that the graph gives the posterior's log-variances.
    pub fn expect_posterior(&self) -> Result<(), RuntimeError> {
        if self.0.outputs > 1 {
            return Ok(());
        }
        let name = &self.0.description.name;
        Err(RuntimeError::Graph(format!(
            "the graph of \"{name}\" should have an output \"logvar\", but has none"
        )))
    }

    /// The provider that runs the graph.
    pub fn provider(&self) -> ExecutionProvider {
        self.0.running.provider
    }

    /// The same, and what it leaves to others.
    pub fn running(&self) -> &Running {
        &self.0.running
    }

    /// How many streams, this one among them, made the latest step as one batch.
    pub fn streams(&self) -> usize {
        self.0.streams
    }
}

/// Turns tokens into frames, one step at a time.
pub struct DecoderNetwork(Network);

impl DecoderNetwork {
    /// Makes `graph` ready for pictures of `width` × `height` pixels, before padding.
    pub fn open(graph: &Graph, options: Options, width: u32, height: u32) -> Result<Self, RuntimeError> {
        Self::open_reporting(graph, options, width, height, &Silent)
    }

    /// The same, telling `report` of what takes long, and of what works less well than it could.
    pub fn open_reporting(
        graph: &Graph,
        options: Options,
        width: u32,
        height: u32,
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        Network::open(graph, Role::Decoder, options, (width, height), report).map(Self)
    }

    /// The next step starts a segment.
    pub fn restart(&mut self) {
        self.0.first = true;
    }

    /// `cancel` ends this network's steps from now on.
    pub fn set_cancel(&mut self, cancel: Cancel) {
        self.0.cancel = cancel;
    }

    /// Runs a step on `tokens` and shows `use_frames` its `[T, H, W, 3]` RGB bytes of the padded size.
    ///
    /// `at_edge`: the step's last latent frame has no right neighbour to look ahead to, or is a segment's second.
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

    /// Latent frames that `decode` takes.
    pub fn latent_frames(&self) -> usize {
        self.0.description.grouping().step_latent_frames()
    }

    /// The provider that runs the graph.
    pub fn provider(&self) -> ExecutionProvider {
        self.0.running.provider
    }

    /// The same, and what it leaves to others.
    pub fn running(&self) -> &Running {
        &self.0.running
    }

    /// How many streams, this one among them, made the latest step as one batch.
    pub fn streams(&self) -> usize {
        self.0.streams
    }
}

/// A graph with the state of one stream.
struct Network {
    seat: Seat,
    /// What a step needs, for the error where it does not get it.
    demand: Demand,
    description: Arc<Description>,
    running: Running,
    token_type: TensorElementType,
    /// What each input that is given is for, in the wiring's order.
    inputs: Vec<Given>,
    /// How many outputs are taken.
    outputs: usize,
    /// The graph is to ignore its state at the next step.
    first: bool,
    /// How many streams made the latest step together.
    streams: usize,
    cancel: Cancel,
}

/// Where the stream's tensors are.
enum Seat {
    Alone(Box<Tensors>),
    Batched(Member),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    /// Frames or tokens.
    Data,
    /// Whether the step starts a segment.
    First,
    /// Whether the look-ahead of the step's last latent frame is clamped.
    Edge,
    /// The same for graphs exported before `edge` was a truth value: they take how far the layer looks ahead.
    LookAhead,
}

/// How far linear up-sampling ×2 looks ahead where nothing clamps it, for graphs that do not know it themselves.
const LOOK_AHEAD: f32 = 0.25;

impl Network {
    fn open(
        graph: &Graph,
        role: Role,
        options: Options,
        (width, height): (u32, u32),
        report: &dyn Report,
    ) -> Result<Self, RuntimeError> {
        let description = graph.description.clone();
        let size = (description.padded(width), description.padded(height));
        let token_type = match description.regularizer {
            Regularizer::Fsq { .. } => TensorElementType::Int32,
            Regularizer::Kl { .. } => TensorElementType::Float32,
        };
        let wire = |session: &SharedSession| Check::new(session, size, token_type).wire(role);
        let try_out = |session: &Arc<SharedSession>| try_out(session, wire(session)?.0, size);
        let session = sharing::shared(graph, options, size, &try_out, report)?;
        let (wiring, inputs) = wire(&session)?;
        let (running, outputs) = (session.running.clone(), wiring.taken.len());
        let demand = Demand::of(&session, size);
        let allocate = || {
            check_memory(&session, &demand)?;
            Tensors::new(session.clone(), wiring.clone())
                .map_err(|error| demand.explain(RuntimeError::Run(format!("ONNX Runtime: {}", error.message()))))
        };
        let seat = if session.streams > 1 {
            Seat::Batched(session.batches.join(&wiring, options.batch_timeout, allocate)?)
        } else {
            Seat::Alone(Box::new(allocate()?))
        };
        Ok(Self {
            seat,
            demand,
            description,
            running,
            token_type,
            inputs,
            outputs,
            first: true,
            streams: 1,
            cancel: Cancel::default(),
        })
    }

    /// Runs the graph once on `data` and the state; `take` is shown the outputs in the wiring's order.
    fn step<R>(&mut self, data: &[u8], at_edge: bool, take: impl FnOnce(&[&[u8]]) -> R) -> Result<R, RuntimeError> {
        let first = [u8::from(self.first)];
        let edge = [u8::from(at_edge)];
        let look_ahead = if at_edge { 0.0 } else { LOOK_AHEAD }.to_ne_bytes();
        let bytes = |given: &Given| match given {
            Given::Data => data,
            Given::First => &first[..],
            Given::Edge => &edge[..],
            Given::LookAhead => &look_ahead[..],
        };
        let given: Vec<&[u8]> = self.inputs.iter().map(bytes).collect();
        let result = self.run(&given, take).map_err(|error| self.demand.explain(error));
        // A step that was cancelled leaves no state to go on with.
        self.first = match &result {
            Ok(_) => false,
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
                self.streams = outputs.streams;
                Ok(take(&outputs.bytes.iter().map(|bytes| &bytes[..]).collect::<Vec<_>>()))
            }
        }
    }
}

/// Runs a session once, on zeros and tensors of its own: whatever makes its provider unusable shows now. It is also
/// when CUDA chooses among algorithms, and no frame waits for that.
fn try_out(session: &Arc<SharedSession>, wiring: Wiring, size: (u32, u32)) -> Result<(), RuntimeError> {
    check_memory(session, &Demand::of(session, size))?;
    let failed = |error: &ort::Error| session.running.provider.failed(error.message());
    let mut tensors = Tensors::new(session.clone(), wiring).map_err(|error| failed(&error))?;
    tensors.run(&[], &[]).map_err(|failure| match failure {
        Failure::Run(error) | Failure::State(error) => failed(&error),
        Failure::Cancelled => RuntimeError::Cancelled,
    })
}

/// Refuses what does not fit into the CPU's memory, where the network is in it.
fn check_memory(session: &SharedSession, demand: &Demand) -> Result<(), RuntimeError> {
    if session.running.provider.has_memory() {
        // How much a device has, it says itself, when it is tried out.
        return Ok(());
    }
    demand.check()
}

/// Checks that a graph is what its description says, so that a run cannot read or write beside a buffer.
struct Check<'a> {
    session: &'a SharedSession,
    token_type: TensorElementType,
    /// `[N, T, H, W, 3]`, padded.
    frames: Vec<i64>,
    /// `[N, t, h, w]` or `[N, t, h, w, C]`.
    tokens: Vec<i64>,
}

impl<'a> Check<'a> {
    fn new(session: &'a SharedSession, (width, height): (u32, u32), token_type: TensorElementType) -> Self {
        let (tokenizer, streams) = (&session.graph.description, session.streams as i64);
        let grouping = tokenizer.grouping();
        let [rows, columns] = [height, width].map(|size| i64::from(size / tokenizer.space_factor));
        let mut tokens = vec![streams, grouping.step_latent_frames() as i64, rows, columns];
        if let Regularizer::Kl { channels } = tokenizer.regularizer {
            tokens.push(i64::from(channels));
        }
        let frames = vec![streams, grouping.step_frames() as i64, height.into(), width.into(), 3];
        Self {
            session,
            token_type,
            frames,
            tokens,
        }
    }

    /// What the graph's inputs and outputs are for, and what each input that is given is.
    fn wire(&self, role: Role) -> Result<(Wiring, Vec<Given>), RuntimeError> {
        use TensorElementType::{Bool, Float32, Uint8};
        let streams = self.session.streams as i64;
        let (inputs, outputs) = (&self.session.inputs, &self.session.outputs);
        let mut wiring = Wiring::default();
        let mut given = Vec::new();
        let frames = ("frames", Uint8, &self.frames);
        let tokens = ("tokens", self.token_type, &self.tokens);
        let (data, result) = match role {
            Role::Encoder => (frames, tokens),
            Role::Decoder => (tokens, frames),
        };
        let flag = vec![streams];
        let edge_is_needed = role == Role::Decoder && self.session.graph.description.decoder_delay > 0;
        let takes_number = |port: &Port| port.name == "edge" && port.element == Float32;
        let edge = match inputs.iter().any(takes_number) {
            true => (Given::LookAhead, Float32),
            false => (Given::Edge, Bool),
        };
        let known = [
            (Given::Data, true, data),
            (Given::First, false, ("first", Bool, &flag)),
            (edge.0, edge_is_needed, ("edge", edge.1, &flag)),
        ];
        for (kind, needed, (name, element, shape)) in known {
            if needed || inputs.iter().any(|port| port.name == name) {
                wiring.given.push(self.expect(inputs, "input", name, element, shape)?);
                given.push(kind);
            }
        }
        let (name, element, shape) = result;
        let index = self.expect(outputs, "output", name, element, shape)?;
        wiring.taken.push((index, shape.clone()));
        if role == Role::Encoder && outputs.iter().any(|port| port.name == "logvar") {
            let index = self.expect(outputs, "output", "logvar", Float32, &self.tokens)?;
            wiring.taken.push((index, self.tokens.clone()));
        }
        for (index, input) in inputs.iter().enumerate() {
            if input.name.starts_with("state.") {
                wiring.states.push((index, self.next_of(input)?));
            } else if !wiring.given.contains(&index) {
                let unknown = format!("has an unknown input \"{}\": is the plugin too old for it?", input.name);
                return Err(self.wrong(&unknown));
            }
        }
        Ok((wiring, given))
    }

    /// The place of an input or output of this type and shape.
    fn expect(
        &self,
        ports: &[Port],
        kind: &str,
        name: &str,
        element: TensorElementType,
        shape: &[i64],
    ) -> Result<usize, RuntimeError> {
        let fail = |found: &str| {
            self.wrong(&format!(
                "should have an {kind} \"{name}\" of {element} {shape:?}, but {found}"
            ))
        };
        let index = ports.iter().position(|port| port.name == name);
        let index = index.ok_or_else(|| fail("has none"))?;
        let port = &ports[index];
        if port.element == element && fits(&port.shape, shape) {
            return Ok(index);
        }
        if self.session.streams > 1 && port.shape.first() == Some(&1) {
            return Err(self.wrong(
                "runs one stream at a time: batch-streams needs the form for GPUs (models/export.py --target gpu; where \
                 there is one in half precision only, set precision=fp16)",
            ));
        }
        Err(fail(&format!("has {} {:?}", port.element, port.shape)))
    }

    /// The output that gives the state `input` for the next step.
    fn next_of(&self, input: &Port) -> Result<usize, RuntimeError> {
        let Port { name, element, shape } = input;
        let next = format!("{name}.next");
        let outputs = &self.session.outputs;
        let index = outputs.iter().position(|output| output.name == next);
        let index = index.ok_or_else(|| self.wrong(&format!("has a state \"{name}\" without an output \"{next}\"")))?;
        if shape.first() != Some(&(self.session.streams as i64)) || shape.iter().any(|size| *size < 0) {
            return Err(self.wrong(&format!(
                "has a state \"{name}\" without a fixed shape for every stream: {shape:?}"
            )));
        }
        let output = &outputs[index];
        if output.element != *element || !fits(&output.shape, shape) || element.byte_size(1).is_none() {
            return Err(self.wrong(&format!(
                "has a state \"{name}\" of {element} {shape:?}, whose next is of {} {:?}",
                output.element, output.shape
            )));
        }
        Ok(index)
    }

    fn wrong(&self, what: &str) -> RuntimeError {
        let graph = &self.session.graph;
        let name = &graph.description.name;
        RuntimeError::Graph(format!("the graph of \"{name}\" {what} ({})", graph.location()))
    }
}

/// Whether `shape` is possible where ONNX Runtime found `found`, with negative sizes for those that it does not know.
fn fits(found: &[i64], shape: &[i64]) -> bool {
    found.len() == shape.len() && found.iter().zip(shape).all(|(found, size)| *found < 0 || found == size)
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
