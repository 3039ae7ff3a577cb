//! Damaged streams, cut ones, and one that is made to cost time.

use super::*;

#[test]
fn a_cut_tail_is_the_end_at_every_byte() {
    let (_, packets, bytes) = stream();
    for length in 0..bytes.len() {
        let (events, error) = read(&bytes[..length], usize::MAX);
        assert_eq!(error, None, "cut at {length}");
        let read = packets_of(&events);
        assert_eq!(read, packets[..read.len()], "cut at {length}");
        assert_eq!(skipped(&events), 0, "cut at {length}");
    }
    let (events, _) = read(&bytes[..bytes.len() - 1], usize::MAX);
    let last_packet = 60 + 3 * 8 + 15;
    assert_eq!(events.last(), Some(&Event::CutTail { bytes: last_packet - 1 }));
}

#[test]
fn no_flipped_byte_goes_unnoticed() {
    let (_, packets, bytes) = stream();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let (events, error) = read(&damaged, usize::MAX);
            let read = packets_of(&events);
            assert!(
                read.iter().all(|packet| packets.contains(packet)),
                "wrong packet after a flip at {at}"
            );
            let noticed = skipped(&events) > 0 || matches!(events.last(), Some(Event::CutTail { .. }));
            assert!(
                noticed || matches!(error, Some(StreamError::NewerVersion(_))),
                "nothing noticed of {at}"
            );
            if error.is_none() {
                // A damaged stream header costs its segment of three packets, unless an equal one came before.
                assert!(read.len() >= 3, "{} packets after a flip at {at}", read.len());
            }
        }
    }
}

#[test]
fn garbage_between_packets_is_skipped_and_counted() {
    let (format, packets, _) = stream();
    let lure = [
        b"\x89VTP\x30\0".to_vec(),
        documented("header")[..200].to_vec(),
        vec![0x89; 300],
    ]
    .concat();
    for garbage in [vec![0; 1000], lure] {
        let mut writer = Writer::new(format.clone(), STREAM_ID).unwrap();
        let parts = packets
            .iter()
            .map(|packet| [garbage.clone(), writer.write(packet).unwrap()].concat());
        let bytes: Vec<u8> = parts.flatten().collect();
        for piece in [13, usize::MAX] {
            let (events, error) = read(&bytes, piece);
            assert_eq!(error, None);
            assert_eq!(packets_of(&events), packets);
            assert_eq!(skipped(&events), (garbage.len() * packets.len()) as u64);
        }
    }
}

#[test]
fn lost_bytes_cost_their_packet_only() {
    let (_, packets, bytes) = stream();
    // The bytes are lost from the last packet but one, whose header then claims bytes of the last packet.
    let at = bytes.len() - (60 + 24 + 15) - 10;
    let (events, error) = read(&[&bytes[..at], &bytes[at + 5..]].concat(), usize::MAX);
    assert_eq!(error, None);
    assert_eq!(packets_of(&events), [&packets[..4], &packets[5..]].concat());
    assert_eq!(skipped(&events), 60 + 15 - 5);
}

#[test]
fn packets_of_a_lost_stream_header_are_skipped() {
    let other = TokenFormat {
        model: "another one of the same size".into(),
        ..stream().0
    };
    let (_, packets, bytes) = stream();
    let header = |format: &TokenFormat| StreamHeader::encode(format, Some(STREAM_ID), None).unwrap();
    let (events, error) = read(
        &[&header(&other)[..], &bytes[header(&stream().0).len()..]].concat(),
        100,
    );
    assert_eq!(error, None);
    assert_eq!(packets_of(&events), packets[3..]);
    assert!(skipped(&events) > 0);
}

#[test]
fn a_length_out_of_bounds_is_not_waited_for() {
    let mut header = documented("header");
    header[8..12].copy_from_slice(&65_537u32.to_le_bytes());
    assert_eq!(StreamHeader::decode(&header), Err(Fault::Damaged { checked: 0 }));
    let mut packet = documented("first packet");
    packet[4..6].copy_from_slice(&1025u16.to_le_bytes());
    assert_eq!(
        Packet::decode(&packet, &example_format()),
        Err(Fault::Damaged { checked: 0 })
    );
    // A damaged payload length fails the header's checksum, before the body is there.
    let mut packet = documented("first packet");
    packet[20..24].copy_from_slice(&0x0100_0000u32.to_le_bytes());
    assert_eq!(
        Packet::decode(&packet[..60], &example_format()),
        Err(Fault::Damaged { checked: 60 })
    );
}

/// Every header claims the rest of the stream as its body: reading must stay linear.
#[test]
fn a_hostile_stream_does_not_cost_quadratic_time() {
    let format = TokenFormat {
        width: 32768,
        height: 8192,
        grid_width: 4096,
        grid_height: 1024,
        ..example_format()
    };
    let header = StreamHeader::encode(&format, None, None).unwrap();
    let payload_bytes = format.payload_length(1).max();
    let mut packet = RawPacket {
        stream: crc_of_header(&header),
        payload: vec![1],
        ..RawPacket::example()
    }
    .bytes();
    packet.truncate(48);
    packet[20..24].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    packet[44..48].fill(0);
    let crc = crc32fast::hash(&packet);
    packet[44..48].copy_from_slice(&crc.to_le_bytes());
    let bytes = [&header[..], &packet.repeat(3 * payload_bytes as usize / 48)].concat();

    let started = std::time::Instant::now();
    let (events, error) = read(&bytes, 1 << 20);
    assert_eq!((events.len(), error), (2, None), "a stream header and the rest");
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail_badly(
        noise in proptest::collection::vec(prop_oneof![Just(0x89u8), any::<u8>()], 0..400),
        cut in any::<prop::sample::Index>(),
    ) {
        let (_, packets, bytes) = stream();
        let (events, _) = read(&noise, 17);
        prop_assert!(packets_of(&events).is_empty());
        // Not inside the first magic: the reader believes the version behind it.
        let cut = 8 + cut.index(bytes.len() - 8);
        let (events, error) = read(&[&bytes[..cut], &noise, &bytes[cut..]].concat(), 17);
        prop_assert!(error.is_none());
        prop_assert!(packets_of(&events).len() >= packets.len() - 3);
    }
}
