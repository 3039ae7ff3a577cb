//! What a graph's inputs and outputs are for: found by name, and checked against the tokenizer's description, so that a
//! run cannot read or write outside a buffer.

use ort::value::TensorElementType;

use crate::format::Regularizer;
use crate::runtime::error::RuntimeError;
use crate::runtime::session::{Port, Session};
use crate::tokenizer::{Description, FrameType, Graph, Role, Source};

/// What a graph's inputs and outputs are for, by their place in the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// Inputs that callers give, and what each is.
    pub given: Vec<(usize, Given)>,
    /// Outputs that callers take, and their shapes.
    pub taken: Vec<(usize, Vec<i64>)>,
    /// The input of each state, and the output that gives it for the next step.
    pub states: Vec<(usize, usize)>,
}

/// An input that callers give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Frames or tokens.
    Data,
    /// Whether the step starts a segment.
    First,
    /// Whether the look-ahead of the step's last latent frame is clamped.
    Edge,
    /// `Edge` as a number that says how far the graph looks ahead: for graphs that were exported before `edge` was a
    /// truth value.
    LookAhead,
}

impl Wiring {
    /// The wiring of a session for pictures of `size` pixels, padded.
    ///
    /// # Errors
    /// [`RuntimeError::Graph`]: an input or output is missing, unknown, or of another type or shape than the
    /// description says.
    pub fn of(session: &Session, size: (u32, u32)) -> Result<Self, RuntimeError> {
        Check::new(&session.graph, session.members, size, &session.inputs, &session.outputs).wiring()
    }

    /// The places of the outputs that callers take.
    pub fn taken_places(&self) -> impl Iterator<Item = usize> {
        self.taken.iter().map(|(place, _)| *place)
    }
}

/// The type of a tokenizer's tokens in its graphs: indices, or means of the posterior.
pub fn token_type(tokenizer: &Description) -> TensorElementType {
    match tokenizer.regularizer {
        Regularizer::Fsq { .. } => TensorElementType::Int32,
        Regularizer::Kl { .. } => TensorElementType::Float32,
    }
}

/// The type of an encoder's frames in its graph.
fn frame_type(input: FrameType) -> TensorElementType {
    match input {
        FrameType::Uint8 => TensorElementType::Uint8,
        FrameType::Float32 => TensorElementType::Float32,
    }
}

/// A graph's inputs and outputs, and what its description says of them.
struct Check<'a> {
    graph: &'a Graph,
    members: usize,
    inputs: &'a [Port],
    outputs: &'a [Port],
    token_type: TensorElementType,
    /// `[N, T, H, W, 3]`, padded.
    frames: Vec<i64>,
    /// `[N, t, h, w]` or `[N, t, h, w, C]`.
    tokens: Vec<i64>,
}

impl<'a> Check<'a> {
    fn new(
        graph: &'a Graph,
        members: usize,
        (width, height): (u32, u32),
        inputs: &'a [Port],
        outputs: &'a [Port],
    ) -> Self {
        let (tokenizer, batch) = (&graph.description, members as i64);
        let grouping = tokenizer.grouping();
        let [rows, columns] = [height, width].map(|size| i64::from(size / tokenizer.space_factor));
        let mut tokens = vec![batch, grouping.step_latent_frames() as i64, rows, columns];
        if let Regularizer::Kl { channels } = tokenizer.regularizer {
            tokens.push(i64::from(channels));
        }
        Self {
            graph,
            members,
            inputs,
            outputs,
            token_type: token_type(tokenizer),
            frames: vec![batch, grouping.step_frames() as i64, height.into(), width.into(), 3],
            tokens,
        }
    }

