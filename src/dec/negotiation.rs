//! Caps become a token format, and the token format a decoder.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::decoder::Decoder;
use super::graph::Decodable;
use super::imp::{Open, VidtokDec};
use super::input::InputReader;
use super::picture::PictureMaker;
use crate::element::{BusReport, ElementLatency, NetworkElement};
use crate::format::Fraction;
use crate::runtime::RuntimeError;
use crate::system::lock::lock;

impl VidtokDec {
    /// Whether a bin that chooses among elements has made this one. Such a bin hides the errors of elements that it
    /// does not take.
    pub(super) fn is_autoplugged(&self) -> bool {
        let bin = self.obj().parent().and_downcast::<gst::Element>();
        let class = bin.and_then(|bin| bin.factory()?.metadata(gst::ELEMENT_METADATA_KLASS).map(str::to_string));
        class.is_some_and(|class| {
            ["Bin", "Decoder"]
                .iter()
                .all(|kind| class.split('/').any(|part| part == *kind))
        })
    }

    /// A reader and a decoder for tokens of `incaps` and pictures by `maker`. The network of `before`, the decoder
    /// of the caps before, is used again where it can be.
    pub(super) fn open(
        &self,
        incaps: &gst::Caps,
        maker: PictureMaker,
        before: Option<Decoder>,
    ) -> Result<Open, RuntimeError> {
        self.prepare()?;
        let settings = self.settings().clone();
        let options = settings.network.options;
        let named = self.network().graph();
        let Decodable {
            mut format,
            stream_format,
            graph,
        } = Decodable::new(incaps, named, options.variant(), &mut lock(&self.found))?;
        settings
            .check_size(&format)
            .map_err(|text| RuntimeError::Settings(text.into()))?;
        let framerate_is_assumed = !has_framerate(incaps);
        if framerate_is_assumed {
            let fps = maker.video().fps();
            format.framerate = Fraction::new(fps.numer().max(0) as u32, fps.denom().max(1) as u32);
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "The caps of the tokens have no framerate: {} is assumed. Add framerate=N/D if it is another",
                    format.framerate
                )
            );
        }
        self.log_tokenizer(&graph);
        let reader = InputReader::new(format.clone(), stream_format, framerate_is_assumed);
        let decoder = match before {
            Some(mut decoder) if decoder.decodes(&graph, options, &format) => {
                decoder.set_format(format, maker);
                decoder
            }
            before => {
                // The old network gives its memory back before the new one takes some.
                drop(before);
                let element = self.obj();
                let report = BusReport(element.upcast_ref());
                let cancel = self.network().cancel.clone();
                let mut decoder = Decoder::new(&graph, options, format, maker, cancel, &report)?;
                self.try_network(|| decoder.run_trial());
                decoder
            }
        };
        Ok(Open { reader, decoder })
    }

    /// Says which colorimetry cannot be given. `wanted`: caps of pictures, at least one.
    pub(super) fn report_colorimetry(&self, wanted: &gst::CapsRef) {
        let s = wanted.structure(0);
        let text = |field| s.and_then(|s| s.value(field).ok()?.serialize().ok());
        let [format, colorimetry] = ["format", "colorimetry"].map(|field| text(field).unwrap_or_default());
        gst::element_imp_error!(
            self,
            gst::CoreError::Negotiation,
            ("These tokens cannot become {format} pictures of the colorimetry {colorimetry}: RGB has no matrix, and I420 \
                 and NV12 have that of BT.601 or BT.709, with the primaries and transfer function of the video. Put \
                 videoconvert behind vidtokdec for another")
        );
    }

    /// Says that caps are missing, where the base class would say "internal data stream error".
    pub(super) fn report_missing_caps(&self) {
        if self.obj().sink_pad().current_caps().is_none() {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("Bytes came without caps: put vidtokparse (or decodebin) in front of vidtokdec")
            );
        }
    }
}

pub(super) fn has_framerate(caps: &gst::CapsRef) -> bool {
    caps.structure(0).is_some_and(|s| s.has_field("framerate"))
}
