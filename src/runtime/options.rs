//! How a graph is to be run.

use std::collections::HashSet;
use std::time::Duration;

use super::ExecutionProvider;
use crate::tokenizer::{Precision, Target, VariantChoice};

const DEFAULT_BATCH_TIMEOUT: Duration = Duration::from_millis(10);

/// How a graph is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub provider: ExecutionProvider,
    /// Which of the provider's devices.
    pub device: i32,
    /// Of the graphs; `None`: single, else what there is.
    pub precision: Option<Precision>,
    /// Threads within an operator; 0: a thread a core.
    pub threads: u32,
    /// Streams that run together, as one batch of this size; 0 and 1: each by itself.
    pub batch_streams: u32,
    /// How long a step waits for those of other streams.
    pub batch_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            provider: ExecutionProvider::default(),
            device: 0,
            precision: None,
            threads: 0,
            batch_streams: 0,
            batch_timeout: DEFAULT_BATCH_TIMEOUT,
        }
    }
}

impl Options {
    /// Streams that a run takes.
    pub(super) fn streams(&self) -> usize {
        self.batch_streams.max(1) as usize
    }

    /// Threads within an operator.
    pub(super) fn thread_count(&self) -> usize {
        match self.threads {
            0 => cores(),
            threads => threads as usize,
        }
    }

    /// The form of graph that suits: one that runs several streams is made for GPUs, and runs everywhere.
    pub fn target(&self) -> Target {
        if self.batch_streams > 1 {
            Target::Gpu
        } else {
            self.provider.target()
        }
    }

    /// Which of a tokenizer's graphs suits.
    pub fn variant(&self) -> VariantChoice {
        VariantChoice {
            target: self.target(),
            precision: self.precision,
        }
    }

    /// How much longer a step may take because it waits for others.
    pub fn longest_wait(&self) -> Duration {
        if self.batch_streams > 1 {
            self.batch_timeout
        } else {
            Duration::ZERO
        }
    }
}

/// Cores that this process may use; hardware threads of one core count once, as they share what convolutions need.
pub fn cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    physical_cores().map_or(allowed, |physical| physical.min(allowed))
}

/// Cores of this machine; `None` where the system does not say.
fn physical_cores() -> Option<usize> {
    let cpus = std::fs::read_dir("/sys/devices/system/cpu").ok()?;
    let siblings = |cpu: std::fs::DirEntry| std::fs::read_to_string(cpu.path().join("topology/thread_siblings")).ok();
    let cores: HashSet<String> = cpus.flatten().filter_map(siblings).collect();
    (!cores.is_empty()).then_some(cores.len())
}
