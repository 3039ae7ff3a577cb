//! What takes long or deserves a warning while a network is made ready.

/// Receives reports while a network is made ready, in the thread that does so. It has no knowledge of elements: an
/// element posts what it is told on its bus.
pub trait Report {
    /// Work that takes seconds to minutes begins or ends.
    fn progress(&self, progress: Progress, text: &str);

    /// Something works, but less well than it could.
    fn warning(&self, text: &str);
}

/// The state of work that takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Start,
    Complete,
    Failed,
}

/// Ignores reports: for tests and benchmarks.
pub struct Silent;

impl Report for Silent {
    fn progress(&self, _progress: Progress, _text: &str) {}

    fn warning(&self, _text: &str) {}
}
