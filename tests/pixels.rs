//! Pictures in RGB: the same bytes as PyAV gives, `tests/data/pixels/`, and real arithmetic.

use gstvidtok::pixels::{Colour, Converter, Layout, Matrix, Method, Planes, Siting, Source};
use serde::Deserialize;

use memory::{Memory, Samples, noise, pictures};

#[path = "pixels/formulas.rs"]
mod formulas;
#[path = "pixels/memory.rs"]
mod memory;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Clone, Debug, Deserialize)]
struct Case {
    layout: String,
    size: (usize, usize),
    seed: u32,
    matrix: Option<String>,
    range: Option<String>,
    siting: Option<String>,
}

const MATRICES: [Matrix; 5] = [
    Matrix::Bt601,
    Matrix::Bt709,
    Matrix::Fcc,
    Matrix::Smpte240m,
    Matrix::Bt2020,
];
const TOP_LEFT: Siting = Siting {
    is_left: true,
    is_top: true,
};

impl Case {
    fn source(&self) -> Source {
        let matrix = MATRICES
            .into_iter()
            .find(|matrix| Some(matrix.as_str()) == self.matrix.as_deref());
        assert_eq!(matrix.is_some(), self.matrix.is_some());
        let siting = [Siting::LEFT, Siting::CENTRE, TOP_LEFT]
            .into_iter()
            .find(|siting| Some(siting.as_str()) == self.siting.as_deref());
        assert_eq!(siting.is_some(), self.siting.is_some());
        Source {
            layout: layout(&self.layout),
            width: self.size.0,
            height: self.size.1,
            colour: Colour {
                matrix: matrix.unwrap_or_default(),
                is_full_range: self.range.as_deref() == Some("full"),
                siting,
            },
        }
    }

    /// Samples of each plane.
    fn planes(&self) -> Vec<Samples> {
        let (width, height) = self.size;
        let bits = if self.layout.ends_with("_10LE") { 10 } else { 8 };
        let luma = (width, height);
        let shapes = match self.layout.as_str() {
            "GRAY8" => vec![luma],
            "GBR" | "Y444" | "Y444_10LE" => vec![luma; 3],
            "Y42B" | "I422_10LE" => vec![luma, (width.div_ceil(2), height), (width.div_ceil(2), height)],
            _ => {
                let chroma = (width.div_ceil(2), height.div_ceil(2));
                vec![luma, chroma, chroma]
            }
        };
        let mut state = self.seed;
        shapes
            .into_iter()
            .map(|(width, height)| Samples {
                width,
                values: noise(&mut state, width * height, bits),
            })
            .collect()
    }
}

fn layout(name: &str) -> Layout {
    Layout::ALL.into_iter().find(|layout| layout.name() == name).unwrap()
}

fn converted(source: Source, method: Method, memory: &Memory) -> Vec<u8> {
    let planes: Vec<_> = memory
        .iter()
        .map(|(bytes, stride)| (bytes.as_slice(), *stride))
        .collect();
    let planes = Planes::check(&source, &planes).unwrap();
    let mut converter = Converter::new(source, method);
    let row_bytes = source.width * 3;
    let mut picture = vec![0; row_bytes * source.height];
    for (y, row) in picture.chunks_mut(row_bytes).enumerate() {
        converter.row(&planes, y, row);
    }
    // In another order, and in parts.
    let mut row = vec![1; row_bytes];
    for y in (0..source.height).rev() {
        let expected = &picture[y * row_bytes..][..row_bytes];
        converter.row(&planes, y, &mut row);
        assert_eq!(row, expected, "{source:?}, row {y}");
        let columns = (source.width / 3 / 2 * 2)..(source.width - source.width / 4);
        let part = &mut row[..columns.len() * 3];
        converter.part(&planes, y, columns.clone(), part);
        assert_eq!(part, &expected[columns.start * 3..columns.end * 3]);
    }
    picture
}

#[test]
fn bytes_are_those_of_pyav() {
    let mut values = include_bytes!("data/pixels/golden.bin").as_slice();
    let golden: Golden = serde_json::from_str(include_str!("data/pixels/golden.json")).unwrap();
    assert!(golden.cases.len() > 200);
    let mut wrong = Vec::new();
    for case in golden.cases {
        let source = case.source();
        let (expected, rest) = values.split_at(source.width * source.height * 3);
        values = rest;
        for padding in [0, 5] {
            for (layout, memory) in pictures(source.layout, &case.planes(), padding) {
                let found = converted(Source { layout, ..source }, Method::Swscale, &memory);
                if found != expected {
                    wrong.push(format!("{layout:?} as {case:?}"));
                }
            }
        }
    }
    assert!(values.is_empty());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
