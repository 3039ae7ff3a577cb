//! Which graph decodes the tokens of some caps: the one that the user has named, or the one that the caps name.

use std::sync::Arc;

use crate::caps::{self, StreamFormat};
use crate::details::Details;
use crate::format::{FormatError, TokenFormat};
use crate::runtime::RuntimeError;
use crate::tokenizer::{self, Graph, Role, TokenizerError, VariantChoice};

/// A token format, and the graph that decodes it.
pub struct Decodable {
    pub format: TokenFormat,
    pub stream_format: StreamFormat,
    pub graph: Graph,
}

/// The graph of the latest look-up, as a look-up reads and hashes the whole file. Whether the file still holds that
/// graph is checked when it is read again.
#[derive(Default)]
pub struct FoundGraph(Option<(VariantChoice, Graph)>);

impl FoundGraph {
    fn by_digest(&mut self, digest: &str, name: &str, choice: VariantChoice) -> Result<Graph, RuntimeError> {
        if let Some(graph) = self.same(choice, |graph| graph.description.digest == digest) {
            return Ok(graph);
        }
        let graph = tokenizer::by_digest(digest, name, Role::Decoder, choice)?;
        self.0 = Some((choice, graph.clone()));
        Ok(graph)
    }

    fn by_name(&mut self, name: &str, choice: VariantChoice) -> Result<Graph, RuntimeError> {
        match self.same(choice, |graph| graph.is_named(name)) {
            Some(graph) => Ok(graph),
            None => self.by_digest(&tokenizer::describe(None, name)?.digest, name, choice),
        }
    }

    fn same(&self, choice: VariantChoice, fits: impl Fn(&Graph) -> bool) -> Option<Graph> {
        let (by, graph) = self.0.as_ref()?;
        (*by == choice && fits(graph)).then(|| graph.clone())
    }
}

impl Decodable {
    /// Reads the tokens' caps. `named`: the graph that the property `model` names; without one, a graph is looked up.
    pub fn new(
        caps: &gst::CapsRef,
        named: Option<Graph>,
        choice: VariantChoice,
        found: &mut FoundGraph,
    ) -> Result<Self, RuntimeError> {
        let raw = caps
            .structure(0)
            .is_some_and(|s| caps::stream_format(s) == Ok(StreamFormat::Raw));
        if raw {
            return Self::of_raw(caps, named, choice, found);
        }
        let (format, stream_format) = TokenFormat::from_caps(caps).map_err(refused)?;
        let graph = match named {
            Some(graph) => check_digest(graph, &format.digest, &format.model)?,
            None => found.by_digest(&format.digest, &format.model, choice)?,
        };
        check(&format, &graph)?;
        Ok(Self {
            format,
            stream_format,
            graph,
        })
    }

    /// Reads `raw` caps, which need not say what the tokenizer determines.
    fn of_raw(
        caps: &gst::CapsRef,
        named: Option<Graph>,
        choice: VariantChoice,
        found: &mut FoundGraph,
    ) -> Result<Self, RuntimeError> {
        let graph = match (caps::named_tokenizer(caps), named) {
            (Ok((Some(digest), name)), Some(graph)) => check_digest(graph, &digest, &name)?,
            (Ok((Some(digest), name)), None) => found.by_digest(&digest, &name, choice)?,
            (Ok((None, name)), Some(graph)) => check_name(graph, &name)?,
            (Ok((None, name)), None) => found.by_name(&name, choice)?,
            (Err(_), Some(graph)) => graph,
            (Err(error), None) => return Err(refused(error)),
        };
        Ok(Self {
            format: TokenFormat::from_raw_caps(caps, &graph.description).map_err(refused)?,
            stream_format: StreamFormat::Raw,
            graph,
        })
    }
}

fn refused(error: FormatError) -> RuntimeError {
    let text = format!("these tokens cannot be decoded: {error}");
    RuntimeError::Caps(Details::with_cause(text, Arc::new(error)))
}

fn invalid(text: String) -> RuntimeError {
    TokenizerError::Invalid(text.into()).into()
}

/// Refuses a graph of another tokenizer: its pictures would be noise.
fn check_digest(graph: Graph, digest: &str, name: &str) -> Result<Graph, RuntimeError> {
    let tokenizer = &graph.description;
    if tokenizer.digest == digest {
        return Ok(graph);
    }
    let short_digest = tokenizer::short_digest(digest);
    Err(invalid(format!(
        "the tokens were made by tokenizer \"{name}\" (digest {short_digest}…), but the graph is of \"{}\" (digest {}…, {}): \
         set the property \"model\" to the right one, or leave it unset",
        tokenizer.name,
        tokenizer.short_digest(),
        graph.location()
    )))
}

/// Refuses a graph of a tokenizer with another name, where the caps have no digest.
fn check_name(graph: Graph, name: &str) -> Result<Graph, RuntimeError> {
    if graph.is_named(name) {
        return Ok(graph);
    }
    Err(invalid(format!(
        "the caps say that the tokens are those of tokenizer \"{name}\", but the property \"model\" names {}, which is \
         \"{}\"",
        graph.location(),
        graph.description.name
    )))
}

/// Refuses a stream that contradicts the tokenizer whose digest it carries.
fn check(format: &TokenFormat, graph: &Graph) -> Result<(), RuntimeError> {
    let tokenizer = &graph.description;
    let same = tokenizer.regularizer == format.regularizer
        && tokenizer.time_factor == format.time_factor
        && tokenizer.space_factor == format.space_factor
        && tokenizer.causal == format.causal;
    if same {
        return Ok(());
    }
    let text = format!(
        "the stream contradicts the tokenizer \"{}\", whose digest it carries",
        tokenizer.name
    );
    Err(invalid(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Precision, Target};

    #[test]
    fn what_was_found_is_not_looked_up_again() {
        gst::init().unwrap();
        let choice = VariantChoice::from(Target::Cpu);
        let mut graph = tokenizer::embedded(Role::Decoder).unwrap();
        let digest = "ab".repeat(32);
        let description = Arc::make_mut(&mut graph.description);
        (description.name, description.digest) = ("nowhere".into(), digest.clone());
        let mut found = FoundGraph(Some((choice, graph)));
        // No such tokenizer exists: a second look-up would fail.
        assert!(found.by_digest(&digest, "nowhere", choice).is_ok());
        assert!(found.by_name("nowhere", choice).is_ok());
        let half = VariantChoice {
            precision: Some(Precision::Fp16),
            ..choice
        };
        assert!(found.by_digest(&digest, "nowhere", half).is_err());
        assert!(found.by_name("elsewhere", choice).is_err());
    }
}
