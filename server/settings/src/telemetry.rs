//! `[telemetry]`: logs, metrics and traces.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CloudWatch, MetricsPush, Traces, marks, units};

/// Logs, metrics and traces.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Log lines of this level and above are written.
    #[schemars(extend("x-reload" = "live"))]
    pub log_level: LogLevel,

    /// Levels of single modules: `{ "realtime_server::edge" = "debug" }`.
    #[schemars(extend("x-reload" = "live", "x-names" = "module"))]
    pub log_modules: BTreeMap<String, LogLevel>,

    /// Whether requests for `/health`, `/healthcheck`, `/ready` and `/readyz` are logged like others.
    #[schemars(extend("x-reload" = "live"))]
    pub log_health_checks: bool,

    /// Format of the log.
    #[schemars(extend("x-reload" = "restart"))]
    pub log_format: LogFormat,

    /// Log lines in ten seconds about one kind of event that clients without a verified token cause, on this node: requests
    /// by the status of their response, bytes that are not HTTP, an operational code. Further lines of the kind are counted
    /// in `realtime_log_lines_suppressed_total`, and summed up in one line.
    #[schemars(extend("x-reload" = "live"))]
    pub log_lines_unverified: NonZeroU32,

    /// Log lines in ten seconds about the requests of one tenant's clients whose token is verified. Further ones are
    /// counted in `realtime_log_lines_suppressed_total`, and summed up in one line.
    #[schemars(extend("x-reload" = "live"))]
    pub log_lines_per_tenant: NonZeroU32,

    /// Bytes of log lines per second that all clients together can cause; eight times as many at once. Tenants have shares
    /// of it, clients without a valid token one together: each may use as much as it leaves free. Lines about the
    /// server itself are not limited, and what is below the level `info` is limited too. Lines beyond it are counted in
    /// `realtime_log_lines_suppressed_total`.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "4 KiB"))]
    pub log_bytes_per_second: ByteSize,

    /// Log lines that may be queued. The server never waits for the process that reads the log: while the queue is
    /// full, further lines are dropped, and counted in `realtime_log_lines_dropped_total`.
    #[schemars(extend("x-reload" = "restart"))]
    pub log_queue_lines: NonZeroUsize,

    /// Bytes of log lines that may wait to be written. Whichever of this and `log_queue_lines` is reached first drops
    /// further lines. A longer line is accepted while no other waits. They are taken from `server.memory_budget`.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "restart", "x-min" = "64 KiB"))]
    pub log_queue_bytes: ByteSize,

    /// Tenants that have series of their own at `/metrics`. Above this number those that had them first keep them, and the
    /// others are counted in `realtime_tenants_without_series`; the series without the label `tenant` have all. `0` leaves out
    /// the series of every tenant. A tenant to which nothing happens for ten minutes has none until something happens.
    #[schemars(extend("x-reload" = "live"))]
    pub tenant_metrics: usize,

    /// How metrics are written, for dashboards and alerts that were made for Supabase Realtime.
    #[schemars(extend("x-reload" = "restart"))]
    pub metrics_format: MetricsFormat,

    /// Metrics that are sent to Amazon CloudWatch.
    pub cloudwatch: CloudWatch,

    /// Metrics that are sent to an address.
    pub push: MetricsPush,

    /// Spans that are sent to a collector.
    pub traces: Traces,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_level: LogLevel::default(),
            log_modules: BTreeMap::new(),
            log_health_checks: true,
            log_format: LogFormat::default(),
            log_lines_unverified: NonZeroU32::new(20).expect("not zero"),
            log_lines_per_tenant: NonZeroU32::new(300).expect("not zero"),
            log_bytes_per_second: ByteSize::kib(128),
            log_queue_lines: NonZeroUsize::new(10_000).expect("not zero"),
            log_queue_bytes: ByteSize::mib(8),
            tenant_metrics: 1_000,
            metrics_format: MetricsFormat::default(),
            cloudwatch: CloudWatch::default(),
            push: MetricsPush::default(),
            traces: Traces::default(),
        }
    }
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// A failure that an operator has to fix.
    Error,
    /// Unexpected; the server continues.
    Warn,
    /// Start, stop, reloads, connections to other services.
    #[default]
    Info,
    /// What helps the developers of applications: joins, refusals.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Its name, as in the settings and as `tracing` filters spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One readable line, for people.
    #[default]
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// How metrics are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricsFormat {
    /// As the exposition format of Prometheus recommends.
    #[default]
    Prometheus,
    /// Bounds of histograms have a decimal (`le="250.0"`), and the process also has those names of the Erlang runtime that have
    /// a counterpart (`beam_…`).
    Supabase,
}
