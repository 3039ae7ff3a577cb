//! The decoder's properties.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use super::loss::LossPolicy;
use crate::element::{self, DEADLINE_PROPERTY, NetworkSettings, Stats, deadline_property};
use crate::format::TokenFormat;
use crate::tokenizer::Role;

/// 8K: the largest size of common video.
const DEFAULT_MAX_PIXELS: u32 = 7680 * 4320;

/// What the decoder does when packets come faster than they can be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokDecOverload")]
#[repr(u32)]
pub enum Overload {
    #[default]
    #[enum_value(name = "Skip to the segment start that is due, if qos is set", nick = "skip-to-key")]
    SkipToKey,
    #[enum_value(name = "Decode every packet, however late", nick = "block")]
    Block,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub network: NetworkSettings,
    /// 0: no limit.
    pub max_pixels: u32,
    pub on_loss: LossPolicy,
    pub overload: Overload,
    /// Nanoseconds; negative: measured.
    pub processing_deadline: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            network: NetworkSettings::default(),
            max_pixels: DEFAULT_MAX_PIXELS,
            on_loss: LossPolicy::default(),
            overload: Overload::default(),
            processing_deadline: -1,
        }
    }
}

impl Settings {
    pub fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut properties = NetworkSettings::properties(Role::Decoder);
            properties.extend([
                glib::ParamSpecUInt::builder("max-pixels")
                .nick("Maximum pixels")
                .blurb("Refuse streams whose pictures have more pixels: a small file may ask for much memory (0: no limit)")
                .default_value(DEFAULT_MAX_PIXELS)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder::<LossPolicy>("on-loss")
                .nick("On loss")
                .blurb("What to do with packets when those before them are damaged, missing, doubled or of another stream")
                .mutable_playing()
                .build(),
                glib::ParamSpecEnum::builder::<Overload>("overload")
                    .nick("Overload")
                    .blurb("What to do when packets come faster than they can be decoded")
                    .mutable_playing()
                    .build(),
                deadline_property(),
                Stats::property(),
            ]);
            properties
        });
        &PROPERTIES
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

impl element::Settings for Settings {
    fn network(&self) -> &NetworkSettings {
        &self.network
    }

    fn processing_deadline(&self) -> Option<gst::ClockTime> {
        u64::try_from(self.processing_deadline)
            .ok()
            .map(gst::ClockTime::from_nseconds)
    }

    fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "max-pixels" => self.max_pixels = value.get().expect("checked by GObject"),
            "on-loss" => self.on_loss = value.get().expect("checked by GObject"),
            "overload" => self.overload = value.get().expect("checked by GObject"),
            DEADLINE_PROPERTY => self.processing_deadline = value.get().expect("checked by GObject"),
            name => self.network.set(name, value),
        }
    }

    fn get(&self, name: &str) -> Option<glib::Value> {
        match name {
            "max-pixels" => Some(self.max_pixels.to_value()),
            "on-loss" => Some(self.on_loss.to_value()),
            "overload" => Some(self.overload.to_value()),
            DEADLINE_PROPERTY => Some(self.processing_deadline.to_value()),
            name => self.network.get(name),
        }
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
