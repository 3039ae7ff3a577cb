//! Caps become a token format, and the token format an encoder.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::encoder::{Continued, Encoder};
use super::imp::{State, VidtokEnc};
use super::intake::Intake;
use super::packets::Packets;
use super::plan::Plan;
use super::preparation::{OrientationChoice, Preparation};
use super::stream_range;
use super::turn::Turn;
use crate::caps::StreamFormat;
use crate::details::Details;
use crate::element::{BusReport, ElementLatency, NetworkElement, frame_duration, negotiation, shape};
use crate::format::{TokenFormat, TokenType};
use crate::runtime::RuntimeError;
use crate::system::lock::lock;
use crate::tokenizer::Graph;

impl VidtokEnc {
    /// Makes what is needed for video of `incaps` and tokens of `outcaps`.
    ///
    /// # Errors
    /// Pictures or tokens cannot be as the caps say.
    pub(super) fn take_caps(
        &self,
        state: &mut State,
        incaps: &gst::Caps,
        outcaps: &gst::Caps,
    ) -> Result<(), RuntimeError> {
        let plan = self.plan(incaps)?;
        let (format, stream_format) = self.token_format(&plan, outcaps)?;
        if plan.range_is_the_streams {
            let text = "The container says that luma goes from 16 to 235, and the video itself that it goes from 0 to 255: the \
                        video is believed, as FFmpeg does. (qtdemux loses a box that says \"full range\")";
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
        }
        state.timing.set_framerate(format.framerate);
        if state.pick.interval() != plan.pick.interval() {
            state.pick = plan.pick.clone();
        }
        if let Some(encoder) = &state.encoder
            && encoder.makes(&format, stream_format)
        {
            state.intake = Some(Intake::new(plan));
            return Ok(());
        }
        // Downstream may ask for another format in mid-stream: the old segment ends in the old one.
        self.drain(state, false);
        let encoder = match state.encoder.take() {
            Some(mut encoder) if encoder.is_of_size(&format) => {
                encoder.set_format(format, stream_format)?;
                encoder
            }
            before => {
                // The old network gives its memory back before the new one takes some.
                let continued = before.map(Encoder::into_continued);
                self.open(format, stream_format, continued)?
            }
        };
        self.announce(&encoder, stream_format);
        (state.encoder, state.intake) = (Some(encoder), Some(Intake::new(plan)));
        Ok(())
    }

    /// What becomes of video of `incaps` in front of the network.
    pub(super) fn plan(&self, incaps: &gst::CapsRef) -> Result<Plan, RuntimeError> {
        let preparation = lock(&self.settings).preparation.clone();
        let turn = self.turn(&preparation);
        let video = gst_video::VideoInfo::from_caps(incaps)
            .map_err(|_| RuntimeError::Caps(format!("GStreamer cannot handle pictures of the caps {incaps}").into()))?;
        if video.is_interlaced() {
            let text = "Interlaced video cannot be tokenized: put a deinterlace element in front";
            return Err(RuntimeError::Caps(text.into()));
        }
        Plan::new(
            incaps,
            video,
            &preparation,
            turn,
            stream_range::is_full(self.obj().sink_pad()),
        )
    }

    /// How pictures are turned.
    fn turn(&self, preparation: &Preparation) -> Turn {
        match preparation.orientation {
            OrientationChoice::Auto => lock(&self.shared).orientation.turn(),
            OrientationChoice::Ignore => Turn::default(),
        }
    }

