//! The folder that keeps the engines that TensorRT has built, below the user's cache folder.
//!
//! An engine fits one graph at one size, on one kind of GPU, with the versions that built it. A hash of all of that is
//! the name of its folder, and a file in it says the same in words.
//!
//! ```text
//! gst-vidtok/tensorrt/MACHINE/              timings of kernels (*.timing)
//! gst-vidtok/tensorrt/MACHINE/ENGINE/       engines (*.engine), engine.txt, lock
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::machine::Machine;
use crate::system::file;
use crate::tokenizer::{Identity, Role};

/// Written last, when everything is built; says what the engines are for.
pub const COMPLETE: &str = "engine.txt";
pub const LOCK: &str = "lock";
/// Extensions of the files that TensorRT writes to a folder of engines.
const BUILT: [&str; 2] = ["engine", "profile"];
/// Limit of `engine.txt`, in bytes.
const MAX_TEXT_BYTES: u64 = 1 << 16;
/// Hexadecimal digits of a hash in a folder's name: 64 bits.
const HASH_DIGITS: usize = 16;

/// The folders of one graph's engines, as ONNX Runtime's options name them.
#[derive(Debug, PartialEq, Eq)]
pub struct Engines {
    /// The folder of these engines.
    pub folder: String,
    /// The folder of timings, which all engines of a machine share.
    pub timings: String,
    /// What the names of engine files begin with.
    pub prefix: &'static str,
}

/// What an engine depends on besides the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    pub role: Role,
    /// SHA-256 of the graph's file and of weights in other files.
    pub graph: String,
    pub precision: &'static str,
    /// TensorRT's options.
    pub settings: String,
    pub members: usize,
    pub width: u32,
    pub height: u32,
}

impl Subject {
    fn text(&self) -> String {
        format!(
            "tokenizer: {}\nrole: {}\ngraph (SHA-256): {}\nprecision: {}\nsettings: {}\nstreams: {}\npicture: {}×{}\n",
            self.name,
            self.role.as_str(),
            self.graph,
            self.precision,
            self.settings,
            self.members,
            self.width,
            self.height
        )
    }
}

/// The folder of one graph's engines.
pub struct Cache {
    pub folder: PathBuf,
    pub engines: Engines,
    text: String,
}

impl Cache {
    /// Makes the folders.
    ///
    /// # Errors
    /// They cannot be made or written to.
    pub fn open(root: &Path, machine: &Machine, subject: &Subject) -> io::Result<Self> {
        let (machine, subject_text) = (machine.text(), subject.text());
        let timings = root.join(hash(&machine));
        let folder = timings.join(hash(&subject_text));
        fs::create_dir_all(&folder)?;
        for folder in [&timings, &folder] {
            let probe = folder.join(format!("probe-{}", std::process::id()));
            file::create(&probe)?;
            match fs::remove_file(&probe) {
                // Another element of this process has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                removed => removed?,
            }
        }
        // ONNX Runtime takes paths as UTF-8.
        let text = |folder: &Path| {
            let text = folder.to_str().map(String::from);
            text.ok_or_else(|| io::Error::other("its path is not UTF-8"))
        };
        Ok(Self {
            engines: Engines {
                folder: text(&folder)?,
                timings: text(&timings)?,
                prefix: subject.role.as_str(),
            },
            folder,
            text: format!("{machine}{subject_text}"),
        })
    }

    /// Whether everything is built, for exactly this machine and graph.
    pub fn is_complete(&self) -> bool {
        let said = file::read_text(&self.folder.join(COMPLETE), MAX_TEXT_BYTES);
        said.is_ok_and(|text| text == self.text) && !self.files().is_empty()
    }

    pub fn set_complete(&self) -> io::Result<()> {
        file::create(&self.folder.join(COMPLETE))?.write_all(self.text.as_bytes())
    }

    /// The engine files in the folder, and when they were written.
    pub fn files(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let built = |entry: &fs::DirEntry| {
            entry
                .path()
                .extension()
                .is_some_and(|e| BUILT.iter().any(|built| e == *built))
        };
        let mut files: Vec<_> = entries
            .filter(built)
            .map(|entry| (entry.path(), entry.metadata().and_then(|m| m.modified()).ok()))
            .collect();
        files.sort();
        files
    }

