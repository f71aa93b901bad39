//! The SQL about documents. Names have their schema, and functions and operators theirs, as everywhere here.

use sqlx::PgPool;
use tokio::sync::OnceCell;

use super::tables::document_schema;
use crate::store::StoreError;
use crate::store::document::DocumentName;

/// The tables of documents, in the schema in which they were migrated.
#[derive(Debug)]
pub(super) struct DocumentTables {
    /// The quoted name of the schema.
    schema: String,
    /// Appends the rows of five arrays of the same length. A session whose commits would not wait until they are durable (by default,
    /// as the role or the database has it) waits for this one. The order of the rows is that of the arrays.
    pub(super) append: String,
    /// Reads the versions of the documents that three arrays of the same length name, in this order.
    pub(super) versions: String,
}

/// The key of a row, but for its tenant.
const OF_DOCUMENT: &str = "room_id OPERATOR(pg_catalog.=) $2 AND doc_id OPERATOR(pg_catalog.=) $3";

/// Has the transaction wait at its end until it is durable.
pub(super) const BE_DURABLE: &str = "SELECT CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' \
     THEN pg_catalog.set_config('synchronous_commit', 'on', true) END";

/// The version of a state: when it was written, in microseconds. A table that was made by hand may have states without a time.
const STATE_VERSION: &str = "greatest(1, least(9e18, pg_catalog.date_part('epoch', coalesce(updated_at, created_at, \
     'epoch'::pg_catalog.timestamptz)) OPERATOR(pg_catalog.*) 1000000))::bigint";

impl DocumentTables {
    fn of_schema(schema: String) -> Self {
        let append = format!(
            "WITH durable AS MATERIALIZED ({BE_DURABLE}) \
             INSERT INTO {schema}.document_updates (tenant, room_id, doc_id, update, user_id) \
             SELECT tenant, room_id, doc_id, update, user_id FROM durable, ROWS FROM (\
             pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]), \
             pg_catalog.unnest($4::bytea[]), pg_catalog.unnest($5::text[])) \
             WITH ORDINALITY AS rows (tenant, room_id, doc_id, update, user_id, place) ORDER BY place RETURNING id"
        );
        let versions = format!(
            "SELECT coalesce(own.version, other.version, 0), log.ids \
             FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) \
             WITH ORDINALITY AS names (tenant, room, doc, place) \
             LEFT JOIN LATERAL (SELECT {STATE_VERSION} AS version FROM {schema}.documents \
             WHERE names.tenant OPERATOR(pg_catalog.=) '' AND room_id OPERATOR(pg_catalog.=) names.room \
             AND doc_id OPERATOR(pg_catalog.=) names.doc) AS own ON true \
             LEFT JOIN LATERAL (SELECT {STATE_VERSION} AS version FROM {schema}.tenant_documents \
             WHERE tenant OPERATOR(pg_catalog.=) names.tenant AND room_id OPERATOR(pg_catalog.=) names.room \
             AND doc_id OPERATOR(pg_catalog.=) names.doc) AS other ON true \
             CROSS JOIN LATERAL (SELECT ARRAY (SELECT id FROM {schema}.document_updates \
             WHERE tenant OPERATOR(pg_catalog.=) names.tenant AND room_id OPERATOR(pg_catalog.=) names.room \
             AND doc_id OPERATOR(pg_catalog.=) names.doc) AS ids) AS log ORDER BY place"
        );
        Self { schema, append, versions }
    }

    /// The table of the state of a document, and the key of its row there.
    fn states(&self, name: &DocumentName) -> (String, String) {
        let schema = &self.schema;
        match name.tenant {
            None => (format!("{schema}.documents"), OF_DOCUMENT.into()),
            Some(_) => (
                format!("{schema}.tenant_documents"),
                format!("tenant OPERATOR(pg_catalog.=) $1 AND {OF_DOCUMENT}"),
            ),
        }
    }

    /// Reads id and bytes of the rows of the log.
    pub(super) fn select_log(&self) -> String {
        let schema = &self.schema;
        format!(
            "SELECT id, update FROM {schema}.document_updates \
             WHERE tenant OPERATOR(pg_catalog.=) $1 AND {OF_DOCUMENT}"
        )
    }

    /// Reads the state, with its version, which is negated, as id, and the log.
    pub(super) fn select(&self, name: &DocumentName) -> String {
        let ((table, key), log) = (self.states(name), self.select_log());
        format!("SELECT pg_catalog.int8um({STATE_VERSION}), state FROM {table} WHERE {key} UNION ALL {log}")
    }

    /// Makes an empty state, unless there is one. Waits for who makes one at the same time.
    pub(super) fn make_state(&self, name: &DocumentName) -> String {
        let (table, _key) = self.states(name);
        let (columns, values) = match name.tenant {
            None => ("room_id, doc_id, state", "$2, $3, ''"),
            Some(_) => ("tenant, room_id, doc_id, state", "$1, $2, $3, ''"),
        };
        format!("INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING")
    }

    /// Reads the version and the state when no other transaction has it locked, and locks it.
    pub(super) fn lock_state(&self, name: &DocumentName) -> String {
        let (table, key) = self.states(name);
        format!("SELECT {STATE_VERSION}, state FROM {table} WHERE {key} FOR UPDATE")
    }

    /// Writes the state `$4`, and returns its version.
    pub(super) fn update_state(&self, name: &DocumentName) -> String {
        let (table, key) = self.states(name);
        format!(
            "UPDATE {table} SET state = $4, updated_at = pg_catalog.clock_timestamp() WHERE {key} \
             RETURNING {STATE_VERSION}"
        )
    }

    /// Deletes the state.
    pub(super) fn delete_state(&self, name: &DocumentName) -> String {
        let (table, key) = self.states(name);
        format!("DELETE FROM {table} WHERE {key}")
    }

    /// Deletes the log.
    pub(super) fn delete_log(&self) -> String {
        let schema = &self.schema;
        format!(
            "DELETE FROM {schema}.document_updates WHERE tenant OPERATOR(pg_catalog.=) $1 AND {OF_DOCUMENT}"
        )
    }

    /// Deletes the rows of the log with the ids `$4`.
    pub(super) fn delete_merged(&self) -> String {
        self.delete_log() + " AND id OPERATOR(pg_catalog.=) ANY ($4)"
    }
}

/// The tables that are found once they are needed.
#[derive(Debug, Default)]
pub(super) struct FoundTables(OnceCell<DocumentTables>);

impl FoundTables {
    /// The tables. Sessions of other roles, after the credentials have changed, use the same ones.
    pub(super) async fn get(&self, pool: &PgPool) -> Result<&DocumentTables, StoreError> {
        let find = async {
            let query = concat!(
                "SELECT pg_catalog.quote_ident(name), \
                 pg_catalog.to_regclass(pg_catalog.format('%I.document_updates', name)) IS NOT NULL \
                 FROM (SELECT ",
                document_schema!(),
                " AS name) AS schema"
            );
            let (schema, is_migrated): (String, bool) = sqlx::query_as(query).fetch_one(pool).await?;
            if is_migrated {
                return Ok(DocumentTables::of_schema(schema));
            }
            Err(StoreError::Unavailable(format!(
                "{schema}.document_updates: the tables of documents are not migrated (`realtime-server migrate`)"
            )))
        };
        self.0.get_or_try_init(|| find).await
    }
}
