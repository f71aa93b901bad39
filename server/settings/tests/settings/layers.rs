//! The precedence of layers, and the conversion of variables.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use settings::{ByteSize, LogLevel};

use crate::{Folder, errors, good, only};

#[test]
fn each_layer_wins_over_the_one_before() {
    let file = ("config.toml", "[server]\nport = 1001\nmax_connections = 7");
    let folder = Folder::with(&[file]);
    let port = |folder: &Folder, variables: &[(&str, &str)]| {
        folder.sources(variables).load().expect("good").settings.server.port
    };
    assert_eq!(port(&folder, &[]), 1001);
    folder.write("config.d/10-first.toml", "server.port = 1002");
    assert_eq!(port(&folder, &[]), 1002);
    folder.write("config.d/20-second.toml", "server.port = 1003");
    assert_eq!(port(&folder, &[]), 1003);
    folder.write("config.staging.toml", "server.port = 1004");
    assert_eq!(port(&folder, &[]), 1003, "it is not selected");
    let staging = ("REALTIME_ENV", "staging");
    assert_eq!(port(&folder, &[staging]), 1004);
    assert_eq!(port(&folder, &[staging, ("PORT", "1005")]), 1005);
    let all = [staging, ("PORT", "1005"), ("REALTIME__SERVER__PORT", "1006")];
    assert_eq!(port(&folder, &all), 1006);
    let settings =
        folder.sources(&all).with_flag("--port", "server.port", "1007").load().expect("good").settings;
    assert_eq!(settings.server.port, 1007);
    assert_eq!(settings.server.max_connections.get(), 7, "a layer replaces keys, not sections");
}

#[test]
fn a_fallback_is_below_the_file() {
    let fallback = |file| {
        let folder = Folder::with(&[("config.toml", file)]);
        let sources = folder.sources(&[]).with_fallback("serve --dev", "auth.jwt_secret", "made up");
        sources.load().expect("good").settings.auth.jwt_secret.expect("set").expose_secret().to_owned()
    };
    assert_eq!(fallback(""), "made up");
    assert_eq!(fallback("auth.jwt_secret = 'written'"), "written");
}

