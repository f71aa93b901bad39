//! Janitor, metrics, logs, the process, OpenTelemetry (docs/protocol/operations.md#janitor-metrics-log-process).

use super::{Part, Reading, Variable, read, to};

const fn janitor(names: &'static [&'static str]) -> Variable {
    Variable::later(names, Part::Janitor)
}

const fn pusher(names: &'static [&'static str]) -> Variable {
    Variable::later(names, Part::MetricsPusher)
}

const CONSOLE: &str =
    "log lines go to standard error; set telemetry.log_format to json and collect them there";

pub(super) const ROWS: &[Variable] = &[
    janitor(&["RUN_JANITOR"]),
    janitor(&["JANITOR_SCHEDULE_TIMER_IN_MS"]),
    janitor(&["JANITOR_SCHEDULE_RANDOMIZE"]),
    janitor(&["JANITOR_RUN_AFTER_IN_MS"]),
    janitor(&["JANITOR_MAX_CHILDREN", "JANITOR_CLEANUP_MAX_CHILDREN"]),
    janitor(&["JANITOR_CHUNK_SIZE"]),
    Variable::accepted(
        &["JANITOR_CHILDREN_TIMEOUT", "JANITOR_CLEANUP_CHILDREN_TIMEOUT"],
        "it never was a time-out",
    ),
    janitor(&["METRICS_CLEANER_SCHEDULE_TIMER_IN_MS"]),
    Variable::accepted(&["METRICS_RPC_TIMEOUT_IN_MS"], "each node shows its own numbers"),
    Variable::accepted(&["PROM_POLL_RATE"], "states are read when the page is asked for"),
    pusher(&["METRICS_PUSHER_ENABLED"]),
    pusher(&["METRICS_PUSHER_URL"]),
    pusher(&["METRICS_PUSHER_USER"]),
    pusher(&["METRICS_PUSHER_AUTH"]).secret(),
    pusher(&["METRICS_PUSHER_INTERVAL_MS"]),
    pusher(&["METRICS_PUSHER_TIMEOUT_MS"]),
    pusher(&["METRICS_PUSHER_COMPRESS"]),
    pusher(&["METRICS_PUSHER_EXTRA_LABELS"]),
    Variable::sets(&["LOG_LEVEL"], &[read("telemetry.log_level", Reading::LogLevel)]),
    Variable::warned(&["LOGS_ENGINE"], CONSOLE),
    Variable::warned(&["LOGFLARE_LOGGER_BACKEND_URL"], CONSOLE),
    Variable::warned(&["LOGFLARE_API_KEY"], CONSOLE).secret(),
    Variable::warned(&["LOGFLARE_SOURCE_ID"], CONSOLE),
    Variable::accepted(&["LOG_THROTTLE_JANITOR_INTERVAL_IN_MS"], "nothing is kept that would need it"),
    Variable::sets(&["RLIMIT_NOFILE"], &[to("server.open_files")]),
    Variable::accepted(&["ENABLE_ERL_CRASH_DUMP"], "there is no Erlang here"),
    Variable::accepted(&["ERL_CRASH_DUMP_*"], "there is no Erlang here"),
    Variable::later(&["OTEL_*"], Part::OpenTelemetry),
];
