// One run of cells is meant, not the cells of it.
#![allow(clippy::single_range_in_vec_init)]

use proptest::prelude::*;

use super::*;
use crate::format::{Fraction, Regularizer, TokenType};
use crate::rtp::{Payload, Splitter, Unit};

const HOLD: Settings = Settings {
    on_lost_start: OnLostStart::Hold,
    max_concealed: 3,
};
const CONCEAL: Settings = Settings {
    on_lost_start: OnLostStart::Conceal,
    ..HOLD
};
/// Room for three of the four cells of a latent frame, of 15 bits each: two packets of two cells.
const ROOM: usize = 18 + 6;
const FRAME: u64 = 40_000_000;

fn format() -> TokenFormat {
    TokenFormat {
        framerate: Fraction::new(25, 1),
        ..TokenFormat::toy(&[8; 5], 2, 2)
    }
}

/// Latent frame `number` of a segment. Each cell of each has a value of its own.
fn unit(segment: u8, number: u32) -> Unit {
    let first = ((u64::from(segment) * 1000 + u64::from(number) * 10) % 30_000) as i32;
    Unit {
        segment,
        latent_frame: number,
        latent_frames: 1,
        segment_end: false,
        end_of_stream: false,
        real_frames: if number == 0 { 1 } else { 4 },
        offsets: None,
        tokens: Tokens::Indices((first..first + 4).collect()),
    }
}

/// The PTS of a unit of segments of four latent frames: 13 video frames.
fn pts(segment: u8, number: u32) -> u64 {
    let frame = if number == 0 { 0 } else { 4 * number as u64 - 3 };
    (u64::from(segment) * 13 + frame) * FRAME
}

fn payloads(format: &TokenFormat, unit: &Unit, room: usize) -> Vec<Vec<u8>> {
    Splitter::new(format).split(unit, room).unwrap()
}

fn push(joiner: &mut Joiner, payload: &[u8], pts: u64) -> Pushed {
    match Payload::decode(payload) {
        Ok(Payload::Cells { header, offsets, data }) => joiner.push(&header, offsets, data, Some(pts)),
        other => panic!("{other:?}"),
    }
}

/// Pushes the packets `kept` of a unit; what is given out, and whether a key was asked for.
fn send(joiner: &mut Joiner, segment: u8, number: u32, kept: &[usize]) -> (Vec<Joined>, bool) {
    let all = payloads(&format(), &unit(segment, number), ROOM);
    assert_eq!(all.len(), 2);
    let (mut units, mut needs_key) = (Vec::new(), false);
    for index in kept {
        let pushed = push(joiner, &all[*index], pts(segment, number));
        assert_eq!(pushed.fault, None);
        units.extend(pushed.units);
        needs_key |= pushed.needs_key;
    }
    (units, needs_key)
}

fn indices(joined: &Joined) -> Vec<i32> {
    match &joined.tokens {
        Tokens::Indices(indices) => indices.clone(),
        Tokens::Floats(_) => panic!("these are indices"),
    }
}

/// Number and tokens' first value of each.
fn numbers(units: &[Joined]) -> Vec<(u32, u32, i32)> {
    let number = |joined: &Joined| (joined.segment, joined.latent_frame, indices(joined)[0]);
    units.iter().map(number).collect()
}

#[test]
fn what_all_came_of_is_given_out_at_once() {
    let mut joiner = Joiner::new(format(), HOLD);
    for number in 0..3 {
        assert_eq!(send(&mut joiner, 7, number, &[0]).0, []);
        let (units, needs_key) = send(&mut joiner, 7, number, &[1]);
        let expected = Joined {
            segment: 7,
            latent_frame: number,
            latent_frames: 1,
            segment_end: false,
            end_of_stream: false,
            real_frames: if number == 0 { 1 } else { 4 },
            tokens: unit(7, number).tokens,
            pts: Some(pts(7, number)),
            duration: Some(if number == 0 { FRAME } else { 4 * FRAME }),
            offsets: None,
            concealed: vec![],
            after_hole: false,
        };
        assert_eq!((units, needs_key), (vec![expected], false));
    }
}

