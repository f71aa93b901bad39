//! Who owns and who may use what: as upstream's migrations leave it.

use crate::prepared;

#[tokio::test]
async fn owners_are_upstreams() {
    let postgres = prepared().await;
    let owners = |query: &str| postgres.sql(query);
    assert_eq!(
        owners("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'realtime'"),
        "supabase_admin"
    );
    assert_eq!(
        owners(
            "SELECT relname, relowner::regrole FROM pg_class
             WHERE relnamespace = 'realtime'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1"
        ),
        "messages|supabase_realtime_admin\nschema_migrations|supabase_admin\nsubscription|supabase_realtime_admin"
    );
    assert_eq!(
        owners(
            "SELECT typname, typtype, typowner::regrole FROM pg_type LEFT JOIN pg_class ON pg_class.oid = typrelid
             WHERE typnamespace = 'realtime'::regnamespace AND (typtype = 'e' OR relkind = 'c') ORDER BY 1"
        ),
        "action|e|supabase_realtime_admin\nequality_op|e|supabase_realtime_admin\n\
         user_defined_filter|c|supabase_realtime_admin\nwal_column|c|supabase_realtime_admin\n\
         wal_rls|c|supabase_realtime_admin"
    );
}

#[tokio::test]
async fn functions_are_upstreams() {
    let postgres = prepared().await;
    let functions = "SELECT proname || '(' || pg_get_function_arguments(oid) || ') → ' || pg_get_function_result(oid),
        provolatile, proisstrict, proowner::regrole, prosecdef, has_function_privilege('anon', oid, 'EXECUTE'),
        array_to_string(proconfig, ' ')
        FROM pg_proc WHERE pronamespace = 'realtime'::regnamespace ORDER BY proname, pronargs";
    let rest = |volatile: &str, strict: &str, set: &str| {
        format!("|{volatile}|{strict}|supabase_realtime_admin|f|t|{set}\n")
    };
    let expected = [
        (
            "apply_rls(wal jsonb, max_record_bytes integer DEFAULT 1048576) → SETOF realtime.wal_rls",
            rest("v", "f", ""),
        ),
        (
            "broadcast_changes(topic_name text, event_name text, operation text, table_name text, \
             table_schema text, new record, old record, level text DEFAULT 'ROW'::text) → void",
            rest("v", "f", ""),
        ),
        (
            "build_prepared_statement_sql(prepared_statement_name text, entity regclass, \
             columns realtime.wal_column[]) → text",
            rest("v", "f", ""),
        ),
        ("cast(val text, type_ regtype) → jsonb", rest("i", "f", "")),
        (
            "check_equality_op(op realtime.equality_op, type_ regtype, val_1 text, val_2 text) → boolean",
            rest("i", "f", ""),
        ),
        (
            "check_equality_op(op realtime.equality_op, type_ regtype, val_1 text, val_2 text, \
             negate boolean) → boolean",
            rest("s", "f", ""),
        ),
        (
            "is_visible_through_filters(columns realtime.wal_column[], \
             filters realtime.user_defined_filter[]) → boolean",
            rest("s", "f", ""),
        ),
        (
            "list_changes(publication name, slot_name name, max_changes integer, max_record_bytes integer) → \
             TABLE(wal jsonb, is_rls_enabled boolean, subscription_ids uuid[], errors text[], \
             slot_changes_count bigint)",
            rest("v", "f", "log_min_messages=fatal"),
        ),
        ("quote_wal2json(entity regclass) → text", rest("i", "t", "")),
        (
            "send(payload jsonb, event text, topic text, private boolean DEFAULT true) → void",
            rest("v", "f", ""),
        ),
        (
            "send_binary(payload bytea, event text, topic text, private boolean DEFAULT true) → void",
            rest("v", "f", ""),
        ),
        ("subscription_check_filters() → trigger", rest("v", "f", "")),
        ("to_regrole(role_name text) → regrole", rest("i", "f", "")),
        ("topic() → text", rest("s", "f", "")),
        ("wal2json_escape_identifier(name text) → text", rest("i", "t", "")),
    ];
    let expected: String =
        expected.into_iter().map(|(signature, rest)| signature.to_owned() + &rest).collect();
    assert_eq!(postgres.sql(functions) + "\n", expected);
}

