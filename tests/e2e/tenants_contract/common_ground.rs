//! «1 Common ground» and «3 Authentication», as they concern these routes: heads, bodies, errors without a controller, and operators' tokens.

use harness::{Request, Token};
use serde_json::{Value, json};

use super::{Api, SECRET, answer, on_each_store, operators};

on_each_store!(paths_and_heads, bodies, only_operators);

mod checks {
    use super::*;

    /// «1 Common ground», «1.2 Content negotiation», «1.5 Errors outside the controllers».
    pub async fn paths_and_heads(api: &Api) {
        api.create("acme", json!({})).await;
        let shown = api.call("GET", "/api/tenants/acme").await;
        for path in [
            "/api/tenants/acme/",
            "/api/tenants/%61c%6De",
            "/realtime/v1/api/tenants/acme",
            "/api/tenants/acme?page=2",
            "/api/tenants/ACME",
        ] {
            assert_eq!(api.call("GET", path).await, shown, "{path}");
        }
        let head = api.send(Request::new("HEAD", "/api/tenants/acme")).await;
        assert_eq!((head.status, head.text()), (200, String::new()));
        for (accept, status) in [
            ("application/json", 200),
            ("text/html, */*;q=0.1", 200),
            ("application/*", 200),
            ("text/html", 406),
            ("application/xml", 406),
        ] {
            let response = api.send(Request::get("/api/tenants/acme").header("accept", accept)).await;
            assert_eq!(response.status, status, "{accept}");
            if status == 406 {
                assert_eq!(response.json(), json!("Not Acceptable"));
            }
        }
        // Difference: responses are not compressed.
        let response = api.send(Request::get("/api/tenants").header("accept-encoding", "gzip")).await;
        assert_eq!((response.status, response.header("content-encoding")), (200, None));
        assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
        assert!(response.header("x-request-id").is_some_and(|id| id.len() >= 20), "1.3 Request ids");
        assert_eq!(response.header("access-control-allow-origin"), None, "1.4 CORS");
        let preflight =
            api.send(Request::new("OPTIONS", "/api/tenants").header("origin", "https://a.example")).await;
        assert_eq!(answer(&preflight), (404, json!("Not Found")));
        let long = "x".repeat(100_000);
        let response = api.world.try_send(Request::get("/api/tenants").header("x-long", &long)).await;
        assert!(response.is_ok_and(|response| response.status == 431));
    }

    /// «1 Common ground» and «1.5 Errors outside the controllers», of bodies.
    pub async fn bodies(api: &Api) {
        let good = json!({"tenant": {"external_id": "acme", "jwt_secret": SECRET}}).to_string();
        let bad = (400, json!("Bad Request"));
        for kind in ["application/json", "application/json; charset=utf-8", "application/vnd.api+json"] {
            assert!(api.post_raw(kind, good.clone()).await.0 < 300, "{kind}");
        }
        // Difference: a body is JSON, whatever its type says.
        assert_eq!(api.post_raw("text/plain", good.clone()).await.0, 200);
        // Difference: forms are refused.
        let form = "tenant[external_id]=form&tenant[jwt_secret]=secret";
        assert_eq!(api.post_raw("application/x-www-form-urlencoded", form).await, bad);
        let parts =
            "--b\r\ncontent-disposition: form-data; name=\"tenant[external_id]\"\r\n\r\nform\r\n--b--\r\n";
        assert_eq!(api.post_raw("multipart/form-data; boundary=b", parts).await, bad);
        // Difference: the method is that of the request.
        for body in ["_method=DELETE", r#"{"_method": "DELETE"}"#] {
            let kind = "application/x-www-form-urlencoded";
            let request = Request::post("/api/tenants/acme").header("content-type", kind).body(body);
            assert_eq!(answer(&api.send(request).await), (404, json!("Not Found")));
        }
        assert_eq!(api.call("GET", "/api/tenants/acme").await.0, 200);
        // Difference: a compressed body is not read. (These bytes are `{}`.)
        let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
        let request = Request::post("/api/tenants").header("content-encoding", "gzip").body(gzip.as_slice());
        assert_eq!(answer(&api.send(request).await), bad);
        for body in [
            "",
            "{",
            "nonsense",
            "\"text\"",
            "[]",
            "5",
            "{\"tenant\": {\"name\": \"\\ud800\"}}",
            "\u{feff}{}",
        ] {
            assert_eq!(api.post_raw("application/json", body).await, bad, "{body:?}");
        }
        assert_eq!(
            api.post_raw(
                "application/json",
                [b"{\"tenant\": {\"name\": \"".to_vec(), vec![0xff], b"\"}}".to_vec()].concat()
            )
            .await,
            bad
        );
        let large = json!({"tenant": {"external_id": "acme", "name": "n".repeat(250_000)}}).to_string();
        assert_eq!(api.post_raw("application/json", large).await, (413, json!("Request Entity Too Large")));
    }

    /// «3 Authentication».
    pub async fn only_operators(api: &Api) {
        let refused = (403, Value::Null);
        let exp = 4_000_000_000_u64;
        let header = |value: &str| Request::get("/api/tenants").header("authorization", value);
        let blocked = operators().sign(&json!({"exp": exp, "jti": "blocked"}));
        let user = api.world.token_issuer().token(Token::Valid);
        api.world.apply(|settings| {
            settings.admin.token_blocklist = vec![blocked.as_str().into()];
            settings.admin.jwt_secrets = vec!["the next secret of operators, of thirty-two bytes".into()];
        });
        let token = &api.token;
        for (request, case) in [
            (Request::get("/api/tenants"), "no header"),
            (header(token), "no scheme"),
            (header("Bearer "), "no token"),
            (header("Basic dXNlcjpwYXNz"), "another scheme"),
            (header(&format!("bearer {token}")), "in lower case"),
            (
                header(&format!("Bearer {token}")).header("authorization", &format!("Bearer {token}")),
                "two headers",
            ),
            (header(&format!("Bearer {blocked}")), "in the blocklist"),
            (header(&format!("Bearer {user}")), "of a user"),
            (header(&format!("Bearer {}", operators().sign(&json!({"exp": 1})))), "expired"),
            (header(&format!("Bearer {}", operators().sign(&json!({"exp": "4000000000"})))), "exp is a text"),
            (
                header(&format!("Bearer {}", operators().sign(&json!({"exp": exp, "iat": "1"})))),
                "iat is a text",
            ),
        ] {
            assert_eq!(answer(&api.world.send(request).await), refused, "{case}");
        }
        let next = harness::TokenIssuer::new("the next secret of operators, of thirty-two bytes")
            .sign(&json!({"exp": exp}));
        for (value, case) in [
            (format!("Bearer {token}"), "this secret"),
            (format!("Bearer {next}"), "the next secret"),
            (format!("Bearer {}", operators().sign(&json!({"iat": 1}))), "without exp"),
            (format!("Bearer %20{token}%0A"), "percent-encoded white space"),
        ] {
            assert_eq!(api.world.send(header(&value)).await.status, 200, "{case}");
        }
        api.world.apply(|settings| {
            settings.admin.jwt_secret = None;
            settings.admin.jwt_secrets.clear();
        });
        assert_eq!(
            answer(&api.world.send(header(&format!("Bearer {token}"))).await),
            refused,
            "no secret at all"
        );
    }
}
