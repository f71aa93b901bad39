//! The schema is made once, by whatever number of nodes, and one that is there is left alone.

use futures_util::future::join_all;
use harness::Postgres;
use realtime_server::tenants::database::schema::{
    NEWEST_VERSION, SchemaError, SchemaState, make_messages_publication, prepare, script,
};

use sqlx::{Connection as _, PgConnection};

use crate::{connect, connect_as};

/// What upstream's migrations of another version might leave: objects that are not quite ours.
const UPSTREAM: &str = "
    CREATE SCHEMA realtime;
    CREATE TABLE realtime.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0));
    CREATE TABLE realtime.messages (
        topic text NOT NULL, extension text NOT NULL, payload jsonb, event text, private boolean DEFAULT false,
        updated_at timestamp NOT NULL DEFAULT now(), inserted_at timestamp NOT NULL DEFAULT now(),
        id uuid NOT NULL DEFAULT gen_random_uuid(), PRIMARY KEY (id, inserted_at)
    ) PARTITION BY RANGE (inserted_at);
    CREATE FUNCTION realtime.topic() RETURNS text LANGUAGE sql AS 'SELECT ''theirs''';
    INSERT INTO realtime.schema_migrations VALUES (20211116024918), (20250714121412);";

#[tokio::test]
async fn a_database_without_it_gets_it_with_all_versions() {
    let postgres = Postgres::start();
    let made = prepare(&mut connect(&postgres).await).await.unwrap();
    assert_eq!(made.state, SchemaState::Made);
    assert_eq!(
        (made.versions.len(), made.versions[0], made.versions[80]),
        (81, 20211116024918, 20260709120000)
    );
    assert_eq!(made.missing_objects, [""; 0]);
    assert_eq!(made.missing_roles, [""; 0]);
    assert_eq!(made.missing_publications, [""; 0]);
    let published = "SELECT pubname, schemaname, tablename FROM pg_publication
        LEFT JOIN pg_publication_rel ON prpubid = pg_publication.oid
        LEFT JOIN pg_class ON pg_class.oid = prrelid, LATERAL (SELECT relnamespace::regnamespace, relname)
        AS published (schemaname, tablename) ORDER BY 1";
    assert_eq!(
        postgres.sql(published),
        "supabase_realtime||\nsupabase_realtime_messages_publication|realtime|messages"
    );
    let recent = "SELECT bool_and(now() AT TIME ZONE 'UTC' - inserted_at BETWEEN '-1s' AND '1min')
        FROM realtime.schema_migrations";
    assert_eq!(postgres.sql(recent), "t");
}

#[tokio::test]
async fn the_second_time_changes_nothing() {
    let postgres = Postgres::start();
    let mut connection = connect(&postgres).await;
    let made = prepare(&mut connection).await.unwrap();
    let before = postgres.definitions("realtime");
    let found = prepare(&mut connection).await.unwrap();
    assert_eq!((found.state, found.versions), (SchemaState::Present, made.versions));
    assert_eq!(postgres.definitions("realtime"), before);
}

#[tokio::test]
async fn of_ten_connections_one_makes_it() {
    let postgres = Postgres::start();
    let mut connections = join_all((0..10).map(|_| connect(&postgres))).await;
    let prepared = join_all(connections.iter_mut().map(prepare)).await;
    let states: Vec<_> = prepared.into_iter().map(|prepared| prepared.unwrap().state).collect();
    assert_eq!(states.iter().filter(|state| **state == SchemaState::Made).count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|state| **state == SchemaState::Present).count(), 9, "{states:?}");
}

#[tokio::test]
async fn databases_of_one_cluster_without_roles_may_be_prepared_at_once() {
    let postgres = Postgres::alone(&[]);
    for database in ["a", "b", "c", "d"] {
        postgres.sql(&format!("CREATE DATABASE {database}"));
    }
    let prepared = ["a", "b", "c", "d"].map(async |database| {
        let url = postgres.url();
        let url = format!("{}/{database}", url.strip_suffix("/postgres").unwrap());
        let mut connection = PgConnection::connect(&url).await.unwrap();
        prepare(&mut connection).await.unwrap()
    });
    for prepared in join_all(prepared).await {
        assert_eq!((prepared.state, prepared.missing_roles), (SchemaState::Made, vec![]));
    }
}

#[tokio::test]
async fn what_an_operator_may_run_by_hand_makes_the_same() {
    let (ours, by_hand) = (Postgres::start(), Postgres::start());
    prepare(&mut connect(&ours).await).await.unwrap();
    by_hand.sql(&script());
    assert_eq!(by_hand.definitions("realtime"), ours.definitions("realtime"));
    let found = prepare(&mut connect(&by_hand).await).await.unwrap();
    assert_eq!((found.state, found.versions.len()), (SchemaState::Present, 81));
}

