//! `[telemetry.traces]`: spans that are sent to a collector by OTLP. Each key has the standard `OTEL_*` variable of its meaning.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::note::Note;
use crate::{Settings, marks, units};

/// Traces (OpenTelemetry): what happens to a request or a join on all nodes, as spans that are sent to a collector by OTLP. Their
/// number is bounded, and no client waits for the collector. Needs a server that is built with the feature `otel`, which is the default.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// Where spans are sent: nowhere, or to `endpoint`.
    #[schemars(extend("x-reload" = "restart"))]
    pub exporter: SpanExporter,

    /// Whether there are no spans, whatever `exporter` says.
    #[schemars(extend("x-reload" = "restart"))]
    pub disabled: bool,

    /// The address of the collector, such as `http://collector:4318`; with `protocol = "http/protobuf"` requests go to `/v1/traces`
    /// below it. Unset: `http://localhost:4318`, with `grpc` `http://localhost:4317`. User and
    /// password are refused: a header (`headers`) has them. A secret, because its path may contain a key.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true, "x-kind" = "url", "x-schemes" = ["http://", "https://"]))]
    pub endpoint: Option<SecretString>,

    /// The whole address for spans. It precedes `endpoint`, and nothing is added to it.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true, "x-kind" = "url", "x-schemes" = ["http://", "https://"]))]
    pub traces_endpoint: Option<SecretString>,

    /// How spans are sent.
    #[schemars(extend("x-reload" = "restart"))]
    pub protocol: OtlpProtocol,

    /// Headers of each request, as `name=value,name=value`; values are percent-encoded.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true))]
    pub headers: Option<SecretString>,

    /// How long one request may take, with up to two more attempts after 429, 502, 503 or 504, such codes of gRPC, or a refused connection.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms", "x-max" = "1m"))]
    pub timeout: Duration,

    /// How requests are compressed.
    #[schemars(extend("x-reload" = "restart"))]
    pub compression: OtlpCompression,

    /// A PEM file with the certificates that the collector's must be signed by. Unset: those that the system trusts.
    #[schemars(extend("x-reload" = "restart"))]
    pub certificate_file: Option<PathBuf>,

    /// The attribute `service.name` of all spans. Unset: that of `resource_attributes`, or `realtime`.
    #[schemars(extend("x-reload" = "restart"))]
    pub service_name: Option<String>,

    /// Further attributes of all spans, such as `{ "deployment.environment.name" = "production" }`.
    #[schemars(extend("x-reload" = "restart"))]
    pub resource_attributes: BTreeMap<String, String>,

    /// Which traces are recorded. Those that begin with `parentbased` follow the header `traceparent` of a request that has one: its
    /// client decides, and may have each of its requests recorded.
    #[schemars(extend("x-reload" = "live"))]
    pub sampler: SpanSampler,

    /// The fraction of traces that are recorded by `traceidratio` and `parentbased_traceidratio`: from 0, none, to 1, all.
    #[schemars(extend("x-reload" = "live", "x-kind" = "fraction"))]
    pub sampler_ratio: f64,

    /// Spans that may wait to be sent. Each tenant may have as many of them as it leaves free: half of all while no other has any.
    /// Further ones are dropped, and counted in `realtime_trace_spans_dropped_total`. While `exporter` is set, 2 KiB for each are taken
    /// from `server.memory_budget`, and twice as much for each of `batch_spans`.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-reload" = "restart"))]
    pub queue_spans: NonZeroUsize,

    /// Most spans of one request. As many are sent at once, without waiting for `interval`.
    #[schemars(extend("x-reload" = "restart"))]
    pub batch_spans: NonZeroUsize,

    /// How long a span waits for others at most.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "10ms"))]
    pub interval: Duration,

    /// After a request that fails, whose spans are dropped, the interval is doubled, up to this; `interval` if that is longer. The
    /// first success ends it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "10ms"))]
    pub max_interval: Duration,
}

/// Where spans are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpanExporter {
    /// To no collector.
    #[default]
    None,
    /// To a collector, by OTLP.
    Otlp,
}

