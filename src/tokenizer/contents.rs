//! What a graph's file holds: its bytes, with the weights that it keeps in files beside it. Read when the graph is
//! checked, and read again when it is to run; both must be the same.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::external::with_weights;
use super::onnx::{self, Fault, Model};
use crate::system::{file, memory};

/// Protobuf's own limit.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// SHA-256 of a graph's bytes and weights: tells graphs apart.
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

/// The bytes of the graph in a file, and what is read of it. Every file is opened once.
///
/// # Errors
/// Says what is wrong with the file, without its name.
pub fn read(path: &Path) -> Result<(Vec<u8>, Model), Fault> {
    let refused = |error: std::io::Error| Fault::Refused(error.to_string());
    let mut most = MAX_BYTES.min(memory::free().map_or(u64::MAX, |free| free.bytes));
    let bytes = file::read(path, most).map_err(refused)?;
    let model = onnx::read(&bytes)?;
    if model.files.is_empty() {
        return Ok((bytes, model));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut files = HashMap::new();
    most -= bytes.len() as u64;
    for name in &model.files {
        // A link could lead out of the folder.
        let read = file::read_unlinked(&folder.join(name), most);
        let data = read.map_err(|error| Fault::Refused(format!("its weights in {name}: {error}")))?;
        most -= data.len() as u64;
        files.insert(name.clone(), data);
    }
    let bytes = with_weights(&bytes, &files, most.saturating_add(bytes.len() as u64))?;
    Ok((bytes, model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_apart() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Identity::of(b"abc").to_string(), abc);
        assert_ne!(Identity::of(b"abc"), Identity::of(b"abd"));
    }
}
