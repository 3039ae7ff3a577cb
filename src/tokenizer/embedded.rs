//! The tokenizers inside the plugin, which work without a download. Their folders in `models/` describe them.

use super::lookup::{check_precision, checked, read_description, refused};
use super::{Description, Graph, Role, Source, TokenizerError, VariantChoice, onnx};

/// A tokenizer inside the plugin. Its only variant is for CPUs and in single precision.
pub struct Embedded {
    description: &'static str,
    encoder: &'static [u8],
    decoder: &'static [u8],
}

/// The files of a folder in `models/`.
macro_rules! embedded {
    ($folder:literal) => {
        Embedded {
            description: include_str!(concat!("../../models/", $folder, "/tokenizer.json")),
            encoder: include_bytes!(concat!("../../models/", $folder, "/encoder.onnx")),
            decoder: include_bytes!(concat!("../../models/", $folder, "/decoder.onnx")),
        }
    };
}

/// The first is the encoder's, unless `model` names another. One that was the first stays here, so that what was made
/// with it can be decoded. `build.rs` names the same folders.
pub const EMBEDDED: &[Embedded] = &[embedded!("vidtok-small-488-32768")];

/// A tokenizer inside the plugin, with what its description says.
pub struct Found<'a> {
    pub description: Description,
    files: &'a Embedded,
}

/// The first of `all` whose description `fits`.
///
/// # Errors
/// `Invalid`, if the plugin was built with a broken tokenizer.
pub fn find(all: &[Embedded], fits: impl Fn(&Description) -> bool) -> Result<Option<Found<'_>>, TokenizerError> {
    for files in all {
        let description = read_description(files.description).map_err(|e| TokenizerError::at(PLACE, e))?;
        if fits(&description) {
            return Ok(Some(Found { description, files }));
        }
    }
    Ok(None)
}

/// In messages, the place of an embedded tokenizer.
const PLACE: &str = "the embedded tokenizer";

impl Found<'_> {
    fn graph(&self, role: Role) -> Result<Graph, TokenizerError> {
        let bytes = match role {
            Role::Encoder => self.files.encoder,
            Role::Decoder => self.files.decoder,
        };
        let model = onnx::read(bytes).map_err(|fault| refused(PLACE, fault))?;
        checked(Source::Embedded(bytes), PLACE, &model, role, Some(&self.description))
    }

    /// The graph for `role`, if it has the required precision.
    ///
    /// # Errors
    /// `NotFound` if another precision is required.
    pub fn graph_if(&self, role: Role, choice: VariantChoice) -> Result<Graph, TokenizerError> {
        check_precision(self.graph(role)?, choice.precision, PLACE)
    }
}

/// The first embedded tokenizer's graph for `role`: the one that encoders take. Its only variant is for CPUs and in
/// single precision.
///
/// # Errors
/// `Invalid`, if the plugin was built with a broken tokenizer.
pub fn embedded(role: Role) -> Result<Graph, TokenizerError> {
    first()?.graph(role)
}

/// The first embedded tokenizer's graph, if it has the required precision.
///
/// # Errors
/// `NotFound` if another precision is required.
pub fn embedded_if(role: Role, choice: VariantChoice) -> Result<Graph, TokenizerError> {
    first()?.graph_if(role, choice)
}

fn first() -> Result<Found<'static>, TokenizerError> {
    find(EMBEDDED, |_| true)?.ok_or_else(|| TokenizerError::not_found("the plugin embeds no tokenizer".into()))
}

/// The names of the embedded tokenizers, the encoder's first.
///
/// # Errors
/// `Invalid`, if the plugin was built with a broken tokenizer.
pub fn names() -> Result<Vec<String>, TokenizerError> {
    let read = |one: &Embedded| read_description(one.description).map(|description| description.name);
    let names = EMBEDDED.iter().map(read).collect::<Result<_, _>>();
    names.map_err(|e| TokenizerError::at(PLACE, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another tokenizer beside the first: with the same graphs, which are not its own.
    fn two() -> [Embedded; 2] {
        let first = &EMBEDDED[0];
        let mut json: serde_json::Value = serde_json::from_str(first.description).unwrap();
        json["name"] = "earlier".into();
        json["digest"] = "1".repeat(64).into();
        let copy = |description| Embedded { description, ..*first };
        [copy(first.description), copy(json.to_string().leak())]
    }

    #[test]
    fn each_is_found_by_name_and_by_digest() {
        let all = two();
        let name = |fits: &dyn Fn(&Description) -> bool| find(&all, fits).unwrap().map(|found| found.description.name);
        assert_eq!(name(&|_| true).as_deref(), Some(&names().unwrap()[0][..]));
        assert_eq!(name(&|own| own.name == "earlier").as_deref(), Some("earlier"));
        assert_eq!(name(&|own| own.digest == "1".repeat(64)).as_deref(), Some("earlier"));
        assert_eq!(name(&|own| own.digest == "2".repeat(64)), None);
    }

    #[test]
    fn the_graphs_are_those_of_the_one_found() {
        let all = two();
        let first = find(&all, |_| true).unwrap().unwrap();
        for role in [Role::Encoder, Role::Decoder] {
            assert_eq!(first.graph(role).unwrap().description.digest, first.description.digest);
        }
        // The second's description is not that of its graphs, so these must be refused.
        let second = find(&all, |own| own.name == "earlier").unwrap().unwrap();
        let error = second.graph(Role::Decoder).unwrap_err().to_string();
        assert!(error.contains("do not belong together"), "{error}");
    }

    #[test]
    fn all_are_whole_and_of_their_own_name_and_digest() {
        let mut seen = std::collections::HashSet::new();
        for name in names().unwrap() {
            let found = find(EMBEDDED, |own| own.name == name).unwrap().unwrap();
            for role in [Role::Encoder, Role::Decoder] {
                assert_eq!(found.graph(role).unwrap().description.name, name);
            }
            assert!(seen.insert(found.description.digest) && seen.insert(name));
        }
    }
}
