//! Who is in a room: what one member tracks, and how the others are sent it.

mod announcement;
pub mod announcer;
mod references;
mod tracked_bytes;
mod tracker;

pub use references::References;
pub use tracked_bytes::TrackedBytes;
pub use tracker::{PresenceError, Tracker};
