//! Finds a tokenizer by folder, graph file, name or digest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::onnx::{self, OnnxFault};
use super::{
    Description, FrameType, Graph, Identity, Precision, Role, Source, Target, TokenizerError, VariantChoice, contents,
    embedded::{self, EMBEDDED},
    short_digest,
};
use crate::details::Details;
use crate::system::file;

/// The environment variable with the folders that hold tokenizer folders, separated by `:`.
pub const SEARCH_PATH_VARIABLE: &str = "GST_VIDTOK_MODEL_PATH";
const DESCRIPTION_FILE: &str = "tokenizer.json";
/// A description has about a kilobyte.
const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;

/// The description in a `tokenizer.json`. Public for the fuzz targets.
///
/// # Errors
/// Names the key that is missing or impossible.
pub fn read_description(json: &str) -> Result<Description, String> {
    let folder = Folder::parse(json).map_err(|details| details.to_string())?;
    Ok(folder.description)
}

/// `graph`, unless another precision is required.
pub(super) fn check_precision(graph: Graph, required: Option<Precision>, place: &str) -> Result<Graph, TokenizerError> {
    match required {
        Some(required) if graph.precision != required => Err(TokenizerError::not_found(format!(
            "{place} is in {}, and precision={} is set: leave it unset, or name a tokenizer folder that has such \
             graphs",
            graph.precision.as_str(),
            required.as_str()
        ))),
        _ => Ok(graph),
    }
}

/// The graph for `role` of the tokenizer `model`: a folder, a graph file, or a name on the search path.
///
/// # Errors
/// `NotFound` lists the places that were searched; `Invalid` says what is wrong with the tokenizer.
pub fn open(model: &str, role: Role, choice: impl Into<VariantChoice>) -> Result<Graph, TokenizerError> {
    let choice = choice.into();
    let path = Path::new(model);
    if path.is_dir() {
        return from_folder(path, role, choice);
    }
    // Reading it fails with the reason if it is not a regular file.
    if path.exists() {
        if path.file_name().is_some_and(|name| name == DESCRIPTION_FILE) {
            return from_folder(path.parent().unwrap_or(Path::new(".")), role, choice);
        }
        return check_precision(from_file(path.to_path_buf(), role, None)?, choice.precision, model);
    }
    let places = search_path();
    if !model.contains('/') {
        for folder in tokenizer_folders(&places) {
            let named = folder.file_name().is_some_and(|name| name == model);
            if named || Folder::read(&folder).is_ok_and(|f| f.description.name == model) {
                return from_folder(&folder, role, choice);
            }
        }
        if let Some(found) = embedded::find(EMBEDDED, |own| own.name == model)? {
            return found.graph_if(role, choice);
        }
    }
    Err(TokenizerError::not_found(format!(
        "no tokenizer \"{model}\": it is neither a folder, nor a graph file, nor a name in {}. Set \
         {SEARCH_PATH_VARIABLE} to the folder that holds tokenizer folders",
        list(&places)
    )))
}

/// The graph for `role` of the tokenizer with `digest`. Of other tokenizers, only `tokenizer.json` is read. `name` is
/// for the error's text.
///
/// # Errors
/// `NotFound` lists the places that were searched; `Invalid` says what is wrong with the tokenizer.
pub fn by_digest(
    digest: &str,
    name: &str,
    role: Role,
    choice: impl Into<VariantChoice>,
) -> Result<Graph, TokenizerError> {
    let choice = choice.into();
    if let Some(found) = embedded::find(EMBEDDED, |own| own.digest == digest)? {
        return found.graph_if(role, choice);
    }
    let places = search_path();
    for folder in tokenizer_folders(&places) {
        if Folder::read(&folder).is_ok_and(|f| f.description.digest == digest) {
            return from_folder(&folder, role, choice);
        }
    }
    let embedded = match embedded::find(EMBEDDED, |own| own.name == name)? {
        Some(found) => format!(
            "the plugin embeds another version of it (digest {}…)",
            found.description.short_digest()
        ),
        None => "it is not embedded in the plugin".into(),
    };
    Err(TokenizerError::not_found(format!(
        "the tokens were made by tokenizer \"{name}\" (digest {}…); {embedded}, and it was not found in {}. Set \
         {SEARCH_PATH_VARIABLE} to the folder that holds its folder, or set the property \"model\"",
        short_digest(digest),
        list(&places)
    )))
}

