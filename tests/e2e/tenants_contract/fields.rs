//! «4.1 Representation» and «4.2 Accepted fields»: how a tenant is shown, and each field with its default, its cast, and what it refuses.

use serde_json::{Value, json};

use super::{Api, SECRET, database, invalid, on_each_store};

on_each_store!(
    a_tenant_is_shown_with_these_fields_and_no_others,
    what_is_absent_has_its_default,
    each_field_is_cast_and_refuses_other_types,
);

/// The fields whose value can be read by GET, with one that is given, and how it is stored then.
const SHOWN: [(&str, &str, &str); 12] = [
    ("max_concurrent_users", "\"5\"", "5"),
    ("max_concurrent_users", "7", "7"),
    ("max_events_per_second", "\"5\"", "5"),
    ("max_channels_per_client", "\"5\"", "5"),
    ("max_joins_per_second", "\"5\"", "5"),
    ("max_client_presence_events_per_window", "\"5\"", "5"),
    ("max_client_presence_events_per_window", "null", "null"),
    ("client_presence_window_ms", "\"5\"", "5"),
    ("client_presence_window_ms", "null", "null"),
    ("private_only", "\"true\"", "true"),
    ("private_only", "\"0\"", "false"),
    ("presence_enabled", "true", "true"),
];

const WRONG: [(&str, &[&str]); 20] = [
    ("external_id", &["5", "{}", "[]"]),
    ("name", &["5", "{}", "true"]),
    ("jwt_secret", &["5", "{}", "[\"s\"]"]),
    ("jwt_jwks", &["5", "\"{}\"", "[]", "{}", "{\"keys\": {}}"]),
    ("max_concurrent_users", &["1.5", "\"1.5\"", "\"five\"", "true", "{}"]),
    ("max_events_per_second", &["1.5", "\"five\"", "[]"]),
    ("max_bytes_per_second", &["1.5", "\"five\"", "[]"]),
    ("max_channels_per_client", &["1.5", "\"five\"", "[]"]),
    ("max_joins_per_second", &["1.5", "\"five\"", "[]"]),
    ("max_presence_events_per_second", &["1.5", "\"five\"", "[]"]),
    ("max_payload_size_in_kb", &["1.5", "\"five\"", "[]"]),
    ("max_client_presence_events_per_window", &["1.5", "\"five\"", "[]"]),
    ("client_presence_window_ms", &["1.5", "\"five\"", "[]"]),
    ("postgres_cdc_default", &["5", "\"another\""]),
    ("suspend", &["1", "\"yes\"", "{}"]),
    ("private_only", &["1", "\"yes\"", "{}"]),
    ("presence_enabled", &["1", "\"yes\"", "{}"]),
    ("broadcast_adapter", &["5", "\"another\""]),
    ("feature_flags", &["5", "[]", "\"{}\""]),
    ("migrations_ran", &["1.5", "\"five\"", "{}"]),
];

mod checks {
    use super::*;

    /// «4.1 Representation».
    pub async fn a_tenant_is_shown_with_these_fields_and_no_others(api: &Api) {
        let (status, created) = api.create("acme", json!({"extensions": [database(json!({}))]})).await;
        let mut shown = created["data"].clone();
        assert_eq!(status, 201, "{created}");
        let id = shown["id"].as_str().expect("a text");
        assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
        let mut settings = shown["extensions"][0]["settings"].clone();
        for time in [
            &shown["inserted_at"],
            &shown["extensions"][0]["inserted_at"],
            &shown["extensions"][0]["updated_at"],
        ] {
            let digits = time.as_str().expect("a text").replace(|it: char| it.is_ascii_digit(), "0");
            assert_eq!(digits, "0000-00-00T00:00:00", "no zone and no fraction");
        }
        for name in ["db_host", "db_name", "db_port", "db_user"] {
            let value = settings[name].take();
            assert!(value.as_str().expect("a text").starts_with("g1:"), "{name} is encrypted: {value}");
        }
        let expected = json!({
            "region": "us-east-1", "db_host": null, "db_name": null, "db_port": null, "db_user": null,
            "poll_interval_ms": 100, "poll_max_changes": 100, "poll_max_record_bytes": 1_048_576,
            "publication": "supabase_realtime", "slot_name": "supabase_realtime_replication_slot",
        });
        assert_eq!(settings, expected);
        for changing in ["id", "inserted_at"] {
            shown[changing].take();
        }
        let extensions = shown["extensions"].take();
        assert_eq!(extensions.as_array().map(Vec::len), Some(1));
        let mut fields: Vec<_> = extensions[0].as_object().expect("an object").keys().collect();
        fields.sort();
        assert_eq!(fields, ["inserted_at", "settings", "type", "updated_at"]);
        let expected = json!({
            "id": null, "external_id": "acme", "name": "acme", "max_concurrent_users": 200,
            "max_channels_per_client": 100, "max_events_per_second": 10_000, "max_joins_per_second": 2_500,
            "inserted_at": null, "extensions": null, "private_only": false,
            "max_client_presence_events_per_window": null, "client_presence_window_ms": null,
            "presence_enabled": false,
            "suspend": false,
        });
        assert_eq!(shown, expected);
        assert_eq!(api.call("GET", "/api/tenants/acme").await, (200, created));
    }

