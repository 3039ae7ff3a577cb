//! What the system gives: files that others wrote, and memory.

pub mod file;
pub mod lock;
pub mod memory;