/// The description of the tokenizer with this digest or, without a digest, with this name. Only `tokenizer.json` files
/// on the search path are read: the name may come from a stream, and is never opened as a file.
///
/// # Errors
/// `NotFound` lists the places that were searched.
pub fn describe(digest: Option<&str>, name: &str) -> Result<Description, TokenizerError> {
    let places = search_path();
    let mut found = tokenizer_folders(&places).filter_map(|folder| {
        let read = Folder::read(&folder).ok()?.description;
        let is_folder = || folder.file_name().is_some_and(|folder| folder == name);
        let fits = digest.map_or_else(|| read.name == name || is_folder(), |digest| read.digest == digest);
        fits.then_some(read)
    });
    let fits = |own: &Description| digest.map_or_else(|| own.name == name, |digest| own.digest == digest);
    if let Some(own) = embedded::find(EMBEDDED, fits)? {
        return Ok(own.description);
    }
    found.next().ok_or_else(|| {
        let digest = digest.map_or_else(String::new, |digest| format!(" (digest {}…)", short_digest(digest)));
        TokenizerError::not_found(format!(
            "no tokenizer \"{name}\"{digest}: the plugin embeds {}, and there is none of that name in {}. Set \
             {SEARCH_PATH_VARIABLE} to the folder that holds tokenizer folders",
            embedded::names().unwrap_or_default().join(", "),
            list(&places)
        ))
    })
}

fn search_path() -> Vec<PathBuf> {
    let own = std::env::var_os(SEARCH_PATH_VARIABLE);
    let mut folders: Vec<PathBuf> = own.iter().flat_map(std::env::split_paths).collect();
    let home = gst::glib::user_data_dir();
    folders.extend(
        std::iter::once(home)
            .chain(gst::glib::system_data_dirs())
            .map(|dir| dir.join("gst-vidtok")),
    );
    folders.retain(|folder| !folder.as_os_str().is_empty());
    folders
}

fn list(folders: &[PathBuf]) -> String {
    folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// `folders` and the folders directly below that have a description, in a stable order.
fn tokenizer_folders(folders: &[PathBuf]) -> impl Iterator<Item = PathBuf> + '_ {
    folders.iter().flat_map(|folder| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut below: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        below.sort();
        below.insert(0, folder.clone());
        below.retain(|folder| folder.join(DESCRIPTION_FILE).is_file());
        below
    })
}

/// What a `tokenizer.json` says of its folder.
struct Folder {
    description: Description,
    variants: Vec<Variant>,
}

/// A variant in `tokenizer.json`: a pair of graphs for one target in one precision.
#[derive(Debug, Deserialize)]
struct Variant {
    target: String,
    precision: String,
    encoder: PathBuf,
    decoder: PathBuf,
}

impl Folder {
    fn read(folder: &Path) -> Result<Self, Details> {
        let json = file::read_text(&folder.join(DESCRIPTION_FILE), MAX_DESCRIPTION_BYTES);
        Self::parse(&json.map_err(Details::of)?)
    }

    fn parse(json: &str) -> Result<Self, Details> {
        use serde_json::Value;
        let object: serde_json::Map<String, Value> = serde_json::from_str(json).map_err(Details::of)?;
        let plain = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let description = Description::read(|key| match object.get(key)? {
            Value::Array(items) => Some(items.iter().map(plain).collect::<Vec<_>>().join(",")),
            other => Some(plain(other)),
        })?;
        let variants = object.get("variants").cloned().unwrap_or_default();
        let variants = serde_json::from_value(variants)
            .map_err(|e| Details::with_cause(format!("the key \"variants\": {e}"), Arc::new(e)))?;
        Ok(Self { description, variants })
    }

    /// The best variant.
    fn variant(&self, choice: VariantChoice) -> Option<&Variant> {
        let variants: Vec<_> = self
            .variants
            .iter()
            .map(|v| (&v.target[..], &v.precision[..]))
            .collect();
        choice.choose(&variants).map(|index| &self.variants[index])
    }
}

fn from_folder(folder: &Path, role: Role, choice: VariantChoice) -> Result<Graph, TokenizerError> {
    let place = description_place(folder);
    if !folder.join(DESCRIPTION_FILE).exists() {
        return Err(TokenizerError::not_found(format!(
            "the folder \"{}\" has no {DESCRIPTION_FILE}: models/export.py makes tokenizer folders, docs/graphs.md specifies them",
            folder.display()
        )));
    }
    let read = Folder::read(folder).map_err(|e| TokenizerError::at(&place, e))?;
    let missing = || match choice.precision {
        Some(precision) => TokenizerError::not_found(format!(
            "{place}: it lists no graphs in {0}: make some with models/export.py --precision {0}{1}",
            precision.as_str(),
            match choice.target {
                Target::Gpu => " --target gpu",
                Target::Cpu => "",
            }
        )),
        None => TokenizerError::at(&place, "it lists no graphs for a CPU or a GPU"),
    };
    let variant = read.variant(choice).ok_or_else(missing)?;
    from_variant(folder, role, variant, &read.description)
}

/// The graph for `role` in the variant for `target` in `precision`; `None` if the tokenizer's folder has no such
/// variant.
pub(super) fn variant_in_folder(
    folder: &Path,
    role: Role,
    (target, precision): (Target, Precision),
) -> Result<Option<Graph>, TokenizerError> {
    let read = Folder::read(folder).map_err(|e| TokenizerError::at(&description_place(folder), e))?;
    let fits = |variant: &&Variant| variant.target == target.as_str() && variant.precision == precision.as_str();
    let variant = read.variants.iter().find(fits);
    variant
        .map(|variant| from_variant(folder, role, variant, &read.description))
        .transpose()
}