    /// 4.2, «Default when absent».
    pub async fn what_is_absent_has_its_default(api: &Api) {
        assert_eq!(api.create("acme", json!({"name": "Another"})).await.0, 201);
        let row = api.row("acme").await;
        assert_eq!(row.name.as_deref(), Some("acme"), "always the external id");
        let users = (row.max_concurrent_users, row.max_channels_per_client, row.max_joins_per_second);
        assert_eq!((users, row.max_events_per_second), ((200, 100, 2_500), 10_000), "Ours: [limits]");
        assert_eq!((row.max_bytes_per_second, row.max_payload_size_in_kb), (100_000, Some(3_000)));
        assert_eq!(row.max_presence_events_per_second, Some(1_000));
        assert_eq!((row.max_client_presence_events_per_window, row.client_presence_window_ms), (None, None));
        assert_eq!((row.suspend, row.private_only, row.presence_enabled), (Some(false), false, false));
        assert_eq!((row.migrations_ran, row.feature_flags), (Some(0), json!({})));
        assert_eq!(row.postgres_cdc_default.as_deref(), Some("postgres_cdc_rls"));
        assert_eq!(row.broadcast_adapter.as_deref(), Some("gen_rpc"));
        assert_eq!((row.extensions, row.jwt_jwks), (Vec::new(), None));
    }

    /// 4.2, each row: numbers and switches as texts, and «is invalid» for another type.
    pub async fn each_field_is_cast_and_refuses_other_types(api: &Api) {
        assert_eq!(api.create("acme", json!({})).await.0, 201);
        for (field, given, stored) in SHOWN {
            let given: Value = serde_json::from_str(given).expect("JSON");
            let stored: Value = serde_json::from_str(stored).expect("JSON");
            let (status, body) = api.write("PUT", "/api/tenants/acme", json!({field: given})).await;
            assert_eq!((status, &body["data"][field]), (200, &stored), "{field}: {given}");
        }
        let before = api.row("acme").await;
        for (field, values) in WRONG {
            for value in values {
                let value: Value = serde_json::from_str(value).expect("JSON");
                let answer = api.write("PUT", "/api/tenants/acme", json!({field: value})).await;
                assert_eq!(answer, (422, invalid(field, "is invalid")), "{field}: {value}");
            }
        }
        assert_eq!(api.row("acme").await, before, "nothing is written");
        let hidden = json!({
            "name": "Acme, Inc.", "max_bytes_per_second": "5", "max_presence_events_per_second": "6",
            "max_payload_size_in_kb": 7, "suspend": "1", "migrations_ran": "8",
            "broadcast_adapter": "phoenix", "postgres_cdc_default": "postgres", "feature_flags": {"a": true},
            "jwt_jwks": {"keys": []}, "jwt_secret": SECRET, "no_field": "is ignored",
        });
        assert_eq!(api.write("PATCH", "/api/tenants/acme", hidden).await.0, 200);
        let row = api.row("acme").await;
        assert_eq!(row.name.as_deref(), Some("Acme, Inc."));
        let limits =
            (row.max_bytes_per_second, row.max_presence_events_per_second, row.max_payload_size_in_kb);
        assert_eq!((limits, row.suspend, row.migrations_ran), ((5, Some(6), Some(7)), Some(true), Some(8)));
        assert_eq!(row.broadcast_adapter.as_deref(), Some("phoenix"));
        assert_eq!(row.postgres_cdc_default.as_deref(), Some("postgres_cdc_rls"));
        assert_eq!((row.feature_flags, row.jwt_jwks), (json!({"a": true}), Some(json!({"keys": []}))));
        assert!(row.jwt_secret.expect("it is there").starts_with("g1:"));
    }
}
