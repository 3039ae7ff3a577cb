//! Engines that TensorRT has built, kept in the user's cache folder.
//!
//! An engine fits one graph at one size on one kind of GPU and under the versions that built it; all of that is in
//! the name of its folder, as a hash, and in words in a file in it. That file is written when everything is built:
//! where it is missing, what is there is thrown away, building takes minutes, and is announced. TensorRT looks at an
//! engine itself, too: one that it cannot read is thrown away, and one that it builds anew is noticed afterwards.
//!
//! ```text
//! gst-vidtok/tensorrt/MACHINE/              what was measured of kernels (*.timing)
//! gst-vidtok/tensorrt/MACHINE/ENGINE/       engines (*.engine), engine.txt, lock
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gst::glib;

use super::machine::Machine;

use super::super::super::library::CAT;
use super::super::super::report::{Progress, Report};
use super::super::super::{ExecutionProvider, RuntimeError};
use super::super::{Engines, Setup};
use super::engine_settings;
use crate::system::file;
use crate::tokenizer::{Graph, Identity, Role, Source};

/// Written when everything is built; says what the engines are of.
const COMPLETE: &str = "engine.txt";
const LOCK: &str = "lock";
/// What TensorRT leaves in a folder of engines.
const BUILT: [&str; 2] = ["engine", "profile"];
/// In what ONNX Runtime says of an engine that TensorRT cannot read.
const UNREADABLE: &str = "deserialize engine";
/// Most bytes of the file that says what engines are of.
const MAX_TEXT: u64 = 1 << 16;
/// Of a hash, in a folder's name: 64 bits.
const HASH_DIGITS: usize = 16;

/// What an engine is of, apart from the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    pub role: Role,
    /// SHA-256 of the graph's file, weights in other files included.
    pub graph: String,
    pub precision: &'static str,
    /// TensorRT's options.
    pub settings: String,
    pub streams: usize,
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
            self.streams,
            self.width,
            self.height
        )
    }
}

/// The place of one graph's engines.
struct Cache {
    folder: PathBuf,
    engines: Engines,
    text: String,
}

impl Cache {
    /// Makes the folders and looks whether they can be written to.
    fn open(root: &Path, machine: &Machine, subject: &Subject) -> io::Result<Self> {
        let (machine, subject_text) = (machine.text(), subject.text());
        let timings = root.join(hash(&machine));
        let folder = timings.join(hash(&subject_text));
        fs::create_dir_all(&folder)?;
        for folder in [&timings, &folder] {
            let probe = folder.join(format!("probe-{}", std::process::id()));
            file::create(&probe)?;
            match fs::remove_file(&probe) {
                // Another element's was the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                removed => removed?,
            }
        }
        // As ONNX Runtime takes them.
        let text = |folder: &Path| {
            let text = folder.to_str().map(String::from);
            text.ok_or_else(|| io::Error::other("its path is no UTF-8"))
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

    /// Whether everything is built, for exactly this.
    fn is_complete(&self) -> bool {
        let said = file::read_text(&self.folder.join(COMPLETE), MAX_TEXT);
        said.is_ok_and(|text| text == self.text) && !self.files().is_empty()
    }

    fn set_complete(&self) -> io::Result<()> {
        file::create(&self.folder.join(COMPLETE))?.write_all(self.text.as_bytes())
    }

    /// The engines that are there, and when they were written.
    fn files(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
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

    /// Throws the engines away.
    fn clear(&self) {
        let files = self.files().into_iter().map(|(path, _)| path);
        for file in files.chain([self.folder.join(COMPLETE)]) {
            // One that stays is noticed when it is read.
            let _ = fs::remove_file(file);
        }
    }

    /// Takes the lock that says who builds here. `wait` is called before waiting for another process. `None`: the file
    /// system knows no locks.
    fn lock(&self, wait: impl FnOnce()) -> Option<File> {
        let file = file::create(&self.folder.join(LOCK)).ok()?;
        match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => {
                wait();
                file.lock().ok().map(|()| file)
            }
            Err(TryLockError::Error(_)) => None,
        }
    }
}

/// A session under way, whose engines are found or built meanwhile.
pub struct Building<'a> {
    report: &'a dyn Report,
    what: String,
    /// `None`: engines are not kept, or the provider has none.
    cache: Option<Cache>,
    /// Somebody was told that it takes time.
    announced: bool,
    before: Vec<(PathBuf, Option<SystemTime>)>,
    /// Held until the session is made.
    lock: Option<File>,
}

impl<'a> Building<'a> {
    /// Looks for the engines of `graph` and, where there are none, says that building them takes time. With another
    /// provider than TensorRT this does nothing.
    pub fn begin(
        provider: ExecutionProvider,
        graph: &Graph,
        setup: &Setup,
        (streams, width, height): (usize, u32, u32),
        report: &'a dyn Report,
    ) -> Self {
        let what = format!("{} of \"{}\"", graph.role.as_str(), graph.description.name);
        if provider != ExecutionProvider::TensorRt {
            return Self::without(what, report);
        }
        let subject = |graph_hash| Subject {
            name: graph.description.name.clone(),
            role: graph.role,
            graph: graph_hash,
            precision: graph.precision.as_str(),
            settings: engine_settings(setup),
            streams,
            width,
            height,
        };
        let root = glib::user_cache_dir().join("gst-vidtok").join("tensorrt");
        let subject = subject(graph_hash(&graph.source));
        let opened = Cache::open(&root, &Machine::find(setup.device), &subject);
        match opened {
            Ok(cache) => Self::with(cache, what, report),
            Err(error) => {
                report.warning(&format!(
                    "TensorRT engines cannot be kept in {}, and are built at every start: {error}. Make that folder \
                     writable, or set XDG_CACHE_HOME",
                    root.display()
                ));
                let mut building = Self::without(what, report);
                building.announce_building("at every start");
                building
            }
        }
    }

