//! Which video frames make a group, which frames of a decoder's output are shown, and when. Free of GStreamer.
//!
//! Times are nanoseconds.

mod frame_pick;
mod grouping;
mod presentation;
mod times;

pub use frame_pick::FramePick;
pub use grouping::{Group, Grouping, Groups};
pub use presentation::{Presentation, Step};
pub use times::{FrameTime, PacketTimes, frames_to_time};
pub(crate) use times::{regular_offsets, shifted, time_to_frames};
