//! The line of help below a problem: the correct way to write it.

use std::time::{Duration, Instant};

use crate::{Folder, errors};

/// The help for each problem of this file and these variables.
fn help(file: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let errors = errors(file, variables);
    errors.lines().filter_map(|line| line.strip_prefix("    help: ")).map(str::to_owned).collect()
}

#[test]
fn a_key_in_the_wrong_section_is_reported_with_the_right_one() {
    for (file, expected) in [
        // What the variable JWT_SECRET sets comes first.
        ("[server]\njwt_secret = 's'", "auth.jwt_secret or seed.jwt_secret or admin.jwt_secret"),
        ("jwt_secret = 's'", "auth.jwt_secret or seed.jwt_secret or admin.jwt_secret"),
        ("[server]\njwt_secert = 's'", "auth.jwt_secret or seed.jwt_secret or admin.jwt_secret"),
        ("[server]\ncert_file = '/c'", "server.tls.cert_file"),
        ("[server.tls]\nport = 1", "server.port or server.internal.port"),
        // Under a tenant, the tenant's own key comes before the one for all.
        ("[tenants.acme]\nmax_concurrent_users = 5", "tenants.acme.limits.max_concurrent_users"),
        ("[tenants.acme]\nmax_concurent_users = 5", "tenants.acme.limits.max_concurrent_users"),
        ("[tenants.acme.auth]\nmax_concurrent_users = 5", "tenants.acme.limits.max_concurrent_users"),
        ("[tenants.acme.limits]\nsuspended = true", "tenants.acme.suspended"),
        ("[tenants.acme]\njwt_secret = 's'", "tenants.acme.auth.jwt_secret"),
        ("[tenants.acme]\nmax_frame_size = 1", "server.max_frame_size"),
        ("[tenant.acme]\nsuspended = true", "tenants"),
        // A section that is a part of the name, or of the path.
        ("[redis]\nurl = 'redis://h'", "bus.redis_url"),
        ("[jwt]\nsecret = 's'", "auth.jwt_secret or seed.jwt_secret or admin.jwt_secret"),
        ("[tls]\ncert_file = '/c'\nkey_file = '/k'", "server.tls.cert_file or server.tls.key_file"),
        ("[Server]\nport = 1", "server"),
        ("[limits]\nmaxJoinsPerSecond = 1", "limits.max_joins_per_second"),
        ("[limits]\nmax-joins-per-second = 1", "limits.max_joins_per_second"),
    ] {
        assert_eq!(help(file, &[]), [format!("did you mean {expected}?")], "{file}");
    }
    assert_eq!(
        help("[tenants]\nsuspended = true\njwt_secret = 's'", &[]),
        [
            "write it under the id of a tenant: tenants.<id>.suspended",
            "write it under the id of a tenant: tenants.<id>.auth.jwt_secret",
        ]
    );
}

#[test]
fn a_variable_with_other_underscores_is_reported_with_the_right_name() {
    for (name, expected) in [
        ("REALTIME__LIMITS_MAX_JOINS_PER_SECOND", "REALTIME__LIMITS__MAX_JOINS_PER_SECOND"),
        ("REALTIME__SERVER_TLS_CERT_FILE", "REALTIME__SERVER__TLS__CERT_FILE"),
        ("REALTIME__SERVER__TLS_CERT_FILE", "REALTIME__SERVER__TLS__CERT_FILE"),
        (
            "REALTIME__TENANTS__ACME__LIMITS_MAX_CONNECTIONS",
            "REALTIME__TENANTS__ACME__LIMITS__MAX_CONNECTIONS",
        ),
        (
            "REALTIME__JWT_SECRET",
            "REALTIME__AUTH__JWT_SECRET or REALTIME__SEED__JWT_SECRET or REALTIME__ADMIN__JWT_SECRET",
        ),
        ("REALTIME__LIMITS__MAX_JOIN_PER_SECOND", "REALTIME__LIMITS__MAX_JOINS_PER_SECOND"),
    ] {
        assert_eq!(help("", &[(name, "1")]), [format!("did you mean {expected}?")], "{name}");
    }
    let empty = "write REALTIME__SECTION__KEY, such as REALTIME__SERVER__PORT";
    assert_eq!(help("", &[("REALTIME__BANANA____PEEL", "1")]), [empty]);
    for (name, expected) in [
        ("REALTIME__SERVER____PORT", "REALTIME__SERVER__PORT"),
        ("REALTIME___SERVER__PORT", "REALTIME__SERVER__PORT"),
    ] {
        assert_eq!(help("", &[(name, "1")]), [format!("did you mean {expected}?")], "{name}");
    }
}