/// A protocol of OTLP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum OtlpProtocol {
    /// Requests of HTTP/1.1.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// Requests of gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpCompression {
    /// No compression.
    #[default]
    None,
    /// By gzip.
    Gzip,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SpanSampler {
    /// All.
    #[serde(rename = "always_on")]
    AlwaysOn,
    /// None.
    #[serde(rename = "always_off")]
    AlwaysOff,
    /// A part of them: `sampler_ratio`.
    #[serde(rename = "traceidratio")]
    TraceIdRatio,
    /// Those whose client says so; without `traceparent`, all.
    #[default]
    #[serde(rename = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// Those whose client says so; without `traceparent`, none.
    #[serde(rename = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// Those whose client says so; without `traceparent`, a part of them: `sampler_ratio`.
    #[serde(rename = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            exporter: SpanExporter::None,
            disabled: false,
            endpoint: None,
            traces_endpoint: None,
            protocol: OtlpProtocol::HttpProtobuf,
            headers: None,
            timeout: Duration::from_secs(10),
            compression: OtlpCompression::None,
            certificate_file: None,
            service_name: None,
            resource_attributes: BTreeMap::new(),
            sampler: SpanSampler::default(),
            sampler_ratio: 1.0,
            queue_spans: NonZeroUsize::new(2_048).expect("not zero"),
            batch_spans: NonZeroUsize::new(512).expect("not zero"),
            interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(60),
        }
    }
}

impl Traces {
    /// Whether there are spans.
    pub fn is_on(&self) -> bool {
        self.exporter == SpanExporter::Otlp && !self.disabled
    }

    /// The address that spans are sent to.
    pub fn target(&self) -> String {
        let base = self.endpoint.as_ref().map(ExposeSecret::expose_secret);
        match (self.traces_endpoint.as_ref(), self.protocol) {
            (Some(whole), _) => whole.expose_secret().to_owned(),
            (None, OtlpProtocol::Grpc) => base.unwrap_or("http://localhost:4317").to_owned(),
            (None, OtlpProtocol::HttpProtobuf) => {
                format!("{}/v1/traces", base.unwrap_or("http://localhost:4318").trim_end_matches('/'))
            }
        }
    }
}

/// Whether nothing has changed. Not in constant time: both sides are the operator's own.
impl PartialEq for Traces {
    fn eq(&self, other: &Self) -> bool {
        fn exposed(secret: Option<&SecretString>) -> Option<&str> {
            secret.map(ExposeSecret::expose_secret)
        }
        // Field by field, so that a new one is not forgotten here.
        let Self { exporter, disabled, endpoint, traces_endpoint, protocol, headers, timeout, .. } = self;
        let Self { compression, certificate_file, service_name, resource_attributes, .. } = self;
        let Self { sampler, sampler_ratio, queue_spans, batch_spans, interval, max_interval, .. } = self;
        exposed(endpoint.as_ref()) == exposed(other.endpoint.as_ref())
            && exposed(traces_endpoint.as_ref()) == exposed(other.traces_endpoint.as_ref())
            && exposed(headers.as_ref()) == exposed(other.headers.as_ref())
            && (*exporter, *disabled, *protocol) == (other.exporter, other.disabled, other.protocol)
            && (*timeout, *compression) == (other.timeout, other.compression)
            && *certificate_file == other.certificate_file
            && *service_name == other.service_name
            && *resource_attributes == other.resource_attributes
            && *sampler == other.sampler
            && sampler_ratio.total_cmp(&other.sampler_ratio).is_eq()
            && (*queue_spans, *batch_spans) == (other.queue_spans, other.batch_spans)
            && (*interval, *max_interval) == (other.interval, other.max_interval)
    }
}

impl Eq for Traces {}

impl Settings {
    /// What is unwise about traces.
    pub(crate) fn traces_remark(&self) -> Option<Note> {
        let traces = &self.telemetry.traces;
        let has_address = traces.endpoint.is_some() || traces.traces_endpoint.is_some();
        (has_address && traces.exporter == SpanExporter::None && !traces.disabled).then(|| {
            Note::warning(
                "`telemetry.traces.endpoint` has no effect without `telemetry.traces.exporter = \"otlp\"` \
                 (OTEL_TRACES_EXPORTER=otlp)",
            )
        })
    }
}
