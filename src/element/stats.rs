//! The `stats` property: what went through an element, and how fast.

use std::collections::VecDeque;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;

use crate::format::{Fraction, TokenFormat};
use crate::runtime::Running;
use crate::tokenizer::FrameType;

/// Steps whose median is what a step takes now.
const RECENT: usize = 5;

/// Counters of one element from READY on.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub frames: u64,
    pub latent_frames: u64,
    /// Bytes of token buffers.
    pub bytes: u64,
    pub segments: u64,
    /// Frames that were left out; a QoS message or a warning tells of each. A token buffer that cannot be read counts
    /// as one frame, as nothing says how many it held.
    pub dropped: u64,
    /// Nanoseconds from the running time of the latest buffer's first frame until the buffer left. Negative: it left
    /// before.
    pub lateness: Option<i64>,
    /// What an encoder's network takes, once known.
    pub input: Option<FrameType>,
    /// What runs the network, once it does.
    running: Option<Running>,
    /// Name of the tokenizer and shape of its tokens, once known.
    model: Option<String>,
    shape: Option<String>,
    /// What was done to the video's pixels, once known.
    pixels: Option<String>,
    framerate: Option<Fraction>,
    steps: u64,
    /// Streams in the batches of those steps, this one included.
    members: u64,
    total: Duration,
    max: Duration,
    /// The latest steps.
    recent: VecDeque<Duration>,
}

impl Stats {
    pub const PROPERTY: &str = "stats";

    pub fn property() -> glib::ParamSpec {
        glib::ParamSpecBoxed::builder::<gst::Structure>(Self::PROPERTY)
            .nick("Statistics")
            .blurb(
                "Frames, latent frames, bytes and segments so far, dropped frames, milliseconds and streams per step, latency \
                 and lateness in milliseconds, real-time factor, provider and nodes that run elsewhere, model, shape of \
                 the tokens, what was done to the pixels; encoder: input, which is what the network takes; decoder: gaps \
                 and uncertain frames",
            )
            .read_only()
            .build()
    }

    /// Sets what is known once caps are. Returns the warnings that were not given before.
    pub fn describe(&mut self, format: &TokenFormat, running: &Running) -> Vec<String> {
        self.model = Some(format.model.clone());
        self.shape = Some(shape(format));
        self.pixels = format.pixels.clone();
        self.framerate = Some(format.framerate);
        let before = self.running.replace(running.clone());
        let said: Vec<String> = before.iter().flat_map(Running::warnings).collect();
        running.warnings().filter(|warning| !said.contains(warning)).collect()
    }

    /// Adds a step of the network: how long it took, and how many streams were in its batch.
    pub fn step(&mut self, elapsed: Duration, members: usize) {
        self.steps += 1;
        self.members += members as u64;
        self.total += elapsed;
        self.max = self.max.max(elapsed);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(elapsed);
    }

    /// What a step takes now: the median of the latest few; zero before the first one.
    pub fn recent_step(&self) -> Duration {
        let mut recent: Vec<_> = self.recent.iter().copied().collect();
        recent.sort_unstable();
        recent.get(recent.len() / 2).copied().unwrap_or_default()
    }

    /// `latency`: what the element declares.
    pub fn to_structure(&self, name: &str, latency: gst::ClockTime) -> gst::Structure {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let per_step = |total: f64| total / self.steps.max(1) as f64;
        let mut structure = gst::Structure::builder(name)
            .field("frames", self.frames)
            .field("latent-frames", self.latent_frames)
            .field("bytes", self.bytes)
            .field("segments", self.segments)
            .field("dropped", self.dropped)
            .field("step-ms-mean", per_step(milliseconds(self.total)))
            .field("step-ms-max", milliseconds(self.max))
            .field("batch-mean", per_step(self.members as f64))
            .field("latency-ms", latency.nseconds() as f64 / 1e6)
            .build();
        if let Some(lateness) = self.lateness {
            structure.set("lateness-ms", lateness as f64 / 1e6);
        }
        if let Some(factor) = self.real_time_factor() {
            structure.set("real-time-factor", factor);
        }
        let running = self.running.as_ref();
        let nodes = running.and_then(Running::nodes);
        if let Some(nodes) = nodes {
            structure.set("nodes-on-provider", nodes as u64);
        }
        // "none" where that is known; without counts of nodes, nothing is known.
        let elsewhere = || Some(running?.elsewhere().unwrap_or("none".into()));
        let texts = [
            ("provider", running.map(|running| running.provider.name().to_string())),
            ("nodes-elsewhere", nodes.and_then(|_| elsewhere())),
            ("model", self.model.clone()),
            ("shape", self.shape.clone()),
            ("pixels", self.pixels.clone()),
            ("input", self.input.map(|input| input.as_str().to_string())),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                structure.set(key, value);
            }
        }
        structure
    }

    /// Seconds of video per second of the network's time; `None` before the first step and without a framerate.
    fn real_time_factor(&self) -> Option<f64> {
        let framerate = self.framerate.filter(|rate| rate.num > 0)?;
        let video = self.frames as f64 * f64::from(framerate.den) / f64::from(framerate.num);
        let seconds = self.total.as_secs_f64();
        (seconds > 0.0).then(|| video / seconds)
    }
}

/// Shape and type of the tokens in `raw` buffers, such as `[t, 32, 32] uint16`.
pub fn shape(format: &TokenFormat) -> String {
    let channels = match format.regularizer.codebook_size() {
        Some(_) => String::new(),
        None => format!(", {}", format.regularizer.values_per_cell()),
    };
    format!(
        "[t, {}, {}{channels}] {}",
        format.grid_height,
        format.grid_width,
        format.token_type.as_str()
    )
}
