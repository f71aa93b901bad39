//! Metrics that the program pushes over TLS: whose certificates it trusts.

use std::process::Command;

use harness::{Certificate, Haproxy, MetricsReceiver, ServerProcess};

/// A program that pushes to `url`, and trusts what `variables` say.
fn program(url: &str, variables: &[(&str, &str)]) -> (ServerProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.arg("serve").current_dir(folder.path()).env_clear().envs([
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("JWT_SECRET", "users, of thirty-two bytes or more than that"),
        ("METRICS_PUSHER_ENABLED", "true"),
        ("METRICS_PUSHER_URL", url),
        ("METRICS_PUSHER_INTERVAL_MS", "100"),
    ]);
    command.envs(variables.iter().copied());
    (ServerProcess::start(command), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_pushed_over_tls_to_a_receiver_whose_certificate_is_trusted_alone() {
    let (receiver, certificate) = (MetricsReceiver::start().await, Certificate::new());
    let both = certificate.folder().join("both.pem");
    let haproxy = Haproxy::start(|address| {
        format!(
            "listen endpoint\n mode http\n bind {address} ssl crt {}\n server only {}\n",
            both.display(),
            receiver.address()
        )
    })
    .await;
    let url = format!("https://localhost:{}/import", haproxy.endpoint().address().port());
    let (untrusting, _folder) = program(&url, &[]);
    let line = untrusting.log_line("MetricsPusherFailed");
    assert!(line.contains("certificate"), "{line}");
    assert_eq!(receiver.pushed().len(), 0, "nothing is sent without trust");
    let file = certificate.cert_file().display().to_string();
    let (_trusting, _folder) = program(&url, &[("SSL_CERT_FILE", &file)]);
    let pushed = receiver.wait_for(2).await;
    assert!(pushed.iter().any(|pushed| pushed.page.contains("realtime_build_info")), "{pushed:?}");
}
