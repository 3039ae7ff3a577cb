//! Streams that are newer or impossible, and what a writer refuses.

use super::*;

#[test]
fn a_newer_version_is_named() {
    let newer = StreamError::NewerVersion(2);
    assert!(newer.to_string().contains("version 2"));
    // At the start of a stream without any checksum; later on with a valid one.
    assert_eq!(read(b"\x89VIDTOK\x02 of unknown layout", 5).1, Some(newer.clone()));
    let (_, packets, bytes) = stream();
    let (events, error) = read(&[&bytes[..], &raw_header(2, "{}")].concat(), usize::MAX);
    assert_eq!((packets_of(&events), error), (packets, Some(newer)));
}

#[test]
fn unknown_flags_and_fields_are_ignored_or_refused_as_they_ask() {
    let plain = RawPacket::example().read().unwrap();
    for flag in 4..8 {
        let packet = RawPacket {
            flags: 1 | 1 << flag,
            ..RawPacket::example()
        };
        assert_eq!(packet.read(), Ok(plain.clone()), "flag {flag}");
    }
    for flag in 8..16 {
        let packet = RawPacket {
            flags: 1 | 1 << flag,
            ..RawPacket::example()
        };
        let error = StreamError::UnknownFlags(1 << flag);
        assert_eq!(packet.read(), Err(Fault::Refused(error.clone())), "flag {flag}");
        assert_eq!(read(&[documented("header"), packet.bytes()].concat(), 9).1, Some(error));
    }
    for bytes in [1, 7] {
        let packet = RawPacket {
            extension: vec![7; bytes],
            ..RawPacket::example()
        };
        assert_eq!(packet.read(), Ok(plain.clone()), "{bytes} more bytes of header");
    }
    for bytes in [13, 1024 - 48] {
        let extension = [vec![0; 12], vec![7; bytes - 12]].concat();
        let packet = RawPacket {
            extension,
            ..RawPacket::example()
        };
        let numbered = Packet {
            position: position(0, 0),
            ..plain.clone()
        };
        assert_eq!(packet.read(), Ok(numbered), "{bytes} more bytes of header");
    }
    assert!(
        RawPacket {
            extension: vec![7; 1025 - 48],
            ..RawPacket::example()
        }
        .read()
        .is_err()
    );
}

