//! Tenants over HTTP (docs/protocol/http.md#tenants): created, changed, suspended and deleted while clients are connected.

use harness::{Algorithm, Client, Dialect, KeyPair, Request, Response, Token, TokenIssuer, World, key_set};
use serde_json::{Value, json};

const ROOM: &str = "realtime:room";
const SECRET: &str = "the secret of the users of acme, of thirty-two bytes";

/// A server with operators, and their token.
struct Managed {
    world: World,
    token: String,
}

impl Managed {
    async fn start() -> Managed {
        let operators = TokenIssuer::new("the operators' secret, of thirty-two bytes");
        let world = World::with_tenants(&["configured"]).await;
        world.apply(|settings| settings.admin.jwt_secret = Some(operators.secret().into()));
        let token = operators.sign(&json!({"iss": "", "aud": "", "sub": "", "exp": 4_000_000_000_u64}));
        Managed { world, token }
    }

    async fn send(&self, request: Request) -> Response {
        self.world.send(request.bearer(&self.token)).await
    }

    async fn create(&self, fields: Value) -> Response {
        self.send(Request::post("/api/tenants").json(&json!({ "tenant": fields }))).await
    }

    async fn put(&self, id: &str, fields: Value) -> Response {
        let target = format!("/api/tenants/{id}");
        self.send(Request::new("PUT", &target).json(&json!({ "tenant": fields }))).await
    }

    /// A client of a tenant whose tokens are signed with `secret`.
    async fn connect(&self, tenant: &str, secret: &str) -> Client {
        let token = TokenIssuer::new(secret).token(Token::Valid);
        let target = format!("/socket/websocket?tenant={tenant}&apikey={token}&vsn=2.0.0");
        self.world.connect_to(Dialect::V2, &target).await.expect("the handshake succeeds")
    }

    /// The response to a handshake for a tenant, with a token of this secret.
    async fn handshake(&self, tenant: &str, secret: &str) -> u16 {
        let token = TokenIssuer::new(secret).token(Token::Valid);
        let target = format!("/socket/websocket?tenant={tenant}");
        self.world.send(Request::upgrade(&target).header("x-api-key", &token)).await.status
    }
}

#[tokio::test]
async fn a_tenant_is_created_changed_and_deleted_while_clients_are_connected() {
    let managed = Managed::start().await;
    assert_eq!(managed.handshake("acme", SECRET).await, 404);
    let created = managed.create(json!({"external_id": "acme", "name": "Acme", "jwt_secret": SECRET})).await;
    assert_eq!((created.status, created.header("location")), (201, Some("/api/tenants/acme")));
    let data = &created.json()["data"];
    assert_eq!((&data["external_id"], &data["name"]), (&json!("acme"), &json!("acme")));
    assert!(data.get("jwt_secret").is_none(), "{data}");
    // Known at once, although it was unknown a moment ago.
    let mut client = managed.connect("acme", SECRET).await;
    client.join(ROOM, json!({})).await;

    let shown = managed.send(Request::get("/api/tenants/acme")).await;
    assert_eq!((shown.status, &shown.json()), (200, &created.json()));
    let updated = managed.put("acme", json!({"max_concurrent_users": "7"})).await;
    assert_eq!((updated.status, &updated.json()["data"]["max_concurrent_users"]), (200, &json!(7)));
    client.expect_quiet().await;

    assert_eq!(managed.put("acme", json!({"suspend": true})).await.status, 200);
    assert_eq!(client.drain_to_close().await, Some(1012));
    assert_eq!(managed.handshake("acme", SECRET).await, 403);
    assert_eq!(managed.put("acme", json!({"suspend": false})).await.status, 200);
    let mut client = managed.connect("acme", SECRET).await;
    client.join(ROOM, json!({})).await;

    let delete = || managed.send(Request::new("DELETE", "/api/tenants/acme"));
    assert_eq!(delete().await.status, 204);
    assert_eq!(client.drain_to_close().await, Some(1012));
    assert_eq!(managed.handshake("acme", SECRET).await, 404);
    assert_eq!(delete().await.status, 204, "also if it is unknown");
    assert_eq!(managed.send(Request::get("/api/tenants/acme")).await.status, 404);
    managed.world.stop().await;
}

