//! What every store promises, tried on each of them: memory, SQLite, PostgreSQL.

use harness::Postgres;
use realtime_server::store::{
    EncryptionKeys, MemoryStore, Migrate, PostgresStore, SqliteStore, StoreError, StoredExtension,
    StoredTenant, TenantStore, WrittenForm,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A store, and what it needs as long as it is used.
struct Kept<T>(Box<dyn TenantStore>, T);

fn memory() -> Kept<()> {
    Kept(Box::new(MemoryStore::default()), ())
}

async fn sqlite() -> Kept<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).await.unwrap();
    store.migrate().await.unwrap();
    Kept(Box::new(store), folder)
}

async fn postgres() -> Kept<Postgres> {
    let postgres = Postgres::start();
    let store = connect(&postgres);
    store.migrate().await.unwrap();
    Kept(Box::new(store), postgres)
}

fn connect(postgres: &Postgres) -> PostgresStore {
    let settings = settings::Store { url: Some(postgres.url().into()), ..Default::default() };
    PostgresStore::new(&settings).unwrap()
}

/// A check of each store.
macro_rules! conformance {
    ($($check:ident),* $(,)?) => {$(
        mod $check {
            #[tokio::test]
            async fn memory() {
                super::checks::$check(&*super::memory().0).await;
            }

            #[tokio::test]
            async fn sqlite() {
                super::checks::$check(&*super::sqlite().await.0).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::checks::$check(&*super::postgres().await.0).await;
            }
        }
    )*};
}

conformance!(
    a_tenant_is_read_as_it_was_written,
    a_write_replaces_the_revision_that_was_read,
    extensions_are_replaced_as_a_whole,
    of_writers_at_the_same_time_one_succeeds,
    a_deleted_tenant_is_gone_with_its_extensions,
    what_no_name_can_be_is_no_tenant,
    tenants_are_in_the_order_of_the_bytes_of_their_names,
);

fn tenant(external_id: &str) -> StoredTenant {
    let id = uuid::Uuid::new_v4().to_string();
    let mut tenant = StoredTenant::new(id, external_id);
    tenant.jwt_secret = Some("g1:c2VhbGVk".into());
    tenant
}

fn extension(kind: &str, settings: Value) -> StoredExtension {
    StoredExtension { kind: kind.into(), settings, inserted_at: String::new(), updated_at: String::new() }
}

mod checks {
    use super::*;

    pub async fn a_tenant_is_read_as_it_was_written(store: &dyn TenantStore) {
        let mut written = tenant("Odd name: ünïcode 'quoted' \"twice\"");
        written.jwt_jwks = Some(json!({"keys": [{"kty": "oct", "k": "YQ"}]}));
        written.max_client_presence_events_per_window = Some(7);
        written.suspend = None;
        written.feature_flags = json!({"a": true});
        written.extensions = vec![extension("postgres_cdc_rls", json!({"db_host": "x", "ssl": false}))];
        let stored = store.put(&written, None).await.unwrap();
        assert_eq!(stored.inserted_at.len(), "2026-08-21T12:00:00".len(), "{}", stored.inserted_at);
        assert_eq!(stored.extensions[0].updated_at.len(), stored.inserted_at.len());
        let mut expected = written.clone();
        expected.inserted_at.clone_from(&stored.inserted_at);
        expected.revision.clone_from(&stored.revision);
        expected.extensions[0].inserted_at.clone_from(&stored.extensions[0].inserted_at);
        expected.extensions[0].updated_at.clone_from(&stored.extensions[0].updated_at);
        assert_eq!(stored, expected);
        assert_eq!(store.tenant(&written.external_id).await.unwrap(), Some(stored.clone()));
        assert_eq!(store.tenants().await.unwrap(), [stored]);
        assert_eq!(store.tenant("odd").await.unwrap(), None);
    }

    pub async fn a_write_replaces_the_revision_that_was_read(store: &dyn TenantStore) {
        let first = store.put(&tenant("acme"), None).await.unwrap();
        assert_eq!(store.put(&tenant("acme"), None).await, Err(StoreError::Changed));
        let mut changed = first.clone();
        changed.max_concurrent_users = 5;
        changed.jwt_secret = None;
        changed.jwt_jwks = Some(json!({"keys": []}));
        let second = store.put(&changed, Some(&first.revision)).await.unwrap();
        assert_ne!(second.revision, first.revision);
        assert_eq!((second.max_concurrent_users, &second.jwt_secret), (5, &None));
        assert_eq!(second.inserted_at, first.inserted_at);
        assert_eq!(store.put(&first, Some(&first.revision)).await, Err(StoreError::Changed));
        assert_eq!(store.put(&tenant("other"), Some(&first.revision)).await, Err(StoreError::Changed));
        assert_eq!(store.revisions().await.unwrap(), [("acme".into(), second.revision.clone())]);
        assert_eq!(store.tenants().await.unwrap(), [second]);
    }