    /// Fields of caps that are the same in front of the element and behind it.
    pub(super) fn shared_fields(&self) -> &'static [&'static str] {
        let preparation = lock(&self.settings).preparation.clone();
        match preparation.keeps_pictures() && self.turn(&preparation).is_none() {
            true => &negotiation::PICTURE,
            false => &[],
        }
    }

    /// The format for tokens of pictures by `plan`; what `outcaps` leave open has its default.
    pub(super) fn token_format(
        &self,
        plan: &Plan,
        outcaps: &gst::CapsRef,
    ) -> Result<(TokenFormat, StreamFormat), RuntimeError> {
        let graph = self.graph()?;
        let chosen = |field| outcaps.structure(0).and_then(|s| first_text(s, field));
        let is_raw = chosen("stream-format").as_deref() == Some(StreamFormat::Raw.as_str());
        let token_type = chosen("token-type").and_then(|name| TokenType::parse(&name));
        let set = lock(&self.settings).token_type.token_type();
        let token_type = token_type
            .or(set)
            .unwrap_or_else(|| TokenType::default_for(&graph.description.regularizer));
        let (width, height) = plan.size();
        let format = TokenFormat {
            token_type,
            framerate: plan.framerate(),
            pixel_aspect_ratio: plan.pixel_aspect_ratio(),
            colorimetry: plan.colorimetry(),
            pixels: plan.description(graph.input),
            ..TokenFormat::of(&graph.description, width, height)
        };
        let is_wrong_setting = set == Some(token_type) && !token_type.fits(&graph.description.regularizer);
        format.check().map_err(|error| match is_wrong_setting {
            true => RuntimeError::Settings(Details::of(error)),
            false => RuntimeError::Caps(Details::of(error)),
        })?;
        let stream_format = if is_raw {
            StreamFormat::Raw
        } else {
            StreamFormat::Framed
        };
        Ok((format, stream_format))
    }

    fn graph(&self) -> Result<Graph, RuntimeError> {
        let graph = self.network().graph();
        graph.ok_or_else(|| RuntimeError::Run("the element is not in READY".into()))
    }

    /// An encoder for pictures as in `format`. `continued`: what the encoder before it leaves to it.
    pub(super) fn open(
        &self,
        format: TokenFormat,
        stream_format: StreamFormat,
        continued: Option<Continued>,
    ) -> Result<Encoder, RuntimeError> {
        let settings = lock(&self.settings).clone();
        let graph = self.graph()?;
        let continued = match continued {
            Some(mut continued) => {
                continued.packets.set_format(format, stream_format)?;
                continued
            }
            None => Continued {
                sampler: settings.sampler(&graph)?,
                packets: Packets::new(format, stream_format, settings.stream_id)?,
            },
        };
        let element = self.obj();
        let report = BusReport(element.upcast_ref());
        let cancel = self.network().cancel.clone();
        let mut encoder = Encoder::new(&graph, settings.network.options, continued, cancel, &report)?;
        self.try_network(|| encoder.run_trial());
        Ok(encoder)
    }

    /// Says why no caps were agreed on, where the reason is what downstream wants. Any other reason is posted already.
    pub(super) fn explain_refusal(&self, incaps: &gst::Caps) {
        let source = self.obj().src_pad().clone();
        let wanted = source.peer_query_caps(None);
        let exact = self.plan(incaps).and_then(|plan| self.token_format(&plan, &wanted));
        let possible = match exact {
            Ok((format, stream_format)) => Some(format.to_caps(stream_format)),
            Err(_) => self.transform_caps(gst::PadDirection::Sink, incaps, None),
        };
        if let Some(possible) = possible.filter(|possible| !possible.can_intersect(&wanted)) {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("Downstream takes {wanted}, but the tokens of this video can be {possible}")
            );
        }
    }

    /// Publishes what follows from the caps: statistics, latency, and the shape of raw tokens.
    pub(super) fn announce(&self, encoder: &Encoder, stream_format: StreamFormat) {
        let format = encoder.format();
        self.announce_network(format, encoder.running());
        lock(&self.network().stats).input = Some(encoder.input());
        // A group's first frame waits for the others.
        let group = encoder.step_frames();
        self.set_latency(group.saturating_sub(1), group, frame_duration(format.framerate));
        if stream_format == StreamFormat::Raw {
            let text = format!(
                "Raw tokens of \"{}\", little endian, shape {}",
                format.model,
                shape(format)
            );
            // gst-launch-1.0 shows the debug text only.
            gst::element_imp_info!(self, gst::StreamError::Format, ("{text}"), ["{text}"]);
        }
    }
}

/// A text field of caps; of a list, the first.
fn first_text(s: &gst::StructureRef, field: &str) -> Option<String> {
    let list = || s.get::<gst::List>(field).ok()?.first()?.get().ok();
    s.get(field).ok().or_else(list)
}
