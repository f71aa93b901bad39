//! `GET /api/ping` (docs/protocol/http.md#ping): whether a tenant is served, and what that costs its rate.

use harness::{Request, Token, World};
use serde_json::json;

use crate::count;
use crate::http_broadcast::assert_rate_headers;

#[tokio::test]
async fn a_ping_counts_for_users_of_the_tenant_only() {
    let world = World::with_tenants(&["acme"]).await;
    let ping = |token: &str| {
        let request = Request::get("/api/ping?tenant=acme");
        world.send(if token.is_empty() { request } else { request.bearer(token) })
    };
    let user = world.tenant_token_issuer("acme").token(Token::Valid);
    for token in [&*user, "", "garbage", &world.token(Token::Valid)] {
        let response = ping(token).await;
        assert_eq!((response.status, response.json()), (200, json!({"message": "Success"})), "{token}");
        assert_eq!(response.header("x-rate-limit").is_some(), token == user, "{token}");
    }
    let unknown = world.send(Request::get("/realtime/v1/api/ping").header("x-tenant", "nowhere")).await;
    let text = json!({"message": "Tenant not found in database"});
    assert_eq!((unknown.status, unknown.json()), (401, text));
    world.stop().await;
}

#[tokio::test]
async fn a_ping_over_the_rate_is_refused() {
    let world = World::with(|settings| settings.limits.max_events_per_second = count(1)).await;
    let ping = || world.send(Request::get("/api/ping").bearer(&world.token(Token::Valid)));
    // The rate is an average over a minute at most.
    let mut refused = ping().await;
    for _ in 0..60 {
        if refused.status != 200 {
            break;
        }
        refused = ping().await;
    }
    assert_eq!((refused.status, refused.json()), (429, json!({"message": "Too many requests"})));
    assert_rate_headers(&refused);
    assert_eq!(world.send(Request::get("/api/ping")).await.status, 200, "it does not learn the rate");
    world.stop().await;
}
