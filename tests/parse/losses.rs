//! Warnings and counters of damage and of missing packets.

use super::*;

fn number(player: &Player, field: &str) -> u64 {
    let stats: gst::Structure = player.parser().property("stats");
    stats.get(field).unwrap()
}

fn has_discont(sample: &gst::Sample) -> bool {
    flags(sample).contains(gst::BufferFlags::DISCONT)
}

#[test]
fn much_damage_is_reported_once_and_summed_up() {
    let format = format(64);
    let mut pieces = pieces(&format, 200);
    for piece in pieces.iter_mut().skip(1).step_by(2) {
        *piece.last_mut().unwrap() ^= 1;
    }
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let player = Player::play(&pieces.concat(), middle);
        assert_eq!(player.samples().len(), 500, "{middle}");
        let warnings = player.warnings();
        assert_eq!(warnings.len(), 2, "{middle}: {warnings:?}");
        assert!(warnings[0].contains("summed up at the end"), "{warnings:?}");
        assert!(warnings[1].contains("499 places"), "{warnings:?}");
        assert_eq!(number(&player, "damaged-places"), 500);
    }
}

#[test]
fn a_missing_packet_is_a_warning_and_a_discont() {
    let format = format(64);
    let whole = pieces(&format, 3);
    let without = [&whole[..7], &whole[9..]].concat();
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let player = Player::play(&without.concat(), middle);
        let samples = player.samples();
        assert_eq!(samples.len(), 13);
        let disconts: Vec<usize> = (1..13).filter(|i| has_discont(&samples[*i])).collect();
        assert_eq!(disconts, [7], "{middle}");
        let warnings = player.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("2 latent frames"), "{warnings:?}");
        assert_eq!(
            (number(&player, "holes"), number(&player, "missing-latent-frames")),
            (1, 2)
        );
    }
}

#[test]
fn a_packet_that_comes_twice_passes_once() {
    let format = format(64);
    let whole = pieces(&format, 2);
    for doubled in [0, 3, 5] {
        let mut bytes = whole.clone();
        bytes.insert(doubled, whole[doubled].clone());
        let player = Player::play(&bytes.concat(), "vidtokparse");
        assert_framed(&buffers(&player.samples()), &packets(&format, 2), &whole);
        assert_eq!(player.warnings().len(), 1, "{doubled}");
        assert_eq!(number(&player, "repeated-packets"), 1);
    }
}

#[test]
fn packets_of_two_writers_are_told_apart() {
    let format = format(64);
    let of = |id| {
        let mut writer = Writer::new(format.clone(), id).unwrap();
        let pieces = packets(&format, 2);
        pieces
            .iter()
            .map(|packet| writer.write(packet).unwrap())
            .collect::<Vec<_>>()
    };
    let (first, second) = (of("first"), of("second"));
    // The end of the second stream without its stream header is unreadable.
    let player = Player::play(&[&first[..7], &second[7..]].concat().concat(), "vidtokparse");
    assert_eq!(player.samples().len(), 7);
    assert_eq!(player.warnings().len(), 1);
    // The second stream behind an unfinished segment of the first.
    let player = Player::play(&[&first[..7], &second[..]].concat().concat(), "vidtokparse");
    let samples = player.samples();
    assert_eq!(samples.len(), 17);
    assert!(has_discont(&samples[7]));
    assert_eq!(number(&player, "holes"), 1);
}

