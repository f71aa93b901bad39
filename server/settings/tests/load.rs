//! Where settings come from, what wins, and what a person is told when something is wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use settings::{ByteSize, LoadError, LogFormat, LogLevel, Settings};

/// A config file for one test, gone afterwards.
struct File(tempfile::TempDir);

impl File {
    fn with(text: &str) -> Self {
        let file = Self(tempfile::tempdir().expect("a folder for the test"));
        std::fs::write(file.path(), text).expect("the folder is writable");
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("config.toml")
    }
}

fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, LoadError> {
    let file = File::with(file);
    settings::load(Some(&file.path()), variables(env))
}

fn variables(env: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    env.iter().map(|(name, value)| (name.to_string(), value.to_string()))
}

fn good(file: &str, env: &[(&str, &str)]) -> Settings {
    load(file, env).unwrap_or_else(|error| panic!("should load: {error}"))
}

/// What is wrong with this file and these variables; the file is called `config.toml`.
fn told(file: &str, env: &[(&str, &str)]) -> String {
    let file = File::with(file);
    let error = settings::load(Some(&file.path()), variables(env)).expect_err("should not load");
    error.to_string().replace(&file.path().display().to_string(), "config.toml")
}

#[test]
fn without_anything_the_defaults_hold() {
    let settings = settings::load(None, variables(&[])).expect("the defaults are good");
    assert_eq!(settings.server, Settings::default().server);
    assert_eq!(settings.server.port, 8080);
    assert!(settings.auth.jwt_secret.is_none());
    assert_eq!(settings.limits.max_payload_bytes(), 3_000_500);
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let file = "[server]\nport = 1001\nmax_connections = 7";
    assert_eq!(good(file, &[]).server.port, 1001);
    assert_eq!(good(file, &[("PORT", "1002")]).server.port, 1002);
    let both = good(file, &[("REALTIME__SERVER__PORT", "1003"), ("PORT", "1002")]);
    assert_eq!(both.server.port, 1003);
    assert_eq!(both.server.max_connections.get(), 7, "a layer replaces keys, not sections");
}

#[test]
fn the_plain_variables_are_known() {
    let env =
        [("JWT_SECRET", "s"), ("JWT_ISSUER", "i"), ("JWT_AUDIENCE", "a"), ("PORT", "1"), ("HOST", "::1")];
    let settings = good("", &env);
    assert_eq!(settings.auth.jwt_secret.expect("set").expose_secret(), "s");
    assert_eq!(settings.auth.jwt_issuer.as_deref(), Some("i"));
    assert_eq!(settings.auth.jwt_audience.as_deref(), Some("a"));
    assert_eq!(settings.server.port, 1);
    assert_eq!(settings.server.host.to_string(), "::1");
}

#[test]
fn a_variable_has_the_type_of_its_setting() {
    let settings = good(
        "",
        &[
            ("REALTIME__AUTH__JWT_SECRET", "12345"),
            ("REALTIME__AUTH__JWT_ISSUER", "true"),
            ("REALTIME__SERVER__PORT", "8081"),
            ("REALTIME__SERVER__IDLE_TIMEOUT", "5m"),
            ("REALTIME__SERVER__MAX_FRAME_SIZE", "8388608"),
            ("REALTIME__OUTBOX__MAX_BYTES", "16 MiB"),
            ("REALTIME__LIMITS__MAX_CONCURRENT_USERS", "50"),
            ("REALTIME__BROADCAST__CORS", "false"),
            ("REALTIME__SERVER__DATA_DIR", "/1"),
            ("REALTIME__TELEMETRY__LOG_LEVEL", "trace"),
        ],
    );
    assert_eq!(settings.auth.jwt_secret.expect("set").expose_secret(), "12345");
    assert_eq!(settings.auth.jwt_issuer.as_deref(), Some("true"));
    assert_eq!(settings.server.port, 8081);
    assert_eq!(settings.server.idle_timeout, Duration::from_secs(300));
    assert_eq!(settings.server.max_frame_size, ByteSize::mib(8));
    assert_eq!(settings.outbox.max_bytes, ByteSize::mib(16));
    assert_eq!(settings.limits.max_concurrent_users.map(|n| n.get()), Some(50));
    assert!(!settings.broadcast.cors);
    assert_eq!(settings.server.data_dir, Path::new("/1"));
    assert_eq!(settings.telemetry.log_level, LogLevel::Trace);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let env = [("PORT", ""), ("JWT_SECRET", " "), ("REALTIME__SERVER__HOST", ""), ("REALTIME__NO__SUCH", "")];
    let settings = good("[server]\nport = 1\n[auth]\njwt_secret = \"kept\"", &env);
    assert_eq!(settings.server.port, 1);
    assert_eq!(settings.auth.jwt_secret.expect("the file's").expose_secret(), "kept");
}

