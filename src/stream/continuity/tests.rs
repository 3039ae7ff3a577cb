//! Streams whose packets are missing, doubled or out of order, from one writer and from two.

use proptest::prelude::*;

use crate::format::TokenFormat;
use crate::stream::{Event, Hole, Loss, OnLoss, Packet, Reader, Writer};

/// Packets of a segment in most tests here.
const SEGMENT: usize = 8;

/// Two cells of 16 bits.
fn format() -> TokenFormat {
    TokenFormat::toy(&[16; 4], 2, 1)
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Flag,
    Mark,
}

/// The stream `id` with segments of so many packets; each piece is a packet, behind its stream header where it starts a
/// segment, or an end mark. A packet's payload is its number in the stream, and `id`'s first character.
fn pieces(id: &str, segments: &[(usize, Ends)]) -> Vec<Vec<u8>> {
    let mut writer = Writer::new(format(), id).unwrap();
    let (mut pieces, mut count) = (Vec::new(), 0u8);
    for &(packets, ends) in segments {
        for at in 0..packets {
            let packet = Packet {
                segment_start: at == 0,
                segment_end: at == packets - 1 && ends == Ends::Flag,
                latent_frames: 1,
                real_frames: if at == 0 { 1 } else { 4 },
                payload: vec![count, id.as_bytes()[0], 0, 0],
                ..Packet::default()
            };
            pieces.push(writer.write(&packet).unwrap());
            count += 1;
        }
        pieces.extend(writer.end_segment().unwrap());
    }
    pieces.push(writer.end().unwrap());
    pieces
}

/// Three segments, 25 pieces: the last is the stream's end mark.
fn stream(id: &str) -> Vec<Vec<u8>> {
    pieces(id, &[(SEGMENT, Ends::Flag); 3])
}

/// What a reader says of a stream.
#[derive(Debug, Default, PartialEq)]
struct Read {
    /// Number and stream of each packet.
    packets: Vec<(u8, char)>,
    /// Each hole, and how many packets came before it.
    holes: Vec<(usize, Loss, Option<u64>)>,
    skipped: u64,
    ended: bool,
}

fn read(pieces: &[Vec<u8>], on_loss: OnLoss) -> Read {
    let mut reader = Reader::on_loss(on_loss);
    reader.push(&pieces.concat());
    reader.finish();
    let mut read = Read::default();
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Packet(packet) => read.packets.push((packet.payload[0], packet.payload[1].into())),
            Event::Hole(Hole { loss, latent_frames }) => read.holes.push((read.packets.len(), loss, latent_frames)),
            Event::Skipped { bytes } | Event::CutTail { bytes } => read.skipped += bytes,
            Event::Header(_) | Event::End(_) => (),
        }
    }
    read.ended = reader.has_ended();
    read
}

fn wait(pieces: &[Vec<u8>]) -> Read {
    read(pieces, OnLoss::Wait)
}

fn numbers(read: &Read) -> Vec<u8> {
    read.packets.iter().map(|(number, _)| *number).collect()
}

#[test]
fn a_whole_stream_has_no_hole_and_an_end() {
    let whole = wait(&stream("a"));
    assert_eq!(numbers(&whole), Vec::from_iter(0..24));
    assert_eq!((&whole.holes[..], whole.ended, whole.skipped), (&[][..], true, 0));
    assert_eq!(
        wait(&pieces("a", &[(3, Ends::Mark), (1, Ends::Flag), (2, Ends::Mark)])).holes,
        []
    );
    assert_eq!(pieces("a", &[]).concat(), [0; 0], "a stream of nothing has no bytes");
}

#[test]
fn a_missing_packet_costs_the_rest_of_its_segment_or_is_told() {
    let mut bytes = stream("a");
    bytes.remove(10);
    let waited = wait(&bytes);
    assert_eq!(numbers(&waited), Vec::from_iter((0..10).chain(16..24)));
    assert_eq!(waited.holes, [(10, Loss::Missing, Some(1))]);
    let continued = read(&bytes, OnLoss::Continue);
    assert_eq!(numbers(&continued), Vec::from_iter((0..10).chain(11..24)));
    assert_eq!(continued.holes, waited.holes);
    // The first packet of a segment, and the last.
    bytes = stream("a");
    bytes.remove(8);
    assert_eq!(wait(&bytes).holes, [(8, Loss::Missing, None)]);
    bytes = stream("a");
    bytes.remove(15);
    assert_eq!(wait(&bytes).holes, [(15, Loss::NoEnd, None)]);
    // The last packets of the stream: its end mark counts them.
    bytes = stream("a");
    bytes.drain(22..24);
    assert_eq!(wait(&bytes).holes, [(22, Loss::Missing, Some(2))]);
    assert!(wait(&bytes).ended);
}

