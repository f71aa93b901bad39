//! `[telemetry.cloudwatch]`: metrics that are sent to Amazon CloudWatch.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::note::Note;
use crate::{MetricChoice, Settings, marks};

/// Dimensions that CloudWatch accepts for a metric.
const DIMENSIONS_MAX: usize = 30;

/// Bytes of a namespace, and of the name of a dimension.
const NAME_BYTES_MAX: usize = 255;

/// Bytes of the value of a dimension.
const VALUE_BYTES_MAX: usize = 1_024;

/// Sends some of the metrics to Amazon CloudWatch. What a counter and a histogram have gained since they were accepted last is
/// sent, so that a request that fails loses nothing but its time. Credentials and, unless they are set here, region and endpoint are
/// those of the AWS SDK: variables (`AWS_REGION`, `AWS_ENDPOINT_URL`), files, the role of a task, a pod or an instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CloudWatch {
    /// Whether metrics are sent.
    #[schemars(extend("x-reload" = "live"))]
    pub enabled: bool,

    /// The namespace of the metrics. It does not begin with `AWS/`.
    #[schemars(extend("x-reload" = "live"))]
    pub namespace: String,

    /// Dimensions of every metric, such as `{ environment = "production" }`. No node has one of its own, so that alarms are about
    /// all of them.
    #[schemars(extend("x-reload" = "live"))]
    pub dimensions: BTreeMap<String, String>,

    /// The metrics that are sent, under the names that they have at `/metrics`. Labels in braces are dimensions; the series of all
    /// others are added up, and those of tenants are values of one metric if they are gauges: the maximum is that of one tenant.
    /// Those named first are sent first. Every metric costs money. The default is what the alarms in
    /// `infra/monitoring/cloudwatch-alarms.json` need, and what clients do.
    #[schemars(extend("x-reload" = "live", "x-commas" = true))]
    pub metrics: Vec<MetricChoice>,

    /// Metrics that are sent at most, each combination of dimensions counted: the first ones of `metrics`. Further ones are counted in
    /// `realtime_cloudwatch_left_out`. What a metric has counted until it has a place is not sent.
    #[schemars(extend("x-reload" = "live"))]
    pub max_metrics: NonZeroUsize,

    /// How often they are sent. Less than a minute helps only with `high_resolution`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "100ms"))]
    pub interval: Duration,

    /// After a failure the interval is doubled, up to this; `interval` if that is longer. The first success ends it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "100ms"))]
    pub max_interval: Duration,

    /// How long a request may take, with the credentials that it needs, and with up to two more attempts.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms", "x-max" = "1m"))]
    pub timeout: Duration,

    /// Whether CloudWatch keeps the metrics by second instead of by minute, for three hours.
    #[schemars(extend("x-reload" = "live"))]
    pub high_resolution: bool,

    /// The region of CloudWatch, such as `eu-central-1`. Unset: that of the AWS SDK.
    #[schemars(extend("x-reload" = "live"))]
    pub region: Option<String>,

    /// The address of CloudWatch, such as that of a VPC endpoint. Unset: that of the AWS SDK.
    #[schemars(extend("x-reload" = "live", "x-kind" = "url", "x-schemes" = ["http://", "https://"]))]
    pub endpoint: Option<String>,
}

impl Default for CloudWatch {
    fn default() -> Self {
        Self {
            enabled: false,
            namespace: "Realtime".into(),
            dimensions: BTreeMap::new(),
            metrics: METRICS.map(|text| MetricChoice::new(text).expect("a metric")).into(),
            max_metrics: NonZeroUsize::new(500).expect("not zero"),
            interval: Duration::from_secs(60),
            max_interval: Duration::from_secs(600),
            timeout: Duration::from_secs(15),
            high_resolution: false,
            region: None,
            endpoint: None,
        }
    }
}

/// The metrics that are sent by default: those of alarms, and below them what clients do.
const METRICS: [&str; 49] = [
    "phoenix_channel_joined_total{result}",
    "phoenix_connections_active",
    "phoenix_connections_max",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "realtime_broadcast_fanout_duration_seconds",
    "realtime_bus_connected",
    "realtime_bus_missed_total",
    "realtime_bus_presence_failing_rooms",
    "realtime_bus_presence_shared",
    "realtime_bus_unsent_total",
    "realtime_changes_delay_seconds",
    "realtime_changes_dropped_total",
    "realtime_changes_durable_retained_bytes",
    "realtime_changes_lag_bytes",
    "realtime_cloudwatch_left_out",
    "realtime_codes_total{code}",
    "realtime_connections_refused_total",
    "realtime_documents_commit_failures_total",
    "realtime_documents_load_failures_total",
    "realtime_global_rpc",
    "realtime_join_duration_seconds",
    "realtime_log_lines_dropped_total",
    "realtime_memory_budget_bytes",
    "realtime_memory_limit_bytes",
    "realtime_memory_refused_total",
    "realtime_memory_used_bytes",
    "realtime_settings_reload_failed",
    "realtime_sockets_refused_total",
    "realtime_store_connected",
    "realtime_tenants_read_authorization_check",
    "realtime_tls_reload_failed",
    "realtime_uptime_seconds",
    "process_cpu_seconds_total",
    "realtime_channel_global_db_events",
    "realtime_channel_global_events",
    "realtime_channel_global_input_bytes",
    "realtime_channel_global_joins",
    "realtime_channel_global_output_bytes",
    "realtime_channel_global_presence_events",
    "realtime_cloudwatch_failures_total",
    "realtime_connections_global_connected",
    "realtime_http_request_duration_seconds",
    "realtime_limits_refused_total",
    "realtime_members",
    "realtime_outbox_dropped_total",
    "realtime_rooms",
    "realtime_tenants_with_clients",
];