#[tokio::test]
async fn grants_are_upstreams() {
    let postgres = prepared().await;
    let grants = |acl: &str, from: &str| {
        let rights = format!(
            "SELECT grantee::regrole, string_agg(privilege_type || CASE WHEN is_grantable THEN '*' ELSE '' END, ' '
                 ORDER BY privilege_type)
             FROM {from}, aclexplode({acl}) WHERE grantee <> grantor GROUP BY grantee ORDER BY grantee::regrole::text"
        );
        postgres.sql(&rights)
    };
    let table = |name: &str| {
        grants("relacl", &format!("(SELECT * FROM pg_class WHERE oid = '{name}'::regclass) AS c"))
    };
    let schema = grants("nspacl", "(SELECT * FROM pg_namespace WHERE nspname = 'realtime') AS n");
    assert_eq!(
        schema,
        "anon|USAGE\nauthenticated|USAGE\npostgres|USAGE*\nservice_role|USAGE\n\
         supabase_realtime_admin|CREATE* USAGE*"
    );
    // Newer versions of PostgreSQL have one more right on tables.
    let all = "DELETE INSERT REFERENCES SELECT TRIGGER TRUNCATE UPDATE";
    let without_newer = |text: String| text.replace(" MAINTAIN", "");
    assert_eq!(
        without_newer(table("realtime.messages")),
        format!(
            "anon|INSERT SELECT UPDATE\nauthenticated|INSERT SELECT UPDATE\ndashboard_user|{all}\npostgres|{all}\n\
             service_role|INSERT SELECT UPDATE"
        )
    );
    assert_eq!(
        without_newer(table("realtime.subscription")),
        format!(
            "anon|SELECT\nauthenticated|SELECT\ndashboard_user|{all}\npostgres|{all}\nservice_role|SELECT"
        )
    );
    assert_eq!(table("realtime.schema_migrations"), "");
    let defaults =
        "SELECT defaclrole::regrole, defaclobjtype, (aclexplode(defaclacl)).grantee::regrole AS grantee
        FROM pg_default_acl WHERE defaclnamespace = 'realtime'::regnamespace GROUP BY 1, 2, 3";
    assert_eq!(
        postgres.sql(&format!(
            "SELECT * FROM ({defaults}) AS d WHERE grantee::text <> 'supabase_admin'
             ORDER BY defaclobjtype, grantee::text COLLATE \"C\""
        )),
        ["S", "f", "r"]
            .map(|kind| format!("supabase_admin|{kind}|dashboard_user\nsupabase_admin|{kind}|postgres"))
            .join("\n")
    );
}

#[tokio::test]
async fn roles_are_upstreams_and_none_of_them_can_log_in_or_is_a_superuser() {
    let postgres = prepared().await;
    let roles = "SELECT rolname, rolcanlogin, rolsuper, rolinherit, rolbypassrls, rolreplication,
        array_to_string(rolconfig, ' ')
        FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role', 'supabase_admin', 'dashboard_user',
                                        'supabase_realtime_admin') ORDER BY 1";
    assert_eq!(
        postgres.sql(roles),
        "anon|f|f|f|f|f|\nauthenticated|f|f|f|f|f|\ndashboard_user|f|f|t|f|f|\nservice_role|f|f|f|t|f|\n\
         supabase_admin|f|f|t|f|f|\nsupabase_realtime_admin|f|f|f|f|f|search_path=public, extensions, realtime"
    );
    let members = "SELECT roleid::regrole FROM pg_auth_members 
        WHERE member = 'supabase_realtime_admin'::regrole ORDER BY roleid::regrole::text";
    assert_eq!(postgres.sql(members), "anon\nauthenticated\nservice_role");
    if postgres.sql("SELECT current_setting('server_version_num')::int < 150000") == "t" {
        return;
    }
    let may_set = "SELECT has_parameter_privilege('supabase_realtime_admin', 'log_min_messages', 'SET')";
    assert_eq!(postgres.sql(may_set), "t");
}

#[tokio::test]
async fn the_tables_have_upstreams_columns() {
    let postgres = prepared().await;
    let columns = |table: &str| {
        postgres.sql(&format!(
            "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod)
                 || CASE WHEN attnotnull THEN ' not null' ELSE '' END, ', ' ORDER BY attnum)
             FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
        ))
    };
    assert_eq!(
        columns("realtime.messages"),
        "topic text not null, extension text not null, payload jsonb, event text, private boolean, \
         updated_at timestamp without time zone not null, inserted_at timestamp without time zone not null, \
         id uuid not null, binary_payload bytea"
    );
    assert_eq!(
        columns("realtime.subscription"),
        "id bigint not null, subscription_id uuid not null, entity regclass not null, \
         filters realtime.user_defined_filter[] not null, claims jsonb not null, claims_role regrole not null, \
         created_at timestamp without time zone not null, action_filter text, selected_columns text[]"
    );
    assert_eq!(
        columns("realtime.schema_migrations"),
        "version bigint not null, inserted_at timestamp(0) without time zone"
    );
    let constraints = "SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid IN ('realtime.messages'::regclass, 'realtime.subscription'::regclass) AND contype <> 'n' ORDER BY 1";
    let constraints = postgres.sql(constraints);
    let names: Vec<&str> = constraints.lines().map(|line| line.split("|CHECK").next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "messages_payload_exclusive|f",
            "messages_pkey|t|PRIMARY KEY (id, inserted_at)",
            "pk_subscription|t|PRIMARY KEY (id)",
            "subscription_action_filter_check|t"
        ]
    );
    let is_secured = "SELECT relname, relrowsecurity, pg_get_partkeydef(oid) FROM pg_class
        WHERE relnamespace = 'realtime'::regnamespace AND relname IN ('messages', 'subscription') ORDER BY 1";
    assert_eq!(postgres.sql(is_secured), "messages|t|RANGE (inserted_at)\nsubscription|f|");
}
