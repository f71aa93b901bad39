//! Pages without a token: `/health`, `/healthcheck`, `/metrics`, `/metrics/<region>`.

use harness::{Request, TokenIssuer, World, eventually};
use serde_json::json;

#[tokio::test]
async fn health_counts_connections_rooms_and_members() {
    let world = World::start().await;
    let health = async || world.send(Request::get("/health")).await;
    let idle = health().await;
    assert_eq!(idle.status, 200);
    assert!(idle.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
    assert_eq!(idle.json(), json!({"status": "ok", "connections": 0, "rooms": 0, "members": 0}));

    let mut clients = world.conversation();
    clients.check("ann, bob, cid connect\n ann, bob join realtime:a\n ann joins realtime:b").await;
    assert_eq!(health().await.json(), json!({"status": "ok", "connections": 3, "rooms": 2, "members": 3}));
    clients.check("ann leaves realtime:b").await;
    assert_eq!(health().await.json(), json!({"status": "ok", "connections": 3, "rooms": 1, "members": 2}));
    clients.check("ann, bob, cid vanish").await;
    eventually("the counts are as before", async || health().await.json() == idle.json()).await;
    world.stop().await;
}

#[tokio::test]
async fn healthcheck_responds_with_ok() {
    let world = World::start().await;
    let response = world.send(Request::get("/healthcheck")).await;
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    world.stop().await;
}

#[tokio::test]
async fn head_gets_the_headers_of_get_without_a_body() {
    let world = World::start().await;
    for path in ["/health", "/healthcheck", "/metrics"] {
        let (get, head) =
            (world.send(Request::get(path)).await, world.send(Request::new("HEAD", path)).await);
        assert_eq!((head.status, head.text().as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert!(head.header("content-length").is_some_and(|length| length != "0"), "{path}");
        assert_eq!(world.send(Request::post(path)).await.status, 404, "{path}");
    }
    world.stop().await;
}

/// The sum of a metric's series on a page.
fn value(page: &str, name: &str) -> Option<f64> {
    let series = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let values: Vec<f64> = series.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[tokio::test]
async fn metrics_are_prometheus_text_with_known_names() {
    let world = World::start().await;
    let mut clients = world.conversation();
    clients
        .check(
            r#"
            ann, bob join realtime:room
            ann > ["1","2","realtime:room","broadcast",{"event":"hi"}]
            bob < [null,null,"realtime:room","broadcast",{"event":"hi"}]
            ann > not json
            ann is quiet
            "#,
        )
        .await;
    let response = world.send(Request::get("/metrics")).await;
    assert_eq!(response.status, 200);
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let page = response.text();
    for (name, least) in [
        ("realtime_connections_connected", 2.0),
        ("realtime_channel_joins", 2.0),
        ("realtime_channel_events", 1.0),
        ("realtime_rooms", 1.0),
        ("realtime_members", 2.0),
        ("realtime_malformed_messages_total", 1.0),
        ("phoenix_connections_active", 2.0),
    ] {
        assert!(
            value(&page, name).is_some_and(|value| value >= least),
            "{name} is at least {least} in:\n{page}"
        );
    }
    assert!(page.contains("# TYPE ") && page.contains("# HELP "), "{page}");
    assert!(!page.contains("realtime:room"), "no label names a topic");
    assert!(
        page.ends_with("\n# EOF\n") && page.matches("# EOF").count() == 1,
        "the page ends with its marker:\n{page}"
    );
    world.stop().await;
}

#[tokio::test]
async fn the_metrics_of_a_region_are_those_of_its_nodes() {
    let server = World::with(|settings| settings.regions.name = Some("eu-west-2".into())).await;
    let own = server.send(Request::get("/metrics/eu-west-2")).await;
    assert!(own.text().contains("region=\"eu-west-2\"") && own.text().ends_with("# EOF\n"), "{}", own.text());
    let other = server.send(Request::get("/metrics/us-east-1")).await;
    assert_eq!((other.status, other.text()), (200, "# EOF\n".to_owned()), "a page of OpenMetrics ends so");
    assert_eq!(other.header("content-type"), own.header("content-type"));
    let scraper = TokenIssuer::new("the scraper's secret, of thirty-two bytes");
    server.apply(|settings| settings.admin.metrics_jwt_secret = Some(scraper.secret().into()));
    assert_eq!(server.send(Request::get("/metrics/us-east-1")).await.status, 403);
    server.stop().await;
}
