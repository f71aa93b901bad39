//! The HTTP routes of y-sweet's SDK (docs/protocol/documents.md#y-sweet): what backends get, and what clients can do with it.

use std::time::Duration;

use harness::{Algorithm, Dialect, Frame, KeyPair, Request, Response, Urgency, World, eventually, key_set};
use realtime_server::app::{OpenedStore, ServerBuilder};
use serde_json::{Value, json};
use settings::{ByteSize, Settings};
use yrs::Doc;

use super::editor::{self, Editor};

/// The claims of a backend.
fn service() -> Value {
    json!({"role": "service_role", "exp": 4_000_000_000_u64})
}

/// Sends a backend's request.
async fn post(world: &World, path: &str, body: &Value) -> Response {
    world.send(Request::post(path).bearer(&world.sign(&service())).json(body)).await
}

/// The token for a client, as the backend gets it.
async fn client_token(world: &World, id: &str, request: &Value) -> Value {
    let response = post(world, &format!("/doc/{id}/auth"), request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// Where y-sweet's client connects with a client token: the document, and the query of the address and the token.
fn target(client_token: &Value) -> String {
    let member = |name: &str| client_token[name].as_str().expect("a string").to_owned();
    let (url, id, token) = (member("url"), member("docId"), member("token"));
    let (_, place) = url.split_once("://").expect("a scheme");
    let (path, query) = place.split_once('?').unwrap_or((place, ""));
    let (_, path) = path.split_once('/').expect("a path");
    format!("/{path}/{id}?{query}&token={token}")
}

async fn open(world: &World, client_token: &Value) -> Editor {
    Editor::open_at(world, &target(client_token), Doc::new()).await
}

/// The code with which a connection is closed at once.
async fn refused(world: &World, target: &str) -> Frame {
    let mut client = world.connect_to(Dialect::V2, target).await.expect("the WebSocket is opened");
    client.next().await
}

#[tokio::test]
async fn a_backend_gets_what_its_users_open_a_document_with() {
    let world = World::start().await;
    let created = post(&world, "/doc/new", &json!({"docId": "notes"})).await;
    assert_eq!((created.status, created.json()), (200, json!({"docId": "notes"})));
    let request = json!({"userId": "ann", "authorization": "full", "validForSeconds": 60});
    let writes = client_token(&world, "notes", &request).await;
    let address = world.address();
    assert_eq!(writes["url"], format!("ws://{address}/yjs"));
    assert_eq!(writes["baseUrl"], format!("http://{address}/d/notes"));
    assert_eq!((&writes["docId"], &writes["authorization"]), (&json!("notes"), &json!("full")));
    let reads = client_token(&world, "notes", &json!({"authorization": "read-only"})).await;
    assert_eq!(reads["authorization"], "read-only");

    let (mut writer, mut reader) = (open(&world, &writes).await, open(&world, &reads).await);
    writer.insert("a").await;
    reader.until("a").await;
    reader.insert("x").await;
    reader.confirmed().await;
    writer.insert("b").await;
    writer.confirmed().await;
    assert_eq!(Editor::open(&world, "notes/default").await.text(), "ba", "y-websocket's clients have it too");
    world.stop().await;
}

#[tokio::test]
async fn the_body_may_be_missing() {
    let world = World::start().await;
    let request = |path| Request::post(path).bearer(&world.sign(&service()));
    let ids =
        [world.send(request("/doc/new")).await, post(&world, "/doc/new", &json!({"docId": null})).await];
    let ids = ids.map(|created| created.json()["docId"].as_str().expect("an id").to_owned());
    assert_ne!(ids[0], ids[1]);
    let signed = world.send(request(&format!("/realtime/v1/doc/{}/auth", ids[0]))).await;
    assert_eq!((signed.status, &signed.json()["authorization"]), (200, &json!("full")));
    let mut editor = open(&world, &signed.json()).await;
    editor.insert("a").await;
    editor.confirmed().await;
    world.stop().await;
}

#[tokio::test]
async fn a_client_token_is_for_one_document_and_no_backend() {
    let world = World::start().await;
    let token = client_token(&world, "notes", &json!({})).await["token"].clone();
    let token = token.as_str().expect("a token");
    for name in ["other", "notes/other", "notes2"] {
        assert_eq!(
            refused(&world, &format!("/yjs/{name}?token={token}")).await,
            Frame::Closed(4403),
            "{name}"
        );
    }
    let response = world.send(Request::post("/doc/other/auth").bearer(token)).await;
    assert_eq!((response.status, response.json()), (401, json!({"error": "Unauthorized"})));
    world.stop().await;
}

#[tokio::test]
async fn a_client_token_expires() {
    let world = World::start().await;
    let expired = client_token(&world, "notes", &json!({"validForSeconds": 0})).await;
    assert_eq!(refused(&world, &target(&expired)).await, Frame::Closed(4401));
    let soon = client_token(&world, "notes", &json!({"validForSeconds": 2})).await;
    assert_eq!(open(&world, &soon).await.closed().await, 4503);
    let late = client_token(&world, "notes", &json!({"validForSeconds": u64::MAX})).await;
    open(&world, &late).await.confirmed().await;
    world.stop().await;
}

#[tokio::test]
async fn users_and_other_tenants_get_no_client_token() {
    let world = World::with_tenants(&["acme"]).await;
    let theirs = world.tenant_token_issuer("acme").sign(&service());
    let tokens = [
        (world.sign(&json!({"role": "authenticated", "sub": "ann", "exp": 4_000_000_000_u64})), 403),
        (world.sign(&json!({"role": "anon", "exp": 4_000_000_000_u64})), 403),
        (editor::token(&world, &json!({})), 401),
        (world.sign(&json!({"role": "service_role", "exp": 1})), 401),
        (theirs.clone(), 401),
        ("nonsense".to_owned(), 401),
    ];
    for (token, status) in &tokens {
        for (method, path) in [("POST", "/doc/new"), ("POST", "/doc/notes/auth"), ("GET", "/check_store")] {
            let response = world.send(Request::new(method, path).bearer(token)).await;
            assert_eq!(response.status, *status, "{path} {}", response.text());
        }
    }
    let request = Request::post("/doc/notes/auth").bearer(&theirs).header("x-tenant", "acme");
    let signed = world.send(request).await.json();
    let mut editor = open(&world, &signed).await;
    editor.insert("theirs").await;
    editor.confirmed().await;
    assert_eq!(Editor::open(&world, "notes").await.text(), "", "the document of another tenant");
    world.stop().await;
}

#[tokio::test]
async fn the_token_of_a_backend_permits_no_more_than_it_is_restricted_to() {
    let world = World::start().await;
    let sign = async |claims: Value, id: &str, authorization: &str| {
        let mut all = service();
        all.as_object_mut().expect("an object").extend(claims.as_object().expect("an object").clone());
        let request = Request::post(&format!("/doc/{id}/auth")).bearer(&world.sign(&all));
        world.send(request.json(&json!({"authorization": authorization}))).await.status
    };
    let rooms = json!({"permissions": {"rooms": ["team-*", {"pattern": "lobby", "access": "read"}]}});
    let documents = json!({"permissions": {"documents": ["*/minutes"]}});
    assert_eq!(sign(rooms.clone(), "team-1", "full").await, 200);
    assert_eq!(sign(rooms.clone(), "lobby", "read-only").await, 200);
    assert_eq!(sign(rooms.clone(), "lobby", "full").await, 403);
    assert_eq!(sign(rooms.clone(), "other", "read-only").await, 403);
    assert_eq!(sign(documents, "team-1", "read-only").await, 403);
    world.apply(|settings| settings.auth.require_permissions = true);
    assert_eq!(sign(json!({}), "team-1", "full").await, 403);
    assert_eq!(sign(rooms, "team-1", "full").await, 200);
    world.stop().await;
}

#[tokio::test]
async fn bodies_of_another_form_are_refused() {
    let world = World::with(|settings| settings.documents.max_body_size = ByteSize::kib(2)).await;
    let raw = async |path: &str, body: &str| {
        let response = world.send(Request::post(path).bearer(&world.sign(&service())).body(body)).await;
        (response.status, response.text())
    };
    for body in ["[]", "[\"notes\"]", "7", "null", "{", "\"notes\"", "\u{0}", "{\"docId\":\"a\"}x"] {
        for path in ["/doc/new", "/doc/notes/auth"] {
            assert_eq!(raw(path, body).await.0, 400, "{path} {body}");
        }
    }
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    assert_eq!(raw("/doc/new", &nested).await.0, 400);
    let long = "a".repeat(249);
    for id in ["", "a/b", "a b", "é", "..", "a*", &long] {
        assert_eq!(post(&world, "/doc/new", &json!({"docId": id})).await.status, 400, "{id}");
    }
    assert_eq!(post(&world, "/doc/new", &json!({"docId": 7})).await.status, 422);
    for id in ["a%2Fb", "a%20b", "%00", "*", &long] {
        assert_eq!(raw(&format!("/doc/{id}/auth"), "{}").await.0, 400, "{id}");
    }
    for request in [
        json!({"authorization": "admin"}),
        json!({"authorization": 1}),
        json!({"userId": ""}),
        json!({"userId": "a".repeat(257)}),
        json!({"userId": ["ann"]}),
        json!({"validForSeconds": -1}),
        json!({"validForSeconds": 0.5}),
        json!({"validForSeconds": "60"}),
    ] {
        assert_eq!(post(&world, "/doc/notes/auth", &request).await.status, 422, "{request}");
    }
    let large = format!("{{\"docId\":\"notes\",\"a\":\"{}\"}}", "a".repeat(2_048));
    assert_eq!(raw("/doc/new", &large).await, (413, "\"Request Entity Too Large\"".into()));
    let longest = "a".repeat(248);
    open(&world, &client_token(&world, &longest, &json!({"a": 1})).await).await.confirmed().await;
    world.stop().await;
}

#[tokio::test]
async fn the_token_has_the_claims_that_the_tenant_requires() {
    let claims =
        json!({"role": "service_role", "exp": 4_000_000_000_u64, "iss": "us", "aud": "rt", "aal": "aal2"});
    let world = World::with(|settings| {
        settings.auth.jwt_issuer = Some("us".into());
        settings.auth.jwt_audience = Some("rt".into());
        settings.auth.claim_validators = [("aal".into(), json!("aal2"))].into();
    })
    .await;
    let signed = world.send(Request::post("/doc/notes/auth").bearer(&world.sign(&claims))).await;
    open(&world, &signed.json()).await.confirmed().await;
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_without_a_secret_signs_nothing() {
    let pair = KeyPair::new("provider", Algorithm::ES256);
    let world = World::with(|settings| {
        settings.auth.jwt_secret = None;
        settings.auth.jwt_jwks = Some(key_set([&pair]).to_string().into());
    })
    .await;
    let request = |path| Request::post(path).bearer(&pair.sign(&service()));
    assert_eq!(world.send(request("/doc/new")).await.status, 200);
    let response = world.send(request("/doc/notes/auth")).await;
    assert_eq!(response.status, 422);
    assert!(response.text().contains("no secret to sign tokens with"), "{}", response.text());
    world.stop().await;
}

#[tokio::test]
async fn clients_are_sent_to_the_public_address_and_to_their_tenant() {
    let world = World::with_tenants(&["acme"]).await;
    let (ours, theirs) = (world.sign(&service()), world.tenant_token_issuer("acme").sign(&service()));
    let addresses = async |request: Request| {
        let signed = world.send(request).await.json();
        [signed["url"].clone(), signed["baseUrl"].clone()]
            .map(|url| url.as_str().expect("an address").to_owned())
    };
    let request = |path: &str, token: &str| Request::post(path).bearer(token);
    let by_host = request("/realtime/v1/doc/a/auth", &theirs).header("host", "acme.example.com:81");
    let at_host = ["ws://acme.example.com:81/realtime/v1/yjs", "http://acme.example.com:81/realtime/v1/d/a"];
    assert_eq!(addresses(by_host).await, at_host);
    let by_header = request("/doc/a/auth", &theirs).header("x-tenant", "acme").header("host", "inner");
    assert_eq!(addresses(by_header).await, ["ws://inner/yjs?tenant=acme", "http://inner/d/a"]);
    let nowhere = world.send(request("/doc/a/auth", &ours).header("host", "")).await;
    assert_eq!((nowhere.status, nowhere.json()), (400, json!({"error": "the request has no header `Host`"})));

    world.apply(|settings| settings.server.public_url = Some("wss://example.com/rt/".into()));
    let public = ["wss://example.com/rt/yjs", "https://example.com/rt/d/a"];
    assert_eq!(addresses(request("/doc/a/auth", &ours)).await, public);
    let by_host = request("/doc/a/auth", &theirs).header("host", "acme.inner");
    assert_eq!(addresses(by_host).await[0], "wss://example.com/rt/yjs?tenant=acme");
    world.stop().await;
}

#[tokio::test]
async fn the_store_is_checked_for_backends() {
    let world = World::start().await;
    for method in ["GET", "POST"] {
        let request = Request::new(method, "/check_store").bearer(&world.sign(&service()));
        let response = world.send(request.json(&json!({}))).await;
        assert_eq!((response.status, response.json()), (200, json!({"ok": true})), "{method}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_reported_without_its_address() {
    let mut settings = Settings::default();
    // A port at which nothing listens.
    settings.store.url = Some("postgres://user:password@127.0.0.1:9/documents".into());
    let store = OpenedStore::open(&settings).await.expect("the address can be used");
    let extend = |server: ServerBuilder| {
        server.store(OpenedStore { documents: store.documents, ..OpenedStore::in_memory() })
    };
    let world =
        World::extended(extend, |settings| settings.documents.load_timeout = Duration::from_millis(200))
            .await;
    let checked = post(&world, "/check_store", &json!({})).await;
    let expected = json!({"ok": false, "error": "the store does not return documents"});
    assert_eq!((checked.status, checked.json()), (200, expected));
    world.stop().await;
}

#[tokio::test]
async fn a_node_is_ready_until_it_stops() {
    let world = World::with(|settings| settings.server.drain_delay = Duration::from_secs(600)).await;
    let ready = async || world.send(Request::get("/ready")).await;
    assert_eq!((ready().await.status, ready().await.json()), (200, json!({"ok": true})));
    let drain = world.drain();
    eventually("it is not ready", async || ready().await.status == 503).await;
    assert_eq!(ready().await.json(), json!({"ok": false}));
    drain.raise_urgency(Urgency::Soon);
    drain.ended().await;
}
