//! Command lines, and whether the server accepts the tokens they produce.

use clap::Parser;
use http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret;
use serde_json::json;
use settings::{Auth, Tenant};

use super::*;
use crate::auth::{Claims, Operators, TokenError, Verifier};

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    args: Args,
}

fn args(line: &[&str]) -> Args {
    CommandLine::try_parse_from([&["token"], line].concat()).expect("a good command line").args
}

/// Settings without a secret, with a data directory of this test.
fn settings() -> (Settings, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut settings = Settings::default();
    settings.server.data_dir = folder.path().into();
    (settings, folder)
}

/// The token that this command line signs at `now`.
fn token(settings: &Settings, line: &[&str], now: SystemTime) -> String {
    issue(settings, args(line), now).expect("a token").0
}

/// The error of this command line.
fn refused(settings: &Settings, line: &[&str]) -> String {
    format!("{:#}", issue(settings, args(line), SystemTime::now()).expect_err("no token"))
}

#[test]
fn a_token_has_the_claims_that_the_server_requires() {
    let (mut settings, _folder) = settings();
    settings.auth.jwt_secret = Some("secret".into());
    settings.auth.jwt_issuer = Some("us".into());
    settings.auth.jwt_audience = Some("rt".into());
    settings.auth.claim_validators = [("aal".into(), json!("aal2"))].into();
    let (verifier, now) = (Verifier::new(&settings.auth, None), SystemTime::now());

    let claims =
        verifier.verify::<Claims>(&token(&settings, &["--sub", "ann", "--expires-in", "10y"], now), now);
    let claims = claims.expect("good");
    assert_eq!((&*claims.role, claims.sub.as_deref()), ("authenticated", Some("ann")));

    for (asked, claim) in [(r#"{"aud":"mine"}"#, "aud"), (r#"{"aal":"aal1"}"#, "aal")] {
        let token = token(&settings, &["--claims", asked], now);
        let expected = Err(TokenError::Rejected(claim.into()));
        assert_eq!(verifier.verify::<Claims>(&token, now), expected, "an argument overrides the setting");
    }
}

#[test]
fn a_token_for_another_tenant_is_signed_with_its_secret() {
    let (mut settings, _folder) = settings();
    settings.auth.jwt_secret = Some("ours".into());
    let acme =
        Auth { jwt_secrets: vec!["theirs".into()], jwt_issuer: Some("acme".into()), ..Auth::default() };
    settings.tenants.insert("acme".into(), Tenant { auth: acme.clone(), ..Tenant::default() });
    settings.tenants.insert("keyless".into(), Tenant::default());
    let now = SystemTime::now();

    let theirs = token(&settings, &["--tenant", "acme"], now);
    assert!(Verifier::new(&acme, None).verify::<Claims>(&theirs, now).is_ok());
    assert_eq!(
        Verifier::new(&settings.auth, None).verify::<Claims>(&theirs, now),
        Err(TokenError::Signature)
    );
    let ours = token(&settings, &["--tenant", "default"], now);
    assert!(Verifier::new(&settings.auth, None).verify::<Claims>(&ours, now).is_ok());

    let expected = "there is no tenant `acne`; beside the default one, `default`: `acme`, `keyless`";
    assert_eq!(refused(&settings, &["--tenant", "acne"]), expected);
    assert!(refused(&settings, &["--tenant", "keyless"]).starts_with("the tenant `keyless` has no secret"));
    settings.tenants.clear();
    let expected = "there is no tenant `acme`, only the default one, `default`";
    assert_eq!(refused(&settings, &["--tenant", "acme"]), expected);
}

#[test]
fn tokens_for_operators_and_for_metrics() {
    let (mut settings, _folder) = settings();
    for (line, variable) in [("--operator", "API_JWT_SECRET"), ("--metrics", "METRICS_JWT_SECRET")] {
        let error = refused(&settings, &[line]);
        assert!(error.contains(variable), "{error}");
    }
    settings.admin.jwt_secret = Some("operators".into());
    settings.admin.metrics_jwt_secret = Some("metrics".into());
    settings.auth.claim_validators = [("env".into(), json!("prod"))].into();
    let (operators, now) =
        (Operators::new(&settings.admin, &settings.auth, &settings.seed), SystemTime::now());
    let headers = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let value = HeaderValue::from_str(&format!("Bearer {}", token(&settings, &words, now)));
        HeaderMap::from_iter([(header::AUTHORIZATION, value.expect("a header"))])
    };
    let sub = |line| {
        operators.authenticate(&headers(line), now).map(|operator| operator.sub().map(ToOwned::to_owned))
    };
    assert_eq!(sub("--operator"), Ok(None));
    assert_eq!(sub("--operator --sub ann"), Ok(Some("ann".to_owned())));
    assert_eq!(operators.authenticate_for_metrics(&headers("--metrics"), now), Ok(()));
    assert!(operators.authenticate(&headers("--metrics"), now).is_err());
    assert!(operators.authenticate_for_metrics(&headers("--operator"), now).is_err());

    let error = refused(&settings, &["--operator", "--claims", r#"{"role":"service_role"}"#]);
    assert!(error.starts_with("a token with a `role` is a user's"), "{error}");
    settings.auth.jwt_secret = settings.admin.jwt_secret.clone();
    // One secret for both: the token says whose it is.
    let operators = Operators::new(&settings.admin, &settings.auth, &settings.seed);
    let (token, _about) = issue(&settings, args(&["--operator", "--sub", "ann"]), now).expect("a token");
    let headers = [(header::AUTHORIZATION, format!("Bearer {token}").parse().expect("a header"))];
    let operator = operators.authenticate(&HeaderMap::from_iter(headers), now).expect("an operator's");
    assert_eq!(operator.sub(), Some("ann"));
}

#[test]
fn a_lifetime_without_a_unit_is_seconds() {
    let lifetime = |text| args(&["--expires-in", text]).expires_in;
    assert_eq!(lifetime("3600"), lifetime("1h"));
    assert_eq!(lifetime("0"), Duration::ZERO);
}

#[test]
fn the_configured_secret_comes_before_the_development_secret() {
    let (mut settings, _folder) = settings();
    let secret = |settings: &Settings| Ok::<_, anyhow::Error>(secret::of_users(settings, None)?.1.secret);
    let missing = secret(&settings).expect_err("there is none").to_string();
    assert!(missing.contains("JWT_SECRET"), "{missing}");

    let file = crate::cli::data_dir::DataDir::of(&settings).dev_secret_file();
    std::fs::write(&file, "made up\n").expect("the folder is writable");
    assert_eq!(secret(&settings).expect("from the folder").expose_secret(), "made up");

    settings.auth.jwt_secret = Some("configured".into());
    settings.auth.jwt_secrets = vec!["only verifies".into()];
    assert_eq!(secret(&settings).expect("from the settings").expose_secret(), "configured");

    settings.auth = Auth::default();
    std::fs::write(&file, " \n").expect("the folder is writable");
    assert!(secret(&settings).expect_err("it is empty").to_string().contains("is empty"));
}

#[test]
fn a_bad_command_line_is_explained() {
    for (line, expected) in [
        (&["--claims", "[]"][..], "must be a JSON object"),
        (&["--expires-in", "soon"], "must be a duration such as 30s, 5m or 1h"),
        (&["--expires-in", "99999999999999999999"], "must be a duration such as 30s, 5m or 1h"),
        (&["--role", ""], "a value is required"),
        (&["--operator", "--metrics"], "cannot be used with"),
        (&["--operator", "--role", "anon"], "cannot be used with"),
        (&["--operator", "--tenant", "acme"], "cannot be used with"),
        (&["--metrics", "--sub", "ann"], "cannot be used with"),
    ] {
        let error =
            CommandLine::try_parse_from([&["token"][..], line].concat()).expect_err("bad").to_string();
        assert!(error.contains(expected), "{error}");
    }
}
