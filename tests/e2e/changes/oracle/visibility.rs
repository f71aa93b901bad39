//! Which rows are received, by a grid of policies, rows, roles and claims, compared with what a `SELECT` of each row finds with the same
//! role and claims.

use std::collections::BTreeSet;

use harness::{Client, Dialect};
use serde_json::{Value, json};

use super::ask;
use crate::changes::{Changes, next};

/// Policies of a table each. `@` is the claims.
const POLICIES: [&str; 21] = [
    "",
    "CREATE POLICY p ON @ USING (true)",
    "CREATE POLICY p ON @ USING (false)",
    "CREATE POLICY p ON @ FOR SELECT TO authenticated USING (owner = $claims ->> 'sub')",
    "CREATE POLICY p ON @ FOR SELECT TO authenticated USING ((SELECT $claims ->> 'sub') = owner)",
    "CREATE POLICY p ON @ TO anon, authenticated USING (n % 2 = 0)",
    "CREATE POLICY p ON @ TO anon USING (n % 2 = 0); CREATE POLICY q ON @ TO authenticated USING (n % 3 = 0)",
    "CREATE POLICY p ON @ USING (n % 2 = 0); CREATE POLICY q ON @ USING (n % 3 = 0)",
    "CREATE POLICY p ON @ USING (true); CREATE POLICY q ON @ AS RESTRICTIVE USING (owner IS NOT NULL)",
    "CREATE POLICY p ON @ USING (true); CREATE POLICY q ON @ AS RESTRICTIVE TO authenticated USING (owner <> $claims ->> 'sub')",
    "CREATE POLICY p ON @ AS RESTRICTIVE USING (true)",
    "CREATE POLICY p ON @ FOR INSERT WITH CHECK (true)",
    "CREATE POLICY p ON @ FOR UPDATE USING (true)",
    "CREATE POLICY p ON @ USING (EXISTS (SELECT FROM grid.members AS m WHERE m.sub = $claims ->> 'sub' AND m.n = t.n))",
    "CREATE POLICY p ON @ USING (current_user = 'anon' OR owner IS NULL)",
    "CREATE POLICY p ON @ USING (($claims -> 'admin')::boolean OR owner = 'bob')",
    "CREATE POLICY p ON @ USING (1 / (n - 2) < 5)",
    "CREATE POLICY p ON @ USING (($claims ->> 'sub')::uuid IS NULL)",
    "CREATE POLICY p ON @ USING (grid.is_owner(owner))",
    "CREATE POLICY p ON @ USING (k1 = $claims ->> 'sub' OR k2 > now())",
    "CREATE POLICY p ON @ USING (true); ALTER TABLE @ FORCE ROW LEVEL SECURITY",
];

/// A key of two types, one of which has the claims in it.
const TABLE: &str = "
    CREATE TABLE @ (k1 text, k2 timestamptz, n int, owner text, PRIMARY KEY (k1, k2));
    ALTER TABLE @ ENABLE ROW LEVEL SECURITY;
    ALTER PUBLICATION supabase_realtime ADD TABLE @";

