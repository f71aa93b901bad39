//! What the server says about itself: log lines and numbers.

pub mod close_reasons;
pub mod codes;
pub mod logs;
#[macro_use]
mod macros;
pub mod metrics;
pub mod origin;
mod process;
pub mod reports;
