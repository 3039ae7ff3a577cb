//! Finding or building the engines of a session.
//!
//! `engine.txt` is written last. Without it the folder is cleared and the engines are built again, which takes minutes
//! and is announced. TensorRT checks engines itself, too: engines that it cannot read are removed and built again, and
//! a warning tells of engines that it did not accept and has built again.

use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

use gst::glib;

use super::cache::{Cache, Engines, Subject};
use super::engine_settings;
use super::machine::Machine;
use crate::runtime::error::{ProviderFault, RuntimeError};
use crate::runtime::library::CAT;
use crate::runtime::provider::Setup;
use crate::runtime::report::{Progress, Report};
use crate::tokenizer::{Graph, Identity, Source};

/// Makes a session of `graph` with `make`, which is told where its engines are kept (`None`: they are not). Makes it
/// again where TensorRT cannot read the engines that were kept.
pub fn with_engines<T>(
    graph: &Graph,
    setup: &Setup,
    (members, width, height): (usize, u32, u32),
    report: &dyn Report,
    make: impl Fn(Option<&Engines>) -> Result<T, RuntimeError>,
) -> Result<T, RuntimeError> {
    let subject = Subject {
        name: graph.description.name.clone(),
        role: graph.role,
        graph: graph_hash(&graph.source),
        precision: graph.precision.as_str(),
        settings: engine_settings(setup),
        members,
        width,
        height,
    };
    let mut build = EngineBuild::begin(&subject, setup.device, report);
    let mut made = make(build.engines());
    if let Err(error) = &made
        && build.discard(error)
    {
        made = make(build.engines());
    }
    build.end(made.is_ok());
    made
}

/// The engines of a session that is being made.
struct EngineBuild<'a> {
    report: &'a dyn Report,
    /// The graph, in words.
    what: String,
    /// `None`: engines are not kept.
    cache: Option<Cache>,
    /// The user was told that it takes minutes.
    announced: bool,
    /// The engines that were there before the session was made.
    before: Vec<(PathBuf, Option<SystemTime>)>,
    /// Held until the session is made.
    lock: Option<File>,
}

