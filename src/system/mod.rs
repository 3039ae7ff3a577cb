//! What the operating system gives: files that others wrote, memory, locks.

pub mod file;
pub mod lock;
pub mod memory;
