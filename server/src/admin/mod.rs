//! What the server tells its operators over HTTP, and what they can order.

mod health;
mod numbers;
mod orders;
mod status;

pub use health::{greeting, health, healthcheck, readyz};
pub use orders::{answer, wrong_method};
