//! Which provider runs which nodes of a graph.
//!
//! ONNX Runtime has told since before 1.17, in its log while a session is made, and only lately through its API. A
//! provider that compiles (TensorRT, OpenVINO) makes one node of all those of a part of the graph.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use ort::logging::{LogLevel, LoggerFunction};

use super::super::{ExecutionProvider, RuntimeError, library};
use crate::system::lock::lock;

/// How many kinds of operators are named.
const NAMED: usize = 8;

/// Nodes of a graph by the provider that runs them. Empty where ONNX Runtime did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement(BTreeMap<String, Nodes>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Nodes {
    count: usize,
    /// Of each kind of operator. Not known where one provider runs all.
    kinds: BTreeMap<String, usize>,
}

impl Placement {
    /// Nodes on `provider`; `None` where ONNX Runtime did not say.
    pub fn on(&self, provider: ExecutionProvider) -> Option<usize> {
        let nodes = self.0.get(provider.ort_name());
        (!self.0.is_empty()).then(|| nodes.map_or(0, |nodes| nodes.count))
    }

    /// What other providers run, in words: `CPUExecutionProvider: Resize ×3, Mod`. `None`: nothing, or it is not known.
    pub fn elsewhere(&self, provider: ExecutionProvider) -> Option<String> {
        let others = self.0.iter().filter(|(name, _)| *name != provider.ort_name());
        let texts: Vec<String> = others
            .map(|(name, nodes)| format!("{name}: {}", nodes.text()))
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// What to warn of where a provider runs less than everything.
    pub fn warning(&self, provider: ExecutionProvider) -> Option<String> {
        let elsewhere = self.elsewhere(provider)?;
        Some(format!(
            "\"{}\" runs only a part of the network, which costs time. Elsewhere run: {elsewhere}",
            provider.name()
        ))
    }

    /// Refuses a provider that runs nothing of the graph.
    pub fn check(&self, provider: ExecutionProvider) -> Result<(), RuntimeError> {
        if self.on(provider) != Some(0) {
            return Ok(());
        }
        let elsewhere = self.elsewhere(provider).unwrap_or_default();
        Err(RuntimeError::Provider(format!(
            "the execution provider \"{}\" cannot be used: it takes no part of this network. All of it would run on {elsewhere}: \
             choose that provider, or another form of the graphs (models/export.py)",
            provider.name()
        )))
    }
}

impl Nodes {
    /// The most frequent kinds first.
    fn text(&self) -> String {
        if self.kinds.is_empty() {
            return format!("{} nodes", self.count);
        }
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(**count), *kind));
        let named = kinds.iter().take(NAMED).map(|(kind, count)| match count {
            1 => (*kind).clone(),
            count => format!("{kind} ×{count}"),
        });
        let mut text = named.collect::<Vec<_>>().join(", ");
        if kinds.len() > NAMED {
            let rest: usize = kinds[NAMED..].iter().map(|(_, count)| **count).sum();
            let _ = write!(text, " and {rest} more");
        }
        text
    }
}

/// What runs a network.
#[derive(Clone, Debug)]
pub struct Running {
    pub provider: ExecutionProvider,
    pub(in crate::runtime) placement: Placement,
    /// What is less well than it could be, for whoever runs it.
    pub(in crate::runtime) notes: Vec<String>,
}

impl Running {
    /// Nodes of the graph that the provider runs; `None` where ONNX Runtime did not say.
    pub fn nodes(&self) -> Option<usize> {
        self.placement.on(self.provider)
    }

    /// What other providers run, in words; `None`: nothing, or it is not known.
    pub fn elsewhere(&self) -> Option<String> {
        self.placement.elsewhere(self.provider)
    }

    /// What to warn of, such as that the provider runs less than everything.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.notes.iter().cloned().chain(self.placement.warning(self.provider))
    }
}

/// Reads ONNX Runtime's log while a session is made.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Reading>>);

#[derive(Default)]
struct Reading {
    placement: Placement,
    /// The provider whose nodes are being listed.
    listing: Option<String>,
    done: bool,
}

impl Recorder {
    /// For the session: also passes on what it reads.
    pub fn logger(&self) -> LoggerFunction {
        let reading = self.0.clone();
        Arc::new(
            move |level: LogLevel, category: &str, id: &str, location: &str, message: &str| {
                if level == LogLevel::Verbose {
                    let mut reading = lock(&reading);
                    if !reading.done {
                        reading.line(message);
                    }
                }
                library::log(level, category, id, location, message);
            },
        )
    }

