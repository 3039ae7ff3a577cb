//! What engines depend on besides the graph: the GPU, and the versions of the libraries that build and run them.

use std::ffi::{CStr, c_int};
use std::fs;
use std::path::Path;

use super::{TF32_VARIABLE, tf32_setting};

const NVIDIA: &str = "/proc/driver/nvidia";
/// Newest first. ONNX Runtime's current wheels want version 10.
const TENSORRT: [&CStr; 3] = [c"libnvinfer.so.11", c"libnvinfer.so.10", c"libnvinfer.so.8"];
/// Environment variables that decide which GPU a number means.
const SELECTION: [&str; 2] = ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"];
const UNKNOWN: &str = "unknown";

/// A machine, as far as an engine depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub device: i32,
    /// Models of all GPUs, in the order of the bus. All, because with another set of GPUs CUDA may give `device` to
    /// another one.
    pub gpus: Vec<String>,
    pub selection: String,
    pub driver: String,
    pub tensorrt: String,
    pub runtime: String,
    /// The user's setting of TF32; empty: none.
    pub tf32: String,
}

impl Machine {
    /// This machine, with the TensorRT that is loaded. A value that the system does not tell is "unknown". That two
    /// machines may then share a name does no harm: TensorRT refuses an engine of another GPU or version.
    pub fn find(device: i32) -> Self {
        let variable = |name: &&str| Some(format!("{name}={}", std::env::var(name).ok()?));
        let selection: Vec<String> = SELECTION.iter().filter_map(variable).collect();
        Self {
            device,
            gpus: gpus(Path::new(NVIDIA)),
            selection: selection.join(" "),
            driver: driver(Path::new(NVIDIA)),
            tensorrt: TENSORRT
                .iter()
                .find_map(|library| tensorrt(library))
                .unwrap_or(UNKNOWN.into()),
            runtime: ort::info().into(),
            tf32: tf32_setting().unwrap_or_default(),
        }
    }

    pub fn text(&self) -> String {
        let gpus = if self.gpus.is_empty() {
            UNKNOWN.into()
        } else {
            self.gpus.join(", ")
        };
        format!(
            "GPUs: {gpus}\ndevice-id: {}\nchosen by: {}\ndriver: {}\nTensorRT: {}\nONNX Runtime: {}\n{TF32_VARIABLE}: {}\n",
            self.device, self.selection, self.driver, self.tensorrt, self.runtime, self.tf32
        )
    }
}

/// The models of GPUs that the driver lists below `root`.
fn gpus(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("gpus")).into_iter().flatten().flatten();
    let mut places: Vec<_> = entries.map(|entry| entry.path()).collect();
    places.sort();
    let model = |place: &std::path::PathBuf| {
        let text = fs::read_to_string(place.join("information")).ok()?;
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
        Some(model.trim().to_string())
    };
    places.iter().filter_map(model).collect()
}

/// The driver's version, from a line like `NVRM version: NVIDIA UNIX x86_64 Kernel Module  555.42.02  Mon Jun 24 …`.
fn driver(root: &Path) -> String {
    let text = fs::read_to_string(root.join("version")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("NVRM version:"));
    let is_version = |word: &&str| {
        word.contains('.')
            && word
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let version = line.and_then(|line| line.split_whitespace().find(is_version));
    version.unwrap_or(UNKNOWN).into()
}

/// TensorRT's version, if `library` is already loaded in this process. ONNX Runtime's provider loads the one it uses.
fn tensorrt(library: &CStr) -> Option<String> {
    // SAFETY: the texts end in NUL. `dlopen` adds a reference to the library that is never given back, so the function
    // stays valid; TensorRT declares it as `int32_t getInferLibVersion()`, with C linkage.
    let version = unsafe {
        let handle = libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if handle.is_null() {
            return None;
        }
        let function = libc::dlsym(handle, c"getInferLibVersion".as_ptr());
        if function.is_null() {
            return None;
        }
        std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> c_int>(function)()
    };
    Some(version.to_string())
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::process::Command;

    use super::*;

    /// A driver's folder, with two GPUs.
    fn driver_folder() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (place, model) in [
            ("0000:3b:00.0", "NVIDIA A100-PCIE-40GB"),
            ("0000:01:00.0", "NVIDIA T400"),
        ] {
            let folder = root.path().join("gpus").join(place);
            fs::create_dir_all(&folder).unwrap();
            let text = format!("Model: \t\t {model}\nIRQ:   \t\t 42\nGPU UUID: \t GPU-0\nBus Location: \t {place}\n");
            fs::write(folder.join("information"), text).unwrap();
        }
        let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.154.05  Thu Dec 28 15:37:48 UTC 2023\n\
                       GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n";
        fs::write(root.path().join("version"), version).unwrap();
        root
    }

    #[test]
    fn gpus_and_version_are_read_from_the_drivers_folder() {
        let root = driver_folder();
        assert_eq!(gpus(root.path()), ["NVIDIA T400", "NVIDIA A100-PCIE-40GB"]);
        assert_eq!(driver(root.path()), "535.154.05");
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(gpus(nothing.path()), [""; 0]);
        assert_eq!(driver(nothing.path()), UNKNOWN);
    }

    #[test]
    fn tensorrt_says_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let library = |name: &str, source: &str| {
            let (c, so) = (
                folder.path().join(format!("{name}.c")),
                folder.path().join(format!("lib{name}.so")),
            );
            fs::write(&c, source).unwrap();
            let mut compiler = Command::new("cc");
            let status = compiler
                .args(["-shared", "-fPIC", "-o"])
                .args([&so, &c])
                .status()
                .unwrap();
            assert!(status.success());
            CString::new(so.to_str().unwrap()).unwrap()
        };
        // SAFETY: libraries with one function, which loading does not call.
        let load = |library: &CStr| assert!(!unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW) }.is_null());
        let toy = library("toy", "int getInferLibVersion(void) { return 100300; }");
        assert_eq!(tensorrt(&toy), None, "it exists, but is not loaded");
        load(&toy);
        assert_eq!(tensorrt(&toy).as_deref(), Some("100300"));
        let other = library("other", "int other(void) { return 1; }");
        load(&other);
        assert_eq!(tensorrt(&other), None);
        assert_eq!(tensorrt(c"libno-such-library.so.10"), None);
    }
}
