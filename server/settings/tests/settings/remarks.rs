//! Notes about accepted but inadvisable values: short secrets, and one secret in two roles.

use crate::{Folder, errors, load};

/// A secret of the recommended length.
const LONG: &str = "a secret of just thirty-two byte";

fn remarks(file: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let loaded = load(file, variables).unwrap_or_else(|error| panic!("should load: {error}"));
    loaded.notes.into_iter().filter(|note| note.warning).map(|note| note.text).collect()
}

fn short(keys: &str) -> String {
    format!(
        "{keys}: shorter than 32 bytes. A secret that short can be found by brute force from one token: use longer ones, such as from `openssl rand -base64 48`"
    )
}

#[test]
fn a_short_secret_is_reported_in_every_source() {
    assert_eq!(remarks("", &[("JWT_SECRET", &LONG[..31])]), [short("auth.jwt_secret")]);
    assert_eq!(remarks("", &[("JWT_SECRET", LONG)]), [""; 0]);
    for (file, key) in [
        ("auth.jwt_secrets = ['short']", "auth.jwt_secrets"),
        ("admin.jwt_secret = 'short'", "admin.jwt_secret"),
        ("admin.jwt_secrets = ['short', 'shorter']", "admin.jwt_secrets"),
        ("admin.metrics_jwt_secret = 'short'", "admin.metrics_jwt_secret"),
        ("[tenants.acme.auth]\njwt_secret = 'short'", "tenants.acme.auth.jwt_secret"),
        ("[tenants.acme.auth]\njwt_secrets = ['short']", "tenants.acme.auth.jwt_secrets"),
        ("[tenants.default.auth]\njwt_secret = 'short'", "auth.jwt_secret"),
    ] {
        assert_eq!(remarks(file, &[]), [short(key)]);
    }
    // They do not sign tokens.
    assert_eq!(remarks("admin.token_blocklist = ['a']", &[]), [""; 0]);
}

#[test]
fn any_number_of_short_secrets_is_one_note() {
    let tenant = |n: usize| format!("[tenants.t{n:02}.auth]\njwt_secret = 'short'\n");
    let tenants = |count: usize| remarks(&(0..count).map(tenant).collect::<String>(), &[]);
    assert_eq!(tenants(2), [short("tenants.t00.auth.jwt_secret, tenants.t01.auth.jwt_secret")]);
    let [many] = &*tenants(25) else { panic!("one remark") };
    assert!(many.contains("tenants.t19.auth.jwt_secret and 5 more: shorter"), "{many}");
}

#[test]
fn a_tenant_may_not_have_the_operators_secret() {
    let refused = |key: &str, other: &str, place: &str| {
        format!(
            "{place}: {key}: must not be a secret of {other} too: a token of this tenant's users that has no `role` \
             would work there"
        )
    };
    let acme = format!("[tenants.acme.auth]\njwt_secret = '{LONG}acme'\njwt_secrets = ['{LONG}more']\n");
    for (admin, key, line) in [
        (format!("admin.jwt_secret = '{LONG}acme'\n"), "jwt_secret", 3),
        (format!("admin.jwt_secrets = ['{LONG}x', '{LONG}more']\n"), "jwt_secrets", 4),
        (format!("admin.metrics_jwt_secret = '{LONG}acme'\n"), "jwt_secret", 3),
    ] {
        let other = admin.split(' ').next().expect("a key").to_owned();
        let expected = refused(&format!("tenants.acme.auth.{key}"), &other, &format!("config.toml:{line}:1"));
        assert_eq!(errors(&format!("{admin}{acme}"), &[]), expected);
    }
    let errors = errors(&acme, &[("API_JWT_SECRET", &format!("{LONG}acme"))]);
    assert_eq!(errors, refused("tenants.acme.auth.jwt_secret", "admin.jwt_secret", "config.toml:2:1"));
    assert!(!errors.contains(LONG));
    let different = [("API_JWT_SECRET", &*format!("{LONG}operators"))];
    assert_eq!(remarks(&acme, &different), [""; 0]);
}

// As in Supabase's compose file, where one secret has all roles. The token distinguishes users from operators.
#[test]
fn the_operators_secret_may_be_the_default_tenants() {
    assert_eq!(remarks("", &[("JWT_SECRET", LONG), ("API_JWT_SECRET", LONG)]), [""; 0]);
    let own = format!("[tenants.default.auth]\njwt_secret = '{LONG}'");
    assert_eq!(remarks(&own, &[("API_JWT_SECRET", LONG)]), [""; 0]);
}

#[test]
fn a_pending_default_tenant_may_not_share_the_operators_secret_yet() {
    let folder = Folder::with(&[("config.toml", "[tenants.acme]")]);
    let sources = folder.sources(&[("API_JWT_SECRET", LONG)]);
    let running = sources.load().expect("good").running();
    let shared = format!("server.default_tenant = 'acme'\n[tenants.acme.auth]\njwt_secret = '{LONG}'");
    folder.write("config.toml", &shared);
    assert!(sources.load().is_ok(), "once it is started again");
    let refused = sources.reload(&running, |_| Ok(())).expect_err("now it is a tenant like any other");
    let refused = refused.error.to_string();
    assert!(
        refused.contains("tenants.acme.auth.jwt_secret: must not be a secret of admin.jwt_secret too"),
        "{refused}"
    );
    assert!(refused.contains("until a restart, the default tenant is default"), "{refused}");
}

#[test]
fn a_metrics_secret_that_is_also_the_operators_is_reported() {
    let remark = |key| {
        format!(
            "admin.metrics_jwt_secret is a secret of {key} too: a token for /metrics has all permissions of an operator"
        )
    };
    let remarks = |other| remarks("", &[("METRICS_JWT_SECRET", LONG), other]);
    assert_eq!(remarks(("API_JWT_SECRET", LONG)), [remark("admin.jwt_secret")]);
    assert_eq!(remarks(("API_JWT_SECRET_NEXT", LONG)), [remark("admin.jwt_secrets")]);
    let other = format!("{LONG}, another");
    assert_eq!(remarks(("API_JWT_SECRET", &other)), [""; 0]);
}

#[test]
fn nodes_that_share_no_store_are_remarked() {
    let redis = ("REDIS_URL", "redis://redis:6379");
    let alone = remarks("", &[redis]);
    assert!(matches!(&alone[..], [one] if one.contains("DATABASE_URL")), "{alone:?}");
    assert_eq!(remarks("", &[redis, ("DATABASE_URL", "postgres://db")]), [""; 0]);
    assert_eq!(remarks("", &[redis, ("DB_HOST", "db")]), [""; 0]);
}