#[test]
fn a_value_of_another_form_is_reported_with_the_right_form() {
    let unit = |example| format!("add its unit, such as {example} for seconds");
    let lengths = "write whole numbers, each with its unit, such as 30s, 5m or 1h 30m".to_owned();
    let sizes = "write a number with its unit, such as 64 KiB, 5 MB or 1 GiB".to_owned();
    let text = |text: &str| text.to_owned();
    for (file, expected) in [
        ("server.idle_timeout = '120'", unit("\"120s\"")),
        ("server.idle_timeout = ' 5 '", unit("\"5s\"")),
        ("server.idle_timeout = 1.5", text("write it in quotes with its unit, such as \"30s\"")),
        ("server.idle_timeout = 'PT30S'", lengths.clone()),
        ("server.idle_timeout = '30 bananas'", lengths),
        ("server.max_frame_size = 'big'", sizes.clone()),
        ("server.max_frame_size = '5 bananas'", sizes),
        (
            "server.max_frame_size = 1.5",
            text("write a whole number of bytes, or a number with its unit in quotes, such as \"64 KiB\""),
        ),
        ("server.port = '8080'", text("write it without quotes")),
        ("server.port = 8080.0", text("write it without a fraction")),
        ("limits.max_joins_per_second = '1_000'", text("write its digits without anything between them")),
        ("server.strict_host = 'true'", text("write it without quotes")),
        ("server.strict_host = 'yes'", text("write true")),
        ("server.strict_host = 0", text("write false")),
        ("telemetry.log_level = 'WARN'", text("did you mean warn?")),
        ("telemetry.log_level = 'critical'", text("did you mean error?")),
        ("telemetry.log_level = 'Notice'", text("did you mean info?")),
        ("telemetry.log_modules = { hub = 'warning' }", text("did you mean warn?")),
        ("server.host = 'localhost'", text("write 127.0.0.1, or ::1 for IPv6")),
        ("server.host = '*'", text("write 0.0.0.0 for all IPv4 addresses, or :: for all")),
        ("server.host = '0.0.0.0:80'", text("write the address without a port, which has a key of its own")),
        ("server.host = '[::]'", text("write it without brackets")),
        ("server.host = 0.0", text("write it in quotes")),
        ("server.proxy_protocol_from = '10.0.0.0/8'", text("write it as a list: [\"10.0.0.0/8\"]")),
        (
            "server.proxy_protocol_from = ['10.0.0.0/64']",
            text("write an address and a prefix length: /0 to /32, for IPv6 up to /128"),
        ),
        ("server.public_url = 'realtime.example.com'", text("put the scheme before the host")),
        ("server.default_tenant = 'Acme.Ltd'", text("write acme-ltd")),
        ("tenants.Acme.suspended = true", text("write acme")),
        ("auth.jwt_issuer = 5", text("write it in quotes")),
        ("auth.jwt_secret = 7263547263", text("write it in quotes")),
        ("auth.jwt_secrets = '7263547263'", text("write it as a list: [\"…\"]")),
        ("auth.jwt_jwks = 'https://idp.example/keys'", text("the address of a key set is jwks_url")),
        (
            "auth.jwt_jwks = '/etc/keys.json'",
            text(
                "write the key set itself; to read it from a file, let a variable that ends in _FILE name the file",
            ),
        ),
        ("server.tls = true", text("the keys of server.tls are cert_file, key_file")),
        ("tenants = 1", text("write [tenants.<id>], with a name of your own for <id>")),
        (
            "telemetry.cloudwatch.dimensions = 'production'",
            text("write names of your own with their values: { <name> = \"…\" }"),
        ),
    ] {
        assert_eq!(help(file, &[]), [expected], "{file}");
    }
    for (variable, expected) in [
        (("REALTIME__SERVER__IDLE_TIMEOUT", "120"), unit("120s")),
        (("NO_CHANNEL_TIMEOUT_IN_MS", "10s"), text("write 10000")),
        (("MAX_HEADER_LENGTH", "4 KiB"), text("write 4096")),
        (
            ("REALTIME__AUTH__JWT_SECRETS", "[half"),
            text("write items separated by commas, or JSON: [\"…\", \"…\"]"),
        ),
        (
            ("REALTIME__TELEMETRY__CLOUDWATCH__DIMENSIONS", "production"),
            text("write names of your own with their values: {\"<name>\": \"…\"}"),
        ),
        (("LOG_LEVEL", "warnning"), text("did you mean warning?")),
        (("DISABLE_HEALTHCHECK_LOGGING", "yes"), text("write true")),
    ] {
        assert_eq!(help("", &[variable]), [expected], "{variable:?}");
    }
}