#[test]
fn a_blank_secret_or_issuer_in_the_file_counts_as_unset() {
    let auth = good("[auth]\njwt_secret = \"  \"\njwt_issuer = \"\"", &[]).auth;
    assert!(auth.jwt_secret.is_none());
    assert_eq!(auth.jwt_issuer, None);
}

#[test]
fn variables_of_others_do_not_concern_us() {
    good(
        "",
        &[("PATH", "/bin"), ("REALTIME_PORT", "tcp://10.0.0.1:80"), ("REALTIME_SERVICE_HOST", "10.0.0.1")],
    );
}

#[test]
fn what_is_misspelt_is_named() {
    assert_eq!(
        told("[presence]\nenabld = true", &[]),
        "config.toml: `presence.enabld` is no setting; there are enabled, coalesce, max_bytes_per_client"
    );
    assert_eq!(
        told("", &[("REALTIME__PRESENCE__ENABLD", "true")]),
        "variable REALTIME__PRESENCE__ENABLD: `presence.enabld` is no setting; there are enabled, coalesce, \
         max_bytes_per_client"
    );
    assert_eq!(
        told("", &[("REALTIME__PRESENSE__ENABLED", "true")]),
        "variable REALTIME__PRESENSE__ENABLED: `presense` is no setting; there are server, auth, limits, outbox, \
         presence, broadcast, bus, regions, admin, telemetry, \
         tenants"
    );
    assert_eq!(
        told("", &[("REALTIME__PORT", "1")]),
        "variable REALTIME__PORT: names no setting; write REALTIME__SECTION__KEY, such as REALTIME__SERVER__PORT"
    );
}

