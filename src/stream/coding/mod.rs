//! How tokens are laid out in a packet's payload.

pub(super) mod packed;
