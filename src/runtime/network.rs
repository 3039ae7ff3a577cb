//! An encoder or decoder graph that runs step by step, keeping its state between steps.

use std::sync::Arc;

use ort::memory::Allocator;
use ort::session::{SessionInputValue, SessionOutputs};
use ort::value::{DynTensor, DynValue, Tensor, TensorElementType, TensorRef};

use super::session::{self, Port, SharedSession};
use super::{ExecutionProvider, Options, RuntimeError, memory};
use crate::format::Regularizer;
use crate::stream::Tokens;
use crate::tokenizer::{Description, Graph};

/// Turns frames into tokens, one step at a time.
pub struct EncoderNetwork(Network);

impl EncoderNetwork {
    /// Makes `graph` ready for pictures of `width` × `height` pixels, before padding.
    pub fn open(graph: &Graph, options: Options, width: u32, height: u32) -> Result<Self, RuntimeError> {
        let network = Network::open(graph, options, width, height)?;
        network.expect_input("frames", TensorElementType::Uint8, &network.frames_shape)?;
        network.expect_output("tokens", network.token_type(), &network.tokens_shape)?;
        Ok(Self(network))
    }

    /// The next step starts a segment.
    pub fn restart(&mut self) {
        self.0.first = true;
    }

    /// Runs a step on `[T, H, W, 3]` RGB bytes of the padded size; gives `[t, h, w]` indices or `[t, h, w, C]` means.
    pub fn encode(&mut self, frames: &[u8]) -> Result<Tokens, RuntimeError> {
        self.run(frames, tokens)
    }

    /// Runs a step of a continuous tokenizer; gives means and log-variances of the posterior, `[t, h, w, C]` each.
    pub fn encode_posterior(&mut self, frames: &[u8]) -> Result<(Tokens, Vec<f32>), RuntimeError> {
        self.run(frames, |outputs| {
            Ok((
                tokens(outputs)?,
                outputs["logvar"].try_extract_tensor::<f32>()?.1.to_vec(),
            ))
        })
    }

    /// Checks that the graph gives the posterior's log-variances.
    pub fn expect_posterior(&self) -> Result<(), RuntimeError> {
        self.0
            .expect_output("logvar", TensorElementType::Float32, &self.0.tokens_shape)
    }

    fn run<R>(
        &mut self,
        frames: &[u8],
        take: impl FnOnce(&SessionOutputs<'_>) -> ort::Result<R>,
    ) -> Result<R, RuntimeError> {
        let shape = self.0.frames_shape.clone();
        let frames = TensorRef::from_array_view((shape, frames)).map_err(|e| run_error(&e))?;
        self.0.step([("frames", frames.into())], take)
    }

    /// The provider that runs the graph.
    pub fn provider(&self) -> ExecutionProvider {
        self.0.session.provider
    }
}

/// Turns tokens into frames, one step at a time.
pub struct DecoderNetwork(Network);

impl DecoderNetwork {
    /// Makes `graph` ready for pictures of `width` × `height` pixels, before padding.
    pub fn open(graph: &Graph, options: Options, width: u32, height: u32) -> Result<Self, RuntimeError> {
        let network = Network::open(graph, options, width, height)?;
        network.expect_input("tokens", network.token_type(), &network.tokens_shape)?;
        network.expect_output("frames", TensorElementType::Uint8, &network.frames_shape)?;
        if network.description.decoder_delay > 0 {
            network.expect_input("edge", TensorElementType::Float32, &[1])?;
        }
        Ok(Self(network))
    }

    /// The next step starts a segment.
    pub fn restart(&mut self) {
        self.0.first = true;
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
        let shape = self.0.tokens_shape.clone();
        let tokens: SessionInputValue = match tokens {
            Tokens::Indices(indices) => TensorRef::from_array_view((shape, &indices[..])).map(Into::into),
            Tokens::Floats(floats) => TensorRef::from_array_view((shape, &floats[..])).map(Into::into),
        }
        .map_err(|e| run_error(&e))?;
        let expected = self.0.frames_bytes();
        let edge = [if at_edge { 0.0f32 } else { 0.25 }];
        let edge = TensorRef::from_array_view(([1i64], &edge[..])).map_err(|e| run_error(&e))?;
        self.0
            .step([("tokens", tokens), ("edge", edge.into())], |outputs| {
                let frames = outputs["frames"].try_extract_tensor::<u8>()?.1;
                Ok((frames.len() == expected).then(|| use_frames(frames)))
            })?
            .ok_or_else(|| RuntimeError::Graph("the decoder gave a picture of another size than it says".into()))
    }

    /// Latent frames that `decode` takes.
    pub fn latent_frames(&self) -> usize {
        self.0.tokens_shape[1] as usize
    }

    /// The provider that runs the graph.
    pub fn provider(&self) -> ExecutionProvider {
        self.0.session.provider
    }
}

/// A graph with the state of one stream.
struct Network {
    session: Arc<SharedSession>,
    description: Arc<Description>,
    /// `[N, T, H, W, 3]`, padded.
    frames_shape: Vec<i64>,
    /// `[N, t, h, w]` or `[N, t, h, w, C]`.
    tokens_shape: Vec<i64>,
    /// One for each input, in the graph's order.
    slots: Vec<Slot>,
    /// The graph is to ignore its state at the next step.
    first: bool,
}

/// Where an input's value comes from.
enum Slot {
    /// The caller, by this name.
    Given(String),
    /// Whether the step starts a segment.
    First,
    /// The output `next` of the step before.
    State { next: String, value: DynValue },
}

impl Network {
    fn open(graph: &Graph, options: Options, width: u32, height: u32) -> Result<Self, RuntimeError> {
        let description = graph.description.clone();
        let (padded_width, padded_height) = (description.padded(width), description.padded(height));
        let session = session::shared(graph, options, padded_width, padded_height)?;
        let grouping = description.grouping();
        let [width, height] = [padded_width, padded_height].map(i64::from);
        let cell = i64::from(description.space_factor);
        let mut tokens_shape = vec![1, grouping.step_latent_frames() as i64, height / cell, width / cell];
        if let Regularizer::Kl { channels } = description.regularizer {
            tokens_shape.push(i64::from(channels));
        }
        let frames_shape = vec![1, grouping.step_frames() as i64, height, width, 3];
        memory::check(&session.inputs, (padded_width, padded_height), graph)?;
        let slots = session
            .inputs
            .iter()
            .map(|input| slot(input, &session.outputs))
            .collect::<Result<_, _>>();
        let slots = slots.map_err(|e| RuntimeError::Graph(format!("{}: {e}", graph.location())))?;
        Ok(Self {
            session,
            description,
            frames_shape,
            tokens_shape,
            slots,
            first: true,
        })
    }