#[test]
fn segments_that_a_writer_leaves_out_are_told() {
    let packet = |count: u8| Packet {
        segment_start: true,
        latent_frames: 1,
        real_frames: 1,
        payload: vec![count, b'a', 0, 0],
        ..Packet::default()
    };
    let mut writer = Writer::new(format(), "a").unwrap();
    writer.skip_to(7);
    let mut pieces = vec![writer.write(&packet(0)).unwrap()];
    // The next one without the end of the one before; one that is missing, behind a segment that has ended.
    for (count, ends, next) in [(1, false, 8), (2, true, 10), (3, true, 11)] {
        pieces.extend(ends.then(|| writer.end_segment().unwrap()).flatten());
        writer.skip_to(next);
        pieces.push(writer.write(&packet(count)).unwrap());
    }
    pieces.push(writer.end().unwrap());
    let read = wait(&pieces);
    assert_eq!(numbers(&read), [0, 1, 2, 3]);
    assert_eq!(read.holes, [(1, Loss::NoEnd, None), (2, Loss::Missing, None)]);
    assert!(read.ended);
    // It is not known how the segment goes on.
    writer.skip_to(12);
    let inner = Packet {
        segment_start: false,
        ..packet(4)
    };
    assert!(writer.write(&inner).is_err());
}

#[test]
fn a_doubled_packet_is_left_out_and_told() {
    for at in 0..24 {
        let mut bytes = stream("a");
        bytes.insert(at, bytes[at].clone());
        for on_loss in [OnLoss::Wait, OnLoss::Continue] {
            let doubled = read(&bytes, on_loss);
            assert_eq!(numbers(&doubled), Vec::from_iter(0..24), "packet {at}");
            assert_eq!(doubled.holes, [(at + 1, Loss::Repeated, None)], "packet {at}");
        }
    }
    // Windows, of which each is a segment.
    let mut bytes = pieces("a", &[(1, Ends::Flag); 5]);
    bytes.insert(2, bytes[2].clone());
    assert_eq!(numbers(&wait(&bytes)), [0, 1, 2, 3, 4]);
    assert_eq!(wait(&bytes).holes, [(3, Loss::Repeated, None)]);
}

#[test]
fn packets_that_change_places_are_one_hole() {
    let mut bytes = stream("a");
    bytes.swap(10, 11);
    let waited = wait(&bytes);
    assert_eq!(numbers(&waited), Vec::from_iter((0..10).chain(16..24)));
    assert_eq!(waited.holes, [(10, Loss::Missing, Some(1))]);
    // The packet that comes too late is left out.
    let continued = read(&bytes, OnLoss::Continue);
    assert_eq!(numbers(&continued), Vec::from_iter((0..10).chain(11..24)));
    assert_eq!(continued.holes, waited.holes);
}

#[test]
fn a_segment_that_comes_again_or_too_late_is_left_out() {
    let repeated = |before| (before, Loss::Repeated, None);
    let [first, second, third] = [0..8, 8..16, 16..24].map(|range| stream("a")[range].to_vec());
    let twice = wait(&[&first[..], &second, &second, &third].concat());
    assert_eq!(numbers(&twice), Vec::from_iter(0..24));
    assert_eq!(twice.holes, [repeated(16)]);
    let swapped = wait(&[&first[..], &third, &second].concat());
    assert_eq!(numbers(&swapped), Vec::from_iter((0..8).chain(16..24)));
    assert_eq!(swapped.holes, [(8, Loss::Missing, None), repeated(16)]);
    // In the middle of the segment itself: its new packets follow.
    let again = wait(&[&first[..], &second[..5], &second, &third].concat());
    assert_eq!(numbers(&again), Vec::from_iter(0..24));
    assert_eq!(again.holes, [repeated(13)]);
}

#[test]
fn a_start_that_comes_behind_its_segments_second_packet_is_no_join() {
    for start in [0, 8] {
        let mut bytes = stream("a");
        // A packet can be read if an equal stream header came before.
        let header = bytes[0].len() - bytes[1].len();
        let header = bytes[start][..header].to_vec();
        bytes.swap(start, start + 1);
        bytes[start].splice(0..0, header);
        let late = wait(&bytes);
        let rest = start as u8 + 8..24;
        assert_eq!(numbers(&late), Vec::from_iter((0..=start as u8).chain(rest)), "{start}");
        let missing = |before, count| (before, Loss::Missing, count);
        let first = if start == 0 { Some(1) } else { None };
        assert_eq!(late.holes, [missing(start, first), missing(start + 1, Some(1))]);
    }
}

