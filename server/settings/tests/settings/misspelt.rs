//! Variables that resemble ours: a warning for a typing error, and none for those of other programs.

use crate::only;

/// The warnings about names, with these variables.
fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
    let notes = only(variables).load().unwrap_or_else(|error| panic!("should load: {error}")).notes;
    let warnings = notes.into_iter().filter(|note| note.warning).map(|note| note.text);
    warnings.filter(|text| text.contains(" is not read")).collect()
}

#[test]
fn a_misspelt_name_is_a_warning_with_the_right_one() {
    for (name, meant) in [
        ("REDIS_ULR", "REDIS_URL"),
        ("REDIS_URI", "REDIS_URL"),
        ("REDISURL", "REDIS_URL"),
        ("Redis_Url", "REDIS_URL"),
        ("REDIS_ULR_FILE", "REDIS_URL_FILE"),
        ("JWT_SECERT", "JWT_SECRET"),
        ("JWT_SECRET_FIEL", "JWT_SECRET_FILE"),
        ("jwt_secret", "JWT_SECRET"),
        ("JWT_SECRETS", "JWT_SECRET, or REALTIME__AUTH__JWT_SECRETS"),
        ("JWT_ISUER", "JWT_ISSUER"),
        ("API_JWT_SECRET_NXT", "API_JWT_SECRET_NEXT"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("TENANT_MAX_CHANNEL_PER_CLIENTS", "TENANT_MAX_CHANNELS_PER_CLIENT"),
        ("LOG_LEVLE", "LOG_LEVEL"),
        ("PROT", "PORT"),
        ("HSOT", "HOST"),
        ("REALTIME_CONFG", "REALTIME_CONFIG"),
        ("REALTIME_CONFIG_FILE", "REALTIME_CONFIG"),
        ("REALTIME_ENVIRONMENT", "REALTIME_ENV"),
        ("REALTIME_IP_VERSOIN", "REALTIME_IP_VERSION"),
        // One underscore, three, or another case.
        ("REALTIME_LIMITS_MAX_CHANNELS_PER_CLIENT", "REALTIME__LIMITS__MAX_CHANNELS_PER_CLIENT"),
        ("REALTIME_LIMITS__MAX_CHANNELS_PER_CLIENT", "REALTIME__LIMITS__MAX_CHANNELS_PER_CLIENT"),
        ("REALTIME_LIMITS_MAX_CHANEL_PER_CLIENT", "REALTIME__LIMITS__MAX_CHANNELS_PER_CLIENT"),
        ("REALTIME_SERVER_TLS_CERT_FILE", "REALTIME__SERVER__TLS__CERT_FILE"),
        ("REALTIME_SERVER_PORT", "REALTIME__SERVER__PORT"),
        ("realtime__server__port", "REALTIME__SERVER__PORT"),
        ("REALTIM__SERVER__PORT", "REALTIME__SERVER__PORT"),
        ("REALTIME_AUTH_JWT_SECRET_FILE", "REALTIME__AUTH__JWT_SECRET_FILE"),
        ("REALTIME_TENANTS_ACME_SUSPENDED", "REALTIME__TENANTS__ACME__SUSPENDED"),
        ("REALTIME_TENANTS_MY_APP_AUTH_JWT_SECRET", "REALTIME__TENANTS__MY_APP__AUTH__JWT_SECRET"),
        ("REALTIME_TENANTS__ACME__AUTH__JWT_SECRET_FILE", "REALTIME__TENANTS__ACME__AUTH__JWT_SECRET_FILE"),
        // Our prefix before a name that has none, or a key that lacks its section.
        ("REALTIME_JWT_SECRET", "JWT_SECRET"),
        ("REALTIME_REDIS_URL", "REDIS_URL"),
        ("REALTIME_JWT_SECRET_FILE", "JWT_SECRET_FILE"),
        ("REALTIME_MAX_CHANNELS_PER_CLIENT", "REALTIME__LIMITS__MAX_CHANNELS_PER_CLIENT"),
    ] {
        assert_eq!(warnings(&[(name, "1")]), [format!("{name} is not read: did you mean {meant}?")]);
    }
    let section = [("REALTIME_TENANTS", r#"{"acme": {}}"#)];
    assert_eq!(warnings(&section), ["REALTIME_TENANTS is not read: did you mean REALTIME__TENANTS?"]);
}

#[test]
fn a_file_for_a_variable_without_a_secret_is_a_warning() {
    for (name, known) in
        [("JWT_ISSUER_FILE", "JWT_ISSUER"), ("LOG_LEVEL_FILE", "LOG_LEVEL"), ("DB_HOST_FILE", "DB_HOST")]
    {
        let expected = format!("{name} is not read: {known} holds no secret, so set {known} itself");
        assert_eq!(warnings(&[(name, "/run/secrets/x")]), [expected]);
    }
}

// If both names are set, one of them belongs to another program.
#[test]
fn a_similar_name_beside_the_right_one_belongs_to_another_program() {
    assert_eq!(warnings(&[("REDIS_URI", "redis://a"), ("REDIS_URL", "redis://b")]), [""; 0]);
    assert_eq!(warnings(&[("REALTIME_JWT_SECRET", "a"), ("JWT_SECRET", "b")]), [""; 0]);
    // A name with our prefix is reported in any case.
    let both = [("JWT_SECRETS", "a"), ("JWT_SECRET", "b")];
    assert_eq!(
        warnings(&both),
        ["JWT_SECRETS is not read: did you mean JWT_SECRET, or REALTIME__AUTH__JWT_SECRETS?"]
    );
}

#[test]
fn the_value_of_a_misspelt_variable_is_never_shown() {
    let notes = only(&[("JWT_SECERT", "hunter2")]).load().expect("good").notes;
    assert!(!format!("{notes:?}").contains("hunter2"));
}

/// The variables that Kubernetes sets in a pod whose namespace has these services.
fn service_links(services: &[&str]) -> Vec<(String, String)> {
    let links = services.iter().flat_map(|service| {
        let name = service.to_uppercase().replace('-', "_");
        [
            ("SERVICE_HOST", "10.43.0.12"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_HTTP", "8080"),
            ("PORT", "tcp://10.43.0.12:8080"),
            ("PORT_8080_TCP", "tcp://10.43.0.12:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "10.43.0.12"),
        ]
        .map(|(part, value)| (format!("{name}_{part}"), value.to_owned()))
    });
    links.collect()
}

#[test]
fn the_variables_of_a_kubernetes_pod_are_not_reported() {
    let services = [
        "kubernetes",
        "realtime",
        "realtime-server",
        "realtime-server-tls",
        "realtime-bus",
        "realtime-admin",
        "redis",
        "redis-master",
        "database",
        "api",
        "metrics",
        "webhook",
        "dashboard",
    ];
    let links = service_links(&services);
    let mut variables: Vec<_> = links.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    variables.extend([
        ("PATH", "/usr/local/bin"),
        ("HOSTNAME", "realtime-7d4b9c6f5-x2x9v"),
        ("HOME", "/"),
        ("POD_IPS", "10.42.0.7"),
        ("POD_NAME", "realtime-7d4b9c6f5-x2x9v"),
        ("POD_NAMESPACE", "realtime"),
        ("NODE_IP", "10.0.0.1"),
        ("JWT_SECRET", "a secret of more than thirty-two bytes"),
        ("REDIS_PASSWORD", "hush"),
        ("REDIS_HOST", "redis"),
        ("REDIS_URL", "redis://redis:6379"),
    ]);
    assert_eq!(warnings(&variables), [""; 0]);
}

#[test]
fn the_variables_of_a_developers_shell_are_not_reported() {
    let names = "APP_JWT_SECRET APP_URL AUTH_SECRET AWS_DEFAULT_REGION AWS_REGION CARGO_HOME CI COLORTERM DATABASE_URL2 \
        DATA_DIR DB_PASS DB_USERNAME DEBUG DISPLAY EDITOR ENV GITHUB_TOKEN GOPATH HOSTNAME HOSTTYPE JAVA_HOME JWT_EXPIRY \
        JWT_KEY JWT_SECRET_KEY JWT_TOKEN LANG LC_ALL LOGNAME LOG_FORMAT LS_COLORS MAIL MAX_CONN NEXT_PUBLIC_SUPABASE_URL \
        NODE_ENV NODE_OPTIONS NO_COLOR OLDPWD PAGER PGHOST PGPASSWORD PGPORT PORTAL PORTS POSTGRES_PASSWORD PUBLIC_URL PWD \
        PYTHONPATH RABBIT_URL REALTIME_API_KEY REALTIME_CPUS REALTIME_HOST REALTIME_IMAGE REALTIME_MEMORY REALTIME_PORT \
        REALTIME_TOKEN REALTIME_URL REDIS_PASSWORD REDIS_URL_2 RUST_BACKTRACE RUST_LOG SECRET SERVER_PORT SESSION_SECRET \
        SHELL SHLVL SSH_AUTH_SOCK SUPABASE_ANON_KEY SUPABASE_JWT_SECRET SUPABASE_URL TERM TMPDIR USER USERNAME VITE_WS_URL \
        WEBHOOK_SECRET WEBHOOK_URL XDG_RUNTIME_DIR _ http_proxy https_proxy no_proxy port host name";
    let variables: Vec<_> = names.split_whitespace().map(|name| (name, "1")).collect();
    assert_eq!(warnings(&variables), [""; 0]);
}

#[test]
fn the_variables_of_a_compose_container_are_not_reported() {
    // `docker run --env-file .env` passes the server the variables that are meant for compose.
    let variables = [
        ("JWT_SECRET", "a secret of more than thirty-two bytes"),
        ("POSTGRES_PASSWORD", "hush"),
        ("DATABASE_URL", "postgres://postgres:hush@db:5432/realtime"),
        ("REDIS_URL", "redis://redis:6379"),
        ("REALTIME_PORT", "127.0.0.1:8080"),
        ("REALTIME_IMAGE", "realtime-server:1"),
        ("REALTIME_MEMORY", "1g"),
        ("REALTIME_CPUS", "2"),
        ("COMPOSE_PROJECT_NAME", "realtime"),
        ("ANON_KEY", "a.b.c"),
        ("SERVICE_ROLE_KEY", "a.b.c"),
        ("SUPABASE_PUBLIC_URL", "http://localhost:8000"),
        ("VAULT_ENC_KEY", "hush"),
        ("JWT_EXPIRY", "3600"),
        ("POOLER_TENANT_ID", "dev"),
    ];
    assert_eq!(warnings(&variables), [""; 0]);
}
