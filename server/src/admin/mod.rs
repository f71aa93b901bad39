//! What the server tells its operators over HTTP, and what they can order.

mod health;
mod metrics;
mod operator;
mod status;

pub use health::{greeting, health, healthcheck, readyz};
pub use operator::{answer, wrong_method};
