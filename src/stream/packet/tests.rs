use super::*;

/// A packet header with right checksums, at any place.
fn decode(segment_start: bool, latent_frame: u64, segment: Option<u32>) -> Result<PacketHeader, Fault> {
    let position = Some(Position { latent_frame, segment });
    let header = PacketHeader {
        segment_start,
        end_of_stream: false,
        segment_end: false,
        has_offsets: false,
        stream_header_crc: 0,
        latent_frames: 1,
        real_frames: 1,
        pts: None,
        duration: None,
        position,
        header_bytes: Position::header_bytes(position),
        payload_bytes: 0,
        body_crc: 0,
    };
    PacketHeader::decode(&header.encode())
}

#[test]
fn positions_are_read_as_far_as_the_header_goes() {
    for (start, latent_frame, segment) in [
        (true, 0, Some(u32::MAX)),
        (true, 0, None),
        (false, 1, None),
        (false, MAX_LATENT_NUMBER, Some(0)),
    ] {
        let position = decode(start, latent_frame, segment).unwrap().position;
        assert_eq!(position, Some(Position { latent_frame, segment }));
    }
}

#[test]
fn offsets_that_go_back_are_evened_out_when_read_and_not_written() {
    let offsets = [40u64, 20, 80];
    let mut body: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    body.push(7);
    let header = PacketHeader {
        segment_start: false,
        end_of_stream: false,
        segment_end: false,
        has_offsets: true,
        stream_header_crc: 0,
        latent_frames: 1,
        real_frames: 4,
        pts: Some(1000),
        duration: Some(120),
        position: None,
        header_bytes: HEADER_BYTES,
        payload_bytes: 1,
        body_crc: crc32fast::hash(&body),
    };
    let bytes = [header.encode(), body].concat();
    let packet = Packet::from_checked(&bytes, &header).unwrap();
    assert_eq!(packet.offsets, Some(vec![40, 40, 80]));

    let format = TokenFormat::toy(&[16, 16], 1, 1);
    assert!(packet.encode(&format, 0, None).is_ok());
    let back = Packet {
        offsets: Some(offsets.to_vec()),
        ..packet
    };
    let error = back.encode(&format, 0, None).unwrap_err().to_string();
    assert!(error.contains("go back"), "{error}");
}

#[test]
fn impossible_positions_are_refused() {
    for (start, latent_frame, reason) in [
        (false, u64::MAX, "18446744073709551615"),
        (false, MAX_LATENT_NUMBER + 1, "the last may be"),
        (false, 0, "no segment start at latent frame 0"),
        (true, 1, "a segment start at latent frame 1"),
    ] {
        match decode(start, latent_frame, Some(0)) {
            Err(Fault::Refused(error)) => assert!(error.to_string().contains(reason), "{error}"),
            other => panic!("{latent_frame}: {other:?}"),
        }
    }
}