#[test]
fn order_within_a_unit_does_not_matter_where_its_last_packet_is_last() {
    let all = payloads(&format(), &unit(0, 0), 18 + 2);
    assert_eq!(all.len(), 4);
    let mut joiner = Joiner::new(format(), HOLD);
    let pushed: Vec<_> = [2, 0, 1, 3].map(|index| push(&mut joiner, &all[index], 0)).into();
    assert_eq!(pushed[3].units[0].tokens, unit(0, 0).tokens);
    assert_eq!(pushed[3].units[0].concealed, []);
}

#[test]
fn missing_cells_are_those_of_the_latent_frame_before() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    // The last packet came: the first will not.
    let (units, needs_key) = send(&mut joiner, 0, 1, &[1]);
    assert_eq!(indices(&units[0]), [0, 1, 12, 13]);
    assert_eq!(units[0].concealed, [0..2]);
    assert!(!needs_key);
    // The last did not come: the next unit tells.
    assert_eq!(send(&mut joiner, 0, 2, &[0]).0, []);
    let (units, _) = send(&mut joiner, 0, 3, &[0, 1]);
    assert_eq!(numbers(&units), [(0, 2, 20), (0, 3, 30)]);
    // A concealed cell conceals, too.
    assert_eq!(indices(&units[0]), [20, 21, 12, 13]);
    assert_eq!(units[0].concealed, [2..4]);
    assert_eq!(joiner.counts().concealed_cells, 4);
    assert_eq!(joiner.counts().concealed_latent_frames, 0);
}

#[test]
fn a_latent_frame_of_which_nothing_came_is_the_one_before() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    let (units, needs_key) = send(&mut joiner, 0, 3, &[0, 1]);
    assert_eq!(numbers(&units), [(0, 1, 0), (0, 2, 0), (0, 3, 30)]);
    let times = |unit: &Joined| (unit.pts, unit.duration, unit.offsets.clone(), unit.real_frames);
    for (number, unit) in units.iter().enumerate().take(2) {
        assert_eq!(times(unit), (Some(pts(0, number as u32 + 1)), Some(4 * FRAME), None, 4));
        assert_eq!(unit.concealed, [0..4]);
    }
    assert!(!needs_key && units.iter().all(|unit| !unit.after_hole));
    assert_eq!(joiner.counts().concealed_latent_frames, 2);
}

#[test]
fn frames_off_the_grid_are_concealed_evenly_up_to_the_next_unit() {
    let mut joiner = Joiner::new(
        TokenFormat {
            framerate: Fraction::new(0, 1),
            ..format()
        },
        HOLD,
    );
    let offsets = |unit: Unit, offsets: &[u32]| Unit {
        offsets: Some(offsets.into()),
        ..unit
    };
    let start = payloads(&format(), &offsets(unit(0, 0), &[9_000]), 100);
    let units = push(&mut joiner, &start[0], 0).units;
    assert_eq!(
        (units[0].duration, &units[0].offsets),
        (Some(100_000_000), &Some(vec![]))
    );
    let later = payloads(&format(), &offsets(unit(0, 2), &[900, 1800, 2700, 90_000]), 100);
    let units = push(&mut joiner, &later[0], 500_000_000).units;
    assert_eq!(units[0].pts, Some(100_000_000));
    assert_eq!(units[0].offsets, Some(vec![100_000_000, 200_000_000, 300_000_000]));
    assert_eq!(units[0].duration, Some(400_000_000));
    assert_eq!(units[1].offsets, Some(vec![10_000_000, 20_000_000, 30_000_000]));
    assert_eq!(units[1].duration, Some(1_000_000_000));
}

