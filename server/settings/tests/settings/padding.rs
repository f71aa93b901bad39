//! Unintended characters at the ends of texts, and words in another case.

use secrecy::ExposeSecret as _;
use settings::{LogFormat, LogLevel};

use crate::{Folder, good};

/// A secret of the recommended length.
const LONG: &str = "a secret of just thirty-two bytes";

/// The warnings, without the path of the folder; they must not contain the secret.
fn warnings(folder: &Folder, variables: &[(&str, &str)]) -> Vec<String> {
    let loaded = folder.sources(variables).load().unwrap_or_else(|error| panic!("should load: {error}"));
    let notes: Vec<_> = loaded.notes.iter().map(|note| folder.without_folder(&note.text)).collect();
    assert!(!notes.iter().any(|note| note.contains("thirty")), "{notes:?}");
    assert!(loaded.notes.iter().all(|note| note.warning));
    notes
}

fn of_token(place: &str, key: &str, what: &str) -> String {
    format!(
        "{place}: {key} {what}. It is part of the value, and tokens that do not have it are refused: remove it if it is unintended"
    )
}

#[test]
fn padding_of_a_secret_in_a_variable_is_kept_and_reported() {
    let folder = Folder::with(&[("config.toml", "")]);
    for (before, after, what) in [
        ("", "\n", "ends with a line break"),
        ("", "\r\n", "ends with a line break"),
        ("", "\r", "ends with a carriage return"),
        ("", " ", "ends with a space"),
        ("\t", "", "begins with a tab"),
        (" ", " ", "begins and ends with a space"),
        (" ", "\n", "begins with a space and ends with a line break"),
        ("\u{feff}", "", "begins with a byte order mark"),
        ("", "\u{a0}", "ends with white space"),
        ("", "\u{200b}", "ends with an invisible character"),
        ("\"", "\"", "is in quotes"),
        ("'", "'", "is in quotes"),
        ("a\n", "", "has a line break in it"),
    ] {
        let secret = format!("{before}{LONG}{after}");
        for (name, key) in [
            ("JWT_SECRET", "auth.jwt_secret"),
            ("API_JWT_SECRET", "admin.jwt_secret"),
            ("METRICS_JWT_SECRET", "admin.metrics_jwt_secret"),
            ("REALTIME__TENANTS__ACME__AUTH__JWT_SECRET", "tenants.acme.auth.jwt_secret"),
        ] {
            let expected = of_token(&format!("variable {name}"), key, what);
            assert_eq!(warnings(&folder, &[(name, &secret)]), [expected]);
        }
        let settings = folder.sources(&[("JWT_SECRET", &secret)]).load().expect("good").settings;
        assert_eq!(settings.auth.jwt_secret.expect("set").expose_secret(), secret, "it is taken as it is");
    }
    assert_eq!(warnings(&folder, &[("JWT_SECRET", LONG)]), [""; 0]);
    assert_eq!(
        warnings(&folder, &[("JWT_SECRET", &format!("\"{LONG}"))]),
        [""; 0],
        "one quote may be intended"
    );
}