#[test]
fn end_marks_pass_as_buffers_of_their_own() {
    let format = format(64);
    let mut writer = Writer::new(format.clone(), "a-stream").unwrap();
    let mut packets = packets(&format, 2);
    packets[4].segment_end = false;
    let mut pieces = Vec::new();
    for (i, packet) in packets.iter().enumerate() {
        pieces.push(writer.write(packet).unwrap());
        if i == 4 {
            pieces.extend(writer.end_segment().unwrap());
        }
    }
    pieces.push(writer.end().unwrap());
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let player = Player::play(&pieces.concat(), middle);
        let samples = player.samples();
        assert!(samples.iter().map(bytes_of).eq(pieces.iter().cloned()), "{middle}");
        for (at, end) in [(5, SEGMENT), (11, 2 * SEGMENT)] {
            let buffer = samples[at].buffer().unwrap();
            let marks = gst::BufferFlags::HEADER | gst::BufferFlags::DELTA_UNIT;
            assert!(buffer.flags().contains(marks), "{:?}", buffer.flags());
            assert_eq!(buffer.duration(), Some(ClockTime::ZERO));
            assert_eq!(pts(&samples[at]), end);
        }
        assert_eq!(player.warnings(), Vec::<String>::new());
        assert_eq!(
            player.pipeline.query_duration(),
            Some(ClockTime::from_nseconds(2 * SEGMENT))
        );
    }
    let samples = Player::play(&pieces.concat(), "vidtokparse ! video/x-vidtok,stream-format=raw").samples();
    assert_eq!(samples.len(), packets.len());
}

#[test]
fn damage_in_front_of_the_first_packet_is_a_hole() {
    let bytes = [&[7; 100], &pieces(&format(64), 2).concat()[..]].concat();
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        let player = Player::play(&bytes, middle);
        assert!(has_discont(&player.samples()[0]));
        assert_eq!((number(&player, "holes"), player.warnings().len()), (1, 1), "{middle}");
    }
}

#[test]
fn a_discont_of_an_end_mark_stays() {
    init();
    let format = format(64);
    let mut writer = Writer::new(format.clone(), "a-stream").unwrap();
    let mut pieces: Vec<_> = packets(&format, 1)
        .into_iter()
        .map(|packet| Packet {
            segment_end: false,
            end_of_stream: false,
            ..packet
        })
        .map(|packet| writer.write(&packet).unwrap())
        .collect();
    pieces.push(writer.end().unwrap());
    let mut harness = Harness::new("vidtokparse");
    harness.set_src_caps_str("video/x-vidtok, stream-format=framed");
    for (i, piece) in pieces.iter().enumerate() {
        let mut buffer = gst::Buffer::from_slice(piece.clone());
        if i == pieces.len() - 1 {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        harness.push(buffer).unwrap();
    }
    let disconts: Vec<bool> = std::iter::from_fn(|| harness.try_pull())
        .map(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT))
        .collect();
    assert_eq!(disconts[1..], [false, false, false, false, true]);
}

#[test]
fn a_stream_without_its_end_is_reported() {
    let format = format(64);
    let whole = pieces(&format, 3);
    let has_ended = |player: &Player| player.parser().property::<gst::Structure>("stats").get::<bool>("ended");
    for middle in ["vidtokparse", "queue ! vidtokparse"] {
        for (pieces, ended) in [(&whole[..], true), (&whole[..14], false), (&whole[..10], false)] {
            let player = Player::play(&pieces.concat(), middle);
            player.samples();
            assert_eq!(
                player.warnings().len(),
                usize::from(!ended),
                "{middle}: {}",
                pieces.len()
            );
            assert_eq!(has_ended(&player), Ok(ended));
        }
        // Playback to a stop, or of one packet per segment, does not reach the end mark.
        for (to, flags) in [
            (SEGMENT + SEGMENT / 2, gst::SeekFlags::ACCURATE),
            (
                3 * SEGMENT,
                gst::SeekFlags::TRICKMODE | gst::SeekFlags::TRICKMODE_KEY_UNITS,
            ),
        ] {
            let player = Player::pause(&whole.concat(), middle);
            let set = gst::SeekType::Set;
            let (from, to) = (ClockTime::from_nseconds(FRAME), ClockTime::from_nseconds(to));
            let flags = gst::SeekFlags::FLUSH | flags;
            player.pipeline.seek(1.0, flags, set, from, set, to).unwrap();
            player.pipeline.set_state(gst::State::Playing).unwrap();
            player.samples();
            assert_eq!(player.warnings(), Vec::<String>::new(), "{middle} {flags:?}");
            assert_eq!(has_ended(&player), Ok(false));
        }
    }
}
