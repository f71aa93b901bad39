//! What roles may read of tables, and for whom the policies have to be asked.

use realtime_server::tenants::database::changes::{RowRights, TableRights};

use crate::Catalog;

async fn rights(catalog: &Catalog, table: &str, role: &str) -> Option<TableRights> {
    let mut rights = catalog.database.table_rights(&[catalog.oid(table)], &[role]).await.unwrap();
    assert!(rights.len() <= 1);
    rights.pop().map(|(_, of, rights)| {
        assert_eq!(&*of, role);
        rights
    })
}

/// Who has to be asked about the rows of `t` for `authenticated`, with these policies.
async fn row_rights(catalog: &Catalog, policies: &str) -> RowRights {
    let drop =
        "DO $$ DECLARE p name; BEGIN FOR p IN SELECT polname FROM pg_policy WHERE polrelid = 't'::regclass
        LOOP EXECUTE format('DROP POLICY %I ON t', p); END LOOP; END $$";
    catalog.postgres.sql(&format!("{drop}; {policies}"));
    rights(catalog, "t", "authenticated").await.unwrap().row_rights
}

#[tokio::test]
async fn columns_are_those_that_a_role_may_select() {
    let catalog = Catalog::with(
        "CREATE TABLE partly (id int, dropped int, secret text, body text); ALTER TABLE partly DROP COLUMN dropped;
         GRANT SELECT (id, body) ON partly TO authenticated; GRANT SELECT ON partly TO anon",
    )
    .await;
    let selectable =
        async |role: &str| rights(&catalog, "partly", role).await.map(|rights| rights.selectable.to_vec());
    assert_eq!(selectable("authenticated").await.unwrap(), [true, false, true]);
    assert_eq!(selectable("anon").await.unwrap(), [true; 3]);
    assert_eq!(selectable("service_role").await.unwrap(), [false; 3]);
    for unknown in ["potato", "none", "AUTHENTICATED", "anon\0", ""] {
        assert_eq!(selectable(unknown).await, None, "{unknown:?}");
    }
}

#[tokio::test]
async fn row_level_security_does_not_apply_to_all_roles() {
    // Roles belong to the cluster: their names are those of this test.
    let catalog = Catalog::with(
        "CREATE ROLE rights_owner; CREATE ROLE rights_member IN ROLE rights_owner;
         CREATE ROLE rights_noinherit NOINHERIT IN ROLE rights_owner; CREATE ROLE rights_super SUPERUSER;
         CREATE TABLE t (id int); ALTER TABLE t OWNER TO rights_owner",
    )
    .await;
    let all = ["rights_owner", "rights_member", "rights_super", "service_role", "rights_noinherit", "anon"];
    let see = async || {
        let mut see = Vec::new();
        for role in all {
            see.push(rights(&catalog, "t", role).await.unwrap().row_rights);
        }
        see
    };
    let (everyone, nothing) = (RowRights::Everyone, RowRights::Nothing);
    assert_eq!(see().await, [everyone; 6]);
    catalog.postgres.sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY");
    assert_eq!(see().await, [everyone, everyone, everyone, everyone, nothing, nothing]);
    catalog.postgres.sql("ALTER TABLE t FORCE ROW LEVEL SECURITY");
    assert_eq!(see().await, [nothing, nothing, everyone, everyone, nothing, nothing]);
    catalog
        .postgres
        .sql("DROP TABLE t; DROP ROLE rights_member, rights_noinherit, rights_super, rights_owner");
}

#[tokio::test]
async fn what_policies_allow_without_being_asked() {
    let catalog = Catalog::with(
        "CREATE TABLE t (id int PRIMARY KEY, owner uuid, done boolean, body text, at timestamptz);
         ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    )
    .await;
    for (policies, expected) in [
        ("", RowRights::Nothing),
        ("CREATE POLICY p ON t FOR SELECT TO anon USING (true)", RowRights::Nothing),
        ("CREATE POLICY p ON t FOR INSERT WITH CHECK (true)", RowRights::Nothing),
        ("CREATE POLICY p ON t FOR UPDATE USING (true)", RowRights::Nothing),
        ("CREATE POLICY p ON t FOR ALL WITH CHECK (true)", RowRights::Nothing),
        ("CREATE POLICY p ON t AS RESTRICTIVE FOR SELECT USING (true)", RowRights::Nothing),
        ("CREATE POLICY p ON t USING (true)", RowRights::Everyone),
        ("CREATE POLICY p ON t FOR SELECT TO anon, authenticated USING (true)", RowRights::Everyone),
        // One that allows everything is enough, whatever the others say.
        (
            "CREATE POLICY p ON t USING (true); CREATE POLICY q ON t USING (current_setting('a', true) = body)",
            RowRights::Everyone,
        ),
        (
            "CREATE POLICY p ON t USING (true); CREATE POLICY r ON t AS RESTRICTIVE USING (done)",
            RowRights::PerRole,
        ),
        (
            "CREATE POLICY p ON t USING (true);
             CREATE POLICY r ON t AS RESTRICTIVE USING (current_setting('a', true) = body)",
            RowRights::PerClaims,
        ),
        (
            "CREATE POLICY p ON t USING (true); CREATE POLICY r ON t AS RESTRICTIVE TO anon USING (false)",
            RowRights::Everyone,
        ),
    ] {
        assert_eq!(row_rights(&catalog, policies).await, expected, "{policies}");
    }
}

#[tokio::test]
async fn only_expressions_that_read_no_claims_are_the_same_for_all_of_a_role() {
    let catalog = Catalog::with(
        "CREATE TABLE t (id int PRIMARY KEY, owner uuid, done boolean, body text, at timestamptz);
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE SCHEMA IF NOT EXISTS auth;
         CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid';
         CREATE FUNCTION fixed(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
         CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
         CREATE FUNCTION same(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT current_setting(''a'') = ''b''';
         CREATE OPERATOR ==== (LEFTARG = int, RIGHTARG = int, FUNCTION = same)",
    )
    .await;
    for free in [
        "done",
        "done IS NOT TRUE AND (id % 2 = 0 OR body IS NULL)",
        "id IN (1, 2, 3)",
        "body <> ALL ('{a,b}')",
        "lower(body) LIKE 'a%'",
        "at > now() - interval '1 day'",
        "at < CURRENT_TIMESTAMP",
        "body = CURRENT_USER",
        "id IS DISTINCT FROM 7",
        "id === 7",
    ] {
        let policy = format!("CREATE POLICY p ON t FOR SELECT USING ({free})");
        assert_eq!(row_rights(&catalog, &policy).await, RowRights::PerRole, "{free}");
    }
    for unknown in [
        "auth.uid() = owner",
        "(SELECT auth.uid()) = owner",
        "current_setting('request.jwt.claims', true) IS NULL",
        "fixed(id) = 1",
        "id ==== 7",
        "EXISTS (SELECT FROM pg_class)",
        "id = (SELECT 1)",
        "random() < 0.5",
        "query_to_xml('SELECT current_setting(''a'')', true, true, '') IS NOT NULL",
        "CASE WHEN done THEN true ELSE false END",
        "done AND auth.uid() = owner",
        "(t.*)::text = 'a'",
    ] {
        let policy = format!("CREATE POLICY p ON t FOR SELECT USING ({unknown})");
        assert_eq!(row_rights(&catalog, &policy).await, RowRights::PerClaims, "{unknown}");
    }
    // One of two is enough to ask for all claims.
    let two = "CREATE POLICY p ON t USING (done); CREATE POLICY q ON t USING (auth.uid() = owner)";
    assert_eq!(row_rights(&catalog, two).await, RowRights::PerClaims);
}