#[test]
fn a_value_that_is_no_toml_is_reported_with_the_right_form() {
    for (file, expected) in [
        ("[server]\nhost = 0.0.0.0", "write it in quotes: host = \"0.0.0.0\""),
        ("server.host = ::1 # all", "write it in quotes: server.host = \"::1\""),
        ("[server]\nidle_timeout = 30s", "write it in quotes: idle_timeout = \"30s\""),
        ("[server]\nmax_frame_size = 5 MB", "write it in quotes: max_frame_size = \"5 MB\""),
        ("\u{feff}[telemetry]\nlog_level = info", "write it in quotes: log_level = \"info\""),
        ("[tenants.acme]\nregion = eu-west-2", "write it in quotes: region = \"eu-west-2\""),
        ("[server]\nstrict_host = True", "write strict_host = true"),
        ("[server]\nstrict_host = yes", "write true"),
        ("[server]\nport = 08080", "write port = 8080"),
        ("[server]\nport = 8080;", "write port = 8080"),
        ("[server]\nport = many", "write a whole number from 0 to 65535"),
        ("[server]\nhost = “::”", "write straight quotes: \"…\""),
        ("[server]\nproxy_protocol_from = [10.0.0.0/8]", "write text in quotes: [\"…\"]"),
        ("[server]\nproxy_protocol_from = 10.0.0.0/8", "write a list: proxy_protocol_from = [\"…\"]"),
        (
            "[server.tls]\ncert_file = \"C:\\certs\"",
            "a backslash in double quotes begins an escape: write '…'",
        ),
        ("[auth]\njwt_secret = 7263547263-x", "write text in quotes"),
        ("[bus]\nredis_url = redis://:7263547263@h", "write text in quotes"),
        ("[banana]\npeel = 7263547263-x", "write text in quotes"),
        ("[server]\npublic_url = https://ann:7263547263@h", "write text in quotes"),
        ("[server]\nport == 8080", "write one equals sign"),
        ("{\"server\": {}}", "this is not JSON: write key = value"),
        ("server:\n  port: 80", "this is not YAML: write key = value"),
        ("// mine", "a comment begins with #"),
    ] {
        let errors = errors(file, &[]);
        assert_eq!(help(file, &[]).first().map(String::as_str), Some(expected), "{errors}");
        assert!(!errors.contains("7263547263") && !errors.contains("nothing"), "{errors}");
    }
}

#[test]
fn a_duplicate_key_is_reported_with_the_position_of_the_first() {
    let section = "write all keys of a section below one header";
    for (file, place, key, first, help) in [
        ("[auth]\nleeway = '1s'\n# two\nleeway = '2s'", "4:1", "auth.leeway", "2:1", "keep one of the two"),
        // The one before in another section is no duplicate.
        (
            "[tenants.a.auth]\nleeway = '1s'\n[tenants.b.auth]\nleeway = '1s'\nleeway = '2s'",
            "5:1",
            "tenants.b.auth.leeway",
            "4:1",
            "keep one of the two",
        ),
        ("[server]\nport = 1\n[auth]\n[server]\nhost = '::'", "4:2", "server", "1:2", section),
        ("[tenants.a]\n[tenants.a]", "2:10", "tenants.a", "1:10", section),
        ("server.port = 1\nserver.port = 2", "2:8", "server.port", "1:8", "keep one of the two"),
        (
            "[server]\ntls.key_file = 'a'\n'tls'.key_file = 'b'",
            "3:7",
            "server.tls.key_file",
            "2:5",
            "keep one of the two",
        ),
    ] {
        assert_eq!(
            errors(file, &[]),
            format!(
                "config.toml:{place}: not TOML: duplicate key {key}, first written at config.toml:{first}\n    help: {help}"
            )
        );
    }
    assert_eq!(errors("tenants = { a = {}, a = {} }", &[]), "config.toml:1:21: not TOML: duplicate key a");
}

#[test]
fn a_file_with_many_errors_is_reported_in_time() {
    let file = "[server]\n".to_owned() + &"port = 1x\n".repeat(5_000);
    let errors = errors(&file, &[]);
    assert_eq!(errors.lines().filter(|line| line.starts_with("config.toml")).count(), 100, "the first ones");
    assert!(errors.lines().last().is_some_and(|line| line.contains("more problems")), "{errors}");
}

/// The errors of a file with so many unknown keys, and how long they took.
fn errors_of_unknown_keys(count: usize) -> (String, Duration) {
    let file = (0..count).map(|n| format!("max_cnnections_{n:05} = 1\n")).collect::<String>();
    let started = Instant::now();
    (errors(&format!("[server]\n{file}"), &[]), started.elapsed())
}

