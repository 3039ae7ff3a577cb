//! # rtpvidtokpay
//!
//! Sends tokens as RTP packets, each of which decodes without its neighbours. `docs/rtp.md` specifies them.
//!
//! ```text
//! gst-launch-1.0 videotestsrc is-live=true ! vidtokenc key-interval=60 ! rtpvidtokpay ! \
//!     udpsink host=127.0.0.1 port=5004
//! ```
//!
//! A buffer of tokens becomes one packet or several, with the same timestamp; the last has the marker bit. Its packets have
//! about the same number of cells, whole rows where possible.
//!
//! The caps of the source pad are all that a receiver needs to know, as strings, so that they survive SDP. For receivers
//! that have no caps, the property `config-interval` repeats them in packets.
//!
//! A receiver that has lost the start of a segment asks for another one. The request goes upstream, to `vidtokenc`.

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;

use super::units::{Timed, UnitError, UnitReader};
use crate::caps::packet_template;
use crate::element::{metadata, pad_templates};
use crate::format::TokenFormat;
use crate::rtp::{self, RTP_HEADER_BYTES, Splitter};
use crate::system::lock::lock;

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("rtpvidtokpay", gst::DebugColorFlags::empty(), Some("VidTok payloader")));

const CONFIG_INTERVAL: &str = "config-interval";

#[derive(Default)]
pub struct RtpVidtokPay {
    state: Mutex<State>,
    /// Seconds; -1: at every segment start, 0: never.
    config_interval: Mutex<i32>,
}

#[derive(Default)]
struct State {
    sending: Option<Sending>,
    /// PTS of the segment start that a configuration was sent in front of, if any was.
    configured: Option<Option<u64>>,
    /// Warnings that were given and are not repeated.
    warned_of_configuration: bool,
    warned_of_damage: bool,
}

/// What caps bring.
struct Sending {
    reader: UnitReader,
    splitter: Splitter,
    configuration: Vec<u8>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpVidtokPay {
    const NAME: &'static str = "GstRtpVidtokPay";
    type Type = super::RtpVidtokPay;
    type ParentType = gst_rtp::RTPBasePayload;
}

impl ObjectImpl for RtpVidtokPay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecInt::builder(CONFIG_INTERVAL)
                    .nick("Configuration interval")
                    .blurb(
                        "Seconds after which a segment start has a packet with the caps in front of it, for receivers \
                         without caps (0: never; -1: every segment start)",
                    )
                    .minimum(-1)
                    .maximum(3600)
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
        *lock(&self.config_interval) = value.get().expect("checked by GObject");
    }

    fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
        lock(&self.config_interval).to_value()
    }
}

impl GstObjectImpl for RtpVidtokPay {}

impl ElementImpl for RtpVidtokPay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            let description = "Sends VidTok tokens as RTP packets";
            metadata("VidTok RTP payloader", "Codec/Payloader/Network/RTP", description)
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let rtp = crate::element::rtp::payload_template();
            pad_templates(&packet_template(), &rtp)
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            *lock(&self.state) = State::default();
        }
        self.parent_change_state(transition)
    }
}

impl RTPBasePayloadImpl for RtpVidtokPay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let refuse = |text: String| {
            gst::element_imp_error!(self, gst::CoreError::Negotiation, ("{text}"));
            gst::loggable_error!(CAT, "{text}")
        };
        let (format, stream_format) = TokenFormat::from_caps(caps).map_err(|error| refuse(error.to_string()))?;
        let configuration = rtp::configuration(&format).map_err(|error| refuse(error.to_string()))?;
        let fields = crate::element::rtp::fields(&format);
        {
            let mut state = lock(&self.state);
            let splitter = Splitter::new(&format);
            let reader = match state.sending.take() {
                Some(Sending { mut reader, .. }) => {
                    reader.set_format(format, stream_format);
                    reader
                }
                None => UnitReader::new(format, stream_format),
            };
            state.configured = None;
            state.sending = Some(Sending {
                reader,
                splitter,
                configuration,
            });
        }
        let payload = self.obj();
        payload.set_options("video", true, crate::element::rtp::ENCODING_NAME, rtp::CLOCK_RATE);
        payload
            .set_outcaps(Some(&fields))
            .map_err(|_| gst::loggable_error!(CAT, "downstream does not take the caps"))
    }

    fn handle_buffer(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (units, error) = {
            let mut state = lock(&self.state);
            let sending = state.sending.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            sending.reader.read(&buffer)
        };
        for timed in &units {
            let payloads = self.payloads(timed)?;
            self.send(payloads, timed)?;
        }
        match error {
            None => Ok(gst::FlowSuccess::Ok),
            Some(UnitError::Refused(error)) => {
                gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
                Err(gst::FlowError::Error)
            }
            Some(UnitError::Damaged(text)) => {
                let was_warned = std::mem::replace(&mut lock(&self.state).warned_of_damage, true);
                if !was_warned {
                    gst::element_imp_warning!(
                        self,
                        gst::StreamError::Decode,
                        ("{text}: it is not sent, and later ones like it neither")
                    );
                }
                Ok(gst::FlowSuccess::Ok)
            }
        }
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::FlushStop
            && let Some(sending) = &mut lock(&self.state).sending
        {
            sending.reader.reset();
        }
        self.parent_sink_event(event)
    }
}

