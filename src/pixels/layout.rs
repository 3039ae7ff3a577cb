//! How pictures lie in memory.

use super::Source;

/// Layouts by GStreamer's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "GStreamer's names")]
pub enum Layout {
    I420,
    YV12,
    NV12,
    NV21,
    Y42B,
    Y444,
    YUY2,
    UYVY,
    I420_10LE,
    I422_10LE,
    Y444_10LE,
    P010_10LE,
    GRAY8,
    RGB,
    BGR,
    RGBx,
    BGRx,
    XRGB,
    XBGR,
    RGBA,
    BGRA,
    ARGB,
    ABGR,
    GBR,
}

/// What kind of picture a layout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of a pixel, and at which of them red, green and blue are.
    Rgb {
        pixel: usize,
        at: [usize; 3],
    },
    /// Planes of green, blue and red.
    PlanarRgb,
    Grey,
    Yuv(Yuv),
}

/// Luma and chroma samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Yuv {
    /// Bits of a sample.
    pub depth: u32,
    pub storage: Storage,
    /// Luma samples that share a chroma sample, sideways and downwards: 1 or 2.
    pub share: (usize, usize),
}

/// Where the samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// Three planes; these are of U and V.
    Planes { u: usize, v: usize },
    /// A plane of luma, and one of pairs, in which U and V are at these places.
    SemiPlanar { u: usize, v: usize },
    /// One plane of two pixels in four bytes, in which the first luma sample, U and V are at these places.
    Packed { y: usize, u: usize, v: usize },
    /// As `SemiPlanar`, U first, in the upper bits of 16.
    SemiPlanarHigh,
}

impl Yuv {
    pub fn is_subsampled(self) -> bool {
        self.share.0 == 2
    }

    pub fn sample_bytes(self) -> usize {
        if self.depth == 8 { 1 } else { 2 }
    }
}

impl Layout {
    pub const ALL: [Self; 24] = [
        Self::I420,
        Self::YV12,
        Self::NV12,
        Self::NV21,
        Self::Y42B,
        Self::Y444,
        Self::YUY2,
        Self::UYVY,
        Self::I420_10LE,
        Self::I422_10LE,
        Self::Y444_10LE,
        Self::P010_10LE,
        Self::GRAY8,
        Self::RGB,
        Self::BGR,
        Self::RGBx,
        Self::BGRx,
        Self::XRGB,
        Self::XBGR,
        Self::RGBA,
        Self::BGRA,
        Self::ARGB,
        Self::ABGR,
        Self::GBR,
    ];

    /// GStreamer's name.
    pub fn name(self) -> String {
        match self {
            Self::XRGB => "xRGB".into(),
            Self::XBGR => "xBGR".into(),
            other => format!("{other:?}"),
        }
    }

    /// Whether the picture has luma and chroma.
    pub fn is_yuv(self) -> bool {
        matches!(self.kind(), Kind::Yuv(_))
    }

    pub(super) fn kind(self) -> Kind {
        let yuv = |depth, storage, share| Kind::Yuv(Yuv { depth, storage, share });
        let planes = Storage::Planes { u: 1, v: 2 };
        match self {
            Self::I420 => yuv(8, planes, (2, 2)),
            Self::YV12 => yuv(8, Storage::Planes { u: 2, v: 1 }, (2, 2)),
            Self::NV12 => yuv(8, Storage::SemiPlanar { u: 0, v: 1 }, (2, 2)),
            Self::NV21 => yuv(8, Storage::SemiPlanar { u: 1, v: 0 }, (2, 2)),
            Self::Y42B => yuv(8, planes, (2, 1)),
            Self::Y444 => yuv(8, planes, (1, 1)),
            Self::YUY2 => yuv(8, Storage::Packed { y: 0, u: 1, v: 3 }, (2, 1)),
            Self::UYVY => yuv(8, Storage::Packed { y: 1, u: 0, v: 2 }, (2, 1)),
            Self::I420_10LE => yuv(10, planes, (2, 2)),
            Self::I422_10LE => yuv(10, planes, (2, 1)),
            Self::Y444_10LE => yuv(10, planes, (1, 1)),
            Self::P010_10LE => yuv(10, Storage::SemiPlanarHigh, (2, 2)),
            Self::GRAY8 => Kind::Grey,
            Self::GBR => Kind::PlanarRgb,
            Self::RGB => Kind::Rgb {
                pixel: 3,
                at: [0, 1, 2],
            },
            Self::BGR => Kind::Rgb {
                pixel: 3,
                at: [2, 1, 0],
            },
            Self::RGBx | Self::RGBA => Kind::Rgb {
                pixel: 4,
                at: [0, 1, 2],
            },
            Self::BGRx | Self::BGRA => Kind::Rgb {
                pixel: 4,
                at: [2, 1, 0],
            },
            Self::XRGB | Self::ARGB => Kind::Rgb {
                pixel: 4,
                at: [1, 2, 3],
            },
            Self::XBGR | Self::ABGR => Kind::Rgb {
                pixel: 4,
                at: [3, 2, 1],
            },
        }
    }

