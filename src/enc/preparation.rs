//! Properties that say how video becomes the network's pictures.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use crate::details::Details;
use crate::format::Fraction;
use crate::pixels::Method;
use crate::resize::{Fit, Interpolation, Size};
use crate::runtime::RuntimeError;
use crate::timeline::FramePick;

const DEFAULT_FRAME_INTERVAL: u32 = 1;
/// Not set: `frame-interval` counts.
const NO_SAMPLE_FPS: f64 = 0.0;

#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    pub conversion: Conversion,
    /// What the user wrote; `None`: the video's own size.
    pub size: Option<String>,
    pub fit: FitChoice,
    pub interpolation: InterpolationChoice,
    pub orientation: OrientationChoice,
    pub frame_interval: u32,
    pub sample_fps: f64,
}

impl Default for Preparation {
    fn default() -> Self {
        Self {
            conversion: Conversion::default(),
            size: None,
            fit: FitChoice::default(),
            interpolation: InterpolationChoice::default(),
            orientation: OrientationChoice::default(),
            frame_interval: DEFAULT_FRAME_INTERVAL,
            sample_fps: NO_SAMPLE_FPS,
        }
    }
}

/// How YUV becomes RGB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokConversion")]
#[repr(u32)]
pub enum Conversion {
    #[default]
    #[enum_value(
        name = "The bytes that PyAV, decord, torchcodec and OpenCV give: FFmpeg's swscale",
        nick = "swscale"
    )]
    Swscale,
    #[enum_value(name = "Correctly rounded, with chroma interpolated", nick = "exact")]
    Exact,
}

/// How a picture is brought to a size of another shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokFit")]
#[repr(u32)]
pub enum FitChoice {
    #[default]
    #[enum_value(
        name = "The shorter side to the size, then the middle, as VidTok reads videos",
        nick = "crop"
    )]
    Crop,
    #[enum_value(name = "Each side on its own", nick = "stretch")]
    Stretch,
    #[enum_value(name = "The whole picture, with black bars", nick = "pad")]
    Pad,
}

/// How pixels of another size are calculated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokInterpolation")]
#[repr(u32)]
pub enum InterpolationChoice {
    #[default]
    #[enum_value(name = "Bilinear with antialiasing in floats, as torchvision's", nick = "bilinear")]
    Bilinear,
    #[enum_value(name = "Bicubic with antialiasing in floats, as torchvision's", nick = "bicubic")]
    Bicubic,
    #[enum_value(name = "Pillow's bytes, bilinear", nick = "pillow-bilinear")]
    PillowBilinear,
    #[enum_value(name = "Pillow's bytes, bicubic", nick = "pillow-bicubic")]
    PillowBicubic,
    #[enum_value(name = "The nearest pixel", nick = "nearest")]
    Nearest,
}

/// What follows from a tag that says how players should turn the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVidtokOrientation")]
#[repr(u32)]
pub enum OrientationChoice {
    #[default]
    #[enum_value(
        name = "Turn the picture as its tag says, unless an element in front does",
        nick = "auto"
    )]
    Auto,
    #[enum_value(name = "Take the picture as it is stored", nick = "ignore")]
    Ignore,
}

impl Conversion {
    pub fn method(self) -> Method {
        match self {
            Self::Swscale => Method::Swscale,
            Self::Exact => Method::Exact,
        }
    }
}

impl FitChoice {
    pub fn fit(self) -> Fit {
        match self {
            Self::Crop => Fit::Crop,
            Self::Stretch => Fit::Stretch,
            Self::Pad => Fit::Pad,
        }
    }
}

impl InterpolationChoice {
    pub fn interpolation(self) -> Interpolation {
        match self {
            Self::Bilinear => Interpolation::Bilinear,
            Self::Bicubic => Interpolation::Bicubic,
            Self::PillowBilinear => Interpolation::PillowBilinear,
            Self::PillowBicubic => Interpolation::PillowBicubic,
            Self::Nearest => Interpolation::Nearest,
        }
    }
}

impl Preparation {
    pub fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder::<Conversion>("conversion")
                    .nick("Conversion")
                    .blurb("How YUV becomes RGB")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("size")
                    .nick("Size")
                    .blurb("Size of the tokenized picture: \"256\" for the shorter side, or \"256x256\" (unset: the video's own)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<FitChoice>("fit")
                    .nick("Fit")
                    .blurb("How a picture of another shape is brought to size=WIDTHxHEIGHT")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<InterpolationChoice>("interpolation")
                    .nick("Interpolation")
                    .blurb("How pixels are calculated for another size")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<OrientationChoice>("orientation")
                    .nick("Orientation")
                    .blurb("What follows from a tag that says how to turn the picture")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("frame-interval")
                    .nick("Frame interval")
                    .blurb("Keep every so many-th frame, from the first")
                    .minimum(1)
                    .default_value(DEFAULT_FRAME_INTERVAL)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("sample-fps")
                    .nick("Sampled frames per second")
                    .blurb("Sets the frame interval as VidTok does: framerate / sample-fps, rounded, at least 1 (0: not set)")
                    .minimum(0.0)
                    .maximum(f64::from(i32::MAX))
                    .default_value(NO_SAMPLE_FPS)
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    /// Whether pictures have the same size and rate behind this.
    pub fn keeps_pictures(&self) -> bool {
        self.size.is_none() && self.frame_interval == DEFAULT_FRAME_INTERVAL && self.sample_fps == NO_SAMPLE_FPS
    }

    /// # Errors
    /// Properties contradict each other.
    pub fn check(&self) -> Result<(), RuntimeError> {
        if let Some(size) = &self.size {
            size.parse::<Size>()
                .map_err(|error| RuntimeError::Settings(Details::of(error)))?;
        }
        if self.frame_interval != DEFAULT_FRAME_INTERVAL && self.sample_fps != NO_SAMPLE_FPS {
            let text = "frame-interval and sample-fps both say which frames are kept: set one of them";
            return Err(RuntimeError::Settings(text.into()));
        }
        Ok(())
    }

    /// Which frames are kept of video of this rate.
    pub fn frame_pick(&self, framerate: Fraction) -> Result<FramePick, RuntimeError> {
        if self.sample_fps == NO_SAMPLE_FPS {
            return Ok(FramePick::every(self.frame_interval));
        }
        FramePick::sampled(framerate, self.sample_fps).map_err(|error| RuntimeError::Settings(Details::of(error)))
    }

    /// Sets a property of that name. Returns whether there is one.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        match name {
            "conversion" => self.conversion = value.get().expect("checked by GObject"),
            "size" => {
                let size = value.get::<Option<String>>().expect("checked by GObject");
                self.size = size.filter(|size| !size.is_empty());
            }
            "fit" => self.fit = value.get().expect("checked by GObject"),
            "interpolation" => self.interpolation = value.get().expect("checked by GObject"),
            "orientation" => self.orientation = value.get().expect("checked by GObject"),
            "frame-interval" => self.frame_interval = value.get().expect("checked by GObject"),
            "sample-fps" => self.sample_fps = value.get().expect("checked by GObject"),
            _ => return false,
        }
        true
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "conversion" => self.conversion.to_value(),
            "size" => self.size.to_value(),
            "fit" => self.fit.to_value(),
            "interpolation" => self.interpolation.to_value(),
            "orientation" => self.orientation.to_value(),
            "frame-interval" => self.frame_interval.to_value(),
            "sample-fps" => self.sample_fps.to_value(),
            _ => return None,
        })
    }
}
