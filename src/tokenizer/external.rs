//! External data: weights that an ONNX file keeps in files beside it, and putting them in.
//!
//! Otherwise ONNX Runtime would open those files itself, unchecked.

use std::collections::HashMap;
use std::path::{Component, Path};

use super::onnx::{OnnxFault, graph, model, read_entry, tensor, text};
use super::protobuf::{self, Field, Fields, Value};

/// Where an initializer has its external data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    pub tensor: String,
    pub file: String,
    offset: u64,
    /// `None`: up to the end of the file.
    length: Option<u64>,
}

impl Outside {
    fn data<'a>(&self, files: &'a HashMap<String, Vec<u8>>) -> Result<&'a [u8], OnnxFault> {
        let Self {
            tensor,
            file,
            offset,
            length,
        } = self;
        let bytes = files.get(file).map(Vec::as_slice).unwrap_or_default();
        let refused = || {
            OnnxFault::refused(format!(
                "the weights \"{tensor}\" reach beyond the end of {file}, which has {} bytes",
                bytes.len()
            ))
        };
        let rest = usize::try_from(*offset)
            .ok()
            .and_then(|offset| bytes.get(offset..))
            .ok_or_else(refused)?;
        match length {
            None => Ok(rest),
            Some(length) => usize::try_from(*length)
                .ok()
                .and_then(|length| rest.get(..length))
                .ok_or_else(refused),
        }
    }
}

/// Where a tensor has its data; `None`: in the tensor.
pub fn outside(bytes: &[u8]) -> Result<Option<Outside>, OnnxFault> {
    let (mut name, mut is_external) = (String::new(), false);
    let mut said: HashMap<String, String> = HashMap::new();
    for field in Fields::new(bytes) {
        let field = field?;
        match (field.number, field.value) {
            (tensor::NAME, Value::Bytes(bytes)) => name = text(bytes),
            (tensor::DATA_LOCATION, Value::Number(location)) => is_external |= location == tensor::EXTERNAL,
            (tensor::EXTERNAL_DATA, Value::Bytes(bytes)) => {
                is_external = true;
                let (key, value) = read_entry(bytes)?;
                if said.insert(key.clone(), value).is_some() {
                    return Err(OnnxFault::refused(format!(
                        "the tensor \"{name}\" says twice what the \"{key}\" of its data is"
                    )));
                }
            }
            _ => (),
        }
    }
    if !is_external {
        return Ok(None);
    }
    let file = said.remove("location").unwrap_or_default();
    if !is_plain_name(&file) {
        return Err(OnnxFault::refused(format!(
            "the tensor \"{name}\" has its data in \"{file}\", which is not the plain name of a file in the graph's \
             own folder"
        )));
    }
    let number = |key: &str| match said.get(key) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            OnnxFault::refused(format!(
                "the tensor \"{name}\" has data of the impossible {key} \"{text}\" in {file}"
            ))
        }),
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    Ok(Some(Outside {
        tensor: name,
        file,
        offset,
        length,
    }))
}

fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    // "name/" and "name/." have one component as well, so it must be the whole name.
    let whole = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    whole && parts.next().is_none() && !name.contains('\0')
}

/// The ONNX file with all weights in it. `files`: the files that it refers to, by name.
///
/// # Errors
/// Weights reach beyond the end of their file, or the result would have more than `max_bytes`.
pub fn with_weights(bytes: &[u8], files: &HashMap<String, Vec<u8>>, max_bytes: u64) -> Result<Vec<u8>, OnnxFault> {
    let mut all = Vec::with_capacity(bytes.len());
    for field in Fields::new(bytes) {
        let field = field?;
        let (model::GRAPH, Value::Bytes(graph)) = (field.number, field.value) else {
            all.extend_from_slice(field.raw);
            continue;
        };
        protobuf::put_message(model::GRAPH, &mut all, |all| {
            Fields::new(graph).try_for_each(|field| put_with_weights(&field?, files, max_bytes, all))
        })?;
    }
    Ok(all)
}

/// Appends a field of a graph; an initializer gets its data.
fn put_with_weights(
    field: &Field,
    files: &HashMap<String, Vec<u8>>,
    max_bytes: u64,
    to: &mut Vec<u8>,
) -> Result<(), OnnxFault> {
    let (graph::INITIALIZER, Value::Bytes(tensor)) = (field.number, field.value) else {
        to.extend_from_slice(field.raw);
        return Ok(());
    };
    let Some(outside) = outside(tensor)? else {
        to.extend_from_slice(field.raw);
        return Ok(());
    };
    let data = outside.data(files)?;
    // A small file may refer to the same bytes many times.
    if (to.len() as u64).saturating_add(data.len() as u64) > max_bytes {
        return Err(OnnxFault::refused(format!(
            "with its weights it has more than the {max_bytes} bytes that are read"
        )));
    }
    protobuf::put_message(graph::INITIALIZER, to, |to| {
        for field in Fields::new(tensor) {
            let field = field?;
            if ![tensor::EXTERNAL_DATA, tensor::DATA_LOCATION, tensor::RAW_DATA].contains(&field.number) {
                to.extend_from_slice(field.raw);
            }
        }
        protobuf::put_bytes(tensor::RAW_DATA, data, to);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::onnx::messages;
    use super::super::onnx::tests::{file, message, weights, with_initializer};
    use super::*;

    #[test]
    fn weights_are_put_in() {
        let tensor = weights(&[("location", "w.bin"), ("offset", "1"), ("length", "2")]);
        let bytes = with_initializer(&tensor);
        let files = HashMap::from([("w.bin".to_string(), b"abcd".to_vec())]);
        let expected = message(&[(tensor::NAME, b"w"), (tensor::RAW_DATA, b"bc")]);
        // Not compared as a whole: lengths that are filled in afterwards take more bytes.
        let all = with_weights(&bytes, &files, 1000).unwrap();
        let graph = messages(&all, &[model::GRAPH]).next().unwrap().unwrap().1;
        let initializer = messages(graph, &[graph::INITIALIZER]).next().unwrap().unwrap().1;
        assert_eq!(initializer, expected);
        // Nothing else changes.
        let other = file(&[
            (
                model::GRAPH,
                &message(&[(graph::NODE, b""), (graph::INITIALIZER, &expected)]),
            ),
            (model::METADATA, b""),
        ]);
        let all = with_weights(&other, &files, 1000).unwrap();
        let fields = |bytes: &[u8]| {
            Fields::new(bytes)
                .map(|field| format!("{:?}", field.unwrap().value))
                .collect::<Vec<_>>()
        };
        assert_eq!(fields(&all), fields(&other));
        let fail =
            |said: &[(&str, &str)], max_bytes| match with_weights(&with_initializer(&weights(said)), &files, max_bytes)
            {
                Err(OnnxFault::Refused(details)) => details.to_string(),
                _ => panic!("it was taken"),
            };
        assert!(fail(&[("location", "w.bin"), ("offset", "5")], 1000).contains("beyond the end"));
        assert!(fail(&[("location", "w.bin"), ("offset", "3"), ("length", "2")], 1000).contains("beyond the end"));
        assert!(fail(&[("location", "w.bin"), ("length", "18446744073709551615")], 1000).contains("beyond the end"));
        assert!(fail(&[("location", "w.bin")], 3).contains("more than the 3 bytes"));
    }
}
