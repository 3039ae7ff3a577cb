//! Bare tokens, as in a file of numbers: recognised by their caps, cut into latent frames by [`Cutter`].

use std::sync::Arc;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::cutter::Cutter;
use super::imp::{CAT, VidtokParse};
use crate::caps::{self, MEDIA_TYPE, StreamFormat};
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::tokenizer;

/// Caps of bare tokens in buffers that may end anywhere.
///
/// The field `alignment=none` keeps out buffers of whole latent frames, which have `alignment=packet` and need no
/// parser. Caps without the field are [accepted](accepts), too.
pub fn caps_template() -> gst::Structure {
    gst::Structure::builder(MEDIA_TYPE)
        .field("stream-format", StreamFormat::Raw.as_str())
        .field("alignment", "none")
        .build()
}

/// Whether these are caps of bare tokens without `alignment`, which the template does not match.
pub fn accepts(caps: &gst::CapsRef) -> bool {
    caps.structure(0).is_some_and(|s| {
        s.name() == MEDIA_TYPE && caps::stream_format(s) == Ok(StreamFormat::Raw) && !s.has_field("alignment")
    })
}

/// The tokens that `caps` describe.
///
/// # Errors
/// Says what the caps lack or contradict, or that there is no such tokenizer.
fn cutter(caps: &gst::CapsRef) -> Result<Cutter, String> {
    let (digest, name) = caps::named_tokenizer(caps).map_err(|e| e.0)?;
    let tokenizer = tokenizer::describe(digest.as_deref(), &name).map_err(|e| e.to_string())?;
    let format = TokenFormat::from_raw_caps(caps, &tokenizer).map_err(|e| e.0)?;
    Ok(Cutter::new(format, tokenizer.grouping()))
}

/// Whether the input is bare tokens. Known once the first bytes arrive.
#[derive(Debug, Default)]
pub enum Mode {
    #[default]
    Unknown,
    ByteStream,
    Raw {
        cutter: Arc<Cutter>,
        /// Number of the next piece.
        number: u64,
    },
}

impl VidtokParse {
    /// Cuts a piece off bare tokens. Returns `frame` if the input is a byte stream instead.
    pub fn handle_raw<'a>(
        &'a self,
        frame: gst_base::BaseParseFrame<'a>,
    ) -> Result<Option<gst_base::BaseParseFrame<'a>>, gst::FlowError> {
        if matches!(self.state().raw, Mode::Unknown) {
            let mode = self.find_mode()?;
            self.state().raw = mode;
        }
        let (cutter, number) = match &mut self.state().raw {
            Mode::Raw { cutter, number } => {
                // Back at the beginning, as after a restart.
                *number = if frame.offset() == 0 { 0 } else { *number };
                (cutter.clone(), *number)
            }
            _ => return Ok(Some(frame)),
        };
        self.cut(frame, &cutter, number)?;
        Ok(None)
    }

    /// The mode for the sink pad's caps or, in pull mode, for those of a caps filter behind the file.
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
        let cutter = cutter(&caps).map_err(|text| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("Bare tokens cannot be read: {text}"));
            gst::FlowError::NotNegotiated
        })?;
        if caps.structure(0).is_none_or(|s| !s.has_field("framerate")) {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "The caps of the tokens have no framerate: {} is assumed. Add framerate=N/D if it is another",
                    cutter.format().framerate
                )
            );
        }
        let caps = cutter.format().to_caps(StreamFormat::Raw);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cutter_of(fields: &str) -> Result<Cutter, String> {
        gst::init().unwrap();
        let caps = format!("video/x-vidtok,stream-format=raw,{fields}");
        cutter(&caps.parse::<gst::Caps>().unwrap())
    }

    #[test]
    fn short_caps_are_completed_by_the_tokenizer() {
        let cutter = cutter_of("model=vidtok-small-488-32768,width=384,height=288,framerate=25/1").unwrap();
        assert_eq!((cutter.format().grid_width, cutter.format().grid_height), (48, 36));
        // Cells of two bytes; a causal tokenizer's first latent frame stands for one frame, the others for four.
        assert_eq!(cutter.bytes(), 3456);
        assert_eq!((cutter.piece(0).frames, cutter.piece(1).frames), (1, 4));
    }

    #[test]
    fn caps_that_do_not_suffice_are_named() {
        for (fields, part) in [
            ("width=384,height=288", "model"),
            ("model=nowhere,width=384,height=288", "nowhere"),
            ("model=vidtok-small-488-32768,height=288", "width"),
            (
                "model=vidtok-small-488-32768,width=384,height=288,grid-width=40",
                "grid-width=40",
            ),
        ] {
            let error = cutter_of(fields).unwrap_err();
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
