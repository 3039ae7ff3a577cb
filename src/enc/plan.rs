//! What becomes of video of given caps in front of the network.

use gst_video::{VideoChromaSite, VideoColorMatrix, VideoColorRange, VideoColorimetry};

use super::preparation::Preparation;
use super::turn::Turn;
use crate::element::negotiation::{colorimetry_name, fraction, rgb_colorimetry};
use crate::format::Fraction;
use crate::pixels::{Colour, Layout, Matrix, Method, Siting, Source};
use crate::resize::{self, Fit, Interpolation, Size};
use crate::runtime::RuntimeError;
use crate::timeline::FramePick;
use crate::tokenizer::FrameType;

/// From video to the network's pictures.
#[derive(Clone, Debug)]
pub struct Plan {
    pub video: gst_video::VideoInfo,
    /// The pictures as they come.
    pub source: Source,
    pub method: Method,
    /// They are turned once they are RGB, and then resized.
    pub turn: Turn,
    pub resize: resize::Plan,
    pub interpolation: Interpolation,
    pub pick: FramePick,
    /// The caps say another range of luma than the stream, which is believed.
    pub range_is_the_streams: bool,
    /// The picture does not stay as it is.
    pub is_resized: bool,
    fit: Fit,
    /// What the caps say.
    colorimetry: Option<String>,
}

impl Plan {
    pub fn new(
        caps: &gst::CapsRef,
        video: gst_video::VideoInfo,
        preparation: &Preparation,
        turn: Turn,
        stream_is_full: Option<bool>,
    ) -> Result<Self, RuntimeError> {
        let layout = layout(&video)?;
        let said = |field: &str| caps.structure(0).and_then(|s| s.get::<String>(field).ok());
        let colorimetry = said("colorimetry");
        let setting = |text: String| RuntimeError::Settings(text.into());
        let size = preparation.size.as_deref().map(str::parse::<Size>).transpose();
        let size = size.map_err(|error| setting(error.to_string()))?;
        let turned = turn.size((video.width(), video.height()));
        let fit = preparation.fit.fit();
        let resize = resize::Plan::new(turned, size, fit).map_err(|error| setting(error.to_string()))?;
        let framerate = fraction(video.fps());
        let mut colour = colour(colorimetry.as_deref(), said("chroma-site").as_deref());
        let range_is_the_streams = stream_is_full == Some(true) && !colour.is_full_range;
        colour.is_full_range |= range_is_the_streams;
        let pick = preparation.frame_pick(framerate)?;
        Ok(Self {
            source: Source {
                layout,
                width: video.width() as usize,
                height: video.height() as usize,
                colour,
            },
            range_is_the_streams,
            method: preparation.conversion.method(),
            turn,
            is_resized: resize.is_resize() || resize.output() != turned,
            resize,
            interpolation: preparation.interpolation.interpolation(),
            pick,
            fit,
            colorimetry,
            video,
        })
    }

    /// Width and height of the network's pictures.
    pub fn size(&self) -> (u32, u32) {
        self.resize.output()
    }

    /// That of the frames that are kept.
    pub fn framerate(&self) -> Fraction {
        let Fraction { num, den } = fraction(self.video.fps());
        ratio(num.into(), u64::from(den) * u64::from(self.pick.interval())).unwrap_or(Fraction::new(0, 1))
    }

    /// That of the network's pictures.
    pub fn pixel_aspect_ratio(&self) -> Fraction {
        let Fraction { num, den } = fraction(self.video.par());
        let par = if self.turn.swaps_sides() {
            Fraction::new(den, num)
        } else {
            Fraction::new(num, den)
        };
        if self.fit != Fit::Stretch {
            return par;
        }
        // The display's shape stays.
        let (from, to) = (self.turn.size((self.video.width(), self.video.height())), self.size());
        let wide = u128::from(par.num) * u128::from(from.0) * u128::from(to.1);
        let high = u128::from(par.den) * u128::from(from.1) * u128::from(to.0);
        let both = u64::try_from(wide).ok().zip(u64::try_from(high).ok());
        both.and_then(|(wide, high)| ratio(wide, high)).unwrap_or(par)
    }

