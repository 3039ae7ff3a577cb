//! Times of playback: late starts, upstream's times, gaps, joins, steps back, trick modes, key-unit seeks.

use super::*;

/// The packets of [`super::packets`], `later` nanoseconds later, and their pieces. The last piece is the end mark.
pub fn late(format: &TokenFormat, segments: u64, later: u64) -> (Vec<Packet>, Vec<Vec<u8>>) {
    let mut packets = packets(format, segments);
    for packet in &mut packets {
        packet.pts = packet.pts.map(|pts| pts + later);
    }
    let mut writer = Writer::new(format.clone(), format!("a-stream-{later}")).unwrap();
    let mut pieces: Vec<_> = packets.iter().map(|packet| writer.write(packet).unwrap()).collect();
    pieces.push(writer.end().unwrap());
    (packets, pieces)
}

fn segment_of(sample: &gst::Sample) -> gst::FormattedSegment<ClockTime> {
    sample
        .segment()
        .unwrap()
        .downcast_ref::<ClockTime>()
        .expect("a segment in time")
        .clone()
}

fn at(nanoseconds: u64) -> ClockTime {
    ClockTime::from_nseconds(nanoseconds)
}

/// A parser whose input segment is in time, without threads.
fn in_time() -> Harness {
    init();
    let mut harness = Harness::new("vidtokparse");
    harness.set_src_caps_str("video/x-vidtok, stream-format=framed");
    harness
}

fn timed(bytes: &[u8], pts: Option<u64>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(bytes.to_vec());
    buffer.get_mut().unwrap().set_pts(pts.map(at));
    buffer
}

fn out(harness: &mut Harness) -> Vec<Option<u64>> {
    std::iter::from_fn(|| harness.try_pull())
        .map(|buffer| buffer.pts().map(ClockTime::nseconds))
        .collect()
}

#[test]
fn a_file_that_began_late_plays_at_once() {
    let format = format(64);
    // 8 s, and the time of day.
    for later in [8_000_000_000, 1_790_000_000_000_000_000] {
        let (packets, pieces) = late(&format, 3, later);
        for middle in ["vidtokparse", "queue ! vidtokparse"] {
            let player = Player::play(&pieces.concat(), middle);
            let samples = player.samples();
            assert_framed(&buffers(&samples), &packets, &pieces);
            for (sample, packet) in samples.iter().zip(&packets) {
                let (segment, pts) = (segment_of(sample), at(packet.pts.unwrap()));
                assert_eq!(segment.to_running_time(pts), Some(pts - at(later)), "{middle}");
                assert_eq!(segment.to_stream_time(pts), Some(pts - at(later)), "{middle}");
            }
            let duration = at(3 * SEGMENT);
            assert_eq!(
                player.pipeline.query_duration::<ClockTime>(),
                Some(duration),
                "{middle}"
            );
            let mut query = gst::query::Seeking::new(gst::Format::Time);
            assert!(player.pipeline.query(&mut query));
            assert_eq!(
                query.result(),
                (true, ClockTime::ZERO.into(), duration.into()),
                "{middle}"
            );
        }
        for middle in ["vidtokparse", "queue ! vidtokparse"] {
            let player = Player::pause(&pieces.concat(), middle);
            for (flags, to, segment) in [
                (gst::SeekFlags::ACCURATE, SEGMENT + FRAME, 1),
                (gst::SeekFlags::ACCURATE, 0, 0),
                (gst::SeekFlags::KEY_UNIT, 2 * SEGMENT + FRAME, 2),
            ] {
                let (buffer, from) = player.seek(flags, to);
                assert_eq!(buffer.pts(), Some(at(later + segment * SEGMENT)), "{middle} {to}");
                let shown = if flags == gst::SeekFlags::ACCURATE {
                    to
                } else {
                    segment * SEGMENT
                };
                assert_eq!(from, later + shown, "{middle} {to}");
                assert_eq!(
                    player.pipeline.query_position::<ClockTime>(),
                    Some(at(shown)),
                    "{middle}"
                );
            }
            let parser = player.parser().static_pad("src").unwrap();
            let position = parser.query_position::<ClockTime>().unwrap();
            assert!(position <= at(3 * SEGMENT), "{position}");
        }
    }
}

