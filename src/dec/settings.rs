//! The decoder's properties.

use gst::glib;
use gst::prelude::*;

use super::loss::OnLoss;
use crate::element::{NetworkSettings, Stats};
use crate::format::TokenFormat;
use crate::tokenizer::Role;

/// 8K: what the encoder makes of any video for people, the decoder takes back.
const DEFAULT_MAX_PIXELS: u32 = 7680 * 4320;

#[derive(Clone, Debug)]
pub struct Settings {
    pub network: NetworkSettings,
    /// 0: no limit.
    pub max_pixels: u32,
    pub on_loss: OnLoss,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            network: NetworkSettings::default(),
            max_pixels: DEFAULT_MAX_PIXELS,
            on_loss: OnLoss::default(),
        }
    }
}

impl Settings {
    pub fn properties() -> Vec<glib::ParamSpec> {
        let mut properties = NetworkSettings::properties(Role::Decoder);
        properties.push(
            glib::ParamSpecUInt::builder("max-pixels")
                .nick("Most pixels")
                .blurb("Refuse streams whose pictures have more pixels: a small file may ask for much memory (0: no limit)")
                .default_value(DEFAULT_MAX_PIXELS)
                .mutable_ready()
                .build(),
        );
        properties.push(
            glib::ParamSpecEnum::builder::<OnLoss>("on-loss")
                .nick("On loss")
                .blurb("What becomes of packets that something is missing in front of: damaged, lost, doubled or of another stream")
                .mutable_playing()
                .build(),
        );
        properties.push(Stats::property());
        properties
    }

    /// Sets one of [`Self::properties`] that can be set.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "max-pixels" => self.max_pixels = value.get().expect("checked by GObject"),
            "on-loss" => self.on_loss = value.get().expect("checked by GObject"),
            name => drop(self.network.set(name, value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        match name {
            "max-pixels" => Some(self.max_pixels.to_value()),
            "on-loss" => Some(self.on_loss.to_value()),
            name => self.network.get(name),
        }
    }

    /// Refuses pictures that are too large, in words for the user.
    pub fn check_size(&self, format: &TokenFormat) -> Result<(), String> {
        let pixels = u64::from(format.width) * u64::from(format.height);
        if self.max_pixels == 0 || pixels <= u64::from(self.max_pixels) {
            return Ok(());
        }
        Err(format!(
            "the stream's pictures of {}×{} have {pixels} pixels, more than max-pixels={}: set the property max-pixels to \
             that, or to 0, where you trust the stream and have the memory",
            format.width, format.height, self.max_pixels
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dec::testing::format;

    #[test]
    fn the_limit_itself_is_allowed_and_0_is_none() {
        let with = |max_pixels| Settings {
            max_pixels,
            ..Settings::default()
        };
        let format = format();
        for max_pixels in [39 * 53, 0, u32::MAX] {
            assert_eq!(with(max_pixels).check_size(&format), Ok(()));
        }
        let error = with(39 * 53 - 1).check_size(&format).unwrap_err();
        for part in ["39×53", "2067", "2066", "max-pixels"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
