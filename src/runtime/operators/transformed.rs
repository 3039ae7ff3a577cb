//! Transformed weights, which all sessions of this process share.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use sha2::{Digest, Sha256};
use vidtok_winograd::{Frames, Instructions, Tile, Weights, WeightsOverTime};

use super::Convolutions;
use crate::system::lock::lock;

/// A convolution's weights: `[outputs, inputs, 3, 3]` for each tap.
pub struct Kernels<'a> {
    pub taps: Vec<&'a [f32]>,
    pub inputs: usize,
    pub outputs: usize,
}

/// From so many input and output channels on, `Balanced` takes small tiles: transformed weights would be four times as
/// large as the file's, and such layers are a small part of the time.
const MANY_CHANNELS: usize = 512;

impl Kernels<'_> {
    fn tile(&self, convolutions: Convolutions) -> Tile {
        match convolutions {
            Convolutions::Balanced if self.inputs.min(self.outputs) >= MANY_CHANNELS => Tile::Two,
            Convolutions::Balanced | Convolutions::Fastest => Tile::Four,
        }
    }

    /// Equal for equal weights that are transformed for the same tile.
    fn key(&self, tile: Tile) -> Key {
        key(&[self.taps.len(), self.inputs, self.outputs, tile as usize], &self.taps)
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
        key(&[self.frames.count(), self.inputs, self.outputs], &self.taps)
    }
}

type Key = [u8; 32];

/// Equal for equal weights of an equal shape only.
fn key(shape: &[usize], taps: &[&[f32]]) -> Key {
    let mut hash = Sha256::new();
    for number in shape {
        hash.update((*number as u64).to_le_bytes());
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
pub fn shared(kernels: &Kernels<'_>, convolutions: Convolutions) -> Arc<Weights> {
    let tile = kernels.tile(convolutions);
    known(&SHARED, kernels.key(tile), || new(kernels, convolutions))
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
pub fn new(kernels: &Kernels<'_>, convolutions: Convolutions) -> Weights {
    let (inputs, outputs, tile) = (kernels.inputs, kernels.outputs, kernels.tile(convolutions));
    Weights::new(&kernels.taps, inputs, outputs, tile, instructions())
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
        let shared = |taps: &[Vec<f32>]| shared(&kernels(taps), Convolutions::Balanced);
        let first = shared(&taps);
        assert!(Arc::ptr_eq(&first, &shared(&taps.clone())));
        let others = [vec![0.25; 54], vec![0.75; 54]];
        assert!(!Arc::ptr_eq(&first, &shared(&others)));
        let weak = Arc::downgrade(&first);
        drop(first);
        assert!(weak.upgrade().is_none());
    }

    /// Two elements with other settings must not get each other's results.
    #[test]
    fn sessions_with_other_tiles_do_not_share() {
        let taps = [vec![0.25; 512 * 512 * 9]];
        let kernels = Kernels {
            taps: vec![&taps[0]],
            inputs: 512,
            outputs: 512,
        };
        let balanced = shared(&kernels, Convolutions::Balanced);
        let fastest = shared(&kernels, Convolutions::Fastest);
        assert!(fastest.bytes() > 2 * balanced.bytes());
        assert!(Arc::ptr_eq(&balanced, &shared(&kernels, Convolutions::Balanced)));
    }

    #[test]
    fn two_taps_are_not_one_of_twice_the_outputs() {
        let two = kernels(&[vec![0.25; 54], vec![0.5; 54]]).key(Tile::Four);
        let together = [vec![0.25; 54], vec![0.5; 54]].concat();
        let one = Kernels {
            taps: vec![&together],
            inputs: 2,
            outputs: 6,
        };
        assert_ne!(two, one.key(Tile::Four));
    }

    #[test]
    fn large_layers_have_small_tiles_where_memory_counts() {
        let tile = |inputs, outputs, convolutions| {
            Kernels {
                taps: Vec::new(),
                inputs,
                outputs,
            }
            .tile(convolutions)
        };
        assert_eq!(tile(512, 512, Convolutions::Balanced), Tile::Two);
        assert_eq!(tile(256, 512, Convolutions::Balanced), Tile::Four);
        assert_eq!(tile(128, 128, Convolutions::Balanced), Tile::Four);
        assert_eq!(tile(512, 512, Convolutions::Fastest), Tile::Four);
    }
}
