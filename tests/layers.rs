//! Which module may import which: a module imports only modules of lower layers.
//!
//! Reads the source files and looks at every path that begins with `crate::`, `super::` or `self::`, in `use` lines and
//! elsewhere, tests included. It cannot see a call of a method that a higher part adds to a lower part's type.

use std::fmt;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Modules from low to high. A module may import those of lower levels, and itself.
struct Layers {
    /// The path of the parent module; empty: the crate.
    parent: &'static [&'static str],
    /// The modules of each layer, from low to high.
    levels: &'static [&'static [&'static str]],
    /// Names that the parent re-exports, and the module that defines each.
    reexported: &'static [(&'static str, &'static str)],
}

const CRATE: Layers = Layers {
    parent: &[],
    levels: &[
        &["details", "system"],
        &["format"],
        &["timeline", "pixels", "resize", "yuv"],
        &["stream", "tokenizer"],
        &["rtp"],
        &["runtime"],
        &["element"],
        &["enc", "dec", "parse", "pay", "depay"],
    ],
    reexported: &[("caps", "element"), ("meta", "element")],
};

const RUNTIME: Layers = Layers {
    parent: &["runtime"],
    levels: &[
        &["error", "report"],
        &["library"],
        &["cancel", "provider", "operators"],
        &["options"],
        &["session"],
        &["budget"],
        &["step"],
        &["batch", "choose"],
        &["sharing"],
        &["network"],
    ],
    reexported: &[],
};

#[test]
fn lower_parts_of_the_crate_do_not_import_higher_ones() {
    check(&CRATE);
}

#[test]
fn lower_parts_of_the_runtime_do_not_import_higher_ones() {
    check(&RUNTIME);
}

#[test]
fn the_architecture_page_shows_these_layers() {
    let page = include_str!("../ARCHITECTURE.md");
    for layers in [CRATE, RUNTIME] {
        let line = layers.to_string();
        assert!(page.lines().any(|found| found == line), "ARCHITECTURE.md lacks: {line}");
    }
}

/// Parts that use neither GStreamer nor ONNX Runtime. Other files say so in their first comment.
const PURE: [&str; 7] = ["details", "format", "timeline", "pixels", "resize", "yuv", "stream"];

#[test]
fn pure_parts_use_neither_gstreamer_nor_onnx_runtime() {
    let mut pure = 0;
    for Source { name, module, text } in sources() {
        let comment: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let of_pure = module.first().is_some_and(|part| PURE.contains(&part.as_str()));
        if !of_pure && !comment.contains("Free of GStreamer") {
            continue;
        }
        pure += 1;
        let tokens = tokens(&text);
        let outside = tokens.iter().find(|(_, token)| {
            token.starts_with("gst") && *token != "gstvidtok" || ["glib", "ort"].contains(&token.as_str())
        });
        assert_eq!(outside, None, "{}", name.display());
    }
    assert!(pure > 20, "{pure} files");
}

fn check(layers: &Layers) {
    let mut faults = Vec::new();
    for Source { name, module, text } in sources() {
        let module: Vec<&str> = module.iter().map(String::as_str).collect();
        faults.extend(layers.faults(&name, &module, &text));
        if brings_in_a_file(&text) {
            faults.push(format!(
                "{}: brings in a file whose name does not say its module",
                name.display()
            ));
        }
    }
    let layers = format!("Imports go from left to right: {layers}");
    assert!(faults.is_empty(), "\n{}\n{layers}", faults.join("\n"));
}

/// Whether the code has `include!` or `#[path = …]`. Then a file's name does not say its module.
fn brings_in_a_file(text: &str) -> bool {
    let tokens = tokens(text);
    let names: Vec<&str> = tokens.iter().map(|(_, token)| token.as_str()).collect();
    names.windows(2).any(|pair| pair == ["include", "!"]) || names.windows(3).any(|three| three == ["[", "path", "="])
}

struct Source {
    name: PathBuf,
    module: Vec<String>,
    text: String,
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 50, "{} has no sources", src.display());
    let source = |file: PathBuf| {
        let below = file.strip_prefix(&src).unwrap();
        Source {
            name: Path::new("src").join(below),
            module: module_of(below),
            text: std::fs::read_to_string(&file).unwrap(),
        }
    };
    files.into_iter().map(source).collect()
}

