//! Log lines: to standard error, as text for people or as JSON for machines. Levels may be changed while the
//! server runs; the format may not.
//!
//! A thread of its own writes the lines, so that no other thread waits for a full pipe or a slow disk: lines that do
//! not fit the queue are dropped and counted. Lines that wait together are written together. Lines of bounded size, and
//! a bounded number of bytes per second of those that clients cause: no client can fill a disk.

mod line;
mod party;
mod queue;
mod rate;
mod write;

use std::io::{self, BufWriter, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering};

use settings::{LogFormat, LogLevel, Regions, Telemetry};
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use self::line::static_fields;
use self::queue::LogQueue;
use self::rate::ByteRate;
use self::write::{Json, Text};

pub use self::line::shortened;
pub use self::queue::{FlushOnDrop, dropped};
pub use self::rate::over_rate;

/// Changes the levels of this process's log while it runs.
#[derive(Debug, Clone)]
pub struct Logs {
    filter: reload::Handle<Targets, Registry>,
    rate: ByteRate,
}

/// Bytes per write to standard error, unless a single line is longer.
const WRITE_BUFFER: usize = 64 * 1024;

/// Whether level names are coloured with ANSI escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Ansi,
    None,
}

/// Installs the log that the settings describe; each line has the region and cluster of this node. Called once, before
/// anything is logged; a second call changes nothing. The guard must live until the process ends.
pub fn start(telemetry: &Telemetry, regions: &Regions) -> (Logs, FlushOnDrop) {
    let colours = if io::stderr().is_terminal() { Colours::Ansi } else { Colours::None };
    let output = BufWriter::with_capacity(WRITE_BUFFER, io::stderr());
    let rate = ByteRate::new(telemetry);
    let (queue, guard) = LogQueue::start(telemetry, rate.clone(), output);
    let (subscriber, logs) = subscriber(telemetry, regions, queue, colours);
    let logs = Logs { rate, ..logs };
    // An error means that a subscriber is installed already, which only tests do.
    let _installed = subscriber.try_init();
    // Crates that use `log` drop `trace` lines themselves; the rest is filtered here.
    log::set_max_level(log::LevelFilter::Debug);
    (logs, guard)
}

/// The subscriber that writes lines to `writer`, and the handle that changes its levels.
fn subscriber<W>(
    telemetry: &Telemetry,
    regions: &Regions,
    writer: W,
    colours: Colours,
) -> (impl Subscriber + Send + Sync, Logs)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(targets(telemetry));
    let fields = static_fields(regions);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(colours == Colours::Ansi)
        .with_writer(writer)
        // The fields of spans are stored as JSON in both formats, because each line parses them.
        .fmt_fields(JsonFields::new())
        // A line that cannot be written is lost. An internal error would be reported with `eprintln!`, which panics
        // when standard error is a closed pipe (`2>&1 | head -1`).
        .log_internal_errors(false);
    let lines = match telemetry.log_format {
        LogFormat::Text => lines.event_format(Text(fields)).boxed(),
        LogFormat::Json => lines.event_format(Json(fields)).boxed(),
    };
    (
        tracing_subscriber::registry().with(lines.with_filter(filter)),
        Logs { filter: handle, rate: ByteRate::new(telemetry) },
    )
}

impl Logs {
    /// Applies the level, the levels of modules, and the bytes per second of these settings.
    pub fn apply(&self, telemetry: &Telemetry) {
        self.rate.apply(telemetry);
        // An error means that another subscriber was installed before this one, which only tests do.
        let _applied = self.filter.reload(targets(telemetry));
    }
}

/// Writes how many lines were lost since the start, if there are more than when it was last called.
pub fn write_losses() {
    static REPORTED: AtomicU64 = AtomicU64::new(0);
    let (dropped, over_rate) = (dropped(), over_rate());
    // Written again if this line is dropped, too.
    if REPORTED.swap(dropped + over_rate, Ordering::Relaxed) != dropped + over_rate {
        warn!(
            dropped,
            over_rate,
            "Log lines were lost since the start: {dropped} were written too slowly, {over_rate} that clients caused \
             were more than `telemetry.log_bytes_per_second`"
        );
    }
}

/// The crates of this workspace. Their lines contain no payloads and no tokens, at any level.
const OWN_CRATES: [&str; 4] = ["realtime_server", "hub", "wire", "settings"];

/// Which lines are written: those of a default level, and of another level for some modules. External crates trace
/// what they read and write, payloads and tokens included, so their `trace` lines are never written.
fn targets(telemetry: &Telemetry) -> Targets {
    let default = filter(telemetry.log_level);
    let modules = telemetry.log_modules.iter().map(|(module, level)| {
        let krate = module.split("::").next().unwrap_or_default();
        let level = filter(*level);
        (module.clone(), if OWN_CRATES.contains(&krate) { level } else { level.min(LevelFilter::DEBUG) })
    });
    Targets::new()
        .with_default(default.min(LevelFilter::DEBUG))
        .with_targets(OWN_CRATES.map(|krate| (krate, default)))
        // What the SDK of CloudWatch misses, and what certificates are not valid, is reported with a code by those who need it.
        .with_target("aws_", LevelFilter::OFF)
        .with_target("rustls_platform_verifier", LevelFilter::OFF)
        // It warns at each watched file that is replaced, which is how files of settings change.
        .with_target("notify", default.min(LevelFilter::ERROR))
        // Databases of tenants say what they like, in the name of the server; what matters is reported with a code.
        .with_target("sqlx", default.min(LevelFilter::ERROR))
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