impl RtpVidtokPay {
    /// The payloads of a unit, perhaps with a configuration in front of them.
    fn payloads(&self, timed: &Timed) -> Result<Vec<Vec<u8>>, gst::FlowError> {
        let mtu = self.obj().mtu() as usize;
        let room = mtu.saturating_sub(RTP_HEADER_BYTES);
        let interval = *lock(&self.config_interval);
        let mut state = lock(&self.state);
        let is_due = timed.unit.latent_frame == 0 && state.configuration_is_due(interval, timed.pts);
        let State { sending, .. } = &mut *state;
        let sending = sending.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
        let split = sending.splitter.split(&timed.unit, room);
        let needed = sending.configuration.len();
        let configuration = is_due.then(|| sending.configuration.clone());
        let fits = needed <= room;
        if is_due && fits {
            state.configured = Some(timed.pts);
        }
        let warns = is_due && !fits && !std::mem::replace(&mut state.warned_of_configuration, true);
        drop(state);
        if warns {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                (
                    "The caps are not sent in packets, which config-interval asks for: they take {} bytes, and mtu is {mtu}",
                    needed + RTP_HEADER_BYTES
                )
            );
        }
        let payloads = split.map_err(|error| {
            gst::element_imp_error!(self, gst::ResourceError::Settings, ("mtu={mtu}: {error}"));
            gst::FlowError::Error
        })?;
        Ok(configuration.filter(|_| fits).into_iter().chain(payloads).collect())
    }

    /// Sends the payloads of a unit as packets with one timestamp.
    fn send(&self, payloads: Vec<Vec<u8>>, timed: &Timed) -> Result<gst::FlowSuccess, gst::FlowError> {
        let payload = self.obj();
        let last = payloads.len().saturating_sub(1);
        let mut list = gst::BufferList::new_sized(payloads.len());
        {
            let list = list.make_mut();
            for (i, bytes) in payloads.iter().enumerate() {
                let mut packet = payload.allocate_output_buffer(bytes.len() as u32, 0, 0);
                let buffer = packet.make_mut();
                buffer.set_pts(timed.pts.map(gst::ClockTime::from_nseconds));
                if timed.unit.latent_frame > 0 {
                    buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
                }
                if i == last {
                    buffer.set_flags(gst::BufferFlags::MARKER);
                }
                let mut rtp = gst_rtp::RTPBuffer::from_buffer_writable(buffer).map_err(|_| gst::FlowError::Error)?;
                rtp.payload_mut()
                    .map_err(|_| gst::FlowError::Error)?
                    .copy_from_slice(bytes);
                rtp.set_marker(i == last);
                drop(rtp);
                list.add(packet);
            }
        }
        payload.push_list(list)
    }
}

impl State {
    /// Whether a segment start at `pts` gets a configuration.
    fn configuration_is_due(&self, interval: i32, pts: Option<u64>) -> bool {
        let Ok(seconds) = u64::try_from(interval) else {
            return true;
        };
        let passed = |before: Option<u64>| pts.zip(before).map(|(now, before)| now.abs_diff(before));
        match self.configured {
            _ if seconds == 0 => false,
            None => true,
            Some(before) => passed(before).is_none_or(|passed| passed >= seconds * 1_000_000_000),
        }
    }
}