impl<'a> EngineBuild<'a> {
    /// Looks for the engines and, where there are none, announces that they are built.
    fn begin(subject: &Subject, device: i32, report: &'a dyn Report) -> Self {
        let what = format!("{} of \"{}\"", subject.role.as_str(), subject.name);
        let root = glib::user_cache_dir().join("gst-vidtok").join("tensorrt");
        match Cache::open(&root, &Machine::find(device), subject) {
            Ok(cache) => Self::with(cache, what, report),
            Err(error) => {
                report.warning(&format!(
                    "TensorRT engines cannot be kept in {}, and are built at every start: {error}. Make that folder \
                     writable, or set XDG_CACHE_HOME",
                    root.display()
                ));
                let mut build = Self::without(what, report);
                build.announce("at every start");
                build
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
        let mut build = Self::without(what, report);
        if !cache.is_complete() {
            build.start_over(&cache);
        }
        build.before = cache.files();
        build.cache = Some(cache);
        build
    }

    /// Clears the folder and announces a build, unless another process completes one meanwhile.
    fn start_over(&mut self, cache: &Cache) {
        let mut waited = false;
        // A lock of this process would be waited for, too.
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
        self.announce(&format!("once; kept in {}", cache.folder.display()));
    }

    fn announce(&mut self, how_often: &str) {
        let text = format!(
            "building the TensorRT engine for the {} ({how_often}); this can take minutes",
            self.what
        );
        gst::info!(CAT, "{text}");
        self.report.progress(Progress::Start, &text);
        self.announced = true;
    }

    fn engines(&self) -> Option<&Engines> {
        self.cache.as_ref().map(|cache| &cache.engines)
    }

    /// Removes the engines where `error` says that TensorRT cannot read them. True: the session can be made again.
    fn discard(&mut self, error: &RuntimeError) -> bool {
        let unreadable = matches!(error, RuntimeError::Provider(ProviderFault::EngineUnreadable, _));
        let had_engines = !self.before.is_empty();
        let Some(cache) = self.cache.take_if(|_| had_engines && unreadable) else {
            return false;
        };
        self.report.warning(&format!(
            "TensorRT cannot read the engine for the {} in {}, and builds it anew",
            self.what,
            cache.folder.display()
        ));
        self.start_over(&cache);
        self.before = cache.files();
        self.cache = Some(cache);
        true
    }

    /// Reports the end, and marks the engines as complete where the session was made.
    fn end(self, succeeded: bool) {
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
                "TensorRT did not accept the engine for the {} in {} and built it anew",
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::runtime::provider::fault;
    use crate::runtime::provider::tensorrt::cache::tests::open;

    /// A provider's error for what ONNX Runtime says.
    fn error(said: &str) -> RuntimeError {
        RuntimeError::Provider(fault::read(said), said.into())
    }

    #[derive(Default)]
    struct Messages {
        progress: RefCell<Vec<Progress>>,
        texts: RefCell<Vec<String>>,
    }

    impl Report for Messages {
        fn progress(&self, progress: Progress, text: &str) {
            self.progress.borrow_mut().push(progress);
            self.texts.borrow_mut().push(text.into());
        }

        fn warning(&self, text: &str) {
            self.texts.borrow_mut().push(format!("warning: {text}"));
        }
    }

    /// A session in which TensorRT writes `engine`, if that is not there yet.
    fn session(root: &Path, messages: &Messages, engine: &str, succeeds: bool) {
        let build = EngineBuild::with(open(root), "encoder of \"toy\"".into(), messages);
        let path = Path::new(&build.engines().unwrap().folder).join(engine);
        if succeeds && !path.exists() {
            fs::write(path, "engine").unwrap();
        }
        build.end(succeeds);
    }

    #[test]
    fn an_engine_is_announced_when_it_is_built_and_not_when_it_exists() {
        let (root, messages) = (tempfile::tempdir().unwrap(), Messages::default());
        session(root.path(), &messages, "encoder_1.engine", true);
        assert_eq!(messages.progress.take(), [Progress::Start, Progress::Complete]);
        let texts = messages.texts.take();
        let folder = open(root.path()).folder;
        for part in ["building the TensorRT engine", "once", folder.to_str().unwrap()] {
            assert!(texts[0].contains(part), "{part} in {texts:?}");
        }
        session(root.path(), &messages, "encoder_1.engine", true);
        assert_eq!(messages.progress.take(), []);
        assert_eq!(messages.texts.take(), [""; 0]);
    }

    #[test]
    fn a_build_that_tensorrt_decides_on_itself_is_warned_of() {
        let (root, messages) = (tempfile::tempdir().unwrap(), Messages::default());
        session(root.path(), &messages, "encoder_1.engine", true);
        messages.texts.take();
        session(root.path(), &messages, "encoder_2.engine", true);
        let texts = messages.texts.take();
        assert!(
            texts.len() == 1 && texts[0].starts_with("warning:") && texts[0].contains("built it anew"),
            "{texts:?}"
        );
    }

    #[test]
    fn an_unfinished_build_is_removed_and_started_again() {
        let (root, messages) = (tempfile::tempdir().unwrap(), Messages::default());
        session(root.path(), &messages, "encoder_1.engine", false);
        assert_eq!(messages.progress.take(), [Progress::Start, Progress::Failed]);
        // Part of an engine, as after a power failure.
        let half = open(root.path()).folder.join("encoder_1.engine");
        fs::write(&half, "eng").unwrap();
        session(root.path(), &messages, "encoder_1.engine", true);
        assert_eq!(messages.progress.take(), [Progress::Start, Progress::Complete]);
        assert_eq!(fs::read(&half).unwrap(), b"engine");
        // The engine was removed, and the text left.
        fs::remove_file(half).unwrap();
        assert!(!open(root.path()).is_complete());
    }

    #[test]
    fn an_engine_is_removed_where_tensorrt_cannot_read_it_and_for_no_other_fault() {
        let (root, messages) = (tempfile::tempdir().unwrap(), Messages::default());
        session(root.path(), &messages, "encoder_1.engine", true);
        messages.texts.take();
        messages.progress.take();
        let mut build = EngineBuild::with(open(root.path()), "encoder of \"toy\"".into(), &messages);
        let full = error("CUDA failure 2: out of memory");
        assert!(!build.discard(&full));
        let damaged = error("TensorRT EP could not deserialize engine from cache: encoder_1.engine");
        assert!(build.discard(&damaged));
        assert!(build.engines().is_some());
        assert_eq!(messages.progress.take(), [Progress::Start]);
        let texts = messages.texts.take();
        assert!(
            texts[0].starts_with("warning:") && texts[0].contains("cannot read"),
            "{texts:?}"
        );
        let engine = open(root.path()).folder.join("encoder_1.engine");
        assert!(!engine.exists() && !open(root.path()).is_complete());
        // No engine is left to remove.
        assert!(!build.discard(&damaged));
        fs::write(engine, "engine").unwrap();
        build.end(true);
        assert_eq!(messages.progress.take(), [Progress::Complete]);
        assert!(open(root.path()).is_complete());
    }

    #[test]
    fn a_second_process_waits_for_the_first_and_does_not_build_again() {
        for succeeds in [true, false] {
            let root = tempfile::tempdir().unwrap();
            let messages = Messages::default();
            let first = EngineBuild::with(open(root.path()), "first".into(), &messages);
            let engine = open(root.path()).folder.join("encoder_1.engine");
            let (root, file) = (root.path(), engine.clone());
            std::thread::scope(|scope| {
                let second = scope.spawn(move || {
                    let messages = Messages::default();
                    let mut build = EngineBuild::with(open(root), "second".into(), &messages);
                    let there = file.exists();
                    // The process that waited cannot read the engine, and builds it.
                    let damaged = error("TensorRT EP could not deserialize engine from cache: encoder_1.engine");
                    assert_eq!(build.discard(&damaged), there);
                    build.end(true);
                    (messages.texts.take(), there)
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
                // Then that it builds the engine, or that it cannot read the one that the other process has built.
                assert_eq!(texts[1].starts_with("building"), !succeeds, "{texts:?}");
            });
        }
    }
}
