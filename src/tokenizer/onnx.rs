//! Reads the metadata of an ONNX file and which other files it refers to, without ONNX Runtime. Both are checked before
//! the graph runs. `docs/graphs.md` specifies the metadata.
//!
//! Readers of protobuf merge repeated fields, so every occurrence of a field counts here. A reference to external data
//! is refused even if nothing else marks the tensor as external.

use std::collections::{BTreeSet, HashMap};

use super::external::outside;
use super::protobuf::{Field, Fields, Malformed, Value, numbers};
use crate::details::Details;

/// Limit of nodes, attributes and tensors. ONNX Runtime makes an object of each; the project's graphs have thousands.
const MAX_PARTS: usize = 1 << 20;
/// Limit of nested messages, as in protobuf's own readers.
const MAX_DEPTH: usize = 100;

/// Numbers of fields in onnx.proto.
pub(super) mod model {
    pub const IR_VERSION: u64 = 1;
    pub const GRAPH: u64 = 7;
    pub const METADATA: u64 = 14;
    pub const TRAINING: u64 = 20;
    pub const FUNCTIONS: u64 = 25;
}
pub(super) mod graph {
    pub const NODE: u64 = 1;
    pub const INITIALIZER: u64 = 5;
    pub const SPARSE_INITIALIZER: u64 = 15;
}
mod node {
    pub const OP_TYPE: u64 = 4;
    pub const ATTRIBUTE: u64 = 5;
}
mod attribute {
    pub const TENSOR: u64 = 5;
    pub const GRAPH: u64 = 6;
    pub const TENSORS: u64 = 10;
    pub const GRAPHS: u64 = 11;
    pub const SPARSE_TENSOR: u64 = 22;
    pub const SPARSE_TENSORS: u64 = 23;
}
mod function {
    pub const NODE: u64 = 7;
    pub const ATTRIBUTE_PROTO: u64 = 11;
}
mod training {
    pub const INITIALIZATION: u64 = 1;
    pub const ALGORITHM: u64 = 2;
}
mod sparse {
    pub const VALUES: u64 = 1;
    pub const INDICES: u64 = 2;
}
pub(super) mod tensor {
    pub const DIMS: u64 = 1;
    pub const NAME: u64 = 8;
    pub const RAW_DATA: u64 = 9;
    pub const EXTERNAL_DATA: u64 = 13;
    pub const DATA_LOCATION: u64 = 14;
    /// The value of `DATA_LOCATION` for a tensor whose data are in another file.
    pub const EXTERNAL: u64 = 1;
}
mod entry {
    pub const KEY: u64 = 1;
    pub const VALUE: u64 = 2;
}

/// The operator for a part of a graph that was compiled before, often in another file.
const COMPILED: &[u8] = b"EPContext";

/// Why a file cannot be used.
#[derive(Clone, Debug)]
pub enum OnnxFault {
    NotOnnx,
    Refused(Details),
}

impl OnnxFault {
    pub(super) fn refused(text: impl Into<Details>) -> Self {
        Self::Refused(text.into())
    }
}

impl From<Malformed> for OnnxFault {
    fn from(_: Malformed) -> Self {
        Self::NotOnnx
    }
}

/// What was read from an ONNX file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub metadata: HashMap<String, String>,
    /// Names of the files in the graph's folder that hold weights.
    pub files: BTreeSet<String>,
    /// The most channels that a convolution has on one side and three, those of pixels, on the other; 0: unknown.
    pub channels: u32,
}

