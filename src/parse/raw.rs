//! Bare tokens, as in a file of numbers, cut into latent frames.

use std::sync::Arc;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::imp::{CAT, VidtokParse};
use crate::caps::{self, MEDIA_TYPE, StreamFormat};
use crate::format::TokenFormat;
use crate::meta::{self, TokenMeta};
use crate::timeline::{Grouping, frames_to_time};
use crate::tokenizer;

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

/// How bytes are cut.
#[derive(Clone, Debug)]
pub struct Cutter {
    format: TokenFormat,
    grouping: Grouping,
    framerate_is_assumed: bool,
}

/// What a piece stands for: a latent frame, or all of a window's.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub segment_start: bool,
    pub frames: u32,
    /// In nanoseconds, as is the duration; `None` without a framerate.
    pub pts: Option<u64>,
    pub duration: Option<u64>,
}

impl Cutter {
    /// For tokens of these caps.
    ///
    /// # Errors
    /// Says what the caps lack or contradict, or that there is no such tokenizer.
    pub fn new(caps: &gst::CapsRef) -> Result<Self, String> {
        let (digest, name) = caps::named_tokenizer(caps).map_err(|e| e.0)?;
        let tokenizer = tokenizer::describe(digest.as_deref(), &name).map_err(|e| e.to_string())?;
        let format = TokenFormat::from_raw_caps(caps, &tokenizer).map_err(|e| e.0)?;
        Ok(Self {
            format,
            grouping: tokenizer.grouping(),
            framerate_is_assumed: caps.structure(0).is_none_or(|s| !s.has_field("framerate")),
        })
    }

    /// Bytes of a piece.
    pub fn bytes(&self) -> usize {
        self.format.raw_latent_frame_bytes() * self.grouping.step_latent_frames()
    }

    /// What piece number `number` stands for.
    pub fn piece(&self, number: u64) -> Piece {
        let (first, end) = (self.grouping.frames_in(number), self.grouping.frames_in(number + 1));
        let time = |frame| frames_to_time(frame, self.format.framerate);
        let (pts, end_time) = (time(first), time(end));
        Piece {
            segment_start: number == 0 || matches!(self.grouping, Grouping::Windows { .. }),
            frames: (end - first) as u32,
            pts,
            duration: pts.zip(end_time).map(|(pts, end)| end - pts),
        }
    }

    /// When `bytes` bytes end.
    pub fn end(&self, bytes: u64) -> Option<u64> {
        self.piece(bytes / self.bytes() as u64).pts
    }

    /// What to tell of bytes at the end that are no whole piece.
    pub fn left_over(&self, bytes: usize) -> String {
        let Self { format, grouping, .. } = self;
        let latent_frames = match grouping.step_latent_frames() {
            1 => "a latent frame".to_string(),
            window => format!("a window of {window} latent frames"),
        };
        format!(
            "The tokens end in the middle of {latent_frames}: {bytes} bytes are left over, of {} that {latent_frames} of {}×{} \
             pixels takes ({}×{} cells, {}). Are size and token type the right ones?",
            self.bytes(),
            format.width,
            format.height,
            format.grid_width,
            format.grid_height,
            format.token_type.as_str(),
        )
    }
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
                self.tell_of_left_over(&cutter.left_over(available), number);
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

    fn tell_of_left_over(&self, text: &str, pieces: u64) {
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

    fn cutter(fields: &str) -> Result<Cutter, String> {
        gst::init().unwrap();
        let caps = format!("video/x-vidtok,stream-format=raw,{fields}");
        Cutter::new(&caps.parse::<gst::Caps>().unwrap())
    }

    const BUILT_IN: &str = "model=vidtok-small-488-32768,width=384,height=288";

    #[test]
    fn a_latent_frame_is_as_long_as_its_frames() {
        let cutter = cutter(&format!("{BUILT_IN},framerate=25/1")).unwrap();
        // 36 × 48 cells of two bytes.
        assert_eq!(cutter.bytes(), 3456);
        let ms = |ms: u64| Some(ms * 1_000_000);
        let piece = |segment_start, frames, pts, duration| Piece {
            segment_start,
            frames,
            pts: ms(pts),
            duration: ms(duration),
        };
        assert_eq!(cutter.piece(0), piece(true, 1, 0, 40));
        assert_eq!(cutter.piece(1), piece(false, 4, 40, 160));
        assert_eq!(cutter.piece(2), piece(false, 4, 200, 160));
        assert_eq!(cutter.end(3 * 3456 + 1), ms(360));
    }

    #[test]
    fn what_is_left_over_is_said_in_numbers() {
        let text = cutter(BUILT_IN).unwrap().left_over(1000);
        for part in ["1000 bytes", "3456", "384×288", "48×36", "uint16"] {
            assert!(text.contains(part), "{part} in {text}");
        }
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
            let error = cutter(fields).unwrap_err();
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