#[test]
fn a_file_that_was_joined_late_has_no_gap() {
    let format = format(64);
    let bytes = [
        late(&format, 1, 0).1.concat(),
        late(&format, 1, 90_000_000_000).1.concat(),
    ]
    .concat();
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let times = packet_times(&Player::play(&bytes, middle).samples());
        let expected: Vec<u64> = packets(&format, 2).iter().map(|packet| packet.pts.unwrap()).collect();
        assert_eq!(times, expected, "{middle}");
    }
}

#[test]
fn upstreams_timestamps_count_if_it_has_them() {
    let format = format(64);
    let (packets, pieces) = (packets(&format, 2), pieces(&format, 2));
    let shift = 1_000_000_000;
    let own = |i: usize| packets[i].pts.unwrap();
    let shifted: Vec<_> = (0..packets.len()).map(|i| Some(own(i) + shift)).collect();

    // One packet per buffer.
    let mut harness = in_time();
    for (piece, pts) in pieces.iter().zip(&shifted) {
        harness.push(timed(piece, *pts)).unwrap();
    }
    assert_eq!(out(&mut harness), shifted);

    // Three packets per buffer: the times of the others follow from the first.
    let mut harness = in_time();
    for (three, pts) in pieces.chunks(3).zip(shifted.chunks(3)) {
        harness.push(timed(&three.concat(), pts[0])).unwrap();
    }
    assert_eq!(out(&mut harness), shifted);

    // Packets in several buffers, of which the first or all have a time; the stream header is in a buffer of its own.
    for all in [false, true] {
        let mut harness = in_time();
        for (piece, pts) in pieces.iter().zip(&shifted) {
            let header = if piece.starts_with(b"\x89VIDTOK") {
                piece.windows(4).position(|bytes| bytes == b"\x89VTP").unwrap()
            } else {
                0
            };
            if header > 0 {
                harness.push(timed(&piece[..header], None)).unwrap();
            }
            for (i, part) in piece[header..].chunks(50).enumerate() {
                harness.push(timed(part, pts.filter(|_| all || i == 0))).unwrap();
            }
        }
        assert_eq!(out(&mut harness), shifted);
    }

    // Without timestamps, the packets' own times count.
    let mut harness = in_time();
    for piece in &pieces {
        harness.push(timed(piece, None)).unwrap();
    }
    assert_eq!(
        out(&mut harness),
        packets.iter().map(|packet| packet.pts).collect::<Vec<_>>()
    );
}