    /// What was read. Nothing is from now on.
    pub fn finish(&self) -> Placement {
        let mut reading = lock(&self.0);
        reading.done = true;
        std::mem::take(&mut reading.placement)
    }
}

impl Reading {
    fn line(&mut self, message: &str) {
        let text = message.trim();
        let all = text.strip_prefix("All nodes placed on [");
        let part = || text.strip_prefix("Node(s) placed on [");
        if let Some(rest) = all.or_else(part) {
            self.listing = None;
            if let Some((provider, count)) = provider_and_count(rest) {
                let nodes = self.placement.0.entry(provider.into()).or_default();
                nodes.count += count;
                self.listing = all.is_none().then(|| provider.into());
            }
            return;
        }
        // "  Resize (name of the node)", right below.
        let node = message.strip_prefix("  ").and_then(|text| text.split_once(" ("));
        match (
            node,
            self.listing
                .as_ref()
                .and_then(|provider| self.placement.0.get_mut(provider)),
        ) {
            (Some((kind, _)), Some(nodes)) => *nodes.kinds.entry(kind.trim().into()).or_default() += 1,
            _ => self.listing = None,
        }
    }
}

/// Of `CPUExecutionProvider]. Number of nodes: 12`.
fn provider_and_count(text: &str) -> Option<(&str, usize)> {
    let (provider, rest) = text.split_once(']')?;
    Some((provider, rest.rsplit(' ').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExecutionProvider::{Cpu, Cuda, OpenVino};

    fn read(lines: &[&str]) -> Placement {
        let recorder = Recorder::default();
        let mut reading = lock(&recorder.0);
        lines.iter().for_each(|line| reading.line(line));
        drop(reading);
        recorder.finish()
    }

    #[test]
    fn everything_on_one_provider() {
        let placement = read(&[
            "Extending BFCArena for Cpu",
            "Node placements",
            " All nodes placed on [OpenVINOExecutionProvider]. Number of nodes: 1",
            "  Conv (not of the list)",
        ]);
        assert_eq!(placement.on(OpenVino), Some(1));
        assert_eq!(placement.elsewhere(OpenVino), None);
        assert_eq!(placement.warning(OpenVino), None);
        assert!(placement.check(OpenVino).is_ok());
    }

    #[test]
    fn nodes_on_two_providers_are_counted_by_kind() {
        let placement = read(&[
            "Node placements",
            " Node(s) placed on [CPUExecutionProvider]. Number of nodes: 4",
            "  Mod (/fsq/Mod)",
            "  Resize (a)",
            "  Resize (b)",
            "  Resize ()",
            " Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 2",
            "  Conv (c)",
            "  Conv (d)",
            "SaveMLValueNameIndexMapping",
            "  Conv (something else)",
        ]);
        assert_eq!((placement.on(Cpu), placement.on(Cuda)), (Some(4), Some(2)));
        let elsewhere = placement.elsewhere(Cuda).unwrap();
        assert_eq!(elsewhere, "CPUExecutionProvider: Resize ×3, Mod");
        assert!(placement.warning(Cuda).unwrap().contains(&elsewhere));
        assert!(placement.check(Cuda).is_ok());
    }

    #[test]
    fn a_provider_without_nodes_is_refused() {
        let placement = read(&[" All nodes placed on [CPUExecutionProvider]. Number of nodes: 1834"]);
        let Err(RuntimeError::Provider(text)) = placement.check(OpenVino) else {
            panic!("it was taken")
        };
        for part in ["\"openvino\"", "takes no part", "CPUExecutionProvider: 1834 nodes"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn what_is_not_known_is_neither_praised_nor_refused() {
        let placement = read(&["Session successfully initialized."]);
        assert_eq!(placement.on(Cuda), None);
        assert_eq!(placement.elsewhere(Cuda), None);
        assert!(placement.check(Cuda).is_ok());
    }

    #[test]
    fn many_kinds_are_summed_up() {
        let header = " Node(s) placed on [CPUExecutionProvider]. Number of nodes: 10";
        let nodes: Vec<String> = (0..10).map(|kind| format!("  Kind{kind} (name)")).collect();
        let lines: Vec<&str> = std::iter::once(header)
            .chain(nodes.iter().map(String::as_str))
            .collect();
        let text = read(&lines).elsewhere(Cuda).unwrap();
        assert!(text.contains("Kind7 and 2 more") && !text.contains("Kind8"), "{text}");
    }
}