    pub async fn extensions_are_replaced_as_a_whole(store: &dyn TenantStore) {
        let mut changed = tenant("acme");
        changed.extensions = vec![extension("b", json!({"n": 1})), extension("a", json!({}))];
        let first = store.put(&changed, None).await.unwrap();
        let kinds = |stored: &StoredTenant| -> Vec<_> {
            stored.extensions.iter().map(|it| (it.kind.clone(), it.settings.clone())).collect()
        };
        assert_eq!(kinds(&first), [("a".into(), json!({})), ("b".into(), json!({"n": 1}))]);
        changed.extensions = vec![extension("b", json!({"n": 2})), extension("c", json!({}))];
        let second = store.put(&changed, Some(&first.revision)).await.unwrap();
        assert_eq!(kinds(&second), [("b".into(), json!({"n": 2})), ("c".into(), json!({}))]);
        assert_eq!(second.extensions[0].inserted_at, first.extensions[1].inserted_at);
    }

    pub async fn of_writers_at_the_same_time_one_succeeds(store: &dyn TenantStore) {
        let first = store.put(&tenant("acme"), None).await.unwrap();
        let write = |users: i32| {
            let mut changed = first.clone();
            changed.max_concurrent_users = users;
            let replaces = first.revision.clone();
            async move { store.put(&changed, Some(&replaces)).await }
        };
        let written = futures_util::future::join_all((1..9).map(write)).await;
        assert_eq!(written.iter().filter(|result| result.is_ok()).count(), 1, "{written:?}");
        let others = written.iter().filter(|result| **result == Err(StoreError::Changed));
        assert_eq!(others.count(), 7, "{written:?}");
        let created = (0..8).map(|_| tenant("new")).collect::<Vec<_>>();
        let created = futures_util::future::join_all(created.iter().map(|new| store.put(new, None))).await;
        assert_eq!(created.iter().filter(|result| result.is_ok()).count(), 1, "{created:?}");
    }

    pub async fn what_no_name_can_be_is_no_tenant(store: &dyn TenantStore) {
        for name in ["", "\0", "a\0b", "%", "_", "' OR 1 = 1 --", "\u{10ffff}"] {
            assert_eq!(store.tenant(name).await.unwrap(), None, "{name:?}");
            assert!(!store.delete(name).await.unwrap(), "{name:?}");
        }
    }

    pub async fn tenants_are_in_the_order_of_the_bytes_of_their_names(store: &dyn TenantStore) {
        let names = ["B", "a-b", "a_b", "ab", "ä"];
        for name in names.iter().rev() {
            store.put(&tenant(name), None).await.unwrap();
        }
        let stored = store.tenants().await.unwrap();
        assert_eq!(stored.iter().map(|tenant| &*tenant.external_id).collect::<Vec<_>>(), names);
    }

    pub async fn a_deleted_tenant_is_gone_with_its_extensions(store: &dyn TenantStore) {
        let mut with_extension = tenant("acme");
        with_extension.extensions = vec![extension("a", json!({}))];
        let first = store.put(&with_extension, None).await.unwrap();
        assert!(store.delete("acme").await.unwrap());
        assert!(!store.delete("acme").await.unwrap());
        assert_eq!(store.tenant("acme").await.unwrap(), None);
        let again = store.put(&tenant("acme"), None).await.unwrap();
        assert_eq!(again.extensions, []);
        // What was read of the one before must not come back with its secret.
        assert_eq!(store.put(&first, Some(&first.revision)).await, Err(StoreError::Changed));
    }
}

#[tokio::test]
async fn a_file_keeps_its_tenants_and_is_migrated_once() {
    let Kept(first, folder) = sqlite().await;
    let written = first.put(&tenant("acme"), None).await.unwrap();
    drop(first);
    let again = SqliteStore::open(&folder.path().join("store.sqlite")).await.unwrap();
    assert_eq!(again.migrate().await.unwrap(), []);
    assert_eq!(again.tenants().await.unwrap(), [written]);
}

#[tokio::test]
async fn ten_nodes_migrate_a_database_at_once() {
    let postgres = Postgres::start();
    let stores: Vec<_> = (0..10).map(|_| connect(&postgres)).collect();
    let migrated = futures_util::future::join_all(stores.iter().map(Migrate::migrate)).await;
    let applied: Vec<_> = migrated.into_iter().map(|applied| applied.unwrap().len()).collect();
    assert_eq!(applied.iter().sum::<usize>(), 33, "{applied:?}");
    assert_eq!(
        postgres.sql("SELECT count(*), max(version) FROM _realtime.schema_migrations"),
        "33|20260805000000"
    );
}

#[tokio::test]
async fn a_newer_schema_is_left_alone_and_read() {
    let Kept(store, postgres) = postgres().await;
    store.put(&tenant("acme"), None).await.unwrap();
    postgres.sql(
        "ALTER TABLE _realtime.tenants ADD COLUMN newer text;
         INSERT INTO _realtime.schema_migrations VALUES (20990101000000, now());
         DELETE FROM _realtime.schema_migrations WHERE version = 20260805000000",
    );
    let store = connect(&postgres);
    assert_eq!(store.migration_status().await.unwrap().unknown, [20_990_101_000_000]);
    assert_eq!(store.migrate().await.unwrap(), []);
    assert!(store.tenant("acme").await.unwrap().is_some());
}