    /// Rows of each plane, and bytes of each of its rows without padding. What no memory holds is `usize::MAX`.
    pub(super) fn planes(self, width: usize, height: usize) -> Vec<(usize, usize)> {
        let row = |samples: usize, bytes: usize| samples.saturating_mul(bytes);
        match self.kind() {
            Kind::Rgb { pixel, .. } => vec![(height, row(width, pixel))],
            Kind::PlanarRgb => vec![(height, width); 3],
            Kind::Grey => vec![(height, width)],
            Kind::Yuv(yuv) => {
                let sample = yuv.sample_bytes();
                let (columns, rows) = (width.div_ceil(yuv.share.0), height.div_ceil(yuv.share.1));
                let luma = (height, row(width, sample));
                match yuv.storage {
                    Storage::Planes { .. } => vec![luma, (rows, row(columns, sample)), (rows, row(columns, sample))],
                    Storage::SemiPlanar { .. } | Storage::SemiPlanarHigh => {
                        vec![luma, (rows, row(columns, 2 * sample))]
                    }
                    Storage::Packed { .. } => vec![(height, row(columns, 4))],
                }
            }
        }
    }
}

/// A picture in memory: its planes in GStreamer's order, and how many bytes apart their rows begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planes<'a> {
    data: [&'a [u8]; 3],
    strides: [usize; 3],
}

impl<'a> Planes<'a> {
    /// The planes of a picture as `source` says. Only its last row may be shorter than its stride.
    ///
    /// # Errors
    /// Says which plane is too small, or that the picture has no pixels.
    pub fn check(source: &Source, planes: &[(&'a [u8], usize)]) -> Result<Self, String> {
        let name = source.layout.name();
        if source.width == 0 || source.height == 0 {
            return Err(format!("{name} of {}×{} has no pixels", source.width, source.height));
        }
        let wanted = source.layout.planes(source.width, source.height);
        if planes.len() != wanted.len() {
            return Err(format!("{name} has {} planes, not {}", wanted.len(), planes.len()));
        }
        let mut checked = Self::default();
        for (at, ((rows, row), (data, stride))) in wanted.into_iter().zip(planes).enumerate() {
            let least = (rows - 1).checked_mul(*stride).and_then(|bytes| bytes.checked_add(row));
            if *stride < row || least.is_none_or(|least| data.len() < least) {
                return Err(format!(
                    "plane {at} of {name} of {}×{} has {} bytes with rows {stride} bytes apart, and needs {rows} rows of {row}",
                    source.width,
                    source.height,
                    data.len(),
                ));
            }
            (checked.data[at], checked.strides[at]) = (data, *stride);
        }
        Ok(checked)
    }

    /// Row `y` of a plane: `length` bytes of it.
    pub(super) fn row(&self, plane: usize, y: usize, length: usize) -> &'a [u8] {
        &self.data[plane][y * self.strides[plane]..][..length]
    }
}

/// Puts the bytes of a row that is RGB or grey in their order.
pub(super) fn copy_row(source: &Source, planes: &Planes, y: usize, out: &mut [u8]) {
    let out = out.as_chunks_mut::<3>().0;
    match source.layout.kind() {
        Kind::Rgb { pixel, at } => {
            let row = planes.row(0, y, source.width * pixel);
            match pixel {
                3 => permute(row.as_chunks::<3>().0, at, out),
                _ => permute(row.as_chunks::<4>().0, at, out),
            }
        }
        Kind::PlanarRgb => {
            let [g, b, r] = [0, 1, 2].map(|plane| planes.row(plane, y, source.width));
            for (out, ((r, g), b)) in out.iter_mut().zip(r.iter().zip(g).zip(b)) {
                *out = [*r, *g, *b];
            }
        }
        Kind::Grey | Kind::Yuv(_) => {
            for (out, grey) in out.iter_mut().zip(planes.row(0, y, source.width)) {
                *out = [*grey; 3];
            }
        }
    }
}

fn permute<const N: usize>(row: &[[u8; N]], [r, g, b]: [usize; 3], out: &mut [[u8; 3]]) {
    for (out, pixel) in out.iter_mut().zip(row) {
        *out = [pixel[r], pixel[g], pixel[b]];
    }
}
