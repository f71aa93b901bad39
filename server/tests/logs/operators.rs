//! The lines of what operators request.

use std::time::{Duration, SystemTime};

use realtime_server::auth::sign_operator;
use serde_json::{Map, Value};

use crate::serving::{Serve, ask_with};

#[test]
fn an_operators_request_is_logged_with_the_sub_of_its_token() {
    let secret = "the operators' secret, of thirty-two bytes";
    let mut serve = Serve::start(&[("API_JWT_SECRET", secret)]);
    let claims = Map::from_iter([("sub".to_owned(), "ann".into())]);
    let token = sign_operator(&secret.into(), claims, SystemTime::now(), Duration::from_secs(60));
    let request =
        |path: &str| format!("POST {path} HTTP/1.1\r\ncontent-length: 0\r\nauthorization: Bearer {token}");
    for (path, message) in [
        ("/admin/reload", "An operator requests a reload"),
        ("/admin/tenants/default/disconnect", "An operator disconnects the clients of a tenant"),
    ] {
        serve.ask(&request(path));
        let line = serve.line(|line| line["message"] == message);
        assert_eq!((&line["sub"], &line["level"]), (&"ann".into(), &"INFO".into()), "{line}");
        assert!(line["request_id"].is_string() && !line.to_string().contains(&token), "{line}");
    }
    serve.ask(&request("/admin/tenants/missing/disconnect"));
    let line = serve.line(|line| line["status"] == 404);
    assert_eq!(line["error_code"], "TenantNotFound");
}

#[test]
fn every_call_of_the_management_api_is_logged_with_its_outcome() {
    let secret = "the operators' secret, of thirty-two bytes";
    let mut serve = Serve::start(&[("API_JWT_SECRET", secret)]);
    let claims = Map::from_iter([("sub".to_owned(), "ann".into())]);
    let token = sign_operator(&secret.into(), claims, SystemTime::now(), Duration::from_secs(60));
    let hidden = "a secret that is in no line of the log";
    let body = format!(r#"{{"tenant":{{"jwt_secret":"{hidden}"}}}}"#);
    for (request, body, tenant, action, outcome) in [
        ("PUT /api/tenants/acme", &*body, "acme", "create", "done"),
        ("PATCH /api/tenants/acme", &*body, "acme", "update", "done"),
        ("PUT /api/tenants/acme", "[]", "acme", "write", "bad request"),
        ("PUT /api/tenants/acme", r#"{"tenant":{"suspend":[]}}"#, "acme", "write", "invalid"),
        ("PUT /api/tenants/default", &*body, "default", "write", "in the configuration"),
        ("GET /api/tenants", "", "", "list", "done"),
        ("GET /api/tenants/acme", "", "acme", "show", "done"),
        ("GET /api/tenants/other", "", "other", "show", "not found"),
        ("GET /api/tenants/acme/health", "", "acme", "health", "done"),
        ("POST /api/tenants/acme/reload", "", "acme", "reload", "done"),
        ("POST /api/tenants/acme/shutdown", "", "acme", "shutdown", "done"),
        ("DELETE /api/tenants/acme", "", "acme", "delete", "done"),
    ] {
        let length = body.len();
        let head = format!("{request} HTTP/1.1\r\ncontent-length: {length}\r\nauthorization: Bearer {token}");
        ask_with(&serve.address, &head, body);
        let line = serve.line(|line| {
            assert!(!line.to_string().contains(hidden), "{line}");
            line["message"] == "An operator manages tenants"
        });
        let fields = ["sub", "tenant", "action", "outcome"].map(|field| line[field].clone());
        assert_eq!(fields, ["ann", tenant, action, outcome].map(Value::from), "{request}");
    }
}
