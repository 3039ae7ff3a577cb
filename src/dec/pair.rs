//! Which tokens are to be decoded, by which graph: what caps say, brought together with the tokenizer that is named or found.

use crate::caps::{self, StreamFormat};
use crate::format::{FormatError, TokenFormat};
use crate::runtime::RuntimeError;
use crate::tokenizer::{self, Graph, Role, TokenizerError, Wanted};

/// Tokens and the decoder that was made for them.
pub struct Pair {
    pub format: TokenFormat,
    pub stream_format: StreamFormat,
    pub graph: Graph,
}

impl Pair {
    /// Reads the tokens' caps. `named` is the graph that the element's user has named; without, one is looked up.
    pub fn new(caps: &gst::CapsRef, named: Option<Graph>, wanted: Wanted) -> Result<Self, RuntimeError> {
        let raw = caps
            .structure(0)
            .is_some_and(|s| caps::stream_format(s) == Ok(StreamFormat::Raw));
        if raw {
            return Self::of_raw(caps, named, wanted);
        }
        let (format, stream_format) = TokenFormat::from_caps(caps).map_err(refused)?;
        let graph = match named {
            Some(graph) => check_digest(graph, &format.tokenizer, &format.model)?,
            None => by_digest(&format.tokenizer, &format.model, wanted)?,
        };
        check(&format, &graph)?;
        Ok(Self {
            format,
            stream_format,
            graph,
        })
    }

    /// The same for `raw` caps, which may leave to the tokenizer what it knows.
    fn of_raw(caps: &gst::CapsRef, named: Option<Graph>, wanted: Wanted) -> Result<Self, RuntimeError> {
        let graph = match (caps::named_tokenizer(caps), named) {
            (Ok((Some(digest), name)), Some(graph)) => check_digest(graph, &digest, &name)?,
            (Ok((Some(digest), name)), None) => by_digest(&digest, &name, wanted)?,
            (Ok((None, name)), Some(graph)) => check_name(graph, &name)?,
            (Ok((None, name)), None) => by_digest(&tokenizer::describe(None, &name)?.digest, &name, wanted)?,
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

fn by_digest(digest: &str, name: &str, wanted: Wanted) -> Result<Graph, RuntimeError> {
    Ok(tokenizer::by_digest(digest, name, Role::Decoder, wanted)?)
}

fn refused(error: FormatError) -> RuntimeError {
    RuntimeError::Graph(format!("these tokens cannot be decoded: {error}"))
}

fn invalid(text: String) -> RuntimeError {
    TokenizerError::Invalid(text).into()
}

/// Refuses a decoder that was not made for the tokens: the picture would be noise.
fn check_digest(graph: Graph, digest: &str, name: &str) -> Result<Graph, RuntimeError> {
    let tokenizer = &graph.description;
    if tokenizer.digest == digest {
        return Ok(graph);
    }
    let made_by = digest.get(..12).unwrap_or(digest);
    Err(invalid(format!(
        "the tokens were made by tokenizer \"{name}\" (digest {made_by}…), but {} is \"{}\" (digest {}…): set the property \
         \"model\" to the right one, or leave it unset",
        graph.location(),
        tokenizer.name,
        tokenizer.short_digest()
    )))
}

/// The same where the tokens say no more than a name.
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

/// Refuses a stream that says something else than the tokenizer whose digest it carries.
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
