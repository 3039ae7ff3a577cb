//! Hostile tokenizers, and tokenizers that change while in use: they must fail at once, and never give the tokens of
//! another network.

mod common;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::*;
use gst::prelude::*;
use gstvidtok::tokenizer::{self, Role, Target};

/// Far longer than a refusal takes.
const AT_ONCE: Duration = Duration::from_secs(20);

/// A copy of a tokenizer folder that a test may change.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "encoder.onnx", "decoder.onnx"] {
        std::fs::copy(Path::new(&tokenizer(name)).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn fifo(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends in NUL and lives until the call returns.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

/// Moves the encoder's weights to `weights.bin` with `onnx.save_model`, and names that file `location` in the graph.
fn move_weights(folder: &Path, location: &str) {
    let script = "
import sys, onnx
path, location = sys.argv[1:]
model = onnx.load(path)
onnx.save_model(model, path, save_as_external_data=True, location='weights.bin', size_threshold=0)
model = onnx.load(path, load_external_data=False)
for tensor in model.graph.initializer:
    for entry in tensor.external_data:
        if entry.key == 'location':
            entry.value = location
open(path, 'wb').write(model.SerializeToString())
";
    let python = std::env::var_os("VIDTOK_PYTHON").expect("tests/run.sh sets VIDTOK_PYTHON");
    let mut command = Command::new(python);
    let status = command
        .args(["-c", script])
        .arg(folder.join("encoder.onnx"))
        .arg(location)
        .status();
    assert!(status.unwrap().success());
    assert!(folder.join("weights.bin").is_file());
}

/// The error of opening the encoder in the folder or file `path`.
fn refusal(path: &Path) -> String {
    let begun = Instant::now();
    let found = tokenizer::open(path.to_str().unwrap(), Role::Encoder, Target::Cpu);
    assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
    found.expect_err("it was taken").to_string()
}

fn tokens(model: &Path) -> Vec<Vec<u8>> {
    let line = format!(
        "vidtokenc model={} execution-provider=cpu ! video/x-vidtok,stream-format=raw",
        model.display()
    );
    bytes(&run(&line, &video(9, 32, 32), 32, 32, (30, 1)))
}

#[test]
fn a_file_that_is_not_regular_is_refused_at_once() {
    type Make = fn(&Path);
    let makes: [(Make, &str); 3] = [
        (fifo, "a FIFO"),
        (|path| std::fs::create_dir(path).unwrap(), "a folder"),
        (|path| symlink("/dev/zero", path).unwrap(), "a device"),
    ];
    for (make, said) in makes {
        for file in ["encoder.onnx", "tokenizer.json"] {
            let folder = copy(TINY);
            let path = folder.path().join(file);
            std::fs::remove_file(&path).unwrap();
            make(&path);
            let error = refusal(folder.path());
            assert!(error.contains(file) && error.contains(said), "{error}");
            if said != "a folder" {
                let error = refusal(&path);
                assert!(error.contains(said), "{error}");
            }
        }
    }
}

#[test]
fn an_element_reports_a_fifo_and_does_not_hang() {
    init();
    let folder = copy(TINY);
    let path = folder.path().join("decoder.onnx");
    std::fs::remove_file(&path).unwrap();
    fifo(&path);
    let element = gst::ElementFactory::make("vidtokdec").property("model", folder.path().to_str().unwrap());
    let (element, bus) = (element.build().unwrap(), gst::Bus::new());
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Ready).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!()
    };
    assert!(error.error().to_string().contains("a FIFO"), "{}", error.error());
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn weights_in_a_file_beside_the_graph_are_those_of_the_graph() {
    init();
    let folder = copy(TINY);
    move_weights(folder.path(), "weights.bin");
    assert_eq!(tokens(folder.path()), tokens(Path::new(&tokenizer(TINY))));
}

#[test]
fn weights_elsewhere_are_refused() {
    let above = tempfile::tempdir().unwrap();
    let absolute = above.path().join("weights.bin");
    for location in [
        "../weights.bin",
        absolute.to_str().unwrap(),
        "sub/weights.bin",
        "./weights.bin",
        ".",
    ] {
        let folder = copy(TINY);
        move_weights(folder.path(), location);
        // The file exists where the graph says, and the graph is refused nevertheless.
        let weights = folder.path().join("weights.bin");
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::copy(&weights, folder.path().join("sub/weights.bin")).unwrap();
        std::fs::copy(&weights, &absolute).unwrap();
        let error = refusal(folder.path());
        for part in ["encoder.onnx", location, "plain name"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

#[test]
fn weights_in_a_file_that_is_not_regular_are_refused() {
    type Make = fn(&Path, PathBuf);
    let makes: [(Make, &str); 4] = [
        (|path, aside| symlink(aside, path).unwrap(), "a link"),
        (|path, _| fifo(path), "a FIFO"),
        (|path, _| std::fs::create_dir(path).unwrap(), "a folder"),
        (
            |path, _| std::fs::write(path, "short").unwrap(),
            "beyond the end of weights.bin",
        ),
    ];
    for (make, said) in makes {
        let folder = copy(TINY);
        move_weights(folder.path(), "weights.bin");
        let (path, aside) = (folder.path().join("weights.bin"), folder.path().join("aside.bin"));
        std::fs::rename(&path, &aside).unwrap();
        make(&path, aside);
        let error = refusal(folder.path());
        assert!(error.contains("weights.bin") && error.contains(said), "{error}");
    }
}

/// The output or the error of a pipeline whose tokenizer is changed by `change` in READY.
fn replaced_in_ready(folder: &Path, change: impl FnOnce()) -> Result<Vec<Vec<u8>>, String> {
    init();
    let line = format!(
        "vidtokenc model={} ! video/x-vidtok,stream-format=raw",
        folder.display()
    );
    let line = Line::new(&line, &video_caps(32, 32, (30, 1)));
    line.pipeline.set_state(gst::State::Ready).unwrap();
    change();
    line.play();
    let frames = video(9, 32, 32);
    frames.iter().for_each(|frame| line.push(buffer(frame, 32)));
    line.source.end_of_stream().unwrap();
    let mut out = Vec::new();
    while let Some(sample) = line.sink.try_pull_sample(LIMIT) {
        out.push(sample.buffer_owned().unwrap());
    }
    match line.error(gst::ClockTime::ZERO) {
        Some(error) => Err(error),
        None => Ok(bytes(&out)),
    }
}

#[test]
fn a_graph_replaced_after_it_was_checked_does_not_run() {
    let (folder, other) = (copy(TINY), Path::new(&tokenizer(GOLDEN)).join("encoder.onnx"));
    let path = folder.path().join("encoder.onnx");
    let error = replaced_in_ready(folder.path(), || {
        std::fs::copy(&other, &path).unwrap();
    });
    let error = error.expect_err("another network ran");
    assert!(
        error.contains("encoder.onnx") && error.contains("was replaced"),
        "{error}"
    );
}

#[test]
fn weights_replaced_after_they_were_checked_do_not_run() {
    let folder = copy(TINY);
    move_weights(folder.path(), "weights.bin");
    let path = folder.path().join("weights.bin");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let error = replaced_in_ready(folder.path(), || {
        // In place, with the same size and modification time.
        let mut weights = std::fs::read(&path).unwrap();
        weights.reverse();
        std::fs::write(&path, weights).unwrap();
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(modified)
            .unwrap();
    });
    let error = error.expect_err("other weights ran");
    assert!(error.contains("was replaced"), "{error}");
}

#[test]
fn a_graph_that_is_rewritten_with_the_same_bytes_runs() {
    let folder = copy(TINY);
    let path = folder.path().join("encoder.onnx");
    let tokens = replaced_in_ready(folder.path(), || {
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    });
    assert!(!tokens.unwrap().is_empty());
}

/// Runs the ignored test `name` of this binary with a limit of the address space. Returns whether it passed.
fn run_with_address_space(megabytes: u32, name: &str) -> bool {
    let script = format!(
        "ulimit -v {} && exec \"$0\" --exact --ignored {name}",
        u64::from(megabytes) * 1000
    );
    let test = std::env::current_exe().unwrap();
    Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(test)
        .status()
        .unwrap()
        .success()
}

#[test]
fn a_picture_that_does_not_fit_into_the_processs_limit_is_an_error() {
    assert!(run_with_address_space(3000, "with_little_address_space"));
}

#[test]
#[ignore = "run by another test, with a limit"]
fn with_little_address_space() {
    init();
    // The network needs 4 GB, far more than the frame itself.
    let line = Line::new(
        &format!("vidtokenc model={}", tokenizer(GOLDEN)),
        &video_caps(1280, 1024, (30, 1)),
    );
    line.play();
    line.push(buffer(&video(1, 1280, 1024)[0], 1280));
    let error = line.error(LIMIT).expect("an error");
    for part in ["MB for 1280×1024 pixels", "ulimit -v", "scale the video down"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}
