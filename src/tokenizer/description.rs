//! A tokenizer's description. `tokenizer.json` has the keys as they are, the graphs with the prefix `vidtok.`:
//! `docs/graphs.md` specifies them.

use crate::format::{
    MAX_CHANNELS, MAX_SPACE_FACTOR, MAX_TIME_FACTOR, MAX_WINDOW, Regularizer, is_digest, is_short_line,
};
use crate::timeline::Grouping;

/// The version of the description that this code reads.
const FORMAT: &str = "1";

/// What a tokenizer is, as its folder and each of its graphs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Names the tokenizer for people; it may be ambiguous.
    pub name: String,
    /// SHA-256 over configuration and weights, 64 lower-case hexadecimal digits: encoder and decoder share it.
    pub digest: String,
    /// Kind of network, such as `causal_v1_1`.
    pub family: String,
    pub regularizer: Regularizer,
    /// Video frames per latent frame.
    pub time_factor: u32,
    /// Width and height of a cell in pixels.
    pub space_factor: u32,
    pub causal: bool,
    /// Video frames per window; 0 if causal.
    pub window: u32,
    /// Frames by which the decoder's output is late: up to `time_factor - 1`, 0 unless causal.
    pub decoder_delay: u32,
    pub licence: String,
}

impl Description {
    /// Reads the description with `get`, which returns the value of a key without prefix. Lists are separated by
    /// commas.
    ///
    /// # Errors
    /// Names the key that is missing, malformed or contradicts another.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let text = |key: &str| get(key).ok_or_else(|| format!("the key \"{key}\" is missing"));
        let bad = |key: &str, value: &str| format!("the key \"{key}\" has the impossible value \"{value}\"");
        let number = |key: &str, max: u32| {
            let value = text(key)?;
            value
                .parse::<u32>()
                .ok()
                .filter(|v| *v <= max)
                .ok_or_else(|| bad(key, &value))
        };
        let format = text("format")?;
        if format != FORMAT {
            return Err(format!(
                "it has format {format}, this plugin reads format {FORMAT}: update the plugin"
            ));
        }
        let regularizer = match text("regularizer")?.as_str() {
            Regularizer::FSQ => {
                let levels = text("levels")?;
                let parsed = levels
                    .split(',')
                    .map(|l| l.trim().parse().ok())
                    .collect::<Option<Vec<u32>>>();
                Regularizer::Fsq {
                    levels: parsed.ok_or_else(|| bad("levels", &levels))?,
                }
            }
            Regularizer::KL => Regularizer::Kl {
                channels: number("channels", MAX_CHANNELS)?,
            },
            other => return Err(bad("regularizer", other)),
        };
        regularizer.check().map_err(|error| error.0)?;
        let causal = match text("causal")?.as_str() {
            "true" => true,
            "false" => false,
            other => return Err(bad("causal", other)),
        };
        let description = Self {
            name: text("name")?,
            digest: text("digest")?,
            family: text("family")?,
            regularizer,
            time_factor: number("time-factor", MAX_TIME_FACTOR)?,
            space_factor: number("space-factor", MAX_SPACE_FACTOR)?,
            causal,
            window: number("window", MAX_WINDOW)?,
            decoder_delay: number("decoder-delay", MAX_TIME_FACTOR)?,
            licence: text("licence")?,
        };
        description.check().map_err(|(key, value)| bad(key, &value))?;
        Ok(description)
    }

    /// Returns the first key with an impossible value.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if !is_short_line(&self.name) {
            let start: String = self.name.chars().take(40).collect();
            return Err(("name", format!("{}…", start.escape_debug())));
        }
        if !is_digest(&self.digest) {
            return Err(("digest", self.digest.clone()));
        }
        if self.time_factor == 0 {
            return Err(("time-factor", "0".into()));
        }
        if self.space_factor == 0 {
            return Err(("space-factor", "0".into()));
        }
        let window_fits = if self.causal {
            self.window == 0
        } else {
            self.window > 0 && self.window.is_multiple_of(self.time_factor)
        };
        if !window_fits {
            return Err(("window", self.window.to_string()));
        }
        let max_delay = if self.causal { self.time_factor - 1 } else { 0 };
        if self.decoder_delay > max_delay {
            return Err(("decoder-delay", self.decoder_delay.to_string()));
        }
        Ok(())
    }

    /// The first key in which two descriptions differ.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let regularizer = match (&self.regularizer, &other.regularizer) {
            (Regularizer::Fsq { .. }, Regularizer::Fsq { .. }) => "levels",
            (Regularizer::Kl { .. }, Regularizer::Kl { .. }) => "channels",
            _ => "regularizer",
        };
        [
            ("digest", self.digest == other.digest),
            ("name", self.name == other.name),
            ("family", self.family == other.family),
            (regularizer, self.regularizer == other.regularizer),
            ("time-factor", self.time_factor == other.time_factor),
            ("space-factor", self.space_factor == other.space_factor),
            ("causal", self.causal == other.causal),
            ("window", self.window == other.window),
            ("decoder-delay", self.decoder_delay == other.decoder_delay),
            ("licence", self.licence == other.licence),
        ]
        .into_iter()
        .find_map(|(key, same)| (!same).then_some(key))
    }

    /// How the tokenizer groups frames into latent frames.
    pub fn grouping(&self) -> Grouping {
        let factor = self.time_factor as usize;
        if self.causal {
            Grouping::Causal { factor }
        } else {
            Grouping::Windows {
                factor,
                window: self.window as usize,
            }
        }
    }

    /// Width or height of the picture in pixels, padded to whole cells.
    pub fn padded(&self, pixels: u32) -> u32 {
        pixels.div_ceil(self.space_factor) * self.space_factor
    }

    /// The start of the digest, enough for users to tell tokenizers apart.
    pub fn short_digest(&self) -> &str {
        short_digest(&self.digest)
    }
}

