//! Log lines: to standard error, readable for people or as JSON for machines. What is written may be changed
//! while the server runs; how it is written may not.
//!
//! A thread of its own does the writing, so that nobody waits for whoever reads: a full pipe or a slow disk
//! costs lines, which are counted, and not time. Lines that come together are written together.

mod line;
mod queue;
mod write;

use std::io::{self, BufWriter, IsTerminal};

use settings::{LogFormat, LogLevel, Regions, Telemetry};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use self::line::Home;
use self::queue::Queue;
use self::write::{Json, Text};

pub use self::queue::{Rest, dropped};

/// The log of this process, to be told when its settings change.
#[derive(Debug, Clone)]
pub struct Logs {
    filter: reload::Handle<Targets, Registry>,
}

/// Bytes written at once, at most.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// Whether levels have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Coloured,
    Plain,
}

/// Starts logging as the settings say, each line with the region and cluster of this node. Called once, first
/// thing; a second call changes nothing. Keep the second part of the result to the end.
pub fn start(telemetry: &Telemetry, regions: &Regions) -> (Logs, Rest) {
    let paint = if io::stderr().is_terminal() { Paint::Coloured } else { Paint::Plain };
    let to = BufWriter::with_capacity(WRITTEN_AT_ONCE, io::stderr());
    let (queue, rest) = Queue::start(telemetry.log_queue_lines, to);
    let (subscriber, logs) = subscriber(telemetry, regions, queue, paint);
    // An error means that a subscriber is installed already, which only tests do.
    let _installed = subscriber.try_init();
    // Crates that use `log` are told once and for all what they need not even say; the rest is filtered here.
    log::set_max_level(log::LevelFilter::Debug);
    (logs, rest)
}

/// What writes lines to `writer`, and the handle to change it with.
fn subscriber<W>(
    telemetry: &Telemetry,
    regions: &Regions,
    writer: W,
    paint: Paint,
) -> (impl Subscriber + Send + Sync, Logs)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(targets(telemetry));
    let home = Home::new(regions);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(paint == Paint::Coloured)
        .with_writer(writer)
        // The fields of spans are kept in a form that can be read again, whatever the lines look like.
        .fmt_fields(JsonFields::new())
        // A line that cannot be written is lost. The complaint would go to stderr with `eprintln!`, which
        // panics when nobody reads there any more (`2>&1 | head -1`).
        .log_internal_errors(false);
    let lines = match telemetry.log_format {
        LogFormat::Text => lines.event_format(Text(home)).boxed(),
        LogFormat::Json => lines.event_format(Json(home)).boxed(),
    };
    (tracing_subscriber::registry().with(lines.with_filter(filter)), Logs { filter: handle })
}

impl Logs {
    /// From now on the level, and the levels of modules, are these.
    pub fn apply(&self, telemetry: &Telemetry) {
        // An error means that nothing is logged with this filter: another subscriber was there first.
        let _applied = self.filter.reload(targets(telemetry));
    }
}

/// Crates of ours. What they say holds no payloads and no tokens, at any level.
const OURS: [&str; 4] = ["realtime_server", "hub", "wire", "settings"];

/// What is written: a level for all, and for some modules another. The crates of others trace what goes over
/// the wire, payloads and tokens included: from them nothing below `debug` is ever written.
fn targets(telemetry: &Telemetry) -> Targets {
    let everybody = filter(telemetry.log_level);
    let modules = telemetry.log_modules.iter().map(|(module, level)| {
        let krate = module.split("::").next().unwrap_or_default();
        let level = filter(*level);
        (module.clone(), if OURS.contains(&krate) { level } else { level.min(LevelFilter::DEBUG) })
    });
    Targets::new()
        .with_default(everybody.min(LevelFilter::DEBUG))
        .with_targets(OURS.map(|krate| (krate, everybody)))
        // It remarks on each watched file that is replaced, which is what files of settings are.
        .with_target("notify", everybody.min(LevelFilter::ERROR))
        .with_targets(modules)
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
pub(super) mod tests;
