//! Rows of samples, whatever the layout keeps them in.

use super::block::{numbers, split, split_numbers};
use super::layout::{Kind, Planes, Storage, Yuv};
use super::{Layout, Source};

/// Reads rows of YUV pictures of one kind.
pub(super) struct Rows {
    yuv: Yuv,
    width: usize,
    /// Chroma samples of a row, and rows of them.
    pub columns: usize,
    pub chroma_rows: usize,
    /// Samples that had to be moved.
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    /// U and V of packed layouts.
    pairs: Vec<u8>,
    wide: Wide,
}

/// Samples as numbers of 16 bits.
#[derive(Default)]
struct Wide {
    luma: Vec<u16>,
    chroma: [Vec<u16>; 2],
}

impl Rows {
    pub fn new(source: &Source) -> Self {
        let yuv = match source.layout.kind() {
            Kind::Yuv(yuv) => yuv,
            // Not read by this.
            _ => {
                return Self::new(&Source {
                    layout: Layout::I420,
                    width: 1,
                    height: 1,
                    ..*source
                });
            }
        };
        let (width, columns) = (source.width, source.width.div_ceil(yuv.share.0));
        Self {
            yuv,
            width,
            columns,
            chroma_rows: source.height.div_ceil(yuv.share.1),
            luma: Vec::new(),
            chroma: Default::default(),
            pairs: Vec::new(),
            wide: Wide::default(),
        }
    }

    pub fn depth(&self) -> u32 {
        self.yuv.depth
    }

    /// Luma row `y` and the row of U and of V that belongs to it, of 8-bit layouts.
    pub fn bytes<'a>(&'a mut self, planes: &Planes<'a>, y: usize) -> (&'a [u8], [&'a [u8]; 2]) {
        let (width, columns) = (self.width, self.columns);
        let row = y / self.yuv.share.1;
        match self.yuv.storage {
            Storage::Planes { u, v } => (
                planes.row(0, y, width),
                [u, v].map(|plane| planes.row(plane, row, columns)),
            ),
            Storage::SemiPlanar { u, v } => {
                split_chroma(planes.row(1, row, columns * 2), u < v, &mut self.chroma);
                (planes.row(0, y, width), self.chroma.each_ref().map(Vec::as_slice))
            }
            Storage::Packed { y: at, u, v } => {
                let pixels = planes.row(0, y, columns * 4);
                match at {
                    0 => split(pixels, &mut self.luma, &mut self.pairs),
                    _ => split(pixels, &mut self.pairs, &mut self.luma),
                }
                split_chroma(&self.pairs, u < v, &mut self.chroma);
                (&self.luma[..width], self.chroma.each_ref().map(Vec::as_slice))
            }
            Storage::SemiPlanarHigh => unreachable!("it has 10 bits"),
        }
    }

    /// Luma row `y` as numbers.
    pub fn luma(&mut self, planes: &Planes, y: usize) -> &[u16] {
        let mut wide = std::mem::take(&mut self.wide.luma);
        match (self.yuv.depth, self.yuv.storage) {
            (8, _) => {
                wide.clear();
                wide.extend(self.bytes(planes, y).0.iter().map(|byte| u16::from(*byte)));
            }
            (_, storage) => {
                numbers(planes.row(0, y, self.width * 2), shift(storage), &mut wide);
            }
        }
        self.wide.luma = wide;
        &self.wide.luma
    }

    /// Luma row `y` and the row of U and of V that belongs to it as numbers, of layouts of more than 8 bits.
    pub fn numbers(&mut self, planes: &Planes, y: usize) -> (&[u16], [&[u16]; 2]) {
        self.luma(planes, y);
        self.chroma(planes, y / self.yuv.share.1);
        (&self.wide.luma, self.wide.chroma.each_ref().map(Vec::as_slice))
    }

    /// Row `row` of U and of V as numbers.
    pub fn chroma(&mut self, planes: &Planes, row: usize) -> [&[u16]; 2] {
        let mut wide = std::mem::take(&mut self.wide.chroma);
        let columns = self.columns;
        match (self.yuv.depth, self.yuv.storage) {
            (8, _) => {
                let (_, chroma) = self.bytes(planes, row * self.yuv.share.1);
                for (wide, bytes) in wide.iter_mut().zip(chroma) {
                    wide.clear();
                    wide.extend(bytes.iter().map(|byte| u16::from(*byte)));
                }
            }
            (_, Storage::Planes { u, v }) => {
                for (wide, plane) in wide.iter_mut().zip([u, v]) {
                    numbers(planes.row(plane, row, columns * 2), 0, wide);
                }
            }
            (_, storage) => {
                split_numbers(planes.row(1, row, columns * 4), shift(storage), &mut wide);
            }
        }
        self.wide.chroma = wide;
        self.wide.chroma.each_ref().map(Vec::as_slice)
    }
}

/// Pairs of chroma to U and V, in that order.
fn split_chroma(pairs: &[u8], is_u_first: bool, [u, v]: &mut [Vec<u8>; 2]) {
    match is_u_first {
        true => split(pairs, u, v),
        false => split(pairs, v, u),
    }
}

/// By how much a number of 10 bits is shifted up in its 16 bits.
fn shift(storage: Storage) -> u32 {
    if storage == Storage::SemiPlanarHigh { 6 } else { 0 }
}