#[cfg(test)]
impl Description {
    /// A causal 4×8×8 FSQ tokenizer with a codebook of 32,768 for unit tests.
    pub fn toy() -> Self {
        Self {
            name: "toy".into(),
            digest: "0123456789abcdef".repeat(4),
            family: "toy".into(),
            regularizer: Regularizer::Fsq { levels: vec![8; 5] },
            time_factor: 4,
            space_factor: 8,
            causal: true,
            window: 0,
            decoder_delay: 0,
            licence: "MIT".into(),
        }
    }
}

/// The start of a digest, enough for users to tell tokenizers apart.
pub(crate) fn short_digest(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn keys() -> HashMap<&'static str, String> {
        let digest = "ab".repeat(32);
        [
            ("format", "1"),
            ("name", "toy"),
            ("digest", digest.as_str()),
            ("family", "causal_v1_1"),
            ("causal", "true"),
            ("regularizer", "fsq"),
            ("levels", "8,8,8,8,8"),
            ("time-factor", "4"),
            ("space-factor", "8"),
            ("window", "0"),
            ("decoder-delay", "3"),
            ("licence", "MIT"),
        ]
        .map(|(k, v)| (k, v.to_string()))
        .into()
    }

    fn read(keys: &HashMap<&'static str, String>) -> Result<Description, String> {
        Description::read(|key| keys.get(key).cloned())
    }

    #[test]
    fn a_missing_key_is_named() {
        let description = read(&keys()).unwrap();
        assert_eq!(description.grouping(), Grouping::Causal { factor: 4 });
        assert_eq!(description.padded(33), 40);
        for key in keys().keys() {
            let mut broken = keys();
            broken.remove(key);
            assert!(read(&broken).unwrap_err().contains(key), "{key}");
        }
    }

    /// The limits in docs/graphs.md: what is in front of the first cell's value, and the value.
    fn documented(limit: &str) -> usize {
        let rows = include_str!("../../docs/graphs.md")
            .split("\n## Limits\n")
            .nth(1)
            .unwrap();
        let row = rows
            .lines()
            .find_map(|line| line.strip_prefix(&format!("| {limit} | ")));
        let number = row.unwrap().split([' ', '|']).next().unwrap().replace(',', "");
        number.parse().unwrap()
    }

    #[test]
    fn the_documented_limits_are_held() {
        // Keys that a causal FSQ tokenizer has as they are, and what else the value at the limit needs.
        let read_with = |changes: &[(&'static str, String)]| {
            let mut keys = keys();
            keys.extend(changes.iter().cloned());
            read(&keys)
        };
        let codebook = documented("the product of `levels`, the codebook's size");
        let channels = documented("`channels`, and the number of `levels`");
        let check =
            |key: &'static str, limit: usize, value: &dyn Fn(usize) -> String, others: &[(&'static str, &str)]| {
                let others: Vec<_> = others.iter().map(|(key, value)| (*key, value.to_string())).collect();
                let with = |size| read_with(&[&others[..], &[(key, value(size))]].concat());
                assert!(with(limit).is_ok(), "{key} at {limit}: {:?}", with(limit));
                assert!(with(limit + 1).is_err(), "{key} above {limit}");
            };
        let number = |size: usize| size.to_string();
        check("name", documented("`name`"), &|size| "n".repeat(size), &[]);
        check("time-factor", documented("`time-factor`"), &number, &[]);
        check("space-factor", documented("`space-factor`"), &number, &[]);
        check("levels", codebook, &number, &[]);
        check("channels", channels, &number, &[("regularizer", "kl")]);
        let windows = [("causal", "false"), ("decoder-delay", "0"), ("time-factor", "1")];
        check("window", documented("`window`"), &number, &windows);
    }

    #[test]
    fn the_key_that_differs_is_named() {
        let (fsq, mut kl) = (keys(), keys());
        kl.insert("regularizer", "kl".into());
        kl.insert("channels", "4".into());
        for (from, key, value) in [
            (&fsq, "levels", "8,8"),
            (&kl, "channels", "3"),
            (&fsq, "family", "other"),
            (&fsq, "decoder-delay", "0"),
        ] {
            let mut other = from.clone();
            other.insert(key, value.into());
            let difference = read(from).unwrap().difference(&read(&other).unwrap());
            assert_eq!(difference, Some(key));
        }
        let difference = read(&fsq).unwrap().difference(&read(&kl).unwrap());
        assert_eq!(difference, Some("regularizer"));
        assert_eq!(read(&fsq).unwrap().difference(&read(&fsq).unwrap()), None);
    }

    #[test]
    fn impossible_values_are_named() {
        for (key, value) in [
            ("digest", "short"),
            ("levels", "8,x"),
            ("levels", "65536,65536"),
            ("regularizer", "vq"),
            ("time-factor", "0"),
            ("space-factor", "-8"),
            ("window", "16"),
            ("decoder-delay", "4"),
            ("causal", "maybe"),
            ("format", "2"),
            ("name", "two\nlines"),
        ] {
            let mut broken = keys();
            broken.insert(key, value.into());
            assert!(read(&broken).unwrap_err().contains(key), "{key}={value}");
        }
    }
}
