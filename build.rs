//! Gives gst-inspect-1.0 the plugin's version, commit and date. Tells Cargo what these depend on; otherwise Cargo would
//! run this, and compile the plugin again, after every change in the folder.

use std::path::Path;
use std::process::Command;

/// What the plugin is made of, with the tokenizers of `src/tokenizer/embedded.rs`. If one of these has changed since the
/// commit, the commit gets a "+".
const SOURCES: [&str; 6] = [
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "winograd",
    "models/vidtok-small-488-32768",
];

fn main() {
    gst_plugin_version_helper::info();
    // HEAD changes with the branch, its log with every commit.
    let commit = ["HEAD", "logs/HEAD"].map(git_path).into_iter().flatten();
    let sources = SOURCES.map(String::from).into_iter();
    // A path that does not exist would make Cargo run this every time.
    for path in sources.chain(commit).filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// Where git keeps one of its files. In a linked work tree, that is not below `.git`.
fn git_path(name: &str) -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--git-path", name])
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| path.trim_end().to_string())
}
