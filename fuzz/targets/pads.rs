//! What the targets with elements share: the elements, and what may not happen in them.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::glib;

/// Far more than a small input takes, and far less than for ever.
pub const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(30);

static CRITICAL: AtomicBool = AtomicBool::new(false);

/// Registers the elements. From now on, what GLib calls critical is a finding.
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

/// Fails where an element has panicked, which the bindings turn into an error message, or GLib has complained.
pub fn check(bus: &gst::Bus) {
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
        check_message(&message);
    }
    assert!(!CRITICAL.swap(false, Ordering::SeqCst), "GLib has complained");
}

/// An error is for people, and no panic.
pub fn check_message(message: &gst::Message) {
    if let gst::MessageView::Error(error) = message.view() {
        let text = error.error().to_string();
        assert!(
            !text.is_empty() && !text.to_lowercase().contains("panic"),
            "{text}: {:?}",
            error.debug()
        );
    }
}