#[tokio::test]
async fn a_precondition_creates_only_or_changes_only() {
    let managed = Managed::start().await;
    let put = |name: &str, fields: Value| {
        let request = Request::new("PUT", "/api/tenants/acme").header(name, "*");
        managed.send(request.json(&json!({ "tenant": fields })))
    };
    let secret = || json!({"jwt_secret": SECRET});
    assert_eq!(put("if-match", secret()).await.status, 412);
    let delete = || managed.send(Request::new("DELETE", "/api/tenants/acme").header("if-match", "*"));
    assert_eq!(delete().await.status, 412);
    assert_eq!(put("if-none-match", secret()).await.status, 201);
    let refused = put("if-none-match", json!({"suspend": true})).await;
    assert_eq!(
        (refused.status, refused.text()),
        (412, r#"{"message":"there is such a tenant already"}"#.into())
    );
    let delete_new = Request::new("DELETE", "/api/tenants/acme").header("if-none-match", "*");
    assert_eq!(managed.send(delete_new).await.status, 412);
    assert_eq!(put("if-match", json!({"max_concurrent_users": 7})).await.status, 200);
    assert_eq!(managed.handshake("acme", SECRET).await, 101, "it was not suspended");
    assert_eq!(delete().await.status, 204);
    managed.world.stop().await;
}

// Its users' tokens without a `role` would be operators' tokens.
#[tokio::test]
async fn the_secret_of_operators_is_not_that_of_users() {
    let managed = Managed::start().await;
    let of_operators = || json!({"jwt_secret": "the operators' secret, of thirty-two bytes"});
    let refused = managed.put("acme", of_operators()).await;
    let errors = json!({"errors": {"jwt_secret": ["is a secret of operators"]}});
    assert_eq!((refused.status, refused.json()), (422, errors));
    assert_eq!(managed.put("acme", json!({"jwt_secret": SECRET})).await.status, 201);
    assert_eq!(managed.put("acme", of_operators()).await.status, 422);
    assert_eq!(managed.handshake("acme", SECRET).await, 101, "it is unchanged");
    managed.world.stop().await;
}

#[tokio::test]
async fn of_two_that_create_a_tenant_at_once_one_does() {
    let managed = Managed::start().await;
    let create = || {
        let request = Request::new("PUT", "/api/tenants/acme").header("if-none-match", "*");
        managed.send(request.json(&json!({"tenant": {"jwt_secret": SECRET}})))
    };
    let (one, two, three) = tokio::join!(create(), create(), create());
    let mut statuses = [one.status, two.status, three.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412, 412]);
    managed.world.stop().await;
}

#[tokio::test]
async fn a_new_secret_applies_to_connected_clients() {
    let managed = Managed::start().await;
    assert_eq!(managed.put("acme", json!({"jwt_secret": SECRET})).await.status, 201);
    let mut client = managed.connect("acme", SECRET).await;
    client.join(ROOM, json!({})).await;
    let other = "another secret of the users of acme, of thirty-two bytes";
    assert_eq!(managed.put("acme", json!({"jwt_secret": other})).await.status, 200);
    // Its room is closed, as after a reload that withdraws a secret.
    let notice = client.next_json().await;
    assert_eq!((&notice[3], &notice[4]["status"]), (&json!("system"), &json!("error")), "{notice}");
    assert_eq!(client.next_json().await[3], "phx_error");
    assert_eq!(managed.handshake("acme", SECRET).await, 401);
    assert_eq!(managed.handshake("acme", other).await, 101);
    managed.world.stop().await;
}

#[tokio::test]
async fn only_operators_manage_tenants() {
    let managed = Managed::start().await;
    let user = managed.world.token_issuer().token(Token::Valid);
    for request in [Request::get("/api/tenants"), Request::get("/api/tenants").bearer(&user)] {
        let response = managed.world.send(request).await;
        assert_eq!((response.status, response.body.as_slice()), (403, &b""[..]));
    }
    assert_eq!(managed.send(Request::get("/realtime/v1/api/tenants/")).await.status, 200);
    managed.world.stop().await;
}

