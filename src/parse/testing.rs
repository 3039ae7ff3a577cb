//! Streams for unit tests.

use crate::format::TokenFormat;
use crate::stream::{Packet, Writer};

/// Payload bytes of a packet in [`file`]: far more than an index reads of it.
const PAYLOAD: usize = 40_000;

/// A format of `grid` × `grid` cells of a byte each when packed.
pub fn format(grid: u32) -> TokenFormat {
    TokenFormat::toy(&[16, 16], grid, grid)
}

/// A stream of `packets` packets of 100 ns, every third of which starts a segment, with payloads of `grid`² bytes per
/// latent frame.
pub fn stream(grid: u32, packets: u64, first_pts: u64) -> Vec<u8> {
    let mut writer = Writer::new(format(grid), format!("stream-{grid}")).unwrap();
    let packet = |i: u64| {
        let latent_frames = 1 + (i % 2) as u32;
        Packet {
            segment_start: i.is_multiple_of(3),
            segment_end: i % 6 == 2,
            latent_frames,
            real_frames: 1,
            pts: Some(first_pts + i * 100),
            duration: Some(100),
            payload: (0..grid * grid * latent_frames)
                .map(|at| (at * 7 + i as u32) as u8)
                .collect(),
            ..Packet::default()
        }
    };
    let mut bytes = Vec::new();
    for i in 0..packets {
        bytes.extend(writer.write(&packet(i)).unwrap());
        // An end mark where the segment's last packet does not say that it is the last.
        if i % 3 == 2 && i + 1 < packets {
            bytes.extend(writer.end_segment().unwrap().unwrap_or_default());
        }
    }
    bytes.extend(writer.end().unwrap());
    bytes
}

/// The packets of [`file`].
pub fn packets(segments: u64, first_pts: u64) -> impl Iterator<Item = Packet> {
    (0..3 * segments).map(move |i| Packet {
        segment_start: i.is_multiple_of(3),
        segment_end: i % 3 == 2,
        latent_frames: 1,
        real_frames: 1,
        pts: Some(first_pts + i * 100),
        duration: Some(100),
        payload: vec![0; PAYLOAD],
        ..Packet::default()
    })
}

/// A file of segments of three packets of 100 ns.
pub fn file(segments: u64, first_pts: u64) -> Vec<u8> {
    let mut writer = Writer::new(format(200), "toy").unwrap();
    let packets = packets(segments, first_pts);
    let mut bytes: Vec<u8> = packets.flat_map(|packet| writer.write(&packet).unwrap()).collect();
    bytes.extend(writer.end().unwrap());
    bytes
}

/// Like [`file`], of one writer whose PTS start over. `first` and `second` are the number of segments and the first PTS
/// of both parts.
pub fn restarted_file(first: (u64, u64), second: (u64, u64)) -> Vec<u8> {
    let mut writer = Writer::new(format(200), "toy").unwrap();
    packets(first.0, first.1)
        .chain(packets(second.0, second.1))
        .flat_map(|packet| writer.write(&packet).unwrap())
        .collect()
}
