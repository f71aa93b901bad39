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
}
