//! The tables of documents in a database (docs/protocol/postgres.md#documents): made, or adopted if they were made by hand.

use harness::Postgres;
use realtime_server::store::{Migrate, PostgresStore, StoreError};

/// As «Database Setup» of the Realtime SDK has it.
const SEED: &str = "
    CREATE TABLE documents (
      id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
      room_id TEXT NOT NULL,
      doc_id TEXT NOT NULL,
      state BYTEA NOT NULL,
      updated_at TIMESTAMPTZ DEFAULT now(),
      created_at TIMESTAMPTZ DEFAULT now(),
      UNIQUE(room_id, doc_id)
    );

    CREATE INDEX idx_documents_room_doc ON documents(room_id, doc_id);";

fn connect(postgres: &Postgres, after_connect: Option<&str>) -> PostgresStore {
    let settings = settings::Store {
        url: Some(postgres.url().into()),
        after_connect_query: after_connect.map(Into::into),
        ..Default::default()
    };
    PostgresStore::new(&settings).unwrap()
}

async fn migrate(postgres: &Postgres) -> Result<usize, StoreError> {
    Ok(connect(postgres, None).documents().migrate().await?.len())
}

/// Columns, constraints and indexes of the table `documents` in a schema.
fn shape(postgres: &Postgres, schema: &str) -> String {
    let of = |what: &str| postgres.sql(&what.replace("$", &format!("'{schema}'")));
    let columns = of("SELECT table_name, column_name, data_type, is_nullable, column_default
                      FROM information_schema.columns
                      WHERE table_schema = $ AND table_name = 'documents' ORDER BY ordinal_position");
    let indexes = of("SELECT indexdef FROM pg_indexes
                      WHERE schemaname = $ AND tablename = 'documents' ORDER BY 1");
    let constraints = of("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
                          WHERE conrelid = ($ || '.documents')::regclass ORDER BY 1");
    [columns, indexes, constraints].join("\n\n")
}

#[tokio::test]
async fn it_is_that_of_the_seed() {
    let (ours, by_hand) = (Postgres::start(), Postgres::start());
    by_hand.sql(SEED);
    assert_eq!(migrate(&ours).await, Ok(2));
    let (ours, by_hand) = (shape(&ours, "public"), shape(&by_hand, "public"));
    assert!(by_hand.contains("documents_room_id_doc_id_key") && by_hand.contains("idx_documents_room_doc"));
    assert_eq!(ours, by_hand);
}

#[tokio::test]
async fn one_that_was_made_by_hand_is_adopted() {
    let without_index = SEED.split_once("CREATE INDEX").unwrap().0;
    let with_more = format!("{SEED} ALTER TABLE documents ADD COLUMN note text");
    for made in [SEED, without_index, &with_more] {
        let postgres = Postgres::start();
        postgres.sql(made);
        postgres.sql("INSERT INTO documents (room_id, doc_id, state) VALUES ('r', 'd', '\\x00')");
        assert_eq!((migrate(&postgres).await, migrate(&postgres).await), (Ok(2), Ok(0)));
        assert_eq!(postgres.sql("SELECT room_id, doc_id, state FROM documents"), "r|d|\\x00");
        assert!(shape(&postgres, "public").contains("INDEX idx_documents_room_doc ON public.documents"));
    }
}

#[tokio::test]
async fn another_table_of_its_name_is_refused_and_not_changed() {
    for (made, differing) in [
        (SEED.replace("state BYTEA", "state JSONB"), "in: state"),
        (SEED.replace("doc_id TEXT NOT NULL", "doc_id TEXT"), "in: doc_id"),
        (SEED.replace(",\n      UNIQUE(room_id, doc_id)", ""), "in: UNIQUE(room_id, doc_id)"),
        ("CREATE TABLE documents (title text NOT NULL)".into(), "in: created_at, doc_id, id, room_id"),
        ("CREATE VIEW documents AS SELECT 1 AS id".into(), "in: created_at, doc_id, id, room_id"),
    ] {
        let postgres = Postgres::start();
        postgres.sql(&made);
        let before = postgres.definitions("public");
        let Err(StoreError::Rejected(error)) = migrate(&postgres).await else { panic!("{made} is adopted") };
        assert!(error.contains(differing) && error.contains("\"documents\""), "{error}");
        assert_eq!(postgres.definitions("public"), before);
    }
}

/// What the second step makes.
const LOG: &str = "
    CREATE TABLE document_updates (
      id BIGINT GENERATED ALWAYS AS IDENTITY,
      tenant TEXT NOT NULL,
      room_id TEXT NOT NULL,
      doc_id TEXT NOT NULL,
      update BYTEA NOT NULL,
      user_id TEXT,
      created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant, room_id, doc_id, id)
    );";

#[tokio::test]
async fn a_log_that_was_made_by_hand_is_adopted() {
    for made in [LOG, &LOG.replace("BIGINT GENERATED ALWAYS AS IDENTITY", "BIGSERIAL NOT NULL")] {
        let postgres = Postgres::start();
        postgres.sql(made);
        assert_eq!((migrate(&postgres).await, migrate(&postgres).await), (Ok(2), Ok(0)));
    }
}

#[tokio::test]
async fn another_log_or_table_of_tenants_is_refused_and_not_changed() {
    for (made, differing) in [
        (
            LOG.replace("update BYTEA", "update JSONB"),
            "\"document_updates\" in the schema \"public\", which differs in: update",
        ),
        (
            LOG.replace("KEY (tenant, room_id, doc_id, id)", "KEY (id)"),
            "in: PRIMARY KEY (tenant, room_id, doc_id, id)",
        ),
        (LOG.replace(" GENERATED ALWAYS AS IDENTITY", ""), "in: id"),
        (LOG.replace("user_id TEXT", "user_id TEXT NOT NULL"), "in: user_id"),
        (
            "CREATE TABLE tenant_documents (title text NOT NULL)".into(),
            "in: created_at, doc_id, room_id, state",
        ),
        ("CREATE VIEW document_updates AS SELECT 1 AS id".into(), "in: created_at, doc_id, id"),
    ] {
        let postgres = Postgres::start();
        postgres.sql(&format!("{SEED} {made}"));
        let before = postgres.definitions("public");
        let Err(StoreError::Rejected(error)) = migrate(&postgres).await else { panic!("{made} is adopted") };
        assert!(error.contains(differing), "{error}");
        postgres.sql("DROP TABLE realtime_server_migrations");
        assert_eq!(postgres.definitions("public"), before);
    }
}

#[tokio::test]
async fn it_is_in_the_schema_of_the_search_path_and_never_in_upstreams() {
    let postgres = Postgres::start();
    postgres.sql("CREATE SCHEMA app");
    for (after_connect, schema) in [
        ("SET search_path TO _realtime", "public"),
        ("SET search_path TO _realtime, app, public", "app"),
        ("SET search_path TO app", "app"),
    ] {
        let store = connect(&postgres, Some(after_connect));
        store.migrate().await.unwrap();
        store.documents().migrate().await.unwrap();
        assert!(shape(&postgres, schema).contains("documents_room_id_doc_id_key"), "{after_connect}");
        assert_eq!(store.documents().migration_status().await.unwrap().applied, [1, 2], "{after_connect}");
        assert_eq!(postgres.sql("SELECT to_regclass('_realtime.documents') IS NULL"), "t");
    }
}
