//! What happens once caps are known: the token format, the network, and what is told of both.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::encoder::{Encoder, GoingOn};
use super::imp::{CAT, VidtokEnc};
use super::latency::Latency;
use super::packets::Packets;
use crate::caps::StreamFormat;
use crate::element::negotiation::token_format;
use crate::element::{BusReport, shape};
use crate::format::{TokenFormat, TokenType};
use crate::runtime::RuntimeError;
use crate::stream::StreamError;
use crate::timeline::frames_to_time;
use crate::tokenizer::Graph;

impl VidtokEnc {
    /// What the caps say of the pictures.
    pub(super) fn video_info(&self, caps: &gst::Caps) -> Result<gst_video::VideoInfo, gst::LoggableError> {
        let fail = |text: String| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{text}"));
            gst::loggable_error!(CAT, "{text}")
        };
        let video = gst_video::VideoInfo::from_caps(caps)
            .map_err(|_| fail(format!("GStreamer cannot handle pictures of the caps {caps}")))?;
        if video.is_interlaced() {
            return Err(fail(
                "Interlaced video cannot be tokenized: put a deinterlace element in front".into(),
            ));
        }
        Ok(video)
    }

    /// The format for tokens of `incaps`, with what `outcaps` leave open at its default.
    pub(super) fn token_format(
        &self,
        graph: &Graph,
        incaps: &gst::CapsRef,
        outcaps: &gst::CapsRef,
    ) -> Result<(TokenFormat, StreamFormat), RuntimeError> {
        let fail = |error: &dyn std::fmt::Display| RuntimeError::Graph(error.to_string());
        let chosen = |field| outcaps.structure(0).and_then(|s| first_text(s, field));
        let raw = chosen("stream-format").as_deref() == Some(StreamFormat::Raw.as_str());
        let token_type = chosen("token-type").and_then(|name| TokenType::parse(&name));
        let set = self.settings.lock().unwrap().token_type.token_type();
        let token_type = token_type
            .or(set)
            .unwrap_or_else(|| TokenType::default_for(&graph.description.regularizer));
        let caps = incaps.to_owned();
        let video = gst_video::VideoInfo::from_caps(&caps).map_err(|e| fail(&e))?;
        let format = token_format(&video, incaps, &graph.description, token_type);
        format.check().map_err(|e| fail(&e))?;
        Ok((format, if raw { StreamFormat::Raw } else { StreamFormat::Framed }))
    }

    pub(super) fn wanted_format(
        &self,
        incaps: &gst::CapsRef,
        outcaps: &gst::CapsRef,
    ) -> Result<(TokenFormat, StreamFormat), RuntimeError> {
        self.token_format(&self.graph()?, incaps, outcaps)
    }

    fn graph(&self) -> Result<Graph, RuntimeError> {
        let graph = self.graph.lock().unwrap();
        let graph = graph.as_ref().map(|(_, graph)| graph.clone());
        graph.ok_or_else(|| RuntimeError::Graph("the element is not in READY".into()))
    }

    /// Opens the network for pictures as `format` says. `going_on`: of the network before.
    pub(super) fn open(
        &self,
        format: TokenFormat,
        stream_format: StreamFormat,
        going_on: Option<GoingOn>,
    ) -> Result<Encoder, RuntimeError> {
        let settings = self.settings.lock().unwrap().clone();
        let graph = self.graph()?;
        let failed = |error: StreamError| RuntimeError::Run(error.to_string());
        let going_on = match going_on {
            Some(mut going_on) => {
                going_on.packets.set_format(format, stream_format).map_err(failed)?;
                going_on
            }
            None => GoingOn {
                sampler: settings.sampler(&graph)?,
                packets: Packets::new(format, stream_format, settings.stream_id).map_err(failed)?,
            },
        };
        Encoder::new(
            &graph,
            settings.network.options,
            settings.key_interval.into(),
            going_on,
            self.cancel.clone(),
            &BusReport(self.obj().upcast_ref()),
        )
    }

    /// Says why no caps were agreed on, where it is what downstream wants. Anything else has been told.
    pub(super) fn explain_refusal(&self, incaps: &gst::Caps) {
        let source = self.obj().src_pad().clone();
        let wanted = source.peer_query_caps(None);
        let possible = self.transform_caps(gst::PadDirection::Sink, incaps, None);
        if let Some(possible) = possible.filter(|possible| !possible.can_intersect(&wanted)) {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("What follows takes {wanted}, and the tokens of this video can be {possible}")
            );
        }
    }

    /// Publishes what is known from the caps on: statistics, latency, and the shape of raw tokens.
    pub(super) fn announce(&self, encoder: &Encoder, outcaps: &gst::Caps) {
        let format = encoder.format();
        let step_frames = encoder.step_frames() as u64;
        let frame = frames_to_time(1, format.framerate).map(gst::ClockTime::from_nseconds);
        let batch = self.settings.lock().unwrap().network.batch_latency();
        let warnings = {
            let mut shared = self.shared.lock().unwrap();
            shared.latency = Latency {
                step_frames,
                frame,
                batch,
                ..shared.latency
            };
            shared.stats.describe(format, encoder.running())
        };
        for text in warnings {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{text}"));
        }
        let _ = self
            .obj()
            .post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        let provider = encoder.running().provider.name();
        gst::info!(CAT, imp = self, "Running on {provider}, giving {outcaps}");
        if outcaps
            .structure(0)
            .is_some_and(|s| s.get::<&str>("stream-format") == Ok("raw"))
        {
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

/// A text field of caps, or the first of those that it may be.
fn first_text(s: &gst::StructureRef, field: &str) -> Option<String> {
    let list = || s.get::<gst::List>(field).ok()?.first()?.get().ok();
    s.get(field).ok().or_else(list)
}
