//! Listener and HTTP (docs/protocol/operations.md#listener-and-http).

use super::{Part, Reading, Variable, read, to};

const OWN: &str = "sockets and memory are managed otherwise";

pub(super) const ROWS: &[Variable] = &[
    Variable::sets(&["PORT"], &[to("server.port")]),
    Variable::sets(&["REALTIME_IP_VERSION"], &[read("server.host", Reading::IpVersion)]),
    Variable::sets(&["HOST"], &[to("server.host")]),
    Variable::sets(&["MAX_CONNECTIONS"], &[to("server.max_connections")]),
    Variable::accepted(&["NUM_ACCEPTORS"], OWN),
    Variable::sets(&["MAX_HEADER_LENGTH"], &[read("server.max_header_size", Reading::HeaderBytes)]),
    Variable::accepted(&["HTTP_DYNAMIC_BUFFER_MIN"], OWN),
    Variable::accepted(&["HTTP_DYNAMIC_BUFFER_MAX"], OWN),
    Variable::sets(&["WEBSOCKET_MAX_HEAP_SIZE"], &[to("outbox.max_bytes")]),
    Variable::accepted(&["APP_NAME"], "nodes need no name"),
    Variable::accepted(&["SECRET_KEY_BASE"], "there are no cookies to sign").secret(),
    Variable::sets(
        &["CONNECT_ERROR_BACKOFF_MS"],
        &[read("server.connect_error_backoff", Reading::Milliseconds)],
    ),
    Variable::sets(
        &["CHANNEL_ERROR_BACKOFF_MS"],
        &[read("server.channel_error_backoff", Reading::Milliseconds)],
    ),
    Variable::sets(
        &["NO_CHANNEL_TIMEOUT_IN_MS", "DISCONNECT_SOCKET_ON_NO_CHANNELS_INTERVAL_IN_MS"],
        &[read("server.no_channel_timeout", Reading::Milliseconds)],
    ),
    Variable::accepted(&["MEASURE_TRAFFIC_INTERVAL_IN_MS"], "traffic is counted as it flows"),
    Variable::sets(&["REQUEST_ID_BAGGAGE_KEY"], &[to("server.request_id_baggage_key")]),
    Variable::sets(
        &["DISABLE_HEALTHCHECK_LOGGING"],
        &[read("telemetry.log_health_checks", Reading::Inverted)],
    ),
    Variable::later(&["DASHBOARD_AUTH"], Part::Dashboard),
    Variable::later(&["DASHBOARD_USER"], Part::Dashboard),
    Variable::later(&["DASHBOARD_PASSWORD"], Part::Dashboard).secret(),
    Variable::warned(&["CF_TEAM_DOMAIN"], "nothing here is guarded by Cloudflare Access"),
];
