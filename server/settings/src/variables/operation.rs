//! Janitor, metrics, logs, the process (docs/protocol/operations.md#janitor-metrics-log-process).

use super::conversion::Conversion;
use super::variable::{Variable, converted, verbatim};

const CONSOLE: &str =
    "log lines go to standard error; set telemetry.log_format to json and collect them there";

pub(super) const ROWS: &[Variable] = &[
    Variable::sets(&["RUN_JANITOR"], &[verbatim("database.delete_old")]),
    Variable::sets(
        &["JANITOR_SCHEDULE_TIMER_IN_MS"],
        &[converted("database.partition_interval", Conversion::Milliseconds)],
    ),
    Variable::sets(&["JANITOR_SCHEDULE_RANDOMIZE"], &[verbatim("database.randomize_interval")]),
    Variable::sets(
        &["JANITOR_RUN_AFTER_IN_MS"],
        &[converted("database.delete_delay", Conversion::Milliseconds)],
    ),
    Variable::ignored(
        &["JANITOR_MAX_CHILDREN", "JANITOR_CLEANUP_MAX_CHILDREN"],
        "each database has a schedule of its own",
    ),
    Variable::ignored(&["JANITOR_CHUNK_SIZE"], "each database has a schedule of its own"),
    Variable::ignored(
        &["JANITOR_CHILDREN_TIMEOUT", "JANITOR_CLEANUP_CHILDREN_TIMEOUT"],
        "it was never a timeout",
    ),
    Variable::ignored(
        &["METRICS_CLEANER_SCHEDULE_TIMER_IN_MS"],
        "every page leaves out the series of tenants to which nothing has happened for ten minutes, whether RUN_JANITOR is set or not",
    ),
    Variable::ignored(&["METRICS_RPC_TIMEOUT_IN_MS"], "each node exposes its own metrics"),
    Variable::ignored(&["PROM_POLL_RATE"], "metrics are current whenever they are scraped"),
    Variable::sets(&["METRICS_PUSHER_ENABLED"], &[verbatim("telemetry.push.enabled")]),
    Variable::sets(&["METRICS_PUSHER_URL"], &[verbatim("telemetry.push.url")]).secret(),
    Variable::sets(&["METRICS_PUSHER_USER"], &[verbatim("telemetry.push.user")]),
    Variable::sets(&["METRICS_PUSHER_AUTH"], &[verbatim("telemetry.push.auth")]).secret(),
    Variable::sets(
        &["METRICS_PUSHER_INTERVAL_MS"],
        &[converted("telemetry.push.interval", Conversion::Milliseconds)],
    ),
    Variable::sets(
        &["METRICS_PUSHER_TIMEOUT_MS"],
        &[converted("telemetry.push.timeout", Conversion::Milliseconds)],
    ),
    Variable::sets(&["METRICS_PUSHER_COMPRESS"], &[verbatim("telemetry.push.compress")]),
    Variable::sets(
        &["METRICS_PUSHER_EXTRA_LABELS"],
        &[converted("telemetry.push.extra_labels", Conversion::Pairs)],
    ),
    Variable::sets(&["LOG_LEVEL"], &[converted("telemetry.log_level", Conversion::LogLevel)]),
    Variable::unsupported(&["LOGS_ENGINE"], CONSOLE),
    Variable::unsupported(&["LOGFLARE_LOGGER_BACKEND_URL"], CONSOLE),
    Variable::unsupported(&["LOGFLARE_API_KEY"], CONSOLE).secret(),
    Variable::unsupported(&["LOGFLARE_SOURCE_ID"], CONSOLE),
    Variable::ignored(&["LOG_THROTTLE_JANITOR_INTERVAL_IN_MS"], "there is no throttle state to clean up"),
    Variable::sets(&["RLIMIT_NOFILE"], &[verbatim("server.open_files")]),
    Variable::ignored(&["ENABLE_ERL_CRASH_DUMP"], "there is no Erlang here"),
    Variable::ignored(&["ERL_CRASH_DUMP_*"], "there is no Erlang here"),
];