impl CloudWatch {
    /// Why CloudWatch would refuse what is sent with these, if it would.
    pub(crate) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let is_text = |text: &str, max: usize| {
            (1..=max).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        if !is_text(&self.namespace, NAME_BYTES_MAX) || self.namespace.starts_with("AWS/") {
            return Some((
                "telemetry.cloudwatch.namespace",
                "must be 1 to 255 ASCII characters, and not begin with AWS/",
            ));
        }
        let is_name = |name: &str| is_text(name, NAME_BYTES_MAX) && !name.starts_with(':');
        let fits =
            |(name, value): (&String, &String)| is_name(name) && is_text(value.trim(), VALUE_BYTES_MAX);
        if !self.dimensions.iter().all(fits) {
            return Some((
                "telemetry.cloudwatch.dimensions",
                "must have names of 1 to 255 ASCII characters, not `:` first, and values of 1 to 1,024, not only spaces",
            ));
        }
        let are_distinct = |choice: &MetricChoice| {
            let (labels, own): (BTreeSet<_>, _) = (choice.labels().collect(), &self.dimensions);
            labels.len() == choice.labels().count()
                && !labels.iter().any(|label| own.contains_key(*label))
                && labels.len() + own.len() <= DIMENSIONS_MAX
        };
        if !self.metrics.iter().all(are_distinct) {
            return Some((
                "telemetry.cloudwatch.metrics",
                "must not name a label twice, nor one that is in telemetry.cloudwatch.dimensions, nor have more than 30 of both",
            ));
        }
        // What is sent twice would be counted twice.
        let mut known = BTreeSet::new();
        let is_new = |choice: &MetricChoice| {
            known.insert((
                choice.name().to_owned(),
                choice.labels().map(str::to_owned).collect::<BTreeSet<_>>(),
            ))
        };
        (!self.metrics.iter().all(is_new))
            .then_some(("telemetry.cloudwatch.metrics", "must not name a metric twice with the same labels"))
    }
}

impl Settings {
    /// What is unwise about sending metrics to CloudWatch.
    pub(crate) fn cloudwatch_remark(&self) -> Option<Note> {
        let own = &self.telemetry.cloudwatch;
        (own.enabled && own.metrics.is_empty()).then(|| {
            Note::warning(
                "`telemetry.cloudwatch.enabled` has no effect while `telemetry.cloudwatch.metrics` is empty",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of_problem(change: impl FnOnce(&mut CloudWatch)) -> Option<&'static str> {
        let mut settings = CloudWatch::default();
        change(&mut settings);
        settings.problem().map(|(key, _)| key)
    }

    #[test]
    fn what_cloudwatch_would_refuse_is_refused() {
        assert_eq!(key_of_problem(|_| {}), None);
        for namespace in ["", "AWS/Realtime", "zwölf"] {
            let key = key_of_problem(|settings| settings.namespace = namespace.into());
            assert_eq!(key, Some("telemetry.cloudwatch.namespace"), "{namespace}");
        }
        for (name, value) in [("", "one"), (":one", "one"), ("one", ""), ("one", " ")] {
            let key = key_of_problem(|settings| settings.dimensions = [(name.into(), value.into())].into());
            assert_eq!(key, Some("telemetry.cloudwatch.dimensions"), "{name}: {value}");
        }
        for metric in ["a{b,b}", "a{own}"] {
            let key = key_of_problem(|settings| {
                settings.dimensions = [("own".into(), "one".into())].into();
                settings.metrics = vec![MetricChoice::new(metric).expect("a metric")];
            });
            assert_eq!(key, Some("telemetry.cloudwatch.metrics"), "{metric}");
        }
        let choices =
            |texts: &[&str]| texts.iter().map(|text| MetricChoice::new(text).expect("one")).collect();
        let twice = key_of_problem(|settings| settings.metrics = choices(&["a", "a{b,c}", "a{c,b}"]));
        assert_eq!(twice, Some("telemetry.cloudwatch.metrics"));
        assert_eq!(key_of_problem(|settings| settings.metrics = choices(&["a", "a{b}", "b"])), None);
    }
}