    fn without(what: String, report: &'a dyn Report) -> Self {
        Self {
            report,
            what,
            cache: None,
            announced: false,
            before: Vec::new(),
            lock: None,
        }
    }

    fn with(cache: Cache, what: String, report: &'a dyn Report) -> Self {
        let mut building = Self::without(what, report);
        if !cache.is_complete() {
            building.begin_anew(&cache);
        }
        building.before = cache.files();
        building.cache = Some(cache);
        building
    }

    /// Has everything built, unless another process has done so meanwhile.
    fn begin_anew(&mut self, cache: &Cache) {
        let mut waited = false;
        // One's own would be waited for, too.
        self.lock = None;
        self.lock = cache.lock(|| {
            waited = true;
            self.report.progress(
                Progress::Start,
                &format!(
                    "waiting for another process that builds the TensorRT engine for the {}; this can take minutes",
                    self.what
                ),
            );
        });
        self.announced |= waited;
        if waited && cache.is_complete() {
            return;
        }
        cache.clear();
        self.announce_building(&format!("once; kept in {}", cache.folder.display()));
    }

    fn announce_building(&mut self, how_often: &str) {
        let text = format!(
            "building the TensorRT engine for the {} ({how_often}); this can take minutes",
            self.what
        );
        gst::info!(CAT, "{text}");
        self.report.progress(Progress::Start, &text);
        self.announced = true;
    }

    /// Where the session's engines are kept.
    pub fn engines(&self) -> Option<&Engines> {
        self.cache.as_ref().map(|cache| &cache.engines)
    }

    /// Throws away engines that TensorRT cannot read, as `error` says. True: try again.
    pub fn discard(&mut self, error: &RuntimeError) -> bool {
        let unreadable = !self.before.is_empty() && error.to_string().contains(UNREADABLE);
        let Some(cache) = self.cache.take_if(|_| unreadable) else {
            return false;
        };
        self.report.warning(&format!(
            "TensorRT cannot read the engine for the {} in {}, and builds it anew",
            self.what,
            cache.folder.display()
        ));
        self.begin_anew(&cache);
        self.before = cache.files();
        self.cache = Some(cache);
        true
    }

