//! What the server says about itself: log lines and numbers.

pub mod close_reasons;
pub mod codes;
pub mod logs;
#[macro_use]
mod macros;
pub mod metrics;
mod process;
pub mod reports;
pub mod request_context;
