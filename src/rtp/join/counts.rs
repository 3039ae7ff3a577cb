//! What a receiver has counted.

use crate::rtp::Fault;

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came after their unit was given out.
    pub late: u64,
    /// Packets that were not used, since the start of their segment had not come, or not whole.
    pub held: u64,
    pub concealed_cells: u64,
    /// Latent frames of which no packet came, and that were concealed.
    pub concealed_latent_frames: u64,
    /// Times that nothing was given out for latent frames that did not come.
    pub holes: u64,
    /// By kind, in the order of [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
}