    /// The session is made, or is not.
    pub fn end(self, succeeded: bool) {
        if self.announced {
            let (progress, text) = match succeeded {
                true => (Progress::Complete, "is ready"),
                false => (Progress::Failed, "was not built"),
            };
            let text = format!("the TensorRT engine for the {} {text}", self.what);
            self.report.progress(progress, &text);
        }
        let Some(cache) = self.cache.filter(|_| succeeded) else {
            return;
        };
        if !self.announced && cache.files() != self.before {
            self.report.warning(&format!(
                "TensorRT did not take the engine for the {} in {} and built it anew",
                self.what,
                cache.folder.display()
            ));
        }
        if let Err(error) = cache.set_complete() {
            let text = format!("{} cannot be written: {error}", cache.folder.display());
            self.report.warning(&text);
        }
    }
}

/// SHA-256 of a graph's bytes and weights.
fn graph_hash(source: &Source) -> String {
    match source {
        Source::Embedded(bytes) => Identity::of(bytes),
        Source::File(_, identity) => *identity,
    }
    .to_string()
}

/// A folder's name for a text.
fn hash(text: &str) -> String {
    let mut digits = Identity::of(text.as_bytes()).to_string();
    digits.truncate(HASH_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Default)]
    struct Told {
        progress: RefCell<Vec<Progress>>,
        texts: RefCell<Vec<String>>,
    }

    impl Report for Told {
        fn progress(&self, progress: Progress, text: &str) {
            self.progress.borrow_mut().push(progress);
            self.texts.borrow_mut().push(text.into());
        }

        fn warning(&self, text: &str) {
            self.texts.borrow_mut().push(format!("warning: {text}"));
        }
    }

    fn machine() -> Machine {
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

    fn subject() -> Subject {
        Subject {
            name: "toy".into(),
            role: Role::Encoder,
            graph: "ab".repeat(32),
            precision: "fp32",
            settings: "trt_fp16_enable=0".into(),
            streams: 1,
            width: 256,
            height: 128,
        }
    }

    fn open(root: &Path) -> Cache {
        Cache::open(root, &machine(), &subject()).unwrap()
    }

    /// A session in which TensorRT writes `engine`, if that is not there yet.
    fn session(root: &Path, told: &Told, engine: &str, succeeds: bool) {
        let building = Building::with(open(root), "encoder of \"toy\"".into(), told);
        let path = Path::new(&building.engines().unwrap().folder).join(engine);
        if succeeds && !path.exists() {
            fs::write(path, "engine").unwrap();
        }
        building.end(succeeds);
    }

    #[test]
    fn an_engine_is_announced_when_it_is_built_and_not_when_it_is_there() {
        let (root, told) = (tempfile::tempdir().unwrap(), Told::default());
        session(root.path(), &told, "encoder_1.engine", true);
        assert_eq!(told.progress.take(), [Progress::Start, Progress::Complete]);
        let texts = told.texts.take();
        let folder = open(root.path()).folder;
        for part in ["building the TensorRT engine", "once", folder.to_str().unwrap()] {
            assert!(texts[0].contains(part), "{part} in {texts:?}");
        }
        session(root.path(), &told, "encoder_1.engine", true);
        assert_eq!(told.progress.take(), []);
        assert_eq!(told.texts.take(), [""; 0]);
    }

    #[test]
    fn an_engine_that_tensorrt_does_not_like_is_not_built_anew_in_silence() {
        let (root, told) = (tempfile::tempdir().unwrap(), Told::default());
        session(root.path(), &told, "encoder_1.engine", true);
        told.texts.take();
        session(root.path(), &told, "encoder_2.engine", true);
        let texts = told.texts.take();
        assert!(
            texts.len() == 1 && texts[0].starts_with("warning:") && texts[0].contains("built it anew"),
            "{texts:?}"
        );
    }

    #[test]
    fn what_was_not_finished_is_thrown_away_and_built_again() {
        let (root, told) = (tempfile::tempdir().unwrap(), Told::default());
        session(root.path(), &told, "encoder_1.engine", false);
        assert_eq!(told.progress.take(), [Progress::Start, Progress::Failed]);
        // Part of an engine, and then the power went.
        let half = open(root.path()).folder.join("encoder_1.engine");
        fs::write(&half, "eng").unwrap();
        session(root.path(), &told, "encoder_1.engine", true);
        assert_eq!(told.progress.take(), [Progress::Start, Progress::Complete]);
        assert_eq!(fs::read(&half).unwrap(), b"engine");
        // Somebody has emptied the folder, and left the text.
        fs::remove_file(half).unwrap();
        assert!(!open(root.path()).is_complete());
    }

    #[test]
    fn an_engine_that_tensorrt_cannot_read_is_built_anew_and_other_faults_are_not_its_own() {
        let (root, told) = (tempfile::tempdir().unwrap(), Told::default());
        session(root.path(), &told, "encoder_1.engine", true);
        told.texts.take();
        told.progress.take();
        let mut building = Building::with(open(root.path()), "encoder of \"toy\"".into(), &told);
        let full = RuntimeError::Provider("CUDA failure 2: out of memory".into());
        assert!(!building.discard(&full));
        let damaged = "TensorRT EP could not deserialize engine from cache: encoder_1.engine";
        let damaged = RuntimeError::Provider(damaged.into());
        assert!(building.discard(&damaged));
        assert!(building.engines().is_some());
        assert_eq!(told.progress.take(), [Progress::Start]);
        let texts = told.texts.take();
        assert!(
            texts[0].starts_with("warning:") && texts[0].contains("cannot read"),
            "{texts:?}"
        );
        let engine = open(root.path()).folder.join("encoder_1.engine");
        assert!(!engine.exists() && !open(root.path()).is_complete());
        // Nothing is left to throw away.
        assert!(!building.discard(&damaged));
        fs::write(engine, "engine").unwrap();
        building.end(true);
        assert_eq!(told.progress.take(), [Progress::Complete]);
        assert!(open(root.path()).is_complete());
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
                streams: 4,
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
        // And the same again has the same.
        assert_eq!(open(root.path()).folder, first);
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        // A file where the folder belongs: not even root can write into it.
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Cache::open(&file, &machine(), &subject()).is_err());
    }

