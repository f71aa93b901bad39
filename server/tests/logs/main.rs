//! Log lines of requests and of their WebSockets, in the JSON format.

mod connections;
mod operators;
mod requests;
mod serving;

use std::io::Write;

use serving::{Serve, frame};

// A terminal may be paused and a disk may be full: lines wait and are dropped, clients are served.
#[test]
fn a_log_that_is_not_read_delays_no_client() {
    let mut serve = Serve::start(&[
        ("REALTIME__TELEMETRY__LOG_QUEUE_LINES", "10"),
        ("REALTIME__TELEMETRY__LOG_LINES_UNVERIFIED", "1000000"),
        ("REALTIME__TELEMETRY__LOG_BYTES_PER_SECOND", "1 GiB"),
    ]);
    let path = "x".repeat(200);
    let asked = (1..10_000).find(|_| {
        serve.ask(&format!("GET /{path} HTTP/1.1\r\nconnection: close"));
        serve.number("realtime_log_lines_dropped_total ") > 0.0
    });
    assert!(asked.is_some(), "no line was dropped");
    // Until the waiting lines have been read, further ones may be dropped.
    serve.ask_until_written("GET /a-reader-is-back HTTP/1.1\r\nconnection: close", "/a-reader-is-back");
    let rest = serve.stop();
    assert!(rest.contains("Stopping: SIGINT"), "lines are written again once the log is read: {rest}");
}

// Neither is in the log at any level, whatever is wrong with them.
#[test]
fn neither_tokens_nor_payloads_are_written() {
    let mut serve = Serve::start(&[("REALTIME__TELEMETRY__LOG_LEVEL", "trace")]);
    let token = serve.token.clone();
    let signature = token.rsplit('.').next().expect("three parts").to_owned();
    let forged = token.replace(&signature, "Zm9yZ2Vk");
    serve.ask(&format!("GET /socket/websocket?apikey={forged} HTTP/1.1"));
    let mut socket = serve.open(&token);
    for message in [
        r#"["1","1","realtime:a","phx_join",{"config":{"broadcast":"hidden"},"access_token":"hidden"}]"#,
        r#"["2","2","realtime:a","phx_join",{"config":{"private":"hidden"}}]"#,
        r#"["3","3","realtime:a","phx_join",{"config":{}}]"#,
        r#"["3","4","realtime:a","broadcast",{"event":"hidden","payload":{"hidden":"hidden"}}]"#,
        r#"["3","5","realtime:a","broadcast","hidden"]"#,
        r#"["3","6","realtime:a","presence",{"event":"track","payload":"hidden"}]"#,
        r#"["3","7","realtime:a","presence",{"event":"hidden"}]"#,
        r#"["3","8","realtime:a","hidden",{"hidden":1}]"#,
        r#"["hidden""#,
        r#"["3","9","realtime:a","access_token",{"access_token":"hidden"}]"#,
    ] {
        socket.write_all(&frame(message)).expect("it accepts bytes");
    }
    let mut log = String::new();
    serve.line(|line| {
        log += &format!("{line}\n");
        line["error_code"] == "ChannelShutdown"
    });
    drop(socket);
    log += &serve.stop();
    assert!(log.contains("InvalidPresencePayload") && log.contains("ErrorConnectingToWebsocket"), "{log}");
    for secret in ["hidden", &token, &signature, "Zm9yZ2Vk"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret}: {line:?}");
    }
}