#[test]
fn a_late_comer_waits_for_a_segment_start_and_asks_for_it() {
    for settings in [HOLD, CONCEAL] {
        let mut joiner = Joiner::new(format(), settings);
        assert_eq!(send(&mut joiner, 3, 1, &[0, 1]), (vec![], true));
        // Not with every packet.
        assert_eq!(send(&mut joiner, 3, 2, &[0, 1]), (vec![], false));
        assert_eq!(numbers(&send(&mut joiner, 4, 0, &[0, 1]).0), [(4, 0, 4000)]);
        assert_eq!(joiner.counts().held, 4);
        // Nothing came before, so that nothing was lost.
        assert_eq!(joiner.counts().holes, 0);
    }
}

#[test]
fn time_does_not_go_back_where_a_unit_begins_before_the_one_before_it_ends() {
    let mut joiner = Joiner::new(format(), HOLD);
    let mut at = |latent_frame, ms: u64| {
        let payload = &payloads(&format(), &unit(0, latent_frame), 400)[0];
        push(&mut joiner, payload, ms * 1_000_000).units.remove(0)
    };
    at(0, 0);
    // Behind the beginning of the last frame, times are as they come.
    let second = at(1, 30);
    assert_eq!((second.pts, second.end()), (Some(30_000_000), Some(190_000_000)));
    // Of its 160 ms, 80 lie in the time of the unit before.
    let third = at(2, 110);
    assert_eq!((third.pts, third.end()), (Some(190_000_000), Some(270_000_000)));
    assert_eq!(third.offsets, Some(vec![20_000_000, 40_000_000, 60_000_000]));
    // The last frame of that one begins at 250 ms.
    let fourth = at(3, 250);
    assert_eq!((fourth.pts, fourth.end()), (Some(270_000_000), Some(410_000_000)));
}

#[test]
fn a_key_is_asked_for_again_after_a_second() {
    let mut joiner = Joiner::new(format(), HOLD);
    let packet = &payloads(&format(), &unit(0, 1), 100)[0];
    let asked: Vec<bool> = (0..50)
        .map(|i| push(&mut joiner, packet, i * FRAME).needs_key)
        .collect();
    let at: Vec<usize> = (0..50).filter(|i| asked[*i]).collect();
    assert_eq!(at, [0, 25]);
}

#[test]
fn without_the_start_of_a_segment_output_is_held_or_concealed() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    assert_eq!(send(&mut joiner, 1, 1, &[0, 1]), (vec![], true));
    assert_eq!(send(&mut joiner, 1, 2, &[0, 1]).0, []);
    let (units, _) = send(&mut joiner, 2, 0, &[0, 1]);
    assert_eq!(numbers(&units), [(2, 0, 2000)]);
    assert!(units[0].after_hole);
    assert_eq!(joiner.counts().holes, 1);

    let mut joiner = Joiner::new(format(), CONCEAL);
    send(&mut joiner, 0, 3, &[]);
    for number in 0..4 {
        send(&mut joiner, 0, number, &[0, 1]);
    }
    let (units, needs_key) = send(&mut joiner, 1, 1, &[0, 1]);
    assert_eq!(numbers(&units), [(1, 0, 30), (1, 1, 1010)]);
    assert_eq!((units[0].real_frames, units[0].pts), (1, Some(pts(1, 0))));
    assert!(needs_key);
}

#[test]
fn a_start_that_came_in_part_is_concealed_by_the_segment_before() {
    let mut joiner = Joiner::new(format(), HOLD);
    for number in 0..4 {
        send(&mut joiner, 0, number, &[0, 1]);
    }
    let (units, needs_key) = send(&mut joiner, 1, 0, &[1]);
    assert_eq!((indices(&units[0]), needs_key), (vec![30, 31, 1002, 1003], false));
    // The stream's first start has nothing before it.
    let mut joiner = Joiner::new(format(), HOLD);
    assert_eq!(send(&mut joiner, 0, 0, &[1]), (vec![], true));
    assert_eq!(joiner.counts().held, 1);
    assert_eq!(send(&mut joiner, 0, 1, &[0, 1]), (vec![], false));
    assert_eq!(numbers(&send(&mut joiner, 1, 0, &[0, 1]).0), [(1, 0, 1000)]);
}