    #[test]
    fn who_comes_second_waits_for_who_builds_and_does_not_build_again() {
        for succeeds in [true, false] {
            let root = tempfile::tempdir().unwrap();
            let told = Told::default();
            let first = Building::with(open(root.path()), "first".into(), &told);
            let engine = open(root.path()).folder.join("encoder_1.engine");
            let (root, file) = (root.path(), engine.clone());
            std::thread::scope(|scope| {
                let second = scope.spawn(move || {
                    let told = Told::default();
                    let mut building = Building::with(open(root), "second".into(), &told);
                    let there = file.exists();
                    // It cannot be read, and is built by who waited.
                    let damaged = RuntimeError::Provider(format!("could not {UNREADABLE}"));
                    assert_eq!(building.discard(&damaged), there);
                    building.end(true);
                    (told.texts.take(), there)
                });
                std::thread::sleep(std::time::Duration::from_millis(50));
                assert!(!second.is_finished());
                if succeeds {
                    fs::write(&engine, "engine").unwrap();
                }
                first.end(succeeds);
                let (texts, there) = second.join().unwrap();
                assert_eq!(there, succeeds);
                assert!(texts[0].starts_with("waiting for another process"), "{texts:?}");
                // First of all that it builds, or that it cannot read what the other one has built.
                assert_eq!(texts[1].starts_with("building"), !succeeds, "{texts:?}");
            });
        }
    }

    #[test]
    fn a_place_with_something_special_in_it_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let cache = open(root.path());
        for name in [COMPLETE, LOCK] {
            crate::system::file::tests::make_fifo(&cache.folder.join(name));
        }
        assert!(!cache.is_complete());
        assert!(cache.lock(|| panic!("nobody is waited for")).is_none());
        assert!(cache.set_complete().is_err());
    }
}
