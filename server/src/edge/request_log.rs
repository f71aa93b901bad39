//! One log line per HTTP request, with its outcome and never its contents. Of the request target only the path is
//! logged, because queries hold tokens; and of the path only what cannot be part of one.

use std::time::Instant;

use http::{Request, Response};
use tracing::{error, info, warn};

use crate::telemetry::line_limits::{LineKind, LineLimits};
use crate::telemetry::logs::shortened;
use crate::telemetry::reports::Reports;

/// Bytes of a path that are logged, after escaping. No route is as long; a longer path would only fill the log.
const PATH_BYTES_MAX: usize = 256;

/// Bytes of a method that are logged. A method may be any word.
const METHOD_BYTES_MAX: usize = 16;

/// What begins a query or a token in a path that contains one by mistake: `/websocket&apikey=…`, `/websocket%3Fapikey=…`.
const SECRET_MARKS: [&str; 9] = ["=", "&", ";", "%3f", "%3F", "%3d", "%3D", "%26", "eyJ"];

/// The log line of a request that is being handled.
pub(super) struct RequestLog {
    method: Box<str>,
    path: Box<str>,
    started: Instant,
}

impl RequestLog {
    pub(super) fn start<B>(request: &Request<B>) -> Self {
        Self {
            method: shortened(request.method().as_str(), METHOD_BYTES_MAX).into(),
            path: loggable(request.uri().path()),
            started: Instant::now(),
        }
    }

    /// Whether the request is a health check, which supervisors send every few seconds.
    pub(super) fn is_health_check(&self) -> bool {
        let mut segments = self.path.split('/').filter(|segment| !segment.is_empty());
        let first_two = (segments.next(), segments.next());
        matches!(first_two, (None | Some("health" | "healthcheck" | "ready" | "readyz"), None))
            || (self.path.starts_with("/api/tenants/") && self.path.ends_with("/health"))
    }

    /// Writes the line of a request with this response, unless there were too many: of a tenant, if the response is
    /// attributed to one, otherwise of callers without a verified token.
    pub(super) fn finish<B>(&self, response: &Response<B>, limits: &LineLimits) {
        let status = response.status();
        let reports = response.extensions().get::<Reports>();
        let may_be_written = match reports {
            Some(reports) => reports.admit_request(),
            None => limits.admit(LineKind::Request(status)),
        };
        if !may_be_written {
            return;
        }
        let Self { method, path, started } = self;
        let party = reports.and_then(Reports::tenant);
        let (status, duration_ms) = (status.as_u16(), started.elapsed().as_millis() as u64);
        match status {
            // 503 means that the server is full or stopping, which is not an error of the server.
            500..=502 | 504.. => {
                error!(log.party = party, method, path, status, duration_ms, "{method} {path} {status}")
            }
            400..=599 => {
                warn!(log.party = party, method, path, status, duration_ms, "{method} {path} {status}")
            }
            _ => info!(log.party = party, method, path, status, duration_ms, "{method} {path} {status}"),
        }
    }
}

/// The beginning of `path` that may be logged, with `…` in place of what may be a secret.
pub(super) fn loggable(path: &str) -> Box<str> {
    let secret = SECRET_MARKS.iter().filter_map(|mark| path.find(mark)).min();
    let (shown, end) = secret.map_or((path, ""), |secret| (&path[..secret], "…"));
    shortened(&format!("{shown}{end}"), PATH_BYTES_MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(uri: &str) -> RequestLog {
        RequestLog::start(&Request::builder().uri(uri).body(()).expect("a request"))
    }

    #[test]
    fn queries_are_not_logged_and_long_paths_are_cut() {
        assert_eq!(&*log("/socket/websocket?apikey=secret").path, "/socket/websocket");
        assert_eq!(log(&format!("/{}", "x".repeat(1_000))).path.len(), PATH_BYTES_MAX);
    }

    #[test]
    fn a_token_in_the_path_is_not_logged() {
        for path in [
            "/socket/websocket&apikey=secret",
            "/socket/websocket%3Fapikey=secret",
            "/socket/websocket;secret",
            "/socket/websocketeyJhbGciOiJIUzI1NiJ9.secret.secret",
        ] {
            assert_eq!(&*log(path).path, "/socket/websocket…");
        }
        assert_eq!(&*log("/api/broadcast/room%3A1/events/e").path, "/api/broadcast/room%3A1/events/e");
    }

    #[test]
    fn health_checks_are_recognised_by_their_path() {
        for path in
            ["/", "/health", "//health/", "/healthcheck", "/ready", "/readyz", "/api/tenants/a/health"]
        {
            assert!(log(path).is_health_check(), "{path}");
        }
        for path in ["/metrics", "/api/broadcast/room/events/health", "/socket/websocket"] {
            assert!(!log(path).is_health_check(), "{path}");
        }
    }
}
