//! Shared by targets with elements: registration, and checks of messages and GLib's log.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::glib;

/// Far longer than a small input takes.
const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(30);

static CRITICAL: AtomicBool = AtomicBool::new(false);

/// Registers the elements. From then on, critical messages of GLib are findings.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().expect("GStreamer");
        gstvidtok::plugin_register_static().expect("the plugin");
        glib::log_set_default_handler(|domain, level, message| {
            if matches!(level, glib::LogLevel::Error | glib::LogLevel::Critical) {
                eprintln!("{}: {message}", domain.unwrap_or_default());
                CRITICAL.store(true, Ordering::SeqCst);
            }
        });
    });
}

/// Fails if an element has panicked, which the bindings turn into an error message, or GLib has logged a critical
/// message.
pub fn check(bus: &gst::Bus) {
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
        check_message(&message);
    }
    assert!(
        !CRITICAL.swap(false, Ordering::SeqCst),
        "GLib has logged a critical message"
    );
}

/// The first message of one of these `types`, checked. Fails if none comes.
pub fn wait(bus: &gst::Bus, types: &[gst::MessageType]) -> gst::Message {
    let message = bus.timed_pop_filtered(LIMIT, types).expect("the pipeline hangs");
    check_message(&message);
    message
}

/// Checks that an error has a text and is not a panic.
fn check_message(message: &gst::Message) {
    if let gst::MessageView::Error(error) = message.view() {
        let text = error.error().to_string();
        assert!(
            !text.is_empty() && !text.to_lowercase().contains("panic"),
            "{text}: {:?}",
            error.debug()
        );
    }
}
