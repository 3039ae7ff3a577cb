//! What takes long or is worth a warning while a network is made ready, for whoever waits for it.

/// Told of it in the thread that makes the network ready. Knows no element: an element tells its bus.
pub trait Report {
    /// Work that takes seconds to minutes begins or ends.
    fn progress(&self, progress: Progress, text: &str);

    /// Something works, and not as well as it could.
    fn warning(&self, text: &str);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Start,
    Complete,
    Failed,
}

/// Tells nobody.
pub struct Silent;

impl Report for Silent {
    fn progress(&self, _progress: Progress, _text: &str) {}

    fn warning(&self, _text: &str) {}
}
