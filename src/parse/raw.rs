//! Bare tokens, as in a file of numbers, cut into latent frames.

use std::sync::Arc;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::cutter::Cutter;
use super::imp::{CAT, VidtokParse};
use crate::caps::{self, MEDIA_TYPE, StreamFormat};
use crate::meta::{self, TokenMeta};

/// Caps of bytes that are bare tokens: buffers may end anywhere.
///
/// Nobody writes this alignment; it keeps buffers of whole latent frames, which say `packet`, from being cut again.
/// Caps that say none are [accepted](accepts) all the same.
pub fn caps_template() -> gst::Structure {
    gst::Structure::builder(MEDIA_TYPE)
        .field("stream-format", StreamFormat::Raw.as_str())
        .field("alignment", "none")
        .build()
}

/// Whether these are caps of bare tokens, which the template alone would refuse for what they leave out.
pub fn accepts(caps: &gst::CapsRef) -> bool {
    caps.structure(0).is_some_and(|s| {
        s.name() == MEDIA_TYPE && caps::stream_format(s) == Ok(StreamFormat::Raw) && !s.has_field("alignment")
    })
}

/// Whether the stream is one of bare tokens. Known once the first bytes come.
#[derive(Debug, Default)]
pub(super) enum Mode {
    #[default]
    Unknown,
    ByteStream,
    Raw {
        cutter: Arc<Cutter>,
        /// Of the next piece.
        number: u64,
    },
}

impl VidtokParse {
    /// Cuts a piece off bare tokens. Gives `frame` back where the stream is none of such.
    pub(super) fn handle_raw<'a>(
        &'a self,
        frame: gst_base::BaseParseFrame<'a>,
    ) -> Result<Option<gst_base::BaseParseFrame<'a>>, gst::FlowError> {
        if matches!(self.state().raw, Mode::Unknown) {
            let mode = self.find_mode()?;
            self.state().raw = mode;
        }
        let (cutter, number) = match &mut self.state().raw {
            Mode::Raw { cutter, number } => {
                // Played anew from its beginning.
                *number = if frame.offset() == 0 { 0 } else { *number };
                (cutter.clone(), *number)
            }
            _ => return Ok(Some(frame)),
        };
        self.cut(frame, &cutter, number)?;
        Ok(None)
    }

    /// What the caps say: those that came, or that a file's filter would have.
    fn find_mode(&self) -> Result<Mode, gst::FlowError> {
        let sink = self.obj().sink_pad().clone();
        let queried = || self.is_pulling().then(|| sink.peer_query_caps(None));
        let caps = sink.current_caps().or_else(queried);
        let Some(caps) = caps.filter(|caps| {
            let format = caps.structure(0).and_then(|s| caps::stream_format(s).ok());
            caps.is_fixed() && format == Some(StreamFormat::Raw)
        }) else {
            return Ok(Mode::ByteStream);
        };
        let cutter = Cutter::new(&caps).map_err(|text| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("Bare tokens cannot be read: {text}"));
            gst::FlowError::NotNegotiated
        })?;
        if cutter.framerate_is_assumed {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "The caps of the tokens have no framerate: {} is taken. Add framerate=N/D where it is another",
                    cutter.format.framerate
                )
            );
        }
        let caps = cutter.format.to_caps(StreamFormat::Raw);
        gst::debug!(CAT, imp = self, "Cutting bytes into {caps}");
        if self.is_pulling() {
            let size = sink.peer_query_duration::<gst::format::Bytes>();
            let end = size.and_then(|size| cutter.end(*size));
            self.obj().set_duration(end.map(gst::ClockTime::from_nseconds), 0);
        }
        self.push_caps(&caps)?;
        Ok(Mode::Raw {
            cutter: Arc::new(cutter),
            number: 0,
        })
    }

    fn cut(&self, mut frame: gst_base::BaseParseFrame, cutter: &Cutter, number: u64) -> Result<(), gst::FlowError> {
        let parse = self.obj();
        let bytes = cutter.bytes();
        parse.set_min_frame_size(bytes as u32);
        let buffer = frame.buffer().ok_or(gst::FlowError::Error)?;
        let available = buffer.size();
        if available < bytes {
            if parse.is_draining() {
                self.report_leftover(&cutter.leftover(available), number);
                frame.set_flags(gst_base::BaseParseFrameFlags::DROP);
                parse.finish_frame(frame, available as u32)?;
            }
            return Ok(());
        }
        let piece = cutter.piece(number);
        let output = buffer.copy_region(gst::BufferCopyFlags::MEMORY, ..bytes);
        let mut output = output.map_err(|_| gst::FlowError::Error)?;
        let output_mut = output.make_mut();
        if !piece.segment_start {
            output_mut.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        let meta = TokenMeta {
            segment_start: piece.segment_start,
            real_frames: piece.frames,
            ..TokenMeta::default()
        };
        meta::add(output_mut, &meta);
        {
            let mut state = self.state();
            state.times = (
                piece.pts.map(gst::ClockTime::from_nseconds),
                piece.duration.map(gst::ClockTime::from_nseconds),
            );
            if let Mode::Raw { number, .. } = &mut state.raw {
                *number += 1;
            }
        }
        frame.set_output_buffer(output);
        parse.finish_frame(frame, bytes as u32)?;
        Ok(())
    }

    fn report_leftover(&self, text: &str, pieces: u64) {
        if pieces == 0 {
            gst::element_imp_error!(self, gst::StreamError::Decode, ("{text}"));
        } else {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
        }
    }
}
