//! What upstream answers with 500, or stores without use: refused with the documented text, on every store alike.

use harness::Request;
use serde_json::{Value, json};

use super::{Api, SECRET, answer, database, invalid, on_each_store};

on_each_store!(
    secrets_have_a_length,
    names_are_labels_of_host_names,
    a_path_that_is_no_name_is_no_tenant,
    extensions_and_nesting_are_bounded,
    numbers_are_bounded,
    what_postgresql_cannot_hold_is_refused_everywhere,
    of_duplicate_keys_the_last_counts,
);

mod checks {
    use super::*;

    pub async fn secrets_have_a_length(api: &Api) {
        let longest = "s".repeat(65_535);
        assert_eq!(api.create("acme", json!({"jwt_secret": longest})).await.0, 201);
        let too_long = invalid("jwt_secret", "should be at most 65535 byte(s)");
        assert_eq!(
            api.create("new", json!({"jwt_secret": "s".repeat(65_536)})).await,
            (422, too_long.clone())
        );
        assert_eq!(api.create("new", json!({"jwt_secret": "☃".repeat(21_846)})).await, (422, too_long));
        let (status, body) = api
            .create("new", json!({"extensions": [database(json!({"db_password": "s".repeat(65_536)}))]}))
            .await;
        let text = json!([{"settings": ["db_password should be at most 65535 byte(s)"]}]);
        assert_eq!((status, &body["errors"]["extensions"]), (422, &text));
        assert_eq!(
            api.create("new", json!({"name": "n".repeat(300)})).await.1,
            invalid("name", "should be at most 255 byte(s)")
        );
    }

    pub async fn names_are_labels_of_host_names(api: &Api) {
        let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
        for id in ["0", "a-b_c", &longest] {
            assert_eq!(api.create(id, json!({})).await.0, 201, "{id}");
            assert_eq!(api.handshake(id).await, 101, "{id}");
        }
        let format = "has invalid format";
        for (id, encoded, text) in [
            ("ACME", "ACME", format),
            ("münchen", "m%C3%BCnchen", format),
            ("..", "%2E%2E", format),
            ("../acme", "..%2Facme", format),
            ("a\0b", "a%00b", format),
            ("a.b", "a.b", format),
            ("a b", "a%20b", format),
            ("-a", "-a", format),
            ("'; DROP TABLE tenants; --", "'%3B%20DROP%20TABLE%20tenants%3B--", format),
            (&*too_long, &*too_long, "should be at most 63 byte(s)"),
            (" ", "%20", "can't be blank"),
        ] {
            let expected = (422, invalid("external_id", text));
            assert_eq!(api.create(id, json!({})).await, expected, "{id:?}");
            let put =
                api.write("PUT", &format!("/api/tenants/{encoded}"), json!({"jwt_secret": SECRET})).await;
            assert_eq!(put, expected, "{encoded}");
        }
        assert_eq!(api.create("", json!({})).await, (422, invalid("external_id", "can't be blank")));
        for (given, text) in [("other", "can't be changed"), ("", "can't be blank")] {
            let answer = api.write("PUT", "/api/tenants/0", json!({"external_id": given})).await;
            assert_eq!(answer, (422, invalid("external_id", text)), "{given:?}");
        }
    }

    pub async fn a_path_that_is_no_name_is_no_tenant(api: &Api) {
        for path in ["%00", "a%00b", "%ff", "%2E%2E", "..%2Facme", "%F4%8F%BF%BF", "a%25", &"a".repeat(4_000)]
        {
            let path = format!("/api/tenants/{path}");
            assert_eq!(api.call("GET", &path).await, (404, json!({"message": "not found"})), "{path}");
            assert_eq!(api.call("DELETE", &path).await, (204, Value::Null), "{path}");
            assert_eq!(api.call("GET", &format!("{path}/health")).await.0, 404, "{path}");
            assert_eq!(api.call("POST", &format!("{path}/reload")).await.0, 404, "{path}");
        }
        assert_eq!(api.handshake("a%00b").await, 404);
    }