// Compared, because a machine may be as slow as it likes: ten times as many take a hundred times as long if each is compared with all.
#[test]
fn a_file_of_unknown_keys_is_checked_in_linear_time() {
    let (_, of_few) = errors_of_unknown_keys(2_000);
    let (errors, of_many) = errors_of_unknown_keys(20_000);
    assert!(of_many < of_few * 50, "{of_few:?} for 2,000, {of_many:?} for 20,000");
    assert_eq!(errors.lines().filter(|line| line.ends_with(": unknown key")).count(), 100);
    assert_eq!(errors.lines().filter(|line| line.starts_with("    help: ")).count(), 50, "the first ones");
    assert!(errors.contains("and 19900 more problems"), "{errors}");
}

// A channel for more than 2^61 spans panics, and memory is set aside for each.
#[test]
fn a_queue_of_more_spans_than_a_server_can_keep_is_refused() {
    let errors = errors("[telemetry.traces]\nqueue_spans = 9223372036854775807", &[]);
    assert!(errors.contains("telemetry.traces.queue_spans") && errors.contains("1000000"), "{errors}");
}

#[test]
fn an_invalid_address_is_reported_with_the_reason() {
    let encode = "percent-encode special characters in a user name or password: / is %2F, # is %23, ? is %3F, @ is %40, % is %25";
    let scheme = "put the scheme before the host";
    for (address, expected) in [
        ("redis://:7263547263/x@redis:6379", encode),
        ("redis://:7263547263#x@redis", encode),
        ("redis://:7263547263?x@redis", encode),
        ("redis://ann:72/63547263@redis", encode),
        // The host `ann`, to a parser.
        ("redis://ann:12#7263547263@redis", encode),
        ("redis://ann:12/0?7263547263@redis", encode),
        ("rediss://:72 63547263@redis", "remove the white space"),
        ("redis://redis/realtime", "after the host, write the number of a database, such as /0, or nothing"),
        ("redis:6379", scheme),
        (":7263547263@redis:6379", scheme),
    ] {
        let errors = errors("", &[("REDIS_URL", address)]);
        assert_eq!(help("", &[("REDIS_URL", address)]), [expected], "{errors}");
        assert!(!errors.contains("72"), "{errors}");
    }
}

#[test]
fn an_unencoded_password_is_reported_for_other_addresses_too() {
    let encode = "percent-encode special characters in a user name or password: / is %2F, # is %23, ? is %3F, @ is %40, % is %25";
    for address in ["https://ann:72#6354@idp/keys", "https://:72#6354@idp/keys", "https://ann:x/y@idp/keys"] {
        assert_eq!(help("", &[("REALTIME__AUTH__JWKS_URL", address)]), [encode], "{address}");
    }
    // It may also be a path with an `@`.
    crate::good("", &[("REALTIME__AUTH__JWKS_URL", "https://idp.example/@realm/keys?as=a@b")]);
}

#[test]
fn a_scheme_is_read_without_case() {
    let settings = crate::good(
        "server.public_url = 'WSS://realtime.example.com'",
        &[("REDIS_URL", "REDIS://h"), ("REALTIME__AUTH__JWKS_URL", "Https://Idp.example/Keys")],
    );
    use secrecy::ExposeSecret as _;
    assert_eq!(settings.server.public_url.as_deref(), Some("wss://realtime.example.com"));
    assert_eq!(settings.bus.redis_url.expect("set").expose_secret(), "redis://h");
    assert_eq!(settings.auth.jwks_url.expect("set").expose_secret(), "https://Idp.example/Keys");
}

#[test]
fn a_file_that_cannot_be_read_is_reported_with_a_remedy() {
    let folder = Folder::with(&[("config.toml/inside", ""), ("empty", "\n")]);
    assert_eq!(
        folder.errors(&[]),
        "config.toml: cannot be read: Is a directory (os error 21)\n    help: name a file in it"
    );
    let folder = Folder::with(&[("conf.toml", ""), ("empty", "\n")]);
    assert_eq!(
        folder.errors(&[]),
        "config.toml: cannot be read: No such file or directory (os error 2)\n    help: did you mean conf.toml?"
    );
    folder.write("config.toml", "");
    assert_eq!(
        folder.errors(&[("JWT_SECRET_FILE", "{}/empty")]),
        "variable JWT_SECRET_FILE: empty is empty\n    help: write the secret into it"
    );
    // A secret in place of a file name is not repeated.
    assert_eq!(
        folder.errors(&[("JWT_SECRET_FILE", "7263547263")]),
        "variable JWT_SECRET_FILE: the file cannot be read: No such file or directory (os error 2)\n    \
         help: JWT_SECRET_FILE is the path of a file with the secret, and JWT_SECRET is the secret"
    );
}