    fn token_type(&self) -> TensorElementType {
        match self.description.regularizer {
            Regularizer::Fsq { .. } => TensorElementType::Int32,
            Regularizer::Kl { .. } => TensorElementType::Float32,
        }
    }

    fn frames_bytes(&self) -> usize {
        self.frames_shape.iter().product::<i64>() as usize
    }

    fn expect_input(&self, name: &str, ty: TensorElementType, shape: &[i64]) -> Result<(), RuntimeError> {
        self.expect(&self.session.inputs, "input", name, ty, shape)
    }

    fn expect_output(&self, name: &str, ty: TensorElementType, shape: &[i64]) -> Result<(), RuntimeError> {
        self.expect(&self.session.outputs, "output", name, ty, shape)
    }

    /// Checks that the graph is what its description says, so that a run cannot read or write beside a buffer.
    fn expect(
        &self,
        ports: &[Port],
        kind: &str,
        name: &str,
        ty: TensorElementType,
        shape: &[i64],
    ) -> Result<(), RuntimeError> {
        let fail = |found: &str| {
            RuntimeError::Graph(format!(
                "the graph of \"{}\" should have an {kind} \"{name}\" of {ty} {shape:?}, but {found}",
                self.description.name
            ))
        };
        let port = ports
            .iter()
            .find(|port| port.name == name)
            .ok_or_else(|| fail("has none"))?;
        let same_shape = port.shape.len() == shape.len() && port.shape.iter().zip(shape).all(|(p, s)| *p < 0 || p == s);
        if port.element == ty && same_shape {
            Ok(())
        } else {
            Err(fail(&format!("has {} {:?}", port.element, port.shape)))
        }
    }

    /// Runs the graph once on `given` inputs and the state; `take` reads the outputs it wants.
    fn step<'v, R, const N: usize>(
        &mut self,
        given: [(&str, SessionInputValue<'v>); N],
        take: impl FnOnce(&SessionOutputs<'_>) -> ort::Result<R>,
    ) -> Result<R, RuntimeError> {
        let first = Tensor::from_array(([1i64], vec![self.first])).map_err(|e| run_error(&e))?;
        let mut given = given.map(|(name, value)| (name, Some(value)));
        let mut session = self.session.lock();
        let inputs = self.slots.iter().map(|slot| match slot {
            Slot::Given(wanted) => {
                let found = given.iter_mut().find(|(name, _)| name == wanted);
                found.and_then(|(_, value)| value.take()).ok_or_else(|| {
                    RuntimeError::Graph(format!(
                        "the graph has an unknown input \"{wanted}\": is the plugin too old for it?"
                    ))
                })
            }
            Slot::First => Ok((&first).into()),
            Slot::State { value, .. } => Ok(value.into()),
        });
        let inputs = inputs.collect::<Result<Vec<SessionInputValue>, _>>()?;
        let mut outputs = session.run(&inputs[..]).map_err(|e| run_error(&e))?;
        let result = take(&outputs).map_err(|e| run_error(&e))?;
        drop(inputs);
        for slot in &mut self.slots {
            if let Slot::State { next, value } = slot {
                *value = outputs
                    .remove(&*next)
                    .ok_or_else(|| RuntimeError::Run(format!("no output \"{next}\"")))?;
            }
        }
        self.first = false;
        Ok(result)
    }
}

fn tokens(outputs: &SessionOutputs<'_>) -> ort::Result<Tokens> {
    let tokens = &outputs["tokens"];
    Ok(match tokens.dtype().tensor_type() {
        Some(TensorElementType::Int32) => Tokens::Indices(tokens.try_extract_tensor::<i32>()?.1.to_vec()),
        _ => Tokens::Floats(tokens.try_extract_tensor::<f32>()?.1.to_vec()),
    })
}

/// What feeds `input`; its state, zero at first, if it is one.
fn slot(input: &Port, outputs: &[Port]) -> Result<Slot, String> {
    let name = &input.name;
    if name == "first" {
        return Ok(Slot::First);
    }
    if !name.starts_with("state.") {
        return Ok(Slot::Given(name.clone()));
    }
    let next = format!("{name}.next");
    if !outputs.iter().any(|output| output.name == next) {
        return Err(format!("the state \"{name}\" has no output \"{next}\""));
    }
    if input.shape.iter().any(|size| *size < 0) {
        return Err(format!("the state \"{name}\" has no fixed shape: {:?}", input.shape));
    }
    let value = DynTensor::new(&Allocator::default(), input.element, &input.shape[..]);
    Ok(Slot::State {
        next,
        value: value.map_err(|e| e.message().to_string())?.into_dyn(),
    })
}

fn run_error(error: &ort::Error) -> RuntimeError {
    RuntimeError::Run(format!("ONNX Runtime: {}", error.message()))
}
