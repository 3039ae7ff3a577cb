//! Finding and loading ONNX Runtime: once per process, when the first element needs it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::details::{Cause, Details};
use crate::runtime::error::RuntimeError;
use crate::system::file;
use crate::system::lock::lock;

/// Environment variable that names the library, or the folder that it is in.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// The highest minor version that is looked for by name; far above any that exists.
const NEWEST_MINOR_VERSION: u32 = 99;

/// Environment variable that keeps ONNX Runtime from sending telemetry. Its official Linux wheels send some from 1.29
/// on: when loaded they write a device id and a database of events, and then look up a host. The API can switch it off
/// only after an environment was made, which is too late.
const TELEMETRY_VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

pub static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("onnxruntime", gst::DebugColorFlags::empty(), Some("ONNX Runtime")));

/// The environment of this process. Locked while it is made, so that two elements that start together make only one.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Loads ONNX Runtime, unless it is loaded already.
///
/// # Errors
/// [`RuntimeError::Library`]: says where it was looked for, why each library found could not be loaded, and how to get
/// one. A later call tries again.
pub fn load() -> Result<Environment, RuntimeError> {
    let mut environment = lock(&ENVIRONMENT);
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    disable_telemetry();
    let locations = locations();
    let (mut tried, mut cause) = (Vec::new(), None::<Cause>);
    for library in locations.iter().flat_map(|location| location.libraries()) {
        // Opening a FIFO, the system's loader would wait for a writer.
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
                let made = builder.build().map_err(|error| {
                    RuntimeError::Library(Details::with_cause(format!("ONNX Runtime: {error}"), Arc::new(error)))
                })?;
                return Ok(environment.insert(made).clone());
            }
            Err(error) => {
                let reason = reason(&library, &error);
                // Most of the system's many names do not exist: only other reasons are worth telling.
                let name = library.to_string_lossy();
                if !not_found(&reason).is_some_and(|missing| name.ends_with(missing)) {
                    tried.push(reason);
                    cause = Some(Arc::new(error));
                }
            }
        }
    }
    let text = explain(&locations, &tried);
    Err(RuntimeError::Library(match cause {
        Some(cause) => Details::with_cause(text, cause),
        None => text.into(),
    }))
}

/// The library that the system's loader did not find, as its `message` says.
pub fn not_found(message: &str) -> Option<&str> {
    let (before, _) = message.split_once(": cannot open shared object file")?;
    before.split_whitespace().next_back()
}

/// Switches ONNX Runtime's telemetry off, unless the user has set the variable. Must be called before the library is
/// opened, with [`ENVIRONMENT`] locked.
fn disable_telemetry() {
    if std::env::var_os(TELEMETRY_VARIABLE).is_some() {
        return;
    }
    if std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| is_mapped(&maps)) {
        gst::warning!(
            CAT,
            "This process loaded ONNX Runtime before. If that sends telemetry, it is too late to switch it off: set \
             {TELEMETRY_VARIABLE}=1 in the environment of the process"
        );
    }
    // SAFETY: the caller's lock keeps this crate from a second call at the same time. C code in another thread that
    // reads the environment at this moment could see it half changed. The risk is taken because nothing else reaches
    // the library before it sends, and it is taken once per process, while an application sets up its first pipeline.
    unsafe { std::env::set_var(TELEMETRY_VARIABLE, "1") };
}

/// Whether `maps`, the lines of `/proc/self/maps`, name ONNX Runtime's library, or its Python module, which contains
/// it.
fn is_mapped(maps: &str) -> bool {
    let name = |line: &str| line.rsplit('/').next().map(str::to_owned);
    maps.lines().filter_map(name).any(|name| {
        ["libonnxruntime.so", "onnxruntime_pybind11_state"]
            .iter()
            .any(|ours| name.starts_with(ours))
    })
}

/// Passes ONNX Runtime's log lines on to GStreamer's log, in the category `onnxruntime`.
pub fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
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
enum Location {
    File(PathBuf),
    Folder(PathBuf),
    /// Names for the system's loader, the likeliest first.
    System(Vec<String>),
}

