//! What the streaming thread works on: packets to token buffers.

use std::time::{Duration, Instant};

use super::output::{Out, Output};
use super::stats::Stats;
use crate::caps::StreamFormat;
use crate::format::TokenFormat;
use crate::rtp::fields::short_digest;
use crate::rtp::{Counts, Fault, Joined, Joiner, Payload, Settings};
use crate::stream::StreamError;

/// So many packets without a configuration are a mistake, and not only a late start.
const UNKNOWN_PACKETS: u64 = 20;
/// How often a sender is asked for a configuration.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The payload of a packet, or why it is of no use.
type Read<'a> = Result<Payload<'a>, Fault>;

#[derive(Default)]
pub struct State {
    joining: Option<Joining>,
    /// The caps say nothing of the format: packets with a configuration do.
    by_packets: bool,
    ssrc: Option<u32>,
    /// Sequence number of the sender's latest packet.
    seq: Option<u16>,
    /// When a configuration was asked for.
    asked: Option<Instant>,
    /// Kinds of faults that a warning told of, by their number.
    warned: [bool; Fault::ALL.len()],
    told_of_loss: bool,
    told_of_unknown: bool,
    pub stats: Stats,
}

/// What a known format brings.
struct Joining {
    format: TokenFormat,
    /// The format's short digest.
    digest: u32,
    joiner: Joiner,
    /// `None` until the first packet, when downstream is asked what it takes.
    output: Option<Output>,
    /// Holes up to the latest unit.
    holes: u64,
}

/// What follows from a packet.
#[derive(Default)]
pub struct Outcome {
    pub buffers: Vec<Out>,
    pub needs_key: bool,
    /// A warning, given once.
    pub warning: Option<String>,
    pub error: Option<StreamError>,
}

impl Outcome {
    /// Adds the buffers of `next`, and its error unless there is one.
    fn append(&mut self, next: Self) {
        self.buffers.extend(next.buffers);
        self.error = self.error.take().or(next.error);
    }
}

impl State {
    /// Continues with what caps say. What is not complete in another format is given out.
    pub fn set_format(&mut self, format: Option<TokenFormat>, settings: Settings) -> Outcome {
        self.by_packets = format.is_none();
        match format {
            Some(format) => self.change(&format, settings),
            None => Outcome::default(),
        }
    }

    fn change(&mut self, format: &TokenFormat, settings: Settings) -> Outcome {
        if self.joining.as_ref().is_some_and(|joining| joining.format == *format) {
            return Outcome::default();
        }
        let outcome = self.finish();
        if let Some(before) = self.joining.take() {
            self.stats.keep(before.joiner.counts());
        }
        self.joining = Some(Joining {
            joiner: Joiner::new(format.clone(), settings),
            digest: short_digest(format),
            format: format.clone(),
            output: None,
            holes: 0,
        });
        outcome
    }

    /// The format whose buffers the source pad's caps do not announce yet.
    pub fn unannounced(&self) -> Option<&TokenFormat> {
        let joining = self.joining.as_ref()?;
        joining.output.is_none().then_some(&joining.format)
    }

    /// Puts out what comes in this stream format; the caps were announced.
    pub fn announced(&mut self, stream_format: StreamFormat) -> Result<(), StreamError> {
        if let Some(joining) = &mut self.joining {
            joining.output = Some(Output::new(joining.format.clone(), stream_format)?);
        }
        Ok(())
    }

    /// Looks whether a packet is another sender's, or has a configuration. Call in front of [`push`](Self::push).
    pub fn begin(&mut self, ssrc: u32, seq: u16, read: &Read, settings: Settings) -> Outcome {
        let mut outcome = Outcome::default();
        // A stray packet does not make a sender.
        if !self.is_own(read) {
            return outcome;
        }
        let follows = self.seq.replace(seq).is_none_or(|before| seq == before.wrapping_add(1));
        if let Some(joining) = self.joining.as_mut().filter(|_| !follows) {
            joining.joiner.note_missing();
        }
        if self.ssrc.replace(ssrc).is_some_and(|before| before != ssrc)
            && let Some(joining) = &mut self.joining
        {
            let before = joining.joiner.finish();
            outcome = joining.restart(&before, &mut self.stats);
        }
        if self.by_packets
            && let Ok(Payload::Configuration(format)) = read
        {
            outcome.append(self.change(format, settings));
        }
        outcome
    }

    /// Whether a packet can be one of the stream's, as far as its own fields tell.
    fn is_own(&self, read: &Read) -> bool {
        match (read, &self.joining) {
            (Ok(Payload::Cells { header, .. }), Some(joining)) => header.digest == joining.digest,
            (read, _) => read.is_ok(),
        }
    }

