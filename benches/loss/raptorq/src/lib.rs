//! Empty: `cargo build -p gst-plugin-raptorq` here makes the plugin that this crate depends on.
