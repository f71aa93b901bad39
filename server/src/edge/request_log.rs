//! One line in the log per HTTP request. It says how it ended, never what was in it: of the address only the
//! path, because queries hold tokens.

use std::time::Instant;

use http::{Method, Request, StatusCode};
use tracing::{error, info, warn};

/// Characters of a path that are written; what is longer was written to fill logs.
const PATH_SHOWN: usize = 256;

/// A request under way.
pub(super) struct Line {
    method: Method,
    path: Box<str>,
    began: Instant,
}

impl Line {
    pub(super) fn begin<B>(request: &Request<B>) -> Self {
        let path: String = request.uri().path().chars().take(PATH_SHOWN).collect();
        Self { method: request.method().clone(), path: path.into(), began: Instant::now() }
    }

    /// Whether it only asks how we are, as supervisors do every few seconds.
    pub(super) fn is_health_check(&self) -> bool {
        let mut segments = self.path.split('/').filter(|segment| !segment.is_empty());
        let only = (segments.next(), segments.next());
        matches!(only, (None | Some("health" | "healthcheck" | "readyz"), None))
            || (self.path.starts_with("/api/tenants/") && self.path.ends_with("/health"))
    }

    /// The request was answered with `status`.
    pub(super) fn end(&self, status: StatusCode) {
        let Self { method, path, began } = self;
        let (status, duration_ms) = (status.as_u16(), began.elapsed().as_millis() as u64);
        match status {
            // 503 says that the server is full or about to stop, which is no fault of it.
            500..=502 | 504.. => error!(%method, path, status, duration_ms, "{method} {path} {status}"),
            400..=599 => warn!(%method, path, status, duration_ms, "{method} {path} {status}"),
            _ => info!(%method, path, status, duration_ms, "{method} {path} {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(uri: &str) -> Line {
        Line::begin(&Request::builder().uri(uri).body(()).expect("a request"))
    }

    #[test]
    fn a_query_is_never_part_of_it_and_a_path_only_as_far_as_it_is_useful() {
        assert_eq!(&*line("/socket/websocket?apikey=secret").path, "/socket/websocket");
        assert_eq!(line(&format!("/{}", "x".repeat(1_000))).path.len(), PATH_SHOWN);
    }

    #[test]
    fn health_checks_are_known() {
        for path in ["/", "/health", "//health/", "/healthcheck", "/readyz", "/api/tenants/a/health"] {
            assert!(line(path).is_health_check(), "{path}");
        }
        for path in ["/metrics", "/api/broadcast/room/events/health", "/socket/websocket"] {
            assert!(!line(path).is_health_check(), "{path}");
        }
    }
}