#[test]
fn too_many_missing_latent_frames_are_a_hole() {
    let mut joiner = Joiner::new(format(), CONCEAL);
    send(&mut joiner, 0, 0, &[0, 1]);
    assert_eq!(send(&mut joiner, 0, 5, &[0, 1]), (vec![], true));
    let far = payloads(&format(), &unit(0, u32::MAX - 1), 100);
    assert!(push(&mut joiner, &far[0], 0).units.is_empty());
    let (units, _) = send(&mut joiner, 1, 0, &[0, 1]);
    assert!(units[0].after_hole);
    assert_eq!(joiner.counts().holes, 1);
}

#[test]
fn a_lost_end_of_a_segment_shows_by_the_time_and_is_concealed() {
    for kept in 1..=4u32 {
        let mut joiner = Joiner::new(format(), HOLD);
        for number in 0..kept {
            send(&mut joiner, 0, number, &[0, 1]);
        }
        joiner.note_missing();
        let (units, _) = send(&mut joiner, 1, 0, &[0, 1]);
        let last = 10 * (kept as i32 - 1);
        let mut expected: Vec<_> = (kept..4).map(|number| (0, number, last)).collect();
        expected.push((1, 0, 1000));
        assert_eq!(numbers(&units), expected);
        for unit in &units[..units.len() - 1] {
            assert_eq!(unit.pts, Some(pts(0, unit.latent_frame)));
        }
        assert_eq!(joiner.counts().holes, 0);
    }
}

#[test]
fn time_without_pictures_is_no_loss_where_no_packet_is_missing() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    let (units, _) = send(&mut joiner, 1, 0, &[0, 1]);
    assert_eq!(numbers(&units), [(1, 0, 1000)]);
    assert!(!units[0].after_hole);
}

#[test]
fn segments_that_are_missing_whole_are_a_hole() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    joiner.note_missing();
    let (units, _) = send(&mut joiner, 2, 0, &[0, 1]);
    assert!(units[0].after_hole);
    assert_eq!(joiner.counts().holes, 1);
}

#[test]
fn a_stray_number_does_not_hold_a_whole_stream() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    let stray = payloads(&format(), &unit(0, 1000), 100);
    assert!(push(&mut joiner, &stray[0], pts(0, 1)).needs_key);
    let (units, _) = send(&mut joiner, 0, 1, &[0, 1]);
    assert_eq!(numbers(&units), [(0, 1, 10)]);
    assert!(!units[0].after_hole);
    // Nor does it where it came in the place of another packet.
    push(&mut joiner, &stray[0], pts(0, 2));
    let (units, _) = send(&mut joiner, 0, 3, &[0, 1]);
    assert_eq!(numbers(&units), [(0, 2, 10), (0, 3, 30)]);
}

#[test]
fn starts_that_never_complete_ask_no_more_often() {
    let mut joiner = Joiner::new(format(), HOLD);
    let mut asked = 0;
    for segment in 0..100u8 {
        let all = payloads(&format(), &unit(segment, 0), ROOM);
        asked += u32::from(push(&mut joiner, &all[1], u64::from(segment) * FRAME).needs_key);
    }
    // Four seconds.
    assert_eq!(asked, 4);
}

#[test]
fn late_packets_are_counted_and_left_out() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    send(&mut joiner, 0, 1, &[1]);
    assert_eq!(send(&mut joiner, 0, 1, &[0]), (vec![], false));
    assert_eq!(send(&mut joiner, 255, 3, &[0]), (vec![], false));
    assert_eq!(joiner.counts().late, 2);
    assert_eq!(numbers(&send(&mut joiner, 0, 2, &[0, 1]).0), [(0, 2, 20)]);
}

