//! The lines of WebSockets, and of the codes that their clients cause.

use std::io::{BufRead, BufReader, Write};

use crate::serving::{Serve, frame, is_request};

#[test]
fn a_websocket_keeps_the_id_of_its_handshake() {
    let mut serve = Serve::start(&[]);
    let token = serve.token.clone();
    let mut socket = serve.open(&token);
    assert_eq!(serve.line(is_request)["status"], 101);
    socket.write_all(&frame("x")).expect("it accepts bytes");
    let line = serve.line(|line| line["error_code"] == "MalformedWebSocketMessage");
    assert_eq!(line["request_id"], "an-id-of-twenty-letters", "{line}");
    assert_eq!(line["client_address"], "127.0.0.1");
    drop(socket);
    let line = serve.line(|line| line["message"] == "The WebSocket has ended");
    assert_eq!(line["request_id"], "an-id-of-twenty-letters");
}

#[test]
fn the_line_of_a_code_has_the_tenant_the_request_and_the_region() {
    let settings = [("REGION", "eu-west-2"), ("CLUSTER", "blue"), ("REALTIME__TELEMETRY__LOG_LEVEL", "warn")];
    let mut serve = Serve::start(&settings);
    let token = serve.token.clone();
    let mut socket = serve.open(&token);
    socket.write_all(&frame(r#"["1","1","realtime:","phx_join",{}]"#)).expect("it accepts bytes");
    let line = serve.line(|line| line["error_code"] == "TopicNameRequired");
    assert_eq!(line["message"], "TopicNameRequired: You must provide a topic name");
    for (field, value) in [
        ("level", "WARN"),
        ("project", "default"),
        ("external_id", "default"),
        ("request_id", "an-id-of-twenty-letters"),
        ("client_address", "127.0.0.1"),
        ("region", "eu-west-2"),
        ("cluster", "blue"),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    let time = line["timestamp"].as_str().expect("text");
    assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    assert!(line["exp"].is_i64() && line.get("span").is_none(), "{line}");
}

#[test]
fn the_line_of_a_join_that_needs_a_database_says_that_the_tenant_has_none() {
    let mut serve = Serve::start(&[]);
    let mut socket = serve.open(&serve.token.clone());
    let join = r#"["1","1","realtime:a","phx_join",{"config":{"postgres_changes":[{"table":"todos"}]}}]"#;
    socket.write_all(&frame(join)).expect("it accepts bytes");
    let line = serve.line(|line| line["error_code"] == "UnableToConnectToProject");
    let message = line["message"].as_str().expect("text");
    assert!(message.contains("the tenant has no database: set `tenants.<id>.database.url`"), "{line}");
}

#[test]
fn a_client_with_a_thousand_errors_causes_one_line_per_code() {
    let mut serve = Serve::start(&[("REALTIME__TELEMETRY__LOG_LEVEL", "warn")]);
    let token = serve.token.clone();
    let mut socket = serve.open(&token);
    let (malformed, join) = (frame("x"), frame(r#"["1","1","realtime:","phx_join",{}]"#));
    for _ in 0..1_000 {
        socket.write_all(&malformed).expect("it accepts bytes");
    }
    for _ in 0..10 {
        socket.write_all(&join).expect("it accepts bytes");
    }
    serve.line(|line| line["error_code"] == "TopicNameRequired");
    // All are counted; a heartbeat is answered only after everything before it.
    socket.write_all(&frame(r#"[null,"9","phoenix","heartbeat",{}]"#)).expect("it accepts bytes");
    let mut socket = BufReader::new(socket);
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains(r#""9","phoenix""#) {
        assert!(socket.read_until(b'}', &mut received).expect("frames") > 0);
    }
    let series = |code| format!(r#"realtime_codes_total{{tenant="default",code="{code}"}}"#);
    assert_eq!(serve.number(&series("MalformedWebSocketMessage")), 1_000.0);
    assert_eq!(serve.number(&series("TopicNameRequired")), 10.0);
    let errors = r#"realtime_channel_error{tenant="default",code="TopicNameRequired"}"#;
    assert_eq!(serve.number(errors), 10.0);
    drop(socket);
    let rest = serve.stop();
    assert!(!rest.contains("TopicNameRequired") && !rest.contains("MalformedWebSocketMessage"), "{rest}");
}
