//! The management API row by row, as the tables of the specification of Supabase's HTTP API have it
//! (docs/protocol/http.md#tenants), on each store: memory, SQLite, PostgreSQL. Each case names its section there.
//!
//! What a change does to connected clients is in `tenants_api`.

mod common_ground;
mod fields;
mod limits;
mod outcomes;

use std::sync::Arc;

use harness::{Postgres, Request, Response, Token, TokenIssuer, World};
use realtime_server::app::OpenedStore;
use realtime_server::store::{StoredTenant, TenantStore};
use serde_json::{Value, json};
use settings::Settings;
use tempfile::TempDir;

const SECRET: &str = "the secret of the users of acme, of thirty-two bytes";

/// A check on each store.
macro_rules! on_each_store {
    ($($check:ident),* $(,)?) => {$(
        mod $check {
            #[tokio::test]
            async fn memory() {
                super::checks::$check(&crate::tenants_contract::Api::in_memory().await).await;
            }

            #[tokio::test]
            async fn sqlite() {
                super::checks::$check(&crate::tenants_contract::Api::in_sqlite().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::checks::$check(&crate::tenants_contract::Api::in_postgres().await).await;
            }
        }
    )*};
}
use on_each_store;

/// A server with operators, its store, and what that needs as long as it is used.
struct Api {
    world: World,
    tenants: Arc<dyn TenantStore>,
    token: String,
    _folder: Option<TempDir>,
    _postgres: Option<Postgres>,
}

impl Api {
    async fn in_memory() -> Api {
        Api::start(OpenedStore::in_memory(), None, None).await
    }

    async fn in_sqlite() -> Api {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = Settings::default();
        settings.server.data_dir = folder.path().into();
        let store = OpenedStore::open(&settings).await.expect("it opens");
        Api::start(store, Some(folder), None).await
    }

    async fn in_postgres() -> Api {
        let postgres = Postgres::start();
        let mut settings = Settings::default();
        settings.store.url = Some(postgres.url().into());
        settings.store.encryption_key = Some("a key for AES-GCM of 32 bytes !!".into());
        let store = OpenedStore::open(&settings).await.expect("it opens");
        store.tables.tenants.migrate().await.expect("it is migrated");
        Api::start(store, None, Some(postgres)).await
    }

    async fn start(store: OpenedStore, folder: Option<TempDir>, postgres: Option<Postgres>) -> Api {
        let operators = operators();
        let tenants = Arc::clone(&store.tenants);
        let world = World::extended(
            |server| server.store(store),
            |settings| {
                settings.admin.jwt_secret = Some(operators.secret().into());
                settings.admin.max_body_size = "200kB".parse().expect("a size");
            },
        )
        .await;
        let token = operators.sign(&json!({"exp": 4_000_000_000_u64}));
        Api { world, tenants, token, _folder: folder, _postgres: postgres }
    }

    async fn send(&self, request: Request) -> Response {
        self.world.send(request.bearer(&self.token)).await
    }

    /// The status of a request without a body, and the JSON of its response; null without one.
    async fn call(&self, method: &str, path: &str) -> (u16, Value) {
        answer(&self.send(Request::new(method, path)).await)
    }

    /// The same with these fields of a tenant.
    async fn write(&self, method: &str, path: &str, fields: Value) -> (u16, Value) {
        answer(&self.send(Request::new(method, path).json(&json!({ "tenant": fields }))).await)
    }

    /// A tenant with these fields beside its name and secret.
    async fn create(&self, id: &str, fields: Value) -> (u16, Value) {
        let mut body = json!({"external_id": id, "jwt_secret": SECRET});
        let given = fields.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(given);
        self.write("POST", "/api/tenants", body).await
    }

    /// A POST of exactly this body.
    async fn post_raw(&self, kind: &str, body: impl Into<Vec<u8>>) -> (u16, Value) {
        answer(&self.send(Request::post("/api/tenants").header("content-type", kind).body(body)).await)
    }

    /// The row of a tenant.
    async fn row(&self, id: &str) -> StoredTenant {
        self.tenants.tenant(id).await.expect("the store answers").expect("it is stored")
    }

    async fn handshake(&self, tenant: &str) -> u16 {
        let token = TokenIssuer::new(SECRET).token(Token::Valid);
        let target = format!("/socket/websocket?tenant={tenant}");
        self.world.send(Request::upgrade(&target).header("x-api-key", &token)).await.status
    }
}

fn operators() -> TokenIssuer {
    TokenIssuer::new("the operators' secret, of thirty-two bytes")
}

fn answer(response: &Response) -> (u16, Value) {
    let body = if response.body.is_empty() { Value::Null } else { response.json() };
    (response.status, body)
}

/// A database as a request gives it, with these settings in addition.
fn database(more: Value) -> Value {
    let mut settings = json!({
        "region": "us-east-1", "db_host": "db.example", "db_port": "5432", "db_name": "postgres",
        "db_user": "admin", "db_password": "the password",
    });
    let more = more.as_object().expect("an object").clone();
    settings.as_object_mut().expect("an object").extend(more);
    json!({"type": "postgres_cdc_rls", "settings": settings})
}

/// The body of a 422 with one error.
fn invalid(field: &str, text: &str) -> Value {
    json!({"errors": {field: [text]}})
}
