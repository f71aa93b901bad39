//! The standard variables of OpenTelemetry (docs/protocol/operations.md#traces). Those for traces alone precede those for all
//! that OpenTelemetry transports.

use super::conversion::Conversion;
use super::variable::{Variable, converted, verbatim};

const NOT_BY_OTLP: &str = "only traces are sent by OTLP";
const BOUNDED: &str = "a span has ten attributes of 256 bytes at most, and neither events nor links";
const BY_SCHEME: &str = "the scheme of the address decides whether TLS is used";
const NO_CLIENT_CERTIFICATE: &str = "the server shows the collector no certificate";

pub(super) const ROWS: &[Variable] = &[
    Variable::sets(&["OTEL_SDK_DISABLED"], &[verbatim("telemetry.traces.disabled")]),
    Variable::sets(&["OTEL_TRACES_EXPORTER"], &[verbatim("telemetry.traces.exporter")]),
    Variable::sets(&["OTEL_EXPORTER_OTLP_ENDPOINT"], &[verbatim("telemetry.traces.endpoint")]).secret(),
    Variable::sets(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], &[verbatim("telemetry.traces.traces_endpoint")])
        .secret(),
    Variable::sets(&["OTEL_EXPORTER_OTLP_PROTOCOL"], &[verbatim("telemetry.traces.protocol")]),
    Variable::sets(&["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"], &[verbatim("telemetry.traces.protocol")]),
    Variable::sets(&["OTEL_EXPORTER_OTLP_HEADERS"], &[verbatim("telemetry.traces.headers")]).secret(),
    Variable::sets(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS"], &[verbatim("telemetry.traces.headers")]).secret(),
    Variable::sets(
        &["OTEL_EXPORTER_OTLP_TIMEOUT"],
        &[converted("telemetry.traces.timeout", Conversion::Milliseconds)],
    ),
    Variable::sets(
        &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"],
        &[converted("telemetry.traces.timeout", Conversion::Milliseconds)],
    ),
    Variable::sets(&["OTEL_EXPORTER_OTLP_COMPRESSION"], &[verbatim("telemetry.traces.compression")]),
    Variable::sets(&["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"], &[verbatim("telemetry.traces.compression")]),
    Variable::sets(&["OTEL_EXPORTER_OTLP_CERTIFICATE"], &[verbatim("telemetry.traces.certificate_file")]),
    Variable::sets(
        &["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"],
        &[verbatim("telemetry.traces.certificate_file")],
    ),
    Variable::sets(&["OTEL_SERVICE_NAME"], &[verbatim("telemetry.traces.service_name")]),
    Variable::sets(
        &["OTEL_RESOURCE_ATTRIBUTES"],
        &[converted("telemetry.traces.resource_attributes", Conversion::Pairs)],
    ),
    Variable::sets(&["OTEL_TRACES_SAMPLER"], &[verbatim("telemetry.traces.sampler")]),
    Variable::sets(&["OTEL_TRACES_SAMPLER_ARG"], &[verbatim("telemetry.traces.sampler_ratio")]),
    Variable::sets(&["OTEL_BSP_MAX_QUEUE_SIZE"], &[verbatim("telemetry.traces.queue_spans")]),
    Variable::sets(&["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], &[verbatim("telemetry.traces.batch_spans")]),
    Variable::sets(
        &["OTEL_BSP_SCHEDULE_DELAY"],
        &[converted("telemetry.traces.interval", Conversion::Milliseconds)],
    ),
    Variable::ignored(&["OTEL_METRICS_EXPORTER"], NOT_BY_OTLP),
    Variable::ignored(&["OTEL_LOGS_EXPORTER"], NOT_BY_OTLP),
    Variable::ignored(&["OTEL_EXPORTER_OTLP_METRICS_*"], NOT_BY_OTLP),
    Variable::ignored(&["OTEL_EXPORTER_OTLP_LOGS_*"], NOT_BY_OTLP),
    Variable::ignored(&["OTEL_METRIC_EXPORT_*"], NOT_BY_OTLP),
    Variable::ignored(&["OTEL_BLRP_*"], NOT_BY_OTLP),
    Variable::ignored(&["OTEL_ATTRIBUTE_*"], BOUNDED),
    Variable::ignored(&["OTEL_SPAN_*"], BOUNDED),
    Variable::ignored(&["OTEL_EVENT_*"], BOUNDED),
    Variable::ignored(&["OTEL_LINK_*"], BOUNDED),
    Variable::ignored(&["OTEL_BSP_EXPORT_TIMEOUT"], "telemetry.traces.timeout bounds a request"),
    Variable::ignored(&["OTEL_EXPORTER_OTLP_INSECURE"], BY_SCHEME),
    Variable::ignored(&["OTEL_EXPORTER_OTLP_TRACES_INSECURE"], BY_SCHEME),
    Variable::unsupported(&["OTEL_EXPORTER_OTLP_CLIENT_*"], NO_CLIENT_CERTIFICATE),
    Variable::unsupported(&["OTEL_EXPORTER_OTLP_TRACES_CLIENT_*"], NO_CLIENT_CERTIFICATE),
    Variable::unsupported(&["OTEL_PROPAGATORS"], "the headers of W3C trace context are read, and no others"),
    Variable::unsupported(&["OTEL_*"], "see the keys of telemetry.traces for what is"),
];
