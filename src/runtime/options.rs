//! How a graph is run: provider, device, precision, threads, batches.

use std::collections::HashSet;
use std::time::Duration;

use crate::runtime::operators::Convolutions;
use crate::runtime::provider::{ExecutionProvider, Setup};
use crate::tokenizer::{Precision, Target, VariantChoice};

const DEFAULT_BATCH_TIMEOUT: Duration = Duration::from_millis(10);

/// How a graph is run: the elements' properties of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub provider: ExecutionProvider,
    /// The number of the provider's device.
    pub device: i32,
    /// Precision of the graphs; `None`: single, or half where the tokenizer has nothing else.
    pub precision: Option<Precision>,
    /// Threads within an operator; 0: one per core.
    pub threads: u32,
    /// On a CPU.
    pub convolutions: Convolutions,
    /// Members of a batch, which run together; 0 and 1: each network runs alone.
    pub batch_streams: u32,
    /// How long a step waits for the steps of other members.
    pub batch_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            provider: ExecutionProvider::default(),
            device: 0,
            precision: None,
            threads: 0,
            convolutions: Convolutions::default(),
            batch_streams: 0,
            batch_timeout: DEFAULT_BATCH_TIMEOUT,
        }
    }
}

impl Options {
    /// Members of a batch, 1 without batches: the first axis of every tensor.
    pub(super) fn members(&self) -> usize {
        self.batch_streams.max(1) as usize
    }

    /// Threads within an operator, at least 1.
    pub(super) fn thread_count(&self) -> usize {
        match self.threads {
            0 => cores(),
            threads => threads as usize,
        }
    }

    /// The settings of a provider for a graph of this target and precision.
    pub(super) fn setup(&self, target: Target, precision: Precision) -> Setup<'static> {
        Setup {
            device: self.device,
            threads: self.thread_count(),
            target,
            precision,
            engines: None,
        }
    }

    /// The target of the variant that suits. Only variants for GPUs run several members; they run on every provider.
    pub fn target(&self) -> Target {
        if self.batch_streams > 1 {
            Target::Gpu
        } else {
            self.provider.target()
        }
    }

    /// The tokenizer's graph that suits.
    pub fn variant(&self) -> VariantChoice {
        VariantChoice {
            target: self.target(),
            precision: self.precision,
        }
    }

    /// How much longer a step may take because it waits for other members.
    pub(crate) fn longest_wait(&self) -> Duration {
        if self.batch_streams > 1 {
            self.batch_timeout
        } else {
            Duration::ZERO
        }
    }
}

/// Cores that this process may use. Hardware threads of one core count once, as they share the units that convolutions
/// use.
pub fn cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    physical_cores().map_or(allowed, |physical| physical.min(allowed))
}

/// Cores of this machine; `None`: the system does not tell.
fn physical_cores() -> Option<usize> {
    let cpus = std::fs::read_dir("/sys/devices/system/cpu").ok()?;
    let siblings = |cpu: std::fs::DirEntry| std::fs::read_to_string(cpu.path().join("topology/thread_siblings")).ok();
    let cores: HashSet<String> = cpus.flatten().filter_map(siblings).collect();
    (!cores.is_empty()).then_some(cores.len())
}
