//! Transformed weights, which all sessions of this process share.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use sha2::{Digest, Sha256};
use vidtok_winograd::{Frames, Instructions, Tile, Weights, WeightsOverTime};

use crate::system::lock::lock;

/// A convolution's weights: `[outputs, inputs, 3, 3]` for each tap.
pub struct Kernels<'a> {
    pub taps: Vec<&'a [f32]>,
    pub inputs: usize,
    pub outputs: usize,
}

/// From so many input and output channels on tiles are small: transformed weights would be four times as large as the
/// file's, and such layers are a small part of the time.
const MANY_CHANNELS: usize = 512;

impl Kernels<'_> {
    fn tile(&self) -> Tile {
        if self.inputs.min(self.outputs) >= MANY_CHANNELS {
            Tile::Two
        } else {
            Tile::Four
        }
    }

    fn key(&self) -> Key {
        key([self.taps.len(), self.inputs, self.outputs], &self.taps)
    }
}

/// Of a 1×1 convolution over time: `[outputs, inputs]` for each of three frames, the oldest first.
pub struct KernelsOverTime<'a> {
    pub taps: [&'a [f32]; 3],
    pub inputs: usize,
    pub outputs: usize,
    pub frames: Frames,
}

impl KernelsOverTime<'_> {
    fn key(&self) -> Key {
        key([self.frames.count(), self.inputs, self.outputs], &self.taps)
    }
}

type Key = [u8; 32];

/// Equal for equal weights of an equal shape only.
fn key(shape: [usize; 3], taps: &[&[f32]]) -> Key {
    let mut hash = Sha256::new();
    for number in shape {
        hash.update((number as u64).to_le_bytes());
    }
    for values in taps {
        // SAFETY: any four bytes of a float are bytes.
        let (_, bytes, _) = unsafe { values.align_to::<u8>() };
        hash.update(bytes);
    }
    hash.finalize().into()
}

/// Weights that a session has. Not keyed by file or layer: sessions for several picture sizes load one file, and layers
/// of several files may have the same weights.
type Known<T> = LazyLock<Mutex<HashMap<Key, Weak<T>>>>;

static SHARED: Known<Weights> = LazyLock::new(Mutex::default);
static SHARED_OVER_TIME: Known<WeightsOverTime> = LazyLock::new(Mutex::default);

/// Transforms weights, if no session has them.
pub fn shared(kernels: &Kernels<'_>) -> Arc<Weights> {
    known(&SHARED, kernels.key(), || new(kernels))
}

/// As [`shared`].
pub fn shared_over_time(kernels: &KernelsOverTime<'_>) -> Arc<WeightsOverTime> {
    known(&SHARED_OVER_TIME, kernels.key(), || new_over_time(kernels))
}

fn known<T>(known: &Known<T>, key: Key, new: impl FnOnce() -> T) -> Arc<T> {
    // Held meanwhile, so that two sessions that start together transform them once.
    let mut known = lock(known);
    if let Some(weights) = known.get(&key).and_then(Weak::upgrade) {
        return weights;
    }
    known.retain(|_, weights| weights.strong_count() > 0);
    let weights = Arc::new(new());
    known.insert(key, Arc::downgrade(&weights));
    weights
}

/// Transforms weights for this processor.
pub fn new(kernels: &Kernels<'_>) -> Weights {
    let (inputs, outputs) = (kernels.inputs, kernels.outputs);
    Weights::new(&kernels.taps, inputs, outputs, kernels.tile(), instructions())
}

/// As [`new`].
pub fn new_over_time(kernels: &KernelsOverTime<'_>) -> WeightsOverTime {
    let (inputs, outputs) = (kernels.inputs, kernels.outputs);
    WeightsOverTime::new(kernels.taps, inputs, outputs, kernels.frames, instructions())
}

fn instructions() -> Instructions {
    Instructions::fast().into_iter().next().unwrap_or(Instructions::plain())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernels(taps: &[Vec<f32>]) -> Kernels<'_> {
        Kernels {
            taps: taps.iter().map(Vec::as_slice).collect(),
            inputs: 2,
            outputs: 3,
        }
    }

    #[test]
    fn equal_weights_are_transformed_once_and_dropped_with_their_last_user() {
        let taps = [vec![0.25; 54], vec![0.5; 54]];
        let first = shared(&kernels(&taps));
        assert!(Arc::ptr_eq(&first, &shared(&kernels(&taps.clone()))));
        let others = [vec![0.25; 54], vec![0.75; 54]];
        assert!(!Arc::ptr_eq(&first, &shared(&kernels(&others))));
        let weak = Arc::downgrade(&first);
        drop(first);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn two_taps_are_not_one_of_twice_the_outputs() {
        let two = kernels(&[vec![0.25; 54], vec![0.5; 54]]).key();
        let together = [vec![0.25; 54], vec![0.5; 54]].concat();
        let one = Kernels {
            taps: vec![&together],
            inputs: 2,
            outputs: 6,
        };
        assert_ne!(two, one.key());
    }

    #[test]
    fn large_layers_have_small_tiles() {
        let tile = |inputs, outputs| {
            Kernels {
                taps: Vec::new(),
                inputs,
                outputs,
            }
            .tile()
        };
        assert_eq!(tile(512, 512), Tile::Two);
        assert_eq!(tile(256, 512), Tile::Four);
        assert_eq!(tile(128, 128), Tile::Four);
    }
}