#[test]
fn a_bad_value_is_told_with_its_place_and_what_was_expected() {
    for (file, env, expected) in [
        (
            "",
            ("PORT", "80a"),
            "variable PORT: `server.port` must be a whole number from 0 to 65535, not \"80a\"",
        ),
        (
            "",
            ("PORT", "70000"),
            "variable PORT: `server.port` must be a whole number from 0 to 65535, not 70000",
        ),
        ("", ("HOST", "home"), "variable HOST: `server.host` must be an IP address such as 0.0.0.0 or ::1"),
        (
            "",
            ("REALTIME__LIMITS__MAX_CHANNELS_PER_CLIENT", "0"),
            "variable REALTIME__LIMITS__MAX_CHANNELS_PER_CLIENT: `limits.max_channels_per_client` must be a whole \
             number of at least 1, not 0",
        ),
        (
            "",
            ("REALTIME__BROADCAST__CORS", "maybe"),
            "variable REALTIME__BROADCAST__CORS: `broadcast.cors` must be true or false, not \"maybe\"",
        ),
        (
            "[telemetry]\nlog_level = \"loud\"",
            ("", ""),
            "config.toml: `telemetry.log_level` must be one of error, warn, info, debug, trace, not \"loud\"",
        ),
        (
            "[server]\nidle_timeout = \"soon\"",
            ("", ""),
            "config.toml: `server.idle_timeout` must be a duration such as 30s, 5m or 1h, not \"soon\"",
        ),
        (
            "[server]\nidle_timeout = 120",
            ("", ""),
            "config.toml: `server.idle_timeout` must be a duration in quotes with its unit, such as \"30s\"",
        ),
        (
            "[outbox]\nmax_bytes = \"big\"",
            ("", ""),
            "config.toml: `outbox.max_bytes` must be a size such as 64 KiB, not \"big\"",
        ),
        (
            "[outbox]\nmax_frames = 5_000_000_000",
            ("", ""),
            "config.toml: `outbox.max_frames` must be a whole number from 1 to 4294967295, not 5000000000",
        ),
        (
            "[outbox]\nmax_bytes = -1",
            ("", ""),
            "config.toml: `outbox.max_bytes` must be a number of bytes, or a size such as \"64 KiB\"",
        ),
        ("server = 1", ("", ""), "config.toml: `server` must be a section with keys of its own"),
        ("[server]\nport = ", ("", ""), "config.toml line 2: not TOML: a value is missing or not complete"),
    ] {
        assert_eq!(told(file, &[env]), expected);
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let file = "[server]\nport = -1\nhots = \"::\"\n[limits]\nmax_joins_per_second = 0";
    let told = told(file, &[("HOST", "nowhere"), ("REALTIME__SERVER__PORT", "x")]);
    let keys: Vec<_> = told.lines().filter_map(|line| line.split('`').nth(1)).collect();
    assert_eq!(keys, ["limits.max_joins_per_second", "server.host", "server.hots", "server.port"]);
}

#[test]
fn keys_that_contradict_each_other_are_told() {
    assert_eq!(
        told(
            "[server]\nping_interval = \"3m\"\nhandshake_timeout = \"0s\"\nmax_header_size = \"1 KiB\"",
            &[]
        ),
        "`server.handshake_timeout` must be longer than 0s\n\
         `server.idle_timeout` must be longer than `server.ping_interval`, or clients are closed before they are \
         asked for a sign of life\n\
         `server.max_header_size` must be between 8 KiB and 16 MiB"
    );
    assert_eq!(
        told("[outbox]\nstall_timeout = \"500y\"", &[]),
        "`outbox.stall_timeout` must not be longer than a year"
    );
    assert_eq!(
        told("[presence]\nmax_bytes_per_client = \"1023 B\"", &[]),
        "`presence.max_bytes_per_client` must be at least 1 KiB"
    );
}

#[test]
fn a_payload_that_is_allowed_can_also_be_sent() {
    good("[server]\nmax_frame_size = 3000500", &[]);
    assert_eq!(
        told("[server]\nmax_frame_size = 3000499", &[]),
        "`limits.max_payload_size_in_kb` must fit into `server.max_frame_size`: with its wrapping such a payload \
         has 3000500 bytes, and a message of more than 3000499 closes its connection"
    );
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let error =
        settings::load(Some(Path::new("/no/such.toml")), variables(&[])).expect_err("it is not there");
    assert!(error.to_string().starts_with("/no/such.toml: No such file"), "{error}");
}

#[test]
fn a_secret_is_never_shown() {
    let settings = good("", &[("JWT_SECRET", "hunter2hunter2")]);
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&settings).expect("settings are JSON").contains("hunter2"));
    for broken in [
        "[auth]\njwt_secret = 7263547263",
        "[auth]\njwt_secret = [\"7263547263\"]",
        "[auth]\njwt_secret = \"7263547263",
        "[auth]\njwt_secret = hunter-7263547263",
        "[auth]\njwt_secret = 7263547263-hunter",
        "auth = \"7263547263\"",
    ] {
        let error = load(broken, &[]).expect_err("broken");
        assert!(!format!("{error} {error:?}").contains("7263547263"), "{error}");
    }
}

#[test]
fn the_defaults_survive_being_written_and_read() {
    let written = serde_json::to_value(Settings::default()).expect("settings are JSON");
    assert_eq!(written["server"]["max_frame_size"], "5 MB");
    assert_eq!(written["server"]["read_buffer_size"], "1 KiB");
    assert_eq!(written["presence"]["coalesce"], "50ms");
    let read: Settings = serde_json::from_value(written.clone()).expect("what we write we read");
    assert_eq!(serde_json::to_value(read).expect("settings are JSON"), written);
}

#[test]
fn every_setting_says_what_it_means_and_when_a_change_takes_hold() {
    let schema = serde_json::to_value(schemars::schema_for!(Settings)).expect("a schema is JSON");
    let sections = schema["$defs"].as_object().expect("sections");
    let keys =
        sections.iter().filter_map(|(section, schema)| Some((section, schema["properties"].as_object()?)));
    for (section, key, schema) in
        keys.flat_map(|(s, keys)| keys.iter().map(move |(k, schema)| (s, k, schema)))
    {
        assert!(schema["description"].is_string(), "{section}.{key} has no doc comment");
        // A section within a section says it of its own keys.
        assert!(
            schema["$ref"].is_string() || matches!(schema["x-reload"].as_str(), Some("live" | "restart")),
            "{section}.{key} has no x-reload"
        );
    }
}

#[test]
fn the_files_people_copy_are_good() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config"));
    let development = settings::load(Some(&folder.join("development.toml")), variables(&[])).expect("good");
    assert!(development.server.host.is_loopback());
    let production = settings::load(Some(&folder.join("production.toml")), variables(&[])).expect("good");
    assert_eq!(production.telemetry.log_format, LogFormat::Json);
}