/// `members` shows the rows of its roles only; `is_owner` reads the claims with other rights than those of the client.
const PRELUDE: &str = "
    CREATE SCHEMA grid;
    GRANT USAGE ON SCHEMA grid TO PUBLIC;
    ALTER DEFAULT PRIVILEGES IN SCHEMA grid GRANT SELECT ON TABLES TO anon, authenticated, service_role;
    CREATE TABLE grid.members (sub text, n int);
    INSERT INTO grid.members VALUES ('ann', 1), ('ann', 4), ('bob', 2), ('it''s \\ \"x\"', 3);
    ALTER TABLE grid.members ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON grid.members TO authenticated USING (sub = current_setting('request.jwt.claims', true)::jsonb ->> 'sub');
    CREATE FUNCTION grid.is_owner(owner text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF owner = 'carol' THEN RAISE 'carol has no rows'; END IF;
        RETURN owner = current_setting('request.jwt.claims', true)::jsonb ->> 'sub';
    END $$;";

const ROWS: &str = "
    ('ann', '2024-02-03 12:00:00.123456+02', 1, 'ann'), ('ann', 'infinity', 2, 'bob'), ('it''s \\ \"x\"', '-infinity', 3, NULL),
    ('', '0044-03-15 08:00+00 BC', 4, 'carol'), (' x ', '12024-01-01 00:00+00', 5, 'it''s \\ \"x\"'), ('{a,b}', '2024-02-03', 6, 'ann')";

/// Roles and claims.
fn viewers() -> Vec<Value> {
    vec![
        json!({"role": "authenticated", "sub": "ann"}),
        json!({"role": "authenticated", "sub": "bob", "admin": true}),
        json!({"role": "authenticated", "sub": "it's \\ \"x\""}),
        json!({"role": "authenticated", "sub": "00000000-0000-0000-0000-000000000000"}),
        json!({"role": "authenticated"}),
        json!({"role": "anon"}),
        json!({"role": "service_role"}),
    ]
}

/// A viewer, and its client, which has subscribed to all tables.
struct Viewer {
    claims: Value,
    client: Client,
}

impl Viewer {
    async fn subscribed(changes: &Changes, mut claims: Value) -> Self {
        claims["exp"] = 4_000_000_000_u64.into();
        let target = format!("/socket/websocket?apikey={}&vsn=1.0.0", changes.world().sign(&claims));
        let client = changes.world().connect_to(Dialect::V1, &target).await;
        let mut client = client.expect("the handshake succeeds");
        super::subscribe(&mut client, "realtime:room", &[json!({"schema": "grid", "table": "*"})]).await;
        Self { claims, client }
    }

    /// The rows that it finds, by table and `n`.
    fn finds(&self, changes: &Changes) -> BTreeSet<(String, i64)> {
        let role = self.claims["role"].as_str().expect("a role");
        let tables = POLICIES.iter().enumerate().map(|(number, _)| format!("t{number}"));
        // Row by row: a policy may fail on one and not on others.
        let statement = format!(
            "CREATE FUNCTION pg_temp.finds(name text) RETURNS jsonb LANGUAGE plpgsql AS $$
             DECLARE found jsonb := '[]'; is_found boolean; BEGIN
                 FOR number IN 1..6 LOOP
                     BEGIN
                         EXECUTE format('SELECT EXISTS (SELECT FROM grid.%I WHERE n = $1)', name) INTO is_found USING number;
                         IF is_found THEN found := found || jsonb_build_array(jsonb_build_array(name, number)); END IF;
                     EXCEPTION WHEN OTHERS THEN NULL;
                     END;
                 END LOOP;
                 RETURN found;
             END $$;
             SET request.jwt.claims TO {}; SET ROLE {role};
             SELECT coalesce(jsonb_agg(f.row), '[]') FROM unnest('{{{}}}'::text[]) AS name, jsonb_array_elements(pg_temp.finds(name)) AS f (row)",
            super::literal(&self.claims.to_string()),
            tables.collect::<Vec<_>>().join(",")
        );
        let found = ask(changes.postgres(), &statement);
        let pair = |row: &Value| Some((row[0].as_str()?.to_owned(), row[1].as_i64()?));
        found.as_array().expect("a list").iter().filter_map(pair).collect()
    }

    /// The rows that it receives, up to that of `last`.
    async fn receives(&mut self) -> BTreeSet<(String, i64)> {
        let mut received = BTreeSet::new();
        loop {
            let message = next(&mut self.client).await;
            assert_eq!(message["event"], "postgres_changes", "{message}");
            let data = &message["payload"]["data"];
            let table = data["table"].as_str().expect("a name").to_owned();
            if table == "last" {
                return received;
            }
            let n = data["record"]["n"].as_i64().unwrap_or_else(|| panic!("no row: {data}"));
            assert!(received.insert((table, n)), "twice: {data}");
        }
    }
}

fn on(table: &str, statements: &str) -> String {
    let claims = "current_setting('request.jwt.claims', true)::jsonb";
    statements.replace('@', table).replace("$claims", claims).replace("t.n", &format!("{table}.n"))
}

#[tokio::test]
async fn rows_are_received_that_a_select_finds() {
    let changes = Changes::start().await;
    changes.world().apply(|settings| settings.limits.max_events_per_second = crate::count(1_000_000));
    changes.postgres().sql(PRELUDE);
    for (number, policies) in POLICIES.iter().enumerate() {
        changes.postgres().sql(&on(&format!("grid.t{number}"), &format!("{TABLE}; {policies}")));
    }
    changes.postgres().sql(
        "CREATE TABLE grid.last (n serial PRIMARY KEY); ALTER PUBLICATION supabase_realtime ADD TABLE grid.last",
    );
    let mut all = Vec::new();
    for claims in viewers() {
        all.push(Viewer::subscribed(&changes, claims).await);
    }
    let each = |statement: &str| {
        let of_tables = (0..POLICIES.len()).map(|number| statement.replace('@', &format!("grid.t{number}")));
        of_tables.collect::<Vec<_>>().join(";")
    };
    for write in [
        format!("INSERT INTO @ VALUES {ROWS}"),
        "UPDATE @ SET owner = CASE owner WHEN 'ann' THEN 'bob' WHEN 'bob' THEN 'ann' ELSE owner END"
            .to_owned(),
        // Also the key.
        "UPDATE @ SET k1 = k1 || 'n', k2 = '2000-01-01'::timestamptz + n * interval '1 day'".to_owned(),
    ] {
        changes.postgres().sql(&format!("{}; INSERT INTO grid.last VALUES (DEFAULT)", each(&write)));
        for viewer in &mut all {
            let (received, found) = (viewer.receives().await, viewer.finds(&changes));
            let hidden: Vec<_> = found.difference(&received).collect();
            let leaked: Vec<_> = received.difference(&found).collect();
            assert!(
                hidden.is_empty() && leaked.is_empty(),
                "{}: {write}: not received: {hidden:?}, received without being visible: {leaked:?}",
                viewer.claims
            );
        }
    }
    changes.rooms.world.stop().await;
}
