//! Listener and HTTP (docs/protocol/operations.md#listener-and-http).

use super::conversion::Conversion;
use super::variable::{PlannedFeature, Variable, converted, verbatim};

const OWN: &str = "sockets and memory are managed differently";

pub(super) const ROWS: &[Variable] = &[
    Variable::sets(&["PORT"], &[verbatim("server.port")]),
    Variable::sets(&["REALTIME_IP_VERSION"], &[converted("server.host", Conversion::IpVersion)]),
    Variable::sets(&["HOST"], &[verbatim("server.host")]),
    Variable::sets(&["MAX_CONNECTIONS"], &[verbatim("server.max_connections")]),
    Variable::ignored(&["NUM_ACCEPTORS"], OWN),
    Variable::sets(&["MAX_HEADER_LENGTH"], &[converted("server.max_header_size", Conversion::HeaderBytes)]),
    Variable::ignored(&["HTTP_DYNAMIC_BUFFER_MIN"], OWN),
    Variable::ignored(&["HTTP_DYNAMIC_BUFFER_MAX"], OWN),
    Variable::sets(&["WEBSOCKET_MAX_HEAP_SIZE"], &[verbatim("outbox.max_bytes")]),
    Variable::ignored(&["APP_NAME"], "nodes need no name"),
    Variable::ignored(&["SECRET_KEY_BASE"], "there are no cookies to sign").secret(),
    Variable::sets(
        &["CONNECT_ERROR_BACKOFF_MS"],
        &[converted("server.connect_error_backoff", Conversion::Milliseconds)],
    ),
    Variable::sets(
        &["CHANNEL_ERROR_BACKOFF_MS"],
        &[converted("server.channel_error_backoff", Conversion::Milliseconds)],
    ),
    Variable::sets(
        &["NO_CHANNEL_TIMEOUT_IN_MS", "DISCONNECT_SOCKET_ON_NO_CHANNELS_INTERVAL_IN_MS"],
        &[converted("server.no_channel_timeout", Conversion::Milliseconds)],
    ),
    Variable::ignored(&["MEASURE_TRAFFIC_INTERVAL_IN_MS"], "traffic is counted continuously"),
    Variable::sets(&["REQUEST_ID_BAGGAGE_KEY"], &[verbatim("server.request_id_baggage_key")]),
    Variable::sets(
        &["DISABLE_HEALTHCHECK_LOGGING"],
        &[converted("telemetry.log_health_checks", Conversion::Inverted)],
    ),
    Variable::planned(&["DASHBOARD_AUTH"], PlannedFeature::Dashboard),
    Variable::planned(&["DASHBOARD_USER"], PlannedFeature::Dashboard),
    Variable::planned(&["DASHBOARD_PASSWORD"], PlannedFeature::Dashboard).secret(),
    Variable::unsupported(&["CF_TEAM_DOMAIN"], "Cloudflare Access is not supported"),
];
