//! Which tables a publication has.

use sqlx::postgres::types::Oid;

use super::super::{DatabaseFailure, TenantDatabase};
use super::ask;

/// The most tables of one publication. PostgreSQL has no limit; this one keeps the answer below some megabytes.
const TABLES_MAX: usize = 10_000;

/// In a publication by schema or of all tables, and with `publish_via_partition_root`, as PostgreSQL lists them. One that is
/// empty is a row without a table.
const TABLES: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text
    FROM pg_catalog.pg_publication AS p
    LEFT JOIN (pg_catalog.pg_publication_tables AS t
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = t.schemaname
        JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.tablename)
        ON t.pubname = p.pubname
    WHERE p.pubname = $1
    ORDER BY n.nspname, c.relname
    LIMIT $2";

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

/// The tables of a publication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Publication {
    /// Whether there is a publication of that name.
    pub exists: bool,
    /// Whether these are all of its tables, and not only the first ten thousand.
    pub is_complete: bool,
    /// Its tables, by schema and name. A partitioned table is there itself, or its partitions, as the publication has it.
    pub tables: Vec<PublishedTable>,
}

/// A table of a publication.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublishedTable {
    /// Its id in the catalog, which is that of Relation messages.
    pub oid: u32,
    /// Its schema.
    pub schema: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl TenantDatabase {
    /// The tables of a publication.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn published_tables(&self, publication: &str) -> Result<Publication, DatabaseFailure> {
        let limit = i64::try_from(TABLES_MAX).unwrap_or(i64::MAX) + 1;
        let rows: Vec<(Option<Oid>, Option<String>, Option<String>)> =
            ask(self, &(publication, limit), |connection, (publication, limit)| {
                Box::pin(sqlx::query_as(TABLES).bind(*publication).bind(*limit).fetch_all(connection))
            })
            .await?;
        let (exists, is_complete) = (!rows.is_empty(), rows.len() <= TABLES_MAX);
        let tables = rows.into_iter().take(TABLES_MAX).filter_map(|(oid, schema, name)| {
            Some(PublishedTable { oid: oid?.0, schema: schema?.into(), name: name?.into() })
        });
        Ok(Publication { exists, is_complete, tables: tables.collect() })
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
