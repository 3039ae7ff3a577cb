//! The files of results, which appear together once all are complete.

use std::path::{Path, PathBuf};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Result;

/// A folder for unfinished results, inside the output folder. It is removed on drop, with everything in it.
pub struct Results {
    output: PathBuf,
    /// `output` was created for these results.
    made: bool,
    partial: PathBuf,
}

impl Results {
    pub fn new(output: &Path) -> Result<Self> {
        let made = !output.exists();
        let partial = output.join(format!("unfinished-{}", std::process::id()));
        std::fs::create_dir_all(&partial)
            .map_err(|error| format!("--output {}: no folder can be made there: {error}", output.display()))?;
        Ok(Self {
            output: output.to_path_buf(),
            made,
            partial,
        })
    }

    /// The path of an unfinished file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.partial.join(name)
    }

    /// Moves the files to the output folder and replaces those of an earlier run.
    pub fn keep(mut self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        for name in names {
            let place = self.output.join(name);
            std::fs::rename(self.file(name), &place).map_err(|error| format!("{}: {error}", place.display()))?;
            kept.push(place);
        }
        self.made = false;
        Ok(kept)
    }

    /// Removes the folder also when the user interrupts the program.
    pub fn forget_on_interrupt(&self) -> Result<()> {
        let (output, made, partial) = (self.output.clone(), self.made, self.partial.clone());
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                remove(&output, made, &partial);
                // The exit status that shells use for signals. No destructors run: those of ONNX Runtime would free
                // memory that its threads still use.
                signal_hook::low_level::exit(128 + signal);
            }
        });
        Ok(())
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        remove(&self.output, self.made, &self.partial);
    }
}

fn remove(output: &Path, made: bool, partial: &Path) {
    let _ = std::fs::remove_dir_all(partial);
    if made {
        // Removes only an empty folder.
        let _ = std::fs::remove_dir(output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("vidtok-demo-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn results_that_are_not_finished_leave_nothing() {
        let output = scratch("unfinished");
        let results = Results::new(&output).unwrap();
        std::fs::write(results.file("clip.vidtok"), "half").unwrap();
        drop(results);
        assert!(!output.exists());
    }

    #[test]
    fn results_that_are_not_finished_leave_those_of_an_earlier_run() {
        let output = scratch("earlier");
        std::fs::create_dir(&output).unwrap();
        std::fs::write(output.join("clip.vidtok"), "whole").unwrap();
        let results = Results::new(&output).unwrap();
        std::fs::write(results.file("clip.vidtok"), "half").unwrap();
        drop(results);
        assert_eq!(std::fs::read(output.join("clip.vidtok")).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(&output).unwrap().count(), 1);
        std::fs::remove_dir_all(output).unwrap();
    }

    #[test]
    fn finished_results_take_their_places() {
        let output = scratch("finished");
        let results = Results::new(&output).unwrap();
        std::fs::write(results.file("clip.vidtok"), "whole").unwrap();
        assert_eq!(results.keep(&["clip.vidtok"]).unwrap(), [output.join("clip.vidtok")]);
        assert_eq!(std::fs::read_dir(&output).unwrap().count(), 1);
        std::fs::remove_dir_all(output).unwrap();
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let output = scratch("file");
        std::fs::write(&output, "").unwrap();
        let error = Results::new(&output).err().unwrap().to_string();
        assert!(error.contains(output.to_str().unwrap()), "{error}");
        std::fs::remove_file(output).unwrap();
    }
}
