//! What both readers tell of streams whose pieces were lost, doubled, swapped and damaged.

use super::*;

/// Pieces of two streams that were lost, doubled, swapped and damaged, in some order that `seed` gives.
fn accidents(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    let format = format(fsq(&[8; 5]), Fraction::new(30, 1));
    let mut pieces = Vec::new();
    for id in ["one", "two"] {
        let mut writer = Writer::new(format.clone(), id).unwrap();
        for part in causal(&format, 8, 1 + random(4), on_grid(format.framerate, 0)) {
            // Some segments end by a mark.
            let segment_end = part.packet.segment_end && random(2) == 0;
            if part.packet.segment_start {
                pieces.extend(writer.end_segment().unwrap());
            }
            let packet = Packet {
                segment_end,
                ..part.packet
            };
            pieces.push(writer.write(&packet).unwrap());
        }
        pieces.push(writer.end().unwrap());
    }
    for _ in 0..random(6) {
        let (a, b) = (random(pieces.len()), random(pieces.len()));
        match random(4) {
            0 => drop(pieces.remove(a)),
            1 => pieces.insert(a, pieces[b].clone()),
            2 => pieces.swap(a, b),
            _ => {
                let at = random(pieces[a].len());
                // Not the first magic: readers believe the version behind it.
                pieces[a][at.max(8)] ^= 0x10;
            }
        }
    }
    pieces.concat()
}

/// What the Rust reader tells of a file, in the form that interop.py has for the Python reader.
fn loss(bytes: &[u8], on_loss: OnLoss) -> Value {
    let mut reader = Reader::on_loss(on_loss);
    reader.push(bytes);
    reader.finish();
    let (mut packets, mut holes, mut skipped) = (Vec::new(), Vec::new(), 0);
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Packet(packet) => packets.push(hex(packet.payload.into_iter())),
            Event::Hole(hole) => {
                let loss = Hole {
                    latent_frames: None,
                    ..hole
                };
                holes.push(json!([loss.to_string(), hole.latent_frames]));
            }
            Event::Skipped { bytes } => skipped += bytes,
            Event::Header(_) | Event::End(_) | Event::CutTail { .. } => (),
        }
    }
    json!({"packets": packets, "holes": holes, "skipped": skipped, "ended": reader.has_ended()})
}

#[test]
fn both_readers_tell_the_same_of_what_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let folder = |case: u64| root.path().join(case.to_string());
    for case in 0..200 {
        std::fs::create_dir(folder(case)).unwrap();
        std::fs::write(folder(case).join("damaged.vidtok"), accidents(case)).unwrap();
    }
    run_python((0..200).map(folder));
    let mut told = 0;
    for case in 0..200 {
        let python: Value = serde_json::from_slice(&std::fs::read(folder(case).join("loss.json")).unwrap()).unwrap();
        for (policy, on_loss) in [("wait", OnLoss::Wait), ("continue", OnLoss::Continue)] {
            let rust = loss(&accidents(case), on_loss);
            told += rust["holes"].as_array().unwrap().len();
            assert_eq!(python[policy], rust, "case {case}, {policy}");
        }
    }
    assert!(told > 200, "{told} holes");
}
