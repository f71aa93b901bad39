//! Who is in a room: what one member tracks, and how the others are sent it.

mod announcement;
pub mod announcer;
mod budget;
mod references;
mod tracker;

pub use budget::PresenceBudget;
pub use references::References;
pub use tracker::{PresenceError, Tracker};