    pub async fn extensions_and_nesting_are_bounded(api: &Api) {
        let many: Vec<_> = (0..10_000).map(|_| json!({"type": "postgres"})).collect();
        let answer_to = async |fields| api.create("acme", fields).await;
        let too_many = (422, invalid("extensions", "should have at most 16 item(s)"));
        let empty = vec![json!({}); 10_000];
        assert_eq!(answer_to(json!({ "extensions": empty })).await, too_many);
        assert_eq!(answer_to(json!({ "extensions": many[..17] })).await, too_many);
        let nested = (0..40).fold(json!([]), |inside, _| json!([inside]));
        let too_deep = "should be nested at most 32 level(s) deep";
        assert_eq!(
            answer_to(json!({"feature_flags": {"a": nested}})).await,
            (422, invalid("feature_flags", too_deep))
        );
        let (status, body) = answer_to(json!({"extensions": [database(json!({ "a": nested }))]})).await;
        assert_eq!((status, &body["errors"]["extensions"]), (422, &json!([{"settings": [too_deep]}])));
        let deep = format!("{{\"tenant\": {}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        assert_eq!(api.post_raw("application/json", deep).await, (400, json!("Bad Request")));
        assert_eq!(answer_to(json!({})).await.0, 201);
    }

    pub async fn numbers_are_bounded(api: &Api) {
        for (given, text) in [
            ("0", "must be greater than or equal to 1"),
            ("-1", "must be greater than or equal to 1"),
            ("2147483648", "must be less than or equal to 2147483647"),
            ("\"9223372036854775807\"", "must be less than or equal to 2147483647"),
            ("123456789012345678901234567890", "is invalid"),
            ("1e30", "is invalid"),
        ] {
            let body = format!(
                r#"{{"tenant": {{"external_id": "acme", "jwt_secret": "{SECRET}", "max_joins_per_second": {given}}}}}"#
            );
            let answer = api.post_raw("application/json", body).await;
            assert_eq!(answer, (422, invalid("max_joins_per_second", text)), "{given}");
        }
        let huge = r#"{"tenant": {"external_id": "acme", "feature_flags": {"a": 1e400}}}"#;
        assert_eq!(api.post_raw("application/json", huge).await, (400, json!("Bad Request")));
        let flags = json!({"a": 1e300, "b": -0.0, "c": u64::MAX, "d": i64::MIN, "e": 1.5});
        assert_eq!(
            api.create("acme", json!({"feature_flags": flags, "max_joins_per_second": i32::MAX})).await.0,
            201
        );
        let stored = api.row("acme").await.feature_flags;
        assert_eq!(
            (&stored["c"], &stored["d"], &stored["e"]),
            (&json!(u64::MAX), &json!(i64::MIN), &json!(1.5))
        );
    }

    pub async fn what_postgresql_cannot_hold_is_refused_everywhere(api: &Api) {
        for (field, value) in [
            ("name", json!("a\0b")),
            ("external_id", json!("a\0b")),
            ("postgres_cdc_default", json!("a\0b")),
            ("feature_flags", json!({"a\0b": true})),
            ("feature_flags", json!({"a": ["\0"]})),
            ("jwt_jwks", json!({"keys": [{"k": "\0"}]})),
        ] {
            let text = if field == "external_id" { "has invalid format" } else { "is invalid" };
            let answer = api.create("acme", json!({ field: value })).await;
            assert_eq!(answer, (422, invalid(field, text)), "{field}: {value}");
        }
        for settings in [json!({"publication": "a\0b"}), json!({"a\0b": 1}), json!({"db_host": "\0"})] {
            let (status, body) = api.create("acme", json!({"extensions": [database(settings)]})).await;
            assert_eq!(
                (status, &body["errors"]["extensions"]),
                (422, &json!([{"settings": ["is invalid"]}]))
            );
        }
        // Encrypted, it is text without that character.
        assert_eq!(api.create("acme", json!({"jwt_secret": "s\0s"})).await.0, 201);
    }

    pub async fn of_duplicate_keys_the_last_counts(api: &Api) {
        let body = format!(
            r#"{{"tenant": {{"external_id": "first"}}, "tenant": {{"external_id": "no", "external_id": "acme",
                "jwt_secret": "{SECRET}", "max_joins_per_second": "no number", "max_joins_per_second": 7}}}}"#
        );
        let (status, created) = api.post_raw("application/json", body).await;
        assert_eq!((status, &created["data"]["external_id"]), (201, &json!("acme")), "{created}");
        assert_eq!(created["data"]["max_joins_per_second"], 7);
        let twice = Request::new("PUT", "/api/tenants/acme").header("content-length", "2").json(&json!({}));
        assert_eq!(answer(&api.send(twice).await).0, 400);
    }
}