// Upstream's columns may be null.
#[tokio::test]
async fn rows_without_a_name_or_a_type_concern_no_other() {
    let Kept(store, postgres) = postgres().await;
    store.put(&tenant("acme"), None).await.unwrap();
    postgres.sql(
        "INSERT INTO _realtime.tenants (id, jwt_secret, inserted_at, updated_at) VALUES (gen_random_uuid(), 's', now(), now());
         INSERT INTO _realtime.extensions (id, tenant_external_id, settings, inserted_at, updated_at)
         VALUES (gen_random_uuid(), 'acme', '{}', now(), now())",
    );
    assert_eq!(store.revisions().await.unwrap().len(), 1);
    let stored = store.tenants().await.unwrap();
    assert_eq!((stored.len(), &stored[0].extensions), (1, &Vec::new()));
    assert!(store.delete("acme").await.unwrap());
}

// Who may make functions in a schema of the `search_path` must not have them run as the role of the store.
#[tokio::test]
async fn functions_of_others_are_not_called() {
    let Kept(store, postgres) = postgres().await;
    postgres.sql(
        "CREATE FUNCTION public.jsonb_build_object(text, text, text, jsonb, text, text, text, text) RETURNS jsonb
         LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
         CREATE FUNCTION public.jsonb_build_object(text, varchar, text, jsonb, text, text, text, text) RETURNS jsonb
         LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
         CREATE FUNCTION public.jsonb_build_object(text, text, text, json, text, text, text, text) RETURNS jsonb
         LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
         CREATE FUNCTION public.to_char(timestamp(0), text) RETURNS text
         LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$",
    );
    let mut with_extension = tenant("acme");
    with_extension.extensions = vec![extension("a", json!({}))];
    let stored = store.put(&with_extension, None).await.unwrap();
    assert_eq!(store.tenants().await.unwrap(), [stored]);
}

const UPSTREAM: &str = include_str!("fixtures/upstream_control_schema.sql");

#[tokio::test]
async fn our_steps_lead_to_the_schema_of_upstream() {
    let (ours, upstream) = (postgres().await.1, Postgres::start());
    upstream.sql(UPSTREAM);
    assert_eq!(ours.definitions("_realtime"), upstream.definitions("_realtime"));
    let versions = "SELECT version FROM _realtime.schema_migrations ORDER BY 1";
    assert_eq!(ours.sql(versions), upstream.sql(versions));
}

#[tokio::test]
async fn a_schema_of_upstream_is_taken_over_changed_and_given_back() {
    let postgres = Postgres::start();
    postgres.sql(UPSTREAM);
    let before = postgres.definitions("_realtime");
    let records = "SELECT * FROM _realtime.schema_migrations ORDER BY 1";
    let recorded = postgres.sql(records);
    let store = connect(&postgres);
    assert_eq!(store.migrate().await.unwrap(), []);

    let taken = store.tenant("realtime-dev").await.unwrap().expect("it is there");
    let legacy = "supabaserealtime".into();
    let keys = EncryptionKeys::new(None, Some(&legacy), WrittenForm::Legacy).unwrap();
    let secret = keys.decrypt(taken.jwt_secret.as_deref().unwrap()).unwrap();
    assert_eq!(secret.expose_secret(), "super-secret-jwt-token-with-at-least-32-characters-long");
    assert_eq!((taken.max_joins_per_second, taken.extensions.len()), (500, 1));

    // A row that upstream changes has another revision.
    postgres.sql("UPDATE _realtime.tenants SET max_concurrent_users = 9");
    assert_eq!(store.put(&taken, Some(&taken.revision)).await, Err(StoreError::Changed));
    let mut changed = store.tenant("realtime-dev").await.unwrap().unwrap();
    assert_eq!(changed.max_concurrent_users, 9);
    changed.max_events_per_second = 7;
    store.put(&changed, Some(&changed.revision)).await.unwrap();
    let columns = "SELECT external_id, jwt_secret = (SELECT jwt_secret FROM _realtime.tenants LIMIT 1),
                   max_events_per_second, max_concurrent_users, notify_private_alpha, inserted_at
                   FROM _realtime.tenants";
    assert_eq!(
        postgres.sql(columns),
        "realtime-dev|t|7|9|t|2026-08-21 12:00:00",
        "and nothing else is touched"
    );
    let extension = "SELECT id, type, settings, inserted_at, updated_at FROM _realtime.extensions";
    assert_eq!(
        postgres.sql(extension),
        "1f8a1b1e-2f7c-4d8e-9a53-0a6c6a1f6b11|postgres_cdc_rls|{\"region\": \"us-east-1\", \"ssl_enforced\": false}\
         |2026-08-21 12:00:00|2026-08-21 12:00:00"
    );
    assert_eq!((postgres.definitions("_realtime"), postgres.sql(records)), (before, recorded));
}
