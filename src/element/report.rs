//! Reports of work that takes long, and warnings, as messages on an element's bus.

use gst::prelude::*;

use crate::runtime::{Progress, Report};

/// The code of progress messages, by which an application can tell them from others.
const CODE: &str = "network";

/// Posts reports on the bus of an element.
pub struct BusReport<'a>(pub &'a gst::Element);

impl Report for BusReport<'_> {
    fn progress(&self, progress: Progress, text: &str) {
        let kind = match progress {
            Progress::Start => gst::ProgressType::Start,
            Progress::Complete => gst::ProgressType::Complete,
            Progress::Failed => gst::ProgressType::Error,
        };
        let message = gst::message::Progress::builder(kind, CODE, text).src(self.0).build();
        let _ = self.0.post_message(message);
    }

    fn warning(&self, text: &str) {
        gst::element_warning!(self.0, gst::ResourceError::Settings, ("{text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_messages_on_the_bus() {
        gst::init().unwrap();
        let (element, bus) = (gst::Bin::new(), gst::Bus::new());
        element.set_bus(Some(&bus));
        let report = BusReport(element.upcast_ref());
        report.progress(Progress::Start, "building");
        report.progress(Progress::Complete, "built");
        report.progress(Progress::Failed, "not built");
        report.warning("slow");
        let mut seen = Vec::new();
        while let Some(message) = bus.pop() {
            seen.push(match message.view() {
                gst::MessageView::Progress(progress) => {
                    let (kind, code, text) = progress.get();
                    assert_eq!(code, CODE);
                    format!("{kind:?}: {text}")
                }
                gst::MessageView::Warning(warning) => format!("warning: {}", warning.error()),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(
            seen,
            [
                "Start: building",
                "Complete: built",
                "Error: not built",
                "warning: slow"
            ]
        );
    }
}
