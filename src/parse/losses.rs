//! Counts what is missing in a stream, and decides what to report: a warning for every place would flood the bus of a
//! badly damaged file. Free of GStreamer.

use super::framer::Damage;
use crate::stream::{Hole, Loss};

/// Counts losses. The first one of each kind is reported at once; the others are summed up at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Damaged places.
    pub places: u64,
    /// Bytes skipped there.
    pub bytes: u64,
    pub holes: u64,
    /// Missing latent frames, as far as known.
    pub latent_frames: u64,
    /// Packets that came twice or too late, and were left out.
    pub repeated: u64,
    /// Places, bytes and holes that were reported.
    reported: (u64, u64, u64),
    /// A hole was reported that damaged bytes did not make.
    hole_reported: bool,
}

impl Losses {
    /// Counts skipped bytes. Returns the text of a warning if they should be reported now.
    pub fn add_damage(&mut self, damage: Damage) -> Option<String> {
        let Damage { bytes, offset } = damage;
        self.places += 1;
        self.bytes += bytes;
        if self.places > 1 {
            return None;
        }
        (self.reported.0, self.reported.1) = (1, bytes);
        Some(format!(
            "Skipped {bytes} bytes at byte {offset} of the stream: they are damaged, or belong to a segment whose \
             start is missing. The decoder's on-loss says what is shown up to the next segment start; if there is \
             more damage, it is summed up at the end"
        ))
    }

    /// Counts a hole in front of byte `offset`. A hole made by `damage` is reported with the damage.
    pub fn add_hole(&mut self, hole: Hole, offset: u64, damage: bool) -> Option<String> {
        self.holes += 1;
        // Saturating, as packets may claim any number.
        let missing = hole.latent_frames.filter(|_| hole.loss != Loss::Repeated);
        self.latent_frames = self.latent_frames.saturating_add(missing.unwrap_or(0));
        if !damage && self.hole_reported {
            return None;
        }
        self.reported.2 += 1;
        if damage {
            return None;
        }
        self.hole_reported = true;
        Some(format!(
            "The stream is not whole before byte {offset}: {hole}. The decoder's on-loss says what is shown up to the \
             next segment start; if there are more holes, they are summed up at the end"
        ))
    }

    /// The text of a warning about what was not reported so far; `None` if everything was.
    pub fn sum_up(&mut self) -> Option<String> {
        let (places, bytes, holes) = (
            self.places - self.reported.0,
            self.bytes - self.reported.1,
            self.holes - self.reported.2,
        );
        self.reported = (self.places, self.bytes, self.holes);
        let damage = (places > 0).then(|| format!("skipped {bytes} more bytes, at {places} places"));
        let holes = (holes > 0).then(|| format!("met {holes} more holes between packets"));
        let parts: Vec<String> = damage.into_iter().chain(holes).collect();
        (!parts.is_empty()).then(|| format!("The stream is damaged: {}", parts.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_damage_is_reported_and_the_others_are_summed_up() {
        let mut losses = Losses::default();
        assert_eq!(losses.sum_up(), None);
        let at = |at: u64| Damage {
            bytes: 2,
            offset: 10 * at,
        };
        let texts: Vec<_> = (0..5000).filter_map(|i| losses.add_damage(at(i))).collect();
        assert_eq!(texts.len(), 1);
        assert!(texts[0].contains("2 bytes at byte 0 "), "{texts:?}");
        let text = losses.sum_up().unwrap();
        assert!(
            text.contains("9998 more bytes") && text.contains("4999 places"),
            "{text}"
        );
        assert_eq!((losses.sum_up(), losses.places, losses.bytes), (None, 5000, 10_000));
    }

    #[test]
    fn the_first_hole_is_reported_unless_damage_made_it() {
        let hole = Hole {
            loss: Loss::Missing,
            latent_frames: Some(3),
        };
        let mut losses = Losses::default();
        assert_eq!(losses.add_hole(hole, 10, true), None);
        assert_eq!(losses.sum_up(), None);
        // The next hole is reported at once.
        let text = losses.add_hole(hole, 700, false).unwrap();
        assert!(text.contains("byte 700") && text.contains("3 latent frames"), "{text}");
        assert_eq!((losses.add_hole(hole, 800, false), losses.latent_frames), (None, 9));
        assert!(losses.sum_up().unwrap().contains("1 more holes"));
        let much = Hole {
            latent_frames: Some(u64::MAX - 3),
            ..hole
        };
        losses.add_hole(much, 900, false);
        assert_eq!(losses.latent_frames, u64::MAX);
    }
}