#[test]
fn a_variable_has_the_type_of_its_setting() {
    let settings = good(
        "",
        &[
            ("REALTIME__AUTH__JWT_SECRET", "12345"),
            ("REALTIME__AUTH__JWT_ISSUER", "true"),
            ("REALTIME__AUTH__JWT_SECRETS", r#"["one", "two"]"#),
            ("REALTIME__AUTH__CLAIM_VALIDATORS", r#"{"aal":"aal2","level":2}"#),
            ("REALTIME__SERVER__PORT", " 8081 "),
            ("REALTIME__SERVER__STRICT_HOST", "1"),
            ("REALTIME__SERVER__IDLE_TIMEOUT", "5m"),
            ("REALTIME__SERVER__MAX_FRAME_SIZE", "8388608"),
            ("REALTIME__SERVER__PROXY_PROTOCOL_FROM", "10.0.0.0/8, ::1"),
            ("REALTIME__OUTBOX__MAX_BYTES", "16 MiB"),
            ("REALTIME__LIMITS__MAX_CONCURRENT_USERS", "50"),
            ("REALTIME__BROADCAST__CORS", "FALSE"),
            ("REALTIME__SERVER__DATA_DIR", "/1"),
            ("REALTIME__TELEMETRY__LOG_LEVEL", "trace"),
        ],
    );
    assert_eq!(settings.auth.jwt_secret.expect("set").expose_secret(), "12345");
    assert_eq!(settings.auth.jwt_issuer.as_deref(), Some("true"));
    let secrets: Vec<_> = settings.auth.jwt_secrets.iter().map(|secret| secret.expose_secret()).collect();
    assert_eq!(secrets, ["one", "two"]);
    assert_eq!(settings.auth.claim_validators["aal"], "aal2");
    assert_eq!(settings.auth.claim_validators["level"], 2);
    assert_eq!(settings.server.port, 8081);
    assert!(settings.server.strict_host);
    assert_eq!(settings.server.idle_timeout, Duration::from_secs(300));
    assert_eq!(settings.server.max_frame_size, ByteSize::mib(8));
    assert_eq!(settings.server.proxy_protocol_from, ["10.0.0.0/8", "::1"]);
    assert_eq!(settings.outbox.max_bytes, ByteSize::mib(16));
    assert_eq!(settings.limits.max_concurrent_users.map(|n| n.get()), Some(50));
    assert!(!settings.broadcast.cors);
    assert_eq!(settings.server.data_dir, Path::new("/1"));
    assert_eq!(settings.telemetry.log_level, LogLevel::Trace);
}

#[test]
fn a_variable_reaches_any_depth() {
    let settings = good(
        "[tenants.acme.limits]\nmax_joins_per_second = 5",
        &[
            ("REALTIME__TENANTS__ACME__AUTH__JWT_SECRET", "theirs"),
            ("REALTIME__SERVER__TLS__CERT_FILE", "/cert.pem"),
            ("REALTIME__SERVER__TLS__KEY_FILE", "/key.pem"),
            ("REALTIME__AUTH__CLAIM_VALIDATORS__AAL", "aal2"),
            ("REALTIME__TENANTS__INITECH", r#"{"suspended": true, "auth": {"jwt_secret": "secret"}}"#),
        ],
    );
    let acme = &settings.tenants["acme"];
    assert_eq!(acme.auth.jwt_secret.as_ref().expect("set").expose_secret(), "theirs");
    assert_eq!(acme.limits.max_joins_per_second.get(), 5);
    assert_eq!(settings.server.tls.cert_file.as_deref(), Some(Path::new("/cert.pem")));
    assert_eq!(settings.auth.claim_validators["aal"], "aal2");
    assert!(settings.tenants["initech"].suspended);
}

#[test]
fn an_empty_variable_is_unset() {
    let variables =
        [("PORT", ""), ("JWT_SECRET", " "), ("REALTIME__SERVER__HOST", ""), ("REALTIME__NO__SUCH", "")];
    let settings = good("[server]\nport = 1\n[auth]\njwt_secret = \"kept\"", &variables);
    assert_eq!(settings.server.port, 1);
    assert_eq!(settings.auth.jwt_secret.expect("the file's").expose_secret(), "kept");
}

#[test]
fn a_blank_secret_or_issuer_in_the_file_is_unset() {
    let auth = good("[auth]\njwt_secret = \"  \"\njwt_issuer = \"\"", &[]).auth;
    assert!(auth.jwt_secret.is_none());
    assert_eq!(auth.jwt_issuer, None);
}

#[test]
fn variables_of_other_programs_are_ignored() {
    let variables =
        [("PATH", "/bin"), ("REALTIME_PORT", "tcp://10.0.0.1:80"), ("REALTIME_SERVICE_HOST", "10.0.0.1")];
    let loaded = only(&variables).load().expect("good");
    assert_eq!(loaded.notes, []);
}

#[test]
fn a_table_that_is_merged_as_a_whole_replaces_the_one_below() {
    let mapping = |file, variables: &[(&str, &str)]| good(file, variables).regions.mapping;
    assert_eq!(mapping("", &[]).len(), 18, "upstream's table");
    let file = "[regions.mapping]\nhere = 'there'";
    assert_eq!(mapping(file, &[]).into_iter().collect::<Vec<_>>(), [("here".into(), "there".into())]);
    let variable = [("REGION_MAPPING", r#"{"north": "south"}"#)];
    assert_eq!(mapping(file, &variable).into_keys().collect::<Vec<_>>(), ["north"]);
}

#[test]
fn a_flag_is_reported_as_it_was_typed() {
    let folder = Folder::with(&[("config.toml", "")]);
    let sources = folder.sources(&[]).with_flag("--port", "server.port", "80a");
    assert_eq!(
        sources.load().expect_err("no port").to_string(),
        "--port: server.port: expected a whole number from 0 to 65535, found \"80a\"\n    \
         help: TCP port to bind; 0 takes a free one. Default: 8080."
    );
    let sources = folder.sources(&[]).with_flag("--set server.prot", "server.prot", "80");
    assert_eq!(
        sources.load().expect_err("no key").to_string(),
        "--set server.prot: server.prot: unknown key\n    help: did you mean server.port?"
    );
    let sources = folder.sources(&[]).with_flag("--set", "telemetry.log_modules.\"a::b\"", "debug");
    assert_eq!(sources.load().expect("good").settings.telemetry.log_modules["a::b"], LogLevel::Debug);
}

#[test]
fn a_variable_that_names_no_key_is_reported() {
    assert_eq!(
        errors("", &[("REALTIME____PORT", "1")]),
        "variable REALTIME____PORT: names no key\n    help: write REALTIME__SECTION__KEY, such as \
         REALTIME__SERVER__PORT"
    );
}
