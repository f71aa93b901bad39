//! `config show`, and the keys of a file that a variable overrides.

use crate::Folder;

fn lines(folder: &Folder, variables: &[(&str, &str)]) -> Vec<String> {
    let shown = folder.sources(variables).load().expect("good").effective_keys().into_iter();
    shown
        .map(|line| folder.without_folder(&format!("{} = {} # {}", line.key, line.value, line.origin)))
        .collect()
}

#[test]
fn every_key_is_shown_with_its_value_and_origin() {
    let folder = Folder::with(&[
        ("config.toml", "[server]\nidle_timeout = \"180s\"\n[limits]\nmax_joins_per_second = 7\n"),
        (
            "config.d/acme.toml",
            "[tenants.acme.limits]\nmax_events_per_second = 9\n[telemetry.log_modules]\n\"a::b\" = \"warn\"",
        ),
    ]);
    let lines = lines(
        &folder,
        &[("PORT", "81"), ("JWT_SECRET", "hunter2"), ("REALTIME__AUTH__JWT_SECRETS", r#"["a", "b"]"#)],
    );
    for line in [
        "auth.jwt_secret = \"********\" # variable JWT_SECRET",
        "auth.jwt_jwks = (unset) # default",
        "auth.jwt_secrets = [\"********\", \"********\"] # variable REALTIME__AUTH__JWT_SECRETS",
        "server.port = 81 # variable PORT",
        "server.idle_timeout = \"3m\" # config.toml:2:1",
        "server.ping_interval = \"30s\" # default",
        "server.proxy_protocol_from = [] # default",
        "regions.mapping.us-west-2 = \"us-west-1\" # default",
        "telemetry.log_modules.\"a::b\" = \"warn\" # config.d/acme.toml:4:1",
        "limits.max_joins_per_second = 7 # config.toml:4:1",
        "tenants.acme.limits.max_joins_per_second = 7 # config.toml:4:1",
        "tenants.acme.limits.max_events_per_second = 9 # config.d/acme.toml:2:1",
        "tenants.acme.limits.max_channels_per_client = 100 # default",
        "tenants.acme.suspended = false # default",
    ] {
        assert!(lines.iter().any(|shown| shown == line), "no line {line}:\n{}", lines.join("\n"));
    }
    assert!(!lines.join("\n").contains("hunter2"));
    assert!(lines.is_sorted(), "in the order of their names");
}

#[test]
fn keys_that_a_variable_overrides_are_reported() {
    let folder = Folder::with(&[
        ("config.toml", "[server]\nport = 80\nmax_connections = 7\n[regions.mapping]\na = 'b'"),
        ("config.d/more.toml", "[server]\nmax_connections = 8"),
    ]);
    let overridden = |variables: &[(&str, &str)]| {
        let sentences = folder.sources(variables).load().expect("good").overridden().into_iter();
        sentences.map(|sentence| folder.without_folder(&sentence)).collect::<Vec<_>>()
    };
    assert_eq!(overridden(&[]), [""; 0], "files may override each other");
    assert_eq!(
        overridden(&[
            ("PORT", "81"),
            ("REALTIME__SERVER__MAX_CONNECTIONS", "9"),
            ("REGION_MAPPING", "{\"c\":\"d\"}")
        ]),
        [
            "config.toml:5:1: regions.mapping.a is overridden by variable REGION_MAPPING",
            "config.toml:3:1: server.max_connections is overridden by variable REALTIME__SERVER__MAX_CONNECTIONS",
            "config.toml:2:1: server.port is overridden by variable PORT",
            "config.d/more.toml:2:1: server.max_connections is overridden by variable REALTIME__SERVER__MAX_CONNECTIONS",
        ]
    );
}