impl Layers {
    /// What is wrong with the imports of the file `name`, whose path of modules is `module`.
    fn faults(&self, name: &Path, module: &[&str], text: &str) -> Vec<String> {
        let Some([own, ..]) = module.strip_prefix(self.parent) else {
            // The file is the parent, which names its modules, or is outside of it.
            return Vec::new();
        };
        let Some(own_level) = self.level(own) else {
            return vec![format!("{}: \"{own}\" is in no layer: add it", name.display())];
        };
        let mut faults = Vec::new();
        for import in imports(module, text) {
            let target: Vec<&str> = import.target.iter().map(String::as_str).collect();
            let part = match target.strip_prefix(self.parent) {
                Some([part, ..]) => *part,
                Some([]) => "",
                None => continue,
            };
            let reexported = self.reexported.iter().find(|(name, _)| *name == part);
            let part = reexported.map_or(part, |(_, from)| *from);
            let rule = match self.level(part) {
                _ if part == *own => continue,
                _ if part.is_empty() => "it is the module of all parts: name the part".into(),
                None => format!("\"{part}\" is not a part: import it from the file that defines it"),
                Some(level) if level > own_level => format!("\"{own}\" is below \"{part}\""),
                Some(level) if level == own_level => format!("\"{own}\" is beside \"{part}\""),
                Some(_) if !import.absolute => "a path to another part begins with crate::".into(),
                Some(_) => continue,
            };
            let path = if target.is_empty() {
                "crate".into()
            } else {
                target.join("::")
            };
            faults.push(format!("{}:{}: imports {path}: {rule}", name.display(), import.line));
        }
        faults
    }

    fn level(&self, part: &str) -> Option<usize> {
        self.levels.iter().position(|level| level.contains(&part))
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<String> = self.levels.iter().rev().map(|level| level.join(", ")).collect();
        f.write_str(&levels.join(" → "))
    }
}

/// The source files below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The module of a file below src: `a/mod.rs` and `a.rs` are `a`, `lib.rs` is the crate.
fn module_of(file: &Path) -> Vec<String> {
    let file = file.with_extension("");
    let mut module: Vec<String> = file.iter().map(|part| part.to_str().unwrap().into()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

/// Names, `::`, and single characters, each with its line. Comments and strings are left out.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    flatten(text.parse().unwrap(), &mut tokens);
    tokens
}

fn flatten(stream: TokenStream, tokens: &mut Vec<(usize, String)>) {
    let mut after_colon = false;
    for tree in stream {
        let line = tree.span().start().line;
        let was_after_colon = std::mem::take(&mut after_colon);
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
                };
                tokens.push((line, open.into()));
                flatten(group.stream(), tokens);
                tokens.push((group.span_close().start().line, close.into()));
            }
            TokenTree::Ident(name) => tokens.push((line, name.to_string())),
            TokenTree::Punct(punct) if punct.as_char() == ':' && was_after_colon => {
                tokens.pop();
                tokens.push((line, "::".into()));
            }
            TokenTree::Punct(punct) => {
                after_colon = punct.as_char() == ':' && punct.spacing() == Spacing::Joint;
                tokens.push((line, punct.as_char().into()));
            }
            TokenTree::Literal(_) => (),
        }
    }
}

/// A path in a source file.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    line: usize,
    /// It begins with `crate`.
    absolute: bool,
    /// Its names from the crate on.
    target: Vec<String>,
}

/// The paths in the text of `module` that begin with `crate`, `super` or `self`.
fn imports(module: &[&str], text: &str) -> Vec<Import> {
    let tokens = tokens(text);
    let tokens: Vec<(usize, &str)> = tokens.iter().map(|(line, token)| (*line, token.as_str())).collect();
    let mut imports = Vec::new();
    // Modules that begin and end within the file, by the depth of braces that they are in.
    let (mut inline, mut depth): (Vec<(usize, &str)>, usize) = (Vec::new(), 0);
    let mut at = 0;
    while at < tokens.len() {
        let (line, token) = tokens[at];
        let follows = |distance: usize, expected: &str| tokens.get(at + distance).is_some_and(|(_, t)| *t == expected);
        match token {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(outside, _)| *outside < depth);
            }
            "mod" if follows(2, "{") => inline.push((depth, tokens[at + 1].1)),
            // An alias of the crate, with which paths could begin.
            "crate" if follows(1, "as") || (at > 0 && tokens[at - 1].1 == "extern") => imports.push(Import {
                line,
                absolute: true,
                target: Vec::new(),
            }),
            "crate" | "super" | "self" if follows(1, "::") => {
                let visibility = at > 0 && tokens[at - 1].1 == "in";
                let mut paths = Vec::new();
                let end = path(&tokens, at, &mut Vec::new(), &mut paths);
                for names in paths.into_iter().filter(|_| !visibility) {
                    let own = module.iter().copied().chain(inline.iter().map(|(_, name)| *name));
                    imports.push(Import {
                        line,
                        absolute: token == "crate",
                        target: resolve(own.collect(), &names),
                    });
                }
                at = end;
                continue;
            }
            _ => (),
        }
        at += 1;
    }
    imports
}

