//! Every row of the table: those that set keys by what they set, all others by what they say.

mod expected;

use serde_json::{Value, json};

use super::{Treatment, Variable, table};
use crate::{LoadError, Loaded, Sources};

/// A variable, its value, and the keys it sets, each with its value as JSON.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// What each variable that sets keys is given here, and what it must make of them.
const SET: &[Case] = &[
    ("PORT", "81", &[("/server/port", "81")]),
    ("REALTIME_IP_VERSION", "ipv6", &[("/server/host", r#""::""#)]),
    ("REALTIME_IP_VERSION", "ipv4", &[("/server/host", r#""0.0.0.0""#)]),
    ("HOST", "::1", &[("/server/host", r#""::1""#)]),
    ("MAX_CONNECTIONS", "7", &[("/server/max_connections", "7")]),
    ("MAX_HEADER_LENGTH", "4096", &[("/server/max_header_size", r#""8 KiB""#)]),
    ("MAX_HEADER_LENGTH", "100", &[("/server/max_header_size", r#""8 KiB""#)]),
    ("MAX_HEADER_LENGTH", "16384", &[("/server/max_header_size", r#""32 KiB""#)]),
    ("WEBSOCKET_MAX_HEAP_SIZE", "50000000", &[("/outbox/max_bytes", r#""50 MB""#)]),
    ("CONNECT_ERROR_BACKOFF_MS", "2000", &[("/server/connect_error_backoff", r#""2s""#)]),
    ("CHANNEL_ERROR_BACKOFF_MS", "0", &[("/server/channel_error_backoff", r#""0s""#)]),
    ("NO_CHANNEL_TIMEOUT_IN_MS", "61000", &[("/server/no_channel_timeout", r#""1m 1s""#)]),
    (
        "DISCONNECT_SOCKET_ON_NO_CHANNELS_INTERVAL_IN_MS",
        "62000",
        &[("/server/no_channel_timeout", r#""1m 2s""#)],
    ),
    ("REQUEST_ID_BAGGAGE_KEY", "trace", &[("/server/request_id_baggage_key", r#""trace""#)]),
    ("DISABLE_HEALTHCHECK_LOGGING", "TRUE", &[("/telemetry/log_health_checks", "false")]),
    ("DISABLE_HEALTHCHECK_LOGGING", "0", &[("/telemetry/log_health_checks", "true")]),
    ("SEED_SELF_HOST", "true", &[("/seed/tenant", r#""realtime-dev""#)]),
    ("SELF_HOST_TENANT_NAME", "acme", &[("/seed/tenant", r#""acme""#)]),
    (
        "API_JWT_SECRET",
        "operators, in thirty-two bytes or a few more",
        &[
            ("/admin/jwt_secret", r#""operators, in thirty-two bytes or a few more""#),
            ("/seed/jwt_secret", r#""operators, in thirty-two bytes or a few more""#),
        ],
    ),
    (
        "API_JWT_SECRET_NEXT",
        "next, in thirty-two bytes or a few more",
        &[("/admin/jwt_secrets", r#"["next, in thirty-two bytes or a few more"]"#)],
    ),
    ("API_JWT_JWKS", r#"{"keys":[]}"#, &[("/seed/jwt_jwks", r#""{\"keys\":[]}""#)]),
    ("API_TOKEN_BLOCKLIST", "a, b", &[("/admin/token_blocklist", r#"["a","b"]"#)]),
    (
        "METRICS_JWT_SECRET",
        "numbers, in thirty-two bytes or a few more",
        &[("/admin/metrics_jwt_secret", r#""numbers, in thirty-two bytes or a few more""#)],
    ),
    ("METRICS_TOKEN_BLOCKLIST", "c", &[("/admin/metrics_token_blocklist", r#"["c"]"#)]),
    (
        "JWT_CLAIM_VALIDATORS",
        r#"{"iss":"us","nbf":1610078130}"#,
        &[("/auth/claim_validators", r#"{"iss":"us","nbf":1610078130}"#)],
    ),
    ("TENANT_MAX_CONCURRENT_USERS", "200", &[("/limits/max_concurrent_users", "200")]),
    ("TENANT_MAX_EVENTS_PER_SECOND", "101", &[("/limits/max_events_per_second", "101")]),
    ("TENANT_MAX_JOINS_PER_SECOND", "102", &[("/limits/max_joins_per_second", "102")]),
    ("TENANT_MAX_CHANNELS_PER_CLIENT", "103", &[("/limits/max_channels_per_client", "103")]),
    ("CLIENT_PRESENCE_MAX_CALLS", "5", &[("/limits/max_client_presence_events_per_window", "5")]),
    ("CLIENT_PRESENCE_WINDOW_MS", "15000", &[("/limits/client_presence_window_ms", "15000")]),
    ("TENANT_CACHE_EXPIRATION_IN_MS", "30000", &[("/store/refresh", r#""30s""#)]),
    ("SLOT_NAME_SUFFIX", "blue", &[("/database/slot_suffix", r#""blue""#)]),
    ("RUN_JANITOR", "false", &[("/database/delete_old", "false")]),
    ("JANITOR_SCHEDULE_TIMER_IN_MS", "60000", &[("/database/partition_interval", r#""1m""#)]),
    ("JANITOR_SCHEDULE_RANDOMIZE", "false", &[("/database/randomize_interval", "false")]),
    ("JANITOR_RUN_AFTER_IN_MS", "5000", &[("/database/delete_delay", r#""5s""#)]),
    ("DATABASE_URL", "postgres://db", &[("/store/url", r#""postgres://db""#)]),
    ("DB_HOST", "db", &[("/store/host", r#""db""#), ("/seed/db_host", r#""db""#)]),
    ("DB_PORT", "5433", &[("/store/port", "5433"), ("/seed/db_port", "5433")]),
    ("DB_USER", "owner", &[("/store/user", r#""owner""#), ("/seed/db_user", r#""owner""#)]),
    ("DB_PASSWORD", "long", &[("/store/password", r#""long""#), ("/seed/db_password", r#""long""#)]),
    ("DB_NAME", "realtime", &[("/store/database", r#""realtime""#), ("/seed/db_name", r#""realtime""#)]),
    ("DB_AFTER_CONNECT_QUERY", "SELECT 1", &[("/store/after_connect_query", r#""SELECT 1""#)]),
    ("DB_SSL", "true", &[("/store/tls_mode", r#""require""#)]),
    ("DB_SSL", "0", &[("/store/tls_mode", r#""off""#)]),
    ("DB_SSL_CA_CERT", "/ca.pem", &[("/store/tls_ca_file", r#""/ca.pem""#)]),
    ("DB_POOL_SIZE", "9", &[("/store/max_connections", "9")]),
    ("DB_QUEUE_TARGET", "5000", &[("/store/acquire_timeout", r#""5s""#)]),
    ("DB_ENC_KEY", "supabaserealtime", &[("/store/legacy_encryption_key", r#""supabaserealtime""#)]),
    (
        "DB_ENC_KEY_GCM",
        "a key for AES-GCM of 32 bytes !!",
        &[("/store/encryption_key", r#""a key for AES-GCM of 32 bytes !!""#)],
    ),
    ("DB_ENC_WRITE_GCM", "true", &[("/store/encrypt_with", r#""current""#)]),
    ("DB_ENC_WRITE_GCM", "false", &[("/store/encrypt_with", r#""legacy""#)]),
    ("LOG_LEVEL", "emergency", &[("/telemetry/log_level", r#""error""#)]),
    ("LOG_LEVEL", "alert", &[("/telemetry/log_level", r#""error""#)]),
    ("LOG_LEVEL", "critical", &[("/telemetry/log_level", r#""error""#)]),
    ("LOG_LEVEL", "error", &[("/telemetry/log_level", r#""error""#)]),
    ("LOG_LEVEL", "warning", &[("/telemetry/log_level", r#""warn""#)]),
    ("LOG_LEVEL", "notice", &[("/telemetry/log_level", r#""info""#)]),
    ("LOG_LEVEL", "info", &[("/telemetry/log_level", r#""info""#)]),
    ("LOG_LEVEL", "debug", &[("/telemetry/log_level", r#""debug""#)]),
    ("METRICS_PUSHER_ENABLED", "false", &[("/telemetry/push/enabled", "false")]),
    ("METRICS_PUSHER_URL", "http://metrics", &[("/telemetry/push/url", r#""http://metrics""#)]),
    ("METRICS_PUSHER_USER", "us", &[("/telemetry/push/user", r#""us""#)]),
    ("METRICS_PUSHER_AUTH", "Bearer t", &[("/telemetry/push/auth", r#""Bearer t""#)]),
    ("METRICS_PUSHER_INTERVAL_MS", "10000", &[("/telemetry/push/interval", r#""10s""#)]),
    ("METRICS_PUSHER_TIMEOUT_MS", "5000", &[("/telemetry/push/timeout", r#""5s""#)]),
    ("METRICS_PUSHER_COMPRESS", "false", &[("/telemetry/push/compress", "false")]),
    (
        "METRICS_PUSHER_EXTRA_LABELS",
        "job=realtime, env=a=b,",
        &[("/telemetry/push/extra_labels", r#"{"job":"realtime","env":"a=b"}"#)],
    ),
    ("OTEL_SDK_DISABLED", "true", &[("/telemetry/traces/disabled", "true")]),
    ("OTEL_TRACES_EXPORTER", "otlp", &[("/telemetry/traces/exporter", r#""otlp""#)]),
    ("OTEL_TRACES_EXPORTER", "none", &[("/telemetry/traces/exporter", r#""none""#)]),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", &[("/telemetry/traces/endpoint", r#""http://c:4318""#)]),
    (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "http://c:4318/t",
        &[("/telemetry/traces/traces_endpoint", r#""http://c:4318/t""#)],
    ),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", &[("/telemetry/traces/protocol", r#""http/protobuf""#)]),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", &[("/telemetry/traces/protocol", r#""grpc""#)]),
    ("OTEL_EXPORTER_OTLP_HEADERS", "key=a%20b", &[("/telemetry/traces/headers", r#""key=a%20b""#)]),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "key=b", &[("/telemetry/traces/headers", r#""key=b""#)]),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000", &[("/telemetry/traces/timeout", r#""5s""#)]),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "6000", &[("/telemetry/traces/timeout", r#""6s""#)]),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", &[("/telemetry/traces/compression", r#""gzip""#)]),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none", &[("/telemetry/traces/compression", r#""none""#)]),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem", &[("/telemetry/traces/certificate_file", r#""/ca.pem""#)]),
    (
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "/b.pem",
        &[("/telemetry/traces/certificate_file", r#""/b.pem""#)],
    ),
    ("OTEL_SERVICE_NAME", "chat", &[("/telemetry/traces/service_name", r#""chat""#)]),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        "a=b, deployment.environment.name=x",
        &[("/telemetry/traces/resource_attributes", r#"{"a":"b","deployment.environment.name":"x"}"#)],
    ),
    (
        "OTEL_TRACES_SAMPLER",
        "parentbased_traceidratio",
        &[("/telemetry/traces/sampler", r#""parentbased_traceidratio""#)],
    ),
    ("OTEL_TRACES_SAMPLER_ARG", "0.25", &[("/telemetry/traces/sampler_ratio", "0.25")]),
    ("OTEL_TRACES_SAMPLER_ARG", "1", &[("/telemetry/traces/sampler_ratio", "1.0")]),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "100", &[("/telemetry/traces/queue_spans", "100")]),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10", &[("/telemetry/traces/batch_spans", "10")]),
    ("OTEL_BSP_SCHEDULE_DELAY", "100", &[("/telemetry/traces/interval", r#""100ms""#)]),
    ("RLIMIT_NOFILE", "100000", &[("/server/open_files", "100000")]),
    ("REGION", "eu-west-2", &[("/regions/name", r#""eu-west-2""#)]),
    ("REGION_MAPPING", r#"{"a":"b"}"#, &[("/regions/mapping", r#"{"a":"b"}"#)]),
    ("CLUSTER", "blue", &[("/regions/cluster", r#""blue""#)]),
    ("RPC_TIMEOUT", "30000", &[("/bus/timeout", r#""30s""#)]),
    ("PRESENCE_BROADCAST_PERIOD_IN_MS", "1500", &[("/presence/coalesce", r#""1s 500ms""#)]),
    (
        "JWT_SECRET",
        "users, in thirty-two bytes or a few more",
        &[("/auth/jwt_secret", r#""users, in thirty-two bytes or a few more""#)],
    ),
    ("REDIS_URL", "redis://redis:6379", &[("/bus/redis_url", r#""redis://redis:6379""#)]),
    ("JWT_ISSUER", "us", &[("/auth/jwt_issuer", r#""us""#)]),
    ("JWT_AUDIENCE", "you", &[("/auth/jwt_audience", r#""you""#)]),
    ("AUTH_REQUIRE_PERMISSIONS", "true", &[("/auth/require_permissions", "true")]),
];

fn try_with(variables: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources::new(None, variables.collect::<Vec<_>>()).usually_in([]).load()
}

fn with(variables: &[(&str, &str)]) -> Loaded {
    try_with(variables).unwrap_or_else(|error| panic!("{variables:?} should load: {error}"))
}

fn notes(loaded: &Loaded) -> Vec<&str> {
    loaded.notes.iter().map(|note| note.text.as_str()).collect()
}

/// The variable and, for those that only count then, the one that creates a tenant.
fn seeding<'a>(variable: &Variable, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let seed = variable.seeds().then_some((super::SEED, "true"));
    seed.into_iter().chain([(name, value)]).collect()
}

#[test]
fn every_row_does_what_it_says() {
    for variable in table() {
        for name in variable.names {
            match variable.treatment {
                Treatment::Sets(targets) => sets(variable, name, targets.len()),
                Treatment::Ignored(why) => says(name, false, &format!("has no meaning here: {why}")),
                Treatment::Unsupported(why) => says(name, true, &format!("is not supported: {why}")),
                Treatment::Planned(part) => {
                    says(name, false, &format!("has no effect yet: {} not available yet", part.name()));
                }
            }
        }
    }
}

fn sets(variable: &Variable, name: &str, keys: usize) {
    let cases: Vec<_> = SET.iter().filter(|(case, ..)| *case == name).collect();
    assert!(!cases.is_empty(), "{name} is not shown to set anything");
    for (_, value, expected) in cases {
        assert_eq!(expected.len(), keys, "{name} sets as many keys as its row says");
        let loaded = with(&seeding(variable, name, value));
        for (key, expected) in *expected {
            let expected: Value = serde_json::from_str(expected).expect("JSON");
            assert_eq!(loaded.values.as_json().pointer(key), Some(&expected), "{name}={value} sets {key}");
        }
        // They have a remark about what else is missing: a database, an exporter.
        let is_remarked = name == "REDIS_URL" || (name.starts_with("OTEL_") && name.ends_with("ENDPOINT"));
        let about_it: Vec<_> = notes(&loaded).into_iter().filter(|_| !is_remarked).collect();
        assert_eq!(about_it, [""; 0], "{name} does something");
    }
}

fn says(name: &str, warning: bool, words: &str) {
    let name = name.replace('*', "SOMETHING");
    let loaded = with(&[(&name, "anything at all")]);
    assert_eq!(notes(&loaded), [format!("{name} {words}")]);
    assert_eq!(loaded.notes[0].warning, warning, "{name}");
}

#[test]
fn no_variable_has_two_rows() {
    let mut names: Vec<_> = table().flat_map(|variable| variable.names).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_variable_is_as_secret_as_the_keys_it_sets() {
    for variable in table() {
        let Treatment::Sets(targets) = variable.treatment else { continue };
        for target in targets {
            let path: Vec<_> = target.key.split('.').collect();
            let key = crate::shape::root().find(&path).expect("the table names keys that exist");
            assert_eq!(variable.secret, key.secret, "{:?}", variable.names);
        }
    }
}

#[test]
fn a_wrong_value_is_reported_with_the_variables_name() {
    let errors = |name: &str, value: &str| try_with(&[(name, value)]).expect_err("wrong").to_string();
    for (name, value) in [
        ("PORT", "80 80"),
        ("PORT", "8_080"),
        ("MAX_CONNECTIONS", "-1"),
        ("MAX_HEADER_LENGTH", "99999999"),
        ("MAX_HEADER_LENGTH", "4k"),
        ("CONNECT_ERROR_BACKOFF_MS", "2s"),
        ("DISABLE_HEALTHCHECK_LOGGING", "yes"),
        ("JWT_CLAIM_VALIDATORS", "{'iss': 'Issuer'}"),
        ("REGION_MAPPING", r#"{"a": 1}"#),
        ("LOG_LEVEL", "loud"),
        ("METRICS_PUSHER_EXTRA_LABELS", "job"),
        ("WEBSOCKET_MAX_HEAP_SIZE", "0"),
        ("REDIS_URL", "localhost:6379"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "-0.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "1e-2"),
    ] {
        let errors = errors(name, value);
        assert!(
            errors.starts_with(&format!("variable {name}: ")) && errors.contains("expected "),
            "{errors}"
        );
    }
}

#[test]
fn the_tenant_of_supabases_compose_file_is_created_in_the_store() {
    const OPERATORS: &str = "operators, in thirty-two bytes or a few more";
    let env = [
        ("SEED_SELF_HOST", "true"),
        ("SELF_HOST_TENANT_NAME", "dev"),
        ("API_JWT_SECRET", OPERATORS),
        ("API_JWT_JWKS", r#"{"keys":[]}"#),
    ];
    let seed = |env: &[(&str, &str)]| with(env).values.as_json()["seed"].clone();
    assert_eq!((&seed(&env)["tenant"], &seed(&env)["jwt_secret"]), (&json!("dev"), &json!(OPERATORS)));
    assert_eq!(seed(&env[1..3])["jwt_secret"], json!(null), "it is not requested");
    assert_eq!(
        notes(&with(&env[1..])),
        [
            "SELF_HOST_TENANT_NAME applies only under SEED_SELF_HOST=true",
            "API_JWT_JWKS applies only under SEED_SELF_HOST=true"
        ]
    );
    assert_eq!(
        notes(&with(&[("SEED_SELF_HOST", "1")])),
        ["SEED_SELF_HOST creates no tenant: only `true` does"]
    );
}

#[test]
fn clients_that_name_no_tenant_belong_to_the_one_with_a_key() {
    const SEEDED: [(&str, &str); 2] =
        [("SEED_SELF_HOST", "true"), ("API_JWT_SECRET", "operators, in 32 bytes or a few")];
    let tenants = |env: &[(&str, &str)]| {
        let settings = with(env).settings;
        (settings.default_tenant().to_owned(), settings.every_tenant().into_keys().collect::<Vec<_>>())
    };
    assert_eq!(tenants(&SEEDED), ("realtime-dev".into(), vec![]));
    let both = [&SEEDED[..], &[("JWT_SECRET", "users")]].concat();
    assert_eq!(tenants(&both), ("default".into(), vec!["default".into()]));
    assert_eq!(tenants(&SEEDED[..1]), ("default".into(), vec!["default".into()]), "it has no key");
}

#[test]
fn of_two_spellings_the_codes_counts() {
    let both =
        [("DISCONNECT_SOCKET_ON_NO_CHANNELS_INTERVAL_IN_MS", "1000"), ("NO_CHANNEL_TIMEOUT_IN_MS", "2000")];
    let loaded = with(&both);
    assert_eq!(loaded.values.as_json()["server"]["no_channel_timeout"], "2s");
    assert_eq!(
        notes(&loaded),
        [
            "DISCONNECT_SOCKET_ON_NO_CHANNELS_INTERVAL_IN_MS is ignored, because NO_CHANNEL_TIMEOUT_IN_MS is set"
        ]
    );
}

#[test]
fn a_databases_address_beats_its_parts() {
    let loaded = with(&[("DB_HOST", "db"), ("DATABASE_URL", "postgres://db"), ("DB_SSL", "true")]);
    assert_eq!(notes(&loaded), ["DB_HOST is ignored, because DATABASE_URL is set"]);
    assert_eq!(loaded.values.as_json()["store"]["tls_mode"], "require");
}

#[test]
fn beside_a_databases_address_its_parts_are_those_of_the_seeded_tenants_database() {
    let loaded = with(&[("DB_HOST", "db"), ("DATABASE_URL", "postgres://other"), ("SEED_SELF_HOST", "true")]);
    let values = loaded.values.as_json();
    assert_eq!((&values["seed"]["db_host"], &values["store"]["host"]), (&json!("db"), &json!(null)));
    assert_eq!(notes(&loaded), [""; 0]);
}

#[test]
fn an_address_in_a_file_beats_its_parts_too() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "postgres://db").unwrap();
    let path = file.path().to_str().unwrap();
    let loaded = with(&[("DB_HOST", "db"), ("DATABASE_URL_FILE", path)]);
    assert_eq!(notes(&loaded)[0], "DB_HOST is ignored, because DATABASE_URL is set");
}

#[test]
fn a_family_of_variables_is_one_note() {
    let loaded = with(&[("FLY_REGION", "ams"), ("FLY_APP_NAME", "app"), ("GEN_RPC_CERTFILE", "/c")]);
    assert_eq!(notes(&loaded).len(), 2);
    assert!(
        notes(&loaded)[1].starts_with("FLY_APP_NAME, FLY_REGION have no meaning"),
        "{:?}",
        notes(&loaded)
    );
}

#[test]
fn of_a_family_and_a_smaller_one_the_smaller_one_counts() {
    let loaded = with(&[("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "1"), ("OTEL_EXPORTER_JAEGER_TIMEOUT", "1")]);
    assert_eq!(
        notes(&loaded),
        [
            "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT has no meaning here: only traces are sent by OTLP",
            "OTEL_EXPORTER_JAEGER_TIMEOUT is not supported: see the keys of telemetry.traces for what is"
        ]
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "a=b").unwrap();
    let path = file.path().to_str().unwrap();
    let loaded = with(&[("OTEL_EXPORTER_OTLP_HEADERS_FILE", path)]);
    assert_eq!(notes(&loaded), [""; 0], "a file with a secret is none of the family either");
}

#[test]
fn a_word_that_left_the_choice_to_the_system_changes_nothing() {
    let loaded = with(&[("REALTIME_IP_VERSION", "any")]);
    assert_eq!(loaded.values.as_json()["server"]["host"], "0.0.0.0");
    assert_eq!(notes(&loaded), ["REALTIME_IP_VERSION changes nothing: it is neither ipv4 nor ipv6"]);
}