    fn wiring(&self) -> Result<Wiring, RuntimeError> {
        use TensorElementType::{Bool, Float32, Uint8};
        let role = self.graph.role;
        let mut wiring = Wiring::default();
        let input = frame_type(self.graph.input);
        let tokens = ("tokens", self.token_type, &self.tokens);
        let (data, result) = match role {
            Role::Encoder => (("frames", input, &self.frames), tokens),
            Role::Decoder => (tokens, ("frames", Uint8, &self.frames)),
        };
        let flag = vec![self.members as i64];
        let edge_is_needed = role == Role::Decoder && self.graph.description.decoder_delay > 0;
        let is_number = |port: &Port| port.name == "edge" && port.element == Float32;
        let edge = match self.inputs.iter().any(is_number) {
            true => (Given::LookAhead, Float32),
            false => (Given::Edge, Bool),
        };
        let known = [
            (Given::Data, true, data),
            (Given::First, false, ("first", Bool, &flag)),
            (edge.0, edge_is_needed, ("edge", edge.1, &flag)),
        ];
        for (given, needed, (name, element, shape)) in known {
            if needed || self.inputs.iter().any(|port| port.name == name) {
                let place = self.find(self.inputs, "input", name, element, shape)?;
                wiring.given.push((place, given));
            }
        }
        let (name, element, shape) = result;
        let place = self.find(self.outputs, "output", name, element, shape)?;
        wiring.taken.push((place, shape.clone()));
        if role == Role::Encoder && self.outputs.iter().any(|port| port.name == "logvar") {
            let place = self.find(self.outputs, "output", "logvar", Float32, &self.tokens)?;
            wiring.taken.push((place, self.tokens.clone()));
        }
        for (place, input) in self.inputs.iter().enumerate() {
            if input.name.starts_with("state.") {
                wiring.states.push((place, self.next_of(input)?));
            } else if !wiring.given.iter().any(|(given, _)| *given == place) {
                let unknown = format!("has an unknown input \"{}\": is the plugin too old for it?", input.name);
                return Err(self.wrong(&unknown));
            }
        }
        Ok(wiring)
    }

    /// The place of an input or output of this name, type and shape.
    fn find(
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
        let place = ports.iter().position(|port| port.name == name);
        let place = place.ok_or_else(|| fail("has none"))?;
        let port = &ports[place];
        if port.element == element && fits(&port.shape, shape) {
            return Ok(place);
        }
        if self.members > 1 && port.shape.first() == Some(&1) {
            let way_out = match self.graph.source {
                Source::Embedded(_) => "set model to a tokenizer's folder that has it",
                Source::File(..) => {
                    "models/export.py --target gpu writes it; where there is one in half precision only, set \
                     precision=fp16"
                }
            };
            let what = format!("runs one stream at a time: batch-streams needs the variant for GPUs; {way_out}");
            return Err(self.wrong(&what));
        }
        if port.element != element && name == "frames" && kind == "input" {
            let said = match self.graph.input {
                FrameType::Uint8 => "is uint8, or missing",
                FrameType::Float32 => "is float32",
            };
            return Err(self.wrong(&format!(
                "has an input \"frames\" of {}, but its key \"vidtok.input\" {said}: export the tokenizer again",
                port.element
            )));
        }
        Err(fail(&format!("has {} {:?}", port.element, port.shape)))
    }

    /// The output that gives the state `input` for the next step.
    fn next_of(&self, input: &Port) -> Result<usize, RuntimeError> {
        let Port { name, element, shape } = input;
        let next = format!("{name}.next");
        let place = self.outputs.iter().position(|output| output.name == next);
        let place = place.ok_or_else(|| self.wrong(&format!("has a state \"{name}\" without an output \"{next}\"")))?;
        if shape.first() != Some(&(self.members as i64)) || shape.iter().any(|size| *size < 0) {
            return Err(self.wrong(&format!(
                "has a state \"{name}\" without a fixed shape for every stream: {shape:?}"
            )));
        }
        let output = &self.outputs[place];
        if output.element != *element || !fits(&output.shape, shape) || element.byte_size(1).is_none() {
            return Err(self.wrong(&format!(
                "has a state \"{name}\" of {element} {shape:?}, whose next is of {} {:?}",
                output.element, output.shape
            )));
        }
        Ok(place)
    }

    fn wrong(&self, what: &str) -> RuntimeError {
        let name = &self.graph.description.name;
        RuntimeError::Graph(format!("the graph of \"{name}\" {what} ({})", self.graph.location()).into())
    }
}

/// Whether a tensor of the shape `found` can have the sizes `shape`. Sizes that ONNX Runtime does not know are
/// negative.
fn fits(found: &[i64], shape: &[i64]) -> bool {
    found.len() == shape.len() && found.iter().zip(shape).all(|(found, size)| *found < 0 || found == size)
}

#[cfg(test)]
mod tests {
    use TensorElementType::{Bool, Float32, Int32, Uint8};

    use super::*;
    use crate::tokenizer;

    /// Pictures of 4 × 2 cells of the embedded tokenizer, which is causal: 4 frames and 1 latent frame per step.
    const SIZE: (u32, u32) = (32, 16);

    fn port(name: &str, element: TensorElementType, shape: &[i64]) -> Port {
        Port {
            name: name.into(),
            element,
            shape: shape.into(),
        }
    }