    /// Takes a packet. `pts`: in nanoseconds.
    pub fn push(&mut self, read: Read, pts: Option<u64>, settings: Settings) -> Outcome {
        let mut outcome = Outcome::default();
        self.stats.packets += 1;
        let fault = match (&mut self.joining, read) {
            (None, Ok(Payload::Configuration(_))) => None,
            (None, read) => {
                self.stats.unknown += 1;
                let now = Instant::now();
                let is_time = self.asked.is_none_or(|asked| now.duration_since(asked) >= ASK_AGAIN);
                if is_time {
                    self.asked = Some(now);
                    outcome.needs_key = true;
                }
                read.err()
            }
            (Some(joining), Ok(Payload::Configuration(format))) => {
                let is_own = short_digest(&format) == joining.digest;
                (!is_own).then(|| {
                    joining.joiner.count(Fault::OtherFormat);
                    Fault::OtherFormat
                })
            }
            (Some(joining), Ok(Payload::Cells { header, offsets, data })) => {
                joining.joiner.set(settings);
                let pushed = joining.joiner.push(&header, offsets, data, pts);
                if let Some(before) = pushed.before_restart {
                    outcome = joining.restart(&before, &mut self.stats);
                }
                outcome.append(joining.give(&pushed.units, &mut self.stats));
                outcome.needs_key = pushed.needs_key;
                pushed.fault
            }
            (Some(joining), Err(fault)) => {
                joining.joiner.count(fault);
                Some(fault)
            }
        };
        if let Some(fault) = fault
            && !std::mem::replace(&mut self.warned[fault as usize], true)
        {
            outcome.warning = Some(format!(
                "A packet is of no use: {fault}. Others like it are counted in the property stats"
            ));
        }
        if outcome.warning.is_none() {
            outcome.warning = self.first_loss().or_else(|| self.still_unknown());
        }
        self.stats.key_requests += u64::from(outcome.needs_key);
        outcome
    }

    /// A warning of the first loss.
    fn first_loss(&mut self) -> Option<String> {
        let counts = *self.joining.as_ref()?.joiner.counts();
        let is_loss = counts.concealed_cells > 0 || counts.holes > 0;
        if !is_loss || std::mem::replace(&mut self.told_of_loss, true) {
            return None;
        }
        let what = match counts.concealed_cells {
            0 => "latent frames are missing".into(),
            cells => format!("{cells} cells were concealed"),
        };
        Some(format!(
            "RTP packets did not come: {what}. Further ones are counted in the property stats"
        ))
    }

    /// A warning that packets come, and nothing tells what they hold.
    fn still_unknown(&mut self) -> Option<String> {
        if self.stats.unknown < UNKNOWN_PACKETS || std::mem::replace(&mut self.told_of_unknown, true) {
            return None;
        }
        let text = "RTP packets come, but nothing says what tokens they hold: give this element the caps of rtpvidtokpay, \
                    or set config-interval there, and key-interval on the encoder";
        Some(text.into())
    }

    /// Gives out what is not complete, and the stream's end. What follows is another stream.
    pub fn finish(&mut self) -> Outcome {
        match &mut self.joining {
            Some(joining) => joining.finish(&mut self.stats),
            None => Outcome::default(),
        }
    }

    /// Forgets what is not complete, as after a flush.
    pub fn flush(&mut self) {
        if let Some(joining) = &mut self.joining {
            joining.joiner.reset();
            if let Some(output) = &mut joining.output {
                output.flush();
            }
        }
    }

    pub fn stats(&self) -> gst::Structure {
        let counts = self
            .joining
            .as_ref()
            .map_or(Counts::default(), |joining| *joining.joiner.counts());
        self.stats.to_structure(&counts)
    }
}

impl Joining {
    fn give(&mut self, units: &[Joined], stats: &mut Stats) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(output) = &mut self.output else {
            return outcome;
        };
        for unit in units {
            stats.latent_frames += u64::from(unit.latent_frames);
            self.holes = self.joiner.counts().holes;
            if let Err(error) = output.unit(unit, &mut outcome.buffers) {
                outcome.error = Some(error);
                break;
            }
        }
        outcome
    }

    /// Gives out what was not complete of a stream. Another one follows.
    fn restart(&mut self, units: &[Joined], stats: &mut Stats) -> Outcome {
        let mut outcome = self.give(units, stats);
        if let Some(output) = &mut self.output {
            outcome.error = outcome.error.or(output.restart().err());
        }
        outcome
    }

    fn finish(&mut self, stats: &mut Stats) -> Outcome {
        let units = self.joiner.finish();
        let end = units.last().and_then(Joined::end);
        let mut outcome = self.give(&units, stats);
        // Nobody knows how a segment ended whose last packets did not come.
        let is_whole = self.joiner.counts().holes == self.holes;
        if let Some(output) = &mut self.output {
            let ended = match is_whole {
                true => output.end(end, &mut outcome.buffers),
                false => Ok(()),
            };
            outcome.error = outcome.error.or(ended.and_then(|()| output.restart()).err());
        }
        outcome
    }
}