#[test]
fn padding_of_other_texts_is_reported_in_every_source() {
    let folder = Folder::with(&[
        ("config.toml", ""),
        ("secret", &format!("{LONG} \n")),
        ("good", &format!("\u{feff}{LONG}\r\n")),
    ]);
    let blank = "ends with a space";
    assert_eq!(
        warnings(&folder, &[("JWT_SECRET_FILE", "{}/secret")]),
        [of_token("variable JWT_SECRET_FILE", "auth.jwt_secret", blank)]
    );
    let file = [("JWT_SECRET_FILE", "{}/good")];
    assert_eq!(warnings(&folder, &file), [""; 0]);
    let settings = folder.sources(&file).load().expect("good").settings;
    assert_eq!(
        settings.auth.jwt_secret.expect("set").expose_secret(),
        LONG,
        "neither the mark nor the line break"
    );

    for (key, name) in [("auth.jwt_issuer", "JWT_ISSUER"), ("auth.jwt_audience", "JWT_AUDIENCE")] {
        assert_eq!(
            warnings(&folder, &[(name, "https://us\n")]),
            [of_token(&format!("variable {name}"), key, "ends with a line break")]
        );
    }
    assert_eq!(
        warnings(&folder, &[("REGION", "eu-west-2 ")]),
        [
            "variable REGION: regions.name ends with a space. It is part of the value: remove it if it is unintended"
        ]
    );
    let item = "has an item that ends with a line break";
    let list = [("REALTIME__AUTH__JWT_SECRETS", &*format!("{LONG}\n"))];
    assert_eq!(
        warnings(&folder, &list),
        [of_token("variable REALTIME__AUTH__JWT_SECRETS", "auth.jwt_secrets", item)]
    );
    folder.write(
        "config.toml",
        &format!("[auth]\nclaim_validators = {{ aal = 'aal2 ' }}\njwt_secret = '{LONG} '"),
    );
    assert_eq!(
        warnings(&folder, &[]),
        [
            of_token("config.toml:2:22", "auth.claim_validators.aal", blank),
            of_token("config.toml:3:1", "auth.jwt_secret", blank)
        ]
    );
}

#[test]
fn many_such_texts_are_some_warnings_and_a_number() {
    let tenants =
        (0..30).map(|n| format!("[tenants.t{n:02}.auth]\njwt_secret = '{LONG}{n} '\n")).collect::<String>();
    let folder = Folder::with(&[("config.toml", &tenants)]);
    let warnings = warnings(&folder, &[]);
    assert_eq!(warnings.len(), 21);
    assert_eq!(warnings[20], "10 more texts have white space or quotes around them");
}

#[test]
fn words_of_variables_are_read_without_case() {
    for (name, value) in [("REALTIME_IP_VERSION", "IPv6"), ("REALTIME_IP_VERSION", " IPV6\n")] {
        assert_eq!(good("", &[(name, value)]).server.host.to_string(), "::");
    }
    for name in ["LOG_LEVEL", "REALTIME__TELEMETRY__LOG_LEVEL"] {
        for (value, level) in
            [("WARN", LogLevel::Warn), ("Debug", LogLevel::Debug), ("INFO\n", LogLevel::Info)]
        {
            assert_eq!(good("", &[(name, value)]).telemetry.log_level, level);
        }
    }
    assert_eq!(good("", &[("LOG_LEVEL", "Warning")]).telemetry.log_level, LogLevel::Warn);
    assert_eq!(
        good("", &[("REALTIME__TELEMETRY__LOG_FORMAT", "JSON")]).telemetry.log_format,
        LogFormat::Json
    );
    let modules =
        good("", &[("REALTIME__TELEMETRY__LOG_MODULES", r#"{"hub": "TRACE"}"#)]).telemetry.log_modules;
    assert_eq!(modules["hub"], LogLevel::Trace);
    let folder = Folder::with(&[("config.toml", "")]);
    let flag = folder.sources(&[]).with_flag("--set", "telemetry.log_level", "ERROR");
    assert_eq!(flag.load().expect("good").settings.telemetry.log_level, LogLevel::Error);
    for (name, value) in [("REALTIME__SERVER__STRICT_HOST", "True"), ("DISABLE_HEALTHCHECK_LOGGING", "TRUE")]
    {
        good("", &[(name, value)]);
    }
    let seeded =
        good("", &[("SEED_SELF_HOST", "True"), ("SELF_HOST_TENANT_NAME", "dev"), ("API_JWT_SECRET", LONG)]);
    assert_eq!(seeded.seed.tenant.as_deref(), Some("dev"));
    assert_eq!(seeded.seed.jwt_secret.expect("seeded").expose_secret(), LONG);
}
