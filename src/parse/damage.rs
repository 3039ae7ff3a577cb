//! What was skipped, and when to speak of it: a badly damaged file would fill the bus. No GStreamer in here.

use super::framer::Damage;

/// Speaks of the first damage at once, and sums up the others at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DamageLog {
    pub places: u64,
    pub bytes: u64,
    /// Of those, what was not spoken of.
    silent: (u64, u64),
}

impl DamageLog {
    /// Takes note of `damage`. The text to warn with, if it is to be spoken of now.
    pub fn add(&mut self, damage: Damage) -> Option<String> {
        let Damage { bytes, offset } = damage;
        self.places += 1;
        self.bytes += bytes;
        if self.places > 1 {
            self.silent = (self.silent.0 + 1, self.silent.1 + bytes);
            return None;
        }
        Some(format!(
            "Skipped {bytes} bytes at byte {offset} of the stream: they are damaged, or belong to a segment whose start is \
             missing. If there is more of that, it is summed up at the end"
        ))
    }

    /// The text that sums up what was not spoken of since the last time, if anything.
    pub fn sum_up(&mut self) -> Option<String> {
        let (places, bytes) = std::mem::take(&mut self.silent);
        (places > 0)
            .then(|| format!("Skipped {bytes} more bytes of the stream, at {places} places, for the same reasons"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_damage_is_told_and_the_others_are_summed_up() {
        let mut log = DamageLog::default();
        assert_eq!(log.sum_up(), None);
        let texts: Vec<_> = (0..5000)
            .filter_map(|at| {
                log.add(Damage {
                    bytes: 2,
                    offset: 10 * at,
                })
            })
            .collect();
        assert_eq!(texts.len(), 1);
        assert!(texts[0].contains("2 bytes at byte 0 "), "{texts:?}");
        let text = log.sum_up().unwrap();
        assert!(
            text.contains("9998 more bytes") && text.contains("4999 places"),
            "{text}"
        );
        assert_eq!((log.sum_up(), log.places, log.bytes), (None, 5000, 10_000));
    }
}
