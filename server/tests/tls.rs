//! The program with a TLS certificate: its errors for a bad one, and its health check over TLS.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use harness::{ServerProcess, Unresponsive};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

/// A folder with a certificate and its key.
fn certificate() -> TempDir {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["realtime.example.com".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("cert.pem"), cert.pem()).expect("a file");
    fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).expect("a file");
    folder
}

fn program(command: &str, folder: &Path) -> Command {
    let mut program = Command::new(PROGRAM);
    program.arg(command).current_dir(folder).env("HOST", "127.0.0.1").env("JWT_SECRET", "s".repeat(32));
    program
}

fn serve_with(cert: &Path, key: &Path) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = program("serve", folder.path());
    serve.env("PORT", "0").env("REALTIME__SERVER__TLS__CERT_FILE", cert);
    serve.env("REALTIME__SERVER__TLS__KEY_FILE", key).output().expect("it runs")
}

#[test]
fn a_bad_file_is_an_error_that_names_the_file_and_its_key() {
    let (good, other) = (certificate(), certificate());
    let (cert, key) = (good.path().join("cert.pem"), good.path().join("key.pem"));
    let missing = good.path().join("missing.pem");
    let pipe = good.path().join("pipe.pem");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    for (cert, key, names, problem) in [
        (&missing, &key, "server.tls.cert_file", "cannot read `server.tls.cert_file`"),
        (&pipe, &key, "server.tls.cert_file", "it is a FIFO (named pipe), and only regular files are used"),
        (&cert, &missing, "server.tls.key_file", "No such file or directory"),
        (&key, &key, "server.tls.cert_file", "has no certificate in it (PEM)"),
        (&cert, &cert, "server.tls.key_file", "has no private key without password in it (PEM)"),
        (&cert, &other.path().join("key.pem"), "server.tls.key_file", "is not that of the certificate"),
    ] {
        let output = serve_with(cert, key);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{printed}");
        let error = printed.lines().find(|line| line.starts_with("error: ")).expect("an error");
        assert!(error.contains(names) && error.contains(problem), "{error}");
        assert!(error.contains(".pem"), "{error}");
    }
}

#[test]
fn the_health_check_sends_a_proxy_header_before_tls() {
    let folder = certificate();
    let config = r#"
        [server]
        port = 0
        proxy_protocol_from = ["127.0.0.0/8"]
        tls = { cert_file = "cert.pem", key_file = "key.pem" }
    "#;
    let file = folder.path().join("config.toml");
    fs::write(&file, config).expect("a file");
    let process = ServerProcess::start(program("serve", folder.path()));
    let port = process.listening().port();
    assert!(process.log().contains("tls=true"), "{}", process.log());
    fs::write(&file, config.replace("port = 0", &format!("port = {port}"))).expect("a file");
    let health = program("health", folder.path()).output().expect("it runs");
    let printed =
        String::from_utf8_lossy(&health.stdout).into_owned() + &String::from_utf8_lossy(&health.stderr);
    assert!(health.status.success(), "{printed}");
    assert!(printed.starts_with("https://127.0.0.1:") && printed.ends_with("is up (200)\n"), "{printed}");
}

#[test]
fn a_renewed_certificate_that_expires_soon_is_a_warning() {
    let folder = certificate();
    let config = "[server]\nport = 0\ntls = { cert_file = 'cert.pem', key_file = 'key.pem' }\n";
    fs::write(folder.path().join("config.toml"), config).expect("a file");
    let process = ServerProcess::start(program("serve", folder.path()));
    let start = process.log_until("Listening");
    assert!(!start.iter().any(|line| line.contains("WARN")), "{start:?}");

    let mut parameters = CertificateParams::new(["realtime.example.com".to_owned()]).expect("a name");
    parameters.not_after = (SystemTime::now() + Duration::from_secs(5 * 24 * 60 * 60)).into();
    let key = KeyPair::generate().expect("a key");
    let cert = parameters.self_signed(&key).expect("a certificate");
    fs::write(folder.path().join("cert.pem"), cert.pem()).expect("a file");
    fs::write(folder.path().join("key.pem"), key.serialize_pem()).expect("a file");
    process.log_line("A new certificate is in use");
    let warning = process.log_line("expires at");
    assert!(warning.contains("WARN the certificate in `server.tls.cert_file`"), "{warning}");
}

#[test]
fn a_pipe_in_place_of_a_certificate_is_reported_and_the_next_good_file_is_used() {
    let folder = certificate();
    let config = "[server]\nport = 0\ntls = { cert_file = 'cert.pem', key_file = 'key.pem' }\n";
    fs::write(folder.path().join("config.toml"), config).expect("a file");
    let process = ServerProcess::start(program("serve", folder.path()));
    process.listening();
    let file = folder.path().join("cert.pem");
    fs::remove_file(&file).expect("removed");
    mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    process.log_line("it is a FIFO (named pipe), and only regular files are used");
    let renewed = certificate();
    for name in ["cert.pem", "key.pem"] {
        fs::rename(renewed.path().join(name), folder.path().join(name)).expect("replaced");
    }
    process.log_line("A new certificate is in use");
}

#[test]
fn a_file_system_of_certificates_that_does_not_respond_delays_no_client() {
    let folder = certificate();
    let certificates = folder.path().join("certificates");
    fs::create_dir(&certificates).expect("a folder");
    let replace_by = |source: &Path| {
        for name in ["cert.pem", "key.pem"] {
            fs::copy(source.join(name), certificates.join(name)).expect("copied");
        }
    };
    replace_by(folder.path());
    let tls = "tls = { cert_file = 'certificates/cert.pem', key_file = 'certificates/key.pem' }\n";
    fs::write(folder.path().join("config.toml"), format!("[server]\nport = 0\n{tls}")).expect("a file");
    let process = ServerProcess::start(program("serve", folder.path()));
    process.listening();
    let Some(unresponsive) = Unresponsive::over(&certificates) else { return };
    // An event in the folder above, which is watched too, makes the server look at once.
    fs::write(folder.path().join("other"), "").expect("a file");
    let warning = process.log_line("The old certificate stays in use");
    assert!(warning.contains("still waiting for certificates/"), "{warning}");
    let health = program("health", folder.path()).env("PORT", "0").output().expect("it runs");
    assert!(health.status.success(), "{health:?}");
    drop(unresponsive);
    replace_by(certificate().path());
    process.log_line("A new certificate is in use");
}