#[test]
fn no_caps_are_made_up_before_a_stream_header() {
    let format = format(64);
    let pieces = pieces(&format, 2);
    let mut harness = in_time();
    let gap = || gst::event::Gap::builder(ClockTime::ZERO).duration(at(FRAME)).build();
    assert!(harness.push_event(gap()));
    let still = gst::Structure::builder("GstEventStillFrame")
        .field("still-state", true)
        .build();
    assert!(harness.push_event(gst::event::CustomDownstream::new(still)));
    harness.push(timed(&pieces[0][..40], None)).unwrap();
    assert!(harness.push_event(gap()));
    harness.push(timed(&pieces[0][40..], None)).unwrap();
    harness.push(timed(&pieces[1], None)).unwrap();
    // A gap event inside a packet does not cut it off.
    for (piece, cut) in pieces[2..].iter().zip([60, 1, 5, 11]) {
        harness.push(timed(&piece[..cut], None)).unwrap();
        assert!(harness.push_event(gap()));
        harness.push(timed(&piece[cut..], None)).unwrap();
    }
    // A gap event between packets is passed on.
    assert!(harness.push_event(gap()));
    assert_eq!(out(&mut harness).len(), 6);
    let events: Vec<_> = std::iter::from_fn(|| harness.try_pull_event()).collect();
    let caps: Vec<_> = events
        .iter()
        .filter_map(|event| match event.view() {
            gst::EventView::Caps(caps) => Some(caps.caps_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(caps, [format.to_caps(StreamFormat::Framed)]);
    assert_eq!(
        events
            .iter()
            .filter(|event| event.type_() == gst::EventType::Gap)
            .count(),
        1
    );
}

#[test]
fn key_unit_trick_modes_have_one_packet_per_segment() {
    let format = format(64);
    let pieces = pieces(&format, 6);
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let player = Player::pause(&pieces.concat(), middle);
        let (from, set) = (at(SEGMENT), gst::SeekType::Set);
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::TRICKMODE | gst::SeekFlags::TRICKMODE_KEY_UNITS;
        let none = ClockTime::NONE;
        player.buffers.lock().unwrap().clear();
        player
            .pipeline
            .seek(4.0, flags, set, from, gst::SeekType::None, none)
            .unwrap();
        player.pipeline.set_state(gst::State::Playing).unwrap();
        let samples = player.samples();
        let starts: Vec<u64> = (1..6).map(|segment| segment * SEGMENT).collect();
        let buffers = player.buffers.lock().unwrap();
        let times: Vec<u64> = buffers.iter().map(|buffer| buffer.pts().unwrap().nseconds()).collect();
        assert_eq!(times, starts, "{middle}");
        assert!(
            buffers
                .iter()
                .all(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT))
        );
        let flags = segment_of(&samples[0]).flags();
        assert!(flags.contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS), "{middle}");
        assert_eq!(player.warnings(), Vec::<String>::new());
        drop(buffers);
        // Back to normal playback.
        player.buffers.lock().unwrap().clear();
        player
            .pipeline
            .seek_simple(gst::SeekFlags::FLUSH, at(5 * SEGMENT))
            .unwrap();
        player.samples();
        assert_eq!(
            player.buffers.lock().unwrap().len() as u64,
            PACKETS_PER_SEGMENT,
            "{middle}"
        );
    }
}

#[test]
fn a_seek_that_snaps_stays_before_its_stop() {
    let bytes = pieces(&format(64), 4).concat();
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let player = Player::pause(&bytes, middle);
        for (snap, from, to, shown) in [
            (
                gst::SeekFlags::SNAP_AFTER,
                SEGMENT + FRAME,
                SEGMENT + 9 * FRAME,
                SEGMENT,
            ),
            (gst::SeekFlags::SNAP_AFTER, SEGMENT + FRAME, 2 * SEGMENT, SEGMENT),
            (
                gst::SeekFlags::SNAP_NEAREST,
                2 * SEGMENT - FRAME,
                2 * SEGMENT - 1,
                SEGMENT,
            ),
            (
                gst::SeekFlags::SNAP_AFTER,
                SEGMENT + FRAME,
                2 * SEGMENT + FRAME,
                2 * SEGMENT,
            ),
        ] {
            player.buffers.lock().unwrap().clear();
            let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT | snap;
            let set = gst::SeekType::Set;
            player.pipeline.seek(1.0, flags, set, at(from), set, at(to)).unwrap();
            let sample = player.sink.try_pull_preroll(TIMEOUT).expect("a sample");
            let segment = segment_of(&sample);
            assert_eq!(segment.start(), Some(at(shown)), "{middle}: {snap:?} {from} to {to}");
            assert_eq!(segment.stop(), Some(at(to)), "{middle}");
            assert_eq!(player.buffers.lock().unwrap()[0].pts(), Some(at(shown)), "{middle}");
        }
        // A seek with a stop before its start is refused.
        let (flags, set) = (gst::SeekFlags::FLUSH, gst::SeekType::Set);
        let seek = gst::event::Seek::new(1.0, flags, set, at(2 * FRAME), set, at(FRAME));
        assert!(!player.parser().send_event(seek), "{middle}");
    }
}
