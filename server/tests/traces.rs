//! Traces of the program by the variables of OpenTelemetry (docs/protocol/operations.md#traces).

use std::process::Command;

use harness::{Request, ServerProcess, SpanReceiver, TokenIssuer, World};
use tempfile::TempDir;
use tokio::task::block_in_place;

const SECRET: &str = "users, of thirty-two bytes or more than that";

/// The program in this folder with these variables, which sends spans to `receiver`.
fn start(folder: &TempDir, receiver: &SpanReceiver, variables: &[(&str, &str)]) -> ServerProcess {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command
        .current_dir(folder.path())
        .env_clear()
        .args(["serve", "--host", "127.0.0.1", "--port", "0"])
        .env("JWT_SECRET", SECRET);
    command.env("OTEL_TRACES_EXPORTER", "otlp").env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url());
    command.env("OTEL_BSP_SCHEDULE_DELAY", "20").envs(variables.iter().copied());
    ServerProcess::start(command)
}

// What sends spans must not read variables of its own accord: a value of ours would be overruled, and no reload, `config check` or
// redaction would know.
#[tokio::test(flavor = "multi_thread")]
async fn a_standard_variable_decides_nothing_beside_the_settings() {
    for receiver in [SpanReceiver::http().await, SpanReceiver::grpc().await] {
        let protocol = if receiver.is_grpc() { "grpc" } else { "http/protobuf" };
        let folder = tempfile::tempdir().expect("a folder");
        let server = start(
            &folder,
            &receiver,
            &[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_HEADERS", "x-theirs=hush"),
                ("REALTIME__TELEMETRY__TRACES__HEADERS", "x-ours=hush"),
                ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
                ("REALTIME__TELEMETRY__TRACES__COMPRESSION", "none"),
                ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
                ("OTEL_RESOURCE_ATTRIBUTES", "a=theirs"),
                ("REALTIME__TELEMETRY__TRACES__RESOURCE_ATTRIBUTES", r#"{"b": "ours"}"#),
            ],
        );
        let world = World::at(block_in_place(|| server.listening()), TokenIssuer::new(SECRET));
        assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
        let spans = receiver.wait_for(&["GET"]).await;
        let headers = receiver.headers();
        assert_eq!((headers.get("x-theirs"), &headers["x-ours"]), (None, &"hush".parse().expect("text")));
        assert!(!["content-encoding", "grpc-encoding"].iter().any(|name| headers.contains_key(*name)));
        assert!(spans[0].attributes.len() > 1 && spans[0].resource["b"] == "ours", "{spans:?}");
        let log = server.log();
        assert!(log.contains("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT has no meaning here"), "{log}");
        assert!(!log.contains("hush"), "{log}");
    }
}