    /// Removes the engines.
    pub fn clear(&self) {
        let files = self.files().into_iter().map(|(path, _)| path);
        for file in files.chain([self.folder.join(COMPLETE)]) {
            // TensorRT reports a file that stays and cannot be read.
            let _ = fs::remove_file(file);
        }
    }

    /// Locks the folder for one process that builds. `on_wait` is called before waiting for another process. `None`:
    /// the file system has no locks.
    pub fn lock(&self, on_wait: impl FnOnce()) -> Option<File> {
        let file = file::create(&self.folder.join(LOCK)).ok()?;
        match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => {
                on_wait();
                file.lock().ok().map(|()| file)
            }
            Err(TryLockError::Error(_)) => None,
        }
    }
}

/// A folder's name for a text.
fn hash(text: &str) -> String {
    let mut digits = Identity::of(text.as_bytes()).to_string();
    digits.truncate(HASH_DIGITS);
    digits
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn machine() -> Machine {
        Machine {
            device: 0,
            gpus: vec!["NVIDIA Toy 9000".into()],
            selection: String::new(),
            driver: "555.1".into(),
            tensorrt: "10.3.0".into(),
            runtime: "1.31.1".into(),
            tf32: String::new(),
        }
    }

    pub fn subject() -> Subject {
        Subject {
            name: "toy".into(),
            role: Role::Encoder,
            graph: "ab".repeat(32),
            precision: "fp32",
            settings: "trt_fp16_enable=0".into(),
            members: 1,
            width: 256,
            height: 128,
        }
    }

    pub fn open(root: &Path) -> Cache {
        Cache::open(root, &machine(), &subject()).unwrap()
    }

    #[test]
    fn whatever_an_engine_depends_on_gives_it_a_folder_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path()).folder;
        let subjects = [
            Subject {
                role: Role::Decoder,
                ..subject()
            },
            Subject {
                graph: "cd".repeat(32),
                ..subject()
            },
            Subject {
                precision: "fp16",
                ..subject()
            },
            Subject {
                settings: "trt_fp16_enable=1".into(),
                ..subject()
            },
            Subject {
                members: 4,
                ..subject()
            },
            Subject {
                width: 128,
                height: 256,
                ..subject()
            },
        ];
        let machines = [
            Machine { device: 1, ..machine() },
            Machine {
                gpus: vec!["Another".into()],
                ..machine()
            },
            Machine {
                selection: "CUDA_VISIBLE_DEVICES=1".into(),
                ..machine()
            },
            Machine {
                driver: "600.0".into(),
                ..machine()
            },
            Machine {
                tensorrt: "10.4.0".into(),
                ..machine()
            },
            Machine {
                runtime: "1.32.0".into(),
                ..machine()
            },
            Machine {
                tf32: "0".into(),
                ..machine()
            },
        ];
        let of_subjects = subjects
            .iter()
            .map(|subject| Cache::open(root.path(), &machine(), subject));
        let of_machines = machines
            .iter()
            .map(|machine| Cache::open(root.path(), machine, &subject()));
        let mut folders: Vec<_> = of_subjects
            .chain(of_machines)
            .map(|cache| cache.unwrap().folder)
            .collect();
        folders.push(first.clone());
        let count = folders.len();
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), count);
        // The same subject on the same machine has the same folder.
        assert_eq!(open(root.path()).folder, first);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        // A file where the folder belongs: not even root can write into it.
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Cache::open(&file, &machine(), &subject()).is_err());
    }

    #[test]
    fn special_files_in_the_folder_are_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let cache = open(root.path());
        for name in [COMPLETE, LOCK] {
            crate::system::file::tests::make_fifo(&cache.folder.join(name));
        }
        assert!(!cache.is_complete());
        assert!(cache.lock(|| panic!("there is nothing to wait for")).is_none());
        assert!(cache.set_complete().is_err());
    }
}