#[test]
fn a_sender_that_begins_anew_is_followed() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 100, 0, &[0, 1]);
    send(&mut joiner, 100, 1, &[0]);
    let mut given = Vec::new();
    let mut before = Vec::new();
    for segment in 0..20 {
        for payload in payloads(&format(), &unit(segment, 0), ROOM) {
            let pushed = push(&mut joiner, &payload, pts(segment, 0));
            before.extend(pushed.before_restart);
            given.extend(pushed.units);
        }
    }
    assert_eq!(before.len(), 1);
    assert_eq!(numbers(&before[0]), [(100, 1, 10_010)]);
    assert_eq!(given.len() as u32, 20 - RESTART_AFTER + 1);
    // Packets that come twice are no new sender.
    for _ in 0..100 {
        assert!(send(&mut joiner, 19, 0, &[0, 1]).0.is_empty());
    }
    assert_eq!(numbers(&send(&mut joiner, 20, 0, &[0, 1]).0), [(20, 0, 20_000)]);
}

#[test]
fn segments_are_counted_beyond_256() {
    let mut joiner = Joiner::new(format(), HOLD);
    let mut last = 0;
    for count in 0..600u32 {
        let all = payloads(&format(), &unit(count as u8, 0), 100);
        let time = u64::from(count) * FRAME;
        last = push(&mut joiner, &all[0], time).units[0].segment;
    }
    assert_eq!(last, 599);
}

#[test]
fn foreign_and_impossible_packets_are_counted_and_change_nothing() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    let good = payloads(&format(), &unit(0, 1), ROOM);
    assert_eq!(push(&mut joiner, &good[0], pts(0, 1)).fault, None);
    let with = |at: usize, value: u8| {
        let mut payload = good[1].clone();
        payload[at] = value;
        payload
    };
    let mut longer = good[1].clone();
    longer.push(0);
    for (payload, fault) in [
        (with(4, !good[1][4]), Fault::OtherFormat),
        // The last cells are not the last, or beyond the picture.
        (with(0, 0), Fault::Cells),
        (with(15, 3), Fault::Cells),
        (with(13, 1), Fault::Cells),
        // Fewer cells than bytes, more bytes than cells, two latent frames.
        (with(3, 1), Fault::Cells),
        (longer, Fault::Cells),
        (with(12, 2), Fault::Cells),
        // Other real frames than the packet before, and more than there can be.
        (with(17, 3), Fault::Contradiction),
        (with(17, 5), Fault::Contradiction),
    ] {
        let pushed = push(&mut joiner, &payload, pts(0, 1));
        assert_eq!((pushed.fault, pushed.units.len()), (Some(fault), 0), "{payload:?}");
    }
    let pushed = push(&mut joiner, &good[1], pts(0, 1));
    assert_eq!(pushed.units[0].tokens, unit(0, 1).tokens);
    let [.., other, cells, _, contradictions] = joiner.counts().faults;
    assert_eq!((other, cells, contradictions), (1, 6, 2));
}

#[test]
fn latent_frames_that_another_unit_has_are_refused() {
    let long = Unit {
        latent_frames: 3,
        tokens: Tokens::Indices((0..12).collect()),
        ..unit(0, 1)
    };
    let long = payloads(&format(), &long, 18 + 12);
    assert_eq!(long.len(), 2);
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    push(&mut joiner, &long[0], pts(0, 1));
    let inside = &payloads(&format(), &unit(0, 2), 100)[0];
    let pushed = push(&mut joiner, inside, pts(0, 2));
    assert_eq!((pushed.fault, pushed.units.len()), (Some(Fault::Contradiction), 1));
    assert_eq!(numbers(&send(&mut joiner, 0, 4, &[0, 1]).0), [(0, 4, 40)]);
}

#[test]
fn nothing_follows_the_end_of_a_segment_within_it() {
    let mut joiner = Joiner::new(format(), HOLD);
    let end = Unit {
        segment_end: true,
        ..unit(0, 0)
    };
    push(&mut joiner, &payloads(&format(), &end, 100)[0], 0);
    let pushed = push(&mut joiner, &payloads(&format(), &unit(0, 1), 100)[0], pts(0, 1));
    assert_eq!((pushed.fault, pushed.units.len()), (Some(Fault::Contradiction), 0));
    assert_eq!(numbers(&send(&mut joiner, 1, 0, &[0, 1]).0), [(1, 0, 1000)]);
}