fn from_variant(
    folder: &Path,
    role: Role,
    variant: &Variant,
    description: &Description,
) -> Result<Graph, TokenizerError> {
    let file = match role {
        Role::Encoder => &variant.encoder,
        Role::Decoder => &variant.decoder,
    };
    // The description may be hostile: it must not name files outside its folder.
    if file.components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
        return Err(TokenizerError::at(
            &description_place(folder),
            format!("the graph \"{}\" is not in its folder", file.display()),
        ));
    }
    let graph = from_file(folder.join(file), role, Some(description))?;
    for (key, said, found) in [
        ("target", &variant.target, graph.target.as_str()),
        ("precision", &variant.precision, graph.precision.as_str()),
    ] {
        if said != found {
            return Err(TokenizerError::at(
                &graph.location(),
                format!("the key \"vidtok.{key}\" contradicts {DESCRIPTION_FILE}: the files do not belong together"),
            ));
        }
    }
    Ok(Graph {
        folder: Some(folder.to_path_buf()),
        ..graph
    })
}

fn description_place(folder: &Path) -> String {
    folder.join(DESCRIPTION_FILE).display().to_string()
}

fn from_file(path: PathBuf, role: Role, expected: Option<&Description>) -> Result<Graph, TokenizerError> {
    let place = path.display().to_string();
    let (bytes, model) = contents::read(&path).map_err(|fault| refused(&place, fault))?;
    let source = Source::File(path, Identity::of(&bytes));
    drop(bytes);
    checked(source, &place, &model, role, expected)
}

/// The bytes of the graph at `path`, if they still have this `identity`.
pub(super) fn read_again(path: &Path, identity: &Identity) -> Result<Vec<u8>, TokenizerError> {
    let place = path.display().to_string();
    let (bytes, _) = contents::read(path).map_err(|fault| refused(&place, fault))?;
    if Identity::of(&bytes) != *identity {
        return Err(TokenizerError::at(
            &place,
            "it, or a file with its weights, was replaced after it was checked: set the element to NULL and start it \
             again",
        ));
    }
    Ok(bytes)
}

/// Checks the graph's metadata against `role` and the folder's description.
pub(super) fn checked(
    source: Source,
    place: &str,
    model: &onnx::Model,
    role: Role,
    expected: Option<&Description>,
) -> Result<Graph, TokenizerError> {
    let metadata = &model.metadata;
    let fail = |text: &str| TokenizerError::at(place, text);
    let prefixed = |key: &str| metadata.get(&format!("vidtok.{key}")).cloned();
    if !metadata.keys().any(|key| key.starts_with("vidtok.")) {
        return Err(fail(
            "this ONNX graph has no vidtok metadata, which models/export.py writes and docs/graphs.md specifies",
        ));
    }
    let found = prefixed("role").ok_or_else(|| fail("the key \"vidtok.role\" is missing"))?;
    if found != role.as_str() {
        return Err(fail(&format!(
            "it is {} {found}, but {} {} is needed",
            article(&found),
            article(role.as_str()),
            role.as_str()
        )));
    }
    let description = Description::read(prefixed).map_err(|e| fail(&format!("vidtok metadata: {e}")))?;
    let attention_parts = prefixed("attention-parts").map_or(Ok(0), |text| text.parse());
    let impossible = |key: &str| fail(&format!("the key \"vidtok.{key}\" has an impossible value"));
    // The first graphs have none of these keys; they are for CPUs, in single precision, and take bytes.
    let target = prefixed("target").map_or(Some(Target::Cpu), |text| Target::parse(&text));
    let target = target.ok_or_else(|| impossible("target"))?;
    let precision = prefixed("precision").map_or(Some(Precision::Fp32), |text| Precision::parse(&text));
    let precision = precision.ok_or_else(|| impossible("precision"))?;
    let input = prefixed("input").map_or(Some(FrameType::Uint8), |text| FrameType::parse(&text));
    let input = input.ok_or_else(|| impossible("input"))?;
    let attention_parts = attention_parts.map_err(|_| impossible("attention-parts"))?;
    if let Some(key) = expected.and_then(|expected| expected.difference(&description)) {
        return Err(fail(&format!(
            "the key \"vidtok.{key}\" contradicts {DESCRIPTION_FILE}: the files do not belong together"
        )));
    }
    Ok(Graph {
        description: Arc::new(description),
        role,
        target,
        precision,
        input,
        attention_parts,
        channels: model.channels,
        source,
        folder: None,
    })
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

fn not_onnx(place: &str) -> String {
    let checkpoint = [".ckpt", ".safetensors", ".pt", ".pth"]
        .iter()
        .any(|ending| place.ends_with(ending));
    if checkpoint {
        "it is a checkpoint, not a graph: make a tokenizer folder of it with models/export.py".into()
    } else {
        "it is not an ONNX graph".into()
    }
}

pub(super) fn refused(place: &str, fault: OnnxFault) -> TokenizerError {
    match fault {
        OnnxFault::NotOnnx => TokenizerError::at(place, not_onnx(place)),
        OnnxFault::Refused(details) => TokenizerError::at(place, details),
    }
}
