//! Field by field: what is accepted, what is stored, and the text of each error.

use std::num::NonZeroUsize;

use super::*;

/// The columns that requests set, as JSON.
fn columns(tenant: &StoredTenant) -> Value {
    json!({
        "external_id": tenant.external_id,
        "name": tenant.name,
        "jwt_jwks": tenant.jwt_jwks,
        "max_concurrent_users": tenant.max_concurrent_users,
        "max_events_per_second": tenant.max_events_per_second,
        "max_bytes_per_second": tenant.max_bytes_per_second,
        "max_channels_per_client": tenant.max_channels_per_client,
        "max_joins_per_second": tenant.max_joins_per_second,
        "max_presence_events_per_second": tenant.max_presence_events_per_second,
        "max_payload_size_in_kb": tenant.max_payload_size_in_kb,
        "max_client_presence_events_per_window": tenant.max_client_presence_events_per_window,
        "client_presence_window_ms": tenant.client_presence_window_ms,
        "postgres_cdc_default": tenant.postgres_cdc_default,
        "suspend": tenant.suspend,
        "private_only": tenant.private_only,
        "presence_enabled": tenant.presence_enabled,
        "broadcast_adapter": tenant.broadcast_adapter,
        "feature_flags": tenant.feature_flags,
        "migrations_ran": tenant.migrations_ran,
    })
}

const LIMITS: [&str; 6] = [
    "max_concurrent_users",
    "max_events_per_second",
    "max_channels_per_client",
    "max_joins_per_second",
    "max_presence_events_per_second",
    "max_payload_size_in_kb",
];

#[test]
fn fields_that_are_not_given_have_their_defaults() {
    let limits = Limits::default();
    let expected = json!({
        "external_id": "acme",
        "name": "acme",
        "jwt_jwks": null,
        "max_concurrent_users": 200,
        "max_events_per_second": limits.max_events_per_second,
        "max_bytes_per_second": 100_000,
        "max_channels_per_client": limits.max_channels_per_client,
        "max_joins_per_second": limits.max_joins_per_second,
        "max_presence_events_per_second": 1_000,
        "max_payload_size_in_kb": 3_000,
        "max_client_presence_events_per_window": null,
        "client_presence_window_ms": null,
        "postgres_cdc_default": "postgres_cdc_rls",
        "suspend": false,
        "private_only": false,
        "presence_enabled": false,
        "broadcast_adapter": "gen_rpc",
        "feature_flags": {},
        "migrations_ran": 0,
    });
    let tenant = create(json!({})).expect("valid");
    assert_eq!(columns(&tenant), expected);
    assert_eq!(tenant.extensions, []);
    assert!(Uuid::parse_str(&tenant.id).is_ok(), "{}", tenant.id);
    let null = expected.as_object().expect("an object").keys().map(|field| (field.clone(), Value::Null));
    let tenant = create(null.collect::<Map<_, _>>().into()).expect("null is the default");
    assert_eq!(columns(&tenant), expected);
    let users = NonZeroUsize::new(usize::MAX);
    let limits = Limits { max_concurrent_users: users, ..Limits::default() };
    let tenant = apply(&object(json!({"jwt_secret": "s"})), None, "acme", &keys(), &limits).expect("valid");
    assert_eq!(tenant.max_concurrent_users, i32::MAX);
}

#[test]
fn fields_are_stored_as_the_type_of_their_column() {
    let numbers = ["max_bytes_per_second", "migrations_ran", "max_client_presence_events_per_window"];
    let switches = ["suspend", "private_only", "presence_enabled"];
    let of_numbers = LIMITS
        .iter()
        .chain(&numbers)
        .flat_map(|field| [(*field, json!(5), json!(5)), (*field, json!("5"), json!(5))].into_iter());
    let of_switches = switches.iter().flat_map(|field| {
        [(*field, json!(true), json!(true)), (*field, json!("true"), json!(true))].into_iter()
    });
    let set = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]});
    let others = [
        ("jwt_jwks", set.clone(), set),
        ("client_presence_window_ms", json!("-5"), json!(-5)),
        ("postgres_cdc_default", json!("postgres_cdc_rls"), json!("postgres_cdc_rls")),
        ("broadcast_adapter", json!("phoenix"), json!("phoenix")),
        ("feature_flags", json!({"a": true}), json!({"a": true})),
    ];
    for (field, given, stored) in of_numbers.chain(of_switches).chain(others) {
        let body = json!({ field: given });
        let created = create(body.clone()).expect("valid");
        assert_eq!(columns(&created)[field], stored, "{body}");
        let before = create(json!({})).expect("valid");
        let updated = update(&before, body.clone()).expect("valid");
        assert_eq!(columns(&updated)[field], stored, "{body}");
        let blank = update(&updated, json!({ field: " " })).expect("valid");
        assert_eq!(columns(&blank), columns(&before), "{body}");
    }
}

#[test]
fn fields_of_another_type_are_invalid() {
    let numbers = ["max_bytes_per_second", "migrations_ran", "client_presence_window_ms"];
    let of_numbers = LIMITS
        .iter()
        .chain(&numbers)
        .flat_map(|field| [json!(5.5), json!("five"), json!([])].map(|value| (*field, value, "is invalid")));
    let of_limits = LIMITS.iter().flat_map(|field| {
        [json!(0), json!(-1)].map(|value| (*field, value, "must be greater than or equal to 1"))
    });
    let others = [
        ("name", json!(5), "is invalid"),
        ("name", json!("n".repeat(256)), "should be at most 255 byte(s)"),
        ("jwt_secret", json!(5), "is invalid"),
        ("jwt_secret", json!("s".repeat(65_536)), "should be at most 65535 byte(s)"),
        ("jwt_jwks", json!("{\"keys\":[]}"), "is invalid"),
        ("jwt_jwks", json!([]), "is invalid"),
        ("jwt_jwks", json!({}), "is invalid"),
        ("jwt_jwks", json!({"keys": {}}), "is invalid"),
        ("max_concurrent_users", json!(1_u64 << 31), "must be less than or equal to 2147483647"),
        ("migrations_ran", json!(-1), "must be greater than or equal to 0"),
        ("postgres_cdc_default", json!("mysql"), "is invalid"),
        ("suspend", json!(1), "is invalid"),
        ("private_only", json!("no"), "is invalid"),
        ("presence_enabled", json!({}), "is invalid"),
        ("broadcast_adapter", json!("carrier"), "is invalid"),
        ("feature_flags", json!([]), "is invalid"),
        (
            "feature_flags",
            json!({"a": (0..32).fold(json!([]), |inside, _| json!([inside]))}),
            "should be nested at most 32 level(s) deep",
        ),
        ("extensions", json!({}), "is invalid"),
        ("extensions", json!(null), "is invalid"),
    ];
    let existing = create(json!({})).expect("valid");
    for (field, given, text) in of_numbers.chain(of_limits).chain(others) {
        let body = json!({ field: given });
        assert_eq!(create(body.clone()), Err(error(field, text)), "{body}");
        assert_eq!(update(&existing, body.clone()), Err(error(field, text)), "{body}");
    }
}
