//! The properties of the depayloader that are set.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use super::stats;
use crate::rtp;

const ON_LOST_START: &str = "on-lost-start";
const MAX_CONCEALED: &str = "max-concealed";
/// Two seconds of a tokenizer that makes a latent frame of four frames, at 30 frames per second.
const DEFAULT_MAX_CONCEALED: u32 = 15;
/// They are made at once, when the next packet comes: their number bounds memory and time.
const LARGEST_MAX_CONCEALED: u32 = 250;

/// What follows where the start of a segment did not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstRtpVidtokDepayOnLostStart")]
pub enum OnLostStart {
    #[default]
    #[enum_value(name = "Nothing, up to the next segment start", nick = "hold")]
    Hold,
    #[enum_value(name = "The segment, decoded from the latent frame before it", nick = "conceal")]
    Conceal,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    on_lost_start: OnLostStart,
    max_concealed: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on_lost_start: OnLostStart::default(),
            max_concealed: DEFAULT_MAX_CONCEALED,
        }
    }
}

impl Settings {
    pub fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder::<OnLostStart>(ON_LOST_START)
                    .nick("On a lost start")
                    .blurb(
                        "What to put out where the start of a segment is lost, besides asking the sender for another",
                    )
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder(MAX_CONCEALED)
                    .nick("Maximum concealed")
                    .blurb("Latent frames in a row that are made up although no packet of them came")
                    .maximum(LARGEST_MAX_CONCEALED)
                    .default_value(DEFAULT_MAX_CONCEALED)
                    .mutable_playing()
                    .build(),
                stats::property(),
            ]
        });
        &PROPERTIES
    }

    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            ON_LOST_START => self.on_lost_start = value.get().expect("checked by GObject"),
            MAX_CONCEALED => self.max_concealed = value.get().expect("checked by GObject"),
            _ => unreachable!("GObject knows the properties"),
        }
    }

    /// A property's value; `None` for one that is not set.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        match name {
            ON_LOST_START => Some(self.on_lost_start.to_value()),
            MAX_CONCEALED => Some(self.max_concealed.to_value()),
            _ => None,
        }
    }

    pub fn joiner(&self) -> rtp::Settings {
        rtp::Settings {
            on_lost_start: match self.on_lost_start {
                OnLostStart::Hold => rtp::OnLostStart::Hold,
                OnLostStart::Conceal => rtp::OnLostStart::Conceal,
            },
            max_concealed: self.max_concealed,
        }
    }
}
