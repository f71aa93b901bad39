//! The line of a request over HTTP.

use crate::serving::{Serve, is_request};

#[test]
fn each_request_is_one_line_with_its_id_and_address_and_without_its_token() {
    let mut serve = Serve::start(&[]);
    serve.ask("GET /health?apikey=hidden HTTP/1.1\r\nx-request-id: an-id-of-twenty-letters");
    let line = serve.line(is_request);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "GET /health 200");
    assert_eq!((&line["path"], &line["status"]), (&"/health".into(), &200.into()));
    assert!(line["duration_ms"].is_u64());
    assert_eq!(line["request_id"], "an-id-of-twenty-letters");
    assert_eq!(line["client_address"], "127.0.0.1");
    assert!(!line.to_string().contains("hidden"), "{line}");

    serve.ask("GET /nowhere HTTP/1.1");
    let line = serve.line(is_request);
    assert_eq!((&line["level"], &line["status"]), (&"WARN".into(), &404.into()));

    serve.ask("GET /socket/websocket?apikey=a.b.c HTTP/1.1");
    let line = serve.line(is_request);
    assert_eq!((&line["level"], &line["status"]), (&"WARN".into(), &401.into()));
    assert_eq!(line["error_code"], "MalformedJWT");

    serve.ask("this is no request");
    let line = serve.line(|line| line["level"] == "WARN" && line["status"].is_null());
    assert_eq!(line["client_address"], "127.0.0.1");
}

#[test]
fn each_refusal_names_its_reason_and_none_is_an_error() {
    let operators = "the operators' secret, of thirty-two bytes";
    let mut serve = Serve::start(&[
        ("API_JWT_SECRET", operators),
        ("METRICS_JWT_SECRET", "the secret of metrics, of thirty-two bytes"),
        ("REALTIME__SERVER__STRICT_HOST", "false"),
    ]);
    let token = serve.token.clone();
    let socket = "GET /socket/websocket";
    for (request, status, code) in [
        ("GET /nowhere HTTP/1.1".to_owned(), 404, "PathNotFound"),
        (format!("{socket} HTTP/1.1"), 401, "MissingAPIKey"),
        (format!("{socket}?apikey=a.b.c HTTP/1.1"), 401, "MalformedJWT"),
        (format!("{socket}?vsn=9&apikey={token} HTTP/1.1"), 403, "UnsupportedProtocolVersion"),
        (format!("{socket}?apikey={token} HTTP/1.1"), 400, "NotAWebSocketHandshake"),
        (format!("{socket}?apikey={token}&tenant=missing HTTP/1.1"), 404, "TenantNotFound"),
        ("POST /api/broadcast HTTP/1.1\r\ncontent-length: 0".to_owned(), 401, "MissingAPIKey"),
        ("POST /api/broadcast HTTP/1.1\r\ncontent-length: 0\r\napikey: x".to_owned(), 401, "MalformedJWT"),
        (
            "POST /api/broadcast?tenant=missing HTTP/1.1\r\ncontent-length: 0".to_owned(),
            401,
            "TenantNotFound",
        ),
        (
            format!(
                "POST /api/broadcast/t/events/e?private=true&apikey={token} HTTP/1.1\r\ncontent-length: 0"
            ),
            422,
            "UnableToConnectToProject",
        ),
        ("GET /status HTTP/1.1".to_owned(), 401, "OperatorDenied"),
        ("GET /metrics HTTP/1.1".to_owned(), 403, "OperatorDenied"),
    ] {
        serve.ask(&request);
        let line = serve.line(|line| {
            // The line of the code comes before that of the request.
            assert_ne!(line["level"], "ERROR", "{line}");
            is_request(line)
        });
        let logged = (&line["status"], &line["error_code"], &line["level"]);
        assert_eq!(logged, (&status.into(), &code.into(), &"WARN".into()), "{request}: {line}");
        assert!(!line.to_string().contains(&token), "{line}");
    }
    let rest = serve.stop();
    assert!(!rest.contains("ERROR"), "{rest}");
}

// A code has one line in ten seconds, so the request's own line has the reason.
#[test]
fn each_refused_request_has_the_reason_in_its_own_line() {
    let mut serve = Serve::start(&[("API_JWT_SECRET", "the operators' secret, of thirty-two bytes")]);
    for (request, reason) in [
        ("GET /status HTTP/1.1", "there is no header"),
        ("GET /status HTTP/1.1\r\nauthorization: Bearer x", "not a valid JWT"),
        ("GET /status HTTP/1.1", "there is no header"),
    ] {
        serve.ask(request);
        let line = serve.line(is_request);
        assert!(line["reason"].as_str().is_some_and(|found| found.contains(reason)), "{reason}: {line}");
    }
}

#[test]
fn health_checks_need_not_be_logged() {
    let mut serve = Serve::start(&[("REALTIME__TELEMETRY__LOG_HEALTH_CHECKS", "false")]);
    for path in ["/health", "/healthcheck", "/readyz", "/metrics"] {
        serve.ask(&format!("GET {path} HTTP/1.1"));
    }
    assert_eq!(serve.line(is_request)["path"], "/metrics");
}

#[test]
fn lines_of_a_request_have_the_ids_of_its_trace() {
    let mut serve = Serve::start(&[
        ("OTEL_TRACES_EXPORTER", "otlp"),
        // Nothing listens there.
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
    ]);
    serve.ask(
        "GET /nowhere HTTP/1.1\r\nconnection: close\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    let line = serve.line(|line| line["path"] == "/nowhere");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let span = line["span_id"].as_str().expect("text");
    assert!(span.len() == 16 && span != "00f067aa0ba902b7", "{line}");
}
