//! The OpenAPI document (docs/protocol/http.md#openapi): it has every route and nothing else. That real responses are as it
//! says is checked with every response that a test receives from [`World::send`], and with generated requests in
//! `tests/clients/python/test_openapi.py`.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::{Request, World};
use realtime_server::openapi::document;
use ring::digest;
use serde_json::Value;

/// All operations of a document: the method and the path.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("an object");
    let methods = paths.iter().flat_map(|(path, item)| {
        let members = item.as_object().expect("an object").keys().filter(|member| *member != "servers");
        members.map(move |method| (method.to_ascii_uppercase(), path.clone()))
    });
    methods.collect()
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else() {
    let world = World::start().await;
    let table = world.routes();
    let mut expected = BTreeSet::new();
    for route in table.routes() {
        let options = route.can_be_cross_origin().then_some("OPTIONS");
        let methods: Vec<_> = route.methods().iter().map(http::Method::as_str).chain(options).collect();
        for path in route.paths() {
            expected.extend(methods.iter().map(|method| ((*method).to_owned(), path.to_owned())));
        }
    }
    assert_eq!(operations(&document(&table)), expected);
    world.stop().await;
}

#[tokio::test]
async fn the_document_is_served_with_an_entity_tag() {
    let world = World::start().await;
    let response = world.send(Request::get("/realtime/v1/api/openapi")).await;
    assert_eq!((response.status, response.header("cache-control")), (200, Some("no-cache")));
    assert_eq!(response.json(), document(&world.routes()));
    let tag = response.header("etag").expect("a tag").to_owned();
    let ask = |tags: &str| world.send(Request::get("/api/openapi").header("if-none-match", tags));
    for known in [tag.clone(), format!("\"other\", W/{tag}")] {
        let response = ask(&known).await;
        assert_eq!((response.status, response.body.len()), (304, 0), "{known}");
        assert_eq!(response.header("etag"), Some(&*tag));
    }
    assert_eq!(ask("\"other\"").await.status, 200);
    world.stop().await;
}

// The document says nothing of where the server is, which only its operator knows.
#[tokio::test]
async fn servers_are_relative() {
    let world = World::start().await;
    let document = document(&world.routes());
    let servers = document["servers"].as_array().expect("a list");
    assert_eq!(servers.iter().map(|server| &server["url"]).collect::<Vec<_>>(), ["/", "/realtime/v1"]);
    let exact = &document["paths"]["/status"]["servers"];
    assert_eq!(*exact, serde_json::json!([{"url": "/"}]), "gateways filter it by path");
    world.stop().await;
}

// The whole page comes from the server, and what its script asks for too: a browser refuses all else by the policy.
#[tokio::test]
async fn the_viewer_runs_its_own_script_and_asks_no_other_host() {
    let world = World::start().await;
    for path in ["/swaggerui", "/swaggerui/", "/realtime/v1/swaggerui"] {
        let response = world.send(Request::get(path)).await;
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("text/html; charset=utf-8"))
        );
        let (page, policy) = (response.text(), response.header("content-security-policy").expect("a policy"));
        for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
            let digest = sha256(between(&page, &format!("<{tag}>"), &format!("</{tag}>")));
            assert!(policy.contains(&format!("{directive} 'sha256-{digest}';")), "{policy}");
            assert_eq!(page.matches(&format!("<{tag}")).count(), 1, "the policy has one digest");
        }
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("connect-src 'self';"),
            "{policy}"
        );
        assert!(!page.contains("://"), "it names no other host");
        assert!(!page.contains(" src=") && page.matches("href=").count() == 1, "it needs no other file");
    }
    world.stop().await;
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect("it begins");
    rest.split_once(end).expect("it ends").0
}

/// The digest of a text in base64, as a policy has it.
fn sha256(text: &str) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