#[test]
fn a_segments_worth_of_packets_is_missed_although_positions_fit() {
    for from in 9..16 {
        let mut bytes = stream("a");
        bytes.drain(from..from + SEGMENT);
        let waited = wait(&bytes);
        assert_eq!(numbers(&waited), Vec::from_iter(0..from as u8), "from {from}");
        let lost = (from, Loss::Missing, None);
        assert_eq!(waited.holes, [lost], "from {from}");
    }
}

#[test]
fn whole_segments_that_are_missing_are_told() {
    let mut bytes = stream("a");
    bytes.drain(8..16);
    assert_eq!(wait(&bytes).holes, [(8, Loss::Missing, None)]);
    assert_eq!(numbers(&wait(&bytes)), Vec::from_iter((0..8).chain(16..24)));
    // The last segment: the end mark names it, whatever its length.
    let mut bytes = stream("a");
    bytes.drain(16..24);
    assert_eq!(wait(&bytes).holes, [(16, Loss::Missing, None)]);
}

#[test]
fn packets_of_two_writers_are_told_apart() {
    let (a, b) = (stream("a"), stream("b"));
    let bytes: Vec<Vec<u8>> = a.iter().zip(&b).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    for on_loss in [OnLoss::Wait, OnLoss::Continue] {
        let read = read(&bytes, on_loss);
        assert!(!read.holes.is_empty());
        for pair in read.packets.windows(2) {
            let ((before, of), (number, stream)) = (pair[0], pair[1]);
            let starts = usize::from(number).is_multiple_of(SEGMENT);
            assert!(starts || (number == before + 1 && stream == of), "{pair:?}");
        }
    }
}

#[test]
fn a_stream_is_cut_in_front_of_any_stream_header() {
    let bytes = pieces("a", &[(3, Ends::Flag), (2, Ends::Mark), (4, Ends::Flag)]);
    let mut starts = 0;
    for cut in (0..bytes.len()).filter(|at| bytes[*at].starts_with(b"\x89VIDTOK")) {
        let (first, second) = (wait(&bytes[..cut]), wait(&bytes[cut..]));
        assert_eq!((first.holes, second.holes), (vec![], vec![]), "at {cut}");
        assert_eq!((first.ended, second.ended), (false, true), "at {cut}");
        starts += 1;
    }
    assert_eq!(starts, 5, "three segments and two end marks");
}

#[test]
fn streams_are_joined_by_their_bytes() {
    let (a, b) = (stream("a"), stream("b"));
    for joined in [
        [&a[..], &b],
        [&a, &a],
        [&a[8..], &b[16..]],
        [&a[..16], &b],
        [&a, &a[8..]],
    ] {
        let read = wait(&joined.concat());
        let packets = joined.iter().flat_map(|part| part.iter()).filter(|piece| {
            let sync = b"\x89VTP";
            piece.windows(4).any(|bytes| bytes == sync)
        });
        assert_eq!(read.packets.len(), packets.count());
        assert!(read.ended);
        assert_eq!(read.holes, [], "{} and {} pieces", joined[0].len(), joined[1].len());
    }
    // The first stream was cut off inside a segment.
    let read = wait(&[&a[..20], &b].concat());
    assert_eq!(read.holes, [(20, Loss::NoEnd, None)]);
    assert_eq!(read.packets.len(), 44);
}

#[test]
fn a_tail_cut_at_a_packets_border_is_no_end() {
    let bytes = stream("a");
    for cut in 1..bytes.len() {
        let read = wait(&bytes[..cut]);
        assert_eq!((read.holes, read.skipped, read.ended), (vec![], 0, false), "at {cut}");
    }
}

#[test]
fn damage_between_packets_costs_nothing_where_numbers_go_on() {
    let mut bytes = stream("a");
    bytes.insert(10, vec![0; 100]);
    bytes.insert(9, vec![0; 10]);
    bytes.insert(8, vec![0; 1]);
    let read = wait(&bytes);
    assert_eq!(
        (numbers(&read), read.holes, read.skipped),
        (Vec::from_iter(0..24), vec![], 111)
    );
    // A third stream may have been between the two.
    let read = wait(&[stream("a"), vec![vec![0; 100]], stream("b")].concat());
    assert_eq!(read.holes, [(24, Loss::Damage, None)]);
}

