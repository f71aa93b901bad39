//! Secrets: from files, and never shown.

use secrecy::ExposeSecret as _;

use crate::{Folder, errors, good, load};

#[test]
fn a_variable_may_name_a_file_with_its_secret() {
    let folder = Folder::with(&[
        ("config.toml", ""),
        ("jwt", "from a file\n"),
        ("api", "one\ntwo\n"),
        ("redis", "redis://redis:6379\r\n"),
        ("theirs", " kept as it is "),
    ]);
    let settings = folder
        .sources(&[
            ("JWT_SECRET_FILE", "{}/jwt"),
            ("API_TOKEN_BLOCKLIST_FILE", "{}/api"),
            ("REALTIME__BUS__REDIS_URL_FILE", "{}/redis"),
            ("REALTIME__TENANTS__ACME__AUTH__JWT_SECRET_FILE", "{}/theirs"),
        ])
        .load()
        .expect("good")
        .settings;
    assert_eq!(settings.auth.jwt_secret.expect("set").expose_secret(), "from a file");
    let blocked: Vec<_> = settings.admin.token_blocklist.iter().map(|token| token.expose_secret()).collect();
    assert_eq!(blocked, ["one", "two"]);
    assert_eq!(settings.bus.redis_url.expect("set").expose_secret(), "redis://redis:6379");
    let theirs = settings.tenants["acme"].auth.jwt_secret.as_ref().expect("set");
    assert_eq!(theirs.expose_secret(), " kept as it is ");
}

#[test]
fn a_key_that_names_a_file_is_no_secret() {
    let settings = good("", &[("REALTIME__BUS__TLS_CA_FILE", "/ca.pem")]);
    assert_eq!(settings.bus.tls_ca_file.as_deref(), Some(std::path::Path::new("/ca.pem")));
}

#[test]
fn a_secret_and_a_file_with_it_are_one_too_many() {
    let folder = Folder::with(&[("config.toml", ""), ("jwt", "s"), ("empty", "\n")]);
    let both = "set only one of the two";
    assert_eq!(
        folder.errors(&[("JWT_SECRET", "s"), ("JWT_SECRET_FILE", "{}/jwt")]),
        format!("variable JWT_SECRET: JWT_SECRET_FILE is set as well\n    help: {both}")
    );
    let ours = [("REALTIME__AUTH__JWT_SECRET", "s"), ("REALTIME__AUTH__JWT_SECRET_FILE", "{}/jwt")];
    assert_eq!(
        folder.errors(&ours),
        format!(
            "variable REALTIME__AUTH__JWT_SECRET: REALTIME__AUTH__JWT_SECRET_FILE is set as well\n    help: {both}"
        )
    );
    let empty = "variable JWT_SECRET_FILE: empty is empty\n    help: write the secret into it";
    assert_eq!(folder.errors(&[("JWT_SECRET_FILE", "{}/empty")]), empty);
    assert_eq!(
        folder.errors(&[("JWT_SECRET_FILE", "{}/none")]),
        "variable JWT_SECRET_FILE: none cannot be read: No such file or directory (os error 2)\n    \
         help: JWT_SECRET_FILE is the path of a file with the secret, and JWT_SECRET is the secret"
    );
}

#[test]
fn a_secret_without_effect_and_a_file_with_it_are_one_too_many_as_well() {
    for (name, beside) in [
        // Still to come.
        ("DATABASE_URL", None),
        ("METRICS_PUSHER_AUTH", None),
        ("WEBHOOK_ENV_CONFIG_JSON", None),
        // Not looked at.
        ("DB_PASSWORD", Some(("DATABASE_URL", "postgres://db"))),
        // Not supported.
        ("LOGFLARE_API_KEY", None),
        // Without a tenant to be made, it counts for nothing.
        ("API_JWT_JWKS", None),
    ] {
        let file = format!("{name}_FILE");
        let both = [(name, "s"), (&file, "/no/such/file")];
        let errors = Folder::with(&[("config.toml", "")]).errors(&[&both[..], beside.as_slice()].concat());
        assert_eq!(
            errors.lines().next(),
            Some(&*format!("variable {name}: {file} is set as well")),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 2, "once: {errors}");
    }
}

#[test]
fn a_file_of_further_secrets_may_be_empty() {
    let folder = Folder::with(&[("config.toml", "auth.jwt_secrets = ['from the file']"), ("more", "\n")]);
    let more = |text: &str| {
        folder.write("more", text);
        let loaded = folder.sources(&[("REALTIME__AUTH__JWT_SECRETS_FILE", "{}/more")]).load().expect("good");
        loaded.settings.auth.jwt_secrets.len()
    };
    assert_eq!([more(""), more("\n"), more("one\n"), more("one\ntwo\n")], [0, 0, 1, 2]);
}

/// The value of `auth.jwt_secrets` with a variable set.
fn further_secrets(folder: &Folder, variable: (&str, &str)) -> Vec<String> {
    let secrets = folder.sources(&[variable]).load().expect("good").settings.auth.jwt_secrets;
    secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect()
}

