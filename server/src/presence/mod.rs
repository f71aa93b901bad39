//! Who is in a room: what one member shows of itself, and how the others hear of it.

pub mod announcer;
mod references;
mod tracker;

pub use references::References;
pub use tracker::{PresenceError, Tracker};