/// Reads the path, or the tree of them, that begins at a token, behind the names `before`. Returns the token after it.
fn path<'a>(
    tokens: &[(usize, &'a str)],
    mut at: usize,
    before: &mut Vec<&'a str>,
    paths: &mut Vec<Vec<&'a str>>,
) -> usize {
    let token = |at: usize| tokens.get(at).map_or("", |(_, token)| *token);
    let length = before.len();
    loop {
        if token(at) == "{" {
            at += 1;
            while !matches!(token(at), "}" | "") {
                at = path(tokens, at, before, paths);
                // A comma, or another name: `a as b`.
                while !matches!(token(at), "," | "}" | "") {
                    at += 1;
                }
                at += usize::from(token(at) == ",");
            }
            at += 1;
            break;
        }
        if !token(at).starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            // `*`, or generics.
            paths.push(before.clone());
            break;
        }
        before.push(token(at));
        at += 1;
        if token(at) != "::" {
            paths.push(before.clone());
            break;
        }
        at += 1;
    }
    before.truncate(length);
    at
}

/// The names of a path from the crate on, for a path in `module`.
fn resolve(module: Vec<&str>, names: &[&str]) -> Vec<String> {
    let mut target = module;
    for name in names {
        match *name {
            "crate" => target.clear(),
            "self" => (),
            "super" => drop(target.pop()),
            name => target.push(name),
        }
    }
    target.into_iter().map(String::from).collect()
}

#[test]
fn paths_are_found_where_they_are_code() {
    let text = r##"
//! crate::comment::a
use crate::one::{Two, three::{self, Four as Five}, *};
pub(in crate::hidden) fn f<'a>(c: char) -> &'a str {
    let _ = ('"', "super::string::b", r#"crate::raw::"c"#, '\'', b"\"crate::d");
    /* crate::comment /* nested */ crate::e */ super::sibling::g::<u8>();
    for_each(crate::six::h)
}
mod tests {
    use super::*;
    mod inner {
        use super::super::super::up;
    }
    fn g() { if true {} self::k() }
}
use self::own::i;
use crate as c;
extern crate self as d;
use super::super::{self as e, *};
macro_rules! of { ($part:ident) => { $crate::$part::A } }
"##;
    let found: Vec<(usize, String)> = imports(&["a", "b"], text)
        .into_iter()
        .map(|import| (import.line, import.target.join("::")))
        .collect();
    let expected = [
        (3, "one::Two"),
        (3, "one::three"),
        (3, "one::three::Four"),
        (3, "one"),
        (6, "a::sibling::g"),
        (7, "six::h"),
        (10, "a::b"),
        (12, "a::up"),
        (14, "a::b::tests::k"),
        (16, "a::b::own::i"),
        (17, ""),
        (18, ""),
        (19, ""),
        (19, ""),
        (20, ""),
    ];
    let expected: Vec<_> = expected.map(|(line, path)| (line, path.to_string())).into();
    assert_eq!(found, expected);
}

#[test]
fn a_file_that_is_brought_in_is_noticed() {
    for text in ["#[path = \"a.rs\"]\nmod b;", "include!(\"a.rs\");"] {
        assert!(brings_in_a_file(text), "{text}");
    }
    for text in ["let path = include_bytes!(\"a\");", "[path]", "// include!(\"a.rs\")"] {
        assert!(!brings_in_a_file(text), "{text}");
    }
}

#[test]
fn a_fault_names_file_line_and_rule() {
    let layers = Layers {
        parent: &["top"],
        levels: &[&["low"], &["left", "right"], &["high"]],
        reexported: &[("name", "high")],
    };
    let faults = |part: &str, text: &str| layers.faults(Path::new("f.rs"), &["top", part, "file"], text);
    assert_eq!(
        faults("high", "use crate::top::low::A;\nuse super::b;\nuse crate::other::C;"),
        [""; 0]
    );
    for (part, text, fault) in [
        (
            "low",
            "\nuse crate::top::left::A;",
            "f.rs:2: imports top::left::A: \"low\" is below \"left\"",
        ),
        (
            "left",
            "fn f() { crate::top::right::g() }",
            "f.rs:1: imports top::right::g: \"left\" is beside \"right\"",
        ),
        (
            "low",
            "use crate::top::name;",
            "f.rs:1: imports top::name: \"low\" is below \"high\"",
        ),
        (
            "high",
            "use super::super::low::A;",
            "f.rs:1: imports top::low::A: a path to another part begins with crate::",
        ),
        (
            "high",
            "use crate::top::Thing;",
            "f.rs:1: imports top::Thing: \"Thing\" is not a part: import it from the file that defines it",
        ),
        (
            "low",
            "use super::super::*;",
            "f.rs:1: imports top: it is the module of all parts: name the part",
        ),
        ("new", "", "f.rs: \"new\" is in no layer: add it"),
    ] {
        assert_eq!(faults(part, text), [fault]);
    }
}
