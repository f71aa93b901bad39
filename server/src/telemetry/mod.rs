//! What the server reports about itself: log lines, metrics and traces.

mod bounds;
#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
pub mod codes;
mod compression;
#[macro_use]
mod macros;
pub mod export_status;
pub mod fan_out;
mod intervals;
pub mod line_limits;
pub mod logs;
mod machine;
pub mod metric_choices;
pub mod metrics;
mod periodic;
pub mod process;
pub mod prometheus;
pub mod push;
pub mod reference;
pub mod reports;
pub mod request_context;
mod runtime_names;
pub mod shown_address;
pub mod span_metrics;
pub mod traces;
mod upstream_names;
