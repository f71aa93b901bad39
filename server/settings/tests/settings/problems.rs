//! The texts of problems, word for word.

use crate::{Folder, errors, load};

#[test]
fn a_bad_value_is_reported_with_its_place_and_what_was_expected() {
    for (file, expected, help) in [
        (
            "[limits]\nmax_joins_per_second = \"many\"",
            "config.toml:2:1: limits.max_joins_per_second: expected a whole number from 1 to 4294967295, found \"many\"",
            "",
        ),
        (
            "[server]\nport = \"8080\"",
            "config.toml:2:1: server.port: expected a whole number from 0 to 65535, found \"8080\"",
            "write it without quotes",
        ),
        (
            "server.port = 70000",
            "config.toml:1:8: server.port: expected a whole number from 0 to 65535, found 70000",
            "TCP port to bind; 0 takes a free one. Default: 8080.",
        ),
        (
            "[limits]\n  max_channels_per_client = 0",
            "config.toml:2:3: limits.max_channels_per_client: expected a whole number of at least 1, found 0",
            "",
        ),
        (
            "server = { host = 'home' }",
            "config.toml:1:12: server.host: expected an IP address such as 0.0.0.0 or ::1, found \"home\"",
            "",
        ),
        (
            "[telemetry]\nlog_level = \"warning\"",
            "config.toml:2:1: telemetry.log_level: expected one of error, warn, info, debug, trace, found \"warning\"",
            "did you mean warn?",
        ),
        (
            "[telemetry]\nlog_level = \"dbug\"",
            "config.toml:2:1: telemetry.log_level: expected one of error, warn, info, debug, trace, found \"dbug\"",
            "did you mean debug?",
        ),
        (
            "[server]\nidle_timeout = 120",
            "config.toml:2:1: server.idle_timeout: expected a duration from 1ms to 1year, found 120",
            "write it in quotes with its unit, such as \"30s\"",
        ),
        (
            "[server]\nidle_timeout = \"0s\"",
            "config.toml:2:1: server.idle_timeout: expected a duration from 1ms to 1year, found \"0s\"",
            "",
        ),
        (
            "[outbox]\nmax_bytes = \"big\"",
            "config.toml:2:1: outbox.max_bytes: expected a size of at least 1 KiB, found \"big\"",
            "",
        ),
        (
            "[server]\nmax_header_size = \"4 KiB\"",
            "config.toml:2:1: server.max_header_size: expected a size from 8 KiB to 16 MiB, found \"4 KiB\"",
            "",
        ),
        (
            "[server]\nproxy_protocol_from = [\"10.0.0.0/8\", \"10.0.0.0/33\"]",
            "config.toml:2:1: server.proxy_protocol_from: expected a network such as 10.0.0.0/8, found \"10.0.0.0/33\"",
            "",
        ),
        (
            "[server]\npublic_url = \"realtime.example.com\"",
            "config.toml:2:1: server.public_url: expected an address that begins with http:// or https:// or ws:// \
             or wss://, found \"realtime.example.com\"",
            "",
        ),
        ("[broadcast]\ncors = 1", "config.toml:2:1: broadcast.cors: expected true or false, found 1", ""),
        ("server = 1", "config.toml:1:1: server: expected a section with keys, found a number", ""),
        (
            "[server.port]\nnumber = 80",
            "config.toml:1:9: server.port: expected a whole number from 0 to 65535, found a section",
            "TCP port to bind; 0 takes a free one. Default: 8080.",
        ),
    ] {
        let errors = errors(file, &[]);
        match help {
            // What the key means, if it has a doc comment; its words are not this test's business.
            "" => assert_eq!(errors.lines().next(), Some(expected)),
            help => assert_eq!(errors, format!("{expected}\n    help: {help}")),
        }
    }
}

#[test]
fn an_infinite_number_is_no_value() {
    for (file, expected) in [
        ("server.idle_timeout = inf", "server.idle_timeout: expected a duration from 1ms to 1year"),
        ("server.idle_timeout = 1e999", "server.idle_timeout: expected a duration from 1ms to 1year"),
        ("server.port = -nan", "server.port: expected a whole number from 0 to 65535"),
        ("auth.jwt_secret = nan", "auth.jwt_secret: expected text in quotes"),
        ("auth.jwt_secrets = [+inf]", "auth.jwt_secrets: expected text in quotes"),
        ("auth.claim_validators = { level = inf }", "auth.claim_validators.level: expected a value"),
        ("server = nan", "server: expected a section with keys"),
        ("tenants.acme = inf", "tenants.acme: expected a section with keys"),
    ] {
        let errors = errors(file, &[]);
        let (place, rest) = errors.split_once(": ").expect("a place");
        assert!(place.starts_with("config.toml:1:"), "{errors}");
        assert_eq!(rest.lines().next(), Some(&*format!("{expected}, found inf or nan")), "{errors}");
    }
    assert_eq!(
        crate::good("auth.claim_validators = { a = 1_000.5 }", &[]).auth.claim_validators["a"],
        1000.5
    );
}

