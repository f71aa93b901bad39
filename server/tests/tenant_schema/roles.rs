//! Roles that may not do all that is to be done.

use harness::Postgres;
use realtime_server::tenants::database::partitions::make_partitions;
use realtime_server::tenants::database::schema::{SchemaError, SchemaState};

use crate::{connect_as, prepare_as, today};

/// A role with these attributes, of a name that no other database of the cluster uses.
pub(crate) fn new_role(postgres: &Postgres, attributes: &str) -> String {
    let role = format!("limited_{}", uuid::Uuid::new_v4().simple());
    postgres.sql(&format!("CREATE ROLE {role} LOGIN {attributes}"));
    role
}

fn refused_grant(refused: Result<impl std::fmt::Debug, SchemaError>) -> String {
    match refused {
        Err(SchemaError::NotPermitted { grant, .. }) => grant,
        other => panic!("{other:?}"),
    }
}

const OWNERS: &str = "SELECT nspowner::regrole::text AS owner FROM pg_namespace WHERE nspname = 'realtime'
    UNION SELECT relowner::regrole::text FROM pg_class WHERE relnamespace = 'realtime'::regnamespace
    UNION SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'realtime'::regnamespace ORDER BY owner";

#[tokio::test]
async fn one_that_may_create_nothing_is_refused_with_the_grant_that_it_lacks() {
    let postgres = Postgres::alone(&[]);
    let role = new_role(&postgres, "");
    let grant = refused_grant(prepare_as(&postgres, &role).await);
    assert_eq!(grant, format!("GRANT CREATE ON DATABASE postgres TO {role}"));
    assert_eq!(postgres.sql("SELECT to_regnamespace('realtime') IS NULL"), "t");

    // In a schema of another owner.
    postgres.sql(&format!("CREATE SCHEMA realtime; GRANT USAGE ON SCHEMA realtime TO {role}"));
    let grant = refused_grant(prepare_as(&postgres, &role).await);
    assert_eq!(grant, format!("GRANT USAGE, CREATE ON SCHEMA realtime TO {role}"));
    postgres.sql(&grant);
    let made = prepare_as(&postgres, &role).await.unwrap();
    assert_eq!(made.state, SchemaState::Made);
    assert_eq!(made.missing_publications, ["supabase_realtime", "supabase_realtime_messages_publication"]);
}

#[tokio::test]
async fn one_that_may_create_no_roles_is_the_owner_and_goes_on_without_them() {
    let postgres = Postgres::alone(&[]);
    let role = new_role(&postgres, "");
    postgres.sql(&format!("GRANT CREATE ON DATABASE postgres TO {role}; CREATE ROLE authenticated"));
    let made = prepare_as(&postgres, &role).await.unwrap();
    assert_eq!(made.state, SchemaState::Made);
    let missing = ["anon", "service_role", "dashboard_user", "supabase_admin", "supabase_realtime_admin"];
    assert_eq!(made.missing_roles, missing);
    assert_eq!(made.missing_publications, [""; 0]);
    assert_eq!(postgres.sql(OWNERS), role);
    assert_eq!(
        postgres.sql("SELECT has_table_privilege('authenticated', 'realtime.messages', 'INSERT')"),
        "t"
    );

    let mut connection = connect_as(&postgres, &role).await;
    assert_eq!(make_partitions(&mut connection, today(&postgres)).await.unwrap().len(), 5);
    let sent = format!("SET ROLE {role}; SELECT realtime.send('{{}}', 'e', 't')");
    assert_eq!(postgres.notices(&sent), "");
    assert_eq!(postgres.sql("SELECT count(*) FROM realtime.messages"), "1");
}

#[tokio::test]
async fn one_that_may_create_roles_gives_what_it_makes_to_their_owners_and_keeps_its_rights() {
    let postgres = Postgres::alone(&[]);
    let role = new_role(&postgres, "CREATEROLE");
    postgres.sql(&format!("GRANT CREATE ON DATABASE postgres TO {role}"));
    let made = prepare_as(&postgres, &role).await.unwrap();
    // A role that bypasses policies may be created by a superuser only.
    assert_eq!((made.state, made.missing_roles), (SchemaState::Made, vec!["service_role".to_owned()]));
    assert_eq!(postgres.sql(OWNERS), "supabase_admin\nsupabase_realtime_admin");
    let attributes =
        "SELECT rolname FROM pg_roles WHERE rolcanlogin OR rolsuper OR rolcreaterole OR rolbypassrls";
    assert_eq!(postgres.sql(&format!("{attributes} ORDER BY oid LIMIT 3")), format!("postgres\n{role}"));

    let found = prepare_as(&postgres, &role).await.unwrap();
    assert_eq!((found.state, found.versions.len()), (SchemaState::Present, 81));
    let mut connection = connect_as(&postgres, &role).await;
    let day = today(&postgres);
    assert_eq!(make_partitions(&mut connection, day).await.unwrap().len(), 5);
    let owner = format!("SELECT tableowner FROM pg_tables WHERE tablename = '{}'", day.partition());
    assert_eq!(postgres.sql(&owner), "supabase_realtime_admin");
}

#[tokio::test]
async fn one_that_may_not_read_the_record_leaves_the_schema_alone() {
    let postgres = crate::prepared().await;
    let role = new_role(&postgres, "");
    let found = prepare_as(&postgres, &role).await.unwrap();
    assert_eq!((found.state, found.versions), (SchemaState::Present, vec![]));
    assert_eq!(found.missing_objects, [""; 0]);
    postgres.sql("DROP TABLE realtime.messages CASCADE; CREATE TABLE realtime.messages (id uuid)");
    let found = prepare_as(&postgres, &role).await.unwrap();
    assert_eq!(found.missing_objects, ["realtime.messages"]);
}

#[tokio::test]
async fn one_that_is_not_the_owner_of_the_messages_makes_no_partition() {
    let postgres = Postgres::start();
    let role = new_role(&postgres, "");
    crate::prepare(&mut crate::connect(&postgres).await).await.unwrap();
    postgres.sql(&format!("GRANT USAGE, CREATE ON SCHEMA realtime TO {role}"));
    let mut connection = connect_as(&postgres, &role).await;
    let refused = make_partitions(&mut connection, today(&postgres)).await.map(|days| days.len());
    assert_eq!(refused_grant(refused), format!("GRANT supabase_realtime_admin TO {role}"));
}