impl Location {
    /// The libraries at this location, newest first. Wheels have `libonnxruntime.so.1.22.1`, without a plain name
    /// beside it.
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

fn locations() -> Vec<Location> {
    let named = std::env::var_os(LIBRARY_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    if let Some(path) = named {
        // The user has decided: no other location is tried.
        return vec![if path.is_dir() {
            Location::Folder(path)
        } else {
            Location::File(path)
        }];
    }
    let plugin = gst::Registry::get().find_plugin(env!("CARGO_PKG_NAME").trim_start_matches("gst-plugin-"));
    let folder = plugin
        .and_then(|plugin| plugin.filename())
        .and_then(|file| Some(file.parent()?.to_path_buf()));
    let beside = folder.iter().flat_map(|folder| {
        let above = folder.parent().into_iter();
        // The last one is for a system-wide installation, where the folder `onnxruntime` may belong to another program.
        let above = above.flat_map(|above| ["onnxruntime", "gst-vidtok/onnxruntime"].map(|name| above.join(name)));
        std::iter::once(folder.join("onnxruntime")).chain(above)
    });
    beside
        .map(Location::Folder)
        .chain([Location::System(system_names())])
        .collect()
}

/// The names that the library may have as a package of the system: distributions put the minor version into the name.
fn system_names() -> Vec<String> {
    let versions = (ort::MINOR_VERSION..=NEWEST_MINOR_VERSION).rev();
    let plain = ["libonnxruntime.so".to_string(), "libonnxruntime.so.1".to_string()];
    plain
        .into_iter()
        .chain(versions.map(|minor| format!("libonnxruntime.so.1.{minor}")))
        .collect()
}

/// The file that the loader opens, if `library` is a path. A name alone is looked for in the loader's folders.
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

fn explain(locations: &[Location], tried: &[String]) -> String {
    let looked = locations.iter().map(Location::describe).collect::<Vec<_>>().join(", ");
    let tried = if tried.is_empty() {
        String::new()
    } else {
        format!(" {}.", tried.join("; "))
    };
    // Without the variable, the system's libraries are always among the locations.
    let is_set = !locations.iter().any(|location| matches!(location, Location::System(_)));
    let or_unset = if is_set {
        ", or unset it: the plugin then looks in folders beside it and among the system's libraries"
    } else {
        ""
    };
    format!(
        "ONNX Runtime was not found. Looked at: {looked}.{tried} Install it (for example \"pip install onnxruntime\") and set \
         {LIBRARY_VARIABLE} to its library libonnxruntime.so… or to the folder that holds it (in the wheel: \
         onnxruntime/capi){or_unset}"
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
        let found = Location::Folder(folder.path().into()).libraries();
        let found: Vec<_> = found.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["libonnxruntime.so.1.22.1", "libonnxruntime.so.1.9.0"]);
    }

    #[test]
    fn a_distribution_s_library_is_looked_for_by_its_name_newest_first() {
        let names = system_names();
        let position = |name: &str| names.iter().position(|found| found == name);
        let [plain, newer, older] = ["libonnxruntime.so", "libonnxruntime.so.1.21", "libonnxruntime.so.1.20"]
            .map(|name| position(name).unwrap());
        assert!(plain < newer && newer < older);
        assert_eq!(position("libonnxruntime.so.1.16"), None);
    }

    #[test]
    fn a_library_that_was_loaded_before_is_noticed() {
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
    fn a_library_that_the_loader_did_not_find_is_named() {
        let said = "libonnxruntime.so.1.99: cannot open shared object file: No such file or directory";
        assert_eq!(not_found(said), Some("libonnxruntime.so.1.99"));
        // The library exists, and needs another one.
        let said =
            "/opt/libonnxruntime.so cannot be loaded: libstdc++.so.6: cannot open shared object file: No such file";
        assert_eq!(not_found(said), Some("libstdc++.so.6"));
        assert_eq!(not_found("/opt/libonnxruntime.so: invalid ELF header"), None);
    }

    #[test]
    fn the_error_names_locations_reasons_and_the_way_out() {
        let locations = [
            Location::File("/nowhere/libonnxruntime.so".into()),
            Location::System(system_names()),
        ];
        let text = explain(
            &locations,
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
        assert!(!text.contains("unset it"), "{text}");
        // The variable alone decides where it is set: a good library may be elsewhere.
        let text = explain(&locations[..1], &[]);
        assert!(text.contains("unset it"), "{text}");
    }
}
