//! Decoded video to RGB, row by row: what reaches the network. Free of GStreamer.
//!
//! [`Method::Swscale`] gives the bytes that PyTorch's video readers give (PyAV 17 and 18, and, for 8 bits and even
//! heights, decord 0.6, torchcodec 0.17 and OpenCV 5): those of FFmpeg's swscale from YUV to rgb24 at unchanged size, on
//! x86-64 with SIMD, whatever machine this runs on. The arithmetic was measured on those readers (libswscale 7.5 to 9.5):
//! `fast` for 8-bit 4:2:0 and 4:2:2 of even height, `full` for 4:4:4 and for odd widths elsewhere, `table` for the rest.
//! Where the readers differ among themselves (odd heights, more than 8 bits), it is PyAV's newest, which takes chroma from
//! where it is sited, sideways and downwards; the fast path never looks at that.
//!
//! Semi-planar and packed layouts (NV12, NV21, YUY2, UYVY) are the same picture as I420 or Y42B: their bytes are those
//! that the readers give for the same file, whose software decoders give planes. (swscale itself takes another way for
//! them.) P010 is I420_10LE likewise.
//!
//! [`Method::Exact`] is real arithmetic, rounded once, with chroma interpolated linearly from where it is sited.

mod block;
mod colour;
mod exact;
mod fast;
mod full;
mod layout;
mod rows;
mod table;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use colour::{Colour, Matrix, Siting};
pub use layout::{Layout, Planes};

use exact::Exact;
use fast::Fast;
use full::Full;
use layout::Kind;
use rows::Rows;
use table::Table;

/// How YUV becomes RGB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Swscale,
    Exact,
}

/// What pictures are before they are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub layout: Layout,
    pub width: usize,
    pub height: usize,
    pub colour: Colour,
}

impl Source {
    /// Whether swscale's bytes depend on where chroma is sited: off the fast path.
    pub fn interpolates_chroma(&self) -> bool {
        match self.layout.kind() {
            Kind::Yuv(yuv) => yuv.is_subsampled() && (yuv.depth > 8 || !self.height.is_multiple_of(2)),
            _ => false,
        }
    }
}

/// Converts pictures of one kind.
pub struct Converter {
    source: Source,
    rows: Rows,
    path: Path,
    /// A row of which a part is wanted.
    whole: Vec<u8>,
}

/// The arithmetic.
enum Path {
    /// Bytes only change places.
    Copy,
    Fast(Fast),
    Full(Full),
    Table(Table),
    Exact(Exact),
}

impl Converter {
    /// `source`: at least one pixel.
    pub fn new(source: Source, method: Method) -> Self {
        let Source {
            layout, width, colour, ..
        } = source;
        let path = match (layout.kind(), method) {
            (Kind::Rgb { .. } | Kind::PlanarRgb | Kind::Grey, _) => Path::Copy,
            (Kind::Yuv(_), Method::Exact) => Path::Exact(Exact::new(&source)),
            (Kind::Yuv(yuv), Method::Swscale) => match (yuv.is_subsampled(), source.interpolates_chroma()) {
                (true, false) => Path::Fast(Fast::new(colour)),
                (true, true) if width % 2 == 0 => Path::Table(Table::new(&source)),
                _ => Path::Full(Full::new(&source)),
            },
        };
        Self {
            source,
            rows: Rows::new(&source),
            path,
            whole: vec![0; width * 3],
        }
    }

    /// Writes row `y` to `out` as `width` RGB pixels. Rows may come in any order.
    ///
    /// `planes` has to be of the source's size ([`Planes::check`]), and `out` has `width · 3` bytes.
    pub fn row(&mut self, planes: &Planes, y: usize, out: &mut [u8]) {
        let Self { source, rows, path, .. } = self;
        match path {
            Path::Copy => layout::copy_row(source, planes, y, out),
            Path::Fast(fast) => {
                let (luma, [u, v]) = rows.bytes(planes, y);
                fast.row(luma, u, v, out);
            }
            Path::Full(full) => full.row(rows, planes, y, out),
            Path::Table(table) => table.row(rows, planes, y, out),
            Path::Exact(exact) => exact.row(rows, planes, y, out),
        }
    }

    /// Writes the pixels `columns` of row `y`; the first has an even number.
    pub fn part(&mut self, planes: &Planes, y: usize, columns: Range<usize>, out: &mut [u8]) {
        if let Path::Fast(fast) = &self.path {
            let (luma, chroma) = self.rows.bytes(planes, y);
            let [u, v] = chroma.map(|row| &row[columns.start / 2..columns.end.div_ceil(2)]);
            fast.row(&luma[columns], u, v, out);
            return;
        }
        let mut whole = std::mem::take(&mut self.whole);
        self.row(planes, y, &mut whole);
        out.copy_from_slice(&whole[columns.start * 3..columns.end * 3]);
        self.whole = whole;
    }
}
