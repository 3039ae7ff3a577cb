//! The plugin keeps ONNX Runtime from sending telemetry.
//!
//! The pipeline runs in a process as a user starts it: without the other tests' environment, and with empty folders.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Seconds of live video. ONNX Runtime with telemetry looks up a host within four.
const SECONDS: u32 = 6;

/// The plugin that Cargo built with this test.
fn plugin() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libgstvidtok.so")
}

/// Runs a pipeline that encodes and decodes, below `prefix`, with folders below `folder` for all that the process
/// writes.
fn run(folder: &Path, prefix: &[&str], pipeline: &str) -> Output {
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    std::fs::copy(plugin(), plugins.join("libgstvidtok.so")).unwrap();
    let words = prefix
        .iter()
        .copied()
        .chain(["gst-launch-1.0", "-q"])
        .chain(pipeline.split_whitespace());
    let words: Vec<&str> = words.collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear();
    for kept in ["PATH", "ORT_DYLIB_PATH", "LD_LIBRARY_PATH"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    for name in [
        "HOME",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "XDG_DATA_HOME",
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
    ] {
        let path = folder.join("written").join(name);
        std::fs::create_dir_all(&path).unwrap();
        command.env(name, path);
    }
    command.env("GST_PLUGIN_PATH", &plugins);
    command.env("GST_REGISTRY", folder.join("registry.bin"));
    command.output().unwrap()
}

/// The files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

fn works(command: &[&str]) -> bool {
    let run = Command::new(command[0]).args(&command[1..]).output();
    run.is_ok_and(|output| output.status.success())
}

#[test]
fn a_pipeline_writes_no_file_and_looks_up_no_host() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=connect,sendto,sendmsg,sendmmsg",
        "-o",
    ];
    // Where no network namespace can be made, only the files that telemetry writes are looked for.
    let traced = works(&["unshare", "-r", "-n", "true"]) && works(&["strace", "-qq", "-o", "/dev/null", "true"]);
    let mut prefix = Vec::new();
    if traced {
        prefix.extend(["unshare", "-r", "-n"]);
        prefix.extend(strace);
        prefix.push(trace.to_str().unwrap());
    } else {
        eprintln!("without strace and a network namespace, only files are looked for");
    }
    let pipeline = format!(
        "videotestsrc is-live=true num-buffers={} ! video/x-raw,width=64,height=64,framerate=30/1 ! videoconvert ! vidtokenc \
         ! vidtokdec ! fakesink",
        SECONDS * 30
    );
    let output = run(folder.path(), &prefix, &pipeline);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(&folder.path().join("written")), Vec::<PathBuf>::new());
    if traced {
        let calls = std::fs::read_to_string(&trace).unwrap();
        let out = |line: &&str| line.contains("AF_INET");
        assert_eq!(calls.lines().filter(out).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