#[tokio::test]
async fn upstreams_is_left_alone_and_what_is_missing_is_reported() {
    let postgres = Postgres::start();
    postgres.sql(UPSTREAM);
    let before = postgres.definitions("realtime");
    let found = prepare(&mut connect(&postgres).await).await.unwrap();
    assert_eq!((found.state, found.versions.len()), (SchemaState::Present, 2));
    assert_eq!(found.missing_objects, ["realtime.messages.binary_payload"]);
    assert_eq!(found.missing_publications, ["supabase_realtime", "supabase_realtime_messages_publication"]);
    assert_eq!(postgres.definitions("realtime"), before);

    postgres.sql("DROP TABLE realtime.messages; CREATE VIEW realtime.messages AS SELECT ''::text AS topic");
    let found = prepare(&mut connect(&postgres).await).await.unwrap();
    assert_eq!(found.missing_objects, ["realtime.messages"]);
}

#[tokio::test]
async fn a_newer_one_is_left_alone() {
    let postgres = Postgres::start();
    postgres.sql(UPSTREAM);
    let newer = NEWEST_VERSION + 1;
    postgres.sql(&format!(
        "ALTER TABLE realtime.messages ADD COLUMN binary_payload bytea;
         INSERT INTO realtime.schema_migrations VALUES ({newer})"
    ));
    let before = postgres.definitions("realtime");
    let found = prepare(&mut connect(&postgres).await).await.unwrap();
    assert_eq!((found.state, found.versions.last()), (SchemaState::UpstreamNewer, Some(&newer)));
    assert_eq!(found.missing_objects, [""; 0]);
    assert_eq!(postgres.definitions("realtime"), before);
}

#[tokio::test]
async fn objects_that_no_version_records_are_not_replaced() {
    for occupied in [
        "CREATE TABLE realtime.messages (note text)",
        "CREATE TABLE realtime.subscription (id bigint)",
        "CREATE FUNCTION realtime.topic() RETURNS text LANGUAGE sql AS 'SELECT ''theirs'''",
        "CREATE TYPE realtime.action AS ENUM ('theirs')",
    ] {
        let postgres = Postgres::start();
        postgres.sql(&format!("CREATE SCHEMA realtime; {occupied}"));
        let before = postgres.definitions("realtime");
        let refused = prepare(&mut connect(&postgres).await).await;
        assert!(matches!(refused, Err(SchemaError::Occupied(_))), "{occupied}: {refused:?}");
        assert_eq!(postgres.definitions("realtime"), before);
    }
}

#[tokio::test]
async fn a_schema_that_is_there_is_filled_and_what_an_application_has_in_it_stays() {
    for there in [
        // Supabase's image makes the schema, and nothing in it.
        "",
        // Upstream's first migration has failed.
        "CREATE TABLE realtime.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0));",
        "CREATE FUNCTION realtime.own() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE realtime.own (id int);",
    ] {
        let postgres = Postgres::start();
        postgres.sql(&format!("CREATE SCHEMA realtime; {there}"));
        let made = prepare(&mut connect(&postgres).await).await.unwrap();
        assert_eq!((made.state, made.versions.len()), (SchemaState::Made, 81), "{there}");
        let owners = "SELECT proowner::regrole FROM pg_proc WHERE proname = 'own'
            UNION SELECT relowner::regrole FROM pg_class WHERE relname = 'own'";
        assert!(["", "postgres"].contains(&&*postgres.sql(owners)));
    }
}

#[tokio::test]
async fn the_publication_of_messages_is_made_again_if_it_lists_something_else() {
    let postgres = Postgres::start();
    let mut connection = connect(&postgres).await;
    prepare(&mut connection).await.unwrap();
    let oid = "SELECT oid FROM pg_publication WHERE pubname = 'supabase_realtime_messages_publication'";
    let before = postgres.sql(oid);
    assert!(make_messages_publication(&mut connection).await.unwrap());
    assert_eq!(postgres.sql(oid), before);

    let listed =
        "SELECT prrelid::regclass FROM pg_publication_rel JOIN pg_publication ON prpubid = pg_publication.oid
        WHERE pubname = 'supabase_realtime_messages_publication'";
    postgres.sql("CREATE TABLE other (id int)");
    for wrong in [
        "ALTER PUBLICATION supabase_realtime_messages_publication ADD TABLE other",
        "ALTER PUBLICATION supabase_realtime_messages_publication DROP TABLE realtime.messages",
        "DROP PUBLICATION supabase_realtime_messages_publication",
        "DROP PUBLICATION supabase_realtime_messages_publication;
         CREATE PUBLICATION supabase_realtime_messages_publication FOR ALL TABLES",
    ] {
        postgres.sql(wrong);
        assert!(make_messages_publication(&mut connection).await.unwrap(), "{wrong}");
        assert_eq!(postgres.sql(listed), "realtime.messages", "{wrong}");
    }

    let role = crate::roles::new_role(&postgres, "");
    postgres.sql("DROP PUBLICATION supabase_realtime_messages_publication");
    assert!(!make_messages_publication(&mut connect_as(&postgres, &role).await).await.unwrap());
}