#[tokio::test]
async fn where_one_secret_signs_users_and_operators_claims_distinguish_them() {
    let world = World::start().await;
    let issuer = world.token_issuer().clone();
    world.apply(|settings| settings.admin.jwt_secret = Some(issuer.secret().into()));
    let exp = 4_000_000_000_u64;
    for (claims, status) in [
        // As the curl of upstream's README, without a name.
        (json!({"iss": "", "iat": 1_671_237_873, "exp": exp, "aud": "", "sub": ""}), 200),
        (json!({"exp": exp, "sub": "ann"}), 403),
        (json!({"exp": exp, "sub": "ann", "operator": "true"}), 403),
        (json!({"exp": exp, "sub": "ann", "operator": true}), 200),
        (json!({"exp": exp, "sub": "ann", "operator": true, "role": "authenticated"}), 403),
        (json!({"exp": exp, "role": "service_role"}), 403),
    ] {
        let response = world.send(Request::get("/api/tenants").bearer(&issuer.sign(&claims))).await;
        assert_eq!(response.status, status, "{claims}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_may_have_a_key_set_and_no_secret() {
    let managed = Managed::start().await;
    let (key, other) = (KeyPair::new("one", Algorithm::ES256), KeyPair::new("other", Algorithm::ES256));
    let created = managed.put("acme", json!({"jwt_jwks": key_set([&key])})).await;
    assert_eq!(created.status, 201, "{}", created.json());
    let user = json!({"role": "authenticated", "exp": 4_000_000_000_u64});
    let status = async |key: &KeyPair| {
        let request = Request::upgrade("/socket/websocket?tenant=acme").header("x-api-key", &key.sign(&user));
        managed.world.send(request).await.status
    };
    assert_eq!((status(&key).await, status(&other).await), (101, 401));
    assert_eq!(managed.put("acme", json!({"jwt_jwks": key_set([&other])})).await.status, 200);
    assert_eq!((status(&key).await, status(&other).await), (401, 101));
    managed.world.stop().await;
}

#[tokio::test]
async fn tenants_of_the_configuration_are_shown_and_not_written() {
    let managed = Managed::start().await;
    let shown = managed.send(Request::get("/api/tenants/configured")).await.json();
    assert_eq!(
        (&shown["data"]["external_id"], &shown["data"]["origin"]),
        (&json!("configured"), &json!("config"))
    );
    for response in [
        managed.put("configured", json!({"suspend": true})).await,
        managed.create(json!({"external_id": "CONFIGURED", "jwt_secret": SECRET})).await,
        managed.send(Request::new("DELETE", "/api/tenants/configured")).await,
    ] {
        assert_eq!(response.status, 409, "{}", response.json());
    }
    managed.create(json!({"external_id": "acme", "jwt_secret": SECRET})).await;
    let list = managed.send(Request::get("/api/tenants")).await.json();
    let names: Vec<_> =
        list["data"].as_array().expect("a list").iter().map(|it| &it["external_id"]).collect();
    assert_eq!(names, ["configured", "default", "acme"]);
    managed.world.stop().await;
}

#[tokio::test]
async fn what_is_invalid_is_refused_with_the_documented_texts() {
    let managed = Managed::start().await;
    for (fields, errors) in [
        (json!({"jwt_secret": SECRET}), json!({"external_id": ["can't be blank"]})),
        (
            json!({"external_id": "a"}),
            json!({"jwt_secret": ["either jwt_secret or jwt_jwks must be provided"]}),
        ),
        (
            json!({"external_id": "a", "jwt_secret": SECRET, "suspend": "perhaps"}),
            json!({"suspend": ["is invalid"]}),
        ),
    ] {
        let response = managed.create(fields).await;
        assert_eq!((response.status, response.json()), (422, json!({ "errors": errors })));
    }
    let nested = "[".repeat(1_000);
    for body in ["", "[]", "{", r#"{"other": {}}"#, r#"{"tenant": 1}"#, &nested] {
        let request = Request::post("/api/tenants").header("content-type", "application/json").body(body);
        let response = managed.send(request).await;
        assert_eq!((response.status, response.json()), (400, json!("Bad Request")), "{body}");
    }
    managed.world.stop().await;
}

#[tokio::test]
async fn commands_and_health_of_a_tenant() {
    let managed = Managed::start().await;
    managed.create(json!({"external_id": "acme", "jwt_secret": SECRET})).await;
    let mut client = managed.connect("acme", SECRET).await;
    client.join(ROOM, json!({})).await;
    let health = managed.send(Request::get("/api/tenants/acme/health")).await;
    let data = &health.json()["data"];
    assert_eq!((health.status, &data["healthy"], &data["connected_cluster"]), (200, &json!(true), &json!(1)));
    let command =
        async |path: &str| managed.send(Request::post(&format!("/api/tenants/{path}"))).await.status;
    assert_eq!(command("acme/shutdown").await, 204);
    client.expect_quiet().await;
    assert_eq!(command("acme/reload").await, 204);
    assert_eq!(client.drain_to_close().await, Some(1012));
    assert_eq!((command("unknown/reload").await, command("unknown/shutdown").await), (404, 404));
    assert_eq!(managed.send(Request::get("/api/tenants/unknown/health")).await.status, 404);
    managed.world.stop().await;
}
