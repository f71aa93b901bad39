//! The values that tenants inherit, and the default tenant.

use secrecy::ExposeSecret as _;
use settings::Tenant;

use crate::{errors, good};

fn secret(tenant: &Tenant) -> Option<&str> {
    tenant.auth.jwt_secret.as_ref().map(|secret| secret.expose_secret())
}

#[test]
fn limits_are_inherited_and_keys_are_not() {
    let file = "[auth]\njwt_secret = 'ours'\njwt_issuer = 'us'\n[limits]\nmax_joins_per_second = 7\n\
                max_events_per_second = 8\n[tenants.acme.limits]\nmax_events_per_second = 9\n[tenants.initech]";
    let tenants = good(file, &[("TENANT_MAX_CHANNELS_PER_CLIENT", "3")]).every_tenant();
    let acme = &tenants["acme"];
    assert_eq!(acme.limits.max_joins_per_second.get(), 7);
    assert_eq!(acme.limits.max_events_per_second.get(), 9);
    assert_eq!(acme.limits.max_channels_per_client.get(), 3, "from a variable, too");
    assert_eq!((secret(acme), acme.auth.jwt_issuer.as_deref()), (None, None));
    assert_eq!(tenants["initech"].limits.max_events_per_second.get(), 8);
}

#[test]
fn the_default_tenant_has_the_values_of_auth_and_limits() {
    let file = "[auth]\njwt_secret = 'ours'\n[limits]\nmax_joins_per_second = 7\n[presence]\nenabled = true";
    let tenants = good(file, &[]).every_tenant();
    assert_eq!(tenants.keys().collect::<Vec<_>>(), ["default"]);
    let default = &tenants["default"];
    assert_eq!(secret(default), Some("ours"));
    assert_eq!(default.limits.max_joins_per_second.get(), 7);
    assert_eq!(default.presence_enabled, Some(true));
    assert!(!default.suspended);
}

#[test]
fn a_section_of_its_own_adds_to_the_default_tenant() {
    let file = "[server]\ndefault_tenant = 'acme'\n[auth]\njwt_secret = 'ours'\n[limits]\n\
                max_joins_per_second = 7\n[tenants.acme]\nprivate_only = true\nregion = 'eu-west-1'\n\
                [tenants.acme.limits]\nmax_events_per_second = 9\n[tenants.initech]\npresence_enabled = true";
    let tenants = good(file, &[]).every_tenant();
    assert_eq!(tenants.keys().collect::<Vec<_>>(), ["acme", "initech"]);
    let acme = &tenants["acme"];
    assert_eq!(secret(acme), Some("ours"));
    assert!(acme.private_only);
    assert_eq!(acme.region.as_deref(), Some("eu-west-1"));
    assert_eq!(acme.limits.max_joins_per_second.get(), 7);
    assert_eq!(acme.limits.max_events_per_second.get(), 9);
    assert_eq!(acme.presence_enabled, Some(false));
    assert_eq!(tenants["initech"].presence_enabled, Some(true));
    assert_eq!(tenants["initech"].limits.max_events_per_second.get(), 10_000, "those are for acme alone");
}

#[test]
fn the_default_tenants_keys_are_set_in_one_place() {
    let tenants = good("[tenants.default.auth]\njwt_secret = 'ours'", &[]).every_tenant();
    assert_eq!(secret(&tenants["default"]), Some("ours"));

    let file = "[auth]\njwt_issuer = 'us'\n[tenants.default.auth]\njwt_secret = 'ours'";
    assert_eq!(
        errors(file, &[]),
        "config.toml:4:1: tenants.default.auth: the keys of the default tenant are set in [auth] too \
         (config.toml:2:1)\n    help: set all of them in one of the two"
    );
    let errors = errors("[tenants.default.auth]\njwt_issuer = 'us'", &[("JWT_SECRET", "ours")]);
    assert!(errors.contains("set in [auth] too (variable JWT_SECRET)"), "{errors}");
}

