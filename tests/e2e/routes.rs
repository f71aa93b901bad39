//! The table of HTTP routes: what each route declares is enforced, and the page that lists them is fresh.
//!
//! `UPDATE=1 cargo test -p e2e --test e2e routes::` writes `docs/http.md` anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::{Request, Response, Token, TokenIssuer, World};
use hub::TenantMemory;
use realtime_server::response;
use realtime_server::routes::{ACTION, Access, Operation, OtherMethod, Route, RouteHandler, RoutedRequest};
use serde_json::json;
use settings::{ByteSize, Settings};

/// Paths at which `route` exists, its parameters filled in.
fn examples(route: &Route) -> Vec<String> {
    let fill = |path: &str| path.replace(['{', '}'], "");
    let paths = route.paths().map(fill);
    if route.is_below_gateway_prefix() {
        paths.flat_map(|path| [format!("/realtime/v1{path}"), path]).collect()
    } else {
        paths.collect()
    }
}

#[tokio::test]
async fn every_route_without_a_token_responds_as_its_access_says() {
    let world = World::start().await;
    let scraper = TokenIssuer::new("the scraper's secret, of thirty-two bytes");
    world.apply(|settings| settings.admin.metrics_jwt_secret = Some(scraper.secret().into()));
    for route in world.routes().routes() {
        let method = route.methods().first().expect("a route takes a method");
        for path in examples(route) {
            let response = world.send(Request::new(method.as_str(), &path)).await;
            let expected = match route.access() {
                Access::Public => 200,
                Access::Operator | Access::Tenant => 401,
                // It is no handshake.
                Access::WebSocket => 400,
                Access::Metrics | Access::Management => 403,
            };
            assert_eq!(response.status, expected, "{method} {path}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn every_route_responds_to_other_methods_as_it_declares() {
    let world = World::start().await;
    let table = world.routes();
    for route in table.routes() {
        for path in examples(route) {
            // Several routes may share a path, each with methods of its own.
            let at_path = table.routes().filter(|other| examples(other).contains(&path));
            let allowed: Vec<_> =
                at_path.flat_map(|other| other.methods()).map(|method| method.as_str()).collect();
            let (status, allow) = match route.on_other_method() {
                OtherMethod::NotFound => (404, None),
                OtherMethod::BadRequest => (400, None),
                OtherMethod::NotAllowed => (405, Some(allowed.join(", "))),
            };
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                if allowed.contains(&method) {
                    continue;
                }
                let response = world.send(Request::new(method, &path)).await;
                let found = (response.status, response.header("allow"));
                assert_eq!(found, (status, allow.as_deref()), "{method} {path}");
            }
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn exact_routes_are_found_nowhere_else() {
    let world = World::start().await;
    let table = world.routes();
    let exact: Vec<_> = table.routes().filter(|route| !route.is_below_gateway_prefix()).collect();
    assert!(exact.iter().all(|route| route.access() != Access::Public), "{exact:?}");
    assert!(exact.len() >= 4, "{exact:?}");
    for route in exact {
        let method = route.methods().first().expect("a route takes a method").as_str();
        for path in examples(route) {
            for other in [format!("/realtime/v1{path}"), format!("{path}/"), format!("/{path}")] {
                assert_eq!(world.send(Request::new(method, &other)).await.status, 404, "{method} {other}");
            }
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn operations_and_paths_are_unique() {
    let world = World::start().await;
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for route in world.routes().routes() {
        let Operation { id, summary } = route.operation();
        assert!(ids.insert(id), "{id} is declared twice");
        assert!(summary.ends_with('.') && !summary.contains('|'), "{id}: {summary}");
        for (method, path) in route.methods().iter().flat_map(|m| route.paths().map(move |path| (m, path))) {
            assert!(places.insert((method.to_string(), path)), "{method} {path} is declared twice");
        }
        if let Some(limit) = route.max_body() {
            assert!(settings::reference().contains(&format!("`{}`", limit.key)), "no setting {}", limit.key);
        }
    }
    world.stop().await;
}

// For the OpenAPI document (openapi.rs).
#[tokio::test]
async fn every_route_is_described() {
    let world = World::start().await;
    for route in world.routes().routes() {
        let (description, id) = (route.description(), route.operation().id);
        assert!(!description.tag().is_empty() && !description.answers().is_empty(), "{id}");
        let parameters = description.parameters().iter().filter(|parameter| parameter["in"] == "path");
        let described: BTreeSet<_> = parameters.filter_map(|parameter| parameter["name"].as_str()).collect();
        for path in route.paths() {
            let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            assert_eq!(names.collect::<BTreeSet<_>>(), described, "{id}");
        }
        assert_eq!(route.max_body().is_some(), !description.bodies().is_empty(), "{id}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_generated_page_of_routes_is_fresh() {
    let world = World::start().await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/http.md");
    let expected = world.routes().reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&page, &expected).expect("docs/ is writable");
    }
    assert!(
        fs::read_to_string(&page).unwrap_or_default() == expected,
        "docs/http.md is stale: UPDATE=1 cargo test -p e2e --test e2e routes::"
    );
    world.stop().await;
}

/// A handler for operators that needs everything a route can give it.
async fn echo(_state: Arc<()>, request: RoutedRequest) -> http::Response<bytes::Bytes> {
    let RoutedRequest { head, body } = request;
    let body = match body.read(&TenantMemory::unlimited()).await {
        Ok(body) => body,
        Err(error) => return response::json(error.status(), &error.to_string().into()),
    };
    let echoed = json!({
        "name": head.parameter("name"),
        "decoded": head.decoded_parameter("name").ok(),
        "reason": head.query_parameter("reason"),
        "operator": head.operator_sub(),
        "body": String::from_utf8_lossy(&body),
    });
    response::json(http::StatusCode::OK, &echoed)
}

/// A server with [`echo`] as one more route for operators, which takes bodies of up to eight bytes.
async fn echo_server(issuer: &TokenIssuer) -> World {
    let operation = Operation { id: "echo", summary: "Responds with what it received." };
    let handler = RouteHandler::new(&Arc::new(()), echo);
    let route = Route::new(ACTION, &["/echo/{name}"], Access::Operator, operation, handler)
        .other_method(OtherMethod::NotAllowed)
        .body_limit("a constant of this test", |_| ByteSize::b(8));
    let change = |settings: &mut Settings| {
        settings.admin.jwt_secret = Some(issuer.secret().into());
        settings.server.handshake_timeout = Duration::from_millis(500);
    };
    World::extended(|server| server.routes(vec![route]), change).await
}

#[tokio::test]
async fn a_handler_for_operators_receives_parameters_query_and_body() {
    let issuer = TokenIssuer::new("the operators' secret, of thirty-two bytes");
    let token = issuer.sign(&json!({"exp": 4_000_000_000_u64, "sub": "ops"}));
    let world = echo_server(&issuer).await;
    let post = async |target: &str, token: &str, body: &str| -> Response {
        world.send(Request::post(target).bearer(token).body(body)).await
    };
    let response = post("/echo/a%20b?reason=be%20quick", &token, "12345678").await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.json(),
        json!({"name": "a%20b", "decoded": "a b", "reason": "be quick", "operator": "ops", "body": "12345678"})
    );
    let response = post("/echo/a", &token, "123456789").await;
    assert_eq!((response.status, response.json()), (413, json!("Request Entity Too Large")));
    let response = post("/echo/a", &issuer.token(Token::Valid), "123456789").await;
    assert_eq!(response.status, 401, "access is checked before the body is read");
    assert_eq!(world.send(Request::get("/echo/a").bearer(&token)).await.status, 405);
    for path in ["/echo", "/echo/a/", "//echo/a", "/realtime/v1/echo/a"] {
        assert_eq!(post(path, &token, "").await.status, 404, "{path}: operators' paths are exact");
    }
    world.stop().await;
}

// The response to a client that may not use the route must not wait for the body.
#[tokio::test]
async fn a_body_is_awaited_only_where_the_handler_asks_for_it_and_only_for_a_time() {
    let issuer = TokenIssuer::new("the operators' secret, of thirty-two bytes");
    let token = issuer.sign(&json!({"exp": 4_000_000_000_u64}));
    let world = echo_server(&issuer).await;
    let head = |token: &str| {
        format!(
            "POST /echo/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 8\r\n\r\n1234"
        )
    };
    let mut denied = world.dial().await;
    denied.write(head("garbage").as_bytes()).await.expect("it is open");
    assert_eq!(denied.response().await.status, 401);
    let mut slow = world.dial().await;
    slow.write(head(&token).as_bytes()).await.expect("it is open");
    let response = slow.response().await;
    assert_eq!((response.status, response.json()), (408, json!("Request Timeout")));
    world.stop().await;
}
