//! The content of a graph file: its bytes, with external weights put in. It is read when the graph is checked, and
//! again before the graph runs; both must be equal.

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::external::with_weights;
use super::onnx::{self, Fault, Model};
use crate::details::Details;
use crate::system::file;
use crate::system::memory::{self, Free};

/// Protobuf's own limit.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// SHA-256 of a graph's bytes and weights, to tell graphs apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u8; 32]);

impl Identity {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// As hexadecimal digits.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The bytes of a graph file with all weights in it, and its metadata. Opens every file once.
///
/// # Errors
/// Says what is wrong with the file, without its name.
pub fn read(path: &Path) -> Result<(Vec<u8>, Model), Fault> {
    read_into(path, memory::free())
}

/// Reads the file with so much free memory; `None`: unknown.
fn read_into(path: &Path, free: Option<Free>) -> Result<(Vec<u8>, Model), Fault> {
    let free = free.filter(|free| free.bytes < MAX_BYTES);
    let refused = |what: &str, error: std::io::Error| {
        let text = match free {
            Some(free) if error.kind() == ErrorKind::FileTooLarge => {
                format!("{what}{error}, as no more memory is free{}", free.bound)
            }
            _ => format!("{what}{error}"),
        };
        Fault::Refused(Details::with_cause(text, Arc::new(error)))
    };
    let mut max_bytes = free.map_or(MAX_BYTES, |free| free.bytes);
    let bytes = file::read(path, max_bytes).map_err(|error| refused("", error))?;
    let model = onnx::read(&bytes)?;
    if model.files.is_empty() {
        return Ok((bytes, model));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut files = HashMap::new();
    max_bytes -= bytes.len() as u64;
    for name in &model.files {
        // Without following links, which could lead out of the folder.
        let read = file::read_unlinked(&folder.join(name), max_bytes);
        let data = read.map_err(|error| refused(&format!("its weights in {name}: "), error))?;
        max_bytes -= data.len() as u64;
        files.insert(name.clone(), data);
    }
    let bytes = with_weights(&bytes, &files, max_bytes.saturating_add(bytes.len() as u64))?;
    Ok((bytes, model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::memory::Bound;

    #[test]
    fn memory_is_named_if_it_limits_the_size_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let said = |size: u64, free: u64| {
            file.as_file().set_len(size).unwrap();
            let bound = Bound::ControlGroup;
            match read_into(file.path(), Some(Free { bytes: free, bound })) {
                Err(Fault::Refused(details)) => details.to_string(),
                _ => panic!("the file was taken"),
            }
        };
        let text = said(100, 10);
        assert!(
            text.contains("100 bytes, at most 10 are read, as no more memory is free in this control"),
            "{text}"
        );
        // Here protobuf's limit is the lower one.
        let text = said(1 << 40, 1 << 41);
        assert!(
            text.contains("at most 2147483647") && !text.contains("memory"),
            "{text}"
        );
    }

    #[test]
    fn other_bytes_have_another_identity() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Identity::of(b"abc").to_string(), abc);
        assert_ne!(Identity::of(b"abc"), Identity::of(b"abd"));
    }
}
