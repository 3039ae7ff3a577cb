//! What runs a network, for users: provider, nodes, warnings.

use super::placement::Placement;
use crate::runtime::provider::ExecutionProvider;

/// What runs a network.
#[derive(Clone, Debug)]
pub struct Running {
    pub provider: ExecutionProvider,
    pub(super) placement: Placement,
    /// What is less well than it could be, in words.
    pub(super) notes: Vec<String>,
}

impl Running {
    /// Nodes of the graph that the provider runs; `None`: ONNX Runtime did not tell.
    pub fn nodes(&self) -> Option<usize> {
        self.placement.on(self.provider)
    }

    /// The nodes that other providers run, in words; `None`: there are none, or ONNX Runtime did not tell.
    pub fn elsewhere(&self) -> Option<String> {
        self.placement.elsewhere(self.provider)
    }

    /// Warnings for the user, such as that the provider runs only a part of the graph.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.notes.iter().cloned().chain(self.placement.warning(self.provider))
    }
}