#[test]
fn an_infinite_number_in_a_list_is_reported() {
    for list in ["[inf]", "[[inf]]", "[{ a = inf }]"] {
        let errors = errors(&format!("auth.claim_validators = {{ level = {list} }}"), &[]);
        assert!(errors.contains("auth.claim_validators.level: expected a value, found a list"), "{errors}");
    }
}

#[test]
fn null_in_a_variable_leaves_the_key_unset() {
    let tenant =
        crate::good("", &[("REALTIME__TENANTS__ACME", r#"{"region": null}"#)]).tenants["acme"].clone();
    assert_eq!(tenant.region, None);
    let errors = errors("", &[("REALTIME__SERVER__PROXY_PROTOCOL_FROM", "[null]")]);
    assert!(
        errors.contains("server.proxy_protocol_from: expected a network such as 10.0.0.0/8, found nothing"),
        "{errors}"
    );
}

#[test]
fn a_variable_is_named() {
    assert_eq!(
        errors("", &[("PORT", "80a")]),
        "variable PORT: server.port: expected a whole number from 0 to 65535, found \"80a\"\n    \
         help: TCP port to bind; 0 takes a free one. Default: 8080."
    );
    assert_eq!(
        errors("", &[("NO_CHANNEL_TIMEOUT_IN_MS", "10s")]),
        "variable NO_CHANNEL_TIMEOUT_IN_MS: server.no_channel_timeout: expected a whole number of milliseconds, \
         found \"10s\"\n    help: write 10000"
    );
    let errors = errors("", &[("MAX_CONNECTIONS", "+5")]);
    let expected = "variable MAX_CONNECTIONS: server.max_connections: expected a whole number of at least 1, found \"+5\"";
    assert_eq!(errors.lines().next(), Some(expected));
}

#[test]
fn a_misspelt_key_is_reported_with_a_suggestion() {
    for (file, variables, expected) in [
        (
            "[presence]\nenabld = true",
            ("", ""),
            "config.toml:2:1: presence.enabld: unknown key\n    help: did you mean presence.enabled?",
        ),
        (
            "",
            ("REALTIME__PRESENCE__ENABLD", "true"),
            "variable REALTIME__PRESENCE__ENABLD: presence.enabld: unknown key\n    \
             help: did you mean REALTIME__PRESENCE__ENABLED?",
        ),
        (
            "",
            ("REALTIME__PRESENSE__ENABLED", "true"),
            "variable REALTIME__PRESENSE__ENABLED: presense: unknown key\n    help: did you mean REALTIME__PRESENCE__ENABLED?",
        ),
        (
            "",
            ("REALTIME__TENANTS__ACME__DATABSE__URL", "postgres://db/acme"),
            "variable REALTIME__TENANTS__ACME__DATABSE__URL: tenants.acme.databse: unknown key\n    \
             help: did you mean REALTIME__TENANTS__ACME__DATABASE__URL?",
        ),
        (
            "port = 80",
            ("", ""),
            "config.toml:1:1: port: unknown key\n    help: did you mean server.port or server.internal.port or store.port?",
        ),
        (
            "",
            ("REALTIME__PORT", "1"),
            "variable REALTIME__PORT: port: unknown key\n    help: did you mean REALTIME__SERVER__PORT or REALTIME__SERVER__INTERNAL__PORT or REALTIME__STORE__PORT?",
        ),
        (
            "[limits]\nmax_frame_size = 1",
            ("", ""),
            "config.toml:2:1: limits.max_frame_size: unknown key\n    help: did you mean server.max_frame_size?",
        ),
        (
            "[presence]\nbanana = 1",
            ("", ""),
            "config.toml:2:1: presence.banana: unknown key\n    \
             help: the keys of presence are coalesce, enabled, max_bytes_per_client, max_key_bytes",
        ),
        (
            "[banana]\nsplit = 1",
            ("", ""),
            "config.toml:1:2: banana: unknown key\n    help: the sections are admin, auth, broadcast, bus, changes, database, documents, limits, \
             outbox, presence, regions, seed, server, store, telemetry, tenants",
        ),
        (
            "[tenants.acme]\nsuspend = true",
            ("", ""),
            "config.toml:2:1: tenants.acme.suspend: unknown key\n    help: did you mean tenants.acme.suspended?",
        ),
    ] {
        assert_eq!(errors(file, &[variables]), expected);
    }
}

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_the_text() {
    let file = "[server]\nport = -1\nhots = \"::\"\n[limits]\nmax_joins_per_second = 0";
    let folder =
        Folder::with(&[("config.toml", file), ("config.d/more.toml", "[auth]\nleeway = 5\n[log]\n")]);
    let errors = folder.errors(&[("MAX_CONNECTIONS", "none"), ("REALTIME__SERVER__PORT", "x")]);
    let heads: Vec<_> = errors.lines().filter(|line| !line.starts_with(' ')).collect();
    let heads: Vec<_> =
        heads.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect();
    assert_eq!(
        heads,
        [
            "config.toml:3:1: server.hots",
            "config.toml:5:1: limits.max_joins_per_second",
            "config.d/more.toml:2:1: auth.leeway",
            "config.d/more.toml:3:2: log",
            "variable MAX_CONNECTIONS: server.max_connections",
            "variable REALTIME__SERVER__PORT: server.port",
        ],
        "what a higher layer replaces is not looked at: {errors}"
    );
}

#[test]
fn every_syntax_error_is_reported() {
    assert_eq!(
        errors("[server]\nport = \nhost = home\n[limits\n[auth]\nleeway = '1s'\nleeway = '1s'", &[]),
        "config.toml:2:8: not TOML: a value is missing\n\
         config.toml:3:8: not TOML: string values must be quoted, expected literal string\n    \
         help: write text in quotes\n\
         config.toml:4:8: not TOML: unclosed table, expected `]`\n\
         config.toml:7:1: not TOML: duplicate key auth.leeway, first written at config.toml:6:1\n    \
         help: keep one of the two"
    );
}

#[test]
fn bytes_that_are_not_utf8_are_reported_with_their_position() {
    let folder = Folder::with(&[]);
    for (bytes, place) in [
        (&b"[server]\nport = 1 # caf\xe9\n"[..], "config.toml:2:15"),
        ("[server]\nport = 1 # «Bär» ".as_bytes(), ""),
        (b"\xff\xfe[\0", "config.toml:1:1"),
        (b"# \xc3\xa4\xc3", "config.toml:1:4"),
    ] {
        std::fs::write(folder.path("config.toml"), bytes).expect("the folder is writable");
        let errors = folder.sources(&[]).load().map_err(|error| folder.without_folder(&error.to_string()));
        match place {
            "" => assert!(errors.is_ok(), "{errors:?}"),
            place => {
                let expected = format!("{place}: not text in UTF-8\n    help: save the file as UTF-8");
                assert_eq!(errors.map(drop), Err(expected));
            }
        }
    }
}

#[test]
fn contradicting_keys_are_reported_at_the_position_of_one() {
    assert_eq!(
        errors("[server]\nping_interval = \"3m\"\n[server.tls]\ncert_file = \"/cert.pem\"", &[]),
        "config.toml:2:1: server.idle_timeout: must be longer than server.ping_interval, or clients are disconnected before they are pinged\n\
         config.toml:4:1: server.tls.cert_file: server.tls.cert_file and server.tls.key_file are needed together"
    );
}

#[test]
fn the_internal_port_is_another_one_than_that_of_clients() {
    let conflict = "server.internal.port: must not be server.port";
    for same in ["", "host = '127.0.0.1'\n", "host = '0.0.0.0'\n"] {
        let text = errors(&format!("[server]\nport = 81\n[server.internal]\n{same}port = 81"), &[]);
        assert!(text.contains(conflict), "{text}");
    }
    let alone = errors("[server.internal]\nexclusive = true", &[]);
    assert!(alone.contains("server.internal.exclusive: needs server.internal.port"), "{alone}");
    let apart = "[server]\nhost = '10.0.0.1'\nport = 81\n[server.internal]\nhost = '127.0.0.1'\nport = 81";
    for good in [apart, "[server]\nport = 0\n[server.internal]\nport = 0"] {
        crate::good(good, &[]);
    }
}

#[test]
fn the_value_of_a_header_has_no_line_break() {
    let pushed = |auth: &str| format!("[telemetry.push]\nauth = {auth:?}");
    let text = errors(&pushed("Bearer a\nsecret"), &[]);
    assert!(text.contains("telemetry.push.auth: has a space, so it is the value of a header"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    for good in ["Bearer a-secret", "a\npassword"] {
        crate::good(&pushed(good), &[]);
    }
}

#[test]
fn keys_of_the_store_have_the_length_that_their_cipher_needs() {
    let key = "a secret that is not printed";
    let text =
        errors(&format!("[store]\nencryption_key = \"{key}\"\nlegacy_encryption_key = \"{key}\""), &[]);
    assert!(
        text.contains("config.toml:2:1: store.encryption_key: has 28 bytes, and needs exactly 32"),
        "{text}"
    );
    assert!(
        text.contains("config.toml:3:1: store.legacy_encryption_key: has 28 bytes, and needs exactly 16"),
        "{text}"
    );
    assert!(!text.contains(key), "{text}");
    crate::good(&format!("[store]\nencryption_key = \"{key}!!!!\""), &[]);
}

#[test]
fn a_payload_that_is_allowed_can_also_be_sent() {
    crate::good("[server]\nmax_frame_size = 3000500", &[]);
    let too_small = |key: &str, place: &str| {
        format!(
            "{place}: {key}: must fit into server.max_frame_size: with its envelope such a payload has 3000500 \
             bytes, and a message of more than 3000499 closes its connection"
        )
    };
    let file = "[server]\nmax_frame_size = 3000499\n[tenants.acme.limits]\nmax_joins_per_second = 1";
    assert_eq!(errors(file, &[]), too_small("limits.max_payload_size_in_kb", "config.toml:2:1"));
    let file = "[server]\nmax_frame_size = 3000499\n[limits]\nmax_payload_size_in_kb = 1\n\
                [tenants.acme.limits]\nmax_payload_size_in_kb = 3000";
    assert_eq!(errors(file, &[]), too_small("tenants.acme.limits.max_payload_size_in_kb", "config.toml:6:1"));
    // The default tenant's own section, which is the same as `[limits]`.
    let file = "[server]\nmax_frame_size = 3000499\n[tenants.default.limits]\nmax_payload_size_in_kb = 3000";
    assert_eq!(errors(file, &[]), too_small("limits.max_payload_size_in_kb", "config.toml:4:1"));
}

#[test]
fn an_invalid_module_name_is_reported() {
    for good in ["realtime_server", "realtime_server::edge::websocket", "hub", "_x1"] {
        crate::good(&format!("[telemetry.log_modules]\n\"{good}\" = \"debug\""), &[]);
    }
    for bad in ["", "realtime-server", "realtime_server::", "a b", "edge=debug", "::edge", "1x", "a:b"] {
        let errors = errors(&format!("[telemetry.log_modules]\n\"{bad}\" = \"debug\""), &[]);
        let expected = "the name must be the path of a module, such as realtime_server::edge";
        assert!(errors.starts_with("config.toml:2:1: ") && errors.ends_with(expected), "{errors}");
    }
}

#[test]
fn of_many_problems_the_first_are_reported_and_the_others_counted() {
    let unknown: String = (0..250).map(|n| format!("key_{n:03} = 1\n")).collect();
    let error = load(&unknown, &[]).expect_err("no key is known");
    assert_eq!((error.problems.len(), error.count()), (100, 250));
    let text = error.to_string();
    assert!(text.contains(":100:1: key_099: unknown key\n"), "{text}");
    assert!(text.ends_with("\n… and 150 more problems: only the first 100 are reported"), "{text}");
}

#[test]
fn a_problem_does_not_repeat_a_name_as_long_as_the_file() {
    let name = "x".repeat(1 << 20);
    let text = errors(&format!("[tenants.{name}]\na = 1\nb = 2\n"), &[]);
    assert!(text.len() < 20_000, "{} bytes", text.len());
}

// Each error takes memory, so only the text near the first one is searched for more.
#[test]
fn errors_far_behind_the_first_are_not_searched_for() {
    let without_value = |key: &str| (0..10).map(|n| format!("{key}{n} =\n")).collect::<String>();
    let (near, far) = (without_value("near"), without_value("far"));
    for open in ["list = [\n", "text = \"\"\"\n", "inline = {\n"] {
        let closed = match open.trim_end().chars().last() {
            Some('[') => "]\n",
            Some('{') => "}\n",
            _ => "\"\"\"\n",
        };
        let between = "# a comment, or text\n".repeat(5_000);
        let error = load(&format!("{near}{open}{between}{closed}{far}"), &[]).expect_err("not TOML");
        assert_eq!(error.count(), 10, "{open}: {error}");
    }
}