#[test]
fn an_invalid_tenant_id_is_refused() {
    for good_name in ["a", "0", "_", "my-app_2", "n", "ni", "nils", "nil-", &"x".repeat(63)] {
        good(&format!("[tenants.{good_name}]"), &[]);
    }
    let expected = "the name must be 1 to 63 of the letters a-z, digits, `-` and `_`, not `-` first, \
                    and not `nil`";
    for (bad, shown, help) in [
        ("-a", "-a", ""),
        ("Acme", "Acme", "\n    help: write acme"),
        ("\"a.b\"", "\"a.b\"", "\n    help: write a-b"),
        ("\"\"", "\"\"", ""),
        // Its series would be those of no tenant.
        ("nil", "nil", ""),
    ] {
        assert_eq!(
            errors(&format!("[tenants.{bad}]"), &[]),
            format!("config.toml:1:10: tenants.{shown}: {expected}{help}")
        );
    }
    assert!(errors(&format!("[tenants.{}]", "x".repeat(64)), &[]).ends_with(expected));
    let errors = errors("[server]\ndefault_tenant = 'Acme'", &[]);
    assert!(
        errors.starts_with("config.toml:2:1: server.default_tenant: expected 1 to 63 of the letters"),
        "{errors}"
    );
}

#[test]
fn a_tenant_has_the_history_of_all_or_one_of_its_own() {
    let file = "[broadcast.history]\nrooms = ['chat:*']\nmax_messages = 7\n[tenants.acme]\n\
                [tenants.initech.history]\nrooms = ['news']\n[tenants.default]";
    let tenants = good(file, &[]).every_tenant();
    let of = |name: &str| (&tenants[name].history, tenants[name].history.max_messages.get());
    for name in ["acme", "default"] {
        let (history, messages) = of(name);
        assert_eq!((history.keeps("chat:1"), history.keeps("news"), messages), (true, false, 7), "{name}");
    }
    let (history, messages) = of("initech");
    assert_eq!((history.keeps("chat:1"), history.keeps("news"), messages), (false, true, 100));
    assert!(!good("", &[]).every_tenant()["default"].history.is_enabled());
    assert!(good("broadcast.history.rooms = ['*']", &[]).every_tenant()["default"].history.is_enabled());
}

#[test]
fn a_pattern_that_no_topic_can_match_is_refused() {
    let expected = "config.toml:1:19: broadcast.history.rooms: expected a pattern of topics of 1 to 255 bytes, such as \
                    chat:*, found \"\"";
    assert_eq!(errors("broadcast.history.rooms = ['a', '']", &[]), expected);
    let replay = errors("broadcast.history.max_replay = 1001", &[]);
    assert!(replay.contains("expected a whole number from 1 to 1000"), "{replay}");
}

// PostgreSQL would refuse or cut the name of the slot when a client joins, long after the start.
#[test]
fn the_end_of_a_slots_name_is_checked() {
    let expected = |key: &str, found: &str| {
        format!("{key}: expected at most 19 of the letters a-z, digits and `_`, found \"{found}\"")
    };
    for suffix in ["Blue", "blue-2", "blue 2", "ü", "a_suffix_of_20_bytes"] {
        let problems = errors(&format!("database.slot_suffix = '{suffix}'"), &[]);
        assert!(problems.contains(&expected("database.slot_suffix", suffix)), "{problems}");
        let problems = errors(&format!("tenants.acme.database.slot_suffix = '{suffix}'"), &[]);
        assert!(problems.contains(&expected("tenants.acme.database.slot_suffix", suffix)), "{problems}");
        let problems = errors("", &[("SLOT_NAME_SUFFIX", suffix)]);
        assert!(problems.contains("SLOT_NAME_SUFFIX"), "{problems}");
    }
    for suffix in ["", "blue_2", "0123456789_01234567"] {
        assert_eq!(good(&format!("database.slot_suffix = '{suffix}'"), &[]).database.slot_suffix, suffix);
    }
}
