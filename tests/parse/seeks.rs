//! Seeks in files that are pulled.

use super::*;

#[test]
fn a_file_knows_its_duration_and_can_be_sought_in() {
    let player = Player::pause(&pieces(&format(64), 4).concat(), "vidtokparse");
    let duration = ClockTime::from_nseconds(4 * SEGMENT);
    assert_eq!(player.pipeline.query_duration::<ClockTime>(), Some(duration));
    assert_eq!(player.pipeline.query_position::<ClockTime>(), Some(ClockTime::ZERO));
    let mut query = gst::query::Seeking::new(gst::Format::Time);
    assert!(player.pipeline.query(&mut query));
    assert_eq!(query.result(), (true, ClockTime::ZERO.into(), duration.into()));
    let mut query = gst::query::Seeking::new(gst::Format::Bytes);
    assert!(player.sink.static_pad("sink").unwrap().peer_query(&mut query));
    assert!(!query.result().0, "only by time");
}

#[test]
fn seeks_begin_at_segment_starts() {
    use gst::SeekFlags as Flags;
    let format = format(64);
    let pieces = pieces(&format, 50);
    let player = Player::pause(&pieces.concat(), "vidtokparse");
    let inside = |segment| segment * SEGMENT + SEGMENT / 3;
    for (flags, to, segment, shown_from) in [
        (Flags::KEY_UNIT, inside(2), 2, 2 * SEGMENT),
        (Flags::ACCURATE, inside(45), 45, inside(45)),
        (Flags::empty(), inside(30), 30, inside(30)),
        (Flags::KEY_UNIT, inside(1), 1, SEGMENT),
        (Flags::KEY_UNIT | Flags::SNAP_AFTER, inside(7), 8, 8 * SEGMENT),
        (Flags::KEY_UNIT | Flags::SNAP_NEAREST, inside(9), 9, 9 * SEGMENT),
        (Flags::ACCURATE, 3 * SEGMENT, 3, 3 * SEGMENT),
        (Flags::ACCURATE, 0, 0, 0),
        (Flags::ACCURATE, 49 * SEGMENT - 1, 48, 49 * SEGMENT - 1),
        (Flags::KEY_UNIT, 1000 * SEGMENT, 49, 49 * SEGMENT),
    ] {
        let (buffer, from) = player.seek(flags, to);
        let expected = ClockTime::from_nseconds(segment * SEGMENT);
        assert_eq!(buffer.pts(), Some(expected), "{flags:?} to {to}");
        let piece = &pieces[(segment * PACKETS_PER_SEGMENT) as usize];
        assert!(*buffer.map_readable().unwrap() == piece[..]);
        assert_eq!(from, shown_from, "{flags:?} to {to}");
    }
    // To a stop position, and no further.
    let (from, to) = (
        ClockTime::from_nseconds(inside(20)),
        ClockTime::from_nseconds(inside(22)),
    );
    player.buffers.lock().unwrap().clear();
    let flags = Flags::FLUSH | Flags::ACCURATE;
    let set = gst::SeekType::Set;
    player.pipeline.seek(1.0, flags, set, from, set, to).unwrap();
    player.pipeline.set_state(gst::State::Playing).unwrap();
    player.samples();
    let buffers = player.buffers.lock().unwrap();
    let expected = ClockTime::from_nseconds(20 * SEGMENT);
    assert_eq!(buffers[0].pts(), Some(expected));
    let last = buffers.last().unwrap().pts().unwrap();
    assert!(last <= to && last + ClockTime::from_nseconds(4 * FRAME) >= to);
}

#[test]
fn many_seeks_while_playing_end_where_they_should() {
    let format = format(64);
    let pieces = pieces(&format, 40);
    let player = Player::play(&pieces.concat(), "vidtokparse");
    player.sink.set_property("drop", true);
    player.sink.set_property("max-buffers", 1u32);
    player.wait_for_state();
    for i in 0..200 {
        let (flags, to) = if i % 2 == 0 {
            (gst::SeekFlags::KEY_UNIT, i * 7919 % 40 * SEGMENT)
        } else {
            (gst::SeekFlags::ACCURATE, i * 104_729 % 4000 * SEGMENT / 100)
        };
        let to = ClockTime::from_nseconds(to);
        player.pipeline.seek_simple(gst::SeekFlags::FLUSH | flags, to).unwrap();
    }
    player.buffers.lock().unwrap().clear();
    player.assert_plays_from(39, &packets(&format, 40), &pieces);
}

#[test]
fn a_file_of_one_segment_is_sought_from_its_start() {
    let player = Player::pause(&pieces(&format(64), 1).concat(), "vidtokparse");
    for flags in [gst::SeekFlags::KEY_UNIT, gst::SeekFlags::ACCURATE] {
        let (buffer, from) = player.seek(flags, SEGMENT / 2);
        assert_eq!((buffer.pts(), from), (Some(ClockTime::ZERO), SEGMENT / 2));
    }
}

#[test]
fn what_cannot_be_sought_says_so() {
    let bytes = pieces(&format(64), 3).concat();
    let seek = |player: &Player, rate: f64| {
        let (from, none) = (ClockTime::from_nseconds(SEGMENT), ClockTime::NONE);
        player.pipeline.seek(
            rate,
            gst::SeekFlags::FLUSH,
            gst::SeekType::Set,
            from,
            gst::SeekType::Set,
            none,
        )
    };
    let player = Player::pause(&bytes, "vidtokparse");
    assert!(seek(&player, -1.0).is_err());
    assert!(seek(&player, 2.0).is_ok());

    // A pipe does not answer queries about seeks and duration.
    let pipe = "queue ! identity name=pipe ! vidtokparse";
    let player = Player::new(&bytes, pipe);
    let refuse = |_: &gst::Pad, info: &mut gst::PadProbeInfo| match info.query().map(|query| query.type_()) {
        Some(gst::QueryType::Seeking | gst::QueryType::Duration) => gst::PadProbeReturn::Drop,
        _ => gst::PadProbeReturn::Ok,
    };
    let pipe = player.pipeline.by_name("pipe").unwrap();
    pipe.static_pad("src")
        .unwrap()
        .add_probe(gst::PadProbeType::QUERY_UPSTREAM, refuse);
    player.pipeline.set_state(gst::State::Paused).unwrap();
    player.wait_for_state();
    assert!(seek(&player, 1.0).is_err());
    assert_eq!(player.pipeline.query_duration::<ClockTime>(), None);
    let mut query = gst::query::Seeking::new(gst::Format::Time);
    assert!(player.pipeline.query(&mut query));
    assert!(!query.result().0);
}
