//! The files that settings name: `config check` and `serve` load the same, and report the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::ServerProcess;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

fn program(line: &str, folder: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    program.args(line.split_whitespace()).current_dir(folder).env_clear();
    program.env("HOST", "127.0.0.1").env("PORT", "0").env("JWT_SECRET", "s".repeat(32));
    program
}

/// A certificate of `realtime.example.com` and its key, that ends in this year.
fn certificate(year: i32) -> (rcgen::Certificate, KeyPair) {
    let mut parameters = CertificateParams::new(["realtime.example.com".to_owned()]).expect("a name");
    parameters.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().expect("a key");
    (parameters.self_signed(&key).expect("a certificate"), key)
}

/// A folder with valid files, and with the mistakes that people make.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let ((cert, key), (expired, expired_key), (_, other)) =
        (certificate(2090), certificate(2020), certificate(2090));
    let utf16: Vec<_> = format!("\u{feff}{}", cert.pem()).encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, contents) in [
        ("cert.pem", cert.pem().into_bytes()),
        ("key.pem", key.serialize_pem().into_bytes()),
        ("other.pem", other.serialize_pem().into_bytes()),
        ("expired.pem", expired.pem().into_bytes()),
        ("expired-key.pem", expired_key.serialize_pem().into_bytes()),
        ("bom.pem", format!("\u{feff}{}", cert.pem()).into_bytes()),
        ("bom-key.pem", format!("\u{feff}{}", key.serialize_pem()).into_bytes()),
        ("utf16.pem", utf16),
        ("cert.der", cert.der().to_vec()),
        ("key.der", key.serialize_der()),
        ("empty", Vec::new()),
        ("garbage", b"not a certificate\n".to_vec()),
        ("damaged.pem", cert.pem().replace("MII", "!!!").into_bytes()),
        (
            "no-certificate.pem",
            b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n".to_vec(),
        ),
    ] {
        fs::write(folder.path().join(name), contents).expect("a file");
    }
    folder
}

