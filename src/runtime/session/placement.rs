//! Which provider runs which nodes of a graph, read from the log of a session that is made.
//!
//! The log has said so since before ONNX Runtime 1.17, the API only in recent versions. A provider that compiles
//! (TensorRT, OpenVINO) makes one node of all the nodes of a part of the graph.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use ort::logging::{LogLevel, LoggerFunction};

use crate::runtime::error::{ProviderFault, RuntimeError};
use crate::runtime::library;
use crate::runtime::provider::ExecutionProvider;
use crate::system::lock::lock;

/// How many kinds of operators a text names.
const NAMED: usize = 8;

/// Nodes of a graph by the provider that runs them. Empty: ONNX Runtime did not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement(BTreeMap<String, Nodes>);

/// The nodes of a graph that one provider runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Nodes {
    count: usize,
    /// Nodes of each kind of operator. Empty where one provider runs all: the log then has no list.
    kinds: BTreeMap<String, usize>,
}

impl Placement {
    /// Nodes on `provider`; `None`: ONNX Runtime did not tell.
    pub fn on(&self, provider: ExecutionProvider) -> Option<usize> {
        let nodes = self.0.get(provider.ort_name());
        (!self.0.is_empty()).then(|| nodes.map_or(0, |nodes| nodes.count))
    }

    /// The nodes that other providers run, in words: `CPUExecutionProvider: Resize ×3, Mod`. `None`: there are none, or
    /// ONNX Runtime did not tell.
    pub fn elsewhere(&self, provider: ExecutionProvider) -> Option<String> {
        let others = self.0.iter().filter(|(name, _)| *name != provider.ort_name());
        let texts: Vec<String> = others
            .map(|(name, nodes)| format!("{name}: {}", nodes.text()))
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// A warning where `provider` runs only a part of the graph.
    pub fn warning(&self, provider: ExecutionProvider) -> Option<String> {
        let elsewhere = self.elsewhere(provider)?;
        Some(format!(
            "\"{}\" runs only a part of the network, which costs time. Elsewhere run: {elsewhere}",
            provider.name()
        ))
    }

    /// Refuses `provider` where it runs no part of the graph.
    pub fn check(&self, provider: ExecutionProvider) -> Result<(), RuntimeError> {
        if self.on(provider) != Some(0) {
            return Ok(());
        }
        let elsewhere = self.elsewhere(provider).unwrap_or_default();
        let text = format!(
            "the execution provider \"{}\" cannot be used: it takes no part of this network. All of it would run on {elsewhere}: \
             choose that provider, or another variant of the graphs (models/export.py)",
            provider.name()
        );
        Err(RuntimeError::Provider(ProviderFault::RunsNothing, text.into()))
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

/// Reads ONNX Runtime's log while a session is made.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<LogReader>>);

/// What was read from the log so far.
#[derive(Default)]
struct LogReader {
    placement: Placement,
    /// The provider whose nodes are being listed.
    listing: Option<String>,
    done: bool,
}

impl Recorder {
    /// The logger for the session. It also passes everything on to GStreamer's log.
    pub fn logger(&self) -> LoggerFunction {
        let reader = self.0.clone();
        Arc::new(
            move |level: LogLevel, category: &str, id: &str, location: &str, message: &str| {
                if level == LogLevel::Verbose {
                    let mut reader = lock(&reader);
                    if !reader.done {
                        reader.line(message);
                    }
                }
                library::log(level, category, id, location, message);
            },
        )
    }

    /// What was read. Later lines are not read any more.
    pub fn finish(&self) -> Placement {
        let mut reader = lock(&self.0);
        reader.done = true;
        std::mem::take(&mut reader.placement)
    }
}

impl LogReader {
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
        // "  Resize (name of the node)", in the lines below.
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

/// The provider and the count in `CPUExecutionProvider]. Number of nodes: 12`.
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
        let mut reader = lock(&recorder.0);
        lines.iter().for_each(|line| reader.line(line));
        drop(reader);
        recorder.finish()
    }

    #[test]
    fn all_nodes_on_one_provider() {
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
        let Err(RuntimeError::Provider(ProviderFault::RunsNothing, text)) = placement.check(OpenVino) else {
            panic!("it was accepted")
        };
        let text = text.to_string();
        for part in ["\"openvino\"", "takes no part", "CPUExecutionProvider: 1834 nodes"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn an_unknown_placement_is_neither_warned_of_nor_refused() {
        let placement = read(&["Session successfully initialized."]);
        assert_eq!(placement.on(Cuda), None);
        assert_eq!(placement.elsewhere(Cuda), None);
        assert!(placement.check(Cuda).is_ok());
    }

    #[test]
    fn rare_kinds_are_counted_together() {
        let header = " Node(s) placed on [CPUExecutionProvider]. Number of nodes: 10";
        let nodes: Vec<String> = (0..10).map(|kind| format!("  Kind{kind} (name)")).collect();
        let lines: Vec<&str> = std::iter::once(header)
            .chain(nodes.iter().map(String::as_str))
            .collect();
        let text = read(&lines).elsewhere(Cuda).unwrap();
        assert!(text.contains("Kind7 and 2 more") && !text.contains("Kind8"), "{text}");
    }
}
