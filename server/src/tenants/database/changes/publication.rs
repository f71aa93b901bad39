//! Whether a publication has tables, and some of them.

use sqlx::postgres::types::Oid;

use super::super::{DatabaseFailure, TenantDatabase};
use super::ask;

/// Whether the publication `$1` has tables, as PostgreSQL lists them: also one by schema, or of all tables.
const HAS_TABLES: &str = "
    SELECT EXISTS (SELECT FROM pg_catalog.pg_publication_tables AS t WHERE t.pubname = p.pubname)
    FROM pg_catalog.pg_publication AS p WHERE p.pubname = $1";

/// Those of the tables `$2` that a publication does not have; none if there is no such publication, which the session of the log
/// notices.
const UNPUBLISHED: &str = "
    SELECT wanted.oid
    FROM pg_catalog.unnest($2) AS wanted (oid)
    WHERE EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = $1)
        AND wanted.oid NOT IN (
            SELECT c.oid
            FROM pg_catalog.pg_publication_tables AS t
            JOIN pg_catalog.pg_namespace AS n ON n.nspname = t.schemaname
            JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.tablename
            WHERE t.pubname = $1)";

/// What is known of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// There is none of that name.
    Missing,
    /// It has no table.
    Empty,
    /// It has some.
    WithTables,
}

impl TenantDatabase {
    /// Whether a publication has tables.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn publication(&self, name: &str) -> Result<Publication, DatabaseFailure> {
        let has_tables: Option<(bool,)> = ask(self, name, |connection, name| {
            Box::pin(sqlx::query_as(HAS_TABLES).bind(name).fetch_optional(connection))
        })
        .await?;
        Ok(match has_tables {
            None => Publication::Missing,
            Some((false,)) => Publication::Empty,
            Some((true,)) => Publication::WithTables,
        })
    }

    /// Those of these tables that a publication does not have. None if it does not exist.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unpublished(&self, publication: &str, tables: &[u32]) -> Result<Vec<u32>, DatabaseFailure> {
        let tables: Vec<Oid> = tables.iter().copied().map(Oid).collect();
        let rows: Vec<(Oid,)> = ask(self, &(publication, tables), |connection, (publication, tables)| {
            Box::pin(sqlx::query_as(UNPUBLISHED).bind(*publication).bind(tables).fetch_all(connection))
        })
        .await?;
        Ok(rows.into_iter().map(|(oid,)| oid.0).collect())
    }
}