/// The exit code of `config check`, its stdout and its stderr.
fn check(folder: &Path) -> (Option<i32>, String, String) {
    let output = program("config check", folder).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The log of `serve` until it listens or exits, and whether it listens.
fn serve(folder: &Path) -> (bool, String) {
    let process = ServerProcess::start(program("serve", folder));
    let listens = process.try_listening().is_some();
    (listens, process.log() + "\n")
}

fn tls(cert: &str, key: &str) -> String {
    format!("[server.tls]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n")
}

/// A bus, and the database that its nodes share, since a bus without one is a remark.
fn bus(url: &str, ca: &str) -> String {
    let store = "[store]\nurl = \"postgres://localhost:1/postgres\"\n";
    format!("[bus]\nredis_url = \"{url}\"\ntls_ca_file = \"{ca}\"\n{store}")
}

#[test]
fn what_serve_cannot_use_is_a_problem_for_config_check() {
    let folder = folder();
    let redis = "rediss://localhost:1";
    for (config, problem_text) in [
        (
            tls("missing.pem", "key.pem"),
            "2:1: cannot read `server.tls.cert_file` (missing.pem): No such file",
        ),
        (
            tls("cert.pem", "missing.pem"),
            "3:1: cannot read `server.tls.key_file` (missing.pem): No such file",
        ),
        (tls("cert.pem", "other.pem"), "3:1: the key in `server.tls.key_file` (other.pem) is not that of"),
        (
            tls("garbage", "key.pem"),
            "`server.tls.cert_file` (garbage) has no certificate in it (PEM): it holds something else",
        ),
        (
            tls("empty", "key.pem"),
            "`server.tls.cert_file` (empty) has no certificate in it (PEM): it is empty",
        ),
        (
            tls("cert.der", "key.pem"),
            "`server.tls.cert_file` (cert.der) has no certificate in it (PEM): it is DER",
        ),
        (
            tls("cert.pem", "key.der"),
            "`server.tls.key_file` (key.der) has no private key without password in it (PEM): it is DER",
        ),
        (
            tls("key.pem", "cert.pem"),
            "`server.tls.cert_file` (key.pem) has no certificate in it (PEM): it holds a private key",
        ),
        (
            tls("damaged.pem", "key.pem"),
            "has no certificate in it (PEM): it holds a certificate, which may be damaged",
        ),
        (
            tls("no-certificate.pem", "key.pem"),
            "the certificate in `server.tls.cert_file` (no-certificate.pem) cannot be used",
        ),
        (bus(redis, "missing.pem"), "3:1: cannot read `bus.tls_ca_file` (missing.pem): No such file"),
        (bus(redis, "empty"), "`bus.tls_ca_file` (empty) has no certificate in it (PEM): it is empty"),
        (bus(redis, "cert.der"), "`bus.tls_ca_file` (cert.der) has no certificate in it (PEM): it is DER"),
        (
            bus(redis, "key.pem"),
            "`bus.tls_ca_file` (key.pem) has no certificate in it (PEM): it holds a private key",
        ),
        (bus(redis, "no-certificate.pem"), "`bus.tls_ca_file` (no-certificate.pem) has no certificate in it"),
        (
            bus("rediss://:hush@localhost:1/#insecure", "cert.pem"),
            "2:1: `bus.redis_url` ends with `#insecure`",
        ),
    ] {
        fs::write(folder.path().join("config.toml"), &config).expect("a file");
        let (code, stdout, stderr) = check(folder.path());
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{config}{stderr}");
        assert!(stderr.starts_with("config.toml:") && stderr.ends_with("1 problem\n"), "{config}{stderr}");
        assert!(stderr.contains(problem_text) && !stderr.contains("hush"), "{config}{stderr}");
        let (listens, log) = serve(folder.path());
        let problem = stderr.strip_suffix("1 problem\n").expect("above");
        assert!(!listens && log == format!("error: {problem}"), "{config}{log}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let folder = folder();
    let config = tls("missing.pem", "key.pem") + &bus("rediss://localhost:1", "empty");
    fs::write(folder.path().join("config.toml"), config).expect("a file");
    let (code, _, stderr) = check(folder.path());
    assert_eq!((code, stderr.lines().count()), (Some(1), 3), "{stderr}");
    assert!(stderr.ends_with("2 problems\n"), "{stderr}");
    // A file by itself as well.
    let output = program("config check config.toml", folder.path()).output().expect("it runs");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(1), &*stderr));
}

#[test]
fn files_with_a_byte_order_mark_are_read_and_listed() {
    let folder = folder();
    for (cert, key) in [("bom.pem", "bom-key.pem"), ("utf16.pem", "key.pem")] {
        let config = tls(cert, key) + &bus("rediss://localhost:1", cert);
        fs::write(folder.path().join("config.toml"), config).expect("a file");
        let (code, stdout, stderr) = check(folder.path());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        let listed = format!(
            "The settings: nothing is wrong\n    read config.toml\n    read {cert} (server.tls.cert_file)\n    \
             read {key} (server.tls.key_file)\n    read {cert} (bus.tls_ca_file)\n"
        );
        assert_eq!(stdout, listed);
        assert!(serve(folder.path()).0);
    }
}

#[test]
fn every_file_that_is_read_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("config.d")).expect("a folder");
    for (name, text) in [("config.toml", ""), ("config.d/a.toml", ""), ("config.blue.toml", ""), ("more", "")]
    {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let mut command = program("config check", folder.path());
    command.env("REALTIME_ENV", "blue").env("REALTIME__AUTH__JWT_SECRETS_FILE", "more");
    let output = command.output().expect("it runs");
    let listed = "The settings: nothing is wrong\n    read config.toml\n    read config.d/a.toml\n    \
                  read config.blue.toml\n    read more\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), listed);

    let nothing = tempfile::tempdir().expect("a folder");
    let (_, stdout, _) = check(nothing.path());
    assert_eq!(stdout, "The settings: nothing is wrong\n    read no file\n");
}

#[test]
fn what_can_be_used_but_will_not_work_is_a_warning() {
    let folder = folder();
    for (config, warning) in [
        (
            tls("expired.pem", "expired-key.pem"),
            "the certificate in `server.tls.cert_file` (expired.pem) has expired at 2020-01-01T00:00:00Z",
        ),
        (
            bus("redis://localhost:1", "missing.pem"),
            "`bus.tls_ca_file` has no effect, because `bus.redis_url` does not begin with rediss://",
        ),
    ] {
        fs::write(folder.path().join("config.toml"), &config).expect("a file");
        let (code, _, stderr) = check(folder.path());
        assert_eq!((code, stderr), (Some(0), format!("note: {warning}\n")));
        let (listens, log) = serve(folder.path());
        let warned = log.lines().any(|line| line.contains("WARN") && line.contains(warning));
        assert!(listens && warned, "{log}");
    }
}