/// Reads an ONNX file.
///
/// # Errors
/// The file is not ONNX; has external data in another folder, or for other tensors than the graph's weights; has parts
/// that were compiled before; or has too many parts.
pub fn read(bytes: &[u8]) -> Result<Model, OnnxFault> {
    let mut model = Model::default();
    let mut walk = Walk::default();
    let (mut has_version, mut has_graph) = (false, false);
    for field in Fields::new(bytes) {
        let field = field?;
        match (field.number, field.value) {
            (model::IR_VERSION, Value::Number(version)) => has_version = version != 0,
            (model::GRAPH, Value::Bytes(graph)) => {
                has_graph = true;
                walk.graph(graph, 1, true)?;
            }
            (model::METADATA, Value::Bytes(entry)) => {
                let (key, value) = read_entry(entry)?;
                model.metadata.insert(key, value);
            }
            (model::TRAINING, Value::Bytes(training)) => {
                for graph in messages(training, &[training::INITIALIZATION, training::ALGORITHM]) {
                    walk.graph(graph?.1, 2, false)?;
                }
            }
            (model::FUNCTIONS, Value::Bytes(function)) => {
                for part in messages(function, &[function::NODE, function::ATTRIBUTE_PROTO]) {
                    match part? {
                        (function::NODE, node) => walk.node(node, 2)?,
                        (_, attribute) => walk.attribute(attribute, 2)?,
                    }
                }
            }
            _ => (),
        }
    }
    if !has_version || !has_graph {
        return Err(OnnxFault::NotOnnx);
    }
    (model.files, model.channels) = (walk.files, walk.channels);
    Ok(model)
}

/// Walks through everything in a graph that may hold a tensor.
#[derive(Default)]
struct Walk {
    parts: usize,
    files: BTreeSet<String>,
    channels: u32,
}

impl Walk {
    /// `main`: the model's own graph, whose initializers may have external data.
    fn graph(&mut self, bytes: &[u8], depth: usize, main: bool) -> Result<(), OnnxFault> {
        for part in messages(bytes, &[graph::NODE, graph::INITIALIZER, graph::SPARSE_INITIALIZER]) {
            match part? {
                (graph::NODE, node) => self.node(node, depth + 1)?,
                (graph::INITIALIZER, tensor) if main => {
                    self.count(depth)?;
                    self.files.extend(outside(tensor)?.map(|outside| outside.file));
                    self.channels = self.channels.max(channels_beside_pixels(tensor)?);
                }
                (graph::INITIALIZER, tensor) => self.tensor(tensor, depth + 1)?,
                (_, sparse) => self.sparse(sparse, depth + 1)?,
            }
        }
        Ok(())
    }

    fn node(&mut self, bytes: &[u8], depth: usize) -> Result<(), OnnxFault> {
        self.count(depth)?;
        for part in messages(bytes, &[node::OP_TYPE, node::ATTRIBUTE]) {
            match part? {
                (node::OP_TYPE, COMPILED) => {
                    return Err(OnnxFault::refused(
                        "it holds a part that was compiled elsewhere (EPContext)",
                    ));
                }
                (node::OP_TYPE, _) => (),
                (_, attribute) => self.attribute(attribute, depth + 1)?,
            }
        }
        Ok(())
    }

    fn attribute(&mut self, bytes: &[u8], depth: usize) -> Result<(), OnnxFault> {
        use attribute::{GRAPH, GRAPHS, SPARSE_TENSOR, SPARSE_TENSORS, TENSOR, TENSORS};
        self.count(depth)?;
        for part in messages(bytes, &[TENSOR, TENSORS, GRAPH, GRAPHS, SPARSE_TENSOR, SPARSE_TENSORS]) {
            match part? {
                (TENSOR | TENSORS, tensor) => self.tensor(tensor, depth + 1)?,
                (GRAPH | GRAPHS, graph) => self.graph(graph, depth + 1, false)?,
                (_, sparse) => self.sparse(sparse, depth + 1)?,
            }
        }
        Ok(())
    }

    fn sparse(&mut self, bytes: &[u8], depth: usize) -> Result<(), OnnxFault> {
        for part in messages(bytes, &[sparse::VALUES, sparse::INDICES]) {
            self.tensor(part?.1, depth + 1)?;
        }
        Ok(())
    }

    fn tensor(&mut self, bytes: &[u8], depth: usize) -> Result<(), OnnxFault> {
        self.count(depth)?;
        match outside(bytes)? {
            None => Ok(()),
            Some(outside) => Err(OnnxFault::refused(format!(
                "the constant \"{}\" has its data in the file {}: only the graph's weights may be in another file",
                outside.tensor, outside.file
            ))),
        }
    }

    fn count(&mut self, depth: usize) -> Result<(), OnnxFault> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(OnnxFault::refused(format!(
                "it has more than {MAX_PARTS} nodes, attributes and tensors"
            )));
        }
        if depth > MAX_DEPTH {
            return Err(OnnxFault::refused(format!(
                "it has more than {MAX_DEPTH} graphs within each other"
            )));
        }
        Ok(())
    }
}

