//! `realtime-server store rekey`: secrets under another key, whenever it is interrupted, while others read and write.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use harness::{ManagedServer, Postgres, Request, Token, TokenIssuer, eventually};
use realtime_server::store::{
    EncryptionKeys, Migrate, PostgresStore, SqliteStore, StoredExtension, StoredTenant, TenantStore, UsedKey,
    WrittenForm,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

const OLD: &str = "an old key of 32 bytes for GCM !";
const NEW: &str = "a new key of 32 bytes for GCM !!";
const LEGACY: &str = "supabaserealtime";

const SETTINGS: [&str; 5] = ["db_host", "db_port", "db_name", "db_user", "db_password"];

fn keys(current: Option<&str>, legacy: Option<&str>) -> EncryptionKeys {
    let (current, legacy) = (current.map(SecretString::from), legacy.map(SecretString::from));
    EncryptionKeys::new(current.as_ref(), legacy.as_ref(), WrittenForm::Current).unwrap()
}

/// What is stored as the secret of a tenant, in plain text.
fn secret(tenant: &str, name: &str) -> String {
    format!("the {name} of {tenant}, of thirty-two bytes and more: ☃")
}

/// A tenant with all kinds of secrets.
fn tenant(name: &str, keys: &EncryptionKeys) -> StoredTenant {
    let encrypted = |of: &str| keys.encrypt(&secret(name, of).into()).unwrap();
    let mut tenant = StoredTenant::new(uuid::Uuid::new_v4().to_string(), name);
    tenant.jwt_secret = Some(encrypted("jwt_secret"));
    let mut settings = json!({"region": "eu-west-1", "poll_interval_ms": 100});
    for setting in SETTINGS {
        settings[setting] = encrypted(setting).into();
    }
    let (inserted_at, updated_at) = (String::new(), String::new());
    tenant.extensions =
        vec![StoredExtension { kind: "postgres_cdc_rls".into(), settings, inserted_at, updated_at }];
    tenant
}

async fn fill(store: &dyn TenantStore, count: usize, keys: &EncryptionKeys) {
    for number in 0..count {
        store.put(&tenant(&format!("tenant-{number:03}"), keys), None).await.unwrap();
    }
}

/// Checks that every secret of every tenant is read with the current one of `keys`. Returns how many tenants there are.
async fn check(store: &dyn TenantStore, keys: &EncryptionKeys) -> usize {
    let tenants = store.tenants().await.unwrap();
    for stored in &tenants {
        let read = |name: &str, encrypted: Option<&str>| {
            let (text, used) = keys.decrypt_with_any(encrypted.expect("it is there")).unwrap();
            assert_eq!((text.expose_secret(), used), (&*secret(&stored.external_id, name), UsedKey::Current));
        };
        read("jwt_secret", stored.jwt_secret.as_deref());
        let settings = &stored.extensions[0].settings;
        SETTINGS.iter().for_each(|name| read(name, settings[name].as_str()));
        assert_eq!((&settings["region"], &settings["poll_interval_ms"]), (&json!("eu-west-1"), &json!(100)));
    }
    tenants.len()
}

/// The program with these arguments, in a folder.
fn program(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.args(["store", "rekey"]).args(arguments).current_dir(folder).env_clear();
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Its exit code, and all that it prints.
fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = program(folder, arguments, variables).output().unwrap();
    (status.code(), String::from_utf8([stderr, stdout].concat()).unwrap())
}

/// A file with a key, as an editor writes it.
fn key_file(folder: &Path, key: &str) -> String {
    let file = folder.join("old-key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    file.to_str().unwrap().into()
}

async fn database() -> (Postgres, PostgresStore) {
    let postgres = Postgres::start();
    let settings = settings::Store { url: Some(postgres.url().into()), ..Default::default() };
    let store = PostgresStore::new(&settings).unwrap();
    store.migrate().await.unwrap();
    (postgres, store)
}

async fn embedded(folder: &Path) -> (PathBuf, SqliteStore) {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let store = SqliteStore::open(&data.join("store.sqlite")).await.unwrap();
    store.migrate().await.unwrap();
    (data, store)
}

const COUNTED: &str = "3 tenants\n0 secrets under the current key\n18 secrets under a previous key\n\
                       0 secrets in the legacy form\n0 secrets that cannot be decrypted\n18 ";

#[tokio::test]
async fn a_database_is_under_the_new_key_afterwards() {
    let ((postgres, store), folder) = (database().await, tempfile::tempdir().unwrap());
    fill(&store, 3, &keys(Some(OLD), None)).await;
    let (url, old) = (postgres.url(), key_file(folder.path(), OLD));
    let variables = [("DATABASE_URL", &*url), ("DB_ENC_KEY_GCM", NEW)];
    let arguments = ["--old-key-file", &*old];
    let rows = "SELECT sum(xmin::text::bigint) FROM _realtime.tenants";
    let before = postgres.sql(rows);
    let dry = run(folder.path(), &["--old-key-file", &old, "--dry-run"], &variables);
    assert_eq!(dry, (Some(0), format!("{COUNTED}to re-encrypt\n")));
    assert_eq!(postgres.sql(rows), before, "nothing is written");
    assert_eq!(run(folder.path(), &arguments, &variables), (Some(0), format!("{COUNTED}re-encrypted\n")));
    assert_eq!(check(&store, &keys(Some(NEW), None)).await, 3);
    let after = postgres.sql(rows);
    let (code, text) = run(folder.path(), &arguments, &variables);
    assert!(code == Some(0) && text.ends_with("\n0 re-encrypted\n"), "{text}");
    assert_eq!(postgres.sql(rows), after, "what is under the new key stays");

    // The same from stdin, and back.
    let mut process =
        program(folder.path(), &["--old-key-file", "-"], &[variables[0], ("DB_ENC_KEY_GCM", OLD)]);
    let mut process = process.stdin(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(NEW.as_bytes()).unwrap();
    assert!(process.wait().unwrap().success());
    assert_eq!(check(&store, &keys(Some(OLD), None)).await, 3);
}

#[tokio::test]
async fn the_legacy_form_of_upstream_becomes_the_current_one() {
    let ((postgres, store), folder) = (database().await, tempfile::tempdir().unwrap());
    fill(&store, 3, &keys(None, Some(LEGACY))).await;
    let url = postgres.url();
    let variables = [("DATABASE_URL", &*url), ("DB_ENC_KEY", LEGACY), ("DB_ENC_KEY_GCM", NEW)];
    let (code, text) = run(folder.path(), &[], &variables);
    assert!(code == Some(0) && text.contains("18 secrets in the legacy form"), "{text}");
    assert_eq!(check(&store, &keys(Some(NEW), None)).await, 3);

    // And the way back, for a version of upstream that reads no other.
    let variables = [&variables[..], &[("DB_ENC_WRITE_GCM", "false")]].concat();
    let (code, text) = run(folder.path(), &[], &variables);
    assert!(code == Some(0) && text.ends_with("\n18 re-encrypted\n"), "{text}");
    let legacy = keys(None, Some(LEGACY));
    for stored in store.tenants().await.unwrap() {
        let again = tenant(&stored.external_id, &legacy);
        assert_eq!(
            (&stored.jwt_secret, &stored.extensions[0].settings),
            (&again.jwt_secret, &again.extensions[0].settings)
        );
    }
    let (code, text) = run(folder.path(), &[], &variables);
    assert!(code == Some(0) && text.ends_with("\n0 re-encrypted\n"), "{text}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_decrypted_stays_and_is_named() {
    let ((postgres, store), folder) = (database().await, tempfile::tempdir().unwrap());
    fill(&store, 2, &keys(Some(OLD), None)).await;
    let foreign = tenant("foreign", &keys(Some("a key that was lost, of 32 bytes"), None));
    let foreign = store.put(&foreign, None).await.unwrap();
    let (url, old) = (postgres.url(), key_file(folder.path(), OLD));
    let variables = [("DATABASE_URL", &*url), ("DB_ENC_KEY_GCM", NEW)];
    let (code, text) = run(folder.path(), &["--old-key-file", &old], &variables);
    assert!(code == Some(1) && text.contains("the tenant \"foreign\" keeps its jwt_secret: "), "{text}");
    assert!(text.contains("12 re-encrypted") && !text.contains(OLD) && !text.contains(NEW), "{text}");
    assert_eq!(store.tenant("foreign").await.unwrap(), Some(foreign));
    assert!(store.delete("foreign").await.unwrap());
    assert_eq!(check(&store, &keys(Some(NEW), None)).await, 2);
}

#[tokio::test]
async fn without_keys_and_without_tables_it_says_what_is_missing() {
    let (postgres, folder) = (Postgres::start(), tempfile::tempdir().unwrap());
    let url = postgres.url();
    let database = ("DATABASE_URL", &*url);
    let (code, text) = run(folder.path(), &[], &[database]);
    assert!(code == Some(1) && text.contains("set `store.encryption_key` (DB_ENC_KEY_GCM)"), "{text}");
    let (code, text) = run(folder.path(), &[], &[database, ("DB_ENC_KEY_GCM", NEW)]);
    assert!(code == Some(1) && text.contains("run `realtime-server migrate` first"), "{text}");
    let short = key_file(folder.path(), "short");
    let (code, text) = run(folder.path(), &["--old-key-file", &short], &[database, ("DB_ENC_KEY_GCM", NEW)]);
    assert!(code == Some(1) && text.contains("has 5 bytes; it needs exactly 32"), "{text}");
    let (code, text) = run(folder.path(), &[], &[]);
    assert!(code == Some(1) && text.contains("there is no store in"), "{text}");
}

/// Kills the process again and again, a little later each time, until it is faster. Returns how often it was killed, and how
/// often when something was done and something was left.
async fn kill_until_done(command: impl Fn() -> Command, under_new: impl AsyncFn() -> usize) -> (u64, usize) {
    let (mut killed, mut halfway) = (0_u64, 0_usize);
    let mut before = under_new().await;
    loop {
        let mut process = command().spawn().unwrap();
        // Not an event of the process: it is to be killed wherever it is, and get a little further each time.
        let deadline = std::time::Instant::now() + Duration::from_millis(10 + 7 * killed);
        let ended = loop {
            match process.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if std::time::Instant::now() > deadline => break None,
                None => tokio::task::yield_now().await,
            }
        };
        if let Some(status) = ended {
            assert!(status.success(), "{status}");
            return (killed, halfway);
        }
        process.kill().unwrap();
        process.wait().unwrap();
        killed += 1;
        let now = under_new().await;
        halfway += usize::from(now > before);
        before = now;
    }
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_in_a_database() {
    let ((postgres, store), folder) = (database().await, tempfile::tempdir().unwrap());
    fill(&store, 250, &keys(Some(OLD), None)).await;
    let (url, old) = (postgres.url(), key_file(folder.path(), OLD));
    let command = || {
        let variables = [("DATABASE_URL", &*url), ("DB_ENC_KEY_GCM", NEW)];
        program(folder.path(), &["--old-key-file", &old], &variables)
    };
    let new = keys(Some(NEW), None);
    let under_new = async || {
        let tenants = store.tenants().await.unwrap();
        tenants.iter().filter(|it| new.decrypt(it.jwt_secret.as_deref().unwrap()).is_ok()).count()
    };
    let (killed, halfway) = kill_until_done(command, under_new).await;
    assert!(halfway > 0, "killed {killed} times, never while it wrote");
    assert_eq!(check(&store, &new).await, 250);
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_in_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = embedded(folder.path()).await;
    std::fs::write(data.join("encryption-key"), OLD).unwrap();
    fill(&store, 250, &keys(Some(OLD), None)).await;
    let old = keys(Some(OLD), None);
    let under_new = async || {
        let tenants = store.tenants().await.unwrap();
        tenants.iter().filter(|it| old.decrypt(it.jwt_secret.as_deref().unwrap()).is_err()).count()
    };
    let (killed, halfway) = kill_until_done(|| program(folder.path(), &[], &[]), under_new).await;
    assert!(halfway > 0, "killed {killed} times, never while it wrote");
    let new = std::fs::read_to_string(data.join("encryption-key")).unwrap();
    assert_ne!(new, OLD);
    assert!(!data.join("encryption-key.next").exists());
    assert_eq!(check(&store, &keys(Some(&new), None)).await, 250);
}

/// A server, and a client of its API.
struct Node(ManagedServer);

impl Node {
    fn start(folder: &Path, variables: &[(&str, &str)]) -> Node {
        let program = env!("CARGO_BIN_EXE_realtime-server");
        Node(ManagedServer::start(ManagedServer::command(program, folder, variables)))
    }

    async fn put(&self, id: &str, fields: serde_json::Value) -> u16 {
        self.0.put(id, fields).await.status
    }

    /// The status of a handshake with a token of the tenant's secret.
    async fn handshake(&self, tenant: &str) -> u16 {
        let token = TokenIssuer::new(secret(tenant, "jwt_secret")).token(Token::Valid);
        let target = format!("/socket/websocket?tenant={tenant}");
        self.0.world.send(Request::upgrade(&target).header("x-api-key", &token)).await.status
    }
}

#[tokio::test]
async fn a_server_uses_the_embedded_store_before_in_the_middle_and_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    for id in ["one", "two"] {
        assert_eq!(node.put(id, json!({"jwt_secret": secret(id, "jwt_secret")})).await, 201);
    }
    let (code, text) = run(folder.path(), &[], &[]);
    assert!(code == Some(1) && text.contains("a server uses the store in"), "{text}");
    drop(node);
    // Interrupted after it has made a key and encrypted one of the two.
    let data = folder.path().join("data");
    let first = std::fs::read_to_string(data.join("encryption-key")).unwrap();
    std::fs::write(data.join("encryption-key.next"), NEW).unwrap();
    let (_, store) = embedded(folder.path()).await;
    let mut one = store.tenant("one").await.unwrap().unwrap();
    one.jwt_secret = Some(keys(Some(NEW), None).encrypt(&secret("one", "jwt_secret").into()).unwrap());
    store.put(&one, Some(&one.revision)).await.unwrap();
    let node = Node::start(folder.path(), &[]);
    assert_eq!(node.put("three", json!({"jwt_secret": secret("three", "jwt_secret")})).await, 201);
    assert_eq!((node.handshake("one").await, node.handshake("two").await), (101, 101));
    drop(node);
    let (code, text) = run(folder.path(), &[], &[]);
    assert!(code == Some(0) && text.ends_with("\n1 re-encrypted\n"), "{text}");
    let key = std::fs::read_to_string(data.join("encryption-key")).unwrap();
    assert!(key == NEW && key != first);
    let node = Node::start(folder.path(), &[]);
    for id in ["one", "two", "three"] {
        assert_eq!(node.handshake(id).await, 101, "{id}");
    }
}

#[tokio::test]
async fn a_key_of_the_settings_takes_the_place_of_the_generated_one() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    assert_eq!(node.put("one", json!({"jwt_secret": secret("one", "jwt_secret")})).await, 201);
    drop(node);
    let variables = [("DB_ENC_KEY_GCM", NEW)];
    let node = Node::start(folder.path(), &variables);
    assert_eq!(node.handshake("one").await, 101, "the generated key is read");
    drop(node);
    let (code, text) = run(folder.path(), &[], &variables);
    assert!(code == Some(0) && text.ends_with("\n1 re-encrypted\n"), "{text}");
    std::fs::remove_file(folder.path().join("data/encryption-key")).unwrap();
    assert_eq!(Node::start(folder.path(), &variables).handshake("one").await, 101);
}

// The procedure of docs/protocol/postgres.md#another-key.
#[tokio::test]
async fn nodes_serve_all_tenants_while_the_key_is_replaced() {
    let ((postgres, store), folder) = (database().await, tempfile::tempdir().unwrap());
    let other = tempfile::tempdir().unwrap();
    fill(&store, 30, &keys(Some(OLD), None)).await;
    let url = postgres.url();
    let refresh = ("TENANT_CACHE_EXPIRATION_IN_MS", "200");
    let with = |key, previous| {
        [
            ("DATABASE_URL", &*url),
            refresh,
            ("DB_ENC_KEY_GCM", key),
            ("REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY", previous),
        ]
    };
    let serves_all = async |node: &Node| {
        for number in 0..30 {
            let id = format!("tenant-{number:03}");
            eventually(&format!("{id} is served"), async || node.handshake(&id).await == 101).await;
        }
    };
    let last = Node::start(other.path(), &with(OLD, OLD)[..3]);
    let first = Node::start(folder.path(), &with(NEW, OLD));
    serves_all(&first).await;
    serves_all(&last).await;
    // A secret under the new key, on a node that has only the old one: it is served as it was.
    assert_eq!(first.put("tenant-000", json!({"jwt_secret": secret("tenant-000", "jwt_secret")})).await, 200);
    let (rekeyed, written) = tokio::join!(
        tokio::task::spawn_blocking({
            let (mut command, url) = (program(folder.path(), &[], &with(NEW, OLD)), url.clone());
            command.env("DATABASE_URL", url);
            move || command.output().unwrap()
        }),
        async {
            for number in 0..30 {
                let id = format!("tenant-{number:03}");
                assert_eq!(first.put(&id, json!({"max_joins_per_second": 77})).await, 200, "{id}");
            }
        }
    );
    let (rekeyed, ()) = (rekeyed.unwrap(), written);
    assert!(rekeyed.status.success(), "{rekeyed:?}");
    let kept = store.tenants().await.unwrap();
    assert!(kept.iter().all(|it| it.max_joins_per_second == 77), "what was written meanwhile is there");
    assert_eq!(check(&store, &keys(Some(NEW), None)).await, 30);
    serves_all(&first).await;
    serves_all(&last).await;
    drop((first, last));
    serves_all(&Node::start(folder.path(), &with(NEW, OLD)[..3])).await;
}
