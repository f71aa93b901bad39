//! Tenants whose secrets the keys of the server do not decrypt, beside others: rows that another program has written.

use std::path::Path;

use harness::{ManagedServer, Postgres, Request, Response, eventually};
use realtime_server::store::{EncryptionKeys, WrittenForm};
use serde_json::{Value, json};

const SECRET: &str = ManagedServer::USERS;
const KEY: &str = "a key for AES-GCM of 32 bytes !!";
const LOST: &str = "a key that was lost, of 32 bytes";

struct Node(ManagedServer);

impl Node {
    fn start(folder: &Path, url: &str) -> Node {
        let refresh = ("TENANT_CACHE_EXPIRATION_IN_MS", "100");
        let variables = [("DATABASE_URL", url), ("DB_ENC_KEY_GCM", KEY), refresh];
        let program = env!("CARGO_BIN_EXE_realtime-server");
        Node(ManagedServer::start(ManagedServer::command(program, folder, &variables)))
    }

    async fn manage(&self, request: Request) -> Response {
        self.0.manage(request).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.manage(Request::get(&format!("/api/tenants/{path}"))).await;
        (response.status, response.json())
    }

    async fn put(&self, id: &str, fields: Value) -> u16 {
        self.0.put(id, fields).await.status
    }

    async fn handshake(&self, tenant: &str) -> u16 {
        self.0.handshake(tenant).await
    }

    /// How often the log says that the secret of a tenant cannot be used.
    fn errors_about(&self, tenant: &str) -> usize {
        let about = |line: &&str| {
            line.contains("The secret of a stored tenant cannot be used") && line.contains(tenant)
        };
        self.0.process.log().lines().filter(about).count()
    }
}

fn encrypted(key: &str, secret: &str) -> String {
    let keys = EncryptionKeys::new(Some(&key.into()), None, WrittenForm::Current).unwrap();
    keys.encrypt(&secret.into()).unwrap()
}

/// Inserts a tenant with this as its stored secret.
fn insert(postgres: &Postgres, name: &str, secret: &str) {
    postgres.sql(&format!(
        "INSERT INTO _realtime.tenants (id, external_id, name, jwt_secret, inserted_at, updated_at) \
         VALUES (gen_random_uuid(), '{name}', '{name}', '{secret}', now(), now())"
    ));
}

#[tokio::test]
async fn a_secret_under_another_key_concerns_its_tenant_alone_until_it_is_repaired() {
    let (postgres, folder) = (Postgres::start(), tempfile::tempdir().unwrap());
    let node = Node::start(folder.path(), &postgres.url());
    eventually("the schema is there", async || node.put("known", json!({"jwt_secret": SECRET})).await < 300)
        .await;
    let unusable =
        [("lost", encrypted(LOST, SECRET)), ("plain", SECRET.into()), ("empty", encrypted(KEY, ""))];
    for (name, secret) in &unusable {
        insert(&postgres, name, secret);
    }
    insert(&postgres, "good", &encrypted(KEY, SECRET));
    for _ in 0..5 {
        for (name, _) in &unusable {
            assert_eq!(node.handshake(name).await, 503, "{name}");
        }
        assert_eq!((node.handshake("good").await, node.handshake("known").await), (101, 101));
    }
    for (name, _) in &unusable {
        assert_eq!(node.errors_about(name), 1, "{}", node.0.process.log());
        assert!(!node.0.process.log().contains(SECRET));
        let (status, shown) = node.get(name).await;
        assert_eq!((status, &shown["data"]["external_id"]), (200, &json!(name)));
        let (status, health) = node.get(&format!("{name}/health")).await;
        assert_eq!((status, &health["data"]["healthy"]), (200, &json!(false)));
    }
    assert_eq!(node.get("good/health").await.1["data"]["healthy"], true);
    let all = node.get("").await.1;
    assert_eq!(all["data"].as_array().unwrap().len(), 6, "{all}");

    // What is known is served from memory.
    let lost = encrypted(LOST, SECRET);
    postgres.sql(&format!("UPDATE _realtime.tenants SET jwt_secret = '{lost}' WHERE external_id = 'known'"));
    eventually("it is noticed", async || node.errors_about("known") == 1).await;
    assert_eq!(node.handshake("known").await, 101);
    assert_eq!(node.get("known/health").await.1["data"]["healthy"], false);

    // Other fields may be changed meanwhile, and a secret repairs it. What breaks again is logged again.
    assert_eq!(node.put("lost", json!({"suspend": false})).await, 200);
    assert_eq!((node.handshake("lost").await, node.errors_about("lost")), (503, 1));
    for name in ["lost", "plain", "empty", "known"] {
        assert_eq!(node.put(name, json!({"jwt_secret": SECRET})).await, 200, "{name}");
        assert_eq!(node.handshake(name).await, 101, "{name}");
        assert_eq!(node.get(&format!("{name}/health")).await.1["data"]["healthy"], true, "{name}");
    }
    postgres.sql(&format!("UPDATE _realtime.tenants SET jwt_secret = '{lost}' WHERE external_id = 'lost'"));
    eventually("it is noticed", async || node.errors_about("lost") == 2).await;
}

#[tokio::test]
async fn names_in_upper_case_are_served_and_do_not_change_again_and_again() {
    let (postgres, folder) = (Postgres::start(), tempfile::tempdir().unwrap());
    let node = Node::start(folder.path(), &postgres.url());
    eventually("the schema is there", async || node.put("other", json!({"jwt_secret": SECRET})).await < 300)
        .await;
    insert(&postgres, "Acme", &encrypted(KEY, SECRET));
    insert(&postgres, "ACME", &encrypted(KEY, "another secret, of a tenant that is not served"));
    insert(&postgres, "Upper", &encrypted(KEY, SECRET));
    eventually("they are noticed", async || node.handshake("upper").await == 101).await;
    assert_eq!(node.handshake("UPPER").await, 101);
    // Of the first two, the first in the order of their bytes.
    assert_eq!((node.handshake("acme").await, node.handshake("Acme").await), (401, 401));
    assert_eq!(node.get("Acme").await.1["data"]["external_id"], "Acme", "written exactly so");
    assert_eq!(node.get("acme").await.1["data"]["external_id"], "ACME");
    assert_eq!(node.get("upper").await.1["data"]["external_id"], "Upper");
    assert_eq!(node.put("upper", json!({"external_id": "upper", "suspend": true})).await, 200);
    assert_eq!(node.handshake("upper").await, 403);
    let names =
        "SELECT string_agg(external_id, ' ' ORDER BY external_id COLLATE \"C\") FROM _realtime.tenants";
    assert_eq!(postgres.sql(names), "ACME Acme Upper other");

    let changes = |node: &Node| node.0.process.log().matches("Tenants changed").count();
    let before = changes(&node);
    // A change of another tenant is noticed by a refresh; those before have noticed nothing.
    assert_eq!(node.handshake("other").await, 101);
    postgres.sql("UPDATE _realtime.tenants SET suspend = true WHERE external_id = 'other'");
    eventually("the change is noticed", async || node.handshake("other").await == 403).await;
    assert!(changes(&node) <= before + 2, "{}", node.0.process.log());

    let delete = Request::new("DELETE", "/api/tenants/acme");
    assert_eq!(node.manage(delete).await.status, 204);
    assert_eq!(postgres.sql(names), "Acme Upper other");
    eventually("the other is served then", async || node.handshake("acme").await == 101).await;
}
