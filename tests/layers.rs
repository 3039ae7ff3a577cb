//! Which module may import which: a module imports only modules of lower layers.
//!
//! Reads the source files, and checks every path that begins with `crate::`, `super::` or `self::`, in `use` lines and
//! elsewhere, tests included. `ARCHITECTURE.md` shows the layers.

use std::fmt;
use std::path::{Path, PathBuf};

/// The layers of the modules in one parent module. A module may import itself and modules of lower layers.
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
        &["timeline"],
        &["stream", "tokenizer"],
        &["runtime"],
        &["element"],
        &["enc", "dec", "parse"],
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

fn check(layers: &Layers) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 50, "{} has no sources", src.display());
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = Path::new("src").join(file.strip_prefix(&src).unwrap());
        let module = module_of(file.strip_prefix(&src).unwrap());
        let module: Vec<&str> = module.iter().map(String::as_str).collect();
        faults.extend(layers.faults(&name, &module, &text));
    }
    assert!(faults.is_empty(), "\n{}\n{layers}", faults.join("\n"));
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
        for import in imports(module, &code(text)) {
            let target: Vec<&str> = import.target.iter().map(String::as_str).collect();
            let Some([part, ..]) = target.strip_prefix(self.parent) else {
                continue;
            };
            let reexported = self.reexported.iter().find(|(name, _)| name == part);
            let part = reexported.map_or(*part, |(_, from)| *from);
            let rule = match self.level(part) {
                _ if part == *own => continue,
                None => format!("\"{part}\" is not a module: import it from the file that defines it"),
                Some(level) if level > own_level => format!("\"{own}\" is below \"{part}\""),
                Some(level) if level == own_level => format!("\"{own}\" is beside \"{part}\""),
                Some(_) if !import.absolute => "a path to another part begins with crate::".into(),
                Some(_) => continue,
            };
            let path = target.join("::");
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
        write!(f, "Imports go from left to right: {}", levels.join(" → "))
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

/// A source text without comments and without the contents of strings and characters. Lines stay where they are.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| raw_string(rest)).or_else(|| quoted(rest));
        if let Some(length) = skipped {
            code.push(' ');
            code.extend(rest[..length].matches('\n'));
            rest = &rest[length..];
            continue;
        }
        // A name in one piece: the r of `for` begins no raw string.
        let length = match rest.find(|c: char| !is_of_name(c)) {
            Some(0) => first.len_utf8(),
            end => end.unwrap_or(rest.len()),
        };
        code.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    code
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of the comment that `text` begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        at += match () {
            () if rest.starts_with("/*") => {
                depth += 1;
                2
            }
            () if rest.starts_with("*/") => {
                depth -= 1;
                2
            }
            () => rest.chars().next().map_or(1, char::len_utf8),
        };
        if depth == 0 {
            return Some(at);
        }
    }
    Some(text.len())
}

/// Bytes of the raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let start = ["r", "br", "cr"].iter().find_map(|prefix| {
        let hashes = text.strip_prefix(prefix)?;
        let body = hashes.trim_start_matches('#');
        let count = hashes.len() - body.len();
        body.starts_with('"').then_some((prefix.len() + count + 1, count))
    });
    let (start, hashes) = start?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = text[start..].find(&end).map(|at| start + at + end.len());
    Some(length.unwrap_or(text.len()))
}

/// Bytes of the string or character that `text` begins with. A lifetime is neither.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    if quote == '\'' {
        let mut chars = text[1..].chars();
        let is_character = match chars.next() {
            Some('\\') => true,
            Some(_) => chars.next() == Some('\''),
            None => false,
        };
        if !is_character {
            return None;
        }
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return Some(at + 1);
        }
        escaped = !escaped && c == '\\';
    }
    Some(text.len())
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

/// The paths in `code`, of `module`, that begin with `crate`, `super` or `self`.
fn imports(module: &[&str], code: &str) -> Vec<Import> {
    let tokens = tokens(code);
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

/// Names, `::`, and single characters, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match rest.find(|c: char| !is_of_name(c)) {
                Some(0) if rest.starts_with("::") => 2,
                Some(0) => first.len_utf8(),
                end => end.unwrap_or(rest.len()),
            };
            tokens.push((line + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    tokens
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
        if !token(at).starts_with(is_of_name) {
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
"##;
    let found: Vec<(usize, String)> = imports(&["a", "b"], &code(text))
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
    ];
    let expected: Vec<_> = expected.map(|(line, path)| (line, path.to_string())).into();
    assert_eq!(found, expected);
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
            "f.rs:1: imports top::Thing: \"Thing\" is not a module: import it from the file that defines it",
        ),
        ("new", "", "f.rs: \"new\" is in no layer: add it"),
    ] {
        assert_eq!(faults(part, text), [fault]);
    }
}
