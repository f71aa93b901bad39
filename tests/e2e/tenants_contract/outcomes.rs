//! «4.3 POST and PUT», «4.4 Other routes» and «4.5 Health»: what is answered when a tenant is written, and the other routes.

use harness::Request;
use serde_json::{Value, json};

use super::{Api, SECRET, database, invalid, on_each_store};

on_each_store!(
    writing_creates_or_updates,
    extensions_are_completed_and_replaced,
    extensions_have_their_errors_in_order,
    each_other_route_answers,
    health_is_reported_for_known_tenants,
);

mod checks {
    use super::*;

    /// 4.3, «Outcome».
    pub async fn writing_creates_or_updates(api: &Api) {
        let keys = json!({"jwt_secret": SECRET});
        let named = json!({"external_id": "acme", "jwt_secret": SECRET});
        let other = json!({"external_id": "other", "jwt_secret": SECRET});
        for (method, path, body, status, location) in [
            ("POST", "/api/tenants", &named, 201, "/api/tenants/acme"),
            ("POST", "/api/tenants", &named, 200, "/api/tenants/acme"),
            ("PUT", "/api/tenants/acme", &keys, 200, "/api/tenants/acme"),
            ("PATCH", "/api/tenants/acme", &json!({}), 200, "/api/tenants/acme"),
            // «On PUT of a new tenant the path wins.»
            ("PUT", "/api/tenants/put", &other, 201, "/api/tenants/put"),
            ("PATCH", "/api/tenants/patch", &keys, 201, "/api/tenants/patch"),
        ] {
            let request = Request::new(method, path).json(&json!({ "tenant": body }));
            let response = api.send(request).await;
            assert_eq!(
                (response.status, response.header("location")),
                (status, Some(location)),
                "{method} {path}"
            );
            assert_eq!(api.call("GET", location).await, (200, response.json()), "the location is a path");
        }
        let (status, list) = api.call("GET", "/api/tenants").await;
        let names = list["data"].as_array().expect("a list").iter().map(|it| &it["external_id"]);
        assert_eq!(
            (status, json!(names.collect::<Vec<_>>())),
            (200, json!(["default", "acme", "patch", "put"]))
        );
        for (body, errors) in [
            (json!({"jwt_secret": SECRET}), invalid("external_id", "can't be blank")),
            (
                json!({"external_id": "new"}),
                invalid("jwt_secret", "either jwt_secret or jwt_jwks must be provided"),
            ),
            (
                json!({"external_id": "new", "jwt_secret": "", "jwt_jwks": null}),
                invalid("jwt_secret", "either jwt_secret or jwt_jwks must be provided"),
            ),
        ] {
            assert_eq!(api.write("POST", "/api/tenants", body).await, (422, errors));
        }
        for (method, path) in [("POST", "/api/tenants"), ("PUT", "/api/tenants/acme")] {
            for body in
                [json!({}), json!({"tenants": {}}), json!({"tenant": []}), json!({"tenant": null}), json!([])]
            {
                let answer = super::super::answer(&api.send(Request::new(method, path).json(&body)).await);
                assert_eq!(answer, (400, json!("Bad Request")), "{method} {body}");
            }
        }
        // Ours: a key set is enough.
        let keys = json!({"jwt_jwks": {"keys": []}});
        assert_eq!(api.write("PUT", "/api/tenants/jwks", keys).await.0, 201);
    }

    /// 4.3, «On creation» and «On update».
    pub async fn extensions_are_completed_and_replaced(api: &Api) {
        let (status, created) = api
            .create("acme", json!({"extensions": [{"type": "postgres"}, {"settings": {}},
                {"type": "postgres", "settings": database(json!({"postgres_changes_pool": 3}))["settings"]}]}))
            .await;
        let extensions = &created["data"]["extensions"];
        assert_eq!((status, extensions.as_array().map(Vec::len)), (201, Some(1)), "the others are ignored");
        assert_eq!(extensions[0]["type"], "postgres_cdc_rls");
        assert_eq!(extensions[0]["settings"]["subcriber_pool_size"], 3);
        let same = json!({"max_joins_per_second": 9});
        let (_, updated) = api.write("PUT", "/api/tenants/acme", same).await;
        assert_eq!(&updated["data"]["extensions"], extensions, "what is not given stays");
        // Ours: what GET returned is not encrypted twice.
        let shown = api.call("GET", "/api/tenants/acme").await.1["data"].clone();
        let before = api.row("acme").await;
        assert_eq!(api.write("PUT", "/api/tenants/acme", shown).await.0, 200);
        assert_eq!(api.row("acme").await.extensions, before.extensions);
        let another = json!({"extensions": [database(json!({"db_host": "another.example"}))]});
        let (_, replaced) = api.write("PUT", "/api/tenants/acme", another).await;
        assert_eq!(replaced["data"]["extensions"][0]["settings"].get("subcriber_pool_size"), None);
        // What was returned before another has changed it.
        let mut stale = before.extensions[0].settings.clone();
        stale["db_password"] = json!("given again");
        let stale = json!({"extensions": [{"type": "postgres", "settings": stale}]});
        let (status, refused) = api.write("PUT", "/api/tenants/acme", stale).await;
        let text = "db_host is encrypted, and not as it is stored; it has to be given in plain text";
        assert_eq!((status, &refused["errors"]["extensions"][0]["settings"][0]), (422, &json!(text)));
        assert_eq!(
            api.write("PUT", "/api/tenants/acme", json!({"extensions": []})).await.1["data"]["extensions"],
            json!([])
        );
    }

