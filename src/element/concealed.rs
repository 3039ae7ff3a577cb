//! `GstVidtokConcealed`: which cells of a token buffer did not come, and have tokens of the latent frame before.
//!
//! | field | type |
//! | --- | --- |
//! | `cells` | guint: how many cells |
//! | `runs` | GstValueArray of guint: first cell and number of cells of each run, over the buffer's latent frames |

use std::ops::Range;
use std::sync::LazyLock;

use gst::meta::CustomMeta;

const NAME: &str = "GstVidtokConcealed";

const CELLS: &str = "cells";
const RUNS: &str = "runs";

/// Registers the meta, which GStreamer allows once per process.
static REGISTERED: LazyLock<()> = LazyLock::new(|| {
    CustomMeta::register(NAME, &[]);
});

/// Attaches the meta to `buffer`.
pub fn add(buffer: &mut gst::BufferRef, runs: &[Range<u32>]) {
    LazyLock::force(&REGISTERED);
    // Fails only for a name that is not registered.
    let mut custom = CustomMeta::add(buffer, NAME).expect("the meta is registered");
    let s = custom.mut_structure();
    let lengths = runs.iter().map(|run| run.end - run.start);
    s.set(CELLS, lengths.sum::<u32>());
    let numbers = runs.iter().flat_map(|run| [run.start, run.end - run.start]);
    s.set(RUNS, gst::Array::new(numbers));
}

/// Whether `buffer` has the meta.
pub fn is_on(buffer: &gst::BufferRef) -> bool {
    LazyLock::force(&REGISTERED);
    CustomMeta::from_buffer(buffer, NAME).is_ok()
}

/// Attaches the meta of `from` to `buffer`, if it has one.
pub fn copy(from: &gst::BufferRef, buffer: &mut gst::BufferRef) {
    LazyLock::force(&REGISTERED);
    if let Ok(theirs) = CustomMeta::from_buffer(from, NAME) {
        let mut custom = CustomMeta::add(buffer, NAME).expect("the meta is registered");
        let fields = custom.mut_structure();
        for (name, value) in theirs.structure().iter() {
            fields.set_value(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_tells_the_runs_of_its_concealed_cells() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        add(buffer.make_mut(), &[3..5, 9..10]);
        let copy = buffer.copy();
        let meta = CustomMeta::from_buffer(&copy, NAME).unwrap();
        assert_eq!(meta.structure().get::<u32>("cells"), Ok(3));
        let runs = meta.structure().get::<gst::Array>("runs").unwrap();
        let runs: Vec<u32> = runs.iter().map(|number| number.get().unwrap()).collect();
        assert_eq!(runs, [3, 2, 9, 1]);
    }
}