/// The fields of a message that have one of these numbers and hold bytes.
pub(super) fn messages<'a>(
    bytes: &'a [u8],
    numbers: &'a [u64],
) -> impl Iterator<Item = Result<(u64, &'a [u8]), Malformed>> {
    Fields::new(bytes).filter_map(move |field| match field {
        Ok(Field {
            number,
            value: Value::Bytes(bytes),
            ..
        }) if numbers.contains(&number) => Some(Ok((number, bytes))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// The channels of a convolution's weights that have three channels on the other side; 0 for other tensors.
fn channels_beside_pixels(tensor: &[u8]) -> Result<u32, Malformed> {
    let mut sizes = Vec::new();
    for field in Fields::new(tensor) {
        match field? {
            Field {
                number: tensor::DIMS,
                value: Value::Number(size),
                ..
            } => sizes.push(size),
            // All sizes packed into one field.
            Field {
                number: tensor::DIMS,
                value: Value::Bytes(packed),
                ..
            } => sizes.extend(numbers(packed)),
            _ => (),
        }
    }
    Ok(match sizes[..] {
        [3, channels, _, _, ..] | [channels, 3, _, _, ..] => channels.try_into().unwrap_or(0),
        _ => 0,
    })
}

pub(super) fn read_entry(bytes: &[u8]) -> Result<(String, String), Malformed> {
    let (mut key, mut value) = (String::new(), String::new());
    for part in messages(bytes, &[entry::KEY, entry::VALUE]) {
        match part? {
            (entry::KEY, bytes) => key = text(bytes),
            (_, bytes) => value = text(bytes),
        }
    }
    Ok((key, value))
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::protobuf::put_bytes;
    use super::*;

    /// A message of fields with bytes.
    pub fn message(fields: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        fields
            .iter()
            .for_each(|(number, value)| put_bytes(*number, value, &mut bytes));
        bytes
    }

    fn pair(key: &str, value: &str) -> Vec<u8> {
        message(&[(entry::KEY, key.as_bytes()), (entry::VALUE, value.as_bytes())])
    }

    pub fn file(parts: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0x08, 8];
        bytes.extend(message(parts));
        bytes
    }

    /// A tensor with external data.
    pub fn weights(said: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = message(&[(tensor::NAME, b"w")]);
        for (key, value) in said {
            put_bytes(tensor::EXTERNAL_DATA, &pair(key, value), &mut bytes);
        }
        bytes.extend([(tensor::DATA_LOCATION as u8) << 3, tensor::EXTERNAL as u8]);
        bytes
    }

    pub fn with_initializer(tensor: &[u8]) -> Vec<u8> {
        file(&[(model::GRAPH, &message(&[(graph::INITIALIZER, tensor)]))])
    }

    fn refused(bytes: &[u8]) -> String {
        match read(bytes) {
            Err(OnnxFault::Refused(details)) => details.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn metadata_is_read_and_other_bytes_are_not_onnx() {
        let bytes = file(&[(model::GRAPH, b""), (model::METADATA, &pair("vidtok.role", "encoder"))]);
        assert_eq!(read(&bytes).unwrap().metadata["vidtok.role"], "encoder");
        assert!(matches!(read(&bytes[..bytes.len() - 3]), Err(OnnxFault::NotOnnx)));
        assert!(matches!(read(b"not an ONNX file"), Err(OnnxFault::NotOnnx)));
        assert!(matches!(read(b""), Err(OnnxFault::NotOnnx)));
        assert!(matches!(read(&[0x08, 8]), Err(OnnxFault::NotOnnx)));
    }

    #[test]
    fn weights_may_be_in_a_file_of_the_same_folder_only() {
        let model = read(&with_initializer(&weights(&[("location", "w.bin"), ("length", "8")]))).unwrap();
        assert_eq!(model.files, BTreeSet::from(["w.bin".to_string()]));
        for place in [
            "",
            ".",
            "..",
            "../w.bin",
            "/w.bin",
            "./w.bin",
            "w.bin/",
            "w.bin/.",
            "sub/w.bin",
            "sub/../w.bin",
            "w\0.bin",
            "*/memory/*",
        ] {
            let text = refused(&with_initializer(&weights(&[("location", place)])));
            assert!(text.contains("plain name"), "{place}: {text}");
        }
        assert!(refused(&with_initializer(&weights(&[]))).contains("plain name"));
        let twice = weights(&[("location", "w.bin"), ("location", "v.bin")]);
        assert!(refused(&with_initializer(&twice)).contains("twice"));
        for (key, value) in [("offset", "-1"), ("length", "many"), ("offset", "99999999999999999999")] {
            let text = refused(&with_initializer(&weights(&[("location", "w.bin"), (key, value)])));
            assert!(text.contains(key) && text.contains(value), "{text}");
        }
    }

    /// Protobuf merges repeated fields, so the location may be in one occurrence and the rest in another.
    #[test]
    fn a_place_counts_wherever_it_stands() {
        let place = message(&[(tensor::EXTERNAL_DATA, &pair("location", "../w.bin"))]);
        assert!(refused(&with_initializer(&place)).contains("plain name"));
        let graph = message(&[(graph::INITIALIZER, &place)]);
        assert!(refused(&file(&[(model::GRAPH, &graph), (model::GRAPH, b"")])).contains("plain name"));
    }

    #[test]
    fn external_data_is_refused_except_in_weights() {
        let tensor = weights(&[("location", "w.bin")]);
        let attribute = |number| message(&[(node::ATTRIBUTE, &message(&[(number, &tensor)]))]);
        let sparse = message(&[(sparse::VALUES, &tensor)]);
        let in_graph = message(&[(graph::INITIALIZER, &tensor)]);
        let nodes = [
            attribute(attribute::TENSOR),
            attribute(attribute::TENSORS),
            message(&[(node::ATTRIBUTE, &message(&[(attribute::GRAPH, &in_graph)]))]),
            message(&[(node::ATTRIBUTE, &message(&[(attribute::SPARSE_TENSOR, &sparse)]))]),
        ];
        for node in nodes {
            let in_main = file(&[(model::GRAPH, &message(&[(graph::NODE, &node)]))]);
            assert!(refused(&in_main).contains("w.bin"));
            let function = message(&[(function::NODE, &node)]);
            assert!(refused(&file(&[(model::GRAPH, b""), (model::FUNCTIONS, &function)])).contains("w.bin"));
        }
        let graph = message(&[(graph::SPARSE_INITIALIZER, &sparse)]);
        assert!(refused(&file(&[(model::GRAPH, &graph)])).contains("w.bin"));
        let training = message(&[(training::ALGORITHM, &in_graph)]);
        assert!(refused(&file(&[(model::GRAPH, b""), (model::TRAINING, &training)])).contains("w.bin"));
        let compiled = message(&[(graph::NODE, &message(&[(node::OP_TYPE, COMPILED)]))]);
        assert!(refused(&file(&[(model::GRAPH, &compiled)])).contains("EPContext"));
    }

    #[test]
    fn channels_are_those_next_to_the_pixels() {
        let of = |dims: &[u8]| {
            // A field per size, and all sizes packed into one field.
            let single: Vec<u8> = dims
                .iter()
                .flat_map(|size| [(tensor::DIMS as u8) << 3, *size])
                .collect();
            let packed = message(&[(tensor::DIMS, dims)]);
            [single, packed].map(|tensor| read(&with_initializer(&tensor)).unwrap().channels)
        };
        assert_eq!(of(&[16, 3, 3, 3]), [16; 2]);
        assert_eq!(of(&[3, 32, 3, 3, 3]), [32; 2]);
        assert_eq!(of(&[64, 32, 3, 3]), [0; 2]);
        assert_eq!(of(&[3, 32]), [0; 2]);
    }

    #[test]
    fn small_files_of_many_parts_are_refused() {
        let node = [(graph::NODE as u8) << 3 | 2, 0];
        let graph = |count: usize| file(&[(model::GRAPH, &node.repeat(count))]);
        assert!(read(&graph(MAX_PARTS)).is_ok());
        assert!(refused(&graph(MAX_PARTS + 1)).contains("more than"));
        let mut nested = Vec::new();
        for _ in 0..MAX_DEPTH {
            nested = message(&[(
                graph::NODE,
                &message(&[(node::ATTRIBUTE, &message(&[(attribute::GRAPH, &nested)]))]),
            )]);
        }
        assert!(refused(&file(&[(model::GRAPH, &nested)])).contains("within each other"));
    }
}
