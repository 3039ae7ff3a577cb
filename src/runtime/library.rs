//! Finding and loading ONNX Runtime: once a process, when the first element needs it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::RuntimeError;
use crate::system::file;
use crate::system::lock::lock;

/// Environment variable that names the library, or the folder that it is in.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// The last minor version that is looked for by name; far beyond what there is.
const NEWEST_MINOR_VERSION: u32 = 99;

/// Environment variable that keeps ONNX Runtime from sending telemetry. Its official Linux wheels do so from 1.29 on:
/// when they are loaded they write a device id and a database of events, and then look up a host. Switching that off
/// through the API comes too late, as it needs the environment that has begun already.
const TELEMETRY_VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("onnxruntime", gst::DebugColorFlags::empty(), Some("ONNX Runtime")));

/// The process's one environment. Locked while it is made, so that two elements that start together make one.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Loads ONNX Runtime, if it is not loaded yet.
///
/// # Errors
/// Says where it was looked for, why each library found could not be loaded, and how to get one.
/// A later call tries again.
pub fn load() -> Result<Environment, RuntimeError> {
    let mut environment = lock(&ENVIRONMENT);
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    disable_telemetry();
    let places = places();
    let mut tried = Vec::new();
    for library in places.iter().flat_map(|place| place.libraries()) {
        // The loader would wait for ever for somebody to write to a FIFO.
        if let Some(special) = named_file(&library).and_then(file::special) {
            tried.push(format!("{} is {special}", library.display()));
            continue;
        }
        match ort::init_from(&library) {
            Ok(builder) => {
                gst::info!(CAT, "Loaded {}", library.display());
                let builder = builder
                    .with_name("gst-vidtok")
                    .with_telemetry(false)
                    .with_logger(Arc::new(log));
                let made = builder
                    .build()
                    .map_err(|e| RuntimeError::Library(format!("ONNX Runtime: {e}")))?;
                return Ok(environment.insert(made).clone());
            }
            Err(error) => {
                let reason = reason(&library, &error);
                // That the loader does not know one of many names is no news.
                if !reason.contains(&format!(" {}: cannot open shared object file", library.display())) {
                    tried.push(reason);
                }
            }
        }
    }
    Err(RuntimeError::Library(explain(&places, &tried)))
}

/// Keeps ONNX Runtime from calling home, unless the user has decided. To be called before the library is opened, with
/// [`ENVIRONMENT`] locked.
fn disable_telemetry() {
    if std::env::var_os(TELEMETRY_VARIABLE).is_some() {
        return;
    }
    if std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| is_mapped(&maps)) {
        gst::warning!(
            CAT,
            "This process loaded ONNX Runtime before: if that sends telemetry, it is too late to switch it off. Set \
             {TELEMETRY_VARIABLE}=1 in the environment of the process"
        );
    }
    // SAFETY: the lock that the caller holds keeps this crate from a second call. Code of others that reads the
    // environment in C at this very moment could meet a half-changed one. There is no other way to reach the library
    // before it begins to send, and this happens once a process, when an application is still setting its pipeline up.
    unsafe { std::env::set_var(TELEMETRY_VARIABLE, "1") };
}

/// Whether `maps`, the lines of `/proc/self/maps`, name a library of ONNX Runtime, or the Python module that has it
/// inside.
fn is_mapped(maps: &str) -> bool {
    let name = |line: &str| line.rsplit('/').next().map(str::to_owned);
    maps.lines().filter_map(name).any(|name| {
        ["libonnxruntime.so", "onnxruntime_pybind11_state"]
            .iter()
            .any(|ours| name.starts_with(ours))
    })
}

/// ONNX Runtime's log lines go where GStreamer's go.
pub(super) fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    let level = match level {
        LogLevel::Verbose => gst::DebugLevel::Trace,
        LogLevel::Info => gst::DebugLevel::Debug,
        LogLevel::Warning => gst::DebugLevel::Info,
        LogLevel::Error => gst::DebugLevel::Warning,
        LogLevel::Fatal => gst::DebugLevel::Error,
    };
    gst::log_with_level!(CAT, level, "{category} {location}: {message}");
}

/// Where the library may be.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Folder(PathBuf),
    /// Names for the system's loader, the likeliest first.
    System(Vec<String>),
}