    /// Inputs and outputs as the embedded tokenizer's encoder has them, with one state.
    fn encoder(members: i64) -> (Vec<Port>, Vec<Port>) {
        let inputs = vec![
            port("state.a", Float32, &[members, 8, 16, 32]),
            port("frames", Float32, &[members, 4, 16, 32, 3]),
            port("first", Bool, &[members]),
        ];
        let outputs = vec![
            port("state.a.next", Float32, &[members, 8, 16, 32]),
            port("tokens", Int32, &[members, 1, -1, -1]),
        ];
        (inputs, outputs)
    }

    fn wiring(role: Role, members: usize, (inputs, outputs): &(Vec<Port>, Vec<Port>)) -> Result<Wiring, String> {
        let graph = tokenizer::embedded(role).unwrap();
        let wiring = Check::new(&graph, members, SIZE, inputs, outputs).wiring();
        wiring.map_err(|error| error.to_string())
    }

    #[test]
    fn inputs_and_outputs_are_found_by_name() {
        for members in [1, 3] {
            let wiring = wiring(Role::Encoder, members, &encoder(members as i64)).unwrap();
            assert_eq!(wiring.given, [(1, Given::Data), (2, Given::First)]);
            assert_eq!(wiring.taken, [(1, vec![members as i64, 1, 2, 4])]);
            assert_eq!(wiring.states, [(0, 0)]);
        }
    }

    #[test]
    fn edge_is_a_truth_value_or_in_older_graphs_a_number() {
        for (element, given) in [(Bool, Given::Edge), (Float32, Given::LookAhead)] {
            let inputs = vec![port("tokens", Int32, &[1, 1, 2, 4]), port("edge", element, &[1])];
            let outputs = vec![port("frames", Uint8, &[1, 4, 16, 32, 3])];
            let wiring = wiring(Role::Decoder, 1, &(inputs, outputs)).unwrap();
            assert_eq!(wiring.given, [(0, Given::Data), (1, given)]);
        }
    }

    #[test]
    fn a_graph_that_is_not_what_it_should_be_is_refused() {
        type Spoil = fn(&mut Vec<Port>, &mut Vec<Port>);
        let spoilt: [(Spoil, &str); 8] = [
            (|i, _| drop(i.remove(1)), "should have an input \"frames\""),
            (|_, o| drop(o.remove(1)), "should have an output \"tokens\""),
            (|i, _| i[1].shape[3] = 40, "should have an input \"frames\""),
            (|i, _| i[2].element = Float32, "should have an input \"first\""),
            (|i, _| i.push(port("mood", Float32, &[1])), "an unknown input \"mood\""),
            (|_, o| drop(o.remove(0)), "without an output \"state.a.next\""),
            (|i, _| i[0].shape[1] = -1, "without a fixed shape"),
            (|_, o| o[0].shape[1] = 9, "whose next is of"),
        ];
        for (spoil, said) in spoilt {
            let (mut inputs, mut outputs) = encoder(1);
            spoil(&mut inputs, &mut outputs);
            let error = wiring(Role::Encoder, 1, &(inputs, outputs)).unwrap_err();
            assert!(error.contains(said), "\"{said}\" is missing in: {error}");
        }
    }

    #[test]
    fn frames_are_of_the_type_that_the_graph_says() {
        let wiring = |says: FrameType, has| {
            let mut graph = tokenizer::embedded(Role::Encoder).unwrap();
            graph.input = says;
            let (mut inputs, outputs) = encoder(1);
            inputs[1].element = has;
            let wiring = Check::new(&graph, 1, SIZE, &inputs, &outputs).wiring();
            wiring.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(wiring(FrameType::Uint8, Uint8), Ok(()));
        assert_eq!(wiring(FrameType::Float32, Float32), Ok(()));
        for (says, has, said) in [
            (FrameType::Uint8, Float32, "is uint8, or missing"),
            (FrameType::Float32, Uint8, "is float32"),
            (FrameType::Float32, TensorElementType::Float16, "is float32"),
        ] {
            let error = wiring(says, has).unwrap_err();
            for part in [
                &format!("\"frames\" of {has}"),
                "\"vidtok.input\"",
                said,
                "export the tokenizer again",
            ] {
                assert!(error.contains(part), "\"{part}\" is missing in: {error}");
            }
        }
    }

    #[test]
    fn a_graph_for_one_member_is_refused_for_batches() {
        let error = wiring(Role::Encoder, 2, &encoder(1)).unwrap_err();
        for part in ["one stream at a time", "set model to a tokenizer's folder"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