#[test]
fn values_that_are_no_tokens_are_refused() {
    // Codes of three values take two bits, of which one combination is none.
    let three = TokenFormat {
        framerate: Fraction::new(25, 1),
        ..TokenFormat::toy(&[3], 2, 2)
    };
    let good = Unit {
        tokens: Tokens::Indices(vec![0, 1, 2, 0]),
        ..unit(0, 0)
    };
    let mut payload = payloads(&three, &good, 100).remove(0);
    *payload.last_mut().unwrap() = 0b1111_1111;
    let mut joiner = Joiner::new(three, HOLD);
    assert_eq!(push(&mut joiner, &payload, 0).fault, Some(Fault::Tokens));
    assert!(joiner.finish().is_empty());
}

#[test]
fn cells_that_come_twice_count_once_and_the_first_ones_count() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    send(&mut joiner, 0, 1, &[0, 0]);
    let other = Unit {
        tokens: Tokens::Indices(vec![5, 6, 7, 8]),
        ..unit(0, 1)
    };
    let pushed = push(&mut joiner, &payloads(&format(), &other, ROOM)[0], pts(0, 1));
    assert_eq!(pushed.fault, Some(Fault::Contradiction));
    assert_eq!(send(&mut joiner, 0, 1, &[1]).0[0].tokens, unit(0, 1).tokens);
}

#[test]
fn a_window_is_concealed_within() {
    let windows = TokenFormat {
        causal: false,
        regularizer: Regularizer::Kl { channels: 2 },
        token_type: TokenType::Float32,
        ..format()
    };
    let window = |segment: u8| Unit {
        latent_frames: 3,
        real_frames: 12,
        tokens: Tokens::Floats((0..24).map(|i| f32::from(segment) * 100.0 + i as f32).collect()),
        ..unit(segment, 0)
    };
    // Two cells of eight bytes: a row.
    let all = payloads(&windows, &window(1), 18 + 16);
    assert_eq!(all.len(), 6);
    let mut joiner = Joiner::new(windows.clone(), HOLD);
    for payload in payloads(&windows, &window(0), 18 + 16) {
        push(&mut joiner, &payload, 0);
    }
    // The first latent frame's second half, and all of the two others but the last row.
    let units: Vec<_> = [0, 5]
        .iter()
        .flat_map(|i| push(&mut joiner, &all[*i], FRAME).units)
        .collect();
    assert_eq!(units[0].concealed, [2..10]);
    let Tokens::Floats(floats) = &units[0].tokens else {
        panic!("these are floats")
    };
    let (own, before) = ([100.0, 101.0, 102.0, 103.0], [20.0, 21.0, 22.0, 23.0]);
    let expected = [own, before, own, before, own, [120.0, 121.0, 122.0, 123.0]].concat();
    assert_eq!(floats, &expected);
}

#[test]
fn the_end_gives_out_what_is_not_complete() {
    let mut joiner = Joiner::new(format(), HOLD);
    send(&mut joiner, 0, 0, &[0, 1]);
    send(&mut joiner, 0, 1, &[0]);
    assert_eq!(numbers(&joiner.finish()), [(0, 1, 10)]);
    assert!(joiner.finish().is_empty());
}