impl Place {
    /// The libraries at this place, newest first. Wheels carry `libonnxruntime.so.1.22.1` without a plain name.
    fn libraries(&self) -> Vec<PathBuf> {
        match self {
            Self::File(path) => vec![path.clone()],
            Self::System(names) => names.iter().map(PathBuf::from).collect(),
            Self::Folder(folder) => {
                let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
                let named = |path: &PathBuf| {
                    let name = path
                        .file_name()
                        .map(|n| n.to_string_lossy().into_owned())
                        .unwrap_or_default();
                    name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
                };
                let mut libraries: Vec<PathBuf> = entries.map(|e| e.path()).filter(named).collect();
                libraries.sort_by_key(|path| std::cmp::Reverse(version(path)));
                libraries
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::File(path) => format!("{LIBRARY_VARIABLE} ({})", path.display()),
            Self::Folder(path) => format!("the folder {}", path.display()),
            Self::System(_) => "the system's libraries (libonnxruntime.so, libonnxruntime.so.1.N)".into(),
        }
    }
}

/// The numbers in a library's name, for sorting.
fn version(path: &Path) -> Vec<u64> {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    name.split('.').filter_map(|part| part.parse().ok()).collect()
}

fn places() -> Vec<Place> {
    let named = std::env::var_os(LIBRARY_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    if let Some(path) = named {
        // The user's word: nothing else is tried.
        return vec![if path.is_dir() {
            Place::Folder(path)
        } else {
            Place::File(path)
        }];
    }
    let plugin = gst::Registry::get().find_plugin(env!("CARGO_PKG_NAME").trim_start_matches("gst-plugin-"));
    let folder = plugin
        .and_then(|plugin| plugin.filename())
        .and_then(|file| Some(file.parent()?.to_path_buf()));
    let beside = folder.iter().flat_map(|folder| {
        let above = folder.parent().into_iter();
        // The last one is for a whole installation, as other programs may put theirs into the folder of libraries.
        let above = above.flat_map(|above| ["onnxruntime", "gst-vidtok/onnxruntime"].map(|name| above.join(name)));
        std::iter::once(folder.join("onnxruntime")).chain(above)
    });
    beside
        .map(Place::Folder)
        .chain([Place::System(system_names())])
        .collect()
}

/// What the library may be called where a package of the system has it: distributions put the minor version into its
/// name.
fn system_names() -> Vec<String> {
    let versions = (ort::MINOR_VERSION..=NEWEST_MINOR_VERSION).rev();
    let plain = ["libonnxruntime.so".to_string(), "libonnxruntime.so.1".to_string()];
    plain
        .into_iter()
        .chain(versions.map(|minor| format!("libonnxruntime.so.1.{minor}")))
        .collect()
}

/// The file that the loader opens, where it is told which: a name alone it looks for by itself.
fn named_file(library: &Path) -> Option<&Path> {
    (library.components().count() > 1).then_some(library)
}

fn reason(library: &Path, error: &ort::LoadDynamicError) -> String {
    match error {
        ort::LoadDynamicError::BadVersion { version_str, .. } => format!(
            "{} is ONNX Runtime {version_str}; version 1.{} or newer is needed",
            library.display(),
            ort::MINOR_VERSION
        ),
        ort::LoadDynamicError::MissingApi { .. } => format!("{} is not ONNX Runtime", library.display()),
        ort::LoadDynamicError::Dlopen { error, .. } => {
            let cause = std::error::Error::source(error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            format!("{} cannot be loaded{cause}", library.display())
        }
        ort::LoadDynamicError::InvalidVersionString => format!("{} has no readable version", library.display()),
    }
}

fn explain(places: &[Place], tried: &[String]) -> String {
    let looked = places.iter().map(Place::describe).collect::<Vec<_>>().join(", ");
    let tried = if tried.is_empty() {
        String::new()
    } else {
        format!(" {}.", tried.join("; "))
    };
    format!(
        "ONNX Runtime was not found. Looked at: {looked}.{tried} Install it (for example \"pip install onnxruntime\") and set \
         {LIBRARY_VARIABLE} to its library libonnxruntime.so… or to the folder that holds it (in the wheel: \
         onnxruntime/capi)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_newest_library_first() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.22.1",
            "libonnxruntime_providers_shared.so",
            "a.so",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = Place::Folder(folder.path().into()).libraries();
        let found: Vec<_> = found.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["libonnxruntime.so.1.22.1", "libonnxruntime.so.1.9.0"]);
    }

    #[test]
    fn a_distribution_s_library_is_looked_for_by_its_name_newest_first() {
        let names = system_names();
        let place = |name: &str| names.iter().position(|found| found == name);
        let [plain, newer, older] =
            ["libonnxruntime.so", "libonnxruntime.so.1.21", "libonnxruntime.so.1.20"].map(|name| place(name).unwrap());
        assert!(plain < newer && newer < older);
        assert_eq!(place("libonnxruntime.so.1.16"), None);
    }

    #[test]
    fn a_library_that_was_loaded_before_is_seen() {
        let other = "7f00-7f01 r--p 00000000 fe:00 12   /usr/lib/libonnx.so.1\n7f02-7f03 rw-p 00000000 00:00 0\n";
        assert!(!is_mapped(other));
        let loaded = format!("{other}7f04-7f05 r-xp 00000000 fe:00 13   /opt/a folder/libonnxruntime.so.1.32.0\n");
        assert!(is_mapped(&loaded));
        let python = format!(
            "{other}7f04-7f05 r-xp 00000000 fe:00 14   /opt/onnxruntime_pybind11_state.cpython-311-x86_64.so\n"
        );
        assert!(is_mapped(&python));
    }

    #[test]
    fn the_error_names_places_reasons_and_the_way_out() {
        let places = [
            Place::File("/nowhere/libonnxruntime.so".into()),
            Place::System(system_names()),
        ];
        let text = explain(
            &places,
            &["/nowhere/libonnxruntime.so cannot be loaded: no such file".into()],
        );
        for part in [
            "/nowhere/libonnxruntime.so",
            "no such file",
            "pip install onnxruntime",
            LIBRARY_VARIABLE,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