#[test]
fn a_secret_with_a_comma_stays_one() {
    let folder = Folder::with(&[("config.toml", ""), ("more", "x,longpart\r\n\n two, three \n[four\n")]);
    let file = ("REALTIME__AUTH__JWT_SECRETS_FILE", "{}/more");
    assert_eq!(further_secrets(&folder, file), ["x,longpart", " two, three ", "[four"], "a line each");
    let variable = "REALTIME__AUTH__JWT_SECRETS";
    assert_eq!(further_secrets(&folder, (variable, "x,longpart")), ["x,longpart"]);
    assert_eq!(further_secrets(&folder, (variable, r#"["x,longpart", " y "]"#)), ["x,longpart", " y "]);
    let settings = good("[auth]\njwt_secret = ' a '\njwt_secrets = [' b ', ' ']", &[]).auth;
    assert_eq!(settings.jwt_secret.expect("set").expose_secret(), " a ");
    let more: Vec<_> = settings.jwt_secrets.iter().map(|secret| secret.expose_secret()).collect();
    assert_eq!(more, [" b "], "as it is written, like the first one");
}

#[test]
fn an_incomplete_list_is_not_accepted_as_a_secret() {
    let errors = Folder::with(&[("config.toml", "")]).errors(&[("REALTIME__AUTH__JWT_SECRETS", "[\"half")]);
    let expected = "variable REALTIME__AUTH__JWT_SECRETS: auth.jwt_secrets: expected a list, each text in quotes, \
                    found something else";
    assert_eq!(errors.lines().next(), Some(expected));
}

#[test]
fn the_next_secret_of_operators_is_a_secret() {
    let folder = Folder::with(&[("config.toml", ""), ("next", "x,longpart\n"), ("none", "\n")]);
    let next = |variable: (&str, &str)| {
        let admin = folder.sources(&[variable]).load().expect("good").settings.admin;
        admin.jwt_secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(next(("API_JWT_SECRET_NEXT", "x,longpart")), ["x,longpart"]);
    assert_eq!(next(("API_JWT_SECRET_NEXT", "[\"x\"]")), ["[\"x\"]"]);
    assert_eq!(next(("API_JWT_SECRET_NEXT_FILE", "{}/next")), ["x,longpart"]);
    assert_eq!(next(("API_JWT_SECRET_NEXT_FILE", "{}/none")), [""; 0]);
}

#[test]
fn refused_tokens_are_separated_by_commas_and_lines() {
    let folder = Folder::with(&[("config.toml", ""), ("blocked", "a, b\nc\n")]);
    for variable in [
        ("API_TOKEN_BLOCKLIST", "a, b,c"),
        ("API_TOKEN_BLOCKLIST_FILE", "{}/blocked"),
        ("REALTIME__ADMIN__TOKEN_BLOCKLIST", "a,b,c"),
        ("REALTIME__ADMIN__TOKEN_BLOCKLIST_FILE", "{}/blocked"),
    ] {
        let blocked = folder.sources(&[variable]).load().expect("good").settings.admin.token_blocklist;
        let blocked: Vec<_> = blocked.iter().map(|token| token.expose_secret()).collect();
        assert_eq!(blocked, ["a", "b", "c"], "{variable:?}");
    }
}

#[test]
fn a_variable_without_a_secret_has_no_file() {
    let error = load("", &[("REALTIME__SERVER__PORT_FILE", "/port")]).expect_err("no such key").to_string();
    assert!(error.contains("server.port_file: unknown key"), "{error}");
}

#[test]
fn a_secret_is_never_shown() {
    let loaded = load("", &[("JWT_SECRET", "hunter2hunter2")]).expect("good");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&loaded.settings).expect("settings are JSON").contains("hunter2"));
    for broken in [
        "[auth]\njwt_secret = 7263547263",
        "[auth]\njwt_secret = [\"7263547263\"]",
        "[auth]\njwt_secret = \"7263547263",
        "[auth]\njwt_secret = hunter-7263547263",
        "[auth]\njwt_secret = 7263547263-hunter",
        "[auth]\njwt_secret = \"a\\7263547263\"",
        "[auth]\njwt_secret = { a = 7263547263 }",
        "[auth]\njwt_secrt = \"7263547263\"",
        "[auth]\njwt_secrets = \"7263547263\"",
        "[auth]\njwt_secrets = [7263547263]",
        "[auth]\njwt_jwks = \"7263547263\"",
        "[auth]\njwks_url = \"ftp://user:7263547263@host\"",
        "[bus]\nredis_url = \"7263547263\"",
        "[admin]\ntoken_blocklist = 7263547263",
        "[tenants.acme.auth]\njwt_secret = 7263547263",
        "auth = \"7263547263\"",
        "[[auth]]\njwt_secret = \"7263547263\"",
    ] {
        let error = load(broken, &[]).expect_err("broken");
        assert!(!format!("{error} {error:?}").contains("7263547263"), "{error}");
    }
    for (name, value) in [
        ("API_JWT_JWKS", "7263547263"),
        ("REDIS_URL", "http://:7263547263@redis"),
        ("REDIS_URL", "redis-7263547263"),
        ("REALTIME__AUTH__JWKS_URL", "htps://idp.example/jwks?key=7263547263"),
        ("REALTIME__AUTH__JWKS_URL", "idp.example/jwks?key=7263547263"),
        ("REALTIME__AUTH__JWKS_URL", "htps://idp.example/jwks#7263547263"),
        ("REALTIME__AUTH__JWKS_URL", "ftp://ann:1/7263547263@idp.example/jwks"),
        ("REALTIME__TENANTS__ACME__AUTH__JWKS_URL", "htps://ann:7263547263@idp.example/jwks"),
        ("REALTIME__SERVER__PUBLIC_URL", "realtime.example?key=7263547263"),
        ("REALTIME__AUTH", "7263547263"),
        ("REALTIME__AUTH__JWT_SECRT", "7263547263"),
        ("REALTIME__TENANTS__ACME", r#"{"auth": {"jwt_secret": 7263547263}}"#),
        ("REALTIME__TENANTS__ACME", r#"{"auth": "7263547263""#),
    ] {
        let error = load("", &[("SEED_SELF_HOST", "true"), (name, value)]).expect_err("broken");
        assert!(!format!("{error} {error:?}").contains("7263547263"), "{error}");
    }
}

#[test]
fn of_an_address_only_the_parts_without_a_secret_are_shown() {
    let jwks = "https://ann:7263547263@idp.example:8443/jwks?key=7263547263#7263547263";
    let loaded =
        load("", &[("REALTIME__AUTH__JWKS_URL", jwks), ("REDIS_URL", "redis://:7263547263@redis:6379/1")]);
    let loaded = loaded.expect("good");
    assert_eq!(loaded.settings.auth.jwks_url.as_ref().expect("set").expose_secret(), jwks);
    assert!(!format!("{:?}", loaded.settings).contains("7263547263"));
    assert!(!serde_json::to_string(&loaded.settings).expect("settings are JSON").contains("7263547263"));
    let shown = |loaded: &settings::Loaded, key: &str| {
        loaded.effective_keys().into_iter().find(|line| line.key == key).expect("a key").value
    };
    assert_eq!(shown(&loaded, "auth.jwks_url"), "\"https://…@idp.example:8443/jwks?…\"");
    assert_eq!(shown(&loaded, "bus.redis_url"), "\"redis://…@redis:6379/1\"");

    let wrong = errors("auth.jwks_url = 'htps://ann:hush@idp.example/jwks?key=hush'", &[]);
    let expected = "config.toml:1:6: auth.jwks_url: expected an address that begins with http:// or https://, \
                    found \"htps://…@idp.example/jwks?…\"";
    assert_eq!(wrong.lines().next(), Some(expected));
    // A password that should have been percent-encoded: the host ends too soon, and half of it is the path.
    let split = load("", &[("REALTIME__AUTH__JWKS_URL", "https://ann:1/7263547263@idp.example/jwks")]);
    assert_eq!(shown(&split.expect("an address all the same"), "auth.jwks_url"), "\"********\"");
}

#[test]
fn the_address_of_a_key_set_may_be_in_a_file() {
    let folder = Folder::with(&[("config.toml", ""), ("jwks", "https://idp.example/jwks?key=k\n")]);
    let settings =
        folder.sources(&[("REALTIME__AUTH__JWKS_URL_FILE", "{}/jwks")]).load().expect("good").settings;
    assert_eq!(settings.auth.jwks_url.expect("set").expose_secret(), "https://idp.example/jwks?key=k");
}

#[test]
fn an_address_that_cannot_be_connected_to_is_refused() {
    let redis = |address| load("", &[("REDIS_URL", address)]);
    for good in [
        "redis://:hush@redis:6379/0",
        "rediss://ann:hush@redis",
        "redis://redis",
        "redis://[::1]:6379/",
        "redis://redis?protocol=resp3",
    ] {
        let settings = redis(good).unwrap_or_else(|error| panic!("{good}: {error}")).settings;
        assert_eq!(settings.bus.redis_url.expect("set").expose_secret(), good);
    }
    for bad in [
        "redis://",
        "redis://:6379",
        "redis://ann:hush@",
        "redis:///0",
        "redis://a b",
        "redis://redis:abc",
        "redis://redis:65536",
        "redis://[::1",
        "redis://redis/realtime",
    ] {
        assert!(redis(bad).is_err(), "{bad}");
    }
    let jwks = |address| load("", &[("REALTIME__AUTH__JWKS_URL", address)]);
    for good in [
        "https://a.example/jwks",
        "http://127.0.0.1:9",
        "https://u:p@a.example/?x=y",
        "https://bücher.example/",
    ] {
        assert!(jwks(good).is_ok(), "{good}");
    }
    for bad in [
        "a.example/jwks",
        "/jwks",
        "file:///etc/passwd",
        "ftp://a.example",
        "http://",
        "http:///a.example",
        "http:a.example",
        "data:,x",
        "http://h:99999/",
        "http://300.1.1.1/",
        "https://a.example/one two",
    ] {
        assert!(jwks(bad).is_err(), "{bad}");
    }
}