proptest! {
    /// Whatever is lost, doubled or comes in another order: units come once and in order, times do not go back, every cell
    /// of a unit that came in time is as it was sent, and what was not sent is marked.
    #[test]
    fn no_loss_breaks_anything(
        room in 20usize..40,
        conceal: bool,
        notes: bool,
        fate in proptest::collection::vec((0u8..10, 0usize..4), 300),
        lengths in proptest::collection::vec(1u32..6, 1..8),
    ) {
        let mut joiner = Joiner::new(format(), if conceal { CONCEAL } else { HOLD });
        let mut sent = Vec::new();
        let mut time = 0;
        for (segment, length) in lengths.iter().enumerate() {
            for number in 0..*length {
                let unit = unit(segment as u8, number);
                let frames = u64::from(unit.real_frames);
                sent.extend(payloads(&format(), &unit, room).into_iter().map(|payload| (payload, time)));
                time += frames * FRAME;
            }
        }
        let mut order: Vec<usize> = (0..sent.len()).collect();
        for (index, (_, ahead)) in fate.iter().enumerate().take(sent.len()) {
            order.swap(index, (index + ahead).min(sent.len() - 1));
        }
        let mut units = Vec::new();
        for (index, (what, _)) in order.iter().zip(&fate) {
            for _ in 0..[0, 0, 1, 1, 1, 1, 1, 1, 1, 2][usize::from(*what)] {
                if notes {
                    joiner.note_missing();
                }
                let pushed = push(&mut joiner, &sent[*index].0, sent[*index].1);
                prop_assert_eq!(pushed.fault, None);
                units.extend(pushed.units);
            }
        }
        units.extend(joiner.finish());
        let position = |joined: &Joined| (joined.segment, joined.latent_frame);
        prop_assert!(units.windows(2).all(|pair| position(&pair[0]) < position(&pair[1])));
        // A segment has no hole: it goes on, or another one starts.
        let follows = |pair: &[Joined]| position(&pair[1]) == (pair[0].segment, pair[0].latent_frame + 1);
        prop_assert!(units.windows(2).all(|pair| pair[1].latent_frame == 0 || follows(pair)));
        prop_assert!(units.first().is_none_or(|first| first.latent_frame == 0));
        prop_assert!(units.windows(2).all(|pair| pair[0].pts < pair[1].pts));
        let first_segment = units.first().map(|joined| joined.segment).unwrap_or_default();
        for joined in &units {
            prop_assert!(joined.segment >= first_segment);
            let original = unit(joined.segment as u8, joined.latent_frame);
            let Tokens::Indices(expected) = original.tokens else { unreachable!() };
            for (cell, (is, was)) in indices(joined).iter().zip(&expected).enumerate() {
                let is_concealed = joined.concealed.iter().any(|run| run.contains(&(cell as u32)));
                prop_assert!(is_concealed || is == was);
            }
        }
        let concealed = units.iter().flat_map(|joined| &joined.concealed).map(|run| u64::from(run.end - run.start));
        prop_assert_eq!(joiner.counts().concealed_cells, concealed.sum::<u64>());
    }

    #[test]
    fn any_size_of_payloads_gives_the_same_units(room in 20usize..200, latent_frames in 1u8..5) {
        let whole = Unit {
            latent_frames,
            real_frames: 3,
            segment: 9,
            latent_frame: 5,
            segment_end: true,
            end_of_stream: true,
            offsets: Some(vec![1, 2, 3]),
            tokens: Tokens::Indices((0..4 * i32::from(latent_frames)).collect()),
        };
        let split = Splitter::new(&format()).split(&whole, room);
        // Fields, three offsets, one cell.
        let Ok(all) = split else {
            prop_assert!(room < 18 + 12 + 2);
            return Ok(());
        };
        prop_assert!(all.iter().all(|payload| payload.len() <= room));
        let mut joiner = Joiner::new(format(), HOLD);
        push(&mut joiner, &payloads(&format(), &unit(9, 0), 400)[0], 0);
        joiner.last.as_mut().unwrap().next = 5;
        let units: Vec<_> = all.iter().flat_map(|payload| push(&mut joiner, payload, FRAME).units).collect();
        prop_assert_eq!(units.len(), 1);
        prop_assert_eq!(&units[0].tokens, &whole.tokens);
        prop_assert!(units[0].segment_end && units[0].end_of_stream);
        prop_assert_eq!(units[0].offsets.as_deref(), Some(&[11_111, 22_222][..]));
        prop_assert_eq!(units[0].duration, Some(33_333));
    }
}