    /// 4.3, «Validation messages».
    pub async fn extensions_have_their_errors_in_order(api: &Api) {
        let good = database(json!({}));
        for (extensions, errors) in [
            (json!("text"), json!(["is invalid"])),
            (
                json!([{"type": "postgres", "settings": {"db_host": 5, "region": []}}]),
                json!([{"settings": [
                    "db_password can't be blank", "db_user can't be blank", "db_name can't be blank",
                    "db_port can't be blank", "db_host is invalid", "region is invalid",
                ]}]),
            ),
            // Ours: upstream answers 500.
            (
                json!([{"type": "unknown", "settings": {}}]),
                json!([{"type": ["is invalid"], "settings": ["can't be blank"]}]),
            ),
            (json!([good, good]), json!([{}, {"type": ["has already been taken"]}])),
        ] {
            let (status, body) = api.create("acme", json!({"extensions": extensions})).await;
            assert_eq!(status, 422, "{extensions}: {body}");
            if extensions[0]["type"] != "unknown" {
                assert_eq!(body["errors"]["extensions"], errors, "{extensions}");
            } else {
                assert_eq!(body["errors"]["extensions"][0]["type"], errors[0]["type"]);
            }
        }
        assert_eq!(api.create("acme", json!({})).await.0, 201, "nothing was written before");
        let (_, body) =
            api.write("PUT", "/api/tenants/acme", json!({"extensions": [{"settings": {}}]})).await;
        assert_eq!(body["errors"]["extensions"][0]["type"], json!(["can't be blank"]));
    }

    /// «4.4 Other tenant routes».
    pub async fn each_other_route_answers(api: &Api) {
        let not_found = json!({"message": "not found"});
        api.create("acme", json!({})).await;
        for (method, path, expected) in [
            ("GET", "/api/tenants/unknown", (404, &not_found)),
            ("POST", "/api/tenants/acme/reload", (204, &Value::Null)),
            ("POST", "/api/tenants/unknown/reload", (404, &not_found)),
            ("POST", "/api/tenants/acme/shutdown", (204, &Value::Null)),
            ("POST", "/api/tenants/unknown/shutdown", (404, &not_found)),
            ("GET", "/api/tenants/unknown/health", (404, &not_found)),
            ("DELETE", "/api/tenants/unknown", (204, &Value::Null)),
            ("DELETE", "/api/tenants/acme", (204, &Value::Null)),
            ("DELETE", "/api/tenants/acme", (204, &Value::Null)),
            ("GET", "/api/tenants/acme", (404, &not_found)),
            ("GET", "/api/tenants/acme/unknown", (404, &json!("Not Found"))),
            ("DELETE", "/api/tenants", (404, &json!("Not Found"))),
            ("POST", "/api/tenants/acme", (404, &json!("Not Found"))),
        ] {
            let (status, body) = api.call(method, path).await;
            assert_eq!((status, &body), expected, "{method} {path}");
        }
    }

    /// «4.5 Health».
    pub async fn health_is_reported_for_known_tenants(api: &Api) {
        api.create("acme", json!({})).await;
        let (status, body) = api.call("GET", "/api/tenants/acme/health").await;
        let data = body["data"].as_object().expect("an object");
        let mut fields: Vec<_> = data.keys().map(String::as_str).collect();
        fields.sort_unstable();
        let expected =
            ["connected_cluster", "db_connected", "healthy", "node", "region", "replication_connected"];
        assert_eq!((status, fields), (200, expected.to_vec()));
        assert_eq!((&data["healthy"], &data["db_connected"]), (&json!(true), &json!(false)));
        assert_eq!((&data["connected_cluster"], &data["replication_connected"]), (&json!(0), &json!(false)));
    }
}
