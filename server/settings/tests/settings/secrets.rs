//! Secrets: from files, and never shown.

use secrecy::ExposeSecret as _;

use crate::{Folder, good, load};

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
fn a_key_that_is_a_file_is_not_taken_for_a_secret() {
    let settings = good("", &[("REALTIME__BUS__TLS_CA_FILE", "/ca.pem")]);
    assert_eq!(settings.bus.tls_ca_file.as_deref(), Some(std::path::Path::new("/ca.pem")));
}

#[test]
fn a_secret_and_a_file_with_it_are_one_too_many() {
    let folder = Folder::with(&[("config.toml", ""), ("jwt", "s"), ("empty", "\n")]);
    let both = "set one of the two: which of them is meant cannot be known";
    assert_eq!(
        folder.told(&[("JWT_SECRET", "s"), ("JWT_SECRET_FILE", "{}/jwt")]),
        format!("variable JWT_SECRET: JWT_SECRET_FILE is set as well\n    help: {both}")
    );
    let ours = [("REALTIME__AUTH__JWT_SECRET", "s"), ("REALTIME__AUTH__JWT_SECRET_FILE", "{}/jwt")];
    assert_eq!(
        folder.told(&ours),
        format!(
            "variable REALTIME__AUTH__JWT_SECRET: REALTIME__AUTH__JWT_SECRET_FILE is set as well\n    help: {both}"
        )
    );
    assert_eq!(folder.told(&[("JWT_SECRET_FILE", "{}/empty")]), "variable JWT_SECRET_FILE: empty is empty");
    assert_eq!(
        folder.told(&[("JWT_SECRET_FILE", "{}/none")]),
        "variable JWT_SECRET_FILE: none cannot be read: No such file or directory (os error 2)"
    );
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

/// What a variable makes of `auth.jwt_secrets`.
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
fn half_a_list_is_not_taken_for_a_secret() {
    let told = Folder::with(&[("config.toml", "")]).told(&[("REALTIME__AUTH__JWT_SECRETS", "[\"half")]);
    let expected = "variable REALTIME__AUTH__JWT_SECRETS: auth.jwt_secrets: expected a list, each text in quotes, \
                    found something else";
    assert_eq!(told.lines().next(), Some(expected));
}

#[test]
fn the_next_secret_of_operators_is_one() {
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
fn tokens_that_are_refused_are_parted_by_commas_and_lines() {
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
fn what_is_no_secret_has_no_file() {
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
        ("REDIS_URL", "http://7263547263"),
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
fn an_address_may_have_a_password_and_no_user() {
    for address in ["redis://:hush@redis:6379/0", "rediss://ann:hush@redis", "redis://redis"] {
        let settings = good("", &[("REDIS_URL", address)]);
        assert_eq!(settings.bus.redis_url.expect("set").expose_secret(), address);
    }
    for nobody in ["redis://", "redis://:6379", "redis://ann:hush@", "redis:///0", "redis://a b"] {
        assert!(load("", &[("REDIS_URL", nobody)]).is_err(), "{nobody}");
    }
}
