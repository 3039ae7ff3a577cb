//! The `stats` property of the depayloader.

use gst::glib;
use gst::prelude::*;

use crate::rtp::{Counts, Fault};

pub const PROPERTY: &str = "stats";

pub fn property() -> glib::ParamSpec {
    glib::ParamSpecBoxed::builder::<gst::Structure>(PROPERTY)
        .nick("Statistics")
        .blurb(
            "Packets so far, latent frames put out, cells and latent frames that were concealed, holes, packets that were \
             late or held back, requests for a segment start, and packets that were of no use, by kind",
        )
        .read_only()
        .build()
}

/// Counters from READY on.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Of the formats before the current one.
    before: Counts,
    /// All that came, whatever they held.
    pub packets: u64,
    /// Those that came before the format was known.
    pub unknown: u64,
    pub latent_frames: u64,
    pub key_requests: u64,
}

impl Stats {
    /// Keeps the counts of a format that has ended.
    pub fn keep(&mut self, counts: &Counts) {
        self.before = sum(&self.before, counts);
    }

    pub fn to_structure(&self, counts: &Counts) -> gst::Structure {
        let counts = sum(&self.before, counts);
        let mut structure = gst::Structure::builder("application/x-rtpvidtokdepay-stats")
            .field("packets", self.packets)
            .field("latent-frames", self.latent_frames)
            .field("concealed-cells", counts.concealed_cells)
            .field("concealed-latent-frames", counts.concealed_latent_frames)
            .field("holes", counts.holes)
            .field("late", counts.late)
            .field("held", counts.held + self.unknown)
            .field("key-requests", self.key_requests)
            .build();
        for (fault, count) in Fault::ALL.iter().zip(counts.faults) {
            structure.set(fault.name(), count);
        }
        structure
    }
}

fn sum(a: &Counts, b: &Counts) -> Counts {
    let mut faults = a.faults;
    for (fault, more) in faults.iter_mut().zip(b.faults) {
        *fault += more;
    }
    Counts {
        late: a.late + b.late,
        held: a.held + b.held,
        concealed_cells: a.concealed_cells + b.concealed_cells,
        concealed_latent_frames: a.concealed_latent_frames + b.concealed_latent_frames,
        holes: a.holes + b.holes,
        faults,
    }
}
