use super::*;

fn source(layout: Layout, width: usize, height: usize) -> Source {
    Source {
        layout,
        width,
        height,
        colour: Colour::default(),
    }
}

fn refusal(source: Source, planes: &[(&[u8], usize)]) -> String {
    Planes::check(&source, planes).expect_err("it has to be refused")
}

#[test]
fn planes_need_their_rows_and_no_padding_behind_the_last() {
    // Planes of 5×3 pixels with rows 16 bytes apart: rows, and bytes of a row.
    let cases: [(Layout, &[(usize, usize)]); 10] = [
        (Layout::I420, &[(3, 5), (2, 3), (2, 3)]),
        (Layout::NV12, &[(3, 5), (2, 6)]),
        (Layout::Y42B, &[(3, 5), (3, 3), (3, 3)]),
        (Layout::YUY2, &[(3, 12)]),
        (Layout::I420_10LE, &[(3, 10), (2, 6), (2, 6)]),
        (Layout::P010_10LE, &[(3, 10), (2, 12)]),
        (Layout::GRAY8, &[(3, 5)]),
        (Layout::GBR, &[(3, 5), (3, 5), (3, 5)]),
        (Layout::RGB, &[(3, 15)]),
        (Layout::Y444_10LE, &[(3, 10), (3, 10), (3, 10)]),
    ];
    let bytes = [7; 64];
    for (layout, planes) in cases {
        let source = source(layout, 5, 3);
        let least = |(rows, row): &(usize, usize)| (&bytes[..(rows - 1) * 16 + row], 16);
        let enough: Vec<_> = planes.iter().map(least).collect();
        let checked = Planes::check(&source, &enough).unwrap();
        for y in 0..3 {
            for method in [Method::Swscale, Method::Exact] {
                Converter::new(source, method).row(&checked, y, &mut [0; 15]);
            }
        }
        for (at, (_, row)) in planes.iter().enumerate() {
            let name = layout.name();
            let mut short = enough.clone();
            short[at].0 = &short[at].0[1..];
            let text = refusal(source, &short);
            assert!(text.starts_with(&format!("plane {at} of {name} of 5×3 has ")), "{text}");
            // Rows that lie over each other.
            let mut close = enough.clone();
            close[at].1 = row - 1;
            let text = refusal(source, &close);
            assert!(text.contains(&format!("rows {} bytes apart", row - 1)), "{text}");
        }
        let text = refusal(source, &enough[1..]);
        assert!(text.contains(&format!("has {} planes, not {}", planes.len(), planes.len() - 1)));
        let more: Vec<_> = enough.iter().copied().chain([(bytes.as_slice(), 16)]).collect();
        refusal(source, &more);
    }
}

#[test]
fn sizes_that_no_memory_holds_are_refused() {
    let bytes = [7; 64];
    for layout in Layout::ALL {
        let count = layout.planes(1, 1).len();
        for (width, height) in [
            (usize::MAX, 1),
            (usize::MAX, usize::MAX),
            (1, usize::MAX),
            (usize::MAX / 2, 2),
            (1 << 31, 1 << 31),
            (65, 65),
        ] {
            for stride in [0, 1, 16, usize::MAX / 2, usize::MAX] {
                let text = refusal(source(layout, width, height), &vec![(bytes.as_slice(), stride); count]);
                assert!(text.contains(&format!("{width}×{height}")), "{text}");
            }
        }
        for (width, height) in [(0, 0), (0, 4), (4, 0)] {
            let text = refusal(source(layout, width, height), &vec![(bytes.as_slice(), 16); count]);
            assert!(text.ends_with("has no pixels"), "{text}");
        }
    }
}
