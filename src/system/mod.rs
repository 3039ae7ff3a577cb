//! What the operating system gives: files that other programs wrote, memory, locks.

pub mod file;
pub mod lock;
pub mod memory;