#[test]
fn an_end_mark_that_counts_otherwise_is_told() {
    let other = pieces("a", &[(SEGMENT, Ends::Flag), (SEGMENT, Ends::Flag), (3, Ends::Flag)]);
    let mut bytes = stream("a");
    *bytes.last_mut().unwrap() = other.last().unwrap().clone();
    assert_eq!(wait(&bytes).holes, [(24, Loss::Totals, None)]);
    // Only the whole stream's totals differ: its middle segment was replaced by a longer one of the same number.
    let other = pieces("a", &[(SEGMENT, Ends::Flag), (12, Ends::Flag), (SEGMENT, Ends::Flag)]);
    let bytes = [&stream("a")[..8], &other[8..20], &stream("a")[16..]].concat();
    assert_eq!(wait(&bytes).holes, [(28, Loss::Totals, None)]);
}

#[test]
fn segments_are_counted_past_the_largest_number() {
    use crate::stream::continuity::Place;
    use crate::stream::{Continuity, Link, PacketHeader, Position};
    let mut continuity = Continuity::new();
    for segment in [u32::MAX - 1, u32::MAX, 0, 1] {
        let packet = Packet {
            segment_start: true,
            segment_end: true,
            latent_frames: 1,
            real_frames: 1,
            payload: vec![0; 4],
            ..Packet::default()
        };
        let position = Position {
            latent_frame: 0,
            segment: Some(segment),
        };
        let bytes = packet.encode(&format(), 7, Some(position)).unwrap();
        let place = continuity.packet(&PacketHeader::decode(&bytes).unwrap());
        let expected = Place {
            link: Link::Starts,
            hole: None,
        };
        assert_eq!(place, expected, "{segment}");
    }
}

/// What happens to the pieces of a stream.
#[derive(Clone, Debug)]
enum Accident {
    Lose(prop::sample::Index),
    Double(prop::sample::Index, prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
}

impl Accident {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<prop::sample::Index>;
        prop_oneof![
            at().prop_map(Self::Lose),
            (at(), at()).prop_map(|(from, to)| Self::Double(from, to)),
            (at(), at()).prop_map(|(a, b)| Self::Swap(a, b)),
        ]
    }

    fn befall(&self, pieces: &mut Vec<Vec<u8>>) {
        match self {
            _ if pieces.is_empty() => (),
            Self::Lose(at) => drop(pieces.remove(at.index(pieces.len()))),
            Self::Double(from, to) => pieces.insert(to.index(pieces.len()), from.get(pieces).clone()),
            Self::Swap(a, b) => {
                let (a, b) = (a.index(pieces.len()), b.index(pieces.len()));
                pieces.swap(a, b);
            }
        }
    }
}

fn segments() -> impl Strategy<Value = Vec<(usize, Ends)>> {
    let ends = prop_oneof![Just(Ends::Flag), Just(Ends::Mark)];
    proptest::collection::vec((1usize..5, ends), 1..6)
}

proptest! {
    /// Whatever happens to the pieces of two streams: a packet that needs the one before it follows just that one.
    #[test]
    fn no_packet_is_used_behind_another_than_its_own(
        (a, b) in (segments(), segments()),
        accidents in proptest::collection::vec(Accident::any(), 0..8),
    ) {
        let mut bytes = [pieces("a", &a), pieces("b", &b)].concat();
        accidents.iter().for_each(|accident| accident.befall(&mut bytes));
        let starts = |segments: &[(usize, Ends)]| -> Vec<usize> {
            let ends = segments.iter().scan(0, |end, (packets, _)| { *end += packets; Some(*end) });
            std::iter::once(0).chain(ends).collect()
        };
        let (a, b) = (starts(&a), starts(&b));
        let mut before = None;
        for (number, stream) in wait(&bytes).packets {
            let starts = if stream == 'a' { &a } else { &b };
            let alone = starts.contains(&usize::from(number));
            prop_assert!(alone || before == Some((number - 1, stream)), "{number} of {stream} behind {before:?}");
            before = Some((number, stream));
        }
    }

    /// If a stream's first packet and its end mark stay, a reader notices all that is missing, doubled or moved between
    /// them.
    #[test]
    fn no_change_is_silent(
        segments in segments(),
        accidents in proptest::collection::vec(Accident::any(), 0..4),
    ) {
        let whole = pieces("a", &segments);
        let mut inner = whole[1..whole.len() - 1].to_vec();
        accidents.iter().for_each(|accident| accident.befall(&mut inner));
        let bytes = [&whole[..1], &inner, &whole[whole.len() - 1..]].concat();
        let packets = |pieces: &[Vec<u8>]| -> Vec<Vec<u8>> {
            let packets = pieces.iter().filter(|piece| piece.windows(4).any(|bytes| bytes == b"\x89VTP"));
            packets.cloned().collect()
        };
        let read = wait(&bytes);
        let changed = packets(&bytes) != packets(&whole);
        prop_assert!(!changed || !read.holes.is_empty());
        prop_assert!(bytes != whole || (read.holes.is_empty() && read.ended));
    }
}
