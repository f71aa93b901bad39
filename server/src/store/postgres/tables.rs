//! The tables in a database and the steps that make them: upstream's of the control plane, and our own.
//!
//! The two are recorded apart, because a schema `_realtime` that is given back must be as upstream's migrations leave it.

use super::super::migration::{Migration, migrations};

const CONTROL_STEPS: &[Migration] = migrations!(
    "control/postgres":
    "20210706140551_create_tenants",
    "20220329161857_create_extensions",
    "20220410212326_add_max_events_per_second",
    "20220506102948_rename_poll_interval",
    "20220527210857_add_unique_external_id",
    "20220815211129_require_max_events_per_second",
    "20220815215024_set_max_events_per_second",
    "20220818141501_change_defaults_of_limits",
    "20221018173709_add_postgres_cdc_default",
    "20221102172703_rename_type_postgres",
    "20221223010058_drop_unique_external_id",
    "20230110180046_add_limits",
    "20230810220907_make_columns_of_tenants_text",
    "20230810220924_make_columns_of_extensions_text",
    "20231024094642_add_suspend",
    "20240306114423_add_jwt_jwks",
    "20240418082835_add_enable_authorization",
    "20240625211759_drop_enable_authorization",
    "20240704172020_add_notify_private_alpha",
    "20240902173232_index_extensions_by_tenant",
    "20241106103258_add_private_only",
    "20250424203323_add_migrations_ran",
    "20250613072131_add_broadcast_adapter",
    "20250711044927_change_default_of_broadcast_adapter",
    "20250811121559_add_limits_of_presence_and_payloads",
    "20250926223044_change_default_of_presence_limit",
    "20251204170944_allow_jwks_only",
    "20251218000543_make_jwt_secret_text",
    "20260209232800_add_presence_window",
    "20260304000000_add_presence_enabled",
    "20260422000000_create_feature_flags",
    "20260709151810_add_rollout_of_feature_flags",
    "20260805000000_add_gcm_migrated_at"
);

const DOCUMENT_STEPS: &[Migration] =
    migrations!("documents": "1_create_documents", "2_create_document_updates");

/// The current time in UTC, as upstream's migrations record it.
const NOW: &str = "pg_catalog.date_trunc('second', pg_catalog.now() AT TIME ZONE 'UTC')";

/// Tables of one purpose, which are migrated together.
#[derive(Debug)]
pub(super) struct TableGroup {
    /// In order.
    pub(super) steps: &'static [Migration],
    /// The schema that is made for them if it is missing.
    pub(super) own_schema: Option<&'static str>,
    /// Makes their schema the only one that a transaction uses.
    pub(super) enter: &'static str,
    /// The table in it that records the steps.
    pub(super) record: &'static str,
    /// Reads which GRANT a role needs that may not apply a step.
    pub(super) missing_grant: &'static str,
}

/// Upstream's tables.
pub(super) const CONTROL: TableGroup = TableGroup {
    steps: CONTROL_STEPS,
    own_schema: Some("_realtime"),
    enter: "SET LOCAL search_path TO _realtime;\n",
    record: "schema_migrations",
    missing_grant: "SELECT coalesce(
         (SELECT pg_catalog.format('GRANT %s TO %I', nspowner::regrole, current_user) FROM pg_namespace WHERE nspname = '_realtime'),
         pg_catalog.format('GRANT CREATE ON DATABASE %I TO %I', pg_catalog.current_database(), current_user))",
};

/// The schema of the tables of documents: the first one of the search path of the role. Never `_realtime`, to which Supabase's
/// installations set the search path.
macro_rules! document_schema {
    () => {
        "coalesce(\n  \
         (SELECT name FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path (name, place)\n   \
         WHERE name <> '_realtime' ORDER BY place LIMIT 1), 'public')"
    };
}
pub(super) use document_schema;

/// The tables of documents of all tenants.
pub(super) const DOCUMENTS: TableGroup = TableGroup {
    steps: DOCUMENT_STEPS,
    own_schema: None,
    enter: concat!(
        "SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(",
        document_schema!(),
        "), true);\n"
    ),
    record: "realtime_server_migrations",
    missing_grant: concat!(
        "SELECT pg_catalog.format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', ",
        document_schema!(),
        ", current_user)"
    ),
};

impl TableGroup {
    /// Makes the schema, if there is to be one of their own.
    pub(super) fn create_schema(&self) -> Option<String> {
        self.own_schema.map(|schema| format!("CREATE SCHEMA IF NOT EXISTS {schema};\n"))
    }

    /// The statements of a step, with its record. They are one transaction.
    pub(super) fn statements(&self, step: &Migration) -> String {
        let Self { steps, enter, record, .. } = self;
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {record} (version bigint PRIMARY KEY, inserted_at timestamp(0));\n"
        );
        let create = if steps.first() == Some(step) { create } else { String::new() };
        let Migration { version, sql, .. } = step;
        format!("{enter}{create}{sql}INSERT INTO {record} VALUES ({version}, {NOW});\n")
    }

    /// The SQL of these steps, to be run by hand.
    pub(super) fn script(&self, steps: &[Migration]) -> String {
        let is_first = !steps.is_empty() && steps.first() == self.steps.first();
        let begin = if is_first { self.create_schema() } else { None };
        let script =
            |step: &Migration| format!("-- {}\nBEGIN;\n{}COMMIT;\n", step.name, self.statements(step));
        begin.unwrap_or_default() + &steps.iter().map(script).collect::<String>()
    }
}
