//! Log lines: to standard error, readable for people or as JSON for machines.

use std::io::IsTerminal;

use settings::{LogFormat, Telemetry};
use tracing_subscriber::EnvFilter;

/// Starts logging as the settings say. Called once, first thing; a second call changes nothing.
pub fn start(telemetry: &Telemetry) {
    let filter = EnvFilter::new(telemetry.log_level.as_str());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost. The complaint would go to stderr with `eprintln!`, which
        // panics when nobody reads there any more (`2>&1 | head -1`).
        .log_internal_errors(false);
    // An error means that a subscriber is installed already, which only tests do.
    let _installed = match telemetry.log_format {
        LogFormat::Text => lines.with_target(false).compact().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
