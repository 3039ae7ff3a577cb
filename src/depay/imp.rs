//! # rtpvidtokdepay
//!
//! Receives tokens as RTP packets, and conceals cells that did not come. `docs/rtp.md` specifies the packets.
//!
//! ```text
//! gst-launch-1.0 udpsrc port=5004 caps="application/x-rtp,…" ! rtpjitterbuffer ! rtpvidtokdepay ! vidtokdec ! \
//!     videoconvert ! autovideosink
//! ```
//!
//! The caps of the sink pad are those of `rtpvidtokpay`, as SDP or a person hands them on. Without its fields, the element
//! waits for a packet with them, which the sender's property `config-interval` brings.
//!
//! Output is `framed` unless downstream accepts only `raw`. Of a latent frame that came in part, or not at all, the missing
//! cells have the tokens of the latent frame before. The buffer's custom meta `GstVidtokConcealed` says which they are:
//! `cells`, how many, and `runs`, first cell and number of each run of them, over the buffer's latent frames.
//!
//! The start of a segment that is lost cannot be concealed that well: the element asks the sender for another segment
//! start, and does what the property `on-lost-start` says until it comes. A buffer behind latent frames that are missing
//! has DISCONT.
//!
//! Packets have to come in order: `rtpjitterbuffer` puts them in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::rtp_buffer::{RTPBuffer, Readable};
use gst_rtp::subclass::prelude::*;

use super::settings::Settings;
use super::state::{Outcome, State};
use crate::caps::{StreamFormat, packet_template};
use crate::element::{metadata, pad_templates};
use crate::format::TokenFormat;
use crate::rtp::Payload;
use crate::system::lock::lock;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rtpvidtokdepay",
        gst::DebugColorFlags::empty(),
        Some("VidTok depayloader"),
    )
});

#[derive(Default)]
pub struct RtpVidtokDepay {
    /// Not locked during pushes.
    state: Mutex<State>,
    settings: Mutex<Settings>,
    /// The buffer that is pushed comes after a hole.
    discont: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpVidtokDepay {
    const NAME: &'static str = "GstRtpVidtokDepay";
    type Type = super::RtpVidtokDepay;
    type ParentType = gst_rtp::RTPBaseDepayload;
}

impl ObjectImpl for RtpVidtokDepay {
    fn properties() -> &'static [glib::ParamSpec] {
        Settings::properties()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        lock(&self.settings).set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let set = lock(&self.settings).get(pspec.name());
        set.unwrap_or_else(|| lock(&self.state).stats().to_value())
    }

    fn constructed(&self) {
        self.parent_constructed();
        let src = self.obj().src_pad().clone();
        src.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
            let depay = pad.parent().and_downcast::<super::RtpVidtokDepay>();
            if let (Some(depay), Some(gst::PadProbeData::Buffer(buffer))) = (depay, &mut info.data) {
                depay.imp().correct(buffer.make_mut());
            }
            gst::PadProbeReturn::Ok
        });
    }
}

impl GstObjectImpl for RtpVidtokDepay {}

impl ElementImpl for RtpVidtokDepay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            let description = "Receives VidTok tokens as RTP packets, and conceals lost ones";
            metadata("VidTok RTP depayloader", "Codec/Depayloader/Network/RTP", description)
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
            LazyLock::new(|| pad_templates(&crate::element::rtp::depayload_template(), &packet_template()));
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            *lock(&self.state) = State::default();
        }
        self.parent_change_state(transition)
    }
}

impl RTPBaseDepayloadImpl for RtpVidtokDepay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let format = crate::element::rtp::format(caps).map_err(|error| {
            gst::element_imp_error!(self, gst::CoreError::Negotiation, ("{error}"));
            gst::loggable_error!(CAT, "{error}")
        })?;
        let settings = lock(&self.settings).joiner();
        let outcome = lock(&self.state).set_format(format, settings);
        let _ = self.act(outcome);
        Ok(())
    }

    fn handle_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::FlushStop => lock(&self.state).flush(),
            gst::EventType::Eos => {
                let outcome = lock(&self.state).finish();
                let _ = self.act(outcome);
            }
            _ => (),
        }
        self.parent_handle_event(event)
    }

    /// Sends no GAP event, as the base class does for each lost packet: the time of one that lacks is not the unit's, and
    /// the unit itself still comes, concealed.
    fn packet_lost(&self, _event: &gst::EventRef) -> bool {
        true
    }

    fn process_rtp_packet(&self, rtp_buffer: &RTPBuffer<Readable>) -> Option<gst::Buffer> {
        let read = Payload::decode(rtp_buffer.payload().unwrap_or_default());
        let pts = rtp_buffer.buffer().pts().map(|pts| pts.nseconds());
        let settings = lock(&self.settings).joiner();
        let outcome = lock(&self.state).begin(rtp_buffer.ssrc(), rtp_buffer.seq(), &read, settings);
        self.act(outcome).ok()?;
        let unannounced = lock(&self.state).unannounced().cloned();
        if let Some(format) = unannounced {
            self.announce(&format).ok()?;
        }
        let outcome = lock(&self.state).push(read, pts, settings);
        // The base class remembers what the pushes have returned.
        let _ = self.act(outcome);
        None
    }
}

impl RtpVidtokDepay {
    /// Sets the caps of the source pad: raw tokens, where downstream takes no framed ones.
    fn announce(&self, format: &TokenFormat) -> Result<(), gst::FlowError> {
        let depayload = self.obj();
        let src = depayload.src_pad();
        let taken = src.peer_query_caps(Some(&packet_template()));
        let takes = |stream_format: StreamFormat| taken.can_intersect(&format.to_caps(stream_format));
        let stream_format = match !takes(StreamFormat::Framed) && takes(StreamFormat::Raw) {
            true => StreamFormat::Raw,
            false => StreamFormat::Framed,
        };
        src.push_event(gst::event::Caps::new(&format.to_caps(stream_format)));
        lock(&self.state).announced(stream_format).map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
            gst::FlowError::Error
        })
    }

    /// Pushes buffers, asks for a segment start, warns.
    fn act(&self, outcome: Outcome) -> Result<(), gst::FlowError> {
        let depayload = self.obj();
        if let Some(text) = outcome.warning {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
        }
        if outcome.needs_key {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder()
                .all_headers(true)
                .build();
            depayload.sink_pad().push_event(event);
        }
        for out in outcome.buffers {
            self.discont.store(out.discont, Ordering::Relaxed);
            depayload.push(out.buffer)?;
        }
        match outcome.error {
            None => Ok(()),
            Some(error) => {
                gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
                Err(gst::FlowError::Error)
            }
        }
    }

    /// Takes back what the base class has set on a buffer: DISCONT for every packet that is missing, also where its cells
    /// were concealed, and the time of arrival as the time of decoding.
    fn correct(&self, buffer: &mut gst::BufferRef) {
        if self.discont.load(Ordering::Relaxed) {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        } else {
            buffer.unset_flags(gst::BufferFlags::DISCONT);
        }
        buffer.set_dts(gst::ClockTime::NONE);
    }
}