#[test]
fn impossible_packets_are_refused() {
    let example = RawPacket::example;
    for (packet, reason) in [
        (
            RawPacket {
                latent_frames: 0,
                ..example()
            },
            "0 latent frames",
        ),
        (
            RawPacket {
                latent_frames: 4097,
                ..example()
            },
            "4097 latent frames",
        ),
        (
            RawPacket {
                latent_frames: 2,
                ..example()
            },
            "2 latent frames take 8",
        ),
        (
            RawPacket {
                payload: vec![0; 5],
                ..example()
            },
            "5 bytes",
        ),
        (
            RawPacket {
                real_frames: 0,
                ..example()
            },
            "0 video frames",
        ),
        (
            RawPacket {
                real_frames: 2,
                ..example()
            },
            "2 video frames",
        ),
        (
            RawPacket {
                flags: 0,
                real_frames: 5,
                ..example()
            },
            "5 video frames",
        ),
        (
            RawPacket {
                real_frames: u32::MAX,
                flags: 4,
                ..example()
            },
            "4294967295 video frames",
        ),
        (
            RawPacket {
                pts: u64::MAX - 1,
                ..example()
            },
            "PTS",
        ),
        (
            RawPacket {
                pts: u64::MAX,
                flags: 4,
                real_frames: 2,
                offsets: vec![1],
                ..example()
            },
            "without a PTS",
        ),
        (
            RawPacket {
                flags: 4,
                real_frames: 2,
                offsets: vec![u64::MAX],
                ..example()
            },
            "offset",
        ),
    ] {
        match packet.read() {
            Err(Fault::Refused(error @ StreamError::Packet(_))) => {
                assert!(error.to_string().contains(reason), "{error}: {reason}");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
    let without_times = RawPacket {
        pts: u64::MAX,
        ..example()
    };
    assert_eq!(without_times.read().unwrap().pts, None);
}

#[test]
fn a_packet_of_few_bits_an_index_does_not_unpack_to_gigabytes() {
    // With two codes, 2²² cells take half a megabyte, and 16 MiB as indices.
    let format = TokenFormat {
        regularizer: Regularizer::Fsq { levels: vec![2] },
        space_factor: 1,
        width: 2048,
        height: 2048,
        grid_width: 2048,
        grid_height: 2048,
        ..example_format()
    };
    let packet = |latent_frames: u32| Packet {
        segment_start: true,
        latent_frames,
        real_frames: 1,
        payload: vec![0; format.payload_length(latent_frames).max() as usize],
        ..Packet::default()
    };
    assert!(packet(4).encode(&format, 0, None).is_ok());
    let error = packet(5).encode(&format, 0, None).unwrap_err().to_string();
    assert!(error.contains("16777216 indices"), "{error}");
    let raw = RawPacket {
        latent_frames: 5,
        payload: packet(5).payload,
        ..RawPacket::example()
    };
    match Packet::decode(&raw.bytes(), &format) {
        Err(Fault::Refused(StreamError::Packet(reason))) => assert!(reason.contains("16777216"), "{reason}"),
        other => panic!("{:?}", other.map(|(_, bytes)| bytes)),
    }
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let mut writer = Writer::new(example_format(), STREAM_ID).unwrap();
    let start = Packet {
        segment_start: true,
        latent_frames: 1,
        real_frames: 1,
        payload: vec![0; 4],
        ..Packet::default()
    };
    let good = Packet {
        latent_frames: 1,
        real_frames: 4,
        pts: Some(0),
        payload: vec![0; 4],
        ..Packet::default()
    };
    match writer.write(&good) {
        Err(StreamError::Packet(text)) => assert!(text.contains("must start a segment"), "{text}"),
        other => panic!("the first packet: {other:?}"),
    }
    assert!(writer.write(&start).is_ok() && writer.write(&good).is_ok());
    for bad in [
        Packet {
            latent_frames: 0,
            ..good.clone()
        },
        Packet {
            latent_frames: 2,
            ..good.clone()
        },
        Packet {
            real_frames: 5,
            ..good.clone()
        },
        Packet {
            segment_start: true,
            ..good.clone()
        },
        Packet {
            offsets: Some(vec![1, 2]),
            ..good.clone()
        },
        Packet {
            offsets: Some(vec![1, 2, u64::MAX]),
            ..good.clone()
        },
        Packet {
            offsets: Some(vec![1, 2, 3]),
            pts: None,
            ..good.clone()
        },
        Packet {
            pts: Some(u64::MAX - 1),
            ..good.clone()
        },
    ] {
        assert!(matches!(writer.write(&bad), Err(StreamError::Packet(_))), "{bad:?}");
    }
}

#[test]
fn stream_headers_are_read_leniently_where_it_is_safe() {
    let read = |json: &str| StreamHeader::decode(&raw_header(1, json)).map(|(header, _)| header.format);
    let json = example_json();
    let with_more = json.replacen('{', r#"{"new-in-1.7":{"a":[1,2]},"#, 1);
    assert_eq!(read(&with_more), Ok(example_format()));
    assert_eq!(
        read(&json.replace(r#""token-type":"uint16","#, "")),
        Ok(example_format())
    );
    assert_eq!(
        read(&json.replace(r#""codebook-size":32768,"#, "")),
        Ok(example_format())
    );
}

#[test]
fn impossible_stream_headers_are_refused_with_the_reason() {
    let json = example_json();
    let kl = r#""regularizer":"kl","channels":4"#;
    for (from, to, reason) in [
        (r#""coding":"packed""#, r#""coding":"huffman""#, "\"huffman\""),
        (r#""regularizer":"fsq""#, r#""regularizer":"vq""#, "\"vq\""),
        (r#""levels":[8,8,8,8,8]"#, r#""channels":4"#, "levels"),
        (r#""codebook-size":32768"#, r#""codebook-size":32767"#, "codebook-size"),
        ("[8,8,8,8,8]", "[4294967295,4294967295]", "levels"),
        ("[8,8,8,8,8]", "[]", "levels"),
        (r#""causal":true,"#, "", "causal"),
        (r#""grid-width":2"#, r#""grid-width":3"#, "grid"),
        (r#""width":16"#, r#""width":-16"#, "-16"),
        (r#""framerate":"30/1""#, r#""framerate":"30/0""#, "30/0"),
        ("example", r"two\nlines", "name"),
        (r#""time-factor":4"#, r#""time-factor":1000"#, "1000"),
        (r#""token-type":"uint16""#, r#""token-type":"float32""#, "float32"),
        (
            r#""regularizer":"fsq","levels":[8,8,8,8,8],"codebook-size":32768,"token-type":"uint16""#,
            kl,
            "token-type",
        ),
        ("{", r#"{"new":1,"new":1,"#, "twice"),
        ("}", "", "EOF"),
    ] {
        assert!(json.contains(from));
        match StreamHeader::decode(&raw_header(1, &json.replace(from, to))) {
            Err(Fault::Refused(error @ StreamError::Header(_))) => {
                assert!(error.to_string().contains(reason), "{error}: {reason}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
}