    /// Of the RGB pictures; `None`: not known.
    pub fn colorimetry(&self) -> Option<String> {
        let said = self.colorimetry.clone()?;
        if !self.source.layout.is_yuv() {
            return Some(colorimetry_name(said));
        }
        said.parse().ok().map(|yuv| rgb_colorimetry(&yuv))
    }

    /// What is done to the pixels, as the stream says it; `None`: nothing. `input`: what the network takes.
    pub fn description(&self, input: FrameType) -> Option<String> {
        let mut words = Vec::new();
        if self.source.layout.is_yuv() {
            let Colour {
                matrix,
                is_full_range,
                siting,
            } = self.source.colour;
            let range = if is_full_range { "full" } else { "limited" };
            let how = match self.method {
                Method::Swscale if self.source.interpolates_chroma() => {
                    let siting = siting.unwrap_or(Siting::CENTRE).as_str();
                    format!("yuv=swscale:{}:{range}:{siting}", matrix.as_str())
                }
                Method::Swscale => format!("yuv=swscale:{}:{range}", matrix.as_str()),
                Method::Exact => {
                    let siting = siting.unwrap_or(Siting::LEFT).as_str();
                    format!("yuv=exact:{}:{range}:{siting}", matrix.as_str())
                }
            };
            words.push(how);
        }
        if !self.turn.is_none() {
            words.push(format!("turned={}", self.turn.as_text()));
        }
        if self.is_resized {
            let interpolation = name(&Interpolation::NAMES, self.interpolation);
            let rounded = match (self.interpolation.gives_bytes(), input) {
                (false, FrameType::Uint8) if self.resize.is_resize() => ":rounded",
                _ => "",
            };
            words.push(format!("size={}:{interpolation}{rounded}", name(&Fit::NAMES, self.fit)));
        }
        if self.pick.interval() > 1 {
            words.push(format!("every={}", self.pick.interval()));
        }
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// The formats of video that is taken, the usual ones first.
pub fn formats() -> Vec<gst_video::VideoFormat> {
    let name = |layout: Layout| gst_video::VideoFormat::from_string(&layout.name());
    Layout::ALL.into_iter().map(name).collect()
}

fn name<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names
        .iter()
        .find(|(_, named)| *named == value)
        .map_or("", |(name, _)| name)
}

fn layout(video: &gst_video::VideoInfo) -> Result<Layout, RuntimeError> {
    let name = video.format().to_str();
    let found = Layout::ALL.into_iter().find(|layout| layout.name() == name.as_str());
    found.ok_or_else(|| {
        let text = format!("Pictures of the format {name} cannot be tokenized: put videoconvert in front");
        RuntimeError::Caps(text.into())
    })
}

/// What the numbers of the pictures mean, by fields of the caps. `VideoInfo` would fill in what the caps leave out by the
/// picture's size, where PyTorch's readers take BT.601.
fn colour(colorimetry: Option<&str>, chroma_site: Option<&str>) -> Colour {
    let said = colorimetry.and_then(|text| text.parse::<VideoColorimetry>().ok());
    let site = chroma_site.and_then(|text| text.parse::<VideoChromaSite>().ok());
    Colour {
        matrix: match said.as_ref().map(VideoColorimetry::matrix) {
            Some(VideoColorMatrix::Bt709) => Matrix::Bt709,
            Some(VideoColorMatrix::Fcc) => Matrix::Fcc,
            Some(VideoColorMatrix::Smpte240m) => Matrix::Smpte240m,
            Some(VideoColorMatrix::Bt2020) => Matrix::Bt2020,
            _ => Matrix::Bt601,
        },
        is_full_range: said.is_some_and(|said| said.range() == VideoColorRange::Range0_255),
        siting: site.map(|site| Siting {
            is_left: site.contains(VideoChromaSite::H_COSITED),
            is_top: site.contains(VideoChromaSite::V_COSITED),
        }),
    }
}

/// `num / den` in its lowest terms; `None` where the numbers are too large for caps.
fn ratio(num: u64, den: u64) -> Option<Fraction> {
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a.max(1)
    };
    let by = gcd(num, den);
    let fits = |number: u64| i32::try_from(number / by).ok().map(|number| number as u32);
    Some(Fraction::new(fits(num)?, fits(den)?))
}
